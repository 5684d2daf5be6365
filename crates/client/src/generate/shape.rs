//! What a JSON Schema says about the form of a value: what types can express, without the bounds that only a service checks.

use serde_json::{Map, Value};

use super::GenerateError;

/// The form of a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// Any JSON, because the schema says so.
    Any,
    Null,
    Boolean,
    Text,
    /// With its format, as `uint32`.
    Integer(Option<String>),
    Number(Option<String>),
    /// One of these scalars.
    Literals(Vec<Value>),
    List(Box<Shape>),
    Tuple(Vec<Shape>),
    /// An object whose members have names that nobody knows before.
    Map(Box<Shape>),
    Object(Object),
    /// One of these.
    OneOf(Vec<Shape>),
    /// All of these at once: objects, whose members go together.
    All(Vec<Shape>),
    /// What `components/schemas` has under this name.
    Named(String),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Object {
    /// In the order of their names.
    pub(super) members: Vec<Member>,
    /// Of what form members are that have other names, if there may be such.
    pub(super) others: Option<Box<Shape>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) shape: Shape,
    pub(super) is_required: bool,
    pub(super) doc: String,
}

/// Keywords that say nothing about the form.
const ANNOTATIONS: &[&str] = &[
    "title",
    "description",
    "default",
    "examples",
    "example",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$comment",
];
/// Keywords that bound a value within its form; the service checks them.
const BOUNDS: &[&str] = &[
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "propertyNames",
    "format",
    "contentEncoding",
    "contentMediaType",
    "unevaluatedProperties",
];
const OBJECT: &[&str] = &[
    "properties",
    "required",
    "additionalProperties",
    "patternProperties",
];
const LIST: &[&str] = &["items", "prefixItems"];
const WHOLE: &[&str] = &["$ref", "const", "enum", "oneOf", "anyOf", "allOf", "type"];

impl Shape {
    /// Reads the schema at this place.
    pub(super) fn read(schema: &Value, place: &str) -> Result<Self, GenerateError> {
        let wrong = |reason: &str| Err(GenerateError::at(place, reason));
        let schema = match schema {
            Value::Bool(true) => return Ok(Self::Any),
            Value::Bool(false) => return wrong("the schema `false` has no value"),
            Value::Object(schema) => schema,
            _ => return wrong("a schema is expected"),
        };
        for keyword in schema.keys() {
            let known = [ANNOTATIONS, BOUNDS, OBJECT, LIST, WHOLE]
                .iter()
                .any(|list| list.contains(&keyword.as_str()));
            if !known && !keyword.starts_with("x-") {
                return wrong(&format!(
                    "the keyword `{keyword}` cannot be expressed by types"
                ));
            }
        }
        let has = |keywords: &[&str]| keywords.iter().any(|keyword| schema.contains_key(*keyword));
        let mut parts = Vec::new();
        if let Some(reference) = schema.get("$ref") {
            parts.push(Self::reference(reference, place)?);
        }
        if let Some(value) = schema.get("const") {
            parts.push(Self::literals(
                std::slice::from_ref(value),
                &format!("{place}/const"),
            )?);
        }
        if let Some(values) = schema.get("enum") {
            parts.push(Self::literals(
                list(values, place)?,
                &format!("{place}/enum"),
            )?);
        }
        for keyword in ["oneOf", "anyOf"] {
            if let Some(schemas) = schema.get(keyword) {
                parts.push(one_of(Self::read_all(
                    schemas,
                    &format!("{place}/{keyword}"),
                )?));
            }
        }
        if let Some(schemas) = schema.get("allOf") {
            parts.extend(Self::read_all(schemas, &format!("{place}/allOf"))?);
        }
        // Beside a reference or alternatives the type alone repeats what they say.
        if parts.is_empty() || has(OBJECT) || has(LIST) {
            parts.splice(0..0, Self::typed(schema, place)?);
        }
        match parts.len() {
            0 if has(BOUNDS) => {
                wrong("it is said what a value must not be, and not what it is; give it a type")
            }
            0 => Ok(Self::Any),
            1 => Ok(parts.swap_remove(0)),
            _ => Ok(Self::All(parts)),
        }
    }

    /// This without `null`, and whether `null` was there. `None`: nothing but `null`.
    pub(super) fn without_null(&self) -> (Option<Self>, bool) {
        match self {
            Self::Null => (None, true),
            Self::Literals(values) if values.contains(&Value::Null) => {
                let rest: Vec<_> = values
                    .iter()
                    .filter(|value| !value.is_null())
                    .cloned()
                    .collect();
                ((!rest.is_empty()).then_some(Self::Literals(rest)), true)
            }
            Self::OneOf(shapes) => {
                let rest: Vec<_> = shapes
                    .iter()
                    .filter_map(|shape| shape.without_null().0)
                    .collect();
                let has_null = shapes.iter().any(|shape| shape.without_null().1);
                if has_null {
                    (Some(one_of(rest)), true)
                } else {
                    (Some(self.clone()), false)
                }
            }
            other => (Some(other.clone()), false),
        }
    }

    /// Calls `see` with every name that this refers to.
    pub(super) fn each_name(&self, see: &mut impl FnMut(&str)) {
        match self {
            Self::Named(name) => see(name),
            Self::List(shape) | Self::Map(shape) => shape.each_name(see),
            Self::Tuple(shapes) | Self::OneOf(shapes) | Self::All(shapes) => {
                for shape in shapes {
                    shape.each_name(see);
                }
            }
            Self::Object(object) => {
                object
                    .members
                    .iter()
                    .for_each(|member| member.shape.each_name(see));
                object.others.iter().for_each(|shape| shape.each_name(see));
            }
            _ => {}
        }
    }

    fn read_all(schemas: &Value, place: &str) -> Result<Vec<Self>, GenerateError> {
        let schemas = list(schemas, place)?.iter().enumerate();
        schemas
            .map(|(number, schema)| Self::read(schema, &format!("{place}/{number}")))
            .collect()
    }

    fn reference(reference: &Value, place: &str) -> Result<Self, GenerateError> {
        let name = reference
            .as_str()
            .and_then(|text| text.strip_prefix("#/components/schemas/"));
        match name {
            Some(name) if !name.contains('/') => {
                Ok(Self::Named(name.replace("~1", "/").replace("~0", "~")))
            }
            _ => Err(GenerateError::at(
                place,
                format!("{reference} leads out of `#/components/schemas/`"),
            )),
        }
    }

    fn literals(values: &[Value], place: &str) -> Result<Self, GenerateError> {
        if values.is_empty()
            || values
                .iter()
                .any(|value| value.is_array() || value.is_object())
        {
            return Err(GenerateError::at(
                place,
                "literals are texts, numbers, booleans and null",
            ));
        }
        Ok(match values {
            [Value::Null] => Self::Null,
            _ => Self::Literals(values.to_vec()),
        })
    }

    /// What `type` and the keywords of objects and lists say.
    fn typed(schema: &Map<String, Value>, place: &str) -> Result<Option<Self>, GenerateError> {
        let types: Vec<&Value> = match schema.get("type") {
            Some(Value::Array(types)) => types.iter().collect(),
            Some(one) => vec![one],
            None => {
                let has = |keywords: &[&str]| {
                    keywords.iter().any(|keyword| schema.contains_key(*keyword))
                };
                return match (has(OBJECT), has(LIST)) {
                    (true, false) => Self::object(schema, place).map(Some),
                    (false, true) => Self::list(schema, place).map(Some),
                    (false, false) => Ok(None),
                    (true, true) => Err(GenerateError::at(
                        place,
                        "both a list and an object; give it a type",
                    )),
                };
            }
        };
        let format = schema
            .get("format")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let shapes = types.into_iter().map(|name| match name.as_str() {
            Some("null") => Ok(Self::Null),
            Some("boolean") => Ok(Self::Boolean),
            Some("string") => Ok(Self::Text),
            Some("integer") => Ok(Self::Integer(format.clone())),
            Some("number") => Ok(Self::Number(format.clone())),
            Some("array") => Self::list(schema, place),
            Some("object") => Self::object(schema, place),
            _ => Err(GenerateError::at(
                &format!("{place}/type"),
                format!("{name} is no type"),
            )),
        });
        Ok(Some(one_of(shapes.collect::<Result<_, _>>()?)))
    }

    fn list(schema: &Map<String, Value>, place: &str) -> Result<Self, GenerateError> {
        let Some(first) = schema.get("prefixItems") else {
            return match schema.get("items") {
                Some(items) => Ok(Self::List(Box::new(Self::read(
                    items,
                    &format!("{place}/items"),
                )?))),
                None => Ok(Self::List(Box::new(Self::Any))),
            };
        };
        let items = Self::read_all(first, &format!("{place}/prefixItems"))?;
        let count = Some(&Value::from(items.len()));
        let is_closed =
            schema.get("items") == Some(&Value::Bool(false)) || schema.get("maxItems") == count;
        if is_closed && schema.get("minItems") == count {
            Ok(Self::Tuple(items))
        } else {
            Err(GenerateError::at(
                place,
                "a tuple needs `minItems` and `maxItems` of its length",
            ))
        }
    }

    fn object(schema: &Map<String, Value>, place: &str) -> Result<Self, GenerateError> {
        let required = match schema.get("required") {
            Some(names) => list(names, place)?,
            None => &[],
        };
        let mut members = Vec::new();
        if let Some(properties) = schema.get("properties") {
            let Some(properties) = properties.as_object() else {
                return Err(GenerateError::at(place, "`properties` is an object"));
            };
            for (name, schema) in properties {
                let pointer = name.replace('~', "~0").replace('/', "~1");
                members.push(Member {
                    name: name.clone(),
                    shape: Self::read(schema, &format!("{place}/properties/{pointer}"))?,
                    is_required: required.iter().any(|one| one == name),
                    doc: text(schema, "description"),
                });
            }
        }
        members.sort_by(|one, other| one.name.cmp(&other.name));
        if let Some(unknown) = required
            .iter()
            .find(|name| members.iter().all(|member| **name != *member.name))
        {
            return Err(GenerateError::at(
                place,
                format!("{unknown} is required and has no schema"),
            ));
        }
        let additional = schema.get("additionalProperties");
        let others = match (
            schema.get("patternProperties").and_then(Value::as_object),
            additional,
        ) {
            (None, None | Some(Value::Bool(false))) => None,
            (None, Some(schema)) => Some(Self::read(
                schema,
                &format!("{place}/additionalProperties"),
            )?),
            (Some(patterns), None | Some(Value::Bool(false)))
                if members.is_empty() && patterns.len() == 1 =>
            {
                let (pattern, schema) = patterns.iter().next().expect("there is one");
                Some(Self::read(
                    schema,
                    &format!("{place}/patternProperties/{pattern}"),
                )?)
            }
            (Some(_), _) => {
                return Err(GenerateError::at(
                    place,
                    "members by pattern beside others cannot be expressed by types",
                ));
            }
        };
        Ok(match others {
            Some(others) if members.is_empty() => Self::Map(Box::new(others)),
            others => Self::Object(Object {
                members,
                others: others.map(Box::new),
            }),
        })
    }
}

/// One of these, each told once; literals together.
pub(super) fn one_of(shapes: Vec<Shape>) -> Shape {
    let mut flat: Vec<Shape> = Vec::new();
    for shape in shapes {
        let inner = match shape {
            Shape::OneOf(inner) => inner,
            other => vec![other],
        };
        for shape in inner {
            if flat.contains(&shape) {
                continue;
            }
            let earlier = flat.iter_mut().find_map(|known| match known {
                Shape::Literals(values) => Some(values),
                _ => None,
            });
            match (shape, earlier) {
                (Shape::Literals(more), Some(values)) => values.extend(more),
                (shape, _) => flat.push(shape),
            }
        }
    }
    if flat.len() == 1 {
        flat.swap_remove(0)
    } else {
        Shape::OneOf(flat)
    }
}

pub(super) fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}

fn list<'a>(value: &'a Value, place: &str) -> Result<&'a [Value], GenerateError> {
    match value.as_array() {
        Some(list) => Ok(list),
        None => Err(GenerateError::at(place, "a list is expected")),
    }
}
