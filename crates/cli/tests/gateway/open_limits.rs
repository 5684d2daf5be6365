//! G3: the limit of an open route, which nobody's key can be counted by.

use serde_json::json;

use crate::harness::*;

/// An open route that admits two requests a minute.
fn open_route(gateway: &Gateway, upstream: &Upstream) {
    gateway.route(json!({
        "method": "*", "path": "/open", "pathType": "prefix", "auth": "none",
        "rateLimit": { "limit": 2, "windowMs": 60_000 },
        "upstreams": [{ "url": upstream.url() }],
    }));
}

fn from(client: &str) -> Request {
    Request::get("/open").header("X-Forwarded-For", client)
}

on_both! {
    fn g3_an_open_routes_limit_counts_each_client_apart(backend) {
        let gateway =
            Gateway::start(Options::new(backend).arg("--trusted-proxies", "127.0.0.0/8"));
        let upstream = Upstream::named("a");
        open_route(&gateway, &upstream);
        for client in ["192.0.2.1", "192.0.2.2"] {
            for left in [1, 0] {
                let response = gateway.call(&from(client)).expect(200);
                assert_eq!(response.number("x-ratelimit-remaining"), left);
            }
            gateway.call(&from(client)).expect_problem(429, "rate_limited");
        }
        // Of IPv6 whoever has one address has all of its network.
        gateway.call(&from("2001:db8::1")).expect(200);
        gateway.call(&from("2001:db8::2")).expect(200);
        gateway.call(&from("2001:db8::3")).expect_problem(429, "rate_limited");
        gateway.call(&from("2001:db8:0:1::1")).expect(200);
        // Who has a key is counted as the tenant, wherever the request comes from.
        let tenant = gateway.tenant("acme");
        for client in ["192.0.2.1", "192.0.2.3"] {
            gateway.call(&from(client).key(&tenant.key)).expect(200);
        }
        gateway
            .call(&from("192.0.2.4").key(&tenant.key))
            .expect_problem(429, "rate_limited");
        gateway.call(&from("192.0.2.4")).expect(200);
    }

    fn g3_a_strangers_word_on_where_it_comes_from_gives_no_limit_of_its_own(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        open_route(&gateway, &upstream);
        gateway.call(&from("192.0.2.1")).expect(200);
        gateway.call(&from("192.0.2.2")).expect(200);
        gateway.call(&from("192.0.2.3")).expect_problem(429, "rate_limited");
    }
}
