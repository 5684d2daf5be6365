//! G13: what `/metrics` tells about upstreams, retries and traffic.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::upstream::Step;
use crate::harness::*;

/// The sum of the samples of this name that have all these labels; `None` if there are none.
pub(crate) fn total(metrics: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let wanted: Vec<String> = labels
        .iter()
        .map(|(label, value)| format!("{label}=\"{value}\""))
        .collect();
    metrics
        .lines()
        .filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, labels) = series.split_once('{').unwrap_or((series, ""));
            let fits = found == name && wanted.iter().all(|label| labels.contains(label.as_str()));
            fits.then(|| value.parse::<f64>().expect("a number"))
        })
        .reduce(|sum, value| sum + value)
}

/// Waits until the samples of this name with these labels add up to `value`: a request is counted when its answer is out.
#[track_caller]
pub(crate) fn assert_counted(gateway: &Gateway, name: &str, labels: &[(&str, &str)], value: f64) {
    let mut seen = None;
    let counted = bastide_testkit::until(Duration::from_secs(10), || {
        seen = total(&gateway.metrics(), name, labels);
        seen == Some(value)
    });
    assert!(counted, "{name} {labels:?}: {seen:?} instead of {value}");
}

fn retry(retry: Value) -> Value {
    json!({ "resilience": { "retry": retry } })
}

on_both! {
    fn g13_attempts_are_counted_by_route_upstream_and_class(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|request| {
            Answer::status(request.path()[1..].parse().unwrap())
        });
        let tenant = gateway.tenant("acme");
        let route = gateway.prefix_route(&tenant, "/", &[&upstream], Value::Null);
        let mut client = gateway.connect();
        for status in [200, 204, 201, 302, 404, 429, 500, 503, 503, 504] {
            client.call(&Request::get(&format!("/{status}")).key(&tenant.key)).expect(status);
        }
        let url = upstream.url();
        let here = [("route", route.as_str()), ("upstream", url.as_str())];
        for (class, count) in [("2xx", 3.0), ("3xx", 1.0), ("4xx", 2.0), ("5xx", 4.0)] {
            let labels = [here[0], here[1], ("status_class", class)];
            assert_counted(&gateway, "gateway_upstream_requests_total", &labels, count);
        }
        let metrics = gateway.metrics();
        let buckets = [here[0], here[1], ("le", "+Inf")];
        assert_eq!(total(&metrics, "gateway_upstream_duration_seconds_count", &here), Some(10.0));
        assert_eq!(total(&metrics, "gateway_upstream_duration_seconds_bucket", &buckets), Some(10.0));
        assert_eq!(total(&metrics, "gateway_upstream_failures_total", &here), None);
        assert_eq!(total(&metrics, "gateway_upstream_retries_total", &[here[0]]), None);
        assert_eq!(total(&metrics, "gateway_upstream_requests_in_flight", &here), Some(0.0));
    }

    /// The time to the first byte of an answer is the upstream's: a body that follows slowly does not count.
    fn g13_an_upstreams_time_ends_with_the_head_of_its_answer(backend) {
        let gateway = Gateway::start(backend);
        let gate = Gate::default();
        let upstream = {
            let gate = gate.clone();
            Upstream::start(move |_| {
                Answer::script([
                    Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab".to_vec()),
                    Step::Wait(gate.clone()),
                    Step::Send(b"cd".to_vec()),
                ])
            })
        };
        let tenant = gateway.tenant("acme");
        let route = gateway.prefix_route(&tenant, "/", &[&upstream], Value::Null);
        let mut client = gateway.connect();
        client.send(Request::get("/").key(&tenant.key).bytes());
        client.read_head();
        let counted = [("route", route.as_str())];
        assert_counted(&gateway, "gateway_upstream_duration_seconds_count", &counted, 1.0);
        let metrics = gateway.metrics();
        assert_eq!(total(&metrics, "gateway_http_request_duration_seconds_count", &counted), None);
        gate.open();
        assert_counted(&gateway, "gateway_http_request_duration_seconds_count", &counted, 1.0);
    }

    fn g13_failures_are_counted_by_reason(backend) {
        let gateway = Gateway::start(backend);
        let mut dead = Upstream::named("dead");
        dead.stop();
        let closing = Upstream::start(|_| Answer::close());
        let babbling = Upstream::start(|_| Answer::raw_and_close("220 smtp.example ESMTP\r\n\r\n"));
        let hanging = Upstream::start(|_| Answer::hang());
        let cutting = Upstream::start(|_| {
            Answer::raw_and_close("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        });
        let tenant = gateway.tenant("acme");
        let cases = [
            (&dead, "connect", Some(502)),
            (&closing, "closed", Some(502)),
            (&babbling, "malformed", Some(502)),
            (&hanging, "timeout", Some(504)),
            (&cutting, "cut", None),
        ];
        for (upstream, reason, status) in cases {
            let path = format!("/{reason}");
            let quick = json!({ "resilience": { "timeout": { "default": 200 } } });
            let route = gateway.prefix_route(&tenant, &path, &[upstream], quick);
            let mut client = gateway.connect();
            client.send(Request::get(&path).key(&tenant.key).bytes());
            let answered = client.read_head().status;
            match status {
                Some(status) => assert_eq!(answered, status, "{reason}"),
                // Passed on or not yet when it broke off.
                None => assert!(matches!(answered, 200 | 502), "{reason}: {answered}"),
            }
            let url = upstream.url();
            let labels = [("route", route.as_str()), ("upstream", &url), ("reason", reason)];
            assert_counted(&gateway, "gateway_upstream_failures_total", &labels, 1.0);
            let class = if status.is_some() { "none" } else { "2xx" };
            let labels = [("route", route.as_str()), ("upstream", &url), ("status_class", class)];
            assert_counted(&gateway, "gateway_upstream_requests_total", &labels, 1.0);
        }
    }

    fn g13_retries_are_counted_by_reason_and_outcome(backend) {
        let gateway = Gateway::start(backend);
        let (sick, well) = (Upstream::status(503), Upstream::named("well"));
        let mut dead = Upstream::named("dead");
        dead.stop();
        let tenant = gateway.tenant("acme");
        let quick = || retry(json!({ "maxRetries": 1, "baseDelayMs": 1, "maxDelayMs": 2 }));
        let saved = gateway.prefix_route(&tenant, "/saved", &[&sick, &well], quick());
        let lost = gateway.prefix_route(&tenant, "/lost", &[&sick], quick());
        let moved = gateway.prefix_route(&tenant, "/moved", &[&dead, &well], Value::Null);
        let mut client = gateway.connect();
        for _ in 0..4 {
            client.call(&Request::get("/saved").key(&tenant.key)).expect(200);
            client.call(&Request::get("/lost").key(&tenant.key)).expect(503);
            client.call(&Request::get("/moved").key(&tenant.key)).expect(200);
        }
        for (route, reason, outcome, count) in [
            // Every second one begins at the sick endpoint.
            (&saved, "status", "success", 2.0),
            (&lost, "status", "failure", 4.0),
            (&moved, "connect", "success", 2.0),
        ] {
            let labels = [("route", route.as_str()), ("reason", reason), ("outcome", outcome)];
            assert_counted(&gateway, "gateway_upstream_retries_total", &labels, count);
            assert_counted(&gateway, "gateway_upstream_retries_total", &labels[..1], count);
        }
    }

    fn g13_retries_that_the_budget_forbids_are_counted(backend) {
        let gateway = Gateway::start(backend);
        let sick = Upstream::status(503);
        let tenant = gateway.tenant("acme");
        let many = retry(json!({ "maxRetries": 10, "baseDelayMs": 0, "maxDelayMs": 0 }));
        let route = gateway.prefix_route(&tenant, "/", &[&sick], many);
        let mut client = gateway.connect();
        let of = |outcome: &'static str| [("route", route.clone()), ("outcome", outcome.to_owned())];
        for _ in 0..100 {
            client.call(&Request::get("/").key(&tenant.key)).expect(503);
        }
        let retries = sick.count() - 100;
        eventually("every retry and every forbidden one are counted", || {
            let metrics = gateway.metrics();
            let counted = |outcome| {
                let labels = of(outcome);
                let labels = labels.each_ref().map(|(label, value)| (*label, value.as_str()));
                total(&metrics, "gateway_upstream_retries_total", &labels)
            };
            counted("failure") == Some(retries as f64) && counted("over_budget") > Some(0.0)
        });
    }

    fn g13_a_client_that_leaves_cancels_its_retry(backend) {
        let gateway = Gateway::start(backend);
        let (sick, hanging) = (Upstream::status(503), Upstream::start(|_| Answer::hang()));
        let tenant = gateway.tenant("acme");
        let quick = retry(json!({ "maxRetries": 1, "baseDelayMs": 1, "maxDelayMs": 2 }));
        let route = gateway.prefix_route(&tenant, "/", &[&sick, &hanging], quick);
        let mut client = gateway.connect();
        client.send(Request::get("/").key(&tenant.key).bytes());
        eventually("the retry hangs", || hanging.count() == 1);
        drop(client);
        let labels = [("route", route.as_str()), ("reason", "status"), ("outcome", "cancelled")];
        assert_counted(&gateway, "gateway_upstream_retries_total", &labels, 1.0);
    }

    fn g13_bytes_are_counted_in_both_directions(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|_| Answer::text(&"x".repeat(100_000)));
        let tenant = gateway.tenant("acme");
        let route = gateway.prefix_route(&tenant, "/", &[&upstream], Value::Null);
        let request = Request::post("/", "y".repeat(50_000)).key(&tenant.key);
        let mut client = gateway.connect();
        client.call(&request).expect(200);
        client.call(&request).expect(200);
        let here = [("tenant_id", tenant.id.as_str()), ("route", &route)];
        let received = 2.0 * request.bytes().len() as f64;
        assert_counted(&gateway, "gateway_http_received_bytes_total", &here, received);
        let sent = total(&gateway.metrics(), "gateway_http_sent_bytes_total", &here).unwrap();
        assert!((200_100.0..202_000.0).contains(&sent), "heads are small: {sent}");
    }

    fn g13_the_bytes_of_a_tunnel_are_counted(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::start(|_| {
            let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            let first = [switch.as_bytes(), &[b'd'; 3_000]].concat();
            Answer::script([Step::Send(first), Step::Send(vec![b'd'; 4_000]), Step::Hold])
        });
        let tenant = gateway.tenant("acme");
        let route = gateway.prefix_route(&tenant, "/", &[&upstream], Value::Null);
        let request = Request::get("/")
            .key(&tenant.key)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        let mut client = gateway.connect();
        client.send(request.bytes());
        client.read_head().expect(101);
        client.send(vec![b'u'; 5_000]);
        client.finish_sending();
        assert_eq!(client.read_to_end().unwrap().len(), 7_000);
        let here = [("route", route.as_str())];
        let received = (request.bytes().len() + 5_000) as f64;
        assert_counted(&gateway, "gateway_http_received_bytes_total", &here, received);
        let sent = total(&gateway.metrics(), "gateway_http_sent_bytes_total", &here).unwrap();
        assert!((7_050.0..8_000.0).contains(&sent), "{sent}");
    }

    fn g13_the_series_of_an_upstream_that_is_gone_go(backend) {
        let gateway = Gateway::start(backend);
        let (old, new) = (Upstream::named("old"), Upstream::named("new"));
        let tenant = gateway.tenant("acme");
        let route = gateway.prefix_route(&tenant, "/", &[&old], Value::Null);
        gateway.get("/", &tenant.key).expect(200);
        let (old_url, new_url) = (old.url(), new.url());
        let labels = [("route", route.as_str()), ("upstream", old_url.as_str())];
        assert_counted(&gateway, "gateway_upstream_requests_total", &labels, 1.0);
        gateway.patch_route(&route, json!({ "upstreams": [{ "url": new_url }] }));
        eventually("the new one serves, and the old one is forgotten", || {
            gateway.get("/", &tenant.key).text() == "new" && !gateway.metrics().contains(&old_url)
        });
        let labels = [("route", route.as_str()), ("upstream", new_url.as_str())];
        eventually("the new one is counted", || {
            total(&gateway.metrics(), "gateway_upstream_requests_total", &labels) > Some(0.0)
        });
    }

    /// Counters end in `_total`, times are in seconds, every sample belongs to a family with help and type, and none is there
    /// twice.
    fn g13_the_text_keeps_to_the_conventions(backend) {
        let gateway = Gateway::start(backend);
        let (sick, well) = (Upstream::status(503), Upstream::named("well"));
        let tenant = gateway.tenant("acme");
        let retried = retry(json!({ "maxRetries": 1, "baseDelayMs": 1, "maxDelayMs": 2 }));
        gateway.prefix_route(&tenant, "/", &[&sick, &well], retried);
        gateway.get("/", &tenant.key).expect(200);
        let metrics = gateway.metrics();
        let mut kinds = BTreeMap::new();
        for line in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            assert!(kinds.insert(name, kind).is_none(), "{name} is declared twice");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(metrics.contains(&format!("# HELP {name} ")), "{name}");
            assert!(!name.ends_with("_ms") && !name.contains("millis"), "{name}");
        }
        let mut samples: Vec<&str> = Vec::new();
        for line in metrics.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = series.split('{').next().unwrap();
            let family = ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|part| name.strip_suffix(part).filter(|family| kinds.contains_key(family)))
                .unwrap_or(name);
            assert!(kinds.contains_key(family), "{line} has no type");
            samples.push(series);
        }
        let count = samples.len();
        samples.sort_unstable();
        samples.dedup();
        assert_eq!(samples.len(), count, "no sample is there twice");
        let plain = gateway.call_admin(&Request::get("/metrics")).expect(200);
        assert!(plain.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
        let request = Request::get("/metrics").header("Accept", "application/openmetrics-text; version=1.0.0");
        let open = gateway.call_admin(&request).expect(200);
        assert!(open.header("content-type").unwrap().starts_with("application/openmetrics-text"));
        assert!(open.text().ends_with("# EOF\n"));
    }

    /// Traffic goes on while somebody scrapes as fast as they can.
    fn g13_scrapes_do_not_stall_traffic(backend) {
        let gateway = Gateway::start(backend);
        let upstream = Upstream::named("a");
        let tenant = gateway.tenant("acme");
        for number in 0..200 {
            gateway.prefix_route(&tenant, &format!("/r{number}"), &[&upstream], Value::Null);
        }
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let scraper = scope.spawn(|| {
                let mut scrapes = 0;
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    assert!(gateway.metrics().contains("gateway_http_requests"));
                    scrapes += 1;
                }
                scrapes
            });
            let mut client = gateway.connect();
            for number in 0..1_000 {
                let path = format!("/r{}", number % 200);
                client.call(&Request::get(&path).key(&tenant.key)).expect(200);
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            assert!(scraper.join().unwrap() > 0);
        });
        assert_counted(&gateway, "gateway_http_requests_total", &[("tenant_id", &tenant.id)], 1_000.0);
        assert_counted(&gateway, "gateway_upstream_requests_total", &[("status_class", "2xx")], 1_000.0);
    }
}
