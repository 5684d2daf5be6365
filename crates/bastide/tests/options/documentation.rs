//! Every test that `OPTIONS.md` names exists, every test of an option stands in it, and no row is without one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const TABLE: &str = include_str!("../OPTIONS.md");

fn named(text: &str) -> BTreeSet<&str> {
    let parts = text.split('`').skip(1).step_by(2);
    let tests = parts.filter_map(|part| part.split_once(".rs::"));
    tests.map(|(_, name)| name).collect()
}

/// The tests of this folder by file, and those of files elsewhere that the table names.
fn there(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = match file.strip_prefix("crates/") {
        Some(rest) => folder.parent().unwrap().join(rest),
        None => folder.join("tests").join(file),
    };
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_test_that_the_table_names_exists() {
    let parts = TABLE.split('`').skip(1).step_by(2);
    let mut missing = Vec::new();
    for reference in parts.filter(|part| part.contains(".rs::")) {
        let (file, name) = reference.split_once("::").unwrap();
        if !there(file).contains(&format!("fn {name}(")) {
            missing.push(reference);
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn no_option_is_without_a_test() {
    let rows = TABLE
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| option"));
    let bare: Vec<_> = rows.filter(|row| named(row).is_empty()).collect();
    assert!(bare.is_empty(), "{bare:#?}");
}

#[test]
fn every_test_of_an_option_stands_in_the_table() {
    let named = named(TABLE);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/options");
    let mut forgotten = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let names = text.lines().filter_map(|line| line.strip_prefix("fn "));
        let names = names
            .filter_map(|line| line.split_once('('))
            .map(|(name, _)| name.to_owned());
        let tests = names.filter(|name| {
            ["seed000_", "http_", "traces_"]
                .iter()
                .any(|one| name.starts_with(one))
        });
        forgotten.extend(tests.filter(|name| !named.contains(name.as_str())));
    }
    assert!(forgotten.is_empty(), "{forgotten:#?}");
}
