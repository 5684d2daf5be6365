//! What a JSON Schema says of the keys and types in a value, without a value.

use std::collections::BTreeSet;
use std::ops::BitOr;

use serde_json::{Map, Value};

use crate::path::Path;
use crate::problem::Problems;

/// The kinds of value that a schema lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    pub(super) const NULL: Self = Self(1);
    pub(super) const BOOLEAN: Self = Self(2);
    pub(super) const INTEGER: Self = Self(4);
    pub(super) const NUMBER: Self = Self(8);
    pub(super) const STRING: Self = Self(16);
    pub(super) const ARRAY: Self = Self(32);
    pub(super) const OBJECT: Self = Self(64);
    const NONE: Self = Self(0);
    const ANY: Self = Self(127);

    /// Whether any of these is let in.
    pub(super) fn contains(self, types: Self) -> bool {
        self.0 & types.0 != 0
    }

    /// Whether the schema says anything about it.
    pub(super) fn is_known(self) -> bool {
        self != Self::ANY
    }

    pub(super) fn without(self, types: Self) -> Self {
        Self(self.0 & !types.0)
    }

    fn named(name: &str) -> Self {
        match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "integer" => Self::INTEGER,
            "number" => Self::NUMBER,
            "string" => Self::STRING,
            "array" => Self::ARRAY,
            "object" => Self::OBJECT,
            _ => Self::ANY,
        }
    }

    /// The kind of this value.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) if crate::parse::whole(number).is_some() => {
                Self::INTEGER | Self::NUMBER
            }
            Value::Number(_) => Self::NUMBER,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }
}

impl BitOr for Types {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A schema and what it refers to.
pub(super) struct Definitions<'s> {
    root: &'s Value,
}

impl<'s> Definitions<'s> {
    pub(super) fn of(root: &'s Value) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &'s Value {
        self.root
    }

    /// The schema itself, however many references lead to it. `None` where they lead in a circle or nowhere.
    pub(super) fn resolve(&self, schema: &'s Value) -> Option<&'s Map<String, Value>> {
        const MAX: usize = 16;
        let mut schema = schema;
        for _ in 0..MAX {
            let object = schema.as_object()?;
            let Some(Value::String(reference)) = object.get("$ref") else {
                return Some(object);
            };
            schema = match reference.strip_prefix('#') {
                Some("") => self.root,
                Some(pointer) => self.root.pointer(pointer)?,
                None => return None,
            };
        }
        None
    }

    /// What a schema that is one of several may be.
    pub(super) fn branches(schema: &'s Map<String, Value>) -> Option<&'s Vec<Value>> {
        let branches = schema.get("oneOf").or_else(|| schema.get("anyOf"));
        branches.and_then(Value::as_array)
    }

    pub(super) fn types(&self, schema: &'s Value) -> Types {
        self.types_to(schema, 0)
    }

    fn types_to(&self, schema: &'s Value, depth: usize) -> Types {
        const MAX: usize = 16;
        let Some(schema) = self.resolve(schema).filter(|_| depth < MAX) else {
            return Types::ANY;
        };
        if let Some(branches) = Self::branches(schema) {
            let each = branches
                .iter()
                .map(|branch| self.types_to(branch, depth + 1));
            return each.fold(Types::NONE, BitOr::bitor);
        }
        match schema.get("type") {
            Some(Value::String(name)) => Types::named(name),
            Some(Value::Array(names)) => names
                .iter()
                .filter_map(Value::as_str)
                .fold(Types::NONE, |types, name| types | Types::named(name)),
            _ => match schema.get("const") {
                Some(value) => Types::of(value),
                None => Types::ANY,
            },
        }
    }

    /// Notes every key that the schema knows, below the place where the problems stand, with defaults and secrets.
    pub(super) fn note(&self, schema: &'s Value, problems: &mut Problems) {
        problems.note(|ledger, here| {
            let mut found = Vec::new();
            self.walk(schema, here, &mut Vec::new(), &mut found);
            for Found { path, schema } in found {
                if self.holds_secrets(schema, 0) {
                    ledger.secrets.insert(path.clone());
                }
                if let Some(default) = schema.get("default") {
                    ledger.defaults.insert(path.clone(), default.clone());
                }
                if has_keys(schema) {
                    let names: BTreeSet<&str> = properties(schema).map(|(name, _)| name).collect();
                    ledger.keys(&path, &Vec::from_iter(names));
                    if takes_any_key(schema) {
                        ledger.any_key(&path);
                    }
                }
            }
        });
    }

    /// Whether the value is secret, or a list or map of secrets: one that lost its brackets is not shown either.
    fn holds_secrets(&self, schema: &'s Map<String, Value>, depth: usize) -> bool {
        const MAX: usize = 4;
        let inner = ["items", "additionalProperties"]
            .iter()
            .filter_map(|word| schema.get(*word))
            .chain(Self::branches(schema).into_iter().flatten());
        let mut inner = inner.filter_map(|inner| self.resolve(inner));
        schema
            .get("format")
            .is_some_and(|format| format == "password")
            || (depth < MAX && inner.any(|inner| self.holds_secrets(inner, depth + 1)))
    }

    fn walk(
        &self,
        outer: &'s Value,
        path: &Path,
        way: &mut Vec<&'s Map<String, Value>>,
        found: &mut Vec<Found<'s>>,
    ) {
        // A reference may have a default beside it.
        if let Some(beside) = outer.as_object().filter(|outer| outer.contains_key("$ref")) {
            let path = path.clone();
            found.push(Found {
                path,
                schema: beside,
            });
        }
        let Some(schema) = self.resolve(outer) else {
            return;
        };
        // A type within itself: deeper keys are known once there is a value.
        if way.iter().any(|above| std::ptr::eq(*above, schema)) {
            return;
        }
        way.push(schema);
        found.push(Found {
            path: path.clone(),
            schema,
        });
        for (name, property) in properties(schema) {
            self.walk(property, &path.then(name.to_owned()), way, found);
        }
        for branch in Self::branches(schema).into_iter().flatten() {
            self.walk(branch, path, way, found);
        }
        way.pop();
    }
}

struct Found<'s> {
    path: Path,
    schema: &'s Map<String, Value>,
}

pub(super) fn properties(schema: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .map(|(name, property)| (name.as_str(), property))
}

fn has_keys(schema: &Map<String, Value>) -> bool {
    schema.contains_key("properties") || schema.get("type").is_some_and(|kind| kind == "object")
}

/// Whether keys that are not named are let in: a map, or a flattened one.
pub(super) fn takes_any_key(schema: &Map<String, Value>) -> bool {
    let others = schema.get("additionalProperties");
    others.is_some_and(|others| *others != Value::Bool(false))
}
