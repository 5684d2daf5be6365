//! The description is held against the form that `OpenAPI` 3.1 gives its objects: which members each may have, which it must
//! have, and what stands in them.

use bastide_rpc::{Registry, openapi};
use serde_json::{Value, json};

use crate::support::{Ran, users};

/// What an object of the format may have (with `!`: must), each with the form of its value.
type Form = &'static [(&'static str, Of)];

#[derive(Clone, Copy)]
enum Of {
    Text,
    Flag,
    Any,
    Object(Form),
    List(&'static Of),
    /// Names that somebody chose, each with this.
    Map(&'static Of),
    Schema,
}

const DOCUMENT: Form = &[
    ("openapi!", Of::Text),
    ("info!", Of::Object(INFO)),
    ("jsonSchemaDialect", Of::Text),
    ("servers", Of::Any),
    ("paths!", Of::Map(&Of::Object(PATH))),
    ("components", Of::Object(COMPONENTS)),
    ("security", Of::List(&Of::Map(&Of::List(&Of::Text)))),
    ("tags", Of::Any),
];
const INFO: Form = &[
    ("title!", Of::Text),
    ("version!", Of::Text),
    ("summary", Of::Text),
    ("description", Of::Text),
];
const PATH: Form = &[
    ("summary", Of::Text),
    ("description", Of::Text),
    ("get", Of::Object(OPERATION)),
    ("put", Of::Object(OPERATION)),
    ("post", Of::Object(OPERATION)),
    ("delete", Of::Object(OPERATION)),
    ("options", Of::Object(OPERATION)),
    ("head", Of::Object(OPERATION)),
    ("patch", Of::Object(OPERATION)),
    ("trace", Of::Object(OPERATION)),
];
const OPERATION: Form = &[
    ("tags", Of::List(&Of::Text)),
    ("summary", Of::Text),
    ("description", Of::Text),
    ("operationId", Of::Text),
    ("parameters", Of::List(&Of::Object(PARAMETER))),
    ("requestBody", Of::Object(REQUEST_BODY)),
    ("responses", Of::Map(&Of::Object(RESPONSE))),
    ("deprecated", Of::Flag),
    ("security", Of::List(&Of::Map(&Of::List(&Of::Text)))),
];
const PARAMETER: Form = &[
    ("name!", Of::Text),
    ("in!", Of::Text),
    ("description", Of::Text),
    ("required", Of::Flag),
    ("deprecated", Of::Flag),
    ("style", Of::Text),
    ("explode", Of::Flag),
    ("schema!", Of::Schema),
];
const REQUEST_BODY: Form = &[
    ("description", Of::Text),
    ("content!", Of::Map(&Of::Object(MEDIA))),
    ("required", Of::Flag),
];
const RESPONSE: Form = &[
    ("description!", Of::Text),
    ("headers", Of::Any),
    ("content", Of::Map(&Of::Object(MEDIA))),
];
const MEDIA: Form = &[("schema", Of::Schema), ("examples", Of::Any)];
const COMPONENTS: Form = &[
    ("schemas", Of::Map(&Of::Schema)),
    ("securitySchemes", Of::Map(&Of::Object(SECURITY))),
];
const SECURITY: Form = &[
    ("type!", Of::Text),
    ("description", Of::Text),
    ("name", Of::Text),
    ("in", Of::Text),
    ("scheme", Of::Text),
    ("bearerFormat", Of::Text),
];

/// Keywords of JSON Schema 2020-12 in which schemas stand.
const SCHEMAS_BY_NAME: &[&str] = &[
    "properties",
    "patternProperties",
    "$defs",
    "dependentSchemas",
];
const SCHEMAS_IN_LIST: &[&str] = &["oneOf", "anyOf", "allOf", "prefixItems"];
const SCHEMA: &[&str] = &[
    "items",
    "additionalProperties",
    "not",
    "if",
    "then",
    "else",
    "propertyNames",
    "contains",
];
const TYPES: &[&str] = &[
    "null", "boolean", "object", "array", "number", "string", "integer",
];

#[derive(Default)]
struct Check {
    faults: Vec<String>,
}

impl Check {
    fn fault(&mut self, place: &str, what: &str) {
        self.faults.push(format!("{place}: {what}"));
    }

    fn value(&mut self, value: &Value, of: Of, place: &str) {
        let fits = match of {
            Of::Text => value.is_string(),
            Of::Flag => value.is_boolean(),
            Of::Any => true,
            Of::Object(_) | Of::Map(_) => value.is_object(),
            Of::List(_) => value.is_array(),
            Of::Schema => value.is_object() || value.is_boolean(),
        };
        if !fits {
            return self.fault(place, "has another type");
        }
        let members = value.as_object().into_iter().flatten();
        match of {
            Of::Object(form) => self.object(value, form, place),
            Of::Map(of) => {
                members
                    .for_each(|(name, value)| self.value(value, *of, &format!("{place}/{name}")));
            }
            Of::List(of) => {
                let items = value.as_array().into_iter().flatten().enumerate();
                items
                    .for_each(|(number, item)| self.value(item, *of, &format!("{place}/{number}")));
            }
            Of::Schema => self.schema(value, place),
            Of::Text | Of::Flag | Of::Any => {}
        }
    }

    fn object(&mut self, value: &Value, form: Form, place: &str) {
        for (name, of) in form {
            let plain = name.trim_end_matches('!');
            match value.get(plain) {
                Some(value) => self.value(value, *of, &format!("{place}/{plain}")),
                None if plain != *name => self.fault(place, &format!("has no `{plain}`")),
                None => {}
            }
        }
        for name in value.as_object().unwrap().keys() {
            let known = form
                .iter()
                .any(|(known, _)| known.trim_end_matches('!') == name);
            if !known && !name.starts_with("x-") {
                self.fault(place, &format!("`{name}` is no member of the format"));
            }
        }
    }

    fn schema(&mut self, schema: &Value, place: &str) {
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            let place = format!("{place}/{keyword}");
            let keyword = keyword.as_str();
            if SCHEMAS_BY_NAME.contains(&keyword) {
                self.value(value, Of::Map(&Of::Schema), &place);
            } else if SCHEMAS_IN_LIST.contains(&keyword) {
                self.value(value, Of::List(&Of::Schema), &place);
            } else if SCHEMA.contains(&keyword) {
                self.value(value, Of::Schema, &place);
            } else if keyword == "required" || keyword == "enum" {
                self.value(value, Of::List(&Of::Any), &place);
            } else if keyword == "type" {
                let types = value
                    .as_array()
                    .map_or(std::slice::from_ref(value), Vec::as_slice);
                if types
                    .iter()
                    .any(|name| !name.as_str().is_some_and(|name| TYPES.contains(&name)))
                {
                    self.fault(&place, "is no type");
                }
            } else if keyword == "nullable" {
                self.fault(&place, "was OpenAPI 3.0; 3.1 has the type `null`");
            }
        }
    }

    /// What the format says beyond the form of single objects.
    fn rules(&mut self, document: &Value) {
        let mut ids = std::collections::BTreeSet::new();
        let mut templates = std::collections::BTreeSet::new();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            if !path.starts_with('/') {
                self.fault(path, "a path begins with a slash");
            }
            if !templates.insert(without_names(path)) {
                self.fault(
                    path,
                    "differs from another path in its members' names alone",
                );
            }
            for (verb, operation) in item.as_object().into_iter().flatten() {
                let place = format!("{path} {verb}");
                if let Some(id) = operation["operationId"].as_str()
                    && !ids.insert(id.to_owned())
                {
                    self.fault(&place, "its operationId is another's too");
                }
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let in_path: Vec<_> = parameters
                    .filter(|parameter| parameter["in"] == "path")
                    .collect();
                let named = path
                    .split('{')
                    .skip(1)
                    .filter_map(|part| part.split('}').next());
                let named: Vec<_> = named.collect();
                if named.len() != in_path.len() {
                    self.fault(&place, "its path has other members than its parameters say");
                }
                for parameter in in_path {
                    if parameter["required"] != true
                        || !named.iter().any(|name| parameter["name"] == **name)
                    {
                        self.fault(&place, "a member of the path is required, and in the path");
                    }
                }
                for status in operation["responses"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(status, _)| status)
                {
                    if status.parse::<u16>().is_err() && status != "2XX" {
                        self.fault(&place, "a response stands under its status");
                    }
                }
                let schemes = operation["security"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_object);
                for scheme in schemes.flat_map(|scheme| scheme.keys()) {
                    if document["components"]["securitySchemes"][scheme].is_null() {
                        self.fault(
                            &place,
                            &format!("`{scheme}` is no security scheme of the document"),
                        );
                    }
                }
            }
        }
    }
}

fn without_names(path: &str) -> String {
    let parts = path
        .split('/')
        .map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

fn faults(document: &Value) -> Vec<String> {
    let mut check = Check::default();
    check.value(document, Of::Object(DOCUMENT), "#");
    if !document["openapi"]
        .as_str()
        .unwrap_or_default()
        .starts_with("3.1.")
    {
        check.fault("#/openapi", "is not 3.1");
    }
    check.rules(document);
    check.faults
}

#[test]
fn s14_the_description_has_the_form_of_openapi() {
    let registry = Registry::new([users(&Ran::default())]).unwrap();
    assert_eq!(faults(&openapi(&registry, "Example", "1.0.0")), [""; 0]);
}

/// The check itself: it finds what is wrong.
#[test]
fn what_is_not_the_form_of_openapi_is_found() {
    let registry = Registry::new([users(&Ran::default())]).unwrap();
    let document = openapi(&registry, "Example", "1.0.0");
    let get = "/paths/~1users~1{id}/get";
    for (pointer, value, expected) in [
        ("/openapi".to_owned(), json!("3.0.3"), "is not 3.1"),
        (
            "/info".to_owned(),
            json!({"title": "x"}),
            "has no `version`",
        ),
        (
            get.to_owned(),
            json!({"resposes": {}}),
            "`resposes` is no member",
        ),
        (
            format!("{get}/parameters/0/in"),
            json!("query"),
            "other members than its parameters",
        ),
        (
            format!("{get}/parameters/0/required"),
            json!(false),
            "is required",
        ),
        (
            format!("{get}/operationId"),
            json!("users@1.2.0/find"),
            "is another's too",
        ),
        (
            format!("{get}/responses/200"),
            json!({}),
            "has no `description`",
        ),
        (
            format!("{get}/security"),
            json!([{"basic": []}]),
            "no security scheme",
        ),
        (
            "/components/schemas/Found/properties/id/type".to_owned(),
            json!("int"),
            "is no type",
        ),
        (
            "/components/schemas/Found/properties".to_owned(),
            json!([]),
            "another type",
        ),
    ] {
        let mut document = document.clone();
        *document.pointer_mut(&pointer).unwrap() = value;
        let found = faults(&document);
        assert!(
            found.iter().any(|fault| fault.contains(expected)),
            "{pointer}: {found:?}"
        );
    }
}
