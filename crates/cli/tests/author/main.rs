//! What `bastide` does for the author of a service, through the binary.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

mod client;
mod compiled;
mod new;
mod page;
mod program;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bastide_testkit::binaries;

/// How a run ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs `bastide` in this folder, with nothing of the environment but where programs are.
fn bastide(folder: &Path, arguments: &[&str]) -> Ended {
    bastide_reading(folder, arguments, "")
}

/// The same with this on its standard input.
fn bastide_reading(folder: &Path, arguments: &[&str], input: &str) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bastide"));
    command.args(arguments);
    run(folder, &mut command, input)
}

fn run(folder: &Path, command: &mut Command, input: &str) -> Ended {
    let mut child = command
        .current_dir(folder)
        .env_clear()
        .envs(std::env::vars().filter(|(name, _)| {
            matches!(
                name.as_str(),
                "PATH" | "HOME" | "CARGO_HOME" | "RUSTUP_HOME"
            )
        }))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who reads nothing may have ended before.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// A program in this folder that a shell carries out.
fn script(folder: &Path, name: &str, lines: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let shell = binaries::find("sh").unwrap();
    let path = folder.join(name);
    std::fs::write(&path, format!("#!{}\n{lines}\n", shell.display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
