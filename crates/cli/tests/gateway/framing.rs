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
