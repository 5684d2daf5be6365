//! Whatever the layers hold, they are read or refused, and every wrong key is named.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bastide_config::env::Env;
use bastide_config::{ByteSize, Fields, Layers, Secret, TimeSpan, parse};
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use tempfile::TempDir;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "it is read, which is all that is tested")]
struct Auth {
    jwt_secret: Secret,
    issuer: String,
    #[serde(default)]
    audience: Vec<String>,
    #[serde(default)]
    lifetime: TimeSpan,
}

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "it is read, which is all that is tested")]
struct Uploads {
    max_size: ByteSize,
    #[schemars(range(min = 1, max = 64))]
    workers: u16,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    quota: Option<u32>,
    #[serde(default)]
    buckets: BTreeMap<String, Bucket>,
    #[serde(default)]
    target: Option<Target>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Fast,
    Careful,
}

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "it is read, which is all that is tested")]
struct Bucket {
    url: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[expect(dead_code, reason = "it is read, which is all that is tested")]
enum Target {
    Disk { folder: String },
    Remote { url: String, retries: u8 },
}

const BASE: &str = r#"
port = 8080

[auth]
jwtSecret = "from the file, long enough"
issuer = "https://auth.example"

[uploads]
max_size = "10MB"
workers = 4
"#;

fn app(root: &mut Fields<'_, '_>) -> Option<u16> {
    let auth = root.section::<Auth>("auth");
    let uploads = root.section::<Uploads>("uploads");
    let tags = root.list("tags", parse::string(1..=20));
    let port = root.required("port", parse::integer(1..=65_535_u16));
    (auth.is_some() && uploads.is_some() && tags.len() < 100)
        .then_some(port)
        .flatten()
}

/// Any JSON, with names near those that are known.
fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "[a-z${} ,:0-9]{0,8}".prop_map(Into::into),
    ];
    let name = prop_oneof![
        prop::sample::select(vec![
            "auth",
            "jwtSecret",
            "issuer",
            "audience",
            "lifetime",
            "uploads",
            "max_size",
            "workers",
            "mode",
            "quota",
            "buckets",
            "target",
            "kind",
            "url",
            "retries",
            "port",
            "tags",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z_.]{0,6}",
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::Array),
            prop::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// No file and no variable makes it panic, and there is a value or a reason.
    #[test]
    fn any_layers_are_read_or_refused(
        value in any_value(),
        over in any_value(),
        variables in prop::collection::btree_map(
            "MEDIA_(AUTH|UPLOADS|PORT|TAGS|[A-Z_]{0,4})(__(JWT_SECRET|TARGET|BUCKETS|MODE|[A-Z_]{0,4})){0,3}",
            "[a-z0-9,${}]{0,8}",
            0..5,
        ),
    ) {
        let folder = TempDir::new().unwrap();
        let (one, two) = (folder.path().join("a.json"), folder.path().join("b.json"));
        std::fs::write(&one, value.to_string()).unwrap();
        std::fs::write(&two, over.to_string()).unwrap();
        let layers = Layers::new().file(one).optional_file(two).env_prefix("MEDIA_");
        match layers.read(&Env::of(variables), app) {
            Ok(loaded) => prop_assert!(value.is_object() && over.is_object() && loaded.value > 0),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    /// Every key that nobody knows is named, in files and variables, however many there are.
    #[test]
    fn every_wrong_key_is_named(
        top in prop::collection::btree_set("wrong[a-z]{4}", 0..8),
        inner in prop::collection::btree_set("wrong[a-z]{4}", 0..8),
        variables in prop::collection::btree_set("WRONG[A-Z]{4}", 0..8),
    ) {
        let mut text = String::new();
        for name in &top {
            writeln!(text, "{name} = 1").unwrap();
        }
        text.push_str(BASE);
        text.push_str("\n[uploads.buckets.more]\nurl = \"u\"\n");
        for name in &inner {
            writeln!(text, "{name} = 1").unwrap();
        }
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("default.toml");
        std::fs::write(&file, &text).unwrap();
        let layers = Layers::new().file(file).env_prefix("MEDIA_");
        let names: Vec<String> = variables.iter().map(|name| format!("MEDIA_UPLOADS__{name}")).collect();
        let read = layers.read(&Env::of(names.iter().map(|name| (name, "1"))), app);
        let told = match &read {
            Ok(_) => Vec::new(),
            Err(error) => error.mistakes().to_vec(),
        };
        prop_assert_eq!(told.len(), top.len() + inner.len() + variables.len());
        let told = told.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        for name in top.iter().chain(&inner) {
            prop_assert!(told.contains(&format!("unknown key `{name}`")), "{}", told);
        }
        for name in &names {
            prop_assert!(told.contains(&format!("{name}: no setting has this name")), "{}", told);
        }
    }
}
