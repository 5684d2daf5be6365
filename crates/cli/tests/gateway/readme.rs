//! What `README.md` tells its reader to paste does what is promised.

use std::env;
use std::process::Command;

use bastide_testkit::{TestFolder, binaries};
use serde_json::Value;

use crate::documentation::blocks;
use crate::harness::program::Program;
use crate::harness::*;

const PAGE: &str = include_str!("../../../../README.md");

/// What starts a gateway, built or not.
const START: &str = "cargo run --release -- gateway";

/// Commands that no test runs. Every other one is run, so that none comes to the page untried.
const SKIPPED: &[&str] = &[
    // This is what runs the tests.
    "cargo xtask test",
    // What it makes is shown by the tests of it, in `author/new.rs`.
    "cargo run --release -- new orders",
    // It writes where the machine's programs are; what it asks for is shown by the tests of upgrades.
    r#"install target/release/bastide /usr/local/bin/bastide && kill -USR2 "$(pidof bastide)""#,
];

/// The commands of the page's blocks of shell, without those that are skipped.
fn commands() -> Vec<String> {
    let shell = blocks(PAGE)
        .into_iter()
        .filter(|(language, _)| *language == "sh");
    // A line that ends with a backslash goes on in the next one.
    let whole = shell.map(|(_, text)| text.replace("\\\n", ""));
    let commands: Vec<String> = whole
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .map(|line| {
            line.split(" # ")
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned()
        })
        .collect();
    let is_skipped = |command: &String| SKIPPED.contains(&command.as_str());
    assert_eq!(
        commands
            .iter()
            .filter(|command| is_skipped(command))
            .count(),
        SKIPPED.len(),
        "what is skipped stands on the page"
    );
    commands
        .into_iter()
        .filter(|command| !is_skipped(command))
        .collect()
}

/// Starts a gateway as the page does, but on ports that are free. Nothing but the command says how.
fn start(command: &str) -> Gateway {
    let binary = env!("CARGO_BIN_EXE_bastide");
    let on_free_ports = "--listen 127.0.0.1:0 --admin-listen 127.0.0.1:0";
    // The shell gives way to it, so that whoever ends the one ends the other.
    let command = command.replace(START, &format!("exec '{binary}' gateway {on_free_ports}"));
    let options = Options::new(Backend::Embedded)
        .without_env("ADMIN_API_KEY")
        .without_env("LOG_LEVEL");
    Gateway::start_by(options, Command::new("sh").args(["-c", &command]))
}

/// Runs a command against a gateway and returns what it prints.
fn run(command: &str, gateway: &Gateway) -> String {
    let (public, admin) = (gateway.public.to_string(), gateway.admin.to_string());
    let command = command
        .replace("localhost:3000", &public)
        .replace("localhost:3001", &admin)
        .replace("127.0.0.1:3001", &admin);
    let output = Command::new("sh")
        .args(["-ec", &command])
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .output()
        .unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_line_to_paste_does_what_is_promised() {
    binaries::find("curl").unwrap();
    let (mut gateways, mut printed) = (Vec::new(), Vec::new());
    for command in commands() {
        if command.contains(START) {
            gateways.push(start(&command));
        } else {
            let gateway = gateways.last().expect("a gateway was started before");
            printed.push(run(&command, gateway));
        }
    }
    // Who adds a command says here what it promises.
    let [alone, with_key] = &gateways[..] else {
        panic!("{} gateways were started", gateways.len());
    };
    let [tenant, route, pressed] = &printed[..] else {
        panic!("{printed:?}");
    };

    assert!(
        alone.stdout().contains("admin key"),
        "one is made and shown"
    );
    assert!(
        !with_key.stdout().contains("admin key"),
        "there is no need to make one"
    );
    for gateway in &gateways {
        assert!(gateway.options().folder().join(".bastide").is_dir());
    }
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(json(tenant)["data"]["name"], "acme");
    assert_eq!(json(tenant)["apiKey"], "acme-key-0123456789");
    assert_eq!(json(route)["data"]["path"], "/hello");
    assert_eq!(
        json(route)["data"]["tenantId"],
        Value::Null,
        "it is everybody's"
    );

    let answers: Vec<&str> = pressed.split("HTTP/1.1 ").skip(1).collect();
    assert_eq!(answers.len(), 6, "{pressed}");
    for answer in &answers[..5] {
        assert!(
            answer.starts_with("200 ") && answer.contains(r#""status":"ok""#),
            "{answer}"
        );
    }
    let refused = answers[5].to_ascii_lowercase();
    assert!(
        refused.starts_with("429 ") && refused.contains("retry-after: "),
        "{refused}"
    );
}

/// Blocks that are not for pasting are few, and what they name is there.
#[test]
fn every_other_block_is_known() {
    let blocks = blocks(PAGE);
    let others: Vec<&str> = blocks
        .iter()
        .filter(|(language, _)| *language != "sh")
        .map(|(_, text)| *text)
        .collect();
    // The program is compiled and served by `author/page.rs`.
    let [program, usage, unit] = others[..] else {
        panic!("a block that nobody checks: {others:?}");
    };
    assert!(program.starts_with("use bastide::prelude::*;\n"));
    assert!(
        unit.contains("\nExecStart=/usr/local/bin/bastide gateway\n"),
        "{unit}"
    );

    let folder = TestFolder::new().unwrap();
    let help = |command: &[&str]| {
        let ended = Program::run(&[command, &["--help"]].concat(), &[], folder.path());
        assert_eq!(ended.code, Some(0), "{command:?}: {ended:?}");
        ended.stdout
    };
    let lines = usage
        .lines()
        .filter_map(|line| line.strip_prefix("bastide "));
    for line in lines {
        let is_name = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
        let command: Vec<&str> = line
            .split("  ")
            .take(1)
            .flat_map(str::split_whitespace)
            .take_while(is_name)
            .collect();
        help(&command);
    }
    let flagged: [&[&str]; 4] = [&["gateway"], &["new"], &["routes"], &["client", "rust"]];
    let known = flagged.map(help).concat();
    let known: Vec<&str> = known.split_whitespace().collect();
    let flags = usage
        .split(['[', ']', ' ', '\n'])
        .filter(|word| word.starts_with("--"));
    for flag in flags {
        assert!(known.contains(&flag), "{flag} is not among {known:?}");
    }
}
