//! What types are made of schemas, and of which none are.

use std::fmt::Write as _;

use bastide_client::generate::{rust, typescript};
use bastide_testkit::TestFolder;
use serde_json::{Value, json};

/// A document whose one method takes and gives a `T`, which is this.
fn of(schema: &Value) -> Value {
    let t = json!({"schema": {"$ref": "#/components/schemas/T"}});
    json!({
        "openapi": "3.1.0",
        "paths": {"/rpc/a@1.0.0/b": {"post": {
            "requestBody": {"content": {"application/json": t}},
            "responses": {"200": {"content": {"application/json": t}}},
        }}},
        "components": {"schemas": {"T": schema, "other-name": {"type": "boolean"}, "OtherName": {"type": "string"}}},
    })
}

/// The definition of `T`.
fn as_typescript(schema: &Value) -> String {
    let file = typescript(&of(schema)).unwrap();
    let at = file
        .find("\nexport type T = ")
        .or(file.find("\nexport interface T "))
        .unwrap();
    let text = &file[at + 1..];
    text[..text.find("\n\n").unwrap()].to_owned()
}

fn as_rust(schema: &Value) -> String {
    let file = rust(&of(schema)).unwrap();
    let (_, types) = file.split_once("\";\n\n").unwrap();
    types[..types.find("\n/// Calls").unwrap()].to_owned()
}

#[test]
fn s14_schemas_become_types() {
    let named = json!({"$ref": "#/components/schemas/other-name"});
    let cases = [
        ("any", json!(true)),
        ("a list of anything", json!({"type": "array"})),
        (
            "nullable",
            json!({"type": ["integer", "null"], "format": "int32"}),
        ),
        (
            "a map",
            json!({"type": "object", "additionalProperties": {"type": "number"}}),
        ),
        (
            "a map by pattern",
            json!({"type": "object", "patternProperties": {"^\\d+$": {"type": "string"}}, "additionalProperties": false}),
        ),
        (
            "members and others",
            json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["a"], "additionalProperties": {"type": "boolean"}}),
        ),
        (
            "names",
            json!({"type": "object", "properties": {
                "type": {"type": "string"}, "self": {"type": "string"}, "two words": {"type": "string"}, "twoWords": {"type": "string"}, "a\"b": {"type": "string"},
            }}),
        ),
        ("words", json!({"enum": ["a", "b-c", "B_c", "", null]})),
        (
            "adjacent tags",
            json!({"oneOf": [
                {"type": "object", "properties": {"t": {"const": "x"}, "c": {"type": "string"}}, "required": ["t", "c"]},
                {"type": "object", "properties": {"t": {"const": "y"}}, "required": ["t"]},
            ]}),
        ),
        (
            "mixed in",
            json!({"allOf": [named, {"type": "object", "properties": {"a": {"type": "string"}}}]}),
        ),
        (
            "itself",
            json!({"type": "object", "properties": {"left": {"$ref": "#/components/schemas/T"}, "all": {"type": "array", "items": {"$ref": "#/components/schemas/T"}}}}),
        ),
        (
            "names that collide",
            json!({"type": "array", "prefixItems": [named, {"$ref": "#/components/schemas/OtherName"}], "minItems": 2, "maxItems": 2}),
        ),
        ("nothing in it", json!({"type": "object"})),
        (
            "comments",
            json!({"type": "object", "properties": {"a": {"type": "string", "description": "ends */ here\nand goes on"}}}),
        ),
    ];
    let (mut all, mut files) = (String::new(), Vec::new());
    let folder = TestFolder::new().unwrap();
    for (number, (name, schema)) in cases.iter().enumerate() {
        let _ = write!(
            all,
            "== {name}\n{}\n{}\n",
            as_typescript(schema),
            as_rust(schema)
        );
        files.push(format!("case{number}.ts"));
        std::fs::write(
            folder.path().join(&files[number]),
            typescript(&of(schema)).unwrap(),
        )
        .unwrap();
    }
    insta::assert_snapshot!(all);
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    crate::typescript::compile(folder.path(), &files);
}

#[test]
fn s14_what_cannot_be_expressed_is_an_error_with_its_place() {
    let at = |place: &str| format!("#/components/schemas/T{place}");
    let object = |member: Value| json!({"type": "object", "properties": {"a/b": member}});
    for (schema, place, said) in [
        (json!({"not": {}}), "", "the keyword `not`"),
        (
            object(json!({"type": "strin"})),
            "/properties/a~1b/type",
            "no type",
        ),
        (
            object(json!(false)),
            "/properties/a~1b",
            "`false` has no value",
        ),
        (
            object(json!({"minimum": 3})),
            "/properties/a~1b",
            "give it a type",
        ),
        (
            json!({"type": "array", "items": {"$ref": "http://example.com/x"}}),
            "/items",
            "leads out of",
        ),
        (json!({"enum": [[]]}), "/enum", "literals are"),
        (
            json!({"type": "array", "prefixItems": [true]}),
            "",
            "a tuple needs",
        ),
        (
            json!({"oneOf": [{"if": {}}]}),
            "/oneOf/0",
            "the keyword `if`",
        ),
        (
            json!({"type": "object", "properties": {"a": true}, "patternProperties": {"x": true}}),
            "",
            "by pattern",
        ),
        (
            json!({"type": "object", "required": ["a"]}),
            "",
            "has no schema",
        ),
    ] {
        for error in [
            typescript(&of(&schema)).unwrap_err(),
            rust(&of(&schema)).unwrap_err(),
        ] {
            assert_eq!(error.place, at(place), "{schema}");
            assert!(error.reason.contains(said), "{schema}: {error}");
        }
    }
    let missing = of(&json!({"$ref": "#/components/schemas/U"}));
    let error = typescript(&missing).unwrap_err().to_string();
    assert_eq!(
        error,
        "#/components/schemas/T: #/components/schemas/U is not there"
    );
}

#[test]
fn s14_what_rust_alone_cannot_express_is_an_error_too() {
    for (schema, said) in [
        (json!({"enum": [1, 2]}), "1 is a literal"),
        (
            json!({"anyOf": [
                {"type": "object", "properties": {"a": {"type": "string"}}},
                {"type": "object", "properties": {"b": {"type": "string"}}},
            ]}),
            "hides the second",
        ),
    ] {
        assert!(typescript(&of(&schema)).is_ok());
        let error = rust(&of(&schema)).unwrap_err();
        assert_eq!(error.place, "#/components/schemas/T");
        assert!(error.reason.contains(said), "{error}");
    }
}

#[test]
fn s14_a_document_that_is_not_one_of_ours_is_refused_with_the_place() {
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut document = of(&json!(true));
        change(&mut document);
        typescript(&document).unwrap_err().to_string()
    };
    let post = "/paths/~1rpc~1a@1.0.0~1b/post";
    for (pointer, value, said) in [
        (
            "/openapi",
            json!("3.0.3"),
            "expected OpenAPI 3.1".to_owned(),
        ),
        ("/paths", json!(null), "there are no paths".to_owned()),
        (
            "/paths/~1rpc~1a@1.0.0~1b/post",
            json!(null),
            format!("#{post}: a method is called by POST"),
        ),
        (
            "/paths/~1rpc~1a@1.0.0~1b/post/requestBody",
            json!({}),
            "no schema of the input".to_owned(),
        ),
        (
            "/paths/~1rpc~1a@1.0.0~1b/post/responses",
            json!({}),
            "expected either JSON or".to_owned(),
        ),
    ] {
        let error = refused(&|document| *document.pointer_mut(pointer).unwrap() = value.clone());
        assert!(error.contains(&said), "{error}");
    }
    let unnamed = refused(&|document| {
        document["paths"]["/rpc/a@1.0.0/b"]["post"]["responses"]["404"] = json!({});
    });
    assert!(
        unnamed.ends_with("/responses/404: it does not name the codes of its problems"),
        "{unnamed}"
    );
    let odd = refused(&|document| document["paths"]["/rpc/odd"] = json!({}));
    assert!(
        odd.starts_with("#/paths/~1rpc~1odd: expected a path as"),
        "{odd}"
    );
}

#[test]
fn s14_each_line_of_versions_has_a_client_with_the_latest_of_each_method() {
    let mut document = of(&json!({"type": "string"}));
    let method = |output: &str| {
        let mut item = of(&json!(true))["paths"]["/rpc/a@1.0.0/b"].take();
        let schema = &mut item["post"]["responses"]["200"]["content"]["application/json"]["schema"];
        *schema = json!({"type": output});
        item
    };
    document["paths"] = json!({
        "/rpc/a@1.10.0/b": method("boolean"),
        "/rpc/a@1.9.0/b": method("null"),
        "/rpc/a@1.9.0/old": method("string"),
        "/rpc/a@2.0.0/b": method("number"),
        "/rpc/z@0.3.1/b": method("integer"),
        "/rpc/z@1.0.0-rc.1/b": method("string"),
        "/healthy": {"get": {}},
    });
    let written = |file: &str, begins: &str| -> Vec<String> {
        let lines = file.lines().map(str::trim);
        lines
            .filter(|line| line.starts_with(begins))
            .map(str::to_owned)
            .collect()
    };
    let in_typescript = typescript(&document).unwrap();
    assert_eq!(
        written(&in_typescript, "return this.#connection.call<"),
        [
            "return this.#connection.call<boolean>(\"a@1/b\", input, options);",
            "return this.#connection.call<string>(\"a@1/old\", input, options);",
            "return this.#connection.call<number>(\"a@2/b\", input, options);",
            "return this.#connection.call<number>(\"z@0.3/b\", input, options);",
            "return this.#connection.call<string>(\"z@1.0.0-rc.1/b\", input, options);",
        ]
    );
    let classes = ["AV1Client", "AV2Client", "ZV03Client", "ZV100Rc1Client"];
    for name in classes {
        assert!(
            in_typescript.contains(&format!("export class {name} {{")),
            "{name}"
        );
    }
    let in_rust = rust(&document).unwrap();
    assert_eq!(
        written(&in_rust, "pub struct "),
        classes.map(|name| format!("pub struct {name} {{"))
    );
    assert!(in_rust.contains("made from version 1.10.0 of it"));
    assert_eq!(written(&in_rust, "self.client.call(").len(), 5);
}
