//! Collects changes together with their audit entries, so that neither can be written without the other.

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::model::read::Object;
use crate::model::{ApiKey, Audit, Change, Entity, Route, State, Tenant, Tiers};
use crate::repository::Commit;

/// On whose behalf, and when, something is changed.
#[derive(Debug, Clone)]
pub struct Author {
    /// `admin` for the Admin API, `file` for the declarative file.
    pub actor: &'static str,
    /// The request that asks for it.
    pub request_id: Option<String>,
    /// When.
    pub now: Timestamp,
}

/// Changes on their way to becoming one commit.
#[derive(Debug)]
pub struct ChangeSet<'a> {
    author: &'a Author,
    deletes: Vec<Change>,
    puts: Vec<Change>,
    expect: Vec<(Entity, Uuid, i64)>,
    audit: Vec<Audit>,
}

impl<'a> ChangeSet<'a> {
    /// Nothing yet.
    pub fn new(author: &'a Author) -> Self {
        Self {
            author,
            deletes: Vec::new(),
            puts: Vec::new(),
            expect: Vec::new(),
            audit: Vec::new(),
        }
    }

    /// Makes an object.
    pub fn create<O: Object>(&mut self, object: O) {
        self.note::<O>("create", &object, Value::Null, object.public());
        self.puts.push(object.put());
    }

    /// Replaces an object by its next version. `action` says what the audit log calls it, usually `update`.
    pub fn update<O: Object>(&mut self, action: &str, before: &O, after: O) {
        self.note::<O>(action, &after, before.public(), after.public());
        self.puts.push(after.put());
    }

    /// Deletes an object.
    pub fn delete<O: Object>(&mut self, object: &O) {
        let stamp = object.stamp();
        self.note::<O>("delete", object, object.public(), Value::Null);
        self.expect.push((O::ENTITY, stamp.id, stamp.version));
        self.deletes.push(O::delete(stamp.id));
    }

    /// Deletes a tenant. Its keys and routes go with it; each is named in the audit log.
    pub fn delete_tenant(&mut self, tenant: &Tenant, state: &State) {
        for key in sorted(state.keys.values().filter(|key| key.tenant_id == tenant.id)) {
            self.note::<ApiKey>("delete", key, key.public(), Value::Null);
        }
        for route in sorted(
            state
                .routes
                .values()
                .filter(|route| route.tenant_id == Some(tenant.id)),
        ) {
            self.note::<Route>("delete", route, route.public(), Value::Null);
        }
        self.delete(tenant);
    }

    /// Replaces the tiers.
    pub fn put_tiers(&mut self, before: &Tiers, after: &Tiers) {
        let json = |tiers| {
            serde_json::to_value(tiers).expect("tiers have string keys and whole numbers only")
        };
        self.push(
            "update",
            Entity::Tiers,
            Uuid::nil(),
            None,
            json(before),
            json(after),
        );
        self.puts.push(Change::PutTiers(after.clone()));
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.deletes.is_empty() && self.puts.is_empty()
    }

    /// Deletions come first: what they free (names, keys) can be taken by what follows.
    pub fn into_commit(self) -> Commit {
        let mut changes = self.deletes;
        changes.extend(self.puts);
        Commit {
            changes,
            expect: self.expect,
            audit: self.audit,
        }
    }

    fn note<O: Object>(&mut self, action: &str, object: &O, before: Value, after: Value) {
        self.push(
            action,
            O::ENTITY,
            object.stamp().id,
            object.tenant_id(),
            before,
            after,
        );
    }

    fn push(
        &mut self,
        action: &str,
        entity: Entity,
        entity_id: Uuid,
        tenant_id: Option<Uuid>,
        before: Value,
        after: Value,
    ) {
        self.audit.push(Audit {
            id: Uuid::now_v7(),
            at: self.author.now,
            actor: self.author.actor.to_owned(),
            action: action.to_owned(),
            entity,
            entity_id,
            tenant_id,
            before: before.into(),
            after: after.into(),
            request_id: self.author.request_id.clone(),
        });
    }
}

/// Oldest first.
pub(crate) fn sorted<'s, O: Object + 's>(
    objects: impl Iterator<Item = &'s std::sync::Arc<O>>,
) -> Vec<&'s std::sync::Arc<O>> {
    let mut objects: Vec<_> = objects.collect();
    objects.sort_unstable_by_key(|object| object.stamp().id);
    objects
}
