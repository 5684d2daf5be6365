use proptest::prelude::*;
use serde_json::json;

use super::*;

fn shown(name: &str, value: Value) -> Value {
    Redaction::standard().field(name, value)
}

#[test]
fn names_agree_without_regard_to_case_and_dashes() {
    for name in [
        "password",
        "Password",
        "x-api-key",
        "xApiKey",
        "X_API_KEY",
        "apiKey",
        "headers.authorization",
        "a.b.token.c",
    ] {
        assert_eq!(shown(name, json!("hunter2")), json!(REDACTED), "{name}");
    }
    assert_eq!(shown("passwords", json!(3)), json!(3));
}

#[test]
fn wildcards_stand_for_one_name() {
    let redaction = Redaction::of(["creditCard.*", "*.pin", "a.*.c"]).unwrap();
    let value = json!({"creditCard": {"number": "4111", "holder": {"name": "x"}}, "card": {"pin": 1}, "a": {"b": {"c": 1, "d": 2}}});
    assert_eq!(
        redaction.field("order", value),
        json!({"creditCard": {"number": REDACTED, "holder": REDACTED}, "card": {"pin": REDACTED}, "a": {"b": {"c": REDACTED, "d": 2}}}),
    );
    assert!(Redaction::of(["*"]).is_err());
    assert!(Redaction::of(["a..b"]).is_err());
}

#[test]
fn lists_are_looked_through() {
    let value = json!([{"password": "x", "name": "n"}, [{"token": {"deep": 1}}]]);
    assert_eq!(
        shown("users", value),
        json!([{"password": REDACTED, "name": "n"}, [{"token": REDACTED}]])
    );
}

#[test]
fn json_in_a_string_is_looked_into() {
    let value = json!(r#"{"user":"u","password":"hunter2"}"#);
    assert_eq!(
        shown("body", value),
        json!(r#"{"password":"[redacted]","user":"u"}"#)
    );
}

#[test]
fn free_text_loses_credentials() {
    let redaction = Redaction::standard();
    for (text, expected) in [
        (
            "connect postgres://bob:p@ss:w@db/x failed",
            "connect postgres://[redacted]@db/x failed",
        ),
        (
            "Authorization: Bearer abc.def.ghi, next",
            "Authorization: [redacted], next",
        ),
        ("GET /a?token=abc&x=1", "GET /a?token=[redacted]&x=1"),
        (
            r#"Login { user: "u", password: "hunter 2" }"#,
            r#"Login { user: "u", password: "[redacted]" }"#,
        ),
        (r#"{"x-api-key": "abc"#, r#"{"x-api-key": "[redacted]""#),
        ("cookie: a=1; b=2", "cookie: [redacted]"),
        ("api_key=k1 done", "api_key=[redacted] done"),
        (
            r#"Auth { token: Some("abc") }"#,
            r#"Auth { token: Some("[redacted]") }"#,
        ),
        ("nothing here: http://host/a", "nothing here: http://host/a"),
    ] {
        assert_eq!(redaction.text(text), expected, "{text}");
    }
}

#[test]
fn long_texts_are_cut_between_characters() {
    let text = "é".repeat(MAX_TEXT);
    let shown = Redaction::standard().text(&text).into_owned();
    assert!(shown.len() < MAX_TEXT + 64 && shown.ends_with("bytes in all)"));
}

proptest! {
    /// Wherever a secret stands in a tree below a covered name, it is not in what is shown.
    #[test]
    fn a_covered_value_never_shows(
        path in proptest::collection::vec("[a-z]{1,6}", 0..4),
        name in proptest::sample::select(vec!["password", "Authorization", "set_cookie", "xApiKey", "token"]),
        as_text in any::<bool>(),
    ) {
        let mut value = json!({ name: "s3cr3t-value" });
        for step in &path {
            value = if step.len() % 2 == 0 { json!([value]) } else { json!({ step.clone(): value }) };
        }
        let value = if as_text { Value::String(value.to_string()) } else { value };
        prop_assert!(!shown("field", value).to_string().contains("s3cr3t"));
    }

    #[test]
    fn any_text_is_accepted(text in ".*") {
        let redaction = Redaction::standard();
        let _ = redaction.text(&text);
        let _ = redaction.field("x", Value::String(text));
    }
}
