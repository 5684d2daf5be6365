//! The program on the first page does what is promised.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use bastide_testkit::{TestFolder, until};

use crate::{compiled, run};

const PAGE: &str = include_str!("../../../../README.md");
const SECRET: &str = "NOTES_AUTH__SECRET=thirty-two bytes that nobody knows";

#[test]
fn the_service_on_the_first_page_serves() {
    let program = PAGE.split("```rust,no_run\n").nth(1).unwrap();
    let program = program.split("```").next().unwrap();
    let folder = TestFolder::new().unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::write(folder.path().join("src/main.rs"), program).unwrap();
    let program = compiled::program(folder.path(), "notes");
    let token = |tenant: &str| {
        let mut command = Command::new("env");
        command.arg(SECRET).arg(&program);
        command.args(["token", "--tenant", tenant]);
        let ended = run(folder.path(), &mut command, "");
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stdout.trim().to_owned()
    };
    let acme = token("acme");

    let log = folder.path().join("log");
    let mut service = Command::new("env")
        .args([SECRET, "PORT=0"])
        .arg(&program)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let address = || {
        let log = fs::read_to_string(&log).unwrap();
        let ready = log.lines().find(|line| line.contains("ready"))?;
        let (_, port) = ready.split_once("127.0.0.1:")?;
        let digits = port.chars().take_while(char::is_ascii_digit);
        digits.collect::<String>().parse::<u16>().ok()
    };
    let is_ready = until(Duration::from_secs(60), || address().is_some());
    let answers = is_ready.then(|| {
        let port = address().unwrap();
        [Some(acme.as_str()), None].map(|token| write_note(port, token))
    });
    service.kill().unwrap();
    service.wait().unwrap();
    let log = fs::read_to_string(&log).unwrap();
    let [known, stranger] = answers.unwrap_or_else(|| panic!("{log}"));
    assert!(known.starts_with("HTTP/1.1 200 "), "{known}");
    assert!(known.contains(r#""text":"tea""#), "{known}");
    assert!(stranger.starts_with("HTTP/1.1 401 "), "{stranger}");
}

fn write_note(port: u16, token: Option<&str>) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let body = r#"{"text":"tea"}"#;
    let credentials = token.map_or(String::new(), |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    write!(
        stream,
        "POST /notes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{credentials}\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
