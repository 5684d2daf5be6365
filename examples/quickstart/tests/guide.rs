//! What `docs/services.md` says of the configuration is so: its settings are those that the program takes, and their defaults
//! those that stand at the fields of `bastide::settings`.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use bastide_testkit::TestFolder;

const PAGE: &str = include_str!("../../../docs/services.md");

/// One row of the table.
struct Row {
    setting: &'static str,
    /// As TOML; `None` where there is none, or another one in each environment.
    default: Option<&'static str>,
}

fn rows() -> Vec<Row> {
    let section = PAGE.split("\n## Configuration\n").nth(1).unwrap();
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    let table = lines.take_while(|line| line.starts_with('|')).skip(2);
    let row = |line: &'static str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let within = |cell: &'static str| cell.split('`').nth(1);
        Row {
            setting: within(cells[0]).unwrap(),
            default: within(cells[1]),
        }
    };
    let rows: Vec<Row> = table.map(row).collect();
    assert!(rows.len() > 50, "the table is there");
    rows
}

/// What the sources say of a field: the names in front of its comment's first colon, and the rest of the comment.
struct Field {
    section: String,
    names: Vec<String>,
    comment: String,
}

/// The fields of a file whose comments begin with a setting's name.
fn fields(path: &Path) -> Vec<Field> {
    let text = fs::read_to_string(path).unwrap();
    let stem = path.file_stem().unwrap().to_str().unwrap();
    let mut section = match stem {
        "settings" => String::new(),
        "limits" => "rate_limit".to_owned(),
        stem => stem.to_owned(),
    };
    let mut found = Vec::new();
    let mut comment = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(more) = line.strip_prefix("///") {
            comment = format!("{comment} {}", more.trim());
            continue;
        }
        if line.starts_with("#[") {
            continue;
        }
        let said = std::mem::take(&mut comment);
        let said = said.trim();
        if line.starts_with("pub struct") {
            // A section that has a struct of its own says which it is.
            if let Some(named) = said.strip_prefix("`[") {
                section = String::from(named.split(']').next().unwrap());
            } else if stem != "settings" && !found.is_empty() {
                // What is in lists is no setting by itself.
                return found;
            }
        }
        let is_named = said.starts_with('`') && !said.starts_with("`[");
        if line.starts_with("pub ") && is_named {
            let (names, rest) = said.split_once(':').unwrap_or((said, ""));
            let names = names.split('`').skip(1).step_by(2);
            // `memory = {..}` shows how it is written.
            let names = names.map(|name| name.split(" = ").next().unwrap().to_owned());
            found.push(Field {
                section: section.clone(),
                names: names.collect(),
                comment: rest.to_owned(),
            });
        }
    }
    found
}

fn all_fields() -> Vec<Field> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/bastide/src");
    let mut found = fields(&sources.join("settings.rs"));
    for entry in fs::read_dir(sources.join("settings")).unwrap() {
        found.extend(fields(&entry.unwrap().path()));
    }
    found
}

impl Field {
    fn settings(&self) -> impl Iterator<Item = String> {
        let prefix = match self.section.as_str() {
            "" => String::new(),
            section => format!("{section}."),
        };
        self.names.iter().map(move |name| format!("{prefix}{name}"))
    }
}

/// `5 min` of a comment and `5m` of a file are one.
fn plain(text: &str) -> String {
    let text = text
        .replace('_', "")
        .replace(" min", "m")
        .replace("5 000", "5000");
    text.replace(' ', "")
}

#[test]
fn a14_the_page_names_every_setting() {
    let rows = rows();
    let known: BTreeSet<&str> = rows.iter().map(|row| row.setting).collect();
    assert_eq!(known.len(), rows.len(), "none is named twice");
    let fields = all_fields();
    assert!(fields.len() > 40, "the fields were found");
    let named: BTreeSet<String> = fields.iter().flat_map(Field::settings).collect();
    let missing: Vec<&String> = named
        .iter()
        .filter(|name| !known.contains(name.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/services.md does not name {missing:?}"
    );
}

#[test]
fn a14_the_defaults_of_the_page_are_those_of_the_fields() {
    let fields = all_fields();
    for Row { setting, default } in rows() {
        let Some(default) = default else { continue };
        let is_of = |field: &&Field| field.settings().any(|named| named == setting);
        let Some(field) = fields.iter().find(is_of) else {
            panic!("{setting} is at no field of bastide::settings");
        };
        let said = plain(&field.comment);
        let ends_with = |text: &str| {
            let after = said.split(&format!(";{text}")).nth(1);
            after.is_some_and(|rest| rest.starts_with(['.', ',', ';']))
        };
        let is_said = match default {
            // Said of several at once.
            "true" if field.names.len() > 1 => true,
            "true" => ends_with("on"),
            "false" => ends_with("off"),
            "0s" => ends_with("none"),
            object if object.starts_with('{') => field.comment.contains("these are the defaults"),
            text => ends_with(&plain(text)) || field.comment.contains(&format!("`{text}`")),
        };
        assert!(
            is_said,
            "{setting} = {default}, and its field says: {}",
            field.comment
        );
    }
}

/// A value that each setting takes. Most have a default, which is one.
fn taken(row: &Row) -> Option<String> {
    let value = match row.setting {
        // Only one of these is given at a time, and in production's company.
        "auth.public_key_file" | "auth.jwks_url" | "auth.algorithm" => return None,
        // Its members are given.
        "http.websocket" => return None,
        "http.port" => "0",
        "http.cors" => {
            "{origins = ['https://app.example.com'], credentials = true, max_age = '10m'}"
        }
        "database.prepared_statements" | "config.watch" => "true",
        "traces.endpoint" => "'http://localhost:4318'",
        "traces.headers" => "{authorization = 'x'}",
        "http.socket" | "cache.l2.prefix" | "rate_limit.prefix" => "'x'",
        "store.url" => "'redis://localhost:6379'",
        "store.databases" => "{cache = 1}",
        "auth.secret" | "auth.binding_secret" => "'thirty-two bytes that nobody knows'",
        "auth.sessions.enabled" | "database.migrate_at_start" => "true",
        "auth.issuer" | "auth.audience" => "'somebody'",
        "auth.service_keys" => {
            "[{name = 'a', key = 'thirty-two bytes that nobody knows', tenant = 'any'}]"
        }
        "rate_limit.default" => "'60/min'",
        "rate_limit.tiers" => "{pro = '1000/min'}",
        "rate_limit.storage" => "'shared'",
        "health.memory" => "{degraded = '400MB', unhealthy = '500MB'}",
        "log.level" => "'info,orders=debug'",
        "log.format" => "'json'",
        "log.redact" => "['email']",
        "shutdown.delay" => "'5s'",
        name if name.starts_with("database.") && name.ends_with("url") => {
            "'postgres://app@localhost/app'"
        }
        name => {
            let default = row
                .default
                .unwrap_or_else(|| panic!("no value for {name} is known here"));
            let is_bare =
                default.starts_with('{') || default.bytes().all(|byte| byte.is_ascii_digit());
            let is_bare = is_bare || matches!(default, "true" | "false");
            return Some(if is_bare {
                default.to_owned()
            } else {
                format!("'{default}'")
            });
        }
    };
    Some(value.to_owned())
}

/// A file with every setting of the page is read, and each one is in use: a key that nobody reads would stop the program.
#[test]
fn a14_every_setting_of_the_page_is_one() {
    let folder = TestFolder::new().unwrap();
    fs::create_dir(folder.path().join("config")).unwrap();
    let rows = rows();
    let given: Vec<(&str, String)> = rows
        .iter()
        .filter_map(|row| Some((row.setting, taken(row)?)))
        .collect();
    let lines: Vec<String> = given
        .iter()
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    fs::write(folder.path().join("config/default.toml"), lines.join("\n")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_quickstart"))
        .arg("config")
        .current_dir(folder.path())
        .env_clear()
        .output()
        .unwrap();
    let (shown, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}");
    for (name, _) in given {
        let is_shown = shown.lines().any(|line| {
            let path = line.split_whitespace().next().unwrap_or_default();
            path == name
                || path
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['.', '[']))
        });
        assert!(is_shown, "{name} in {shown}");
    }
}

/// Clients compare them, so none may be misspelled.
#[test]
fn the_codes_of_the_page_are_those_of_the_description() {
    let section = PAGE.split("\n| status | codes").nth(1).unwrap();
    let table = section
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let is_code = |word: &&str| {
        word.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let codes: Vec<&str> = table
        .flat_map(|row| row.split('`').skip(1).step_by(2))
        .filter(is_code)
        .collect();
    assert!(codes.len() > 20, "{codes:?}");
    let folder = TestFolder::new().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_quickstart"))
        .arg("openapi")
        .current_dir(folder.path())
        .env_clear()
        .output()
        .unwrap();
    let description = String::from_utf8_lossy(&output.stdout);
    for code in codes {
        let is_told = description.contains(&format!("\"{code}\""));
        assert!(is_told, "{code} in {description}");
    }
}
