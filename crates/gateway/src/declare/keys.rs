//! Which key hashes a plan leaves live, and who has them: two tenants cannot share a key, and a revoked one does
//! not come back.

use std::collections::{HashMap, HashSet};

use bastide_config::{Path, Problem};
use uuid::Uuid;

use crate::model::{ApiKey, KeyHash, State};

/// The holders of every hash: those that a plan leaves alone, then those that it declares.
pub(super) struct Holders<'s> {
    existing: HashMap<&'s KeyHash, &'s ApiKey>,
    declared: HashMap<KeyHash, Path>,
}

impl<'s> Holders<'s> {
    /// The holders among the keys that stay as they are; `replaced` says which do not.
    pub(super) fn new(state: &'s State, replaced: &HashSet<Uuid>) -> Self {
        let existing = state
            .keys
            .values()
            .filter(|key| !replaced.contains(&key.id))
            .map(|key| (&key.hash, &**key))
            .collect();
        Self {
            existing,
            declared: HashMap::new(),
        }
    }

    /// Adds a declared key, or says why it cannot be had.
    pub(super) fn claim(&mut self, hash: &KeyHash, place: &Path) -> Result<(), Problem> {
        if let Some(key) = self.existing.get(hash) {
            let message = match key.revoked_at {
                Some(at) => format!("this key was revoked at {at}; remove it or give another one"),
                None => format!(
                    "this key is in use already (key {} of tenant {})",
                    key.id, key.tenant_id
                ),
            };
            return Err(Problem::new(place.clone(), message));
        }
        match self.declared.insert(hash.clone(), place.clone()) {
            Some(first) => {
                let message = format!("{first} is the same key; a key belongs to one tenant, once");
                Err(Problem::new(place.clone(), message))
            }
            None => Ok(()),
        }
    }
}
