//! The readers against tables of right and wrong input, and against anything at all.

use bastide_config::read::tree;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::{RateLimit, Route, Tenant};

fn read_route(value: &Value) -> Result<Route, Vec<String>> {
    tree(value, |node| {
        node.object(|fields| route(fields, Owner::Named))
    })
    .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn base() -> Value {
    json!({"method": "GET", "path": "/a", "upstreams": [{"url": "http://a:1"}]})
}

/// The base route with one merge patch.
fn with(patch: Value) -> Value {
    let mut value = base();
    merge(&mut value, patch);
    value
}

#[test]
fn right_routes_are_accepted() {
    let accepted = [
        json!({}),
        json!({"method": "*", "host": "*.example.org", "priority": -5, "stripPrefix": false, "isActive": false}),
        json!({"path": "/users/{id}/posts/{post}", "pathType": "exact"}),
        json!({"path": "/v[0-9]+/.*", "pathType": "regex"}),
        json!({"auth": "none"}),
        json!({"path": "/health", "pathType": "prefix"}),
        json!({"path": "/{any}"}),
        json!({"upstreams": [{"url": "https://b/base", "weight": 9, "timeout": 100}, {"url": "unix:/run/a"}]}),
        json!({"loadBalancing": "peak-ewma", "rateLimit": {"limit": 1, "windowMs": 1}}),
        json!({"transform": {"request": {"headers": {"set": {"Host": "b"}, "remove": ["Cookie"], "add": {"X-A": "", "X-RateLimit-Limit": "1"}}}}}),
        json!({"transform": {"request": {"pathRewrite": {"pattern": "^/a/(.*)", "replacement": "/$1"}}}}),
        json!({"resilience": {"fallback": {"statusCode": 204}, "retry": {"baseDelayMs": 60_000}}}),
        json!({"resilience": {"timeout": {"byMethod": {"GET": 1}, "connectMs": 1, "totalMs": 1, "idleMs": 1, "tunnelIdleMs": 1}}}),
    ];
    for patch in accepted {
        let route = read_route(&with(patch.clone()))
            .unwrap_or_else(|problems| panic!("{patch}: {problems:?}"));
        // What is written is read again as the same.
        let mut public = route.public();
        let members = public.as_object_mut().unwrap();
        members.retain(|name, _| !Route::READ_ONLY.contains(&name.as_str()));
        assert_eq!(read_route(&public), Ok(route), "{public}");
    }
    let fallback = read_route(&with(
        json!({"resilience": {"fallback": {"statusCode": 204}}}),
    ))
    .unwrap();
    assert_eq!(fallback.resilience.unwrap().fallback.unwrap().body, "");
}

#[test]
fn wrong_routes_are_refused_with_field_and_remedy() {
    let refused = [
        (json!({"method": null}), "method: is required"),
        (
            json!({"method": "get"}),
            "method: method `get` must be one of",
        ),
        (json!({"method": "GTE"}), "did you mean GET?"),
        (
            json!({"method": 1}),
            "method: expected a method such as GET, found 1",
        ),
        (json!({"path": "a"}), "path: path `a` can match no request"),
        (
            json!({"path": "/a/../b"}),
            "path: path `/a/../b` can match no request",
        ),
        (json!({"path": "/a?b"}), "path: path `/a?b` holds `?`"),
        (json!({"path": "/{a"}), "path: segment `{a`"),
        (
            json!({"path": "(", "pathType": "regex"}),
            "path: regular expression `(`",
        ),
        (
            json!({"path": "/health"}),
            "path: `/health` is the gateway's own endpoint",
        ),
        (
            json!({"path": "/%72eady"}),
            "path: `/ready` is the gateway's own endpoint",
        ),
        (json!({"path": ""}), "path: must not be empty"),
        (
            json!({"path": "x".repeat(1025)}),
            "path: expected 1 to 1024 characters, found 1025",
        ),
        (json!({"pathType": "Prefix"}), "did you mean prefix?"),
        (json!({"host": "a b"}), "host: host `a b` must be"),
        (json!({"host": "a.org:80"}), "host: host `a.org:80` must be"),
        (
            json!({"tenantId": "12"}),
            "tenantId: expected a UUID such as",
        ),
        (
            json!({"tenantId": "12", "auth": "none"}),
            "auth: only a route of the platform",
        ),
        (
            json!({"priority": 1.5}),
            "priority: expected a whole number from",
        ),
        (
            json!({"stripPrefix": 1}),
            "stripPrefix: expected true or false, found 1",
        ),
        (
            json!({"upstreams": []}),
            "upstreams: expected 1 to 256 elements, found 0",
        ),
        (
            json!({"upstreams": [{"url": "ftp://a"}]}),
            "upstreams[0].url: expected a URL that begins with",
        ),
        (
            json!({"upstreams": [{"url": "http://u:secret@a"}]}),
            "upstreams[0].url: user and password do not belong",
        ),
        (
            json!({"upstreams": [{"url": "http://a", "weight": 0}]}),
            "upstreams[0].weight: expected a whole number from 1 to 65535, found 0",
        ),
        (
            json!({"upstreams": [{"url": "http://a", "timeout": 0}]}),
            "upstreams[0].timeout: expected a whole number",
        ),
        (json!({"upstreams": [{}]}), "upstreams[0].url: is required"),
        (
            json!({"loadBalancing": "weigthed"}),
            "did you mean weighted?",
        ),
        (json!({"timeout": 5}), "timeout: unknown key `timeout`"),
        (json!({"upstream": []}), "did you mean `upstreams`?"),
        (
            json!({"rateLimit": {"limit": 5, "requestsPerSecond": 5}}),
            "rateLimit: `requestsPerSecond` and `burstSize` belong to one form",
        ),
        (
            json!({"rateLimit": {}}),
            "rateLimit: expected `requestsPerSecond`",
        ),
        (
            json!({"rateLimit": {"burstSize": 5}}),
            "rateLimit.requestsPerSecond: is required beside `burstSize`",
        ),
        (
            json!({"rateLimit": {"limit": 5}}),
            "rateLimit.windowMs: is required beside `limit`",
        ),
        (
            json!({"rateLimit": {"windowMs": 5}}),
            "rateLimit.limit: is required beside `windowMs`",
        ),
        (
            json!({"rateLimit": {"limit": 0, "windowMs": 5}}),
            "rateLimit.limit: expected a whole number from 1",
        ),
        (
            json!({"rateLimit": {"limit": 1, "windowMs": 99_999_999_999_u64}}),
            "rateLimit.windowMs: windowMs is 99999999999",
        ),
        (
            json!({"rateLimit": {"requestsPerSecond": 5, "onStoreLoss": "open"}}),
            "rateLimit.onStoreLoss: expected one of fail-share, fail-open, fail-closed",
        ),
        (
            json!({"transform": {"request": {"headers": {"set": {"a b": "1"}}}}}),
            "transform.request.headers.set[\"a b\"]: expected the name of a header field",
        ),
        (
            json!({"transform": {"request": {"headers": {"set": {"Content-Length": "1"}}}}}),
            "transform.request.headers.set.Content-Length: `Content-Length` frames",
        ),
        (
            json!({"transform": {"response": {"headers": {"remove": ["connection"]}}}}),
            "transform.response.headers.remove[0]: `connection` frames",
        ),
        (
            json!({"transform": {"response": {"headers": {"remove": ["X-RateLimit-Limit"]}}}}),
            "transform.response.headers.remove[0]: `X-RateLimit-Limit` is the gateway's own",
        ),
        (
            json!({"transform": {"response": {"headers": {"set": {"X-Request-Id": "z"}}}}}),
            "transform.response.headers.set.X-Request-Id: `X-Request-Id` is the gateway's own",
        ),
        (
            json!({"transform": {"response": {"headers": {"add": {"ratelimit": "z"}}}}}),
            "transform.response.headers.add.ratelimit: `ratelimit` is the gateway's own",
        ),
        (
            json!({"transform": {"request": {"headers": {"remove": ["host"]}}}}),
            "transform.request.headers.remove[0]: `Host` is always there",
        ),
        (
            json!({"transform": {"response": {"headers": {"set": {"host": "a"}}}}}),
            "transform.response.headers.set.host: `Host` is always there",
        ),
        (
            json!({"transform": {"request": {"headers": {"add": {"x": "a\r\nb: c"}}}}}),
            "transform.request.headers.add.x: a header field's value cannot hold line breaks",
        ),
        (
            json!({"transform": {"request": {"headers": {"set": {"x": " a"}}}}}),
            "cannot begin or end with a blank",
        ),
        (
            json!({"transform": {"request": {"headers": {"set": {"x-a": "1", "X-A": "2"}}}}}),
            "transform.request.headers.set: `X-A` and `x-a` are the same header field",
        ),
        (
            json!({"transform": {"request": {"pathRewrite": {"pattern": "(", "replacement": ""}}}}),
            "transform.request.pathRewrite.pattern: regular expression",
        ),
        (
            json!({"transform": {"request": {"pathRewrite": {"pattern": "a", "replacement": "$2"}}}}),
            "transform.request.pathRewrite.replacement: replacement `$2`",
        ),
        (
            json!({"transform": {"response": {"pathRewrite": {}}}}),
            "transform.response.pathRewrite: unknown key",
        ),
        (
            json!({"resilience": {"retrys": {}}}),
            "resilience.retrys: unknown key `retrys`; did you mean `retry`?",
        ),
        (
            json!({"resilience": {"retry": {"maxRetries": 11}}}),
            "resilience.retry.maxRetries: expected a whole number from 0 to 10, found 11",
        ),
        (
            json!({"resilience": {"retry": {"retryableStatusCodes": [200]}}}),
            "resilience.retry.retryableStatusCodes[0]: expected a whole number from 400 to 599",
        ),
        (
            json!({"resilience": {"retry": {"baseDelayMs": 5, "maxDelayMs": 4}}}),
            "resilience.retry.maxDelayMs: must be at least `baseDelayMs` (5)",
        ),
        (
            json!({"resilience": {"circuitBreaker": {"failureThreshold": 0}}}),
            "resilience.circuitBreaker.failureThreshold: expected a whole number",
        ),
        (
            json!({"resilience": {"timeout": {"default": 0}}}),
            "resilience.timeout.default: expected a whole number",
        ),
        (
            json!({"resilience": {"timeout": {"byMethod": {"GOT": 5}}}}),
            "resilience.timeout.byMethod.GOT: method `GOT` must be one of",
        ),
        (
            json!({"resilience": {"healthCheck": {"endpoint": "health"}}}),
            "resilience.healthCheck.endpoint: expected a path such as /health",
        ),
        (
            json!({"resilience": {"healthCheck": {"intervalMs": 1}}}),
            "resilience.healthCheck.intervalMs: expected a whole number from 100",
        ),
        (
            json!({"resilience": {"fallback": {"statusCode": 101}}}),
            "resilience.fallback.statusCode: expected a whole number from 200 to 599",
        ),
        (
            json!({"resilience": {"fallback": {"contentType": "json"}}}),
            "resilience.fallback.contentType: expected a media type",
        ),
        (
            json!({"resilience": {"fallback": {"statusCode": 204, "body": "x"}}}),
            "resilience.fallback.body: a response with status 204 has no body",
        ),
    ];
    for (patch, message) in refused {
        let problems = read_route(&with(patch.clone())).expect_err(&patch.to_string());
        assert!(
            problems.iter().any(|problem| problem.contains(message)),
            "{patch}: {problems:?}"
        );
        assert_eq!(
            problems.len(),
            1 + usize::from(patch["tenantId"] == "12" && patch["auth"] == "none"),
            "{problems:?}"
        );
        assert!(
            !problems.iter().any(|problem| problem.contains("secret")),
            "{problems:?}"
        );
    }
}

#[test]
fn wrong_tenants_and_keys_are_refused() {
    let tiers = RateLimit::default_tiers();
    let problems = |value: &Value| -> String {
        let read = tree(value, |node| node.object(|fields| tenant(fields, &tiers)));
        read.map_or_else(
            |problems| problems.to_string(),
            |tenant| format!("accepted {}", tenant.name),
        )
    };
    assert_eq!(
        problems(&json!({"name": "é".repeat(256)})),
        "name: expected 1 to 255 characters, found 256"
    );
    assert_eq!(
        problems(&json!({"name": " a"})),
        "name: a name cannot begin or end with a blank"
    );
    assert_eq!(
        problems(&json!({"name": "a\nb"})),
        "name: a name cannot hold line breaks or other control characters"
    );
    assert_eq!(
        problems(&json!({"name": "a", "tier": "a b"})),
        "tier: expected a tier's name: 1 to 64 letters, digits, `-`, `_` or `.`, found \"a b\""
    );
    assert_eq!(
        problems(&json!({"name": "a", "tier": "x"})),
        "tier: there is no tier `x`; the tiers are enterprise, free, pro"
    );
    let limit = json!({"requestsPerSecond": 1});
    assert_eq!(
        problems(&json!({"name": "a", "rateLimit": limit, "defaultRateLimit": limit})),
        "defaultRateLimit: is the older name of `rateLimit`; give one of the two"
    );
    for (key, message) in [
        (
            json!("fifteen-letters"),
            "expected 16 to 256 characters, found 15",
        ),
        (
            json!("x".repeat(257)),
            "expected 16 to 256 characters, found 257",
        ),
        (
            json!("sixteen letters!"),
            "a key may hold letters, digits and signs of ASCII only, no blanks",
        ),
        (
            json!("sécret-sécret-sécret"),
            "a key may hold letters, digits and signs of ASCII only, no blanks",
        ),
        (json!(["a secret in a list"]), "expected a string"),
    ] {
        assert_eq!(tree(&key, api_key).unwrap_err().to_string(), message);
    }
    let settings = json!({"expiresAt": "tomorrow", "name": ""});
    let read = tree(&settings, |node| node.object(|fields| Some(key(fields))));
    assert_eq!(read.unwrap_err().len(), 2);
    let wrong = tree(&json!({"gold": {"requestsPerSecond": 1}}), super::tiers)
        .unwrap_err()
        .to_string();
    assert!(wrong.contains("the tier `free` is missing"), "{wrong}");
}

/// The examples of RFC 7396, appendix A.
#[test]
fn merge_patch_does_what_its_rfc_says() {
    let cases = [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (
            json!({"a": "b"}),
            json!({"b": "c"}),
            json!({"a": "b", "b": "c"}),
        ),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (
            json!({"a": "b", "b": "c"}),
            json!({"a": null}),
            json!({"b": "c"}),
        ),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (
            json!({"a": {"b": "c"}}),
            json!({"a": {"b": "d", "c": null}}),
            json!({"a": {"b": "d"}}),
        ),
        (
            json!({"a": [{"b": "c"}]}),
            json!({"a": [1]}),
            json!({"a": [1]}),
        ),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a": "b"}), json!(["c"]), json!(["c"])),
        (json!({"a": "foo"}), json!(null), json!(null)),
        (json!({"a": "foo"}), json!("bar"), json!("bar")),
        (
            json!({"e": null}),
            json!({"a": 1}),
            json!({"e": null, "a": 1}),
        ),
        (
            json!([1, 2]),
            json!({"a": "b", "c": null}),
            json!({"a": "b"}),
        ),
        (
            json!({}),
            json!({"a": {"bb": {"ccc": null}}}),
            json!({"a": {"bb": {}}}),
        ),
    ];
    for (mut target, patch, expected) in cases {
        merge(&mut target, patch.clone());
        assert_eq!(target, expected, "{patch}");
    }
}

/// JSON of names that the readers know, so that more than the first key check is reached.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        prop::sample::select(
            &[
                "GET", "/a", "/{x}", "regex", "(", "$1", "http://a", "none", "*", "weighted"
            ][..]
        )
        .prop_map(Value::from),
    ];
    let names = [
        "method",
        "path",
        "pathType",
        "upstreams",
        "url",
        "weight",
        "rateLimit",
        "limit",
        "windowMs",
        "transform",
        "request",
        "headers",
        "set",
        "pathRewrite",
        "pattern",
        "replacement",
        "resilience",
        "retry",
        "fallback",
        "timeout",
        "byMethod",
        "tenantId",
        "auth",
        "name",
        "tier",
        "keys",
        "routes",
        "tenants",
        "tiers",
        "free",
        "key",
        "hash",
        "id",
        "other",
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(prop::sample::select(names.to_vec()), inner, 0..8).prop_map(
                |members| members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()
            ),
        ]
    })
}

proptest! {
    #[test]
    fn anything_is_accepted_or_explained(value in anything()) {
        let tiers = RateLimit::default_tiers();
        let merged = with(value.clone());
        for value in [&value, &merged] {
            if let Err(problems) = read_route(value) {
                prop_assert!(!problems.is_empty());
            }
            let tenant: Result<Tenant, _> = tree(value, |node| node.object(|fields| tenant(fields, &tiers)));
            if let Err(problems) = tenant {
                prop_assert!(!problems.is_empty());
            }
        }
    }

    #[test]
    fn an_accepted_route_reads_back_as_itself(patch in anything()) {
        if let Ok(route) = read_route(&with(patch)) {
            let mut public = route.public();
            public.as_object_mut().unwrap().retain(|name, _| !Route::READ_ONLY.contains(&name.as_str()));
            prop_assert_eq!(read_route(&public), Ok(route));
        }
    }
}
