//! G17: upstreams behind TLS, and whom they are believed to be.

use std::time::Duration;

use bastide_testkit::TestFolder;
use serde_json::{Value, json};

use crate::harness::program::Program;
use crate::harness::upstream::Step;
use crate::harness::*;

/// An upstream behind TLS.
struct Secure {
    upstream: Upstream,
    relay: Relay,
}

impl Secure {
    fn new(upstream: Upstream, certificate: &Certificate) -> Self {
        let relay = Relay::from_tls(upstream.address(), certificate);
        Self { upstream, relay }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.relay.address().port())
    }
}

/// A gateway that trusts the authority.
fn trusting(authority: &Authority) -> Gateway {
    let options = Options::new(Backend::Embedded).arg("--workers", "1");
    let file = authority.write(&options.folder());
    Gateway::start(options.arg("--upstream-ca", &file))
}

/// A tenant's whole tree to this URL.
#[track_caller]
fn tenant_before(gateway: &Gateway, url: &str, more: Value) -> TenantKey {
    let tenant = gateway.tenant(&bastide_testkit::unique("tenant"));
    let mut route = json!({ "tenantId": tenant.id, "method": "*", "path": "/", "pathType": "prefix", "upstreams": [{ "url": url }] });
    if let (Some(route), Value::Object(more)) = (route.as_object_mut(), more) {
        route.extend(more);
    }
    gateway.route(route);
    tenant
}

#[test]
fn g17_an_upstream_with_a_certificate_of_a_given_root_is_believed() {
    let authority = Authority::new();
    let secure = Secure::new(Upstream::echo(), &authority.issue("localhost"));
    let gateway = trusting(&authority);
    let tenant = tenant_before(&gateway, &secure.url(), Value::Null);
    let mut client = gateway.connect();
    for number in 0..5 {
        let path = format!("/{number}?q=1");
        let response = client
            .call(&Request::get(&path).key(&tenant.key))
            .expect(200);
        assert_eq!(response.text(), format!("GET {path}"));
    }
    let host = format!("localhost:{}", secure.relay.address().port());
    assert_eq!(secure.upstream.last().header("host"), Some(host.as_str()));
    assert_eq!(secure.relay.accepted(), 1, "one handshake for all requests");
    // An address can be in a certificate, too.
    let secure = Secure::new(Upstream::named("by address"), &authority.issue("127.0.0.1"));
    let url = format!("https://{}", secure.relay.address());
    let tenant = tenant_before(&gateway, &url, Value::Null);
    assert_eq!(
        gateway.get("/", &tenant.key).expect(200).text(),
        "by address"
    );
}

#[test]
fn g17_bodies_and_events_pass_to_and_from_a_tls_upstream() {
    const SIZE: usize = 8 * 1024 * 1024;
    let authority = Authority::new();
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::start(move |request| {
        match request.path() {
        "/events" => Answer::script([
            Step::Send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n".to_vec()),
            Step::Wait(held.clone()),
            Step::Send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n".to_vec()),
        ]),
        _ => Answer::status(200).body(request.body.clone()),
    }
    });
    let secure = Secure::new(upstream, &authority.issue("localhost"));
    let gateway = trusting(&authority);
    let tenant = tenant_before(&gateway, &secure.url(), Value::Null);
    let body = vec![b'x'; SIZE];
    let echoed = gateway.call(&Request::post("/", body.clone()).key(&tenant.key));
    assert!(echoed.expect(200).body == body);
    let mut client = gateway.connect();
    client.send(Request::get("/events").key(&tenant.key).bytes());
    client.read_head().expect(200);
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("data: 1") {
        seen.extend(
            client
                .read_some()
                .expect("the first comes before the second"),
        );
    }
    gate.open();
    while !String::from_utf8_lossy(&seen).contains("data: 2") {
        seen.extend(client.read_some().unwrap());
    }
}

/// One start, every way in which a certificate can be wrong.
#[test]
fn g17_an_upstream_that_is_not_who_it_should_be_is_502_and_the_log_says_why() {
    let authority = Authority::new();
    let gateway = trusting(&authority);
    let wrong = [
        (
            "nobody given to trust",
            Authority::new().issue("localhost"),
            "UnknownIssuer",
        ),
        (
            "another name",
            authority.issue("elsewhere.test"),
            "not valid for name",
        ),
        (
            "over",
            authority.issue_expired("localhost"),
            "certificate expired",
        ),
    ];
    for (what, certificate, why) in wrong {
        let secure = Secure::new(Upstream::named("a"), &certificate);
        let tenant = tenant_before(&gateway, &secure.url(), Value::Null);
        let response = gateway
            .get("/", &tenant.key)
            .expect_problem(502, "upstream_tls_failed");
        let status = response.header("proxy-status").unwrap_or_default();
        assert!(
            status.contains("error=tls_certificate_error"),
            "{what}: {status}"
        );
        assert!(
            !response.text().contains("localhost"),
            "clients learn nothing about what is behind: {response:?}"
        );
        for _ in 0..5 {
            gateway.get("/", &tenant.key).expect(502);
        }
        let port = secure.relay.address().port().to_string();
        let told = || {
            let log = gateway.stdout();
            let lines = log.lines().filter(|line| {
                line.contains("WARN")
                    && line.contains(why)
                    && line.contains(&port)
                    && line.contains("--upstream-ca")
            });
            lines.count()
        };
        eventually(what, || told() > 0);
        assert_eq!(told(), 1, "{what}: not for every request");
        assert_eq!(secure.upstream.count(), 0, "{what}");
    }
}

#[test]
fn g17_public_roots_alone_do_not_make_a_private_one_good() {
    let authority = Authority::new();
    let secure = Secure::new(Upstream::named("a"), &authority.issue("localhost"));
    let gateway = Gateway::start(Backend::Embedded);
    let tenant = tenant_before(&gateway, &secure.url(), Value::Null);
    gateway
        .get("/", &tenant.key)
        .expect_problem(502, "upstream_tls_failed");
    assert_eq!(secure.upstream.count(), 0);
}

#[test]
fn g17_an_upstream_that_speaks_no_tls_is_502() {
    let authority = Authority::new();
    let gateway = trusting(&authority);
    // It answers whatever it gets, as a server does that is asked for TLS on its plain port.
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = plain.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in plain.incoming().flatten() {
            use std::io::{Read as _, Write as _};
            if stream.read(&mut [0; 1024]).is_err() {
                continue;
            }
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                .ok();
        }
    });
    let tenant = tenant_before(&gateway, &format!("https://localhost:{port}"), Value::Null);
    let response = gateway
        .get("/", &tenant.key)
        .expect_problem(502, "upstream_tls_failed");
    let status = response.header("proxy-status").unwrap_or_default();
    assert!(status.contains("error=tls_protocol_error"), "{status}");
}

#[test]
fn g8_health_checks_trust_whom_requests_trust() {
    let authority = Authority::new();
    let gateway = trusting(&authority);
    let checks = json!({ "resilience": { "healthCheck": {
        "enabled": true, "endpoint": "/health", "intervalMs": 100, "timeoutMs": 1000,
        "healthyThreshold": 1, "unhealthyThreshold": 2
    } } });
    let good = Secure::new(Upstream::named("a"), &authority.issue("localhost"));
    let bad = Secure::new(Upstream::named("b"), &Authority::new().issue("localhost"));
    let tenant = tenant_before(&gateway, &good.url(), checks.clone());
    eventually("it is probed", || good.upstream.count_of("/health") >= 3);
    gateway.get("/", &tenant.key).expect(200);
    let tenant = tenant_before(&gateway, &bad.url(), checks);
    eventually("it is known to be unhealthy", || {
        gateway.get("/", &tenant.key).code() == "no_healthy_endpoint"
    });
    assert_eq!(bad.upstream.count(), 0);
}

#[test]
fn g17_a_stale_tls_connection_is_no_502() {
    let authority = Authority::new();
    let upstream = Upstream::start(|_| {
        Answer::script([
            Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na".to_vec()),
            Step::Pause(Duration::from_millis(2)),
            Step::Close,
        ])
    });
    let secure = Secure::new(upstream, &authority.issue("localhost"));
    let gateway = trusting(&authority);
    let tenant = tenant_before(&gateway, &secure.url(), Value::Null);
    let mut client = gateway.connect();
    for number in 0..100_u64 {
        client.call(&Request::get("/").key(&tenant.key)).expect(200);
        // From long before to just after the close.
        pause(Duration::from_micros(number % 5 * 800));
    }
}

#[test]
fn g7_an_upstream_that_is_not_believed_is_passed_over() {
    let authority = Authority::new();
    let gateway = trusting(&authority);
    let good = Secure::new(Upstream::named("good"), &authority.issue("localhost"));
    let bad = Secure::new(Upstream::named("bad"), &Authority::new().issue("localhost"));
    let more = json!({
        "upstreams": [{ "url": bad.url() }, { "url": good.url() }],
        "resilience": { "retry": { "enabled": true, "maxRetries": 1, "baseDelayMs": 1 } },
    });
    let tenant = tenant_before(&gateway, &good.url(), more);
    for _ in 0..4 {
        // Nothing was sent to the first one, so that anything may be sent to the second.
        let post = Request::post("/", "once").key(&tenant.key);
        assert_eq!(gateway.call(&post).expect(200).text(), "good");
    }
    assert_eq!(good.upstream.count(), 4);
}

#[test]
fn g14_wrong_roots_stop_the_start_with_one_message() {
    let folder = TestFolder::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    for path in [
        file("empty.pem", ""),
        file("key.pem", &Authority::new().issue("localhost").key),
        file(
            "broken.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
        folder.path().join("missing.pem").display().to_string(),
    ] {
        let args = [
            "gateway",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ];
        let ended = Program::run(&args, &[("UPSTREAM_CA", &path)], folder.path());
        assert_ne!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        assert!(
            ended.stderr.contains(&path) && ended.stderr.contains("--upstream-ca"),
            "{ended:?}"
        );
    }
}
