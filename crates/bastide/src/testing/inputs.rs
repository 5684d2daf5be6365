//! Inputs of a method, made of its schema: the ids of planted rows where an id is wanted, a text that they hold where a text is.

use bastide_repo::{Timestamp, Value};
use bastide_rpc::Method;
use schemars::SchemaGenerator;
use serde_json::{Map, Value as Json, json};

use super::fixtures::{COMMON, Planted};

/// How deep an input is made up.
const DEPTH: usize = 6;

/// Inputs to try, each once. Each planted id is asked for, with what may be left out and without.
pub(super) fn of(method: &Method, planted: &Planted) -> Vec<Json> {
    let mut generator = SchemaGenerator::default();
    let (input, _) = method.schemas(&mut generator);
    let definitions = Json::Object(generator.take_definitions(true));
    let schema = Json::from(input);
    let ids: Vec<_> = planted.rows.iter().map(|row| id_text(&row.id)).collect();
    let mut inputs = Vec::new();
    for id in ids {
        for is_whole in [false, true] {
            let maker = Maker {
                definitions: &definitions,
                id: &id,
                is_whole,
            };
            let input = maker.make(&schema, DEPTH);
            if !inputs.contains(&input) {
                inputs.push(input);
            }
        }
    }
    inputs
}

/// An id as it stands in JSON.
fn id_text(id: &Value) -> Json {
    match id {
        Value::Uuid(id) => json!(id.to_string()),
        Value::Text(id) => json!(id),
        Value::Int(id) => json!(id),
        _ => Json::Null,
    }
}

struct Maker<'a> {
    definitions: &'a Json,
    id: &'a Json,
    /// Whether members that may be left out are given.
    is_whole: bool,
}

impl Maker<'_> {
    fn make(&self, schema: &Json, depth: usize) -> Json {
        if depth == 0 {
            return Json::Null;
        }
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.rsplit('/').next().unwrap_or_default();
            return self.make(&self.definitions[name], depth - 1);
        }
        if let Some(one) = schema.get("const") {
            return one.clone();
        }
        if let Some(one) = schema["enum"].get(0) {
            return one.clone();
        }
        for choice in ["oneOf", "anyOf", "allOf"] {
            let choices = schema[choice].as_array().into_iter().flatten();
            let mut choices = choices.filter(|choice| choice["type"] != "null");
            if let Some(one) = choices.next() {
                return self.make(one, depth - 1);
            }
        }
        let kind = match &schema["type"] {
            Json::Array(kinds) => kinds.iter().find(|kind| *kind != "null"),
            kind => Some(kind),
        };
        match kind.and_then(Json::as_str) {
            Some("string") => self.text(schema),
            Some("integer" | "number") => match (self.id, schema.get("minimum")) {
                (Json::Number(id), _) => json!(id),
                (_, Some(least)) if least.as_f64() > Some(0.0) => least.clone(),
                _ => json!(0),
            },
            Some("boolean") => json!(true),
            Some("array") => match schema.get("items") {
                Some(items) => json!([self.make(items, depth - 1)]),
                None => json!([]),
            },
            Some("object") => self.object(schema, depth),
            _ => Json::Null,
        }
    }

    fn text(&self, schema: &Json) -> Json {
        match (schema["format"].as_str(), self.id) {
            (Some("uuid"), Json::String(id)) => json!(id),
            (Some("uuid"), _) => json!("00000000-0000-0000-0000-000000000000"),
            (Some("date-time"), _) => json!(Timestamp::now().to_string()),
            _ => json!(COMMON),
        }
    }

    fn object(&self, schema: &Json, depth: usize) -> Json {
        let required = schema["required"].as_array();
        let is_required =
            |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
        let mut object = Map::new();
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            if self.is_whole || is_required(name) {
                object.insert(name.clone(), self.make(member, depth - 1));
            }
        }
        Json::Object(object)
    }
}
