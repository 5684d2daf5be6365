//! G13: `/health`, `/ready`, `/metrics`.

use serde_json::{Value, json};

use crate::harness::*;

/// The lines of one family, without comments.
fn series<'m>(metrics: &'m str, family: &str) -> Vec<&'m str> {
    metrics
        .lines()
        .filter(|line| line.starts_with(family) && !line.starts_with('#'))
        .collect()
}

on_both! {
    fn g13_health_and_ready_need_no_key(backend) {
        let gateway = Gateway::start(backend);
        let request = Request::get("/health");
        for response in [gateway.call(&request), gateway.call_admin(&request)] {
            let health = response.expect(200).json();
            assert_eq!(health["status"], "ok");
            assert!(health["timestamp"].is_string());
        }
        let ready = gateway.call(&Request::get("/ready")).expect(200).json();
        assert_eq!(ready["status"], "ready");
        assert_eq!(ready["checks"]["database"]["status"], "healthy");
        assert_eq!(
            ready["checks"].get("redis").is_some(),
            backend == Backend::Servers,
            "{ready}"
        );
        let head = gateway.call(&Request::new("HEAD", "/health")).expect(200);
        assert!(head.body.is_empty());
        let post = gateway.call(&Request::new("POST", "/health"));
        assert_eq!(
            (post.status, post.header("allow")),
            (405, Some("GET, HEAD"))
        );
    }

    fn g13_no_route_can_shadow_them(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_before(&upstream);
        for path in ["/health", "/ready"] {
            let response = gateway.get(path, &tenant.key).expect(200);
            assert_ne!(response.text(), "a");
        }
        assert_eq!(upstream.count(), 0);
    }

    fn g13_a_route_that_they_would_shadow_is_refused(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let route = |path: &str, path_type: &str| {
            json!({
                "method": "GET", "path": path, "pathType": path_type,
                "upstreams": [{ "url": upstream.url() }],
            })
        };
        for path in ["/health", "/ready", "/%68ealth"] {
            let refused = gateway
                .admin("POST", "/admin/routes", route(path, "exact"))
                .expect_problem(400, "validation_failed");
            assert_eq!(refused.json()["errors"][0]["field"], "path");
        }
        gateway.route(route("/health", "prefix"));
        gateway.route(route("/health/", "exact"));
    }

    fn g13_metrics_count_requests_by_configured_ids(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant("acme");
        let route = gateway.prefix_route(&tenant, "/api", &[&upstream], Value::Null);
        for _ in 0..3 {
            gateway.get("/api/x", &tenant.key).expect(200);
        }
        gateway.get("/none", &tenant.key).expect(404);
        let (tenant_label, route_label) = (
            format!("tenant_id=\"{}\"", tenant.id),
            format!("route=\"{route}\""),
        );
        let counted = |wanted: &[&str], value: &str| {
            let metrics = gateway.metrics();
            let counted = series(&metrics, "gateway_http_requests_total");
            counted.iter().any(|line| {
                wanted.iter().all(|part| line.contains(part))
                    && line.ends_with(&format!(" {value}"))
            })
        };
        // A request is counted when its answer is out.
        let served = [
            tenant_label.as_str(),
            &route_label,
            "method=\"GET\"",
            "status_code=\"200\"",
        ];
        eventually("three are counted as served", || counted(&served, "3"));
        let lost = [tenant_label.as_str(), "route=\"\"", "status_code=\"404\""];
        eventually("one is counted as lost", || counted(&lost, "1"));
        let metrics = gateway.metrics();
        assert!(!series(&metrics, "gateway_http_request_duration_seconds_bucket").is_empty());
        assert!(
            metrics.contains("# TYPE gateway_http_requests"),
            "{metrics}"
        );
        assert!(!metrics.contains(&tenant.key));
    }

    /// Whatever clients send, the number of series stays what the configuration makes it.
    fn g13_clients_cannot_make_series(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(&tenant, "/api", &[&upstream], Value::Null);
        let rounds = |from: usize| {
            let mut client = gateway.connect();
            for number in from..from + 50 {
                client
                    .call(&Request::get(&format!("/api/{number}?q={number}")).key(&tenant.key))
                    .expect(200);
                client
                    .call(&Request::get(&format!("/none/{number}")).key(&tenant.key))
                    .expect(404);
                client.call(
                    &Request::new(&format!("M{number}"), "/api")
                        .key(&tenant.key)
                        .header("Host", &format!("h{number}.test")),
                );
                client
                    .call(&Request::get("/").key(&format!("a-guess-at-a-key-{number}")))
                    .expect(403);
            }
            gateway
                .metrics()
                .lines()
                .filter(|line| line.starts_with("gateway_"))
                .count()
        };
        assert_eq!(rounds(0), rounds(50));
    }

    fn g13_refusals_by_limit_are_counted(backend) {
        let gateway = Gateway::start(backend);
        let tenant = gateway.tenant_with(
            serde_json::json!({ "name": "acme", "rateLimit": { "limit": 1, "windowMs": 60_000 } }),
        );
        gateway.get("/", &tenant.key).expect(404);
        gateway.get("/", &tenant.key).expect(429);
        gateway.get("/", &tenant.key).expect(429);
        eventually("two are counted", || {
            let metrics = gateway.metrics();
            series(&metrics, "gateway_rate_limit_hits_total")
                .iter()
                .any(|line| line.contains(&tenant.id) && line.ends_with(" 2"))
        });
    }

    fn g13_the_series_of_what_is_deleted_go(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant("acme");
        let route = gateway.prefix_route(&tenant, "/", &[&upstream], Value::Null);
        gateway.get("/", &tenant.key).expect(200);
        eventually("the route is counted", || {
            gateway.metrics().contains(&route)
        });
        gateway
            .admin(
                "DELETE",
                &format!("/admin/tenants/{}", tenant.id),
                Value::Null,
            )
            .expect(204);
        eventually("the series are gone", || {
            let metrics = gateway.metrics();
            !metrics.contains(&route) && !metrics.contains(&tenant.id)
        });
    }

    fn g13_metrics_are_not_public(backend) {
        let gateway = Gateway::start(backend);
        gateway
            .call(&Request::get("/metrics"))
            .expect_problem(401, "api_key_missing");
    }
}

/// `/ready` says what is missing, and that the gateway serves all the same.
#[test]
fn g13_ready_reports_a_lost_redis_without_failing() {
    let gateway = Gateway::start(Backend::Servers);
    gateway.stores().redis().kill();
    eventually("ready is degraded", || {
        let ready = gateway.call(&Request::get("/ready")).expect(200).json();
        ready["status"] == "degraded" && ready["checks"]["redis"]["status"] == "unhealthy"
    });
    gateway.stores().redis().restart().unwrap();
    eventually("ready is whole again", || {
        gateway.call(&Request::get("/ready")).expect(200).json()["status"] == "ready"
    });
}
