//! `bastide client`: from where a description comes, where a client goes, and what breaks.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::thread;

use bastide_testkit::TestFolder;
use serde_json::{Value, json};

use crate::{bastide, bastide_reading, script};

/// The description of one method.
fn description(members: &Value) -> Value {
    let object = json!({
        "type": "object",
        "properties": members,
        "required": members.as_object().unwrap().keys().collect::<Vec<_>>(),
    });
    json!({
        "openapi": "3.1.0",
        "info": {"title": "x", "version": "1"},
        "components": {},
        "paths": {"/rpc/greeter@1.0.0/greet": {"post": {
            "requestBody": {"content": {"application/json": {"schema": {"type": "string"}}}},
            "responses": {"200": {"content": {"application/json": {"schema": object}}}},
        }}},
    })
}

fn write(folder: &Path, name: &str, document: &Value) {
    fs::write(folder.join(name), document.to_string()).unwrap();
}

fn old() -> Value {
    description(&json!({"text": {"type": "string"}, "number": {"type": "integer"}}))
}

#[test]
fn a_client_comes_of_a_file_standard_input_and_a_program_alike() {
    let folder = TestFolder::new().unwrap();
    let path = folder.path();
    write(path, "api.json", &old());
    script(path, "service", "test \"$*\" = openapi && cat api.json");

    let of_file = bastide(path, &["client", "typescript", "--from", "api.json"]);
    assert_eq!(of_file.code, Some(0), "{of_file:?}");
    assert!(of_file.stdout.contains("greet("), "{}", of_file.stdout);
    let text = old().to_string();
    let of_input = bastide_reading(path, &["client", "typescript", "--from", "-"], &text);
    assert_eq!(of_input.stdout, of_file.stdout);
    let of_program = bastide(path, &["client", "typescript", "--app", "service"]);
    assert_eq!(of_program.stdout, of_file.stdout, "{of_program:?}");

    let words = ["client", "rust", "--from", "api.json", "--out", "client.rs"];
    let written = bastide(path, &words);
    assert_eq!(written.stdout, "written: client.rs\n");
    let rust = fs::read_to_string(path.join("client.rs")).unwrap();
    assert!(rust.contains("pub async fn greet("), "{rust}");
}

#[test]
fn a_client_comes_of_a_running_service() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let served = thread::spawn(move || {
        let mut asked = Vec::new();
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            asked.push(lines.next().unwrap().unwrap());
            while !lines.next().unwrap().unwrap().is_empty() {}
            let body = old().to_string();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
            write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
        asked
    });
    let folder = TestFolder::new().unwrap();
    write(folder.path(), "api.json", &old());
    let file = bastide(folder.path(), &["client", "rust", "--from", "api.json"]);
    for source in [
        format!("http://{address}"),
        format!("http://{address}/openapi.json"),
    ] {
        let ended = bastide(folder.path(), &["client", "rust", "--from", &source]);
        assert_eq!(ended.stdout, file.stdout, "{ended:?}");
    }
    assert_eq!(served.join().unwrap(), ["GET /openapi.json HTTP/1.1"; 2]);
}

#[test]
fn what_breaks_callers_is_told_and_is_the_exit_code() {
    let folder = TestFolder::new().unwrap();
    let path = folder.path();
    write(path, "old.json", &old());
    write(
        path,
        "less.json",
        &description(&json!({"text": {"type": "string"}})),
    );
    let more = json!({"text": {"type": "string"}, "number": {"type": "integer"}, "more": {"type": "boolean"}});
    write(path, "more.json", &description(&more));

    let fits = bastide(path, &["client", "check", "old.json", "more.json"]);
    assert_eq!(
        (fits.code, fits.stdout.as_str()),
        (Some(0), "nothing breaks callers\n")
    );
    let breaks = bastide(path, &["client", "check", "old.json", "less.json"]);
    assert_eq!(breaks.code, Some(1), "{breaks:?}");
    assert!(
        breaks.stdout.starts_with("greeter@1/greet output.number: "),
        "{breaks:?}"
    );
    let old = old().to_string();
    let read = bastide_reading(path, &["client", "check", "-", "less.json"], &old);
    assert_eq!(read.stdout, breaks.stdout);
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = TestFolder::new().unwrap();
    let path = folder.path();
    fs::write(path.join("text"), "none").unwrap();
    write(path, "old.json", &old());
    for (words, said) in [
        (
            &["rust", "--from", "absent.json"][..],
            "absent.json: No such file",
        ),
        (&["rust", "--from", "text"], "text is not JSON"),
        (
            &["rust", "--from", "https://example.org"],
            "https://example.org: ",
        ),
        (
            &["rust", "--from", "text", "--app", "text"],
            "cannot be used with",
        ),
        (&["rust"], "--app PATH"),
        (&["check", "-", "-"], "only one of the two"),
        (&["check", "old.json", "text"], "text is not JSON"),
    ] {
        let ended = bastide(path, &[&["client"], words].concat());
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(said), "{said} in {ended:?}");
    }
    let full = bastide(
        path,
        &[
            "client",
            "rust",
            "--from",
            "old.json",
            "--out",
            "absent/client.rs",
        ],
    );
    assert_eq!(full.code, Some(1), "{full:?}");
    assert!(full.stderr.contains("absent/client.rs"), "{full:?}");
}
