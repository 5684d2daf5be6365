//! What is noted down while layers are read: which keys were asked for where, which values came as text, which are secret.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::path::{Path, Step};

/// Ends of names whose values are not shown, whatever reads them. Compared without case, `_` and `-`.
const SECRET_ENDS: &[&str] = &[
    "password",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "credentials",
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// Values of variables: text that is read by the target's type.
    pub(crate) texts: BTreeSet<Path>,
    /// Such text where a list is wanted.
    pub(crate) lists: BTreeSet<Path>,
    /// Values that are known to be secret by who reads them.
    pub(crate) secrets: BTreeSet<Path>,
    /// The defaults that a schema states.
    pub(crate) defaults: BTreeMap<Path, Value>,
    /// The objects that were looked into.
    pub(crate) asked: BTreeMap<Path, Asked>,
}

/// The keys that one object may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) names: BTreeSet<String>,
    /// Others too.
    pub(crate) any: bool,
}

impl Ledger {
    /// These keys are known at this place.
    pub(crate) fn keys<S: AsRef<str>>(&mut self, here: &Path, names: &[S]) {
        let asked = self.asked.entry(here.clone()).or_default();
        asked
            .names
            .extend(names.iter().map(|name| name.as_ref().to_owned()));
    }

    /// Every key is good at this place.
    pub(crate) fn any_key(&mut self, here: &Path) {
        self.asked.entry(here.clone()).or_default().any = true;
    }

    /// Whether the value at this place, or one around it, must not be shown.
    pub(crate) fn is_secret(&self, path: &Path) -> bool {
        let steps = path.steps();
        (0..steps.len()).any(|depth| {
            let named = matches!(&steps[depth], Step::Key(name) if sounds_secret(name));
            named
                || self
                    .secrets
                    .contains(&steps[..=depth].iter().cloned().collect())
        })
    }
}

fn sounds_secret(name: &str) -> bool {
    let name = squashed(name);
    SECRET_ENDS.iter().any(|end| name.ends_with(end))
}

/// A name without case, `_` and `-`: `jwtSecret`, `jwt_secret` and `JWT_SECRET` are one.
pub(crate) fn squashed(name: &str) -> String {
    name.chars()
        .filter(|character| !matches!(character, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_reader_or_by_their_name() {
        let mut ledger = Ledger::default();
        let pin = Path::root().then("card").then("pin");
        assert!(!ledger.is_secret(&pin));
        ledger.secrets.insert(pin.clone());
        assert!(ledger.is_secret(&pin) && ledger.is_secret(&pin.then(0)));
        for name in ["jwtSecret", "DB_PASSWORD", "api-key", "token"] {
            assert!(
                ledger.is_secret(&Path::root().then(name.to_owned())),
                "{name}"
            );
        }
        for name in ["tokenTtl", "secretary", "path"] {
            assert!(
                !ledger.is_secret(&Path::root().then(name.to_owned())),
                "{name}"
            );
        }
        assert!(!ledger.is_secret(&Path::root()));
    }
}
