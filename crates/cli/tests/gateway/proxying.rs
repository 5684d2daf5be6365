//! What goes through, and under which name (G17 as far as heads go).

use serde_json::Value;

use crate::harness::*;

on_both! {
    fn g17_a_request_and_its_response_go_through_whole(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|_| {
            Answer::status(201)
                .header("Set-Cookie", "a=1; Path=/")
                .header("Set-Cookie", "b=2")
                .header("X-Odd", "  spaced  ")
                .header("Location", "/elsewhere")
                .body(vec![0, 255, 10, 13])
        });
        let tenant = gateway.tenant_before(&upstream);
        let body = "{\"a\": [1, 2,  3]}";
        let request = Request::new("PATCH", "/a?b=c")
            .key(&tenant.key)
            .body(body)
            .header("Content-Type", "application/json")
            .header("Cookie", "s=1")
            .header("Range", "bytes=0-9")
            .header("If-None-Match", "\"x\"")
            .header(
                "traceparent",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            )
            .header("X-Twice", "1")
            .header("X-Twice", "2")
            .header("Accept-Encoding", "gzip")
            .header("Authorization", "Bearer t");
        let response = gateway.call(&request).expect(201);
        assert_eq!(response.headers("set-cookie"), ["a=1; Path=/", "b=2"]);
        assert_eq!(response.header("location"), Some("/elsewhere"));
        assert_eq!(response.header("x-odd"), Some("spaced"));
        assert_eq!(response.body, [0, 255, 10, 13]);
        let got = upstream.only();
        assert_eq!(
            (
                got.method.as_str(),
                got.target.as_str(),
                got.version.as_str()
            ),
            ("PATCH", "/a?b=c", "HTTP/1.1")
        );
        assert_eq!(got.text(), body);
        assert_eq!(got.headers("x-twice"), ["1", "2"]);
        for (name, value) in [
            ("content-type", "application/json"),
            ("cookie", "s=1"),
            ("range", "bytes=0-9"),
            ("if-none-match", "\"x\""),
            ("accept-encoding", "gzip"),
            ("authorization", "Bearer t"),
            ("x-tenant-id", &tenant.id),
        ] {
            assert_eq!(got.header(name), Some(value), "{name}");
        }
        assert!(
            got.header("traceparent")
                .unwrap()
                .contains("0af7651916cd43dd8448eb211c80319c"),
            "{got:?}"
        );
        assert_eq!(got.header("host").unwrap(), upstream.authority());
    }

    fn g17_every_status_goes_through_as_it_is(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|request| {
            let status: u16 = request.path()[1..].parse().unwrap();
            let answer = Answer::status(status).header("Location", "http://elsewhere.test/");
            if matches!(status, 204 | 304) {
                answer
            } else {
                answer.body("body")
            }
        });
        let tenant = gateway.tenant_before(&upstream);
        let mut client = gateway.connect();
        for status in [
            200, 201, 204, 206, 301, 302, 304, 307, 400, 401, 403, 404, 418, 429, 500, 502, 503,
            504, 599,
        ] {
            let response = client
                .call(&Request::get(&format!("/{status}")).key(&tenant.key))
                .expect(status);
            assert_eq!(response.header("location"), Some("http://elsewhere.test/"));
            assert_eq!(
                response.text(),
                if matches!(status, 204 | 304) {
                    ""
                } else {
                    "body"
                },
                "{status}"
            );
        }
        assert_eq!(upstream.count(), 19, "nothing was followed or repeated");
    }

    fn g17_hop_by_hop_fields_end_at_the_gateway(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|_| {
            Answer::text("a")
                .header("Connection", "X-Hop-Back, keep-alive")
                .header("X-Hop-Back", "1")
                .header("Keep-Alive", "timeout=9")
                .header("X-Stays", "1")
        });
        let tenant = gateway.tenant_before(&upstream);
        let request = Request::get("/")
            .key(&tenant.key)
            .header("Connection", "X-Hop")
            .header("X-Hop", "1")
            .header("Keep-Alive", "5")
            .header("Proxy-Connection", "close")
            .header("Proxy-Authorization", "Basic x")
            .header("X-Stays", "1");
        let response = gateway.call(&request).expect(200);
        let got = upstream.only();
        for name in [
            "x-hop",
            "keep-alive",
            "proxy-connection",
            "proxy-authorization",
        ] {
            assert_eq!(got.headers(name).len(), 0, "{name}: {got:?}");
        }
        assert_eq!(
            (got.header("x-stays"), response.header("x-stays")),
            (Some("1"), Some("1"))
        );
        assert_eq!(
            response.headers("x-hop-back").len() + response.headers("keep-alive").len(),
            0,
            "{response:?}"
        );
        // What the gateway itself says cannot be taken away by naming it.
        gateway
            .call(
                &Request::get("/")
                    .key(&tenant.key)
                    .header("Connection", "X-Tenant-Id, X-Forwarded-For"),
            )
            .expect(200);
        assert_eq!(
            upstream.last().header("x-tenant-id"),
            Some(tenant.id.as_str())
        );
        assert_eq!(upstream.last().header("x-forwarded-for"), Some("127.0.0.1"));
    }

    fn g17_what_clients_say_about_their_way_is_replaced(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_before(&upstream);
        let request = Request::get("/")
            .key(&tenant.key)
            .header("Host", "shop.test:8080")
            .header("X-Forwarded-For", "6.6.6.6")
            .header("X-Forwarded-Host", "evil.test")
            .header("X-Forwarded-User", "admin")
            .header("X_Forwarded_User", "admin")
            .header("x-forwarded-client-cert", "By=me")
            .header("X-Forwarded-Proto", "https")
            .header("X-Real-IP", "6.6.6.6")
            .header("Forwarded", "for=6.6.6.6")
            .header("X-Tenant-Id", "somebody-else");
        gateway.call(&request).expect(200);
        let got = upstream.only();
        let unknown = |name: &str| got.header(name).is_some();
        assert!(!["x-forwarded-user", "x_forwarded_user", "x-forwarded-client-cert"].into_iter().any(unknown));
        assert_eq!(got.headers("x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(got.headers("x-forwarded-host"), ["shop.test:8080"]);
        assert_eq!(got.headers("x-forwarded-proto"), ["http"]);
        assert_eq!(got.headers("x-tenant-id"), [tenant.id.as_str()]);
        assert!(
            !got.headers
                .iter()
                .any(|(_, value)| value.contains("6.6.6.6")),
            "{got:?}"
        );
    }

    fn g17_the_request_id_is_one_from_end_to_end(backend) {
        let gateway = Gateway::start(backend);
        let upstream =
            Upstream::start(|_| Answer::text("a").header("X-Request-Id", "the-upstreams-own"));
        let tenant = gateway.tenant_before(&upstream);
        let response = gateway
            .call(
                &Request::get("/")
                    .key(&tenant.key)
                    .header("X-Request-Id", "given-by-the-client-1"),
            )
            .expect(200);
        assert_eq!(
            response.header("x-request-id"),
            Some("given-by-the-client-1")
        );
        assert_eq!(
            upstream.last().header("x-request-id"),
            Some("given-by-the-client-1")
        );
        let (first, second) = (gateway.get("/", &tenant.key), gateway.get("/", &tenant.key));
        assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
        assert_eq!(
            second.header("x-request-id"),
            upstream.last().header("x-request-id")
        );
        let made = gateway.call(&Request::get("/")).expect(401);
        assert!(
            made.header("x-request-id").is_some() && made.header("proxy-status").is_some(),
            "{made:?}"
        );
        assert_eq!(
            first.header("proxy-status"),
            None,
            "an upstream's answer is not the gateway's"
        );
    }

    fn g17_an_upstream_that_fails_is_502_with_its_reason(backend) {
        let gateway = Gateway::start(backend);
        let mut gone = Upstream::named("gone");
        let (closing, garbage) = (
            Upstream::start(|_| Answer::close()),
            Upstream::start(|_| Answer::raw_and_close("HTTP/7 hello\r\n\r\n")),
        );
        let tenant = gateway.tenant("acme");
        for (path, upstream) in [
            ("/gone", &gone),
            ("/closing", &closing),
            ("/garbage", &garbage),
        ] {
            gateway.prefix_route(&tenant, path, &[upstream], Value::Null);
        }
        gone.stop();
        let post = |path: &str| gateway.call(&Request::post(path, "x").key(&tenant.key));
        post("/gone").expect_problem(502, "upstream_unreachable");
        post("/closing").expect_problem(502, "upstream_closed");
        post("/garbage").expect_problem(502, "upstream_malformed");
    }
}

#[test]
fn g17_configured_peers_are_believed() {
    let gateway =
        Gateway::start(Options::new(Backend::Embedded).arg("--trusted-proxies", "127.0.0.0/8"));
    let upstream = Upstream::named("a");
    let tenant = gateway.tenant_before(&upstream);
    let request = Request::get("/")
        .key(&tenant.key)
        .header("X-Forwarded-For", "6.6.6.6")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "shop.test");
    gateway.call(&request).expect(200);
    let got = upstream.only();
    assert_eq!(got.headers("x-forwarded-for"), ["6.6.6.6, 127.0.0.1"]);
    assert_eq!(
        (
            got.header("x-forwarded-proto"),
            got.header("x-forwarded-host")
        ),
        (Some("https"), Some("shop.test"))
    );
}
