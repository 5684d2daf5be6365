//! The three formats say the same, and every value is found again in the text.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use bastide_config::document::{Document, DocumentError, Format, MAX_ALIASED, MAX_DEPTH};
use bastide_config::path::Step;
use bastide_config::{Node, Path, parse};
use proptest::prelude::*;
use serde_json::{Value, json};

const TOML: &str = r#"
name = "a"
count = 3
ratio = 0.5
on = true
at = 2024-01-02T03:04:05Z
tags = ["x", "y"]
dotted.inner = 1

[limit]
"odd key" = -1

[[routes]]
method = "GET"
upstreams = [{ url = "http://a" }, { url = "http://b" }]

[[routes]]
method = "POST"
upstreams = []
"#;

const YAML: &str = r#"
name: a
count: 3
ratio: 0.5
on: true
at: 2024-01-02T03:04:05Z
tags: [x, "y"]
dotted:
  inner: 1
limit: {"odd key": -1}
routes:
  - method: GET
    upstreams:
      - url: http://a
      - url: http://b
  - method: POST
    upstreams: []
"#;

const JSON: &str = r#"{
  "name": "a", "count": 3, "ratio": 0.5, "on": true,
  "at": "2024-01-02T03:04:05Z",
  "tags": ["x", "y"], "dotted": {"inner": 1}, "limit": {"odd key": -1},
  "routes": [
    {"method": "GET", "upstreams": [{"url": "http://a"}, {"url": "http:\/\/b"}]},
    {"method": "POST", "upstreams": []}
  ]
}"#;

fn parsed(format: Format, text: &str) -> Document {
    Document::parse("f", format, text).unwrap()
}

fn refusal(format: Format, text: &str) -> String {
    Document::parse("f", format, text).unwrap_err().to_string()
}

fn path(text: &str) -> Path {
    text.split('/')
        .map(|step| {
            step.parse::<usize>()
                .map_or_else(|_| Step::from(step.to_owned()), Step::from)
        })
        .collect()
}

#[test]
fn the_formats_agree() {
    let toml = parsed(Format::Toml, TOML);
    assert_eq!(toml.value()["routes"][0]["upstreams"][1]["url"], "http://b");
    assert_eq!(toml.value()["limit"]["odd key"], -1);
    assert_eq!(parsed(Format::Yaml, YAML).value(), toml.value());
    assert_eq!(parsed(Format::Json, JSON).value(), toml.value());
}

/// The text from a place on.
fn text_at<'t>(text: &'t str, document: &Document, place: &str) -> &'t str {
    let at = document.locate(&path(place));
    let line = text.split('\n').nth(at.line - 1).unwrap();
    let (column, _) = line.char_indices().nth(at.column - 1).unwrap();
    &line[column..]
}

#[test]
fn every_value_has_its_place() {
    const TEXTS: [(Format, &str); 3] = [
        (Format::Toml, TOML),
        (Format::Yaml, YAML),
        (Format::Json, JSON),
    ];
    for (format, text) in TEXTS {
        let document = parsed(format, text);
        let quoted = format != Format::Yaml;
        for (place, begins) in [
            ("count", "3"),
            ("limit/odd key", "-1"),
            ("dotted/inner", "1"),
            ("routes/1/method", if quoted { "\"POST\"" } else { "POST" }),
            (
                "routes/0/upstreams/0/url",
                if quoted { "\"http://a\"" } else { "http://a" },
            ),
            ("tags/1", "\"y\""),
        ] {
            let there = text_at(text, &document, place);
            assert!(there.starts_with(begins), "{format:?} {place}: {there}");
        }
        let route = document.locate(&path("routes/1"));
        assert_eq!(
            document.locate(&path("routes/1/no/such")),
            route,
            "the nearest ancestor"
        );
    }
    assert_eq!(
        parsed(Format::Toml, TOML)
            .locate(&path("routes/1/method"))
            .to_string(),
        "18:10"
    );
    assert_eq!(
        parsed(Format::Yaml, YAML)
            .locate(&path("routes/1/method"))
            .to_string(),
        "16:13"
    );
    assert_eq!(
        parsed(Format::Json, JSON)
            .locate(&path("routes/1/method"))
            .to_string(),
        "7:16"
    );
}

#[test]
fn problems_are_described_with_file_line_and_column() {
    let text = "[[routes]]\nmethod = \"GTE\"\nfoo = 1\n\n[[routes]]\n";
    let document = Document::parse("gateway.toml", Format::Toml, text).unwrap();
    let method = parse::choice(&[("GET", ()), ("POST", ())]);
    let problems = document
        .read(|root: Node<'_, '_>| {
            root.object(|fields| {
                Some(fields.list("routes", |route| {
                    route.object(|fields| fields.required("method", &method))
                }))
            })
        })
        .unwrap_err();
    assert_eq!(
        document.describe_all(&problems),
        "gateway.toml:2:10: routes[0].method: expected one of GET, POST; found \"GTE\"; did you mean GET?\n\
         gateway.toml:3:1: routes[0].foo: unknown key `foo`; known keys: method\n\
         gateway.toml:5:1: routes[1].method: is required"
    );
}

#[test]
fn syntax_errors_say_where() {
    for (format, text, start) in [
        (Format::Toml, "a = 1\nb = = 2\n", "f:2:"),
        (Format::Toml, "a = 1\na = 2\n", "f:2:1: duplicate key"),
        (Format::Toml, "[a]\nx = 1\n[a]\n", "f:3:"),
        (
            Format::Toml,
            "x = nan\n",
            "f:1:5: nan and inf are not allowed here",
        ),
        (Format::Json, "{\"a\": 1,\n}", "f:2:1: trailing comma"),
        (
            Format::Json,
            "{\"a\": [1,\n {\"b\": 1, \"\\u0062\": 2}]}",
            "f:2:11: the key `b` stands here twice",
        ),
        (Format::Json, "", "f:1:1: EOF while parsing a value"),
        (Format::Json, "{} {}", "f:1:4: trailing characters"),
        (Format::Json, "// no\n{}", "f:1:1: expected value"),
        (Format::Yaml, "a: 1\nb: [1\n", "f:3:"),
        (
            Format::Yaml,
            "a: 1\na: 2\n",
            "f:2:1: the key `a` stands here twice",
        ),
        (
            Format::Yaml,
            "a: 1\n---\nb: 2\n",
            "f:2:1: a second document begins",
        ),
        (
            Format::Yaml,
            "a: &x {b: 1}\nc:\n  <<: *x\n",
            "f:3:3: merge keys",
        ),
        (Format::Yaml, "a: *nobody\n", "f:1:4:"),
        (Format::Yaml, "a: &x [*x]\n", "f:1:8:"),
        (Format::Yaml, "a: !custom 1\n", "f:1:"),
        (Format::Yaml, "a: !!int x\n", "f:1:"),
        (Format::Yaml, "? [1]\n: 2\n", "f:1:3: a key must be"),
        (Format::Yaml, "a: .inf\n", "f:1:4: nan and inf"),
        (
            Format::Yaml,
            "a: 99999999999999999999\n",
            "f:1:4: the number 99999999999999999999 is too large",
        ),
        (Format::Yaml, "a:\n\tb: 1\n", "f:2:"),
    ] {
        let message = refusal(format, text);
        assert!(message.starts_with(start), "{text:?}: {message}");
        assert!(!message.contains('\n'), "{message:?}");
    }
}

#[test]
fn yaml_is_version_1_2() {
    let value = |text: &str| parsed(Format::Yaml, text).value().clone();
    assert_eq!(
        value(
            "[on, off, yes, no, y, n, ~, null, '', true, False, 0755, 0o17, 0xff, +1, -2, 1e3, .5, 12:30, 1_000, 'x', \"1\", !!str 1, !!float 1]"
        ),
        json!([
            "on", "off", "yes", "no", "y", "n", null, null, "", true, false, 755, 15, 255, 1, -2,
            1000.0, 0.5, "12:30", "1_000", "x", "1", "1", 1
        ]),
    );
    assert_eq!(value("503: a\nnull: b\n"), json!({"503": "a", "null": "b"}));
    assert_eq!(
        value("a: |\n  x\n  y\nb: >-\n  x\n  y\n"),
        json!({"a": "x\ny\n", "b": "x y"})
    );
    assert_eq!(value(""), json!({}));
    assert_eq!(value("# only a comment\n"), json!({}));
    assert_eq!(value("--- \na: 1\n...\n"), json!({"a": 1}));
}

#[test]
fn aliases_are_copies_and_bounded() {
    let document = parsed(Format::Yaml, "base: &b {x: 1}\nlist:\n  - *b\n  - *b\n");
    assert_eq!(
        document.value(),
        &json!({"base": {"x": 1}, "list": [{"x": 1}, {"x": 1}]})
    );
    assert_eq!(document.locate(&path("list/1")).to_string(), "4:5");

    let mut bomb = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
    for level in 1..10 {
        let copies = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{copies}]").unwrap();
    }
    assert!(
        refusal(Format::Yaml, &bomb)
            .contains(&format!("aliases copy more than {MAX_ALIASED} values"))
    );
}

#[test]
fn depth_is_bounded() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for format in [Format::Json, Format::Yaml] {
        assert!(Document::parse("f", format, &deep(MAX_DEPTH)).is_ok());
        assert!(
            refusal(format, &deep(MAX_DEPTH + 2)).contains("deep"),
            "{format:?}"
        );
        assert!(Document::parse("f", format, &deep(100_000)).is_err());
    }
    assert!(Document::parse("f", Format::Toml, &format!("a = {}", deep(100_000))).is_err());
    assert!(Document::parse("f", Format::Toml, &format!("a = {}", deep(MAX_DEPTH + 2))).is_err());
}

#[test]
fn files_are_read_by_their_extension() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        file
    };
    assert_eq!(
        Document::load(&write("a.toml", b"x = 1")).unwrap().value(),
        &json!({"x": 1})
    );
    assert_eq!(
        Document::load(&write("a.YML", b"x: 1")).unwrap().value(),
        &json!({"x": 1})
    );
    assert_eq!(
        Document::load(&write("a.json", b"\xef\xbb\xbf{\"x\": 1}"))
            .unwrap()
            .value(),
        &json!({"x": 1})
    );

    let message = |file: &std::path::Path| Document::load(file).unwrap_err().to_string();
    assert!(
        message(&write("a.txt", b""))
            .ends_with("unknown kind of file; name it .toml, .yaml, .yml or .json")
    );
    assert!(
        message(&write("b.toml", b"x = 1\ny = \"\xff\""))
            .ends_with("b.toml:2:6: this is not UTF-8 text")
    );
    let missing = Document::load(&folder.path().join("none.toml")).unwrap_err();
    assert!(
        matches!(missing, DocumentError::Unreadable { .. }),
        "{missing}"
    );
}

fn places(value: &Value, at: &Path, all: &mut Vec<Path>) {
    all.push(at.clone());
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                places(member, &at.then(name.clone()), all);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                places(element, &at.then(index), all);
            }
        }
        _ => {}
    }
}

fn any_tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~é\"\\\\\n,:{}\\[\\]]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec(("[a-zé\"\\\\,: ]{0,6}", inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// In JSON every value begins exactly at its place: what stands there parses to a text that begins with the value.
    #[test]
    fn json_places_are_exact(value in any_tree(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        let document = Document::parse("f", Format::Json, &text).unwrap();
        prop_assert_eq!(document.value(), &value);
        let mut all = Vec::new();
        places(&value, &Path::root(), &mut all);
        for path in all {
            let at = document.locate(&path);
            let line = text.split('\n').nth(at.line - 1).unwrap();
            let before: usize = text.split('\n').take(at.line - 1).map(|line| line.len() + 1).sum();
            let column: usize = line.chars().take(at.column - 1).map(char::len_utf8).sum();
            let mut values = serde_json::Deserializer::from_str(&text[before + column..]).into_iter::<Value>();
            let there = values.next().unwrap().unwrap();
            prop_assert_eq!(Some(&there), value.pointer(&path.pointer()));
        }
    }

    /// JSON that our YAML reader takes means the same to it.
    #[test]
    fn yaml_reads_json(value in any_tree()) {
        let value = json!({ "v": value });
        if let Ok(document) = Document::parse("f", Format::Yaml, &value.to_string()) {
            prop_assert_eq!(document.value(), &value);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[ -~\n\t]{0,200}") {
        for format in [Format::Toml, Format::Yaml, Format::Json] {
            if let Err(error) = Document::parse("f", format, &text) {
                let is_syntax = matches!(error, DocumentError::Syntax { .. });
                prop_assert!(is_syntax);
            }
        }
    }

    /// Text that is made of the pieces of the formats reaches deeper than random characters.
    #[test]
    fn pieces_are_read_or_refused(pieces in proptest::collection::vec(proptest::sample::select(vec![
        "a", "b", "1", "-", " ", "\n", "  ", ": ", "- ", "? ", "[", "]", "{", "}", ",", "\"", "'", "&x ", "*x", "!!str ", "|", ">",
        "#", "=", "[[", "]]", ".", "---\n", "...", "%", "\\u00", "<<: ", "2024-01-01", "é",
    ]), 0..40)) {
        let text = pieces.concat();
        for format in [Format::Toml, Format::Yaml, Format::Json] {
            let _ = Document::parse("f", format, &text);
        }
    }
}
