//! Reading and planning of documents, without HTTP and without a repository.

use std::io::Write as _;

use bastide_config::document::{Format, Source};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::keys::Keys;
use crate::model::read::{Object, Stamp};
use crate::model::{Change, Delta, ManagedBy, RateLimit, Route, State};

fn read_value(value: &Value) -> Result<Declared, Vec<String>> {
    read(value, &RateLimit::default_tiers(), &no_environment)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn author() -> Author {
    Author {
        actor: "test",
        request_id: None,
        now: Timestamp::UNIX_EPOCH,
    }
}

/// Plans and applies; gives the numbers of what is made, changed and deleted.
fn apply(state: &mut State, value: &Value, scope: Scope) -> [usize; 3] {
    let declared = read_value(value).unwrap_or_else(|problems| panic!("{problems:?}"));
    let plan = plan(
        state,
        &declared,
        scope,
        &Keys::new(b"p"),
        &author(),
        &mut Uuid::now_v7,
    )
    .unwrap_or_else(|problems| panic!("{problems}"));
    assert!(plan.commit.audit.len() >= plan.commit.changes.len());
    state.apply(Delta {
        revision: state.revision + 1,
        changes: plan.commit.changes,
    });
    [
        plan.diff.create.len(),
        plan.diff.update.len(),
        plan.diff.delete.len(),
    ]
}

fn route(path: &str) -> Value {
    json!({"method": "GET", "path": path, "upstreams": [{"url": "http://a"}]})
}

fn example() -> Value {
    json!({
        "tenants": [
            {"name": "a", "keys": [{"name": "one", "key": "0123456789abcdef"}, {"name": "two", "key": "0123456789abcdeg"}],
             "routes": [route("/x"), route("/y")]},
            {"name": "b"},
        ],
        "routes": [route("/p")],
    })
}

#[test]
fn applying_twice_changes_nothing_the_second_time() {
    for scope in [Scope::File, Scope::Api] {
        let mut state = State::default();
        assert_eq!(apply(&mut state, &example(), scope), [7, 0, 0]);
        assert_eq!(apply(&mut state, &example(), scope), [0, 0, 0]);
        let exported = export(&state);
        assert_eq!(apply(&mut state, &exported, scope), [0, 0, 0]);
    }
}

#[test]
fn order_does_not_matter_and_edits_stay_in_place() {
    let mut state = State::default();
    apply(&mut state, &example(), Scope::File);
    let ids: Vec<Uuid> = state.routes.keys().copied().collect();
    let mut edited = example();
    edited["tenants"].as_array_mut().unwrap().reverse();
    edited["tenants"][1]["routes"]
        .as_array_mut()
        .unwrap()
        .reverse();
    edited["tenants"][1]["keys"]
        .as_array_mut()
        .unwrap()
        .reverse();
    assert_eq!(apply(&mut state, &edited, Scope::File), [0, 0, 0]);
    edited["tenants"][1]["routes"][0]["priority"] = json!(7);
    edited["tenants"][1]["keys"][0]["rateLimit"] = json!({"requestsPerSecond": 5});
    edited["tenants"][0]["isActive"] = json!(false);
    edited["routes"][0]["auth"] = json!("none");
    assert_eq!(apply(&mut state, &edited, Scope::File), [0, 4, 0]);
    assert!(ids.iter().all(|id| state.routes.contains_key(id)));
    // A key with another name is recognised by its hash, one with another hash by its name.
    edited["tenants"][1]["keys"][0]["name"] = json!("renamed");
    edited["tenants"][1]["keys"][1]["key"] = json!("another key, longer".replace(' ', "-"));
    assert_eq!(apply(&mut state, &edited, Scope::File), [0, 2, 0]);
}

#[test]
fn several_routes_of_one_pattern_keep_their_identity() {
    let mut state = State::default();
    let with_priority = |priority: i32, url: &str| json!({"method": "GET", "path": "/x", "priority": priority, "upstreams": [{"url": url}]});
    let document = json!({"routes": [with_priority(1, "http://a"), with_priority(2, "http://b")]});
    assert_eq!(apply(&mut state, &document, Scope::File), [2, 0, 0]);
    let by_url = |state: &State, url: &str| {
        state
            .routes
            .values()
            .find(|route| route.upstreams[0].url.as_str() == url)
            .unwrap()
            .stamp()
            .id
    };
    let b = by_url(&state, "http://b");
    let document = json!({"routes": [with_priority(2, "http://c"), with_priority(1, "http://a")]});
    assert_eq!(apply(&mut state, &document, Scope::File), [0, 1, 0]);
    assert_eq!(by_url(&state, "http://c"), b, "found by its priority");
    let document = json!({"routes": [with_priority(5, "http://c"), with_priority(1, "http://a")]});
    assert_eq!(apply(&mut state, &document, Scope::File), [0, 1, 0]);
    assert_eq!(by_url(&state, "http://c"), b, "the only one left");
}

#[test]
fn ids_rename_and_restore() {
    let mut state = State::default();
    apply(&mut state, &example(), Scope::Api);
    let mut document = export(&state);
    document["tenants"][0]["name"] = json!("renamed");
    assert_eq!(apply(&mut state, &document, Scope::Api), [0, 1, 0]);
    let mut restored = State::default();
    assert_eq!(apply(&mut restored, &document, Scope::Api), [7, 0, 0]);
    assert!(
        state
            .tenants
            .keys()
            .all(|id| restored.tenants.contains_key(id))
    );
    assert_eq!(export(&restored), document);
    // Names can change hands: what had one is renamed before another takes it.
    let id = document["tenants"][0]["id"].clone();
    let swapped =
        json!({"tenants": [{"name": "fresh", "id": id}, {"name": "renamed"}, {"name": "b"}]});
    assert_eq!(apply(&mut restored, &swapped, Scope::Api), [1, 1, 0]);
}

#[test]
fn a_tenant_of_the_file_has_the_same_id_each_time() {
    let id_of = |state: &State, name: &str| {
        let mut tenants = state.tenants.values();
        tenants.find(|tenant| tenant.name == name).unwrap().id
    };
    let mut state = State::default();
    apply(&mut state, &example(), Scope::File);
    let (a, b) = (id_of(&state, "a"), id_of(&state, "b"));
    assert_ne!(a, b);
    apply(&mut state, &json!({"tenants": []}), Scope::File);
    assert!(state.tenants.is_empty());
    apply(&mut state, &example(), Scope::File);
    assert_eq!((id_of(&state, "a"), id_of(&state, "b")), (a, b));
    // Another one has the id meanwhile: the name gets one that is new.
    let renamed = json!({"tenants": [{"name": "c", "id": a}]});
    apply(&mut state, &renamed, Scope::File);
    let both = json!({"tenants": [{"name": "c", "id": a}, {"name": "a"}]});
    apply(&mut state, &both, Scope::File);
    assert_eq!(id_of(&state, "c"), a);
    assert_ne!(id_of(&state, "a"), a);
    // Nor is it taken from an entry that claims it.
    let both = json!({"tenants": [{"name": "a"}, {"name": "c", "id": a}]});
    let mut fresh = State::default();
    apply(&mut fresh, &both, Scope::File);
    assert_eq!(id_of(&fresh, "c"), a);
}

/// The API's routes and keys of a tenant are not the file's to delete.
#[test]
fn a_tenant_that_leaves_the_file_keeps_what_the_api_made() {
    let mut state = State::default();
    apply(&mut state, &example(), Scope::File);
    let before = state.clone();
    let tenant = before
        .tenants
        .values()
        .find(|tenant| tenant.name == "a")
        .unwrap();
    let filed = before
        .routes
        .values()
        .find(|route| route.path == "/x")
        .unwrap();
    let stamp = Stamp::new(Uuid::now_v7(), ManagedBy::Api, Timestamp::UNIX_EPOCH);
    let own = Route {
        path: "/own".into(),
        ..(**filed).clone()
    }
    .stamped(stamp);
    state.apply(Delta {
        revision: 9,
        changes: vec![Change::PutRoute(own)],
    });
    // Its keys may go to another tenant at once.
    let without = json!({"tenants": [{"name": "b", "keys": [{"key": "0123456789abcdef"}]}], "routes": [route("/p")]});
    assert_eq!(apply(&mut state, &without, Scope::File), [1, 1, 4]);
    let kept = &state.tenants[&tenant.id];
    assert_eq!((kept.is_active, kept.managed_by), (false, ManagedBy::Api));
    let left: Vec<&str> = (state.routes.values())
        .filter(|route| route.tenant_id == Some(tenant.id))
        .map(|route| route.path.as_str())
        .collect();
    assert_eq!(left, ["/own"]);
    assert!(state.keys.values().all(|key| key.tenant_id != tenant.id));
    assert_eq!(apply(&mut state, &without, Scope::File), [0, 0, 0]);
    // Back in the file it is what it was.
    assert_eq!(apply(&mut state, &example(), Scope::File), [4, 1, 1]);
    let back = &state.tenants[&tenant.id];
    assert_eq!((back.is_active, back.managed_by), (true, ManagedBy::File));
    assert_eq!(state.routes.len(), before.routes.len() + 1);
}

#[test]
fn repeated_and_contradicting_entries_are_named() {
    let hash = format!("hmac-sha256:{}", "00".repeat(32));
    let id = Uuid::now_v7();
    let identified = |path: &str| {
        let mut route = route(path);
        route["id"] = json!(Uuid::now_v7());
        route
    };
    let document = json!({
        "tenants": [
            {"name": "a", "id": id, "keys": [{"name": "k", "hash": hash}, {"name": "k", "key": "0123456789abcdef"}], "routes": [route("/x"), route("/x")]},
            {"name": "a", "id": id, "keys": [{"hash": hash}, {"name": "other", "key": "0123456789abcdef"}]},
        ],
        "routes": [route("/x"), identified("/y/{a}"), identified("/%79/{b}")],
    });
    let expected = [
        "tenants[0].keys[1].name: tenants[0].keys[0] has the same name; give each key of a tenant a name of its own",
        "tenants[0].routes[1].path: tenants[0].routes[0] matches the same requests; remove one of them or give it another `priority`",
        "tenants[1].name: tenants[0] has the same name; give each tenant a name of its own",
        "tenants[1].id: tenants[0] has the same id",
        "tenants[1].keys[0].hash: tenants[0].keys[0] is the same key; a key belongs to one tenant, once",
        "tenants[1].keys[1].key: tenants[0].keys[1] is the same key; a key belongs to one tenant, once",
        "routes[2].path: routes[1] matches the same requests; remove one of them or give it another `priority`",
    ];
    assert_eq!(read_value(&document).unwrap_err(), expected);
    let wrong = json!({"tenants": [{"name": "a", "keys": [
        {"name": "none"}, {"key": "0123456789abcdef", "hash": hash}, {"key": "0123456789abcdef", "hint": "x"}, {"hash": "x"},
        {"key": "${env:}"}, {"key": "${NAME}"}, {"key": "${env:NAME}"},
    ]}], "tiers": {"pro": {}}, "tenant": []});
    let problems = read_value(&wrong).unwrap_err();
    let fields: Vec<&str> = problems
        .iter()
        .map(|problem| problem.split(": ").next().unwrap())
        .collect();
    let keys = [
        "[0]", "[1].hash", "[2].hint", "[3].hash", "[4].key", "[5].key", "[6].key",
    ]
    .map(|k| format!("tenants[0].keys{k}"));
    let mut expected = vec!["tiers.pro"];
    expected.extend(keys.iter().map(String::as_str));
    expected.push("tenant");
    assert_eq!(fields, expected, "{problems:?}");
}

#[test]
fn what_only_the_state_shows() {
    let keys = Keys::new(b"p");
    let mut state = State::default();
    apply(&mut state, &example(), Scope::Api);
    let explain = |state: &State, document: &Value, scope: Scope| -> Vec<String> {
        let declared = read_value(document).unwrap();
        match plan(state, &declared, scope, &keys, &author(), &mut Uuid::now_v7) {
            Ok(plan) => panic!("planned {:?}", plan.diff),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    };
    // The same key as text and as hash.
    let hash: String = keys.hash("0123456789abcdeX").into();
    let twice = json!({"tenants": [{"name": "n", "keys": [{"key": "0123456789abcdeX"}, {"name": "h", "hash": hash}]}]});
    assert_eq!(
        explain(&state, &twice, Scope::File),
        [
            "tenants[0].keys[1]: tenants[0].keys[0] is the same key; a key belongs to one tenant, once"
        ]
    );
    // A key that another scope holds, and one that was revoked.
    let taken = json!({"tenants": [{"name": "n", "keys": [{"key": "0123456789abcdef"}]}]});
    assert!(
        explain(&state, &taken, Scope::File)[0]
            .starts_with("tenants[0].keys[0]: this key is in use already")
    );
    let key = state.keys.values().find(|key| key.name == "one").unwrap();
    let revoked = crate::model::ApiKey {
        revoked_at: Some(Timestamp::UNIX_EPOCH),
        ..(**key).clone()
    };
    state.apply(Delta {
        revision: 9,
        changes: vec![Change::PutKey(revoked)],
    });
    assert!(
        explain(&state, &example(), Scope::Api)[0]
            .starts_with("tenants[0].keys[0]: this key was revoked at 1970-")
    );
    // Ids that are someone else's, and names that are held by another id.
    let other = state
        .routes
        .values()
        .find(|route| route.tenant_id.is_some())
        .unwrap()
        .stamp()
        .id;
    let mut stolen = route("/z");
    stolen["id"] = json!(other);
    assert!(
        explain(&state, &json!({"routes": [stolen]}), Scope::File)[0]
            .starts_with("routes[0].id: the id ")
    );
    // A route that would take the place of one that another scope manages.
    let mut filed = State::default();
    apply(&mut filed, &json!({"routes": [route("/x")]}), Scope::File);
    apply(&mut filed, &json!({"routes": [route("/y")]}), Scope::Api);
    let own = filed.routes.values().find(|route| route.path == "/y");
    let mut moved = route("/x");
    moved["id"] = json!(own.unwrap().id);
    assert!(
        explain(&filed, &json!({"routes": [moved]}), Scope::Api)[0]
            .starts_with("routes[0].path: the route ")
    );
    let renamed = json!({"tenants": [{"name": "a", "id": Uuid::now_v7()}]});
    assert!(explain(&state, &renamed, Scope::File)[0].starts_with("tenants[0].name: the tenant "));
}

#[test]
fn the_environment_gives_keys_to_files() {
    let document = json!({"tenants": [{"name": "a", "keys": [{"key": "${env:KEY}"}, {"name": "s", "key": "${env:SHORT}"}]}]});
    let environment = |name: &str| match name {
        "KEY" => Ok("0123456789abcdef".to_owned()),
        _ => Ok("short".to_owned()),
    };
    let problems = read(&document, &RateLimit::default_tiers(), &environment).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "tenants[0].keys[1].key: ${env:SHORT}: expected 16 to 256 characters, found 5"
    );
}

#[test]
fn a_file_is_checked_with_line_and_column() {
    let check = |text: &str, suffix: &str| {
        let mut file = tempfile::Builder::new().suffix(suffix).tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let name = file.path().display().to_string();
        check_file(file.path()).map_err(|lines| {
            lines
                .into_iter()
                .map(|line| line.replace(&name, "F"))
                .collect::<Vec<_>>()
        })
    };
    let toml = "[tiers.free]\nlimit = 60\nwindowMs = 60000\n[[tenants]]\nname = \"a\"\nkeys = [{ key = \"0123456789abcdef\" }]\n\
                [[tenants.routes]]\nmethod = \"GET\"\npath = \"/a\"\nupstreams = [{ url = \"http://a\" }]\n";
    assert_eq!(
        check(toml, ".toml"),
        Ok(Summary {
            tiers: 1,
            tenants: 1,
            keys: 1,
            routes: 1
        })
    );
    let wrong = toml
        .replace("\"GET\"", "\"GTE\"")
        .replace("limit = 60", "limit = 0");
    let lines = check(&wrong, ".toml").unwrap_err();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].starts_with("F:2:9: tiers.free.limit: expected"),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("F:8:10: tenants[0].routes[0].method: "),
        "{lines:?}"
    );
    let lines = check(
        "tenants:\n  - name: a\n    keys:\n      - key: ${env:BASTIDE_TEST_NO_SUCH_VARIABLE}\n",
        ".yaml",
    )
    .unwrap_err();
    assert!(
        lines[0].ends_with("the environment variable BASTIDE_TEST_NO_SUCH_VARIABLE is not set"),
        "{lines:?}"
    );
    assert_eq!(check("{\"tenants\": [}", ".json").unwrap_err().len(), 1);
    assert_eq!(check("", ".ini").unwrap_err().len(), 1);
    assert_eq!(check("", ".toml").unwrap_err().len(), 1);
    assert_eq!(
        check("{\"ten\\nants\": []}", ".json").unwrap_err().len(),
        1,
        "a line for each mistake, whatever it names"
    );
    assert_eq!(
        check("tenants = []", ".toml"),
        Ok(Summary {
            tiers: 0,
            tenants: 0,
            keys: 0,
            routes: 0
        })
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_explained(text in prop_oneof![".{0,200}", "[\\[\\]{}\":,a-z0-9= \n-]{0,200}"]) {
        for format in [Format::Toml, Format::Yaml, Format::Json] {
            if let Err(lines) = Applicable::read(Source::new("d", format, &*text), &RateLimit::default_tiers(), &no_environment) {
                prop_assert!(!lines.is_empty());
            }
        }
    }

    /// A document with a few places damaged reaches deeper than any text at random: what it says is read, or each mistake is
    /// named with its place.
    #[test]
    fn a_damaged_document_is_read_or_explained(
        toml in any::<bool>(),
        damages in prop::collection::vec((any::<prop::sample::Index>(), 0..6_usize, damage()), 1..4),
    ) {
        let whole = if toml { EXAMPLE_TOML.to_owned() } else { serde_json::to_string_pretty(&example()).unwrap() };
        let mut text: Vec<char> = whole.chars().collect();
        for (place, removed, put) in damages {
            let at = place.index(text.len() + 1);
            let end = (at + removed).min(text.len());
            text.splice(at..end, put.chars());
        }
        let text: String = text.into_iter().collect();
        let formats: &[Format] = if toml { &[Format::Toml] } else { &[Format::Json, Format::Yaml] };
        for format in formats {
            match Applicable::read(Source::new("d", *format, &*text), &RateLimit::default_tiers(), &no_environment) {
                Ok(applicable) => {
                    // It can be planned, whatever it is.
                    let plan = applicable.plan(&State::default(), Scope::File, &Keys::new(b"pepper"), &author());
                    prop_assert!(plan.is_ok(), "{plan:?}");
                }
                Err(lines) => {
                    prop_assert!(!lines.is_empty());
                    for line in lines {
                        prop_assert!(line.starts_with("d:"), "{line}");
                    }
                }
            }
        }
    }

    /// Whatever two documents say, the second one is in force after both, and applies as nothing then.
    #[test]
    fn a_plan_reaches_its_document(first in documents(), second in documents(), file in any::<bool>()) {
        let scope = if file { Scope::File } else { Scope::Api };
        let mut state = State::default();
        apply(&mut state, &first, scope);
        apply(&mut state, &second, scope);
        prop_assert_eq!(apply(&mut state, &second, scope), [0, 0, 0]);
        let exported = export(&state);
        prop_assert_eq!(apply(&mut state, &exported, scope), [0, 0, 0]);
        let mut fresh = State::default();
        apply(&mut fresh, &second, scope);
        prop_assert_eq!(without_ids(export(&state)), without_ids(export(&fresh)));
    }
}

const EXAMPLE_TOML: &str = r#"
[[tenants]]
name = "acme"
tier = "pro"
rateLimit = { requestsPerSecond = 10, burstSize = 20 }

[[tenants.keys]]
name = "ci"
hash = "$2b$04$abcdefghijklmnopqrstuunPKr0wtmDlW0zEQCy9Y0ZLm2suzv4ZS"

[[tenants.routes]]
method = "GET"
path = "/a/{id}"
upstreams = [{ url = "http://a.test", weight = 2 }]

[[routes]]
method = "*"
path = "/all"
pathType = "prefix"
auth = "none"
upstreams = [{ url = "unix:/run/a.sock" }]
"#;

/// What may be put into a document.
fn damage() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "",
        "\"",
        "\n",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "=",
        "0",
        "-1",
        "null",
        "true",
        "1e999",
        "\u{0}",
        "\u{feff}",
        "é",
        "..",
        "*",
        "\\",
        "$",
        "#",
        "- ",
        "&a ",
        "name",
        "\"id\": \"x\",",
        "unix:",
        "99999999999999999999",
    ])
}

/// Documents over few names, so that two of them have much in common.
fn documents() -> impl Strategy<Value = Value> {
    let route = (0..4, prop::bool::ANY).prop_map(|(path, active)| {
        let mut route = route(&format!("/{path}"));
        route["isActive"] = json!(active);
        route
    });
    let routes = prop::collection::vec(route, 0..4).prop_map(|mut routes| {
        routes.sort_by_key(|route| route["path"].to_string());
        routes.dedup_by_key(|route| route["path"].clone());
        routes
    });
    let tenant = (
        routes.clone(),
        prop::sample::subsequence(vec![0, 1, 2], 0..3),
        prop::bool::ANY,
    );
    (prop::collection::btree_map(0..3, tenant, 0..3), routes).prop_map(|(tenants, routes)| {
        let tenants: Vec<Value> = tenants
            .into_iter()
            .map(|(name, (routes, keys, active))| {
                let keys: Vec<Value> =
                    keys.iter().map(|k| json!({"name": format!("k{k}"), "key": format!("a-rather-long-key-{name}-{k}")})).collect();
                json!({"name": format!("t{name}"), "isActive": active, "keys": keys, "routes": routes})
            })
            .collect();
        json!({"tenants": tenants, "routes": routes})
    })
}

/// Ids differ between two histories, and with them the order.
fn without_ids(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(name, _)| name != "id")
            .map(|(name, value)| (name, without_ids(value)))
            .collect(),
        Value::Array(elements) => {
            let mut elements: Vec<Value> = elements.into_iter().map(without_ids).collect();
            elements.sort_by_key(Value::to_string);
            Value::Array(elements)
        }
        other => other,
    }
}
