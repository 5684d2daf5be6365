//! G12: the audit log of what the gateway does of its own accord.

use serde_json::{Value, json};

use crate::harness::program::Program;
use crate::harness::*;

/// The entries of the log, newest first.
#[track_caller]
fn entries(gateway: &Gateway) -> Vec<Value> {
    let log = gateway
        .admin("GET", "/admin/audit", Value::Null)
        .expect(200)
        .data();
    log.as_array().unwrap().clone()
}

on_both! {
    fn g12_what_seed_makes_is_in_the_log_with_what_it_is(backend) {
        let options = Options::new(backend);
        let data = options.folder().join("data").display().to_string();
        let url = options.stores().database_url();
        let env: Vec<_> = url.iter().map(|url| ("DATABASE_URL", url.as_str())).collect();
        let seeded = Program::run(&["gateway", "seed", "--data-dir", &data], &env, &options.folder());
        assert_eq!(seeded.code, Some(0), "{seeded:?}");
        let key = seeded.stdout.split("key ").nth(1).unwrap().split(' ').next().unwrap();

        let gateway = Gateway::start(options);
        let entries = entries(&gateway);
        assert_eq!(entries.len(), 3, "{entries:?}");
        let after = |entity: &str| {
            let entry = entries.iter().find(|entry| entry["entity"] == entity).unwrap();
            assert_eq!((&entry["action"], &entry["actor"]), (&json!("create"), &json!("system")));
            assert!(entry["before"].is_null(), "{entry}");
            assert_eq!(entry["after"]["id"], entry["entityId"], "{entry}");
            entry["after"].clone()
        };
        assert_eq!(after("tenant")["name"], "demo");
        assert_eq!(after("route")["path"], "/demo");
        assert_eq!(after("key")["name"], "default");
        assert!(
            !json!(entries).to_string().contains(key),
            "a key stands nowhere in the clear"
        );
    }

    fn g12_a_rewritten_hash_is_in_the_log_without_the_hash(backend) {
        let gateway = Gateway::start(backend);
        let hash = "$2b$04$abcdefghijklmnopqrstuunPKr0wtmDlW0zEQCy9Y0ZLm2suzv4ZS";
        let document = json!({ "tenants": [{ "name": "old", "keys": [{ "name": "imported", "hash": hash }] }] });
        gateway.admin("PUT", "/admin/config", document).expect(200);
        gateway.get("/", "an-imported-bcrypt-key-1").expect(404);
        let rehash = || entries(&gateway).into_iter().find(|entry| entry["action"] == "rehash");
        eventually("the hash is rewritten", || rehash().is_some());
        let entry = rehash().unwrap();
        assert_eq!((&entry["actor"], &entry["entity"]), (&json!("system"), &json!("key")));
        for side in ["before", "after"] {
            assert_eq!(entry[side]["name"], "imported", "{entry}");
            assert_eq!(entry[side]["id"], entry["entityId"], "{entry}");
        }
        assert_ne!(entry["before"]["updatedAt"], entry["after"]["updatedAt"], "{entry}");
        assert!(!entry.to_string().contains("$2b$"), "{entry}");
    }
}
