//! What a document would change, for people to read.

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::model::Entity;

/// The changes, by kind. All lists empty: nothing to do.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Diff {
    /// What is made.
    pub create: Vec<Entry>,
    /// What is changed in place.
    pub update: Vec<Entry>,
    /// What is deleted, a deleted tenant's keys and routes included.
    pub delete: Vec<Entry>,
}

/// One object that changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its kind.
    pub entity: Entity,
    /// Its id; nil for the tiers. An object to be made gets another one each time that is planned.
    pub id: Uuid,
    /// What people call it: the name, or method and path.
    pub name: String,
    /// The name of its tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// What becomes of its members, for a change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
}

impl Entry {
    /// Whether the declarative file lets go of a tenant that stays; see [`super::Scope::File`].
    pub(super) fn is_handed_over(&self) -> bool {
        let to_the_api = |change: &FieldChange| change.field == "managedBy" && change.to == "api";
        self.entity == Entity::Tenant && self.changes.iter().any(to_the_api)
    }
}

/// One member that changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldChange {
    /// Its name. `hash` stands without values.
    pub field: String,
    /// Before.
    pub from: Value,
    /// After.
    pub to: Value,
}

impl FieldChange {
    /// Of a member whose values are nobody's to see.
    pub(super) fn unshown(field: &str) -> Self {
        Self {
            field: field.to_owned(),
            from: Value::Null,
            to: Value::Null,
        }
    }
}

impl Diff {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.create.is_empty() && self.update.is_empty() && self.delete.is_empty()
    }
}

/// The members that differ between two public forms, except those that change with every change.
pub(super) fn fields(before: &Value, after: &Value) -> Vec<FieldChange> {
    const ALWAYS: [&str; 2] = ["updatedAt", "version"];
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return Vec::new();
    };
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let value = |members: &serde_json::Map<String, Value>, name| {
        members.get(name).cloned().unwrap_or_default()
    };
    names
        .into_iter()
        .filter(|name| !ALWAYS.contains(&name.as_str()) && before.get(*name) != after.get(*name))
        .map(|name| FieldChange {
            field: name.clone(),
            from: value(before, name),
            to: value(after, name),
        })
        .collect()
}
