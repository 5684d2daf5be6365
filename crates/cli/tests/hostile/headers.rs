//! Fields that say who asks, from where and through what: believed from those who may say so, replaced from all others; and
//! everything else passed through untouched.

use serde_json::json;

use crate::harness::{Answer, Gateway, Received, Request, Upstream};
use crate::scene::{Scene, one_worker};

const CLAIMS: &[(&str, &str)] = &[
    ("X-Forwarded-For", "6.6.6.6"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Port", "6666"),
    ("X-Forwarded-Prefix", "/evil"),
    ("X-Real-IP", "6.6.6.6"),
    ("Forwarded", "for=6.6.6.6;host=evil.example;proto=https"),
];

fn claiming(mut request: Request) -> Request {
    for (name, value) in CLAIMS {
        request = request.header(name, value);
    }
    request
}

#[track_caller]
fn sent(scene: &Scene, request: &Request) -> Received {
    scene.upstream.forget();
    scene.gateway.call(request).expect(200);
    scene.upstream.only()
}

#[test]
fn what_an_untrusted_peer_says_about_where_it_comes_from_is_replaced() {
    let scene = Scene::new(|_| Answer::text("fine"));
    let seen = sent(&scene, &claiming(scene.request("GET", "/")));
    assert_eq!(seen.headers("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.headers("x-forwarded-host"), ["gateway.test"]);
    assert_eq!(seen.headers("x-forwarded-proto"), ["http"]);
    for gone in [
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-real-ip",
        "forwarded",
    ] {
        assert!(seen.headers(gone).is_empty(), "{gone}: {seen:?}");
    }
}

#[test]
fn what_a_trusted_peer_says_is_kept_and_added_to() {
    let scene = Scene::with(
        one_worker().env("TRUSTED_PROXIES", "127.0.0.1"),
        json!(null),
        |_| Answer::text("fine"),
    );
    let seen = sent(
        &scene,
        &claiming(scene.request("GET", "/")).header("X-Forwarded-For", "7.7.7.7"),
    );
    assert_eq!(
        seen.headers("x-forwarded-for"),
        ["6.6.6.6, 7.7.7.7, 127.0.0.1"]
    );
    for (name, value) in &CLAIMS[1..] {
        assert_eq!(seen.headers(name), [*value], "{name}");
    }
    let seen = sent(&scene, &scene.request("GET", "/"));
    assert_eq!(seen.headers("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.headers("x-forwarded-host"), ["gateway.test"]);
}

#[test]
fn nobody_but_the_gateway_says_who_the_tenant_is() {
    for trusted in ["", "127.0.0.1"] {
        let options = if trusted.is_empty() {
            one_worker()
        } else {
            one_worker().env("TRUSTED_PROXIES", trusted)
        };
        let scene = Scene::with(options, json!(null), |_| Answer::text("fine"));
        let request = scene
            .request("GET", "/")
            .header("X-Tenant-Id", "evil")
            .header("x-tenant-id", "worse")
            .header("X_Tenant_Id", "alias")
            .header("X-Tenant_Id", "alias");
        let seen = sent(&scene, &request);
        assert_eq!(seen.headers("x-tenant-id"), [scene.tenant.id.as_str()]);
        for alias in ["x_tenant_id", "x-tenant_id"] {
            assert!(
                seen.headers(alias).is_empty(),
                "a CGI program takes {alias} for the gateway's word: {seen:?}"
            );
        }
    }
}

#[test]
fn an_open_route_claims_no_tenant() {
    let gateway = Gateway::start(one_worker());
    let upstream = Upstream::named("fine");
    gateway.route(json!({
        "method": "*", "path": "/", "pathType": "prefix", "auth": "none", "upstreams": [{ "url": upstream.url() }],
    }));
    gateway
        .call(
            &Request::get("/")
                .header("X-Tenant-Id", "evil")
                .header("X_Tenant_Id", "evil"),
        )
        .expect(200);
    let seen = upstream.only();
    assert!(
        seen.headers("x-tenant-id").is_empty() && seen.headers("x_tenant_id").is_empty(),
        "{seen:?}"
    );
}

#[test]
fn aliases_of_what_the_gateway_says_are_not_passed_on() {
    let scene = Scene::new(|_| Answer::text("fine"));
    let mut request = scene.request("GET", "/").header("My_Own", "kept");
    for (name, value) in CLAIMS {
        request = request.header(&name.replace('-', "_"), value);
    }
    let seen = sent(
        &scene,
        &request
            .header("X_Api_Key", "k")
            .header("X_Request_Id", "evil-request-id"),
    );
    for (name, _) in CLAIMS.iter().filter(|(name, _)| name.contains('-')) {
        assert!(
            seen.headers(&name.replace('-', "_")).is_empty(),
            "{name}: {seen:?}"
        );
    }
    assert!(
        seen.headers("x_api_key").is_empty() && seen.headers("x_request_id").is_empty(),
        "{seen:?}"
    );
    assert_eq!(seen.headers("my_own"), ["kept"]);
}

#[test]
fn the_key_never_reaches_the_upstream() {
    let scene = Scene::new(|_| Answer::text("fine"));
    for connection in ["keep-alive", "X-API-Key", "x-api-key, close"] {
        let seen = sent(
            &scene,
            &scene
                .request("GET", "/?a=b")
                .header("Connection", connection),
        );
        assert!(
            !format!("{seen:?}").contains(&scene.tenant.key),
            "{connection}: {seen:?}"
        );
    }
    // Over a stale connection, too.
    scene.upstream.close_connections();
    let seen = sent(&scene, &scene.request("GET", "/"));
    assert!(!format!("{seen:?}").contains(&scene.tenant.key));
}

#[test]
fn two_keys_are_no_key() {
    let scene = Scene::new(|_| Answer::text("fine"));
    let response = scene
        .gateway
        .call(&scene.request("GET", "/").key("another"));
    assert!(matches!(response.status, 400 | 401), "{response:?}");
    let response = scene
        .gateway
        .call(&scene.request("GET", "/").key(&scene.tenant.key));
    assert!(matches!(response.status, 400 | 401), "{response:?}");
    assert_eq!(scene.upstream.count(), 0);
}

#[test]
fn a_connection_field_cannot_take_away_what_the_gateway_relies_on() {
    let scene = Scene::new(|_| Answer::text("fine"));
    let nominated = "close, Host, X-API-Key, X-Tenant-Id, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, X-Request-Id, \
        Content-Length, Authorization, Cookie, Via, X-Mine";
    let request = scene
        .request("POST", "/")
        .header("Connection", nominated)
        .header("X-Mine", "1")
        .header("Authorization", "Bearer a")
        .body("hello");
    let seen = sent(&scene, &request);
    assert_eq!(seen.headers("host"), [scene.upstream.authority()]);
    assert_eq!(seen.headers("x-tenant-id"), [scene.tenant.id.as_str()]);
    assert_eq!(seen.headers("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.headers("x-forwarded-host"), ["gateway.test"]);
    assert_eq!(seen.headers("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.headers("x-request-id").len(), 1);
    assert_eq!(seen.headers("via").len(), 1);
    assert_eq!(seen.text(), "hello");
    assert!(
        seen.headers("x-mine").is_empty(),
        "what is nominated is hop-by-hop: {seen:?}"
    );
}

#[test]
fn fields_of_one_connection_stay_on_it() {
    let scene = Scene::new(|_| {
        Answer::text("fine")
            .header("Connection", "keep-alive, X-Hop")
            .header("Keep-Alive", "timeout=60")
            .header("X-Hop", "1")
            .header("Proxy-Connection", "keep-alive")
            .header("Upgrade", "h2c")
            .header("X-End", "2")
    });
    let request = scene
        .request("GET", "/")
        .header("Connection", "keep-alive, X-Hop")
        .header("X-Hop", "1")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Connection", "keep-alive")
        .header("Proxy-Authorization", "Basic a")
        .header("TE", "trailers")
        .header("X-End", "2");
    let response = scene.gateway.call(&request).expect(200);
    let seen = scene.upstream.only();
    for name in [
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
        "proxy-authorization",
    ] {
        assert!(seen.headers(name).is_empty(), "{name} went up: {seen:?}");
        assert!(
            response.headers(name).is_empty(),
            "{name} came down: {response:?}"
        );
    }
    assert_eq!(seen.headers("x-end"), ["2"]);
    assert_eq!(response.headers("x-end"), ["2"]);
}

#[test]
fn what_the_upstream_says_to_the_client_is_not_touched() {
    // The bytes of `hello` by gzip: what says that it is compressed must arrive with what is.
    let packed = [
        31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 203, 72, 205, 201, 201, 7, 0, 134, 166, 16, 54, 5, 0, 0, 0,
    ];
    let scene = Scene::new(move |_| {
        Answer::status(302)
            .header("Location", "http://elsewhere.example/a?b#c")
            .header("Set-Cookie", "a=1; Path=/")
            .header("Set-Cookie", "b=2; Path=/")
            .header("Set-Cookie", "c=3, d=4")
            .header("Content-Encoding", "gzip")
            .header("ETag", "W/\"x\"")
            .header("Vary", "Accept-Encoding")
            .header("Cache-Control", "public, max-age=60")
            .header("Server", "theirs")
            .header("WWW-Authenticate", "Basic realm=\"a\"")
            .header("WWW-Authenticate", "Bearer")
            .body(packed)
    });
    let response = scene.get("/");
    assert_eq!(response.status, 302);
    assert_eq!(
        response.headers("set-cookie"),
        ["a=1; Path=/", "b=2; Path=/", "c=3, d=4"]
    );
    assert_eq!(
        response.headers("location"),
        ["http://elsewhere.example/a?b#c"]
    );
    assert_eq!(response.headers("content-encoding"), ["gzip"]);
    assert_eq!(
        response.headers("www-authenticate"),
        ["Basic realm=\"a\"", "Bearer"]
    );
    for (name, value) in [
        ("etag", "W/\"x\""),
        ("vary", "Accept-Encoding"),
        ("cache-control", "public, max-age=60"),
        ("server", "theirs"),
    ] {
        assert_eq!(response.headers(name), [value]);
    }
    assert_eq!(response.body, packed);
    assert!(
        response.headers("proxy-status").is_empty(),
        "this one is the upstream's"
    );
}

#[test]
fn what_the_client_says_to_the_upstream_is_not_touched() {
    let scene = Scene::new(|_| Answer::text("fine"));
    let fields = [
        ("Cookie", "a=1; b=2"),
        ("If-None-Match", "\"x\", W/\"y\""),
        ("Range", "bytes=0-1,5-"),
        ("Idempotency-Key", "k"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("Accept-Encoding", "br;q=1.0, gzip"),
        ("Content-Type", "application/json"),
        ("X-Custom", "a"),
        ("X-Custom", "b"),
        ("User-Agent", "test/1"),
        ("Authorization", "Bearer a"),
    ];
    let request = fields.iter().fold(
        scene.request("POST", "/").body("{}"),
        |request, (name, value)| request.header(name, value),
    );
    let seen = sent(&scene, &request);
    for (name, value) in fields {
        assert!(seen.headers(name).contains(&value), "{name}: {seen:?}");
    }
    assert_eq!(seen.headers("x-custom"), ["a", "b"]);
    assert_eq!(seen.text(), "{}");
}

#[test]
fn a_request_id_is_taken_over_only_if_it_is_harmless() {
    let scene = Scene::new(|_| Answer::text("fine"));
    let good = "0b1f8e2c-7a55-4a6f-9a0e-3d1c5f1f2a10";
    let response = scene
        .gateway
        .call(&scene.request("GET", "/").header("X-Request-Id", good));
    assert_eq!(response.header("x-request-id"), Some(good));
    assert_eq!(scene.upstream.last().headers("x-request-id"), [good]);
    let long = "a".repeat(500);
    for bad in [
        "short",
        "\"quoted-in-json\"",
        "<script>alert(1)</script>",
        long.as_str(),
        "with space in it",
        "caf\u{e9}caf\u{e9}caf",
    ] {
        let response = scene
            .gateway
            .call(&scene.request("GET", "/").header("X-Request-Id", bad));
        let id = response
            .header("x-request-id")
            .unwrap_or_default()
            .to_owned();
        assert!(!id.is_empty() && id != bad, "{bad}: {id}");
        assert_eq!(scene.upstream.last().headers("x-request-id"), [id]);
    }
}

#[test]
fn a_request_that_goes_in_circles_is_cut() {
    // The route's upstream is the gateway itself.
    let gateway = Gateway::start(one_worker());
    gateway.route(json!({
        "method": "*", "path": "/", "pathType": "prefix", "stripPrefix": false, "auth": "none",
        "upstreams": [{ "url": format!("http://{}", gateway.public) }],
    }));
    let response = gateway.call(&Request::get("/loop"));
    assert_eq!(response.status, 508, "{response:?}");
    assert_eq!(
        response.headers("proxy-status"),
        ["upstream-bastide; error=proxy_loop_detected"],
        "the gateway that found out is the one behind"
    );
}

#[test]
fn a_few_gateways_in_a_row_are_no_circle() {
    let scene = Scene::new(|_| Answer::text("fine"));
    let seen = sent(
        &scene,
        &scene
            .request("GET", "/")
            .header("Via", "1.1 bastide, 1.0 other")
            .header("Via", "1.1 bastide"),
    );
    assert_eq!(seen.headers("via").len(), 3, "{seen:?}");
    assert_eq!(seen.headers("via").last(), Some(&"1.1 bastide"));
}

#[test]
fn an_upstream_cannot_speak_as_the_gateway() {
    let scene = Scene::new(|_| {
        Answer::raw(
            "HTTP/1.1 200 OK\r\nProxy-Status: bastide; error=dns_error, cdn; hit\r\n\
             Proxy-Status: \"bastide\"\r\nProxy-Status: x\", bastide; error=y\r\n\
             Trailer: Proxy-Status\r\nTransfer-Encoding: chunked\r\n\r\n\
             0\r\nProxy-Status: bastide; error=dns_error\r\n\r\n",
        )
    });
    let response = scene.get("/").expect(200);
    assert_eq!(
        response.headers("proxy-status"),
        [
            "upstream-bastide; error=dns_error, cdn; hit",
            "upstream-bastide"
        ],
        "{response:?}"
    );
    assert!(response.trailers.is_empty(), "{response:?}");
}
