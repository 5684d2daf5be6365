//! The values in use, fit to be shown.

use std::fmt;

use serde_json::Value;

use super::tree::{Source, Tree};
use crate::ledger::Ledger;
use crate::path::Path;

/// In place of a secret.
const REDACTED: &str = "[redacted]";

/// One value as it is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Which.
    pub path: Path,
    /// The value, lists as JSON; `[redacted]` for a secret, without the password of a URL.
    ///
    /// Secret is what is read as [`Secret`](crate::Secret), and what is named so: `..password`, `..secret`, `..token`, `..apiKey`,
    /// `..privateKey`, `..passphrase`, `..credentials`.
    pub shown: String,
    /// Where it was written.
    pub source: Source,
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} ({})", self.path, self.shown, self.source)
    }
}

/// The values in use as a table of path, value and source.
pub fn table(effective: &[Effective]) -> String {
    let paths: Vec<String> = effective.iter().map(|one| one.path.to_string()).collect();
    let width = |texts: &mut dyn Iterator<Item = &str>| {
        texts.map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let path_width = width(&mut paths.iter().map(String::as_str));
    let value_width = width(&mut effective.iter().map(|one| one.shown.as_str()));
    let lines = effective.iter().zip(&paths).map(|(one, path)| {
        format!(
            "{path:path_width$}  {:value_width$}  ({})",
            one.shown, one.source
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What is written, and the defaults that schemas state for what is not.
pub(super) fn list(tree: &Tree, ledger: &Ledger) -> Vec<Effective> {
    let mut found = Vec::new();
    leaves(tree.value(), &Path::root(), &mut |path, value| {
        found.push(Effective {
            shown: shown(path, value, ledger),
            source: tree.source_of(path).unwrap_or(Source::Default),
            path: path.clone(),
        });
    });
    for (path, default) in &ledger.defaults {
        leaves(default, path, &mut |path, value| {
            let is_written = tree.get(path).is_some_and(|value| !value.is_null());
            if !is_written && !value.is_null() {
                found.push(Effective {
                    shown: shown(path, value, ledger),
                    source: Source::Default,
                    path: path.clone(),
                });
            }
        });
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    // The default of a member may stand in that of the whole, too.
    found.dedup_by(|one, other| one.path == other.path);
    found
}

/// Lists are one value; an object without members says nothing.
fn leaves(value: &Value, path: &Path, found: &mut impl FnMut(&Path, &Value)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                leaves(member, &path.then(name.clone()), found);
            }
        }
        value => found(path, value),
    }
}

fn shown(path: &Path, value: &Value, ledger: &Ledger) -> String {
    match covered(path, value, ledger) {
        Value::String(text) => crate::document::one_line(&text),
        other => other.to_string(),
    }
}

fn covered(path: &Path, value: &Value, ledger: &Ledger) -> Value {
    if ledger.is_secret(path) {
        return REDACTED.into();
    }
    match value {
        Value::String(text) => crate::found::without_password(text).into(),
        Value::Array(elements) => {
            let each = elements.iter().enumerate();
            each.map(|(index, element)| covered(&path.then(index), element, ledger))
                .collect()
        }
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| {
                let path = path.then(name.clone());
                (name.clone(), covered(&path, member, ledger))
            })
            .collect(),
        other => other.clone(),
    }
}
