//! G1: a tenant's keys and their life. G2: what they open.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::wait::within;
use crate::harness::*;

/// A new key of a tenant: its id and itself.
fn new_key(gateway: &Gateway, tenant: &TenantKey, settings: Value) -> (String, String) {
    let made = gateway
        .admin(
            "POST",
            &format!("/admin/tenants/{}/keys", tenant.id),
            settings,
        )
        .expect(201);
    (
        made.data()["id"].as_str().unwrap().to_owned(),
        made.json()["apiKey"].as_str().unwrap().to_owned(),
    )
}

fn revoke(gateway: &Gateway, tenant: &TenantKey, id: &str) {
    gateway
        .admin(
            "DELETE",
            &format!("/admin/tenants/{}/keys/{id}", tenant.id),
            Value::Null,
        )
        .expect(204);
}

on_both! {
    /// What a creation answers can be sent back, whatever a client's clock counts in.
    fn g1_an_expiry_is_as_precise_as_it_is_kept(backend) {
        let gateway = Gateway::start(backend);
        let tenant = gateway.tenant("acme");
        let keys = format!("/admin/tenants/{}/keys", tenant.id);
        let fine = json!({ "name": "fine", "expiresAt": "2999-01-01T00:00:00.123456789Z" });
        let made = gateway.admin("POST", &keys, fine).expect(201).data();
        assert_eq!(made["expiresAt"], "2999-01-01T00:00:00.123456Z");
        let path = format!("{keys}/{}", made["id"].as_str().unwrap());
        assert_eq!(gateway.admin("GET", &path, Value::Null).data(), made);
        let sent_back = gateway.admin("PATCH", &path, made.clone()).expect(200);
        assert_eq!(sent_back.data(), made, "it is no change");
        // A document that is applied again and again changes nothing after the first time.
        let document = json!({ "tenants": [{ "name": "other", "keys": [
            { "key": "0123456789abcdef", "expiresAt": "2999-01-01T00:00:00.123456789Z" },
        ] }] });
        gateway.admin("PUT", "/admin/config", document.clone()).expect(200);
        let again = gateway.admin("PUT", "/admin/config", document).expect(200).data();
        assert_eq!(again, json!({ "create": [], "update": [], "delete": [] }));
    }

    fn g2_a_request_without_a_key_is_401_whatever_its_path(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(&tenant, "/known", &[&upstream], Value::Null);
        for path in ["/known", "/unknown", "/"] {
            let refused = gateway
                .call(&Request::get(path))
                .expect_problem(401, "api_key_missing");
            assert!(
                refused.header("www-authenticate").is_some(),
                "RFC 9110 wants a challenge with each 401"
            );
            assert_eq!(refused.headers("x-ratelimit-limit").len(), 0);
        }
        gateway
            .call(&Request::get("/known").key(""))
            .expect_problem(401, "api_key_missing");
        assert_eq!(upstream.count(), 0);
    }

    fn g2_an_unknown_key_is_403_whatever_its_path(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_before(&upstream);
        for key in [
            "nobodys-key-at-all",
            &tenant.key[1..],
            &format!("{}x", tenant.key),
            &tenant.key.to_uppercase(),
        ] {
            let refused = gateway.get("/", key).expect_problem(403, "api_key_invalid");
            assert_eq!(refused.headers("x-ratelimit-limit").len(), 0);
        }
        assert_eq!(upstream.count(), 0);
    }

    fn g2_a_valid_key_opens_its_tenants_routes_and_no_others(backend) {
        let gateway = Gateway::start(backend);
        let (of_a, of_b) = (Upstream::named("a"), Upstream::named("b"));
        let (a, b) = (gateway.tenant("a"), gateway.tenant("b"));
        gateway.prefix_route(&a, "/same", &[&of_a], Value::Null);
        gateway.prefix_route(&b, "/same", &[&of_b], Value::Null);
        gateway.prefix_route(&b, "/only-b", &[&of_b], Value::Null);
        assert_eq!(gateway.get("/same", &a.key).expect(200).text(), "a");
        assert_eq!(gateway.get("/same", &b.key).expect(200).text(), "b");
        gateway
            .get("/only-b", &a.key)
            .expect_problem(404, "no_route");
        gateway.get("/only-b", &b.key).expect(200);
    }

    /// Two keys could be two opinions on who asks; and the upstream learns neither.
    fn g2_the_key_itself_goes_no_further_and_cannot_stand_twice(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_before(&upstream);
        gateway.get("/", &tenant.key).expect(200);
        assert_eq!(upstream.only().header("x-api-key"), None);
        let twice = gateway.call(&Request::get("/").key(&tenant.key).key(&tenant.key));
        assert!((400..=403).contains(&twice.status), "{twice:?}");
        assert_eq!(upstream.count(), 1);
    }

    /// What nobody asked for must not be handed on either: it may be good here.
    fn g2_keys_end_at_the_gateway_on_open_routes_as_well(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("open");
        let tenant = gateway.tenant("acme");
        gateway.route(json!({
            "method": "*", "path": "/open", "pathType": "prefix", "auth": "none",
            "upstreams": [{ "url": upstream.url() }],
        }));
        for keys in [
            vec![tenant.key.as_str()],
            vec![&tenant.key, &tenant.key],
            vec!["somebody else's key"],
        ] {
            let request = Request::get("/open").header("X-Admin-Key", ADMIN_KEY);
            let request = keys.iter().fold(request, |request, key| request.key(key));
            gateway.call(&request).expect(200);
            let got = upstream.last();
            assert_eq!((got.header("x-api-key"), got.header("x-admin-key")), (None, None));
        }
    }

    fn g1_a_tenant_has_several_keys_with_names_and_none_is_kept_in_the_clear(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_before(&upstream);
        let (ci, ci_key) = new_key(&gateway, &tenant, json!({ "name": "ci" }));
        let (_, web_key) = new_key(
            &gateway,
            &tenant,
            json!({ "name": "web", "apiKey": "the-web-shops-own-key" }),
        );
        assert_eq!(web_key, "the-web-shops-own-key");
        for key in [&tenant.key, &ci_key, &web_key] {
            gateway.get("/", key).expect(200);
        }
        let keys = gateway
            .admin(
                "GET",
                &format!("/admin/tenants/{}/keys", tenant.id),
                Value::Null,
            )
            .expect(200)
            .data();
        let names: Vec<&str> = keys
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["default", "ci", "web"]);
        assert!(keys[0].get("hash").is_none(), "{keys}");
        assert_eq!(keys[1]["id"], ci);
        assert!(ci_key.ends_with(keys[1]["hint"].as_str().unwrap()));

        let kept = fs::read_dir(gateway.data_dir())
            .unwrap()
            .flatten()
            .map(|entry| fs::read(entry.path()).unwrap_or_default());
        for file in kept {
            let is_in = |key: &String| {
                file.windows(key.len())
                    .any(|window| window == key.as_bytes())
            };
            assert!(
                ![&tenant.key, &ci_key, &web_key].into_iter().any(is_in),
                "a key is kept in the clear"
            );
        }
    }

    fn g1_a_revoked_key_is_refused_on_the_next_request_and_for_good(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_before(&upstream);
        let (id, key) = new_key(&gateway, &tenant, json!({ "name": "ci" }));
        // The same connection, so that nothing about it is remembered either.
        let mut client = gateway.connect();
        let request = Request::get("/").key(&key);
        client.call(&request).expect(200);
        revoke(&gateway, &tenant, &id);
        client.call(&request).expect_problem(403, "api_key_invalid");
        gateway.get("/", &tenant.key).expect(200);
        revoke(&gateway, &tenant, &id);
        let path = format!("/admin/tenants/{}/keys", tenant.id);
        let seen = gateway
            .admin("GET", &format!("{path}/{id}"), Value::Null)
            .expect(200)
            .data();
        assert!(seen["revokedAt"].is_string(), "{seen}");
        gateway
            .admin("POST", &path, json!({ "apiKey": key }))
            .expect_problem(409, "api_key_taken");
        let again = gateway.start_again();
        again.get("/", &key).expect_problem(403, "api_key_invalid");
    }

    fn g1_a_key_ends_at_its_expiry(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_before(&upstream);
        let end = jiff::Timestamp::now() + Duration::from_millis(1_500);
        let (_, key) = new_key(&gateway, &tenant, json!({ "expiresAt": end.to_string() }));
        gateway.get("/", &key).expect(200);
        eventually("the key expires", || gateway.get("/", &key).status == 403);
        assert!(jiff::Timestamp::now() >= end, "not before its time");
        gateway
            .get("/", &key)
            .expect_problem(403, "api_key_invalid");
        let past = json!({ "expiresAt": "2020-01-01T00:00:00Z" });
        let refused = gateway.admin("POST", &format!("/admin/tenants/{}/keys", tenant.id), past);
        assert_eq!(
            refused.expect_problem(400, "validation_failed").json()["errors"][0]["field"],
            "expiresAt"
        );
    }

    fn g1_rotation_keeps_the_old_key_for_its_grace(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_before(&upstream);
        let (id, old) = new_key(&gateway, &tenant, json!({ "name": "ci" }));
        let rotate = |id: &str, grace: u64| {
            let path = format!("/admin/tenants/{}/keys/{id}/rotate", tenant.id);
            let made = gateway
                .admin("POST", &path, json!({ "graceMs": grace }))
                .expect(201);
            assert_eq!(made.data()["name"], "ci");
            (
                made.data()["id"].as_str().unwrap().to_owned(),
                made.json()["apiKey"].as_str().unwrap().to_owned(),
            )
        };
        let (second_id, second) = rotate(&id, 1_500);
        assert_ne!(old, second);
        gateway.get("/", &old).expect(200);
        gateway.get("/", &second).expect(200);
        let path = format!("/admin/tenants/{}/keys/{id}/rotate", tenant.id);
        let refused = gateway.admin("POST", &path, json!({ "graceMs": 60_000 }));
        let refused = refused.expect_problem(409, "key_rotated").json();
        assert!(refused["detail"].to_string().contains(&second_id), "{refused}");
        eventually("the grace ends", || gateway.get("/", &old).status == 403);
        gateway.get("/", &second).expect(200);
        let (_, third) = rotate(&second_id, 0);
        gateway
            .get("/", &second)
            .expect_problem(403, "api_key_invalid");
        gateway.get("/", &third).expect(200);
    }

    fn g3_a_key_has_a_limit_of_its_own(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_before(&upstream);
        let (id, key) = new_key(
            &gateway,
            &tenant,
            json!({ "rateLimit": { "limit": 2, "windowMs": 60_000 } }),
        );
        for left in [1, 0] {
            let response = gateway.get("/", &key).expect(200);
            assert_eq!(
                (
                    response.number("x-ratelimit-limit"),
                    response.number("x-ratelimit-remaining")
                ),
                (2, left)
            );
        }
        gateway.get("/", &key).expect_problem(429, "rate_limited");
        gateway.get("/", &tenant.key).expect(200);
        let path = format!("/admin/tenants/{}/keys/{id}", tenant.id);
        gateway
            .admin("PATCH", &path, json!({ "rateLimit": null, "name": "free" }))
            .expect(200);
        gateway.get("/", &key).expect(200);
    }

    /// An imported bcrypt hash opens the door once by bcrypt, and then as every other key.
    fn g2_an_imported_bcrypt_hash_is_verified_and_rewritten(backend) {
        let gateway = Gateway::start(backend);
        let hash = "$2b$04$abcdefghijklmnopqrstuunPKr0wtmDlW0zEQCy9Y0ZLm2suzv4ZS";
        let document = json!({ "tenants": [{ "name": "old", "tier": "enterprise", "keys": [{ "name": "imported", "hash": hash }] }] });
        gateway.admin("PUT", "/admin/config", document).expect(200);
        gateway
            .get("/", "not-the-imported-key-1")
            .expect_problem(403, "api_key_invalid");
        gateway
            .get("/", "an-imported-bcrypt-key-1")
            .expect_problem(404, "no_route");
        eventually("the hash is rewritten", || {
            !gateway
                .admin("GET", "/admin/config", Value::Null)
                .expect(200)
                .text()
                .contains("$2b$")
        });
        gateway
            .get("/", "an-imported-bcrypt-key-1")
            .expect_problem(404, "no_route");
        let again = gateway.start_again();
        again
            .get("/", "an-imported-bcrypt-key-1")
            .expect_problem(404, "no_route");
    }
}

/// Two nodes on one Postgres: what the one revokes the other refuses within a second.
#[test]
fn g1_a_revocation_reaches_another_node_within_a_second() {
    let first = Gateway::start(Backend::Servers);
    let second = Gateway::start(first.options().another_node());
    let upstream = Upstream::named("a");
    let tenant = first.tenant_before(&upstream);
    within(
        Duration::from_secs(1),
        "the second node knows the tenant",
        || second.get("/", &tenant.key).status == 200,
    );
    let (id, key) = new_key(&first, &tenant, json!({ "name": "ci" }));
    within(
        Duration::from_secs(1),
        "the second node knows the key",
        || second.get("/", &key).status == 200,
    );
    revoke(&first, &tenant, &id);
    within(
        Duration::from_secs(1),
        "the second node refuses the key",
        || second.get("/", &key).status == 403,
    );
    // And the other way round, as no node is the first one.
    let (id, key) = new_key(&second, &tenant, json!({ "name": "ci" }));
    within(
        Duration::from_secs(1),
        "the first node knows the key",
        || first.get("/", &key).status == 200,
    );
    revoke(&second, &tenant, &id);
    within(
        Duration::from_secs(1),
        "the first node refuses the key",
        || first.get("/", &key).status == 403,
    );
}
