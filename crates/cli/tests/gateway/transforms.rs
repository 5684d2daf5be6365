//! G11: changes on the way through.

use serde_json::{Value, json};

use crate::harness::*;

/// A tenant whose `/` goes to the upstream with this transform.
fn transformed(gateway: &Gateway, upstream: &Upstream, transform: Value) -> TenantKey {
    let tenant = gateway.tenant("acme");
    gateway.prefix_route(&tenant, "/", &[upstream], json!({ "transform": transform }));
    tenant
}

on_both! {
    fn g11_request_headers_are_removed_set_and_added_without_regard_to_case(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = transformed(
            &gateway,
            &upstream,
            json!({ "request": { "headers": {
            "remove": ["x-secret", "X-Absent", "Cookie"],
            "set": { "X-Set": "ours", "x-new": "new" },
            "add": { "X-Added": "ours", "x-there": "ours" },
        } } }),
        );
        let request = Request::get("/").key(&tenant.key);
        let request = request
            .header("X-SECRET", "1")
            .header("cookie", "a=1")
            .header("Cookie", "b=2");
        let request = request
            .header("x-SET", "theirs")
            .header("x-set", "theirs too")
            .header("X-There", "theirs")
            .header("X-Other", "kept");
        gateway.call(&request).expect(200);
        let got = upstream.only();
        assert_eq!(
            got.headers("x-secret").len() + got.headers("cookie").len(),
            0,
            "{got:?}"
        );
        assert_eq!(got.headers("x-set"), ["ours"]);
        assert_eq!(got.headers("x-new"), ["new"]);
        assert_eq!(got.headers("x-added"), ["ours"]);
        assert_eq!(got.headers("x-there"), ["theirs"]);
        assert_eq!(got.headers("x-other"), ["kept"]);
    }

    /// remove, then set, then add: what was removed can be set, what was set is not added.
    fn g11_the_order_is_remove_set_add(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let headers = json!({
            "remove": ["X-One", "X-Two"],
            "set": { "X-One": "set", "X-Three": "set" },
            "add": { "X-Two": "added", "X-Three": "added" },
        });
        let tenant = transformed(
            &gateway,
            &upstream,
            json!({ "request": { "headers": headers } }),
        );
        let request = Request::get("/")
            .key(&tenant.key)
            .header("X-One", "theirs")
            .header("X-Two", "theirs")
            .header("X-Three", "theirs");
        gateway.call(&request).expect(200);
        let got = upstream.only();
        assert_eq!(
            (
                got.headers("x-one"),
                got.headers("x-two"),
                got.headers("x-three")
            ),
            (vec!["set"], vec!["added"], vec!["set"])
        );
    }

    fn g11_response_headers_are_removed_set_and_added(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|_| {
            Answer::text("a")
                .header("Server", "secret/1.0")
                .header("X-Set", "theirs")
                .header("x-there", "theirs")
        });
        let tenant = transformed(
            &gateway,
            &upstream,
            json!({ "response": { "headers": {
            "remove": ["server", "x-absent"],
            "set": { "x-SET": "ours", "Strict-Transport-Security": "max-age=60" },
            "add": { "X-There": "ours", "X-Added": "ours" },
        } } }),
        );
        let response = gateway.get("/", &tenant.key).expect(200);
        assert_eq!(response.header("server"), None);
        assert_eq!(response.header("x-set"), Some("ours"));
        assert_eq!(
            response.header("strict-transport-security"),
            Some("max-age=60")
        );
        assert_eq!(response.header("x-there"), Some("theirs"));
        assert_eq!(response.header("x-added"), Some("ours"));
        assert_eq!(response.text(), "a");
    }

    /// They would be there twice, or in spite of being removed.
    fn g11_the_gateways_own_response_headers_are_not_changed(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant("acme");
        let refused = gateway
            .admin("POST", "/admin/routes", json!({
                "tenantId": tenant.id, "method": "GET", "path": "/", "upstreams": [{ "url": upstream.url() }],
                "transform": { "response": { "headers": {
                    "remove": ["X-RateLimit-Limit"],
                    "set": { "X-Request-Id": "z", "X-RateLimit-Remaining": "7" },
                } } },
            }))
            .expect_problem(400, "validation_failed");
        let errors = refused.json()["errors"].take();
        let fields: Vec<&str> = errors
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|error| error["field"].as_str())
            .collect();
        let headers = "transform.response.headers";
        assert_eq!(
            fields,
            [
                format!("{headers}.remove[0]"),
                format!("{headers}.set.X-RateLimit-Remaining"),
                format!("{headers}.set.X-Request-Id"),
            ]
        );
    }

    fn g11_the_path_is_rewritten_alone_by_the_first_match(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::echo();
        let tenant = gateway.tenant("acme");
        let rewriting = |path: &str, pattern: &str, replacement: &str| {
            let rewrite = json!({ "request": { "pathRewrite": { "pattern": pattern, "replacement": replacement } } });
            gateway.prefix_route(
                &tenant,
                path,
                &[&upstream],
                json!({ "stripPrefix": false, "transform": rewrite }),
            );
        };
        rewriting("/api/v1", "^/api/v1", "/api/v2");
        rewriting("/users", r"^/users/(\d+)/(.*)$", "/u/$2/$1");
        rewriting("/strip", "^/strip", "");
        rewriting("/first", "a", "b");
        rewriting("/host", "127.0.0.1|http", "evil");
        rewriting("/named", "^/named/(?<id>[a-z]+)", "/by-name/${id}");
        for (path, forwarded) in [
            ("/api/v1/x", "GET /api/v2/x"),
            ("/users/7/posts", "GET /u/posts/7"),
            ("/users/none", "GET /users/none"),
            ("/strip/x", "GET /x"),
            ("/first/aaa", "GET /first/baa"),
            ("/host/x", "GET /host/x"),
            ("/named/abc", "GET /by-name/abc"),
            ("/first/a?a=a", "GET /first/b?a=a"),
            ("/api/v1?q=/api/v1", "GET /api/v2?q=/api/v1"),
        ] {
            assert_eq!(
                gateway.get(path, &tenant.key).expect(200).text(),
                forwarded,
                "{path}"
            );
        }
    }

    /// It works on the forwarded path: without the prefix, with the upstream's own path.
    fn g11_the_rewrite_sees_the_path_that_is_forwarded(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::echo();
        let tenant = gateway.tenant("acme");
        let rewrite = json!({ "request": { "pathRewrite": { "pattern": "^/base/(.*)$", "replacement": "/new/$1" } } });
        gateway.route(json!({
            "tenantId": tenant.id, "method": "GET", "path": "/api", "pathType": "prefix",
            "upstreams": [{ "url": format!("{}/base", upstream.url()) }], "transform": rewrite,
        }));
        assert_eq!(
            gateway.get("/api/x", &tenant.key).expect(200).text(),
            "GET /new/x"
        );
    }

    fn g11_fields_and_path_can_be_changed_together(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::echo();
        let both = json!({ "request": {
            "headers": { "set": { "X-Set": "ours" } },
            "pathRewrite": { "pattern": "^/old/(.*)$", "replacement": "/new/$1" },
        } });
        let tenant = transformed(&gateway, &upstream, both);
        gateway.get("/old/x?q=1", &tenant.key).expect(200);
        let got = upstream.only();
        assert_eq!((got.target.as_str(), got.header("x-set")), ("/new/x?q=1", Some("ours")));
    }

    /// A rewrite cannot lead where a request could not have gone.
    fn g11_a_rewrite_makes_no_dot_segments(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::echo();
        let rewrite = json!({ "request": { "pathRewrite": { "pattern": "^/x(.*)$", "replacement": "/a/.$1/secret" } } });
        let tenant = transformed(&gateway, &upstream, rewrite);
        let response = gateway.get("/x.", &tenant.key);
        assert!(response.status >= 400, "{response:?}");
        assert_eq!(upstream.count(), 0);
    }

    fn g11_an_invalid_expression_is_refused(backend) {
        let gateway = Gateway::start(backend);
        let tenant = gateway.tenant("acme");
        let rewrite =
            json!({ "request": { "pathRewrite": { "pattern": "(", "replacement": "/" } } });
        let route = json!({ "tenantId": tenant.id, "method": "GET", "path": "/", "upstreams": [{ "url": "http://a.test" }], "transform": rewrite });
        let refused = gateway
            .admin("POST", "/admin/routes", route)
            .expect_problem(400, "validation_failed");
        assert_eq!(
            refused.json()["errors"][0]["field"],
            "transform.request.pathRewrite.pattern"
        );
    }

    fn g11_without_a_transform_everything_goes_through_as_it_is(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::echo();
        for transform in [
            Value::Null,
            json!({}),
            json!({ "request": {} }),
            json!({ "response": { "headers": {} } }),
        ] {
            let tenant = gateway.tenant(&format!("tenant {}", upstream.count()));
            gateway.prefix_route(
                &tenant,
                "/",
                &[&upstream],
                json!({ "transform": transform }),
            );
            gateway
                .call(&Request::get("/a?b").key(&tenant.key).header("X-Own", "1"))
                .expect(200);
            assert_eq!(
                (
                    upstream.last().target.as_str(),
                    upstream.last().header("x-own")
                ),
                ("/a?b", Some("1"))
            );
        }
    }

    fn g11_the_host_can_be_set(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = transformed(
            &gateway,
            &upstream,
            json!({ "request": { "headers": { "set": { "Host": "inner.test" } } } }),
        );
        gateway.get("/", &tenant.key).expect(200);
        assert_eq!(upstream.only().headers("host"), ["inner.test"]);
    }
}
