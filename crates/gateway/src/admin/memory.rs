//! A configuration in memory with the repository's rules, for tests.

use std::sync::{Arc, Mutex};

use uuid::Uuid;

use super::Configuration;
use crate::keys::Keys;
use crate::model::read::Object;
use crate::model::{Audit, Change, Delta, Entity, State};
use crate::repository::{AuditQuery, Commit, CommitError};

pub(crate) struct Memory {
    state: Mutex<Arc<State>>,
    audit: Mutex<Vec<Audit>>,
    keys: Keys,
    /// What the next commits answer instead of being applied.
    pub(crate) failures: Mutex<Vec<CommitError>>,
    /// What another node writes just before each of the next commits.
    pub(crate) rivals: Mutex<Vec<Change>>,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            audit: Mutex::default(),
            keys: Keys::new(b"pepper"),
            failures: Mutex::default(),
            rivals: Mutex::default(),
        }
    }

    pub(crate) fn audit_log(&self) -> Vec<Audit> {
        self.audit.lock().unwrap().clone()
    }

    fn apply(&self, commit: Commit) -> Result<Arc<State>, CommitError> {
        if let Some(failure) = self.failures.lock().unwrap().pop() {
            return Err(failure);
        }
        let mut state = self.state.lock().unwrap();
        if let Some(change) = self.rivals.lock().unwrap().pop() {
            let mut next = State::clone(&state);
            next.apply(Delta {
                revision: state.revision + 1,
                changes: vec![change],
            });
            *state = Arc::new(next);
        }
        for (entity, id, version) in &commit.expect {
            match version_of(&state, *entity, *id) {
                Some(current) if current == *version => {}
                Some(_) => return Err(CommitError::VersionMismatch(*entity, *id)),
                None => return Err(CommitError::NotFound(*entity, *id)),
            }
        }
        let mut next = State::clone(&state);
        for change in commit.changes {
            check(&next, &change)?;
            let revision = state.revision + 1;
            next.apply(Delta {
                revision,
                changes: vec![change],
            });
        }
        *state = Arc::new(next);
        self.audit.lock().unwrap().extend(commit.audit);
        Ok(Arc::clone(&state))
    }
}

fn version_of(state: &State, entity: Entity, id: Uuid) -> Option<i64> {
    match entity {
        Entity::Tenant => state.tenants.get(&id).map(|object| object.version),
        Entity::Key => state.keys.get(&id).map(|object| object.version),
        Entity::Route => state.routes.get(&id).map(|object| object.version),
        Entity::Tiers => None,
    }
}

fn check(state: &State, change: &Change) -> Result<(), CommitError> {
    fn put<O: Object>(state: &State, object: &O) -> Result<(), CommitError> {
        let stamp = object.stamp();
        let before = O::all(state)
            .get(&stamp.id)
            .map_or(0, |before| before.stamp().version);
        if before + 1 == stamp.version {
            Ok(())
        } else {
            Err(CommitError::VersionMismatch(O::ENTITY, stamp.id))
        }
    }
    let owner = |id: Uuid| {
        state
            .tenants
            .get(&id)
            .map(|_| ())
            .ok_or(CommitError::NotFound(Entity::Tenant, id))
    };
    match change {
        Change::PutTenant(tenant) => {
            put(state, tenant)?;
            let mut others = state.tenants.values().filter(|other| other.id != tenant.id);
            match others.find(|other| other.name == tenant.name) {
                Some(_) => Err(CommitError::NameTaken(tenant.name.clone())),
                None => Ok(()),
            }
        }
        Change::PutKey(key) => {
            put(state, key)?;
            owner(key.tenant_id)?;
            let mut others = state
                .keys
                .values()
                .filter(|other| other.id != key.id && other.revoked_at.is_none());
            if others.any(|other| other.hash == key.hash) {
                Err(CommitError::KeyTaken)
            } else {
                Ok(())
            }
        }
        Change::PutRoute(route) => {
            put(state, route)?;
            route.tenant_id.map_or(Ok(()), owner)
        }
        Change::DeleteTenant(_)
        | Change::DeleteKey(_)
        | Change::DeleteRoute(_)
        | Change::PutTiers(_) => Ok(()),
    }
}

impl Configuration for Memory {
    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.lock().unwrap())
    }

    async fn refresh(&self) -> Result<(), CommitError> {
        Ok(())
    }

    async fn commit(&self, commit: Commit) -> Result<Arc<State>, CommitError> {
        self.apply(commit)
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<Audit>, CommitError> {
        let mut entries = self.audit_log();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.id));
        entries.retain(|entry| {
            query.before.is_none_or(|before| entry.id < before)
                && query.entity.is_none_or(|entity| entry.entity == entity)
                && query.entity_id.is_none_or(|id| entry.entity_id == id)
                && (query.tenant_id.is_none() || entry.tenant_id == query.tenant_id)
        });
        entries.truncate(query.limit as usize);
        Ok(entries)
    }

    fn keys(&self) -> &Keys {
        &self.keys
    }
}
