//! `bastide new`: what it makes is a service that compiles, whose tests pass, and which runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bastide_testkit::TestFolder;

use crate::{Ended, bastide, compiled, run};

/// The checkout that this test is of.
fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn make(folder: &Path, more: &[&str]) -> Ended {
    let checkout = checkout();
    let path = ["--bastide-path", checkout.to_str().unwrap()];
    bastide(folder, &[&["new"], more, &path[..]].concat())
}

#[test]
fn the_new_service_is_the_quickstart_under_its_own_name() {
    let folder = TestFolder::new().unwrap();
    let made = make(folder.path(), &["media-scaler"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(
        made.stdout.ends_with("\n  cd media-scaler\n  cargo run\n"),
        "{made:?}"
    );
    let service = folder.path().join("media-scaler");
    let read = |name: &str| fs::read_to_string(service.join(name)).unwrap();
    let quickstart = checkout().join("examples/quickstart/src/main.rs");
    assert_eq!(read("src/main.rs"), fs::read_to_string(quickstart).unwrap());
    let page = read("README.md");
    assert!(page.starts_with("# media-scaler\n"), "{page}");
    assert!(page.contains("MEDIA_SCALER_AUTH__SECRET"), "{page}");
    for name in [
        "README.md",
        "src/main.rs",
        "config/default.toml",
        "Cargo.toml",
    ] {
        assert!(!read(name).to_lowercase().contains("quickstart"), "{name}");
    }
}

#[test]
fn the_new_service_compiles_and_its_tests_pass() {
    let folder = TestFolder::new().unwrap();
    assert_eq!(make(folder.path(), &["orders"]).code, Some(0));
    let service = folder.path().join("orders");
    let tests = compiled::tests(&service, "orders");
    let ended = run(&service, &mut Command::new(tests), "");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("3 passed"), "{ended:?}");
}

/// Cargo finds everything that the manifest names, without asking anybody.
#[test]
fn the_manifest_of_the_new_service_resolves() {
    let folder = TestFolder::new().unwrap();
    assert_eq!(
        make(folder.path(), &["orders", "--path", "some/where"]).code,
        Some(0)
    );
    let service = folder.path().join("some/where");
    fs::copy(checkout().join("Cargo.lock"), service.join("Cargo.lock")).unwrap();
    let mut cargo = Command::new("cargo");
    cargo.args(["tree", "--offline", "--depth", "1", "--prefix", "none"]);
    let ended = run(&service, &mut cargo, "");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(lines[0].starts_with("orders v0.1.0"), "{ended:?}");
    assert!(lines[1].starts_with("bastide v"), "{ended:?}");
}

/// Where the dependency is found and how Cargo is kept from taking the package for another's member.
#[test]
fn the_manifest_fits_where_the_service_is_made() {
    let folder = TestFolder::new().unwrap();
    let path = folder.path();
    let manifest = |place: &str| fs::read_to_string(path.join(place).join("Cargo.toml")).unwrap();
    let new = |arguments: &[&str]| {
        let ended = bastide(path, &[&["new"], arguments].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
    };
    new(&["alone"]);
    let version = format!("bastide = \"{}\"\n", env!("CARGO_PKG_VERSION"));
    assert!(
        manifest("alone").ends_with(&version),
        "{}",
        manifest("alone")
    );

    // A checkout is where the crate is. Its manifest has a `*` that is no member.
    fs::create_dir_all(path.join("crates/bastide/src")).unwrap();
    fs::write(path.join("crates/bastide/src/lib.rs"), "").unwrap();
    let package = "[package]\nname = \"bastide\"\nversion = \"0.1.0\"\n";
    fs::write(path.join("crates/bastide/Cargo.toml"), package).unwrap();
    let workspace = "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\", \"examples/*\"]\n\n\
                     [profile.dev.package.\"*\"]\nopt-level = 1\n";
    fs::write(path.join("Cargo.toml"), workspace).unwrap();
    new(&["beside"]);
    let by_path = "bastide = { path = \"../crates/bastide\" }\n\n[workspace]\n";
    assert!(
        manifest("beside").ends_with(by_path),
        "{}",
        manifest("beside")
    );
    new(&["member", "--path", "examples/member"]);
    let by_path = "bastide = { path = \"../../crates/bastide\" }\n";
    let member = manifest("examples/member");
    assert!(member.ends_with(by_path), "{member}");
    for place in ["beside", "examples/member"] {
        let mut cargo = Command::new("cargo");
        cargo.args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ]);
        let ended = run(&path.join(place), &mut cargo, "");
        assert_eq!(ended.code, Some(0), "{place}: {ended:?}");
    }
}

#[test]
fn nothing_is_overwritten_and_no_name_is_guessed() {
    let folder = TestFolder::new().unwrap();
    let path = folder.path();
    fs::create_dir(path.join("orders")).unwrap();
    for (arguments, said) in [
        (&["orders"][..], "orders exists already"),
        (&["other", "--path", "orders"], "orders exists already"),
        (&["Orders"], "none for a service"),
        (&["../orders"], "none for a service"),
        (&["test"], "Rust's own"),
        (
            &["other", "--bastide-path", "orders"],
            "the crate `bastide` is not there",
        ),
        (
            &["other", "--bastide-path", "absent"],
            "--bastide-path absent: No such file",
        ),
    ] {
        let ended = bastide(path, &[&["new"], arguments].concat());
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(said), "{said} in {ended:?}");
    }
    assert_eq!(fs::read_dir(path).unwrap().count(), 1, "nothing was made");
    assert_eq!(fs::read_dir(path.join("orders")).unwrap().count(), 0);
    fs::write(path.join("file"), "").unwrap();
    let ended = bastide(path, &["new", "other", "--path", "file/other"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
}
