//! G1: tenants.

use serde_json::{Value, json};

use crate::harness::*;

on_both! {
    /// The answer that makes a tenant shows its key; no other answer does.
    fn g1_a_tenant_is_made_with_a_key_that_is_shown_once(backend) {
        let gateway = Gateway::start(backend);
        let made = gateway
            .admin("POST", "/admin/tenants", json!({ "name": "acme" }))
            .expect(201);
        let (tenant, key) = (
            made.data(),
            made.json()["apiKey"].as_str().unwrap().to_owned(),
        );
        assert_eq!(tenant["name"], "acme");
        assert_eq!(tenant["tier"], "free");
        assert_eq!(tenant["isActive"], true);
        assert_eq!(tenant["rateLimit"], Value::Null);
        assert!(
            tenant["createdAt"].is_string() && tenant["updatedAt"].is_string(),
            "{tenant}"
        );
        let path = format!("/admin/tenants/{}", tenant["id"].as_str().unwrap());
        assert_eq!(made.header("location"), Some(path.as_str()));

        for listed in [
            path.clone(),
            format!("{path}/keys"),
            "/admin/tenants".into(),
            "/admin/audit".into(),
            "/admin/config".into(),
        ] {
            let shown = gateway
                .admin("GET", &listed, Value::Null)
                .expect(200)
                .text();
            assert!(!shown.contains(&key), "{listed} shows the key");
        }
        // It speaks for the tenant: there is no route, and no longer a question of who asks.
        gateway.get("/", &key).expect_problem(404, "no_route");
    }

    fn g1_a_chosen_key_is_taken_as_it_is(backend) {
        let gateway = Gateway::start(backend);
        let chosen = "a-key-of-their-own-choice";
        let tenant = gateway.tenant_with(json!({ "name": "acme", "apiKey": chosen }));
        assert_eq!(tenant.key, chosen);
        gateway.get("/", chosen).expect(404);
    }

    fn g1_two_tenants_cannot_have_one_name_or_one_key(backend) {
        let gateway = Gateway::start(backend);
        let first = gateway.tenant("acme");
        let name = gateway
            .admin("POST", "/admin/tenants", json!({ "name": "acme" }))
            .expect_problem(409, "name_taken");
        assert_eq!(name.json()["errors"][0]["field"], "name");
        let same_key = json!({ "name": "other", "apiKey": first.key });
        gateway
            .admin("POST", "/admin/tenants", same_key)
            .expect_problem(409, "api_key_taken");
        let all = gateway
            .admin("GET", "/admin/tenants", Value::Null)
            .expect(200)
            .data();
        assert_eq!(
            all.as_array().unwrap().len(),
            1,
            "a refused tenant leaves nothing behind"
        );
    }

    fn g1_tenants_are_got_by_id_and_found_by_name(backend) {
        let gateway = Gateway::start(backend);
        let tenant = gateway.tenant("acme");
        gateway.tenant("other");
        let got = gateway
            .admin("GET", &format!("/admin/tenants/{}", tenant.id), Value::Null)
            .expect(200)
            .data();
        assert_eq!(got["id"], tenant.id);
        let found = gateway
            .admin("GET", "/admin/tenants?name=acme", Value::Null)
            .expect(200)
            .data();
        assert_eq!(found, json!([got]));
    }

    fn g1_a_tenant_that_is_not_there_is_404(backend) {
        let gateway = Gateway::start(backend);
        let path = "/admin/tenants/018f0000-0000-7000-8000-000000000000";
        gateway
            .admin("GET", path, Value::Null)
            .expect_problem(404, "not_found");
        gateway
            .admin("PATCH", path, json!({ "isActive": false }))
            .expect_problem(404, "not_found");
        gateway
            .admin("DELETE", path, Value::Null)
            .expect_problem(404, "not_found");
        gateway
            .admin("GET", "/admin/tenants/12", Value::Null)
            .expect_problem(404, "not_found");
    }

    /// Every tenant exactly once, in the order of their making, whatever the page's length.
    fn g1_the_list_of_tenants_is_paged(backend) {
        let gateway = Gateway::start(backend);
        let ids: Vec<String> = (0..5)
            .map(|number| gateway.tenant(&format!("tenant-{number}")).id)
            .collect();
        for limit in 1..=6 {
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = gateway
                    .admin(
                        "GET",
                        &format!("/admin/tenants?limit={limit}{cursor}"),
                        Value::Null,
                    )
                    .expect(200)
                    .json();
                let data = page["data"].as_array().unwrap();
                assert!(data.len() <= limit, "{page}");
                seen.extend(
                    data.iter()
                        .map(|tenant| tenant["id"].as_str().unwrap().to_owned()),
                );
                match page["nextCursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(seen, ids, "with a limit of {limit}");
        }
    }

    fn g1_each_field_of_a_tenant_can_be_patched_and_has_its_effect(backend) {
        let gateway = Gateway::start(backend);
        let tenant = gateway.tenant_with(json!({ "name": "acme" }));
        let limit = || {
            gateway
                .get("/", &tenant.key)
                .expect(404)
                .number("x-ratelimit-limit")
        };
        assert_eq!(limit(), 60);

        assert_eq!(
            gateway.patch_tenant(&tenant.id, json!({ "tier": "pro" }))["tier"],
            "pro"
        );
        assert_eq!(limit(), 1_000);
        gateway.patch_tenant(
            &tenant.id,
            json!({ "rateLimit": { "limit": 77, "windowMs": 30_000 } }),
        );
        assert_eq!(limit(), 77);
        // The older name of the same member.
        gateway.patch_tenant(
            &tenant.id,
            json!({ "defaultRateLimit": { "limit": 78, "windowMs": 30_000 } }),
        );
        assert_eq!(limit(), 78);
        gateway.patch_tenant(&tenant.id, json!({ "rateLimit": null }));
        assert_eq!(limit(), 1_000);

        let renamed = gateway.patch_tenant(&tenant.id, json!({ "name": "emca" }));
        assert_eq!(renamed["name"], "emca");
        assert_eq!(renamed["tier"], "pro", "what a patch does not name stays");
        let found = gateway
            .admin("GET", "/admin/tenants?name=emca", Value::Null)
            .expect(200)
            .data();
        assert_eq!(found[0]["id"], tenant.id);

        gateway.patch_tenant(&tenant.id, json!({ "isActive": false }));
        gateway
            .get("/", &tenant.key)
            .expect_problem(403, "tenant_inactive");
        gateway.patch_tenant(&tenant.id, json!({ "isActive": true }));
        gateway
            .get("/", &tenant.key)
            .expect_problem(404, "no_route");
    }

    fn g1_an_inactive_tenants_requests_reach_no_upstream(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_before(&upstream);
        gateway.patch_tenant(&tenant.id, json!({ "isActive": false }));
        let refused = gateway
            .get("/", &tenant.key)
            .expect_problem(403, "tenant_inactive");
        assert_eq!(
            refused.headers("x-ratelimit-limit").len(),
            0,
            "an inactive tenant uses up no limit"
        );
        assert_eq!(upstream.count(), 0);
    }

    fn g1_a_deleted_tenant_takes_its_keys_and_routes_along(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let (gone, stays) = (gateway.tenant("gone"), gateway.tenant("stays"));
        let route = gateway.prefix_route(&gone, "/", &[&upstream], Value::Null);
        let other = gateway.prefix_route(&stays, "/", &[&upstream], Value::Null);
        gateway.get("/", &gone.key).expect(200);

        gateway
            .admin(
                "DELETE",
                &format!("/admin/tenants/{}", gone.id),
                Value::Null,
            )
            .expect(204);
        gateway
            .get("/", &gone.key)
            .expect_problem(403, "api_key_invalid");
        gateway
            .admin("GET", &format!("/admin/routes/{route}"), Value::Null)
            .expect(404);
        gateway
            .admin(
                "GET",
                &format!("/admin/tenants/{}/keys", gone.id),
                Value::Null,
            )
            .expect(404);
        gateway
            .admin(
                "GET",
                &format!("/admin/tenants/{}/routes", gone.id),
                Value::Null,
            )
            .expect(404);
        let routes = gateway
            .admin("GET", "/admin/routes", Value::Null)
            .expect(200)
            .data();
        assert_eq!(routes.as_array().unwrap().len(), 1);
        assert_eq!(routes[0]["id"], other);
        gateway.get("/", &stays.key).expect(200);

        // It is gone for good, not only from memory.
        let (gone_key, stays_key) = (gone.key, stays.key);
        let again = gateway.start_again();
        again
            .get("/", &gone_key)
            .expect_problem(403, "api_key_invalid");
        again.get("/", &stays_key).expect(200);
    }
}
