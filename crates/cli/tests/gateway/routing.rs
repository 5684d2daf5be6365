//! G4: which route serves a request, and what path it forwards.

use serde_json::{Value, json};

use crate::harness::*;

/// A route for one method to one upstream.
fn route(
    tenant: &TenantKey,
    method: &str,
    path_type: &str,
    path: &str,
    upstream: &Upstream,
) -> Value {
    json!({
        "tenantId": tenant.id, "method": method, "path": path, "pathType": path_type,
        "upstreams": [{ "url": upstream.url() }],
    })
}

/// A route with more members.
fn with(mut route: Value, more: Value) -> Value {
    if let (Some(members), Value::Object(more)) = (route.as_object_mut(), more) {
        members.extend(more);
    }
    route
}

on_both! {
    fn g4_a_new_route_has_the_documented_defaults(backend) {
        let gateway = Gateway::start(backend);
        let tenant = gateway.tenant("acme");
        let smallest = json!({ "tenantId": tenant.id, "method": "GET", "path": "/a", "upstreams": [{ "url": "http://a.test" }] });
        let made = gateway
            .admin("POST", "/admin/routes", smallest)
            .expect(201)
            .data();
        assert_eq!(made["pathType"], "exact");
        assert_eq!(made["loadBalancing"], "round-robin");
        assert_eq!(made["stripPrefix"], true);
        assert_eq!(made["priority"], 0);
        assert_eq!(made["auth"], "api-key");
        assert_eq!(made["isActive"], true);
        assert_eq!(made["upstreams"][0]["weight"], 1);
        let path = format!("/admin/routes/{}", made["id"].as_str().unwrap());
        assert_eq!(
            gateway.admin("GET", &path, Value::Null).expect(200).data(),
            made
        );
        gateway.admin("DELETE", &path, Value::Null).expect(204);
        gateway
            .admin("GET", &path, Value::Null)
            .expect_problem(404, "not_found");
        gateway
            .admin("DELETE", &path, Value::Null)
            .expect_problem(404, "not_found");
    }

    fn g4_an_exact_path_matches_itself_alone(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::echo();
        let tenant = gateway.tenant("acme");
        gateway.route(route(&tenant, "GET", "exact", "/api/users", &upstream));
        assert_eq!(
            gateway.get("/api/users", &tenant.key).expect(200).text(),
            "GET /api/users"
        );
        assert_eq!(
            gateway
                .get("/api/users?page=2", &tenant.key)
                .expect(200)
                .text(),
            "GET /api/users?page=2"
        );
        for path in [
            "/api/posts",
            "/api/users/1",
            "/api",
            "/api/users2",
            "/API/USERS",
        ] {
            gateway
                .get(path, &tenant.key)
                .expect_problem(404, "no_route");
        }
    }

    fn g4_a_prefix_matches_whole_segments(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::echo();
        let tenant = gateway.tenant("acme");
        gateway.route(route(&tenant, "GET", "prefix", "/api", &upstream));
        for (path, forwarded) in [
            ("/api", "GET /"),
            ("/api/", "GET /"),
            ("/api/users", "GET /users"),
            ("/api/users/1/posts", "GET /users/1/posts"),
            ("/api/api/x", "GET /api/x"),
            ("/api//x", "GET //x"),
        ] {
            assert_eq!(
                gateway.get(path, &tenant.key).expect(200).text(),
                forwarded,
                "{path}"
            );
        }
        for path in ["/apiv2", "/apiv2/users", "/ap", "/x/api"] {
            gateway
                .get(path, &tenant.key)
                .expect_problem(404, "no_route");
        }
    }

    fn g4_the_forwarded_path_is_base_path_then_rest_and_the_query_is_untouched(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::echo();
        let tenant = gateway.tenant("acme");
        let based = |path: &str, path_type: &str, base: &str, more: Value| {
            let url = format!("{}{base}", upstream.url());
            let route = json!({ "tenantId": tenant.id, "method": "GET", "path": path, "pathType": path_type, "upstreams": [{ "url": url }] });
            gateway.route(with(route, more));
        };
        based("/strip", "prefix", "/v1", Value::Null);
        based("/slash", "prefix", "/v1/", Value::Null);
        based("/keep", "prefix", "/v1", json!({ "stripPrefix": false }));
        based("/exact", "exact", "/v1", Value::Null);
        based("/r/[0-9]+", "regex", "/v1", Value::Null);
        for (path, forwarded) in [
            ("/strip/a/b", "GET /v1/a/b"),
            ("/strip", "GET /v1"),
            ("/slash/a", "GET /v1/a"),
            ("/keep/a", "GET /v1/keep/a"),
            ("/exact", "GET /v1/exact"),
            ("/r/17", "GET /v1/r/17"),
            (
                "/strip/a?x=1&y=%20?z=//..&&",
                "GET /v1/a?x=1&y=%20?z=//..&&",
            ),
            ("/strip/a?", "GET /v1/a?"),
            ("/strip?x=1", "GET /v1?x=1"),
            ("/strip/a%2Fb/c%20d", "GET /v1/a%2Fb/c%20d"),
        ] {
            assert_eq!(
                gateway.get(path, &tenant.key).expect(200).text(),
                forwarded,
                "{path}"
            );
        }
    }

    fn g4_a_regex_matches_the_whole_path_and_an_invalid_one_is_refused(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::echo();
        let tenant = gateway.tenant("acme");
        gateway.route(route(&tenant, "GET", "regex", r"/users/\d+", &upstream));
        gateway.route(route(
            &tenant,
            "GET",
            "regex",
            "/api/(users|posts)/[a-f0-9-]+",
            &upstream,
        ));
        for path in ["/users/123", "/api/users/ab-12", "/api/posts/0"] {
            assert_eq!(
                gateway.get(path, &tenant.key).expect(200).text(),
                format!("GET {path}")
            );
        }
        for path in [
            "/users/abc",
            "/users/123/x",
            "/x/users/123",
            "/api/tags/0",
            "/api/users/XYZ",
        ] {
            gateway
                .get(path, &tenant.key)
                .expect_problem(404, "no_route");
        }
        let invalid = gateway.admin(
            "POST",
            "/admin/routes",
            route(&tenant, "GET", "regex", "/users/[", &upstream),
        );
        assert_eq!(
            invalid.expect_problem(400, "validation_failed").json()["errors"][0]["field"],
            "path"
        );
        // Linear time: what makes a backtracking engine run for ever is answered at once.
        gateway.route(route(&tenant, "GET", "regex", "/(a+)+b", &upstream));
        gateway
            .get(&format!("/{}", "a".repeat(2_000)), &tenant.key)
            .expect_problem(404, "no_route");
    }

    fn g4_methods_are_compared_and_get_serves_head(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::echo();
        let tenant = gateway.tenant("acme");
        gateway.route(route(&tenant, "GET", "exact", "/a", &upstream));
        gateway.route(route(&tenant, "POST", "exact", "/a", &upstream));
        gateway.route(route(&tenant, "*", "exact", "/any", &upstream));
        let call =
            |method: &str, path: &str| gateway.call(&Request::new(method, path).key(&tenant.key));
        call("GET", "/a").expect(200);
        call("POST", "/a").expect(200);
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            assert_eq!(
                call(method, "/any").expect(200).text(),
                format!("{method} /any")
            );
        }
        let head = call("HEAD", "/a").expect(200);
        assert!(head.body.is_empty());
        assert_eq!(upstream.last().method, "HEAD");
        let refused = call("DELETE", "/a").expect_problem(405, "method_not_allowed");
        let mut allowed: Vec<&str> = refused.header("allow").unwrap().split(", ").collect();
        allowed.sort_unstable();
        assert_eq!(allowed, ["GET", "HEAD", "POST"]);
        call("DELETE", "/b").expect_problem(404, "no_route");
        for method in ["TRACE", "CONNECT"] {
            assert!(
                (400..500).contains(&call(method, "/any").status),
                "{method} is never forwarded"
            );
        }
    }

    fn g4_a_parameter_matches_one_segment(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::echo();
        let tenant = gateway.tenant("acme");
        gateway.route(route(
            &tenant,
            "GET",
            "exact",
            "/users/{id}/posts/{post}",
            &upstream,
        ));
        assert_eq!(
            gateway
                .get("/users/7/posts/x-y", &tenant.key)
                .expect(200)
                .text(),
            "GET /users/7/posts/x-y"
        );
        for path in ["/users/7/posts", "/users/7/posts/1/2", "/users//posts/1"] {
            gateway
                .get(path, &tenant.key)
                .expect_problem(404, "no_route");
        }
    }

    /// exact, then parameter, then the longest prefix, then regex; within one kind the priority.
    fn g4_precedence_is_by_kind_and_then_by_priority(backend) {
        let gateway = Gateway::start(backend);
        let named = [
            "regex",
            "regex-first",
            "short",
            "long",
            "parameter",
            "exact",
        ]
        .map(Upstream::named);
        let [regex, regex_first, short, long, parameter, exact] = &named;
        let tenant = gateway.tenant("acme");
        let serves = |path: &str| gateway.get(path, &tenant.key).expect(200).text();
        // The weakest are made first, so that each one that follows has to win against those that are there.
        gateway.route(with(
            route(&tenant, "GET", "regex", "/a/.*", regex),
            json!({ "priority": 0 }),
        ));
        assert_eq!(serves("/a/b/c"), "regex");
        gateway.route(with(
            route(&tenant, "GET", "regex", "/a/b/.*", regex_first),
            json!({ "priority": 5 }),
        ));
        assert_eq!(serves("/a/b/c"), "regex-first");
        gateway.route(route(&tenant, "GET", "prefix", "/a", short));
        assert_eq!(serves("/a/b/c"), "short");
        gateway.route(route(&tenant, "GET", "prefix", "/a/b", long));
        assert_eq!(serves("/a/b/c"), "long");
        gateway.route(route(&tenant, "GET", "exact", "/a/b/{x}", parameter));
        assert_eq!(serves("/a/b/c"), "parameter");
        gateway.route(route(&tenant, "GET", "exact", "/a/b/c", exact));
        assert_eq!(serves("/a/b/c"), "exact");
        assert_eq!(serves("/a/b/d"), "parameter");
        assert_eq!(serves("/a/b/d/e"), "long");
        assert_eq!(serves("/a/d"), "short");
    }

    fn g4_the_higher_priority_wins_among_equals(backend) {
        let gateway = Gateway::start(backend);
        let (low, high) = (Upstream::named("low"), Upstream::named("high"));
        let tenant = gateway.tenant("acme");
        let first = gateway.route(route(&tenant, "GET", "prefix", "/a", &low));
        let second = gateway.route(with(
            route(&tenant, "GET", "prefix", "/a", &high),
            json!({ "priority": 1 }),
        ));
        let serves = || gateway.get("/a", &tenant.key).expect(200).text();
        assert_eq!(serves(), "high");
        gateway.patch_route(&first, json!({ "priority": 2 }));
        assert_eq!(serves(), "low");
        gateway.patch_route(&first, json!({ "isActive": false }));
        assert_eq!(serves(), "high");
        gateway.patch_route(&second, json!({ "isActive": false }));
        gateway
            .get("/a", &tenant.key)
            .expect_problem(404, "no_route");
        gateway.patch_route(&first, json!({ "isActive": true }));
        assert_eq!(serves(), "low");
    }

    /// Of two that match equally well the one that was made first serves, also after a change of it and a restart.
    fn g4_the_older_route_wins_among_equals(backend) {
        let gateway = Gateway::start(backend);
        let (older, newer) = (Upstream::named("older"), Upstream::named("newer"));
        let tenant = gateway.tenant("acme");
        let first = gateway.route(route(&tenant, "GET", "regex", "/a/.*", &older));
        gateway.route(route(&tenant, "GET", "regex", "/.*/b", &newer));
        let serves = |gateway: &Gateway| gateway.get("/a/b", &tenant.key).expect(200).text();
        assert_eq!(serves(&gateway), "older");
        gateway.patch_route(&first, json!({ "path": "/(a|c)/.*" }));
        assert_eq!(serves(&gateway), "older");
        assert_eq!(serves(&gateway.start_again()), "older");
    }

    /// The second would never serve: it is spelled otherwise, and matches the same.
    fn g4_a_route_that_matches_the_same_is_refused_however_it_is_spelled(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant("acme");
        for (path_type, first, second) in [
            ("exact", "/users/{id}", "/users/{name}"),
            ("exact", "/%71q", "/qq"),
            ("prefix", "/api/", "/api"),
        ] {
            gateway.route(route(&tenant, "GET", path_type, first, &upstream));
            let again = route(&tenant, "GET", path_type, second, &upstream);
            gateway
                .admin("POST", "/admin/routes", again.clone())
                .expect_problem(409, "route_exists");
            gateway.route(with(again, json!({ "priority": 1 })));
        }
    }

    fn g4_hosts_are_compared_exactly_and_by_wildcard(backend) {
        let gateway = Gateway::start(backend);
        let [any, exact, wild] = &["any", "exact", "wild"].map(Upstream::named);
        let tenant = gateway.tenant("acme");
        gateway.route(route(&tenant, "GET", "prefix", "/", any));
        gateway.route(with(
            route(&tenant, "GET", "prefix", "/", exact),
            json!({ "host": "api.example.org" }),
        ));
        gateway.route(with(
            route(&tenant, "GET", "prefix", "/", wild),
            json!({ "host": "*.example.org" }),
        ));
        for (host, serves) in [
            ("api.example.org", "exact"),
            ("API.Example.ORG:8080", "exact"),
            ("www.example.org", "wild"),
            ("example.org", "any"),
            ("example.com", "any"),
        ] {
            let response = gateway.call(&Request::get("/").key(&tenant.key).header("Host", host));
            assert_eq!(response.expect(200).text(), serves, "{host}");
        }
    }

    fn g4_the_host_comes_before_the_kind_of_path(backend) {
        let gateway = Gateway::start(backend);
        let [exact, wild, named] = &["exact", "wild", "named"].map(Upstream::named);
        let tenant = gateway.tenant("acme");
        gateway.route(with(
            route(&tenant, "GET", "exact", "/a", exact),
            json!({ "priority": 9 }),
        ));
        let serves = || {
            let request = Request::get("/a").key(&tenant.key);
            let response = gateway.call(&request.header("Host", "api.example.org"));
            response.expect(200).text()
        };
        assert_eq!(serves(), "exact");
        for (host, upstream, serving) in [
            ("*.example.org", wild, "wild"),
            ("api.example.org", named, "named"),
        ] {
            gateway.route(with(
                route(&tenant, "GET", "prefix", "/", upstream),
                json!({ "host": host }),
            ));
            assert_eq!(serves(), serving);
        }
    }

    fn g4_a_platform_route_serves_every_tenant(backend) {
        let gateway = Gateway::start(backend);
        let (own, common) = (Upstream::named("own"), Upstream::named("common"));
        let (a, b) = (gateway.tenant("a"), gateway.tenant("b"));
        gateway.route(json!({ "method": "GET", "path": "/shared", "pathType": "prefix", "upstreams": [{ "url": common.url() }] }));
        gateway.route(route(&a, "GET", "exact", "/shared/special", &own));
        assert_eq!(
            gateway.get("/shared/x", &a.key).expect(200).text(),
            "common"
        );
        assert_eq!(
            gateway.get("/shared/special", &a.key).expect(200).text(),
            "own"
        );
        assert_eq!(
            gateway.get("/shared/special", &b.key).expect(200).text(),
            "common"
        );
        gateway
            .call(&Request::get("/shared"))
            .expect_problem(401, "api_key_missing");
    }

    fn g4_an_open_platform_route_asks_for_no_key(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::echo();
        let open = json!({ "method": "GET", "path": "/open", "auth": "none", "upstreams": [{ "url": upstream.url() }] });
        gateway.route(open);
        let response = gateway.call(&Request::get("/open")).expect(200);
        assert_eq!(response.headers("x-ratelimit-limit").len(), 0);
        gateway
            .call(&Request::get("/open2"))
            .expect_problem(401, "api_key_missing");
        let tenant = gateway.tenant("acme");
        let refused = with(
            route(&tenant, "GET", "exact", "/open3", &upstream),
            json!({ "auth": "none" }),
        );
        let refused = gateway
            .admin("POST", "/admin/routes", refused)
            .expect_problem(400, "validation_failed");
        assert_eq!(refused.json()["errors"][0]["field"], "auth");
    }

    fn g4_a_changed_route_serves_at_once(backend) {
        let gateway = Gateway::start(backend);
        let (old, new) = (Upstream::named("old"), Upstream::named("new"));
        let tenant = gateway.tenant("acme");
        let id = gateway.prefix_route(&tenant, "/a", &[&old], Value::Null);
        let mut client = gateway.connect();
        let mut serves = |path: &str| client.call(&Request::get(path).key(&tenant.key));
        assert_eq!(serves("/a").expect(200).text(), "old");
        gateway.patch_route(&id, json!({ "upstreams": [{ "url": new.url() }] }));
        assert_eq!(serves("/a").expect(200).text(), "new");
        gateway.patch_route(&id, json!({ "path": "/b" }));
        serves("/a").expect(404);
        assert_eq!(serves("/b").expect(200).text(), "new");
        gateway
            .admin("DELETE", &format!("/admin/routes/{id}"), Value::Null)
            .expect(204);
        serves("/b").expect(404);
    }
}
