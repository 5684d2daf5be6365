//! `bastide new`: a service of one's own, in the shape of the quickstart. The files are the quickstart's, under another name.

#![allow(
    clippy::doc_markdown,
    reason = "the comments on arguments are what `--help` prints"
)]

mod manifest;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use clap::Args;

use crate::say::{failed, refused, say};

#[derive(Args)]
pub(crate) struct Arguments {
    /// What the service is called: a-z, 0-9 and -, as `orders` or `media-scaler`
    name: String,
    /// The folder to make [default: the name, in this folder]
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// The folder of the crate bastide, to depend on it by its path [default: the checkout around the folder, else by version]
    #[arg(long, value_name = "DIR")]
    bastide_path: Option<PathBuf>,
}

/// What the quickstart is called in its files.
const NAME: &str = "quickstart";
/// The same at the beginning of its variables.
const PREFIX: &str = "QUICKSTART_";

macro_rules! of_quickstart {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../examples/quickstart/", $path)))),*]
    };
}

/// The manifest is not among them: the quickstart's is a part of this workspace.
const FILES: &[(&str, &str)] = of_quickstart![
    ".gitignore",
    "README.md",
    "config/default.toml",
    "config/development.toml",
    "migrations/0001_create_users.postgres.sql",
    "migrations/0001_create_users.sqlite.sql",
    "src/main.rs",
    "src/tests.rs",
];

/// Names that Cargo or Rust keep for themselves.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "bastide",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// Runs the command.
pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    let name = &arguments.name;
    if let Err(why) = check_name(name) {
        return refused(why);
    }
    let folder = arguments.path.clone().unwrap_or_else(|| name.into());
    let shown = folder.display();
    if folder.symlink_metadata().is_ok() {
        return refused(format!(
            "{shown} exists already; give another name, or another folder with --path"
        ));
    }
    let manifest = match manifest::of(name, &folder, arguments.bastide_path.as_deref()) {
        Ok(manifest) => manifest,
        Err(why) => return refused(why),
    };
    if let Err(error) = write(&folder, name, &manifest) {
        return failed(format!("{shown}: {error}"));
    }
    say(format!(
        "{shown} is a service with one entity, its tests and its migrations. Next:\n  cd {shown}\n  cargo run"
    ))
}

/// A package, a part of variables' names and a part of keys' names in the shared store.
fn check_name(name: &str) -> Result<(), String> {
    let is_letter = |byte: u8| byte.is_ascii_lowercase();
    let is_known = |byte: u8| is_letter(byte) || byte.is_ascii_digit() || byte == b'-';
    let is_name = name.bytes().all(is_known)
        && name.bytes().next().is_some_and(is_letter)
        && !name.ends_with('-')
        && !name.contains("--");
    if !is_name || name.len() > 64 {
        return Err(format!(
            "the name {name:?} is none for a service: a-z first, then a-z, 0-9 and single -, 64 at most, as in media-scaler"
        ));
    }
    if TAKEN.contains(&name) {
        return Err(format!(
            "the name {name:?} is Cargo's or Rust's own; give another one"
        ));
    }
    Ok(())
}

/// All of it or nothing: what was begun is taken away again.
fn write(folder: &Path, name: &str, manifest: &str) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    // Fails if somebody made it meanwhile.
    fs::create_dir(folder)?;
    let files = FILES.iter().map(|(path, text)| (*path, named(text, name)));
    let manifest = ("Cargo.toml", manifest.to_owned());
    let written = files.chain([manifest]).try_for_each(|(path, text)| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, text)
    });
    if written.is_err() {
        fs::remove_dir_all(folder).ok();
    }
    written
}

/// A file of the quickstart, under this name.
fn named(text: &str, name: &str) -> String {
    let prefix = format!("{}_", name.replace('-', "_").to_ascii_uppercase());
    text.replace(PREFIX, &prefix).replace(NAME, name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that panics says where")]

    use super::*;

    #[test]
    fn every_file_of_the_quickstart_is_made() {
        let root = Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../examples/quickstart"
        ));
        let mut found = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path
                    .strip_prefix(root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                match name.as_str() {
                    // The page is pasted by a test of the workspace, and what it leaves behind is nobody's.
                    "Cargo.toml" | "tests" | ".bastide" | "target" => {}
                    _ if path.is_dir() => folders.push(path),
                    _ => found.push(name),
                }
            }
        }
        found.sort_unstable();
        let made: Vec<_> = FILES.iter().map(|(path, _)| *path).collect();
        assert_eq!(made, found);
    }

    #[test]
    fn names_that_nothing_could_be_called_by_are_refused() {
        for name in ["orders", "media-scaler", "a1", "x"] {
            check_name(name).unwrap();
        }
        let long = "a".repeat(65);
        for name in [
            "", "Orders", "1a", "-a", "a-", "a--b", "a_b", "a/b", "..", "ä", &long,
        ] {
            assert!(
                check_name(name).unwrap_err().contains("none for a service"),
                "{name}"
            );
        }
        for name in ["fn", "test", "bastide"] {
            assert!(check_name(name).unwrap_err().contains("own"), "{name}");
        }
    }
}
