//! `bastide db`, `routes`, `openapi`: the author's program is asked with the same words.

use std::fs;

use bastide_testkit::TestFolder;

use crate::{bastide, script};

#[test]
fn a_program_is_asked_with_the_same_words_and_its_end_is_ours() {
    let folder = TestFolder::new().unwrap();
    script(
        folder.path(),
        "service",
        "echo \"asked: $*\"; echo 'said beside' >&2; exit 7",
    );
    for words in [
        &["db", "migrate"][..],
        &["db", "status"],
        &["db", "check"],
        &["db", "diff"],
        &["routes"],
        &["routes", "--json"],
        &["openapi"],
    ] {
        let ended = bastide(folder.path(), &[words, &["--app", "service"]].concat());
        assert_eq!(ended.stdout, format!("asked: {}\n", words.join(" ")));
        assert_eq!(ended.stderr, "said beside\n");
        assert_eq!(ended.code, Some(7));
    }
    let words = ["--app", "./service", "new", "add_phone"];
    let ended = bastide(folder.path(), &[&["db"], &words[..]].concat());
    assert_eq!(ended.stdout, "asked: db new -- add_phone\n");
}

/// Cargo builds and runs it. The package has no dependencies, so that this takes a second.
#[test]
fn without_a_binary_it_is_the_package_of_this_folder() {
    let folder = TestFolder::new().unwrap();
    let manifest =
        "[package]\nname = \"echo\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[workspace]\n";
    fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    let main = r#"fn main() {
        println!("{:?}", std::env::args().skip(1).collect::<Vec<_>>());
        std::process::exit(9);
    }"#;
    fs::write(folder.path().join("src/main.rs"), main).unwrap();
    let ended = bastide(folder.path(), &["db", "check"]);
    assert_eq!(ended.stdout, "[\"db\", \"check\"]\n", "{ended:?}");
    assert_eq!(ended.code, Some(9), "{ended:?}");
}

#[test]
fn where_there_is_no_program_the_message_says_what_to_do() {
    let folder = TestFolder::new().unwrap();
    let nobody = bastide(folder.path(), &["db", "migrate"]);
    assert_eq!(nobody.code, Some(2));
    for said in ["no Cargo.toml", "--app PATH"] {
        assert!(nobody.stderr.contains(said), "{nobody:?}");
    }
    let absent = bastide(folder.path(), &["routes", "--app", "service"]);
    assert_eq!(absent.code, Some(2));
    assert!(
        absent.stderr.contains("--app service: No such file"),
        "{absent:?}"
    );
    let a_folder = bastide(folder.path(), &["routes", "--app", "."]);
    assert!(a_folder.stderr.contains("is no file"), "{a_folder:?}");
    fs::write(folder.path().join("text"), "not a program").unwrap();
    let text = bastide(folder.path(), &["routes", "--app", "text"]);
    assert_eq!(text.code, Some(1));
    assert!(text.stderr.contains("could not be run"), "{text:?}");
}
