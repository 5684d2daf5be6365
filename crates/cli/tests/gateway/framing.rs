//! G18: one interpretation of every request, before any policy; the payload families have their own test binary.

use serde_json::{Value, json};

use crate::harness::*;

on_both! {
    fn g18_an_ambiguous_request_is_400_before_anything_is_asked(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant_with(
            json!({ "name": "acme", "rateLimit": { "limit": 50, "windowMs": 60_000 } }),
        );
        gateway.prefix_route(&tenant, "/", &[&upstream], Value::Null);
        let key = &tenant.key;
        for bytes in [
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"
            ),
            format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n folded\r\n\r\n"),
            format!("GET / HTTP/1.1\nHost: a\nX-API-Key: {key}\n\n"),
            format!("GET /a/../b HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"),
            format!("GET /a/%2e%2e/b HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"),
            format!("GET /a%00 HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nX-API-Key: {key}\r\n\r\n"),
            "GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        ] {
            let mut client = gateway.connect();
            client.send(&bytes);
            let refused = client.read(false);
            assert_eq!(refused.status, 400, "{bytes:?}: {refused:?}");
            assert_eq!(refused.headers("x-ratelimit-limit").len(), 0);
        }
        assert_eq!(upstream.count(), 0);
        assert_eq!(
            gateway
                .get("/", key)
                .expect(200)
                .number("x-ratelimit-remaining"),
            49
        );
    }
}

/// It asks about the server and not about a resource (RFC 9110, section 9.3.7), so no route has anything to say about it.
#[test]
fn g18_options_of_the_whole_server_are_answered_by_the_gateway() {
    let gateway = Gateway::start(Backend::Embedded);
    let upstream = Upstream::named("a");
    let tenant = gateway.tenant_before(&upstream);
    let mut client = gateway.connect();
    for request in [
        Request::new("OPTIONS", "*"),
        Request::new("OPTIONS", "*").key(&tenant.key),
        Request::new("OPTIONS", "http://gateway.test"),
        Request::new("OPTIONS", "*").body("ignored"),
    ] {
        let response = client.call(&request).expect(200);
        assert_eq!(response.header("content-length"), Some("0"));
        let allow = response.header("allow").unwrap_or_default();
        assert!(allow.contains("GET") && allow.contains("OPTIONS") && !allow.contains("TRACE"));
        assert!(
            response.header("proxy-status").is_some() && response.header("x-request-id").is_some()
        );
    }
    assert_eq!(upstream.count(), 0);
    // A path of one asterisk is a path, and other methods have no such target.
    client
        .call(&Request::new("OPTIONS", "/*").key(&tenant.key))
        .expect(200);
    assert_eq!(upstream.only().target, "/*");
    client.call(&Request::new("GET", "*")).expect(400);
    let two_hosts = "OPTIONS * HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    let mut client = gateway.connect();
    client.send(two_hosts);
    client.read(false).expect(400);
}
