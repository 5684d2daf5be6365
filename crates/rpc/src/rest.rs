//! A method's place among paths, and the input that a path and a query make.

use http::Method as Verb;
use schemars::SchemaGenerator;
use serde_json::{Map, Number, Value};

use crate::method::Method;
use crate::problem::{FieldError, Problem};

/// What stands for every HTTP method. It is a word that HTTP allows as one, and a request that has it is one of the many.
pub(crate) fn any() -> Verb {
    Verb::from_bytes(b"*").expect("a star is among the characters of a token")
}

/// An HTTP method and a path with `{members}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    verb: Verb,
    path: &'static str,
}

impl Rest {
    pub(crate) fn new(verb: Verb, path: &'static str) -> Self {
        Self { verb, path }
    }

    /// The HTTP method.
    pub fn verb(&self) -> &Verb {
        &self.verb
    }

    /// The path, as `/users/{id}`.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// The members of the input that stand in the path.
    pub(crate) fn members(&self) -> impl Iterator<Item = &'static str> {
        in_braces(self.path).map(|member| member.trim_start_matches('*'))
    }

    /// Whether the input comes in the body.
    pub fn has_body(&self) -> bool {
        !matches!(self.verb, Verb::GET | Verb::DELETE)
    }
}

/// What stands in braces in a path or a tag.
pub(crate) fn in_braces(text: &'static str) -> impl Iterator<Item = &'static str> {
    let parts = text.split('{').skip(1);
    parts.map(|part| part.split('}').next().unwrap_or_default())
}

/// How the members of a method's input are written in a path or a query, where everything is text.
#[derive(Debug, Default)]
pub(crate) struct Members(Vec<Member>);

#[derive(Debug)]
struct Member {
    name: String,
    kind: Kind,
    is_required: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Number,
    Boolean,
    /// Repeated: `?tag=a&tag=b`.
    List(Scalar),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scalar {
    Text,
    Integer,
    Number,
    Boolean,
}

impl Members {
    /// Learns them from the input's JSON Schema.
    pub(crate) fn of(method: &Method) -> Self {
        let mut generator = SchemaGenerator::default();
        let schema = method.input_schema(&mut generator);
        let definitions = Value::Object(generator.definitions().clone());
        let schema = resolved(schema.as_value(), &definitions);
        let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
        let members = schema["properties"].as_object().into_iter().flatten();
        let members = members.map(|(name, schema)| Member {
            name: name.clone(),
            kind: kind(resolved(schema, &definitions), &definitions),
            is_required: required.iter().any(|one| one == name),
        });
        Self(members.collect())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|member| member.name.as_str())
    }

    pub(crate) fn is_required(&self, name: &str) -> bool {
        self.member(name).is_some_and(|member| member.is_required)
    }

    fn member(&self, name: &str) -> Option<&Member> {
        self.0.iter().find(|member| member.name == name)
    }

    /// The input that these texts make, over the members of a body. A name in the path wins, for it decided the route.
    pub(crate) fn input<'a>(
        &self,
        body: Map<String, Value>,
        query: impl Iterator<Item = (String, String)>,
        path: impl Iterator<Item = (&'a str, String)>,
    ) -> Result<Vec<u8>, Problem> {
        let mut input = body;
        let mut errors = Vec::new();
        let mut from_query: Map<String, Value> = Map::new();
        for (name, text) in query {
            let value = self.value(&name, &text, &mut errors);
            match (self.kind(&name), from_query.get_mut(&name)) {
                (Kind::List(_), Some(Value::Array(list))) => list.push(value),
                (Kind::List(_), _) => drop(from_query.insert(name, Value::Array(vec![value]))),
                (_, None) => drop(from_query.insert(name, value)),
                // Of two values somebody would take the one and somebody the other.
                (_, Some(_)) => errors.push(FieldError::new(name, "stands twice in the query")),
            }
        }
        input.extend(from_query);
        for (name, text) in path {
            let value = self.value(name, &text, &mut errors);
            input.insert(name.to_owned(), value);
        }
        if errors.is_empty() {
            Ok(Value::Object(input).to_string().into_bytes())
        } else {
            Err(Problem::invalid_input(errors))
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.member(name).is_some()
    }

    /// What is not known is text; the reader of the input says what it thinks of it.
    fn kind(&self, name: &str) -> Kind {
        self.member(name).map_or(Kind::Text, |member| member.kind)
    }

    fn value(&self, name: &str, text: &str, errors: &mut Vec<FieldError>) -> Value {
        let scalar = match self.kind(name) {
            Kind::Text => Scalar::Text,
            Kind::Integer => Scalar::Integer,
            Kind::Number => Scalar::Number,
            Kind::Boolean => Scalar::Boolean,
            Kind::List(scalar) => scalar,
        };
        let (value, expected) = match scalar {
            Scalar::Text => (Some(Value::from(text)), "a text"),
            Scalar::Boolean => (text.parse().ok().map(Value::Bool), "`true` or `false`"),
            Scalar::Integer => {
                let signed = text.parse::<i64>().map(Value::from).ok();
                (
                    signed.or_else(|| text.parse::<u64>().map(Value::from).ok()),
                    "a whole number",
                )
            }
            Scalar::Number => {
                let number = text.parse().ok().and_then(Number::from_f64);
                (number.map(Value::Number), "a number")
            }
        };
        value.unwrap_or_else(|| {
            errors.push(FieldError::new(
                name,
                format!("expected {expected}; found {text:?}"),
            ));
            Value::Null
        })
    }
}

fn resolved<'a>(schema: &'a Value, definitions: &'a Value) -> &'a Value {
    let mut schema = schema;
    // References to references; a cycle of them would be no schema.
    for _ in 0..8 {
        let Some(name) = schema["$ref"]
            .as_str()
            .and_then(|path| path.rsplit('/').next())
        else {
            break;
        };
        schema = &definitions[name];
    }
    schema
}

fn kind(schema: &Value, definitions: &Value) -> Kind {
    match named(schema) {
        Some("array") => {
            let items = resolved(&schema["items"], definitions);
            Kind::List(match named(items) {
                Some("integer") => Scalar::Integer,
                Some("number") => Scalar::Number,
                Some("boolean") => Scalar::Boolean,
                _ => Scalar::Text,
            })
        }
        Some("integer") => Kind::Integer,
        Some("number") => Kind::Number,
        Some("boolean") => Kind::Boolean,
        Some(_) => Kind::Text,
        // An optional reference: `anyOf` of it and `null`.
        None => {
            let some = schema["anyOf"].as_array().into_iter().flatten();
            let mut kinds = some
                .map(|one| resolved(one, definitions))
                .filter(|one| named(one) != Some("null"));
            kinds
                .next()
                .map_or(Kind::Text, |one| kind(one, definitions))
        }
    }
}

/// The schema's type; of an optional one, the type that it has when it is there.
fn named(schema: &Value) -> Option<&str> {
    match &schema["type"] {
        Value::String(name) => Some(name),
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .find(|name| *name != "null"),
        _ => None,
    }
}
