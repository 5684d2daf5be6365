//! One number for what a document promises.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

/// Annotations: they change no byte on the wire.
const FOR_PEOPLE: &[&str] = &[
    "description",
    "summary",
    "title",
    "example",
    "examples",
    "$comment",
    "x-policy",
];
/// The members of these are names that somebody chose, and no keywords.
const OF_NAMES: &[&str] = &[
    "properties",
    "patternProperties",
    "schemas",
    "$defs",
    "paths",
];
/// Values, in which nothing is a keyword.
const LITERAL: &[&str] = &["enum", "const", "default"];

pub(super) fn contract(document: &Value) -> String {
    let mut text = String::new();
    for part in ["paths", "components"] {
        let holds_names = OF_NAMES.contains(&part);
        canonical(&document[part], holds_names, &mut text);
    }
    let mut hash = String::with_capacity(64);
    for byte in digest(&SHA256, text.as_bytes()).as_ref() {
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

/// Members in the order of their names, whatever order the document has them in.
fn canonical(value: &Value, holds_names: bool, text: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            text.push('{');
            for (name, value) in members {
                if !holds_names && FOR_PEOPLE.contains(&name.as_str()) {
                    continue;
                }
                let _ = write!(text, "{}:", Value::from(name.as_str()));
                if !holds_names && LITERAL.contains(&name.as_str()) {
                    let _ = write!(text, "{value},");
                } else {
                    let of_names = !holds_names && OF_NAMES.contains(&name.as_str());
                    canonical(value, of_names, text);
                    text.push(',');
                }
            }
            text.push('}');
        }
        Value::Array(list) => {
            text.push('[');
            for value in list {
                canonical(value, false, text);
                text.push(',');
            }
            text.push(']');
        }
        scalar => {
            let _ = write!(text, "{scalar}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(schema: &Value) -> String {
        contract(&json!({"paths": {}, "components": {"schemas": {"description": schema}}}))
    }

    #[test]
    fn texts_for_people_and_the_order_of_members_do_not_count() {
        let one = of(
            &json!({"type": "object", "description": "a", "properties": {"a": true, "b": {"title": "x"}}}),
        );
        let other = of(&json!({"properties": {"b": {}, "a": true}, "type": "object"}));
        assert_eq!(one, other);
        assert_eq!(one.len(), 64);
    }

    #[test]
    fn members_that_are_called_like_a_keyword_count() {
        let base = of(&json!({"type": "object", "properties": {}}));
        let named =
            of(&json!({"type": "object", "properties": {"description": {"type": "string"}}}));
        assert_ne!(base, named);
        let nested =
            of(&json!({"properties": {"properties": {"type": "string", "description": "a"}}}));
        assert_eq!(
            nested,
            of(&json!({"properties": {"properties": {"type": "string"}}}))
        );
        let literal = |text: &str| of(&json!({"const": {"description": text}}));
        assert_ne!(literal("a"), literal("b"));
    }
}
