//! What `docs/gateway.md` says is so: its examples are taken, its settings are the program's. And what `BEHAVIOURS.md` names is
//! there.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use bastide_testkit::TestFolder;

use crate::harness::program::Program;
use crate::harness::*;

const PAGE: &str = include_str!("../../../../docs/gateway.md");
const BEHAVIOURS: &str = include_str!("../BEHAVIOURS.md");

/// The blocks of code of a page: their languages and what stands in them.
pub(crate) fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fenced = page.split("```").skip(1).step_by(2);
    let split = |block| str::split_once(block, '\n').expect("a block has lines");
    fenced.map(split).collect()
}

/// The first cells of the rows of the table below a heading.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let section = PAGE.split(heading).nth(1).expect("the heading is there");
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    let table = lines.take_while(|line| line.starts_with('|')).skip(2);
    let cell = |text: &str| text.trim().to_owned();
    table
        .map(|line| line.trim_matches('|').split('|').map(cell).collect())
        .collect()
}

#[test]
fn g16_every_example_passes_the_check() {
    let blocks = blocks(PAGE);
    let examples = blocks.iter().filter(|(language, _)| *language == "yaml");
    assert!(examples.clone().count() >= 2);
    for (_, example) in examples {
        let folder = TestFolder::new().unwrap();
        fs::write(folder.path().join("example.yaml"), example).unwrap();
        let ended = Program::run(&["gateway", "check", "example.yaml"], &[], folder.path());
        assert_eq!(ended.code, Some(0), "{ended:?}\n{example}");
    }
}

#[test]
fn g14_the_page_and_the_help_name_the_same_flags() {
    let folder = TestFolder::new().unwrap();
    let help = Program::run(&["gateway", "--help"], &[], folder.path()).stdout;
    let mut known: Vec<&str> = help
        .split_whitespace()
        .filter(|word| word.starts_with("--") && *word != "--help")
        .collect();
    let rows = rows("## Settings");
    let mut documented: Vec<&str> = rows
        .iter()
        .map(|row| row[0].trim_matches('`'))
        .filter(|flag| !flag.is_empty())
        .collect();
    known.sort_unstable();
    documented.sort_unstable();
    assert_eq!(documented, known);
}

#[test]
fn g14_the_page_names_the_variables_and_the_defaults_in_use() {
    let gateway = Gateway::start(Options::new(Backend::Embedded).env("LOG_LEVEL", "debug"));
    let log = gateway.stdout();
    for row in rows("## Settings") {
        let variable = row[1].split('`').nth(1);
        let named = variable.or_else(|| row[0].split('`').nth(1));
        let setting = format!("setting={}", named.expect("a flag or a variable"));
        assert!(log.contains(&setting), "{setting} in {log}");
    }
    assert!(
        !log.contains(ADMIN_KEY),
        "what is secret is not among what is printed"
    );
}

/// The source of every code that a client can get, and what gives none.
const CODES: [(&str, &[&str]); 4] = [
    (include_str!("../../../gateway/src/data/refusal.rs"), &[]),
    (include_str!("../../../gateway/src/admin/problem.rs"), &[]),
    (include_str!("../../../routing/src/error.rs"), &[]),
    // What is wrong with a response is told as `upstream_malformed`.
    (
        include_str!("../../../http1/src/error.rs"),
        &["ResponseError", "EncodeError"],
    ),
];

/// The words that a type's `code` (or, with the status, its `parts`) gives.
fn codes() -> Vec<&'static str> {
    let mut codes = Vec::new();
    for (source, without) in CODES {
        for block in source.split("\nimpl ").skip(1) {
            let name = block.split_whitespace().next().expect("an impl has a type");
            let method = ["fn code(", "fn parts("]
                .iter()
                .find_map(|method| block.split(method).nth(1));
            let Some(method) = method.filter(|_| !without.contains(&name)) else {
                continue;
            };
            let body = method.split("\n    }").next().expect("it has an end");
            codes.extend(body.split('"').skip(1).step_by(2));
        }
    }
    codes
}

#[test]
fn g18_the_page_names_every_code() {
    let codes = codes();
    for known in [
        "upstream_failed",
        "edit_conflict",
        "path_dot_segment",
        "bare_lf",
    ] {
        assert!(codes.contains(&known), "{known} is not found any more");
    }
    for code in codes {
        assert!(
            PAGE.contains(&format!("`{code}`")),
            "docs/gateway.md lacks `{code}`"
        );
    }
}

/// Each behaviour has its number, is told once, and names tests that are there.
#[test]
fn every_behaviour_has_a_test() {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources: HashMap<&str, String> = HashMap::new();
    let numbered = BEHAVIOURS.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.split(" | ").collect();
        Some((cells[0].parse::<usize>().ok()?, cells))
    });
    let mut count = 0;
    for (number, cells) in numbered {
        count += 1;
        assert_eq!(number, count, "the numbers go on without a gap");
        let [_, behaviour, tests] = cells[..] else {
            panic!("{number} has not three cells: {cells:?}");
        };
        assert!(!behaviour.trim().is_empty(), "{number} says nothing");
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{number} is shown by no test");
        for name in names {
            let (path, test) = name.split_once("::").expect("path::test");
            let source = sources.entry(path).or_insert_with(|| {
                let folder = if path.starts_with("crates/") {
                    "../.."
                } else {
                    "tests"
                };
                let path = crate_root.join(folder).join(path);
                fs::read_to_string(&path)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            });
            assert!(
                has_test(source, test),
                "{number} names {name}, which is no test"
            );
        }
    }
    assert_eq!(
        count, 188,
        "a behaviour that is taken out is a promise less"
    );
}

/// Whether a source has a test of this name: by its attribute, or in one of the macros that make tests.
fn has_test(source: &str, name: &str) -> bool {
    let Some((before, _)) = source.split_once(&format!("fn {name}(")) else {
        return false;
    };
    let attribute = before
        .trim_end_matches("async ")
        .trim_end()
        .lines()
        .next_back();
    let is_test =
        attribute.is_some_and(|line| line.trim().starts_with("#[") && line.contains("test"));
    let in_macro = |opening: &str| {
        let since = before.rsplit_once(opening).map(|(_, since)| since);
        since.is_some_and(|since| !since.contains("\n}"))
    };
    is_test || in_macro("on_both! {\n") || in_macro("proptest! {\n")
}
