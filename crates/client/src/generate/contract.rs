//! What callers need to know of a document: lines of services, their methods, and the types these speak of.

use std::collections::{BTreeMap, BTreeSet};

use semver::Version;
use serde_json::Value;

use super::GenerateError;
use super::hash;
use super::shape::{Shape, text};

#[derive(Debug)]
pub(super) struct Contract {
    pub(super) hash: String,
    /// By name and line, as `users@1`.
    pub(super) services: BTreeMap<(String, String), Service>,
    /// Those that methods speak of, by their name in `components/schemas`.
    pub(super) types: BTreeMap<String, Definition>,
}

/// The compatible versions of a service.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) latest: Version,
    pub(super) methods: BTreeMap<String, Method>,
}

#[derive(Debug)]
pub(super) struct Method {
    /// Of which this is.
    pub(super) version: Version,
    /// By which it is called: `users@1/find`.
    pub(super) called: String,
    pub(super) place: String,
    pub(super) doc: String,
    pub(super) input: Shape,
    /// Of a stream, an item.
    pub(super) output: Shape,
    pub(super) is_stream: bool,
    pub(super) is_idempotent: bool,
    /// The codes of its problems.
    pub(super) codes: BTreeSet<String>,
}

#[derive(Debug)]
pub(super) struct Definition {
    pub(super) shape: Shape,
    pub(super) doc: String,
}

impl Contract {
    pub(super) fn read(document: &Value) -> Result<Self, GenerateError> {
        let version = document["openapi"].as_str().unwrap_or_default();
        if !version.starts_with("3.1.") {
            let reason = format!("expected OpenAPI 3.1, found {version:?}");
            return Err(GenerateError::at("#/openapi", reason));
        }
        let Some(paths) = document["paths"].as_object() else {
            return Err(GenerateError::at("#/paths", "there are no paths"));
        };
        let mut services: BTreeMap<_, Service> = BTreeMap::new();
        for (path, item) in paths {
            let Some(full_name) = path.strip_prefix("/rpc/") else {
                continue;
            };
            let place = format!("#/paths/{}", pointer(path));
            let (name, version, method) = split(full_name).ok_or_else(|| {
                GenerateError::at(&place, "expected a path as `/rpc/users@1.0.0/find`")
            })?;
            let line = line(&version);
            let read = Method::read(
                &item["post"],
                format!("{name}@{line}/{method}"),
                &version,
                format!("{place}/post"),
            )?;
            let service = services
                .entry((name.to_owned(), line))
                .or_insert_with(|| Service {
                    latest: version.clone(),
                    methods: BTreeMap::new(),
                });
            service.latest = version.max(service.latest.clone());
            let known = service.methods.get(method);
            if known.is_none_or(|known| known.version < read.version) {
                service.methods.insert(method.to_owned(), read);
            }
        }
        let methods = services
            .values()
            .flat_map(|service| service.methods.values());
        let types = types(methods, &document["components"]["schemas"])?;
        Ok(Self {
            hash: hash::contract(document),
            services,
            types,
        })
    }

    /// What a name stands for, through names that stand for names.
    pub(super) fn resolved<'a>(&'a self, shape: &'a Shape) -> &'a Shape {
        let mut shape = shape;
        for _ in 0..8 {
            match shape {
                Shape::Named(name) => shape = &self.types[name].shape,
                _ => break,
            }
        }
        shape
    }
}

impl Method {
    fn read(
        operation: &Value,
        called: String,
        version: &Version,
        place: String,
    ) -> Result<Self, GenerateError> {
        if !operation.is_object() {
            return Err(GenerateError::at(&place, "a method is called by POST"));
        }
        let input_place = format!("{place}/requestBody/content/application~1json/schema");
        let input = &operation["requestBody"]["content"]["application/json"]["schema"];
        let input = match input {
            Value::Null => {
                return Err(GenerateError::at(
                    &input_place,
                    "there is no schema of the input",
                ));
            }
            input => Shape::read(input, &input_place)?,
        };
        let content_place = format!("{place}/responses/200/content");
        let content = &operation["responses"]["200"]["content"];
        let (kind, is_stream) = match (
            content.get("application/json"),
            content.get("text/event-stream"),
        ) {
            (Some(_), None) => ("application/json", false),
            (None, Some(_)) => ("text/event-stream", true),
            _ => {
                return Err(GenerateError::at(
                    &content_place,
                    "expected either JSON or `text/event-stream`",
                ));
            }
        };
        let schema = &content[kind]["schema"];
        if schema.is_null() {
            return Err(GenerateError::at(
                &content_place,
                "there is no schema of the output",
            ));
        }
        let output = Shape::read(schema, &format!("{content_place}/{}/schema", pointer(kind)))?;
        let mut codes = BTreeSet::new();
        for (status, response) in operation["responses"].as_object().into_iter().flatten() {
            let place = format!("{place}/responses/{status}");
            if status != "200" {
                read_codes(response, &place, &mut codes)?;
            }
        }
        Ok(Self {
            version: version.clone(),
            called,
            place,
            doc: text(operation, "description"),
            input,
            output,
            is_stream,
            is_idempotent: operation["x-idempotent"] == true,
            codes,
        })
    }
}

/// A problem's schema names its codes as the values that its member `code` may have.
fn read_codes(
    response: &Value,
    place: &str,
    codes: &mut BTreeSet<String>,
) -> Result<(), GenerateError> {
    let schema = &response["content"]["application/problem+json"]["schema"];
    let parts = schema["allOf"].as_array().into_iter().flatten();
    let named = parts.filter_map(|part| part["properties"]["code"]["enum"].as_array());
    let before = codes.len();
    let mut count = 0;
    for code in named.flatten().filter_map(Value::as_str) {
        codes.insert(code.to_owned());
        count += 1;
    }
    if count == 0 && codes.len() == before {
        return Err(GenerateError::at(
            place,
            "it does not name the codes of its problems",
        ));
    }
    Ok(())
}

/// All that the methods speak of, and what that speaks of.
fn types<'a>(
    methods: impl Iterator<Item = &'a Method>,
    schemas: &Value,
) -> Result<BTreeMap<String, Definition>, GenerateError> {
    let mut wanted = Vec::new();
    for method in methods {
        let mut see = |name: &str| wanted.push((name.to_owned(), method.place.clone()));
        method.input.each_name(&mut see);
        method.output.each_name(&mut see);
    }
    let mut types = BTreeMap::new();
    while let Some((name, from)) = wanted.pop() {
        if types.contains_key(&name) {
            continue;
        }
        let place = format!("#/components/schemas/{}", pointer(&name));
        let Some(schema) = schemas.get(&name) else {
            return Err(GenerateError::at(&from, format!("{place} is not there")));
        };
        let shape = Shape::read(schema, &place)?;
        shape.each_name(&mut |name| wanted.push((name.to_owned(), place.clone())));
        let doc = text(schema, "description");
        types.insert(name, Definition { shape, doc });
    }
    Ok(types)
}

fn split(full_name: &str) -> Option<(&str, Version, &str)> {
    let (service, method) = full_name.split_once('/')?;
    let (name, version) = service.split_once('@')?;
    Some((name, Version::parse(version).ok()?, method))
}

/// The versions that callers of this one may meet: as far as semantic versions promise to be compatible.
fn line(version: &Version) -> String {
    match version {
        version if !version.pre.is_empty() => version.to_string(),
        Version {
            major: 0, minor, ..
        } => format!("0.{minor}"),
        Version { major, .. } => major.to_string(),
    }
}

fn pointer(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compatible_versions_are_one_line() {
        for (version, expected) in [
            ("1.2.3", "1"),
            ("0.3.1", "0.3"),
            ("2.0.0-rc.1", "2.0.0-rc.1"),
        ] {
            assert_eq!(line(&Version::parse(version).unwrap()), expected);
        }
    }
}
