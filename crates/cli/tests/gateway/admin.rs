//! G12: the Admin API.

use serde_json::{Value, json};

use crate::harness::*;

/// The example of the document that the gateway was built after.
fn example() -> Value {
    json!({
        "method": "GET",
        "path": "/api/users",
        "pathType": "prefix",
        "upstreams": [
            { "url": "http://users-service:3000", "weight": 3 },
            { "url": "http://users-backup:3000", "weight": 1 }
        ],
        "loadBalancing": "weighted",
        "resilience": {
            "circuitBreaker": { "enabled": true, "failureThreshold": 5, "successThreshold": 2, "timeout": 30000 },
            "retry": { "enabled": true, "maxRetries": 3, "baseDelayMs": 1000, "retryableStatusCodes": [500, 502, 503, 504] },
            "timeout": { "default": 10000, "byMethod": { "GET": 5000, "POST": 30000 } },
            "healthCheck": {
                "enabled": true, "endpoint": "/health", "intervalMs": 30000, "timeoutMs": 5000,
                "healthyThreshold": 2, "unhealthyThreshold": 3
            },
            "fallback": {
                "enabled": true, "statusCode": 503, "contentType": "application/json",
                "body": "{\"error\":\"Service temporarily unavailable\"}"
            }
        }
    })
}

on_both! {
    fn g12_every_path_wants_the_admin_key(backend) {
        let gateway = Gateway::start(backend);
        let tenant = gateway.tenant("acme");
        let wrong = Request::get("/admin/tenants").header("X-Admin-Key", "wrong");
        gateway
            .call_admin(&wrong)
            .expect_problem(401, "admin_key_invalid");
        for path in [
            "/admin/tenants",
            "/admin/routes",
            "/admin/audit",
            "/admin/config",
            "/admin/nothing",
            "/admin",
        ] {
            gateway
                .call_admin(&Request::get(path))
                .expect_problem(401, "admin_key_missing");
            for wrong in [
                "wrong",
                &tenant.key,
                &ADMIN_KEY[1..],
                &ADMIN_KEY.to_uppercase(),
            ] {
                let refused = gateway.call_admin(&Request::get(path).header("X-Admin-Key", wrong));
                assert!(matches!(refused.status, 401 | 429), "{path}: {refused:?}");
            }
        }
        // Whoever guessed wrong does not lock the operator out.
        gateway
            .admin("GET", "/admin/tenants", Value::Null)
            .expect(200);
    }

    fn g12_the_public_listener_serves_no_admin(backend) {
        let gateway = Gateway::start(backend);
        let request = Request::get("/admin/tenants").header("X-Admin-Key", ADMIN_KEY);
        gateway
            .call(&request)
            .expect_problem(401, "api_key_missing");
    }

    fn g12_the_examples_route_is_accepted_as_it_stands(backend) {
        let gateway = Gateway::start(backend);
        let tenant = gateway.tenant("acme");
        let mut route = example();
        route["tenantId"] = json!(tenant.id);
        let made = gateway
            .admin("POST", "/admin/routes", route.clone())
            .expect(201);
        let data = made.data();
        for (name, value) in route
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| !["resilience", "upstreams"].contains(&name.as_str()))
        {
            assert_eq!(&data[name], value, "{name}");
        }
        for part in [
            "circuitBreaker",
            "retry",
            "timeout",
            "healthCheck",
            "fallback",
        ] {
            for (name, value) in route["resilience"][part].as_object().unwrap() {
                assert_eq!(&data["resilience"][part][name], value, "{part}.{name}");
            }
        }
        assert_eq!(data["upstreams"][0]["weight"], 3);
        let listed = gateway
            .admin(
                "GET",
                &format!("/admin/tenants/{}/routes", tenant.id),
                Value::Null,
            )
            .expect(200)
            .data();
        assert_eq!(listed, json!([data]));
        // Without a tenant it is the platform's.
        gateway
            .admin("POST", "/admin/routes", example())
            .expect(201);
        assert_eq!(
            gateway
                .admin("GET", "/admin/routes", Value::Null)
                .expect(200)
                .data()
                .as_array()
                .unwrap()
                .len(),
            2
        );
    }

    /// What a named part leaves out has its documented default, and what it says is kept.
    fn g12_each_part_of_resilience_has_the_documented_defaults(backend) {
        let gateway = Gateway::start(backend);
        let mut route = example();
        route["resilience"] = json!({
            "circuitBreaker": {}, "retry": {}, "timeout": {}, "healthCheck": {}, "fallback": {},
        });
        let whole = json!({
            "circuitBreaker": { "enabled": true, "failureThreshold": 5, "successThreshold": 2, "timeout": 30_000 },
            "retry": {
                "enabled": true, "maxRetries": 3, "baseDelayMs": 1_000, "maxDelayMs": 30_000,
                "retryableStatusCodes": [500, 502, 503, 504],
            },
            "timeout": {},
            "healthCheck": {
                "enabled": true, "endpoint": "/health", "intervalMs": 30_000, "timeoutMs": 5_000,
                "healthyThreshold": 2, "unhealthyThreshold": 3,
            },
            "fallback": {
                "enabled": true, "statusCode": 503, "contentType": "application/json", "cached": false,
                "body": "{\"error\":\"Service Unavailable\",\"message\":\"The upstream service is temporarily unavailable\"}",
            },
        });
        let made = gateway.admin("POST", "/admin/routes", route).expect(201).data();
        assert_eq!(made["resilience"], whole);
        let id = made["id"].as_str().unwrap();
        let patch = json!({ "resilience": { "retry": { "maxRetries": 7 } } });
        let mut changed = whole;
        changed["retry"]["maxRetries"] = json!(7);
        assert_eq!(gateway.patch_route(id, patch)["resilience"], changed);
    }

    fn g12_entity_tags_keep_two_operators_from_overwriting_each_other(backend) {
        let gateway = Gateway::start(backend);
        let tenant = gateway.tenant("acme");
        let path = format!("/admin/tenants/{}", tenant.id);
        let tag = gateway
            .admin("GET", &path, Value::Null)
            .expect(200)
            .header("etag")
            .unwrap()
            .to_owned();
        let with_tag = |method: &str, header: &str, body: Value| {
            let request = Request::new(method, &path)
                .header("X-Admin-Key", ADMIN_KEY)
                .header(header, &tag);
            gateway.call_admin(&if body.is_null() {
                request
            } else {
                request.json(&body)
            })
        };
        with_tag("GET", "If-None-Match", Value::Null).expect(304);
        let first = with_tag("PATCH", "If-Match", json!({ "tier": "pro" })).expect(200);
        assert_ne!(first.header("etag"), Some(tag.as_str()));
        with_tag("PATCH", "If-Match", json!({ "tier": "free" }))
            .expect_problem(412, "precondition_failed");
        with_tag("DELETE", "If-Match", Value::Null).expect_problem(412, "precondition_failed");
        with_tag("GET", "If-None-Match", Value::Null).expect(200);
        assert_eq!(
            gateway.admin("GET", &path, Value::Null).expect(200).data()["tier"],
            "pro"
        );
        // What changes nothing makes no new version.
        let same = gateway
            .admin("PATCH", &path, json!({ "tier": "pro" }))
            .expect(200);
        assert_eq!(same.header("etag"), first.header("etag"));
    }

    fn g12_every_change_is_in_the_audit_log(backend) {
        let gateway = Gateway::start(backend);
        let tenant = gateway.tenant("acme");
        let changed = gateway
            .admin(
                "PATCH",
                &format!("/admin/tenants/{}", tenant.id),
                json!({ "tier": "pro" }),
            )
            .expect(200);
        let route = gateway.prefix_route(&tenant, "/", &[&Upstream::named("a")], Value::Null);
        gateway
            .admin("POST", "/admin/tenants", json!({ "name": "" }))
            .expect(400);
        gateway
            .admin("DELETE", &format!("/admin/routes/{route}"), Value::Null)
            .expect(204);
        let log = gateway
            .admin("GET", "/admin/audit", Value::Null)
            .expect(200)
            .data();
        let lines: Vec<(&str, &str)> = log
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| {
                (
                    entry["action"].as_str().unwrap(),
                    entry["entity"].as_str().unwrap(),
                )
            })
            .collect();
        // Newest first; a tenant is made with its key, in either order.
        assert_eq!(
            lines[..3],
            [
                ("delete", "route"),
                ("create", "route"),
                ("update", "tenant")
            ]
        );
        assert!(
            lines[3..].contains(&("create", "tenant"))
                && lines[3..].contains(&("create", "key"))
                && lines.len() == 5,
            "{lines:?}"
        );
        let update = &log[2];
        assert_eq!(update["actor"], "admin");
        assert_eq!(
            (
                update["before"]["tier"].as_str(),
                update["after"]["tier"].as_str()
            ),
            (Some("free"), Some("pro"))
        );
        assert_eq!(update["requestId"].as_str(), changed.header("x-request-id"));
        assert_eq!(update["entityId"], tenant.id);
        let of_routes = gateway
            .admin("GET", "/admin/audit?entity=route", Value::Null)
            .expect(200)
            .data();
        assert_eq!(of_routes.as_array().unwrap().len(), 2);
        let page = gateway
            .admin("GET", "/admin/audit?limit=2", Value::Null)
            .expect(200)
            .json();
        let next = page["nextCursor"].as_str().unwrap();
        let rest = gateway
            .admin(
                "GET",
                &format!("/admin/audit?limit=10&cursor={next}"),
                Value::Null,
            )
            .expect(200)
            .data();
        assert_eq!(rest.as_array().unwrap().len(), 3);
    }

    fn g12_a_route_can_be_replaced_whole(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::echo();
        let tenant = gateway.tenant("acme");
        let id = gateway.prefix_route(
            &tenant,
            "/a",
            &[&upstream],
            json!({ "priority": 7, "stripPrefix": false }),
        );
        let path = format!("/admin/routes/{id}");
        let whole = json!({ "tenantId": tenant.id, "method": "GET", "path": "/b", "upstreams": [{ "url": upstream.url() }] });
        let replaced = gateway.admin("PUT", &path, whole).expect(200).data();
        assert_eq!(
            (
                &replaced["priority"],
                &replaced["stripPrefix"],
                &replaced["pathType"]
            ),
            (&json!(0), &json!(true), &json!("exact"))
        );
        gateway.get("/a", &tenant.key).expect(404);
        gateway.get("/b", &tenant.key).expect(200);
        // What was read can be sent back whole.
        let read = gateway.admin("GET", &path, Value::Null).expect(200).data();
        gateway.admin("PUT", &path, read.clone()).expect(200);
        gateway.admin("PATCH", &path, read).expect(200);
    }

    fn g12_the_whole_configuration_can_be_read_changed_and_tried_out(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_before(&upstream);
        let before = gateway
            .admin("GET", "/admin/config", Value::Null)
            .expect(200);
        // Sent back as it is, it changes nothing.
        let diff = gateway
            .admin("PUT", "/admin/config", before.json())
            .expect(200);
        assert_eq!(diff.header("etag"), before.header("etag"));
        let fewer = json!({ "tenants": [] });
        gateway
            .admin("PUT", "/admin/config?dryRun=true", fewer.clone())
            .expect(200);
        gateway.get("/", &tenant.key).expect(200);
        let wrong = json!({ "tenants": [{ "name": "a" }, { "nome": "b" }] });
        gateway
            .admin("PUT", "/admin/config", wrong)
            .expect_problem(400, "validation_failed");
        gateway.get("/", &tenant.key).expect(200);
        gateway.admin("PUT", "/admin/config", fewer).expect(200);
        gateway.get("/", &tenant.key).expect(403);
        // And back: the hash in the document is the key's.
        gateway
            .admin("PUT", "/admin/config", before.json())
            .expect(200);
        gateway.get("/", &tenant.key).expect(200);
    }

    fn g12_what_a_creation_answers_can_be_sent_back(backend) {
        let gateway = Gateway::start(backend);
        let made = gateway
            .admin("POST", "/admin/tenants", json!({ "name": "a" }))
            .expect(201)
            .data();
        let path = format!("/admin/tenants/{}", made["id"].as_str().expect("a text"));
        let read = gateway.admin("GET", &path, Value::Null).expect(200).data();
        for time in ["createdAt", "updatedAt"] {
            assert_eq!(made[time], read[time]);
        }
        gateway.admin("PATCH", &path, made).expect(200);
    }

    fn g12_a_whole_configuration_lets_no_route_take_the_place_of_another(backend) {
        let gateway = Gateway::start(backend);
        let (one, other) = (Upstream::named("one"), Upstream::named("other"));
        let tenant = gateway.tenant("acme");
        for (path, upstream) in [("/one", &one), ("/other", &other)] {
            gateway.route(json!({
                "tenantId": tenant.id, "method": "GET", "path": path,
                "upstreams": [{ "url": upstream.url() }],
            }));
        }
        let mut document = gateway
            .admin("GET", "/admin/config", Value::Null)
            .expect(200)
            .data();
        document["tenants"][0]["routes"][0]["path"] = json!("/other");
        for path in ["/admin/config?dryRun=true", "/admin/config"] {
            let refused = gateway
                .admin("PUT", path, document.clone())
                .expect_problem(400, "validation_failed");
            assert_eq!(
                refused.json()["errors"][0]["field"],
                "tenants[0].routes[1].path"
            );
        }
        assert_eq!(gateway.get("/one", &tenant.key).expect(200).text(), "one");
        document["tenants"][0]["routes"][0]["path"] = json!("/third");
        gateway.admin("PUT", "/admin/config", document).expect(200);
    }

    fn g12_head_and_options_are_answered(backend) {
        let gateway = Gateway::start(backend);
        let head = gateway
            .call_admin(&Request::new("HEAD", "/admin/tenants").header("X-Admin-Key", ADMIN_KEY))
            .expect(200);
        assert!(head.body.is_empty());
        let options = gateway
            .call_admin(&Request::new("OPTIONS", "/admin/tenants").header("X-Admin-Key", ADMIN_KEY))
            .expect(204);
        assert_eq!(options.header("allow"), Some("GET, POST, HEAD, OPTIONS"));
    }
}

#[test]
fn g12_the_admin_api_can_share_the_public_listener() {
    let gateway = Gateway::start(Options::new(Backend::Embedded).arg("--admin-listen", "same"));
    assert_eq!(gateway.public, gateway.admin);
    let upstream = Upstream::named("a");
    let tenant = gateway.tenant_before(&upstream);
    gateway.get("/x", &tenant.key).expect(200);
    // No route shadows it, and no tenant's key opens it.
    gateway
        .get("/admin/tenants", &tenant.key)
        .expect_problem(401, "admin_key_missing");
    gateway.call_admin(&Request::get("/metrics")).expect(200);
    assert_eq!(upstream.count(), 1);
}
