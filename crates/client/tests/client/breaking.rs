//! Which changes break callers.

use bastide_client::generate::breaking;
use serde_json::{Value, json};

use crate::orders::document;

/// A document with one method `a@1.0.0/b` and a type `T`.
fn of(input: &Value, output: &Value, codes: &[&str]) -> Value {
    let problem = json!({"allOf": [{}, {"properties": {"code": {"enum": codes}}}]});
    let path = json!({"post": {
        "requestBody": {"content": {"application/json": {"schema": input}}},
        "responses": {
            "200": {"content": {"application/json": {"schema": output}}},
            "404": {"content": {"application/problem+json": {"schema": problem}}},
        },
    }});
    json!({
        "openapi": "3.1.0",
        "paths": {"/rpc/a@1.0.0/b": path},
        "components": {"schemas": {"T": {"type": "object", "required": ["id"], "properties": {
            "id": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/components/schemas/T"}, {"type": "null"}]},
        }}}},
    })
}

fn changes(old: &Value, new: &Value) -> Vec<String> {
    let changes = breaking(old, new).unwrap();
    changes.iter().map(ToString::to_string).collect()
}

#[test]
fn s14_a_document_does_not_break_itself() {
    assert_eq!(changes(&document(), &document()), [""; 0]);
}

#[test]
fn s14_what_is_gone_breaks_callers() {
    let text = json!({"type": "string"});
    let old = of(&text, &text, &["a_not_found", "b_not_found"]);
    let mut new = of(&text, &text, &["b_not_found", "c_not_found"]);
    assert_eq!(
        changes(&old, &new),
        ["a@1/b: it does not answer with `a_not_found` any more"]
    );
    // A later version of the same major one is the same to callers, another major one is not.
    let item = new["paths"]["/rpc/a@1.0.0/b"].take();
    new["paths"] = json!({"/rpc/a@1.3.0/b": item});
    assert_eq!(changes(&old, &new).len(), 1);
    new["paths"] = json!({"/rpc/a@2.0.0/b": item});
    assert_eq!(changes(&old, &new), ["a@1/b: the method is gone"]);
}

/// (before, after, what it means to who sends it, what to who gets it)
fn table() -> Vec<(Value, Value, Vec<&'static str>, Vec<&'static str>)> {
    let object = |properties: Value, required: Value| json!({"type": "object", "properties": properties, "required": required});
    let (text, number) = (json!({"type": "string"}), json!({"type": "integer"}));
    let one = |text: &Value| object(json!({"a": text}), json!(["a"]));
    let optional = object(json!({"a": text}), json!([]));
    let two = |required| object(json!({"a": text, "b": text}), required);
    let nullable = json!({"type": ["string", "null"]});
    let words = |words: Value| json!({"enum": words});
    let another = "the type is another";
    vec![
        (
            one(&text),
            one(&number),
            vec![".a: the type is another"],
            vec![".a: the type is another"],
        ),
        (one(&text), two(json!(["a"])), vec![], vec![]),
        (
            one(&text),
            two(json!(["a", "b"])),
            vec![".b: the input needs this member now"],
            vec![],
        ),
        (
            two(json!(["a"])),
            one(&text),
            vec![".b: the input has lost this member"],
            vec![".b: the output does not promise this member any more"],
        ),
        (
            one(&text),
            optional.clone(),
            vec![],
            vec![".a: the output does not promise this member any more"],
        ),
        (
            optional,
            one(&text),
            vec![".a: the input needs this member now"],
            vec![],
        ),
        (text.clone(), nullable.clone(), vec![], vec![another]),
        (nullable, text.clone(), vec![another], vec![]),
        (
            words(json!(["a"])),
            words(json!(["a", "b"])),
            vec![],
            vec![another],
        ),
        (
            words(json!(["a", "b"])),
            words(json!(["a"])),
            vec![another],
            vec![],
        ),
        (words(json!(["a"])), text.clone(), vec![], vec![another]),
        (
            text.clone(),
            json!({"type": "array", "items": text}),
            vec![another],
            vec![another],
        ),
        (
            json!({"type": "array", "items": text}),
            json!({"type": "array", "items": number}),
            vec!["[]: the type is another"],
            vec!["[]: the type is another"],
        ),
        (
            text.clone(),
            json!({"type": "string", "description": "for people"}),
            vec![],
            vec![],
        ),
        (number.clone(), json!(true), vec![], vec![another]),
    ]
}

#[test]
fn s14_what_breaks_depends_on_who_sends_and_who_gets() {
    let any = json!(true);
    for (before, after, as_input, as_output) in table() {
        let told = |side: &str, said: Vec<&str>| -> Vec<String> {
            said.iter()
                .map(|said| {
                    if said.starts_with("the") {
                        format!("a@1/b {side}: {said}")
                    } else {
                        format!("a@1/b {side}{said}")
                    }
                })
                .collect()
        };
        let of_input = changes(&of(&before, &any, &["c"]), &of(&after, &any, &["c"]));
        assert_eq!(of_input, told("input", as_input), "{before} -> {after}");
        let of_output = changes(&of(&any, &before, &["c"]), &of(&any, &after, &["c"]));
        assert_eq!(of_output, told("output", as_output), "{before} -> {after}");
    }
}

#[test]
fn s14_types_that_contain_themselves_are_compared_to_their_end() {
    let t = json!({"$ref": "#/components/schemas/T"});
    let old = of(&t, &t, &["c"]);
    let mut new = old.clone();
    assert_eq!(changes(&old, &new), [""; 0]);
    new["components"]["schemas"]["T"]["properties"]["id"] = json!({"type": "string"});
    assert_eq!(
        changes(&old, &new),
        [
            "a@1/b input.id: the type is another",
            "a@1/b output.id: the type is another"
        ]
    );
}
