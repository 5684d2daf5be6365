//! `/admin/routes`.

use serde_json::{Value, json};

use super::Api;

/// The example of the original gateway's documentation.
pub(super) fn example() -> Value {
    json!({
        "method": "GET",
        "path": "/api/users",
        "pathType": "prefix",
        "upstreams": [
            {"url": "http://users-service:3000", "weight": 3},
            {"url": "http://users-backup:3000", "weight": 1}
        ],
        "loadBalancing": "weighted",
        "resilience": {
            "circuitBreaker": {"enabled": true, "failureThreshold": 5, "successThreshold": 2, "timeout": 30000},
            "retry": {"enabled": true, "maxRetries": 3, "baseDelayMs": 1000, "retryableStatusCodes": [500, 502, 503, 504]},
            "timeout": {"default": 10000, "byMethod": {"GET": 5000, "POST": 30000}},
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

#[tokio::test]
async fn the_documented_example_is_accepted_as_it_stands() {
    let api = Api::new();
    let tenant = api.tenant("acme").await;
    let mut body = example();
    body["tenantId"] = json!(tenant);
    let answer = api.post("/admin/routes", body.clone()).await.expect(201);
    let route = answer.data();
    for name in ["tenantId", "method", "path", "pathType", "loadBalancing"] {
        assert_eq!(route[name], body[name]);
    }
    assert_eq!(route["upstreams"], body["upstreams"]);
    for part in ["circuitBreaker", "timeout", "healthCheck"] {
        assert_eq!(route["resilience"][part], body["resilience"][part]);
    }
    assert_eq!(route["resilience"]["retry"]["maxDelayMs"], 30000);
    assert_eq!(
        (&route["auth"], &route["stripPrefix"], &route["priority"]),
        (&json!("api-key"), &json!(true), &json!(0))
    );
    let path = answer.header("location").to_owned();
    assert_eq!(api.get(&path).await.expect(200).data(), route);
    for list in [
        format!("/admin/tenants/{tenant}/routes"),
        format!("/admin/routes?tenantId={tenant}"),
        "/admin/routes".to_owned(),
    ] {
        assert_eq!(
            api.get(&list).await.expect(200).data(),
            json!([route]),
            "{list}"
        );
    }
    api.delete(&path).await.expect(204);
    api.delete(&path).await.expect(404);
    assert_eq!(api.actions().last().unwrap(), "route delete");
}

#[tokio::test]
async fn a_route_without_tenant_is_the_platforms_and_may_be_open() {
    let api = Api::new();
    let body = json!({"method": "*", "path": "/status", "auth": "none", "upstreams": [{"url": "unix:/run/a.sock"}]});
    let answer = api.post("/admin/routes", body.clone()).await.expect(201);
    assert_eq!(
        (&answer.data()["tenantId"], &answer.data()["auth"]),
        (&json!(null), &json!("none"))
    );
    let mut of_tenant = body.clone();
    of_tenant["tenantId"] = json!(api.tenant("acme").await);
    let errors = api
        .post("/admin/routes", of_tenant)
        .await
        .expect(400)
        .errors();
    assert!(
        errors[0].starts_with("auth: only a route of the platform"),
        "{errors:?}"
    );
    let mut of_nobody = body;
    of_nobody["auth"] = json!("api-key");
    of_nobody["tenantId"] = json!(uuid::Uuid::nil());
    let errors = api
        .post("/admin/routes", of_nobody)
        .await
        .expect(400)
        .errors();
    assert_eq!(
        errors,
        [format!(
            "tenantId: there is no tenant with the id {}",
            uuid::Uuid::nil()
        )]
    );
}

#[tokio::test]
async fn a_twin_that_would_never_serve_is_refused() {
    let api = Api::new();
    let tenant = api.tenant("acme").await;
    let first = api.route(&tenant, "/a").await;
    let second = api.route(&tenant, "/b").await;
    let body = json!({"tenantId": tenant, "method": "GET", "path": "/a", "upstreams": [{"url": "http://a:1"}]});
    let answer = api.post("/admin/routes", body.clone()).await.expect(409);
    assert_eq!(answer.code(), "route_exists");
    assert!(answer.text.contains(&first));
    assert_eq!(
        api.patch(&format!("/admin/routes/{second}"), json!({"path": "/a"}))
            .await
            .expect(409)
            .code(),
        "route_exists"
    );
    let mut higher = body;
    higher["priority"] = json!(1);
    api.post("/admin/routes", higher).await.expect(201);
    api.route(&api.tenant("other").await, "/a").await;
}

#[tokio::test]
async fn patch_merges_and_put_replaces() {
    let api = Api::new();
    let tenant = api.tenant("acme").await;
    let mut body = example();
    body["tenantId"] = json!(tenant);
    let path = api
        .post("/admin/routes", body)
        .await
        .expect(201)
        .header("location")
        .to_owned();

    let patch = json!({"resilience": {"retry": {"maxRetries": 1}, "fallback": null}, "rateLimit": {"requestsPerSecond": 5}});
    let route = api.patch(&path, patch).await.expect(200).data();
    assert_eq!(route["resilience"]["retry"]["maxRetries"], 1);
    assert_eq!(route["resilience"]["retry"]["baseDelayMs"], 1000);
    assert_eq!(route["resilience"]["fallback"], json!(null));
    assert_eq!(route["rateLimit"], json!({"requestsPerSecond": 5}));

    let minimal = json!({"tenantId": tenant, "method": "POST", "path": "/x", "upstreams": [{"url": "https://b/base"}]});
    let replaced = api.json("PUT", &path, minimal).await.expect(200).data();
    assert_eq!(
        (&replaced["resilience"], &replaced["pathType"]),
        (&json!(null), &json!("exact"))
    );
    assert_eq!(
        (&replaced["id"], &replaced["version"]),
        (&route["id"], &json!(3))
    );
    let mut edited = replaced.clone();
    edited["host"] = json!("API.example.org");
    assert_eq!(
        api.json("PUT", &path, edited).await.expect(200).data()["host"],
        "api.example.org"
    );

    let errors = api
        .patch(&path, json!({"tenantId": null}))
        .await
        .expect(400)
        .errors();
    assert_eq!(
        errors,
        ["tenantId: a route stays with its tenant; make another route for another tenant"]
    );
    let nowhere = format!("/admin/routes/{}", uuid::Uuid::now_v7());
    api.json("PUT", &nowhere, replaced).await.expect(404);
}
