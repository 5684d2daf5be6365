//! Entries of one document that contradict or repeat each other.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use bastide_config::{Path, Problem};
use uuid::Uuid;

use super::document::{Declared, DeclaredKey, DeclaredRoute, KeyMaterial};
use super::pairing::{Pattern, pattern};
use crate::model::KeyHash;

/// Everything that stands twice, reported at its second place.
pub(super) fn find(declared: &Declared) -> Vec<Problem> {
    let mut found = Found::default();
    let mut names = Seen::new();
    let mut plain = Seen::new();
    let mut hashes: Seen<'_, &KeyHash> = Seen::new();
    for tenant in declared.tenants() {
        found.check(
            &mut names,
            &tenant.tenant.name,
            &tenant.place,
            "name",
            |first| format!("{first} has the same name; give each tenant a name of its own"),
        );
        found.id(tenant.id, &tenant.place);
        let mut key_names = Seen::new();
        for key in tenant.keys() {
            found.id(key.id, &key.place);
            found.key_name(&mut key_names, key);
            let is_the_same = |first: &Path| {
                format!("{first} is the same key; a key belongs to one tenant, once")
            };
            match &key.material {
                KeyMaterial::Plain(text) => {
                    found.check(&mut plain, text.expose(), &key.place, "key", is_the_same);
                }
                KeyMaterial::Hash(hash) => {
                    found.check(&mut hashes, hash, &key.place, "hash", is_the_same);
                }
            }
        }
        found.routes(tenant.routes());
    }
    found.routes(declared.routes.as_deref().unwrap_or_default());
    found.problems
}

/// The first place of each value.
type Seen<'d, T> = HashMap<T, &'d Path>;

#[derive(Default)]
struct Found<'d> {
    problems: Vec<Problem>,
    ids: Seen<'d, Uuid>,
}

impl<'d> Found<'d> {
    fn check<T: Eq + Hash>(
        &mut self,
        seen: &mut Seen<'d, T>,
        value: T,
        place: &'d Path,
        member: &'static str,
        message: impl FnOnce(&Path) -> String,
    ) {
        match seen.entry(value) {
            Entry::Occupied(first) => {
                self.problems
                    .push(Problem::new(place.then(member), message(first.get())));
            }
            Entry::Vacant(free) => {
                free.insert(place);
            }
        }
    }

    fn id(&mut self, id: Option<Uuid>, place: &'d Path) {
        let Some(id) = id else { return };
        let mut ids = std::mem::take(&mut self.ids);
        self.check(&mut ids, id, place, "id", |first| {
            format!("{first} has the same id")
        });
        self.ids = ids;
    }

    /// Two keys of a tenant may share a name (after a rotation they do) if their ids tell them apart.
    fn key_name(&mut self, seen: &mut Seen<'d, &'d str>, key: &'d DeclaredKey) {
        if key.id.is_none() {
            self.check(seen, &key.settings.name, &key.place, "name", |first| {
                format!("{first} has the same name; give each key of a tenant a name of its own")
            });
        }
    }

    /// Of two routes that match the same requests with the same priority only the older one would ever serve.
    fn routes(&mut self, routes: &'d [DeclaredRoute]) {
        let mut seen: Seen<'d, (Pattern<'d>, i32)> = Seen::new();
        for route in routes {
            self.id(route.id, &route.place);
            let matched = (pattern(&route.route), route.route.priority);
            self.check(&mut seen, matched, &route.place, "path", |first| {
                format!("{first} matches the same requests; remove one of them or give it another `priority`")
            });
        }
    }
}
