//! G12: what the Admin API refuses, and how it says so: a stable code, and each mistake by its field.

use serde_json::{Value, json};

use crate::harness::*;

/// The fields that a refusal names.
fn fields(refused: &Response) -> Vec<String> {
    let errors = refused.json()["errors"].take();
    let errors = errors
        .as_array()
        .unwrap_or_else(|| panic!("no errors in {refused:?}"));
    assert!(
        errors.iter().all(|error| error["message"]
            .as_str()
            .is_some_and(|message| !message.is_empty())),
        "{refused:?}"
    );
    errors
        .iter()
        .map(|error| error["field"].as_str().unwrap().to_owned())
        .collect()
}

on_both! {
    fn g12_each_mistake_in_a_body_is_named_by_its_field_all_at_once(backend) {
        let gateway = Gateway::start(backend);
        let wrong = json!({
            "method": "FETCH", "path": "no-slash", "pathType": "fuzzy", "priority": "high", "colour": "red",
            "upstreams": [{ "url": "ftp://a" }, { "url": "http://a", "weight": 0 }],
            "rateLimit": { "limit": 1 },
            "resilience": { "retry": { "maxRetries": -1 }, "circuitBreakers": {} },
        });
        let refused = gateway
            .admin("POST", "/admin/routes", wrong)
            .expect_problem(400, "validation_failed");
        let named = fields(&refused);
        for field in [
            "method",
            "pathType",
            "priority",
            "colour",
            "upstreams[0].url",
            "upstreams[1].weight",
            "rateLimit.windowMs",
            "resilience.retry.maxRetries",
            "resilience.circuitBreakers",
        ] {
            assert!(
                named.contains(&field.to_owned()),
                "{field} is not among {named:?}"
            );
        }
        let all = gateway
            .admin("GET", "/admin/routes", Value::Null)
            .expect(200)
            .data();
        assert_eq!(all, json!([]), "what is refused leaves nothing behind");
    }

    fn g12_wrong_tenants_are_refused_by_field(backend) {
        let gateway = Gateway::start(backend);
        for (body, field) in [
            (json!({}), "name"),
            (json!({ "name": "" }), "name"),
            (json!({ "name": "x".repeat(256) }), "name"),
            (json!({ "name": 7 }), "name"),
            (json!({ "name": "a", "apiKey": "short" }), "apiKey"),
            (json!({ "name": "a", "isActive": "yes" }), "isActive"),
            (
                json!({ "name": "a", "rateLimit": { "requestsPerSecond": 0 } }),
                "rateLimit.requestsPerSecond",
            ),
            (json!({ "name": "a", "id": "b" }), "id"),
            (json!({ "name": "a", "nmae": "b" }), "nmae"),
        ] {
            let refused = gateway
                .admin("POST", "/admin/tenants", body.clone())
                .expect_problem(400, "validation_failed");
            assert_eq!(fields(&refused), [field], "{body}");
        }
        let tenant = gateway.tenant("acme");
        let path = format!("/admin/tenants/{}", tenant.id);
        let refused = gateway
            .admin("PATCH", &path, json!({ "name": null, "tier": "gold" }))
            .expect_problem(400, "validation_failed");
        let mut named = fields(&refused);
        named.sort_unstable();
        assert_eq!(named, ["name", "tier"]);
        assert_eq!(
            gateway.admin("GET", &path, Value::Null).expect(200).data()["name"],
            "acme",
            "a refused patch changes nothing"
        );
    }

    fn g12_a_route_of_a_tenant_that_is_not_there_is_refused(backend) {
        let gateway = Gateway::start(backend);
        let route = json!({
            "tenantId": "018f0000-0000-7000-8000-000000000000", "method": "GET", "path": "/",
            "upstreams": [{ "url": "http://a.test" }],
        });
        let refused = gateway
            .admin("POST", "/admin/routes", route)
            .expect_problem(400, "validation_failed");
        assert_eq!(fields(&refused), ["tenantId"]);
    }

    fn g12_bodies_that_cannot_be_read_are_refused(backend) {
        let gateway = Gateway::start(backend);
        let post = |content_type: &str, body: &str| {
            let request = Request::post("/admin/tenants", body).header("X-Admin-Key", ADMIN_KEY);
            gateway.call_admin(&request.header("Content-Type", content_type))
        };
        post("application/json", "{\"name\": ").expect_problem(400, "malformed_body");
        post("application/json", "").expect_problem(400, "malformed_body");
        post("application/json", "[]").expect(400);
        post("text/plain", "{\"name\": \"a\"}").expect_problem(415, "unsupported_media_type");
        post("application/json; charset=utf-8", "{\"name\": \"a\"}").expect(201);
        let long = format!("{{\"name\": \"{}\"}}", "x".repeat(2 << 20));
        post("application/json", &long).expect_problem(413, "body_too_large");
    }

    /// A stranger's body is not even read, and an operator's no further than an endpoint has use for.
    fn g12_bodies_are_read_no_further_than_they_may_be_long(backend) {
        let gateway = Gateway::start(backend);
        let head = |path: &str, key: &str, length: usize| {
            format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nX-Admin-Key: {key}\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n"
            )
        };
        // Announced and not sent: whoever waits for it never answers.
        let mut stranger = Client::connect(gateway.admin);
        stranger.send(head("/admin/tenants", "not-the-admin-key", 1 << 30));
        stranger.send([b' '; 4096]);
        stranger.read(false).expect(401);
        let mut lost = Client::connect(gateway.admin);
        lost.send(head("/admin/nothing", ADMIN_KEY, 1 << 30));
        lost.send([b' '; 4096]);
        lost.read(false).expect_problem(404, "not_found");
        let mut long = Client::connect(gateway.admin);
        long.send(head("/admin/tenants", ADMIN_KEY, 1 << 30));
        // One byte more than is allowed, of a gibibyte.
        let mut sent = 0;
        while sent <= 1 << 20 {
            long.send([b' '; 4096]);
            sent += 4096;
        }
        long.read(false).expect_problem(413, "body_too_large");
        let chunked = format!(
            "POST /admin/tenants HTTP/1.1\r\nHost: a\r\nX-Admin-Key: {ADMIN_KEY}\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n"
        );
        let mut client = Client::connect(gateway.admin);
        client.send(chunked);
        let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
        for _ in 0..17 {
            if client.try_send(&chunk).is_err() {
                break;
            }
        }
        client.read(false).expect_problem(413, "body_too_large");
        // The whole configuration may be longer than one object.
        let path = "x".repeat(1_000);
        let many: Vec<Value> = (0..1_200)
            .map(|number| json!({ "method": "GET", "path": format!("/{number}/{path}"), "upstreams": [{ "url": "http://a.test" }] }))
            .collect();
        let document = json!({ "routes": many });
        assert!(document.to_string().len() > 1 << 20);
        gateway.admin("PUT", "/admin/config?dryRun=true", document).expect(200);
    }

    fn g12_paths_and_methods_that_are_not_there(backend) {
        let gateway = Gateway::start(backend);
        gateway
            .admin("GET", "/admin/nothing", Value::Null)
            .expect_problem(404, "not_found");
        let refused = gateway
            .admin("PUT", "/admin/tenants", json!({}))
            .expect_problem(405, "method_not_allowed");
        assert!(
            refused.header("allow").unwrap().contains("POST"),
            "{refused:?}"
        );
        gateway
            .admin("GET", "/admin/tenants?limit=0", Value::Null)
            .expect_problem(400, "invalid_parameter");
        gateway
            .admin("GET", "/admin/tenants?page=2", Value::Null)
            .expect_problem(400, "invalid_parameter");
        gateway
            .admin("GET", "/admin/tenants?cursor=x", Value::Null)
            .expect_problem(400, "invalid_parameter");
    }
}
