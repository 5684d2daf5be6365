//! Environment variables, brought to the keys that a reader knows.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::tree::{Source, Tree};
use super::{Mistake, TEMPLATE};
use crate::env::Env;
use crate::ledger::{Ledger, squashed};
use crate::path::{Path, Step};

/// Goes one object down in a variable's name.
const DOWN: &str = "__";

pub(super) struct Variables<'e> {
    prefix: &'e str,
    list: Vec<Variable>,
}

struct Variable {
    name: String,
    segments: Vec<String>,
    text: String,
    /// Others set it too, who know nothing of this program.
    is_common: bool,
    /// How far it was brought so far.
    at: Path,
    fate: Fate,
}

enum Fate {
    /// Its next key is not known yet.
    Open,
    Placed,
    /// A common one that is not for this program, or that its own variable covers.
    Idle,
    Refused(String),
}

impl<'e> Variables<'e> {
    /// The common ones, and those with the prefix, which cover them, but for the one that the layers read themselves.
    pub(super) fn of(
        env: &Env,
        prefix: Option<&'e str>,
        common: &[(String, String)],
        own: &str,
    ) -> Self {
        let names = prefix.map_or_else(Vec::new, |prefix| env.names(prefix));
        let prefix = prefix.unwrap_or_default();
        let common = common
            .iter()
            .map(|(name, place)| (name.clone(), place.as_str(), true));
        let prefixed = names
            .iter()
            .map(|name| (name.clone(), &name[prefix.len()..], false));
        let variable = |(name, place, is_common): (String, &str, bool)| {
            let text = env.get(&name).filter(|_| name != own)?;
            let segments = place.split(DOWN).map(str::to_owned).collect();
            // What is said in place of a value would be taken for it.
            let fate = if text.contains("${") {
                Fate::Refused(TEMPLATE.to_owned())
            } else {
                Fate::Open
            };
            Some(Variable {
                segments,
                name,
                text,
                is_common,
                at: Path::root(),
                fate,
            })
        };
        Self {
            prefix,
            list: common.chain(prefixed).filter_map(variable).collect(),
        }
    }

    /// Where variables have put text.
    pub(super) fn paths(&self) -> BTreeSet<Path> {
        let placed = self
            .list
            .iter()
            .filter(|one| matches!(one.fate, Fate::Placed));
        placed.map(|variable| variable.at.clone()).collect()
    }

    /// Brings every variable as far as the keys are known. Whether the tree is another one now.
    pub(super) fn advance(&mut self, tree: &mut Tree, ledger: &Ledger) -> bool {
        let mut is_changed = false;
        for path in &ledger.lists {
            let Some(variable) = self.list.iter().find(|variable| variable.at == *path) else {
                continue;
            };
            let parts = variable.text.split(',').map(str::trim);
            let list: Value = parts
                .filter(|part| !part.is_empty())
                .map(Value::from)
                .collect();
            tree.set(path, list, &variable.name);
            is_changed = true;
        }
        for index in 0..self.list.len() {
            while matches!(self.list[index].fate, Fate::Open) {
                let Some(fate) = self.step(index, tree, ledger) else {
                    break;
                };
                self.list[index].fate = fate;
                is_changed = true;
            }
        }
        is_changed
    }

    /// One key further; `None` if nobody has looked there yet.
    fn step(&mut self, index: usize, tree: &mut Tree, ledger: &Ledger) -> Option<Fate> {
        let variable = &self.list[index];
        let depth = variable.at.steps().len();
        let asked = ledger.asked.get(&variable.at)?;
        let segment = &variable.segments[depth];
        let is_meant = |name: &&str| !segment.is_empty() && squashed(name) == squashed(segment);
        let mut names: BTreeSet<&str> = asked.names.iter().map(String::as_str).collect();
        if asked.any
            && let Some(Value::Object(members)) = tree.get(&variable.at)
        {
            names.extend(members.keys().map(String::as_str));
        }
        let meant: Vec<&str> = names.into_iter().filter(is_meant).collect();
        let key = match meant[..] {
            [] if asked.any && !segment.is_empty() => segment.to_lowercase(),
            [] if variable.is_common => return Some(Fate::Idle),
            [] => {
                let remedy = self.suggestion(variable, ledger);
                return Some(Fate::Refused(format!("no setting has this name; {remedy}")));
            }
            [key] => key.to_owned(),
            _ => {
                let message = format!("this could be {}; set it in a file", meant.join(" or "));
                return Some(Fate::Refused(message));
            }
        };
        let at = variable.at.then(key);
        let is_last = depth + 1 == variable.segments.len();
        let around = |other: &&Variable| matches!(other.fate, Fate::Placed) && other.at == at;
        let covered = self
            .list
            .iter()
            .position(|other| other.is_common && around(&other));
        if let Some(covered) = covered {
            self.list[covered].fate = Fate::Idle;
        } else if let Some(other) = self.list.iter().find(around) {
            let message = format!("{} sets {at} already; unset one of them", other.name);
            return Some(Fate::Refused(message));
        }
        let variable = &self.list[index];
        let (name, text) = (variable.name.clone(), variable.text.clone());
        if is_last {
            tree.set(&at, Value::String(text), &name);
        } else if !tree.get(&at).is_some_and(Value::is_object) {
            tree.set(&at, Value::Object(Map::new()), &name);
        }
        self.list[index].at = at;
        Some(if is_last { Fate::Placed } else { Fate::Open })
    }

    /// What is wrong with those that found no place.
    pub(super) fn mistakes(&self, ledger: &Ledger) -> Vec<Mistake> {
        let mistake = |variable: &Variable| {
            let message = match &variable.fate {
                Fate::Placed | Fate::Idle => return None,
                Fate::Refused(message) => message.clone(),
                Fate::Open if variable.is_common => return None,
                Fate::Open => {
                    let remedy = self.suggestion(variable, ledger);
                    format!("no setting has this name; {remedy}")
                }
            };
            Some(Mistake {
                source: Some(Source::Variable(variable.name.clone())),
                message: crate::document::one_line(&message),
            })
        };
        self.list.iter().filter_map(mistake).collect()
    }

    /// The variable that may have been meant, among all that the reader knows.
    fn suggestion(&self, variable: &Variable, ledger: &Ledger) -> String {
        let known = ledger.asked.iter().flat_map(|(path, asked)| {
            let inside = |name: &String| !ledger.asked.contains_key(&path.then(name.clone()));
            let leaves = asked.names.iter().filter(move |name| inside(name));
            leaves.filter_map(move |name| name_of(self.prefix, &path.then(name.clone())))
        });
        let known: Vec<String> = known.collect();
        let same = known
            .iter()
            .find(|name| squashed(name) == squashed(&variable.name));
        let near = || crate::found::nearest(&variable.name, known.iter().map(String::as_str));
        match same.map(String::as_str).or_else(near) {
            Some(name) => format!("did you mean {name}?"),
            None => "unset it, or see the settings that there are".to_owned(),
        }
    }
}

/// The variable that sets the member at this path: `MEDIA_AUTH__JWT_SECRET` of `auth.jwtSecret`. `None` within lists.
pub(super) fn name_of(prefix: &str, path: &Path) -> Option<String> {
    let words: Option<Vec<String>> = path
        .steps()
        .iter()
        .map(|step| match step {
            Step::Key(key) => Some(upper_snake(key)),
            Step::Index(_) => None,
        })
        .collect();
    Some(format!("{prefix}{}", words?.join(DOWN)))
}

fn upper_snake(key: &str) -> String {
    let mut name = String::with_capacity(key.len() + 4);
    let mut is_after_small = false;
    for character in key.chars() {
        if character.is_uppercase() && is_after_small {
            name.push('_');
        }
        is_after_small = character.is_lowercase() || character.is_ascii_digit();
        if character == '-' {
            name.push('_');
        } else {
            name.extend(character.to_uppercase());
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_set_by_one_name_however_it_is_spelled() {
        let of = |key: &str| {
            let path = Path::root().then("auth").then(key.to_owned());
            name_of("MEDIA_", &path).unwrap()
        };
        for key in ["jwtSecret", "jwt_secret", "jwt-secret", "JWT_SECRET"] {
            assert_eq!(of(key), "MEDIA_AUTH__JWT_SECRET", "{key}");
        }
        assert_eq!(name_of("M_", &Path::root().then("a").then(0)), None);
    }
}
