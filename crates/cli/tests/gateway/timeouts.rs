//! G9: time.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::upstream::Step;
use crate::harness::*;

fn timeout(timeouts: Value) -> Value {
    json!({ "resilience": { "timeout": timeouts } })
}

fn slow(by: u64) -> Upstream {
    Upstream::start(move |_| Answer::text("slow").after(Duration::from_millis(by)))
}

on_both! {
    fn g9_an_upstream_that_does_not_answer_in_time_is_504(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|_| Answer::hang());
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(
            &tenant,
            "/",
            &[&upstream],
            timeout(json!({ "default": 150 })),
        );
        let started = Instant::now();
        gateway
            .get("/", &tenant.key)
            .expect_problem(504, "upstream_timeout");
        assert!(
            started.elapsed() >= Duration::from_millis(150),
            "{:?}",
            started.elapsed()
        );
        assert_eq!(upstream.count(), 1);
    }

    /// byMethod over default over the upstream's own.
    fn g9_the_most_specific_timeout_holds(backend) {
        let gateway = Gateway::start(backend);
        let upstream = slow(400);
        let tenant = gateway.tenant("acme");
        let url = upstream.url();
        let route = |path: &str, own: Value, timeouts: Value| {
            let mut target = json!({ "url": url });
            if own.is_u64() {
                target["timeout"] = own;
            }
            let mut route = json!({ "tenantId": tenant.id, "method": "*", "path": path, "upstreams": [target] });
            if timeouts.is_object() {
                route["resilience"] = json!({ "timeout": timeouts });
            }
            gateway.route(route);
        };
        route("/own", json!(100), Value::Null);
        route("/default-over-own", json!(100), json!({ "default": 5_000 }));
        route(
            "/method",
            Value::Null,
            json!({ "default": 100, "byMethod": { "POST": 5_000 } }),
        );
        route("/none", Value::Null, Value::Null);
        for (method, path, status) in [
            ("GET", "/own", 504),
            ("GET", "/default-over-own", 200),
            ("GET", "/method", 504),
            ("POST", "/method", 200),
            ("GET", "/none", 200),
        ] {
            gateway
                .call(&Request::new(method, path).key(&tenant.key))
                .expect(status);
        }
    }

    fn g9_a_route_has_a_total_time_if_it_wants_one(backend) {
        let gateway = Gateway::start(backend);
        // A head at once, and then a body that never ends but always goes on.
        let drip = || {
            let mut steps = vec![Step::Send(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            )];
            for _ in 0..200 {
                steps.extend([
                    Step::Pause(Duration::from_millis(30)),
                    Step::Send(b"1\r\nx\r\n".to_vec()),
                ]);
            }
            Answer::script(steps)
        };
        let upstream = Upstream::start(move |_| drip());
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(
            &tenant,
            "/",
            &[&upstream],
            timeout(json!({ "totalMs": 400 })),
        );
        let started = Instant::now();
        let mut client = gateway.connect();
        let cut = client
            .try_call(&Request::get("/").key(&tenant.key))
            .expect_err("the body does not end whole");
        assert!(
            !matches!(cut.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            "{cut}"
        );
        assert!(
            (400..4_000).contains(&started.elapsed().as_millis()),
            "{:?}",
            started.elapsed()
        );
    }

    /// A body that stalls is cut off, and the client can tell that it is not whole.
    fn g9_a_body_that_stalls_is_cut_off(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|request| {
            let head = match request.path() {
                "/length" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
                _ => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            };
            Answer::script([Step::Send(head.as_bytes().to_vec()), Step::Hold])
        });
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(
            &tenant,
            "/",
            &[&upstream],
            timeout(json!({ "idleMs": 300 })),
        );
        for path in ["/length", "/chunked"] {
            let started = Instant::now();
            let cut = gateway
                .connect()
                .try_call(&Request::get(path).key(&tenant.key))
                .expect_err("the body does not end whole");
            assert!(
                !matches!(cut.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                "{path}: {cut}"
            );
            assert!(
                started.elapsed() >= Duration::from_millis(300),
                "{path}: {:?}",
                started.elapsed()
            );
        }
    }

    /// Silence is measured between bytes: what goes on may take as long as it likes.
    fn g9_a_body_that_goes_on_is_not_cut_off(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|_| {
            let mut steps = vec![Step::Send(
                b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n".to_vec(),
            )];
            for _ in 0..12 {
                steps.extend([
                    Step::Pause(Duration::from_millis(100)),
                    Step::Send(b"x".to_vec()),
                ]);
            }
            Answer::script(steps)
        });
        let tenant = gateway.tenant("acme");
        gateway.prefix_route(
            &tenant,
            "/",
            &[&upstream],
            timeout(json!({ "default": 500, "idleMs": 700 })),
        );
        assert_eq!(
            gateway.get("/", &tenant.key).expect(200).text(),
            "x".repeat(12)
        );
    }
}

/// Clients that send their head or body by drips hold nothing for long.
#[test]
fn g9_a_slow_drip_client_is_cut_off() {
    let gateway = Gateway::start(Backend::Embedded);
    let upstream = Upstream::named("a");
    let tenant = gateway.tenant_before(&upstream);
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nContent-Length: 1000\r\n\r\n",
        tenant.key
    );
    let is_cut = |whole_head: bool| {
        let mut client = gateway.connect();
        client.set_patience(Duration::from_millis(500));
        let begin = if whole_head {
            head.clone()
        } else {
            head[..40].to_owned()
        };
        client.send(begin);
        bastide_testkit::until(Duration::from_secs(40), || {
            let is_sent = client.try_send(b"x").is_ok();
            let answered = match client.read_some() {
                Ok(_) => true,
                Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            };
            !is_sent || answered
        })
    };
    std::thread::scope(|scope| {
        let drips = [scope.spawn(|| is_cut(false)), scope.spawn(|| is_cut(true))];
        for drip in drips {
            assert!(drip.join().unwrap());
        }
    });
    assert_eq!(gateway.get("/", &tenant.key).expect(200).text(), "a");
}

/// A body far larger than any buffer goes through both ways, and the gateway does not grow by it.
#[test]
fn g9_a_large_upload_streams_in_constant_memory() {
    let gateway = Gateway::start(Backend::Embedded);
    let upstream = Upstream::start(|request| Answer::text(&request.body.len().to_string()));
    let tenant = gateway.tenant_before(&upstream);
    gateway.get("/", &tenant.key).expect(200);
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        line.trim()
            .trim_end_matches(" kB")
            .parse::<usize>()
            .unwrap()
    };
    let before = resident();
    let size = 128 << 20;
    let mut client = gateway.connect();
    client.send(format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nContent-Length: {size}\r\n\r\n",
        tenant.key
    ));
    let block = vec![b'x'; 1 << 20];
    for _ in 0..size >> 20 {
        client.send(&block);
    }
    assert_eq!(client.read(false).expect(200).text(), size.to_string());
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 << 10, "the gateway grew by {grown} KiB");
}

/// An address that answers nothing at all: its queue is full, so the kernel drops what asks for a connection.
#[test]
fn g9_connecting_has_a_time_of_its_own() {
    use rustix::net::{AddressFamily, SocketType, bind, connect, getsockname, listen, socket};
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let full = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&full, &any).unwrap();
    listen(&full, 0).unwrap();
    let address = std::net::SocketAddr::try_from(getsockname(&full).unwrap()).unwrap();
    // A queue for none has place for one.
    let waiting = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    connect(&waiting, &address).unwrap();
    assert!(
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_err(),
        "the queue is not full"
    );

    let gateway = Gateway::start(Backend::Embedded);
    let upstream = Upstream::named("a");
    let tenant = gateway.tenant("acme");
    let silent = json!({ "url": format!("http://{address}") });
    let route = |path: &str, upstreams: Value, resilience: Value| {
        gateway.route(json!({
            "tenantId": tenant.id, "method": "*", "path": path, "upstreams": upstreams, "resilience": resilience,
        }));
    };
    route(
        "/alone",
        json!([silent]),
        json!({ "timeout": { "connectMs": 300, "default": 20_000 } }),
    );
    route(
        "/beside",
        json!([silent, { "url": upstream.url() }]),
        json!({ "timeout": { "connectMs": 300 }, "retry": { "enabled": true, "maxRetries": 1, "baseDelayMs": 1 } }),
    );
    let started = Instant::now();
    let response = gateway
        .get("/alone", &tenant.key)
        .expect_problem(504, "upstream_connect_timeout");
    let took = started.elapsed();
    assert!(
        took >= Duration::from_millis(300) && took < Duration::from_secs(5),
        "{took:?}"
    );
    let status = response.header("proxy-status").unwrap_or_default();
    assert!(status.contains("error=connection_timeout"), "{status}");
    // Nothing was sent, so that another may be asked whatever the method is.
    for _ in 0..4 {
        let post = Request::post("/beside", "once").key(&tenant.key);
        assert_eq!(gateway.call(&post).expect(200).text(), "a");
    }
    assert_eq!(upstream.count(), 4);
}

/// Also where it is the gateway itself that waits.
#[test]
fn g9_the_total_time_holds_across_retries_and_what_is_waited_for_between_them() {
    let gateway = Gateway::start(Backend::Embedded);
    let tenant = gateway.tenant("acme");
    let wishing = Upstream::start(|_| Answer::status(503).header("Retry-After", "8"));
    let resilience = |retry: Value| json!({ "timeout": { "totalMs": 600 }, "retry": retry });
    let route = |path: &str, url: &str, retry: Value| {
        gateway.route(json!({
            "tenantId": tenant.id, "method": "*", "path": path, "pathType": "prefix",
            "upstreams": [{ "url": url }], "resilience": resilience(retry),
        }));
    };
    route("/wish", &wishing.url(), json!({ "maxDelayMs": 10_000 }));
    // Nobody listens on the discard port.
    route(
        "/refused",
        "http://127.0.0.1:9",
        json!({ "baseDelayMs": 5_000 }),
    );
    for (path, status) in [("/wish", 503), ("/refused", 502)] {
        let started = Instant::now();
        gateway.get(path, &tenant.key).expect(status);
        assert!(
            started.elapsed() < Duration::from_secs(3),
            "{path}: {:?}",
            started.elapsed()
        );
    }
}

#[test]
fn g9_a_connection_without_a_request_is_kept_for_as_long_as_is_said() {
    let options = Options::new(Backend::Embedded).arg("--keep-alive-timeout", "700ms");
    let gateway = Gateway::start(options);
    let upstream = Upstream::named("a");
    let tenant = gateway.tenant_before(&upstream);
    let mut client = gateway.connect();
    let request = Request::get("/").key(&tenant.key);
    client.call(&request).expect(200);
    client.call(&request).expect(200);
    let started = Instant::now();
    assert!(client.is_closed());
    let took = started.elapsed();
    assert!(
        took >= Duration::from_millis(500) && took < Duration::from_secs(8),
        "{took:?}"
    );
}
