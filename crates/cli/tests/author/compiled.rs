//! Programs of authors, compiled. The compiler is asked directly, with the libraries that this test was built beside: Cargo
//! would build them all again for another workspace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::run;

/// The program in this folder's `src/main.rs`.
pub(crate) fn program(folder: &Path, name: &str) -> PathBuf {
    compile(folder, name, &["-o", "program"]);
    folder.join("program")
}

/// Its tests.
pub(crate) fn tests(folder: &Path, name: &str) -> PathBuf {
    compile(folder, name, &["-o", "tests-of-it", "--test"]);
    folder.join("tests-of-it")
}

fn compile(folder: &Path, name: &str, more: &[&str]) {
    let libraries = std::env::current_exe().unwrap();
    let libraries = libraries.parent().unwrap();
    // There is one for each set of features that was built here. Those of before may be out of step with what they stand on.
    let mut said = String::new();
    let is_compiled = facades(libraries).iter().any(|facade| {
        // What Cargo tells the compiler about a package; by way of `env`, as nothing else of the environment is handed on.
        let mut command = Command::new("env");
        command
            .arg(format!("CARGO_MANIFEST_DIR={}", folder.display()))
            .arg(format!("CARGO_PKG_NAME={name}"))
            .args(["CARGO_PKG_VERSION=0.1.0", "rustc", "--edition", "2024"])
            .args(["src/main.rs", "-C", "debuginfo=0"])
            .args(["--extern", &format!("bastide={}", facade.display())])
            .args(["-L", &format!("dependency={}", libraries.display())])
            .args(more);
        let ended = run(folder, &mut command, "");
        said.push_str(&ended.stderr);
        ended.code == Some(0)
    });
    assert!(is_compiled, "{said}");
}

/// The libraries of the crate `bastide`, the newest first.
fn facades(libraries: &Path) -> Vec<PathBuf> {
    let is_facade = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libbastide-") && name.ends_with(".rlib")
    };
    let entries = fs::read_dir(libraries).unwrap();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(is_facade)
        .collect();
    let age = |path: &PathBuf| {
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
        modified.unwrap_or(SystemTime::UNIX_EPOCH)
    };
    found.sort_by_key(age);
    found.reverse();
    found
}
