//! Compares a document with the state: the least set of changes that makes the state what the document says.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bastide_config::{Path, Problem, Problems};
use uuid::Uuid;

use super::changes::{Author, ChangeSet, sorted};
use super::departed::Departure;
use super::diff::{Diff, Entry, FieldChange, fields};
use super::document::{Declared, DeclaredKey, DeclaredRoute, DeclaredTenant, KeyMaterial};
use super::keys::Holders;
use super::pairing::{By, Candidates, by_id, pattern};
use super::tenant_id;
use crate::keys::Keys;
use crate::model::read::{Object, Stamp};
use crate::model::{ApiKey, Entity, KeyHash, ManagedBy, Route, State, Tenant};
use crate::repository::Commit;

/// For whom a document speaks; see the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything that is managed through the Admin API.
    Api,
    /// Everything that the declarative file manages.
    File,
}

impl Scope {
    fn manager(self) -> ManagedBy {
        match self {
            Self::Api => ManagedBy::Api,
            Self::File => ManagedBy::File,
        }
    }
}

/// What is to be done, for the repository and for people.
#[derive(Debug)]
pub struct Plan {
    /// To be applied. Without changes when there is nothing to do.
    pub commit: Commit,
    /// The same, to be read.
    pub diff: Diff,
}

/// Plans how `state` becomes what `declared` says. Pure but for `ids`, which gives new ids in ascending order,
/// and the ids of the audit entries.
///
/// # Errors
/// Everything that keeps the document from being applied to this state, each with its place. Nothing is planned
/// then.
pub fn plan(
    state: &State,
    declared: &Declared,
    scope: Scope,
    keys: &Keys,
    author: &Author,
    ids: &mut dyn FnMut() -> Uuid,
) -> Result<Plan, Problems> {
    let mut planner = Planner {
        state,
        scope,
        author,
        ids,
        changes: ChangeSet::new(author),
        diff: Diff::default(),
        problems: Problems::new(),
    };
    let tenants = planner.tenants(declared);
    planner.keys(declared, &tenants, keys);
    planner.routes(declared, &tenants);
    planner.tiers(declared, &tenants);
    let Planner {
        changes,
        diff,
        problems,
        ..
    } = planner;
    problems.into_result(Plan {
        commit: changes.into_commit(),
        diff,
    })
}

pub(super) struct Planner<'s, 'a> {
    pub(super) state: &'s State,
    pub(super) scope: Scope,
    author: &'a Author,
    ids: &'a mut dyn FnMut() -> Uuid,
    pub(super) changes: ChangeSet<'a>,
    pub(super) diff: Diff,
    problems: Problems,
}

/// What became of the tenants.
struct Tenants {
    /// The id of each declared tenant, in the document's order.
    ids: Vec<Uuid>,
    /// Tenants that are deleted, and with them all that is theirs.
    deleted: HashSet<Uuid>,
    /// Tenants that left the file and lose what it made of theirs.
    handed_over: HashSet<Uuid>,
}

impl<'s> Planner<'s, '_> {
    fn tenants(&mut self, declared: &Declared) -> Tenants {
        let mut candidates = Candidates::new(self.state.tenants.values().collect());
        let entries = declared.tenants();
        let pairs = candidates.pair(
            entries,
            &[
                &by_id(|entry: &DeclaredTenant| entry.id),
                &By {
                    entry: |entry: &DeclaredTenant| {
                        entry.id.is_none().then(|| entry.tenant.name.clone())
                    },
                    object: |tenant: &Tenant| Some(tenant.name.clone()),
                },
            ],
        );
        let (mut deleted, mut handed_over) = (HashSet::new(), HashSet::new());
        if self.is_complete(declared.tenants.as_ref()) {
            let manager = self.scope.manager();
            for tenant in candidates
                .unclaimed()
                .filter(|tenant| tenant.managed_by == manager)
            {
                match self.depart(tenant) {
                    Departure::Deleted => deleted.insert(tenant.id),
                    Departure::HandedOver => handed_over.insert(tenant.id),
                };
            }
        }
        self.check_names(entries, &pairs, &deleted);
        let named: HashSet<Uuid> = entries.iter().filter_map(|entry| entry.id).collect();
        let ids = entries
            .iter()
            .zip(pairs)
            .map(|(entry, current)| {
                let lasting = || {
                    let id = tenant_id::of(&entry.tenant.name);
                    // A tenant that was renamed may have it.
                    let is_free = !self.state.tenants.contains_key(&id) && !named.contains(&id);
                    (self.scope == Scope::File && is_free).then_some(id)
                };
                let id = entry.id.or_else(lasting);
                self.put(
                    &entry.place,
                    id,
                    current.map(|tenant| &**tenant),
                    entry.tenant.clone(),
                    None,
                )
            })
            .collect();
        Tenants {
            ids,
            deleted,
            handed_over,
        }
    }

    /// A name may be held by a tenant that the document neither names nor deletes, for instance one of another
    /// scope.
    fn check_names(
        &mut self,
        entries: &[DeclaredTenant],
        pairs: &[Option<&Arc<Tenant>>],
        deleted: &HashSet<Uuid>,
    ) {
        let paired: HashSet<Uuid> = pairs.iter().flatten().map(|tenant| tenant.id).collect();
        let taken: HashMap<&str, Uuid> = self
            .state
            .tenants
            .values()
            .filter(|tenant| !paired.contains(&tenant.id) && !deleted.contains(&tenant.id))
            .map(|tenant| (tenant.name.as_str(), tenant.id))
            .collect();
        for entry in entries {
            if let Some(id) = taken.get(entry.tenant.name.as_str()) {
                let remedy =
                    "choose another name, or refer to that tenant by its id or without one";
                let message = format!("the tenant {id} has this name already");
                self.problems
                    .push(Problem::new(entry.place.then("name"), message).with_remedy(remedy));
            }
        }
    }

    fn keys(&mut self, declared: &Declared, tenants: &Tenants, keys: &Keys) {
        let mut owned = owned_by(&self.state.keys, |key| {
            (key.revoked_at.is_none()).then_some(key.tenant_id)
        });
        let mut replaced: HashSet<Uuid> = self
            .state
            .keys
            .values()
            .filter(|key| {
                tenants.deleted.contains(&key.tenant_id)
                    || tenants.handed_over.contains(&key.tenant_id)
                        && key.managed_by == ManagedBy::File
            })
            .map(|key| key.id)
            .collect();
        let mut puts = Vec::new();
        let manager = self.scope.manager();
        for (tenant, tenant_id) in declared.tenants().iter().zip(&tenants.ids) {
            if !self.is_complete(tenant.keys.as_ref()) {
                continue;
            }
            let entries: Vec<(&DeclaredKey, KeyHash)> = tenant
                .keys()
                .iter()
                .map(|key| (key, hash_of(&key.material, keys)))
                .collect();
            let mut candidates = Candidates::new(owned.remove(tenant_id).unwrap_or_default());
            let pairs = candidates.pair(
                &entries,
                &[
                    &by_id(|(key, _): &(&DeclaredKey, KeyHash)| key.id),
                    &By {
                        entry: |(key, hash): &(&DeclaredKey, KeyHash)| {
                            key.id.is_none().then(|| hash.clone())
                        },
                        object: |key: &ApiKey| Some(key.hash.clone()),
                    },
                    &By {
                        entry: |(key, _): &(&DeclaredKey, KeyHash)| {
                            key.id.is_none().then(|| key.settings.name.clone())
                        },
                        object: |key: &ApiKey| Some(key.name.clone()),
                    },
                ],
            );
            replaced.extend(pairs.iter().flatten().map(|key| key.id));
            for key in candidates
                .unclaimed()
                .filter(|key| key.managed_by == manager)
            {
                replaced.insert(key.id);
                self.delete(&**key, Some(&tenant.tenant.name));
            }
            puts.extend(
                entries
                    .into_iter()
                    .zip(pairs)
                    .map(|((key, hash), pair)| (key, hash, pair, tenant, *tenant_id)),
            );
        }
        let mut holders = Holders::new(self.state, &replaced);
        for (key, hash, current, tenant, tenant_id) in puts {
            if let Err(problem) = holders.claim(&hash, &key.place) {
                self.problems.push(problem);
                continue;
            }
            let draft = key_draft(key, hash, current.map(|key| &**key), tenant_id, keys);
            self.put(
                &key.place,
                key.id,
                current.map(|key| &**key),
                draft,
                Some(&tenant.tenant.name),
            );
        }
    }

    fn routes(&mut self, declared: &Declared, tenants: &Tenants) {
        let mut owned = owned_by(&self.state.routes, |route| Some(route.tenant_id));
        for (tenant, id) in declared.tenants().iter().zip(&tenants.ids) {
            let current = owned.remove(&Some(*id)).unwrap_or_default();
            self.routes_of(
                Some(*id),
                Some(&tenant.tenant.name),
                tenant.routes.as_ref(),
                current,
            );
        }
        let current = owned.remove(&None).unwrap_or_default();
        self.routes_of(None, None, declared.routes.as_ref(), current);
    }

    fn routes_of(
        &mut self,
        tenant_id: Option<Uuid>,
        tenant: Option<&str>,
        declared: Option<&Vec<DeclaredRoute>>,
        current: Vec<&'s Arc<Route>>,
    ) {
        if !self.is_complete(declared) {
            return;
        }
        let entries: Vec<(&DeclaredRoute, Route)> = declared
            .into_iter()
            .flatten()
            .map(|entry| {
                (
                    entry,
                    Route {
                        tenant_id,
                        ..entry.route.clone()
                    },
                )
            })
            .collect();
        let identity = |route: &Route| {
            let (method, host, path_type, path) = pattern(route);
            (
                method.clone(),
                host.map(str::to_owned),
                path_type,
                path.into_owned(),
            )
        };
        let content = |route: &Route| route.clone().stamped(Stamp::draft()).public().to_string();
        let mut candidates = Candidates::new(current);
        let pairs = candidates.pair(
            &entries,
            &[
                &by_id(|(entry, _): &(&DeclaredRoute, Route)| entry.id),
                &By {
                    entry: |(entry, route): &(&DeclaredRoute, Route)| {
                        entry.id.is_none().then(|| content(route))
                    },
                    object: |route: &Route| Some(content(route)),
                },
                &By {
                    entry: |(entry, route): &(&DeclaredRoute, Route)| {
                        entry
                            .id
                            .is_none()
                            .then(|| (identity(route), route.priority))
                    },
                    object: |route: &Route| Some((identity(route), route.priority)),
                },
                &By {
                    entry: |(entry, route): &(&DeclaredRoute, Route)| {
                        entry.id.is_none().then(|| identity(route))
                    },
                    object: |route: &Route| Some(identity(route)),
                },
            ],
        );
        let manager = self.scope.manager();
        let (leaving, staying): (Vec<_>, Vec<_>) = candidates
            .unclaimed()
            .partition(|route| route.managed_by == manager);
        for route in leaving {
            self.delete(&**route, tenant);
        }
        let matched = |route: &Route| (identity(route), route.priority);
        let taken: HashMap<_, Uuid> = staying
            .iter()
            .map(|route| (matched(route), route.id))
            .collect();
        for ((entry, draft), current) in entries.into_iter().zip(pairs) {
            let wanted = matched(&draft);
            // Who only changes other members is not told about an older twin.
            let is_new = current.is_none_or(|current| matched(current) != wanted);
            if let Some(id) = taken.get(&wanted).filter(|_| is_new) {
                let message = format!("the route {id} matches the same requests");
                let remedy = "change that one, or give another `priority`";
                self.problems
                    .push(Problem::new(entry.place.then("path"), message).with_remedy(remedy));
            }
            self.put(
                &entry.place,
                entry.id,
                current.map(|route| &**route),
                draft,
                tenant,
            );
        }
    }

    /// Every tenant has to have a tier, also one that the document does not speak of.
    fn tiers(&mut self, declared: &Declared, tenants: &Tenants) {
        let Some(tiers) = &declared.tiers else { return };
        let declared_ids: HashSet<Uuid> = tenants.ids.iter().copied().collect();
        for tenant in sorted(self.state.tenants.values()) {
            let stays = !declared_ids.contains(&tenant.id) && !tenants.deleted.contains(&tenant.id);
            if stays && !tiers.contains_key(&tenant.tier) {
                let message = format!(
                    "the tier `{}` is missing; the tenant `{}` has it",
                    tenant.tier, tenant.name
                );
                self.problems
                    .push(Problem::new(Path::root().then("tiers"), message));
            }
        }
        if *tiers == *self.state.tiers {
            return;
        }
        self.changes.put_tiers(&self.state.tiers, tiers);
        let json = |tiers| serde_json::to_value(tiers).unwrap_or_default();
        self.diff.update.push(Entry {
            entity: Entity::Tiers,
            id: Uuid::nil(),
            name: "tiers".to_owned(),
            tenant: None,
            changes: fields(&json(&*self.state.tiers), &json(tiers)),
        });
    }

    /// Whether a list says all that there is. In a file every list does, also one that is left out.
    fn is_complete<T>(&self, list: Option<&T>) -> bool {
        list.is_some() || self.scope == Scope::File
    }

    pub(super) fn delete<O: Object>(&mut self, object: &O, tenant: Option<&str>) {
        self.diff
            .delete
            .push(entry(object, tenant.map(str::to_owned)));
        self.changes.delete(object);
    }

    /// Makes or changes an object where needed; returns its id.
    fn put<O: Object>(
        &mut self,
        place: &Path,
        id: Option<Uuid>,
        current: Option<&O>,
        draft: O,
        tenant: Option<&str>,
    ) -> Uuid {
        let manager = self.scope.manager();
        let Some(current) = current else {
            return self.create(place, id, draft, tenant);
        };
        let stamp = current.stamp();
        let is_same = draft.has_content_of(current);
        if self.scope == Scope::Api && stamp.managed_by == ManagedBy::File {
            if !is_same {
                let message = "stands in the declarative file, which says it differently";
                let remedy = "change it in the file, or leave it out here";
                self.problems
                    .push(Problem::new(place.clone(), message).with_remedy(remedy));
            }
            return stamp.id;
        }
        if is_same && stamp.managed_by == manager {
            return stamp.id;
        }
        self.replace(current, draft, manager, tenant);
        stamp.id
    }

    /// Makes an object what the draft says, and the manager's.
    pub(super) fn replace<O: Object>(
        &mut self,
        current: &O,
        draft: O,
        manager: ManagedBy,
        tenant: Option<&str>,
    ) {
        let after = draft.stamped(current.stamp().next(manager, self.author.now));
        let mut changes = fields(&current.public(), &after.public());
        if after.differs_in_secret(current) {
            changes.push(FieldChange::unshown("hash"));
        }
        self.diff.update.push(Entry {
            changes,
            ..entry(&after, tenant.map(str::to_owned))
        });
        self.changes.update("update", current, after);
    }

    fn create<O: Object>(
        &mut self,
        place: &Path,
        id: Option<Uuid>,
        draft: O,
        tenant: Option<&str>,
    ) -> Uuid {
        if let Some(id) = id
            && let Some(other) = O::all(self.state).get(&id)
        {
            let message = format!(
                "the id {id} is that of `{}`, of another tenant",
                other.label()
            );
            self.problems
                .push(Problem::new(place.then("id"), message).with_remedy("leave the id out"));
        }
        let id = id.unwrap_or_else(&mut *self.ids);
        let object = draft.stamped(Stamp::new(id, self.scope.manager(), self.author.now));
        self.diff
            .create
            .push(entry(&object, tenant.map(str::to_owned)));
        self.changes.create(object);
        id
    }
}

pub(super) fn entry<O: Object>(object: &O, tenant: Option<String>) -> Entry {
    Entry {
        entity: O::ENTITY,
        id: object.stamp().id,
        name: object.label(),
        tenant,
        changes: Vec::new(),
    }
}

fn owned_by<'s, K: Eq + std::hash::Hash, O>(
    objects: &'s HashMap<Uuid, Arc<O>>,
    owner: impl Fn(&O) -> Option<K>,
) -> HashMap<K, Vec<&'s Arc<O>>> {
    let mut owned: HashMap<K, Vec<&'s Arc<O>>> = HashMap::new();
    for object in objects.values() {
        if let Some(owner) = owner(object) {
            owned.entry(owner).or_default().push(object);
        }
    }
    owned
}

fn hash_of(material: &KeyMaterial, keys: &Keys) -> KeyHash {
    match material {
        KeyMaterial::Plain(key) => keys.hash(key.expose()),
        KeyMaterial::Hash(hash) => hash.clone(),
    }
}

fn key_draft(
    declared: &DeclaredKey,
    hash: KeyHash,
    current: Option<&ApiKey>,
    tenant_id: Uuid,
    keys: &Keys,
) -> ApiKey {
    let hint = match (&declared.material, &declared.hint, current) {
        (KeyMaterial::Plain(key), ..) => keys.hint(key.expose()),
        (KeyMaterial::Hash(_), Some(hint), _) => hint.clone(),
        // A hash does not show its key's end; what was known of it before still holds.
        (KeyMaterial::Hash(_), None, Some(current)) if current.hash == hash => current.hint.clone(),
        (KeyMaterial::Hash(_), None, _) => String::new(),
    };
    let replaced_by = current
        .filter(|current| current.hash == hash)
        .and_then(|current| current.replaced_by);
    let settings = declared.settings.clone();
    let Stamp {
        id,
        managed_by,
        created_at,
        updated_at,
        version,
    } = Stamp::draft();
    ApiKey {
        id,
        tenant_id,
        name: settings.name,
        hash,
        hint,
        rate_limit: settings.rate_limit,
        expires_at: settings.expires_at,
        revoked_at: None,
        replaced_by,
        managed_by,
        created_at,
        updated_at,
        version,
    }
}
