//! A client speaks HTTP/2, the upstream HTTP/1.1: what goes through, and what it looks like on either side.

use http::HeaderMap;
use serde_json::json;

use crate::client::{Http2, read, run, send};
use crate::harness::{ADMIN_KEY, Answer, Backend, Gateway, Options, Upstream};
use crate::scene::{Scene, assert_own, one_worker};

#[test]
fn every_method_and_status_goes_through() {
    let upstream = Upstream::start(|request| match request.path() {
        "/204" => Answer::status(204),
        "/304" => {
            Answer::raw("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 7\r\n\r\n")
        }
        "/404" => Answer::status(404).body("gone"),
        "/500" => Answer::status(500),
        _ => Answer::text(&format!("{} {}", request.method, request.text())),
    });
    let scene = Scene::before(&upstream);
    run(async {
        let client = scene.connect().await;
        let call = async |method: &str, path: &str, body: &'static str| {
            client
                .call(scene.request(&client, method, path), body)
                .await
        };
        for (method, body) in [
            ("GET", ""),
            ("POST", "0123456789"),
            ("PUT", "x"),
            ("PATCH", "x"),
            ("DELETE", ""),
            ("OPTIONS", ""),
            ("PROPFIND", "x"),
        ] {
            let answer = call(method, "/", body).await.expect(200);
            assert_eq!(answer.text(), format!("{method} {body}"));
            assert_eq!(answer.number("content-length"), answer.body.len() as u64);
        }
        let head = call("HEAD", "/", "").await.expect(200);
        assert!(
            head.body.is_empty() && head.number("content-length") > 0,
            "{head:?}"
        );
        assert!(call("GET", "/204", "").await.expect(204).body.is_empty());
        let unchanged = call("GET", "/304", "").await.expect(304);
        assert_eq!(unchanged.header("etag"), Some("\"a\""));
        assert_eq!(call("GET", "/404", "").await.expect(404).text(), "gone");
        call("GET", "/500", "").await.expect(500);
        assert!(!client.has_ended());
    });
}

#[test]
fn fields_go_through_in_order_and_what_belongs_to_http1_ends_at_the_gateway() {
    let upstream = Upstream::start(|_| {
        Answer::status(200)
            .header("Set-Cookie", "a=1; Path=/")
            .header("Set-Cookie", "b=2")
            .header("Keep-Alive", "timeout=30")
            .header("Connection", "keep-alive, X-Private")
            .header("X-Private", "for the gateway")
            .header("Location", "/elsewhere")
    });
    let scene = Scene::before(&upstream);
    run(async {
        let client = scene.connect().await;
        let request = scene
            .request(&client, "GET", "/a%20b/c;d?e=%2F&f&&g=%")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("cookie", "c=3; d=4")
            .header("x-twice", "1")
            .header("x-twice", "2")
            .header("x-obs", http::HeaderValue::from_bytes(b"caf\xe9").unwrap())
            .header("authorization", "Bearer t")
            .header("te", "trailers")
            .header("x-forwarded-for", "203.0.113.9")
            .header("forwarded", "for=203.0.113.9");
        let answer = client.call(request, "").await.expect(200);
        assert_eq!(answer.headers("set-cookie"), ["a=1; Path=/", "b=2"]);
        assert_eq!(answer.header("location"), Some("/elsewhere"));
        for gone in ["connection", "keep-alive", "x-private", "transfer-encoding"] {
            assert_eq!(answer.header(gone), None, "{gone}");
        }
        assert!(answer.header("x-request-id").is_some());
        let seen = upstream.only();
        assert_eq!(seen.target, "/a%20b/c;d?e=%2F&f&&g=%");
        assert_eq!(seen.version, "HTTP/1.1");
        assert_eq!(seen.headers("cookie"), ["a=1; b=2; c=3; d=4"]);
        assert_eq!(seen.headers("x-twice"), ["1", "2"]);
        assert_eq!(seen.header("x-obs"), Some("caf\u{e9}"));
        assert_eq!(seen.header("authorization"), Some("Bearer t"));
        assert_eq!(seen.header("x-api-key"), None);
        assert_eq!(seen.header("host"), Some(upstream.authority().as_str()));
        assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(
            seen.header("x-forwarded-host"),
            Some(scene.gateway.public.to_string().as_str())
        );
        assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
        assert_eq!(seen.header("forwarded"), None);
        assert_eq!(seen.header("x-tenant-id"), Some(scene.tenant.id.as_str()));
        assert_eq!(seen.header("via"), Some("2.0 bastide"));
        for absent in ["te", "connection", "content-length", "transfer-encoding"] {
            assert_eq!(seen.header(absent), None, "{absent}");
        }
    });
}

#[test]
fn a_body_of_unknown_length_and_trailers_go_both_ways() {
    let upstream = Upstream::start(|request| {
        Answer::raw(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n{:x}\r\n{}\r\n0\r\nX-Sum: 42\r\nX-More: a\r\nX-More: b\r\n\r\n",
            request.body.len(),
            request.text()
        ))
    });
    let scene = Scene::before(&upstream);
    run(async {
        let client = scene.connect().await;
        let request = scene
            .request(&client, "POST", "/")
            .header("trailer", "x-check");
        let (response, mut stream) = client.open(request, false).await.unwrap();
        send(&mut stream, "first,".into(), false).await.unwrap();
        send(&mut stream, "second".into(), false).await.unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-check", "7".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
        let answer = read(response).await.unwrap().expect(200);
        assert_eq!(answer.text(), "first,second");
        assert_eq!(
            answer.trailers,
            [("x-sum", "42"), ("x-more", "a"), ("x-more", "b")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        assert_eq!(answer.header("content-length"), None);
        let seen = upstream.only();
        assert_eq!(seen.header("transfer-encoding"), Some("chunked"));
        assert_eq!(seen.text(), "first,second");
        assert_eq!(seen.trailers.len(), 1, "{seen:?}");
        assert_eq!(seen.trailers[0].1, "7");
    });
}

#[test]
fn what_the_gateway_refuses_says_so_in_fields_of_its_own() {
    let upstream = Upstream::named("fine");
    let gateway = Gateway::start(one_worker());
    let tenant = gateway
        .tenant_with(json!({ "name": "acme", "rateLimit": { "limit": 6, "windowMs": 60_000 } }));
    let route = json!({ "tenantId": tenant.id, "method": "GET", "path": "/only-get", "upstreams": [{ "url": upstream.url() }] });
    gateway.route(route);
    let mut closed = Upstream::named("closed");
    closed.stop();
    gateway.prefix_route(&tenant, "/closed", &[&closed], json!(null));
    run(async {
        let client = Http2::connect(gateway.public).await;
        let call = async |method: &str, path: &str, key: Option<&str>| {
            let mut request = client.request(method, path);
            if let Some(key) = key {
                request = request.header("x-api-key", key);
            }
            client.call(request, "").await
        };
        let key = Some(tenant.key.as_str());
        let missing = call("GET", "/only-get", None).await;
        assert_own("no key", &missing, 401);
        assert!(missing.header("www-authenticate").is_some());
        assert_own(
            "a bad key",
            &call("GET", "/only-get", Some("nobody")).await,
            403,
        );
        call("GET", "/only-get", key).await.expect(200);
        assert_own("no route", &call("GET", "/nowhere", key).await, 404);
        let wrong = call("POST", "/only-get", key).await;
        assert_own("a wrong method", &wrong, 405);
        assert_eq!(wrong.header("allow"), Some("GET, HEAD"));
        assert_own("nobody listens", &call("GET", "/closed", key).await, 502);
        let head = call("HEAD", "/nowhere", key).await.expect(404);
        assert!(head.body.is_empty(), "{head:?}");
        assert_own(
            "a path that is ambiguous",
            &call("GET", "/a/../b", key).await,
            400,
        );
        call("GET", "/only-get", key).await.expect(200);
        let over = call("GET", "/only-get", key).await;
        assert_own("over the limit", &over, 429);
        assert!(over.number("retry-after") > 0);
        assert!(over.header("x-ratelimit-limit").is_some());
        assert!(!client.has_ended(), "a refusal concerns one exchange alone");
    });
    assert_eq!(upstream.count(), 2);
}

#[test]
fn the_gateways_own_endpoints_speak_it_too() {
    let options = Options::new(Backend::Embedded).arg("--admin-listen", "same");
    let gateway = Gateway::start(options);
    run(async {
        let client = Http2::connect(gateway.public).await;
        for path in ["/health", "/ready"] {
            let answer = client
                .call(client.request("GET", path), "")
                .await
                .expect(200);
            assert!(!answer.body.is_empty(), "{path}");
        }
        let metrics = client
            .call(client.request("GET", "/metrics"), "")
            .await
            .expect(200);
        assert!(metrics.text().contains("gateway_http_requests"));
        let admin = |method: &str, path: &str| {
            client
                .request(method, path)
                .header("x-admin-key", ADMIN_KEY)
        };
        let made = admin("POST", "/admin/tenants").header("content-type", "application/json");
        let made = client.call(made, r#"{"name":"acme"}"#).await.expect(201);
        let id = made.data()["id"].as_str().unwrap().to_owned();
        let read = client
            .call(admin("GET", &format!("/admin/tenants/{id}")), "")
            .await;
        assert_eq!(read.expect(200).data()["name"], "acme");
        let refused = client
            .call(client.request("GET", "/admin/tenants"), "")
            .await;
        assert!(matches!(refused.status, 401 | 403), "{refused:?}");
        // More than it takes: answered although the rest is never read.
        let long = admin("POST", "/admin/tenants").header("content-type", "application/json");
        let answer = client.call(long, vec![b' '; 4 << 20]).await;
        assert_eq!(answer.status, 413, "{answer:?}");
        client
            .call(client.request("GET", "/health"), "")
            .await
            .expect(200);
    });
}

#[test]
fn an_expectation_is_answered_before_the_body_comes() {
    let upstream = Upstream::start(|request| Answer::text(&request.text()));
    let scene = Scene::before(&upstream);
    run(async {
        let client = scene.connect().await;
        let request = scene
            .request(&client, "POST", "/")
            .header("expect", "100-continue")
            .header("content-length", 4);
        let (mut response, mut stream) = client.open(request, false).await.unwrap();
        let interim = std::future::poll_fn(|cx| response.poll_informational(cx)).await;
        assert_eq!(interim.unwrap().unwrap().status(), 100);
        send(&mut stream, "body".into(), true).await.unwrap();
        assert_eq!(read(response).await.unwrap().expect(200).text(), "body");
        assert_eq!(upstream.only().header("expect"), None);
        // Who is refused is not asked for a body.
        let request = client
            .request("POST", "/")
            .header("expect", "100-continue")
            .header("content-length", 4);
        let (mut response, _stream) = client.open(request, false).await.unwrap();
        let interim = std::future::poll_fn(|cx| response.poll_informational(cx)).await;
        assert!(interim.is_none(), "{interim:?}");
        assert_own("no key", &read(response).await.unwrap(), 401);
    });
}

#[test]
fn a_hundred_requests_share_one_connection() {
    let gate = crate::harness::Gate::default();
    let upstream = {
        let gate = gate.clone();
        Upstream::start(move |request| Answer::text(request.path()).behind(&gate))
    };
    let scene = Scene::before(&upstream);
    run(async {
        let client = scene.connect().await;
        let calls: Vec<_> = (0..100)
            .map(|number| {
                let (client, key) = (client.clone(), scene.tenant.key.clone());
                tokio::spawn(async move { client.get(&format!("/{number}"), &key).await })
            })
            .collect();
        crate::harness::eventually("all are at the upstream", || upstream.in_flight() == 100);
        gate.open();
        for (number, call) in calls.into_iter().enumerate() {
            let answer = call.await.unwrap().expect(200);
            assert_eq!(answer.text(), format!("/{number}"));
        }
    });
}
