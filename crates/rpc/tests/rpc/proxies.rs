//! From where a call comes that was brought by a proxy.

use std::net::IpAddr;

use bastide_context::{Cx, Public};
use bastide_rpc::{HttpOptions, LimitRule, Method, Problem, Server, Service};
use bastide_telemetry::log::Style;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use tokio::net::UnixStream;

use crate::connections::Client;
use crate::observe::Lines;
use crate::support::{App, Nothing, app_of, post};

/// One call a minute for each address.
fn app(options: HttpOptions) -> App {
    let method = Method::named("knock")
        .public("for tests")
        .limit(LimitRule::parse("1/min").unwrap())
        .handler(|_: Cx<Public>, _: Nothing| async { Ok::<_, Problem>(()) });
    app_of(options, |_, _| {
        vec![Service::new("door", "1.0.0").unwrap().method(method)]
    })
}

fn behind(proxies: &str) -> HttpOptions {
    HttpOptions {
        trusted_proxies: proxies.parse().unwrap(),
        ..HttpOptions::default()
    }
}

fn knock(forwarded: &[&str]) -> Request<Full<Bytes>> {
    let mut request = post("/rpc/door/knock", None, &json!({}));
    for line in forwarded {
        request
            .headers_mut()
            .append("x-forwarded-for", line.parse().unwrap());
    }
    request
}

/// Whether somebody may knock after this call was let in.
async fn knocked(app: &App, peer: Option<&str>, forwarded: &[&str]) -> u16 {
    let peer = peer.map(|peer| peer.parse::<IpAddr>().unwrap());
    app.entry
        .answer(knock(forwarded), peer)
        .await
        .status()
        .as_u16()
}

#[tokio::test]
async fn s15_behind_a_trusted_proxy_the_callers_address_counts() {
    let app = app(behind("10.0.0.0/8"));
    let proxy = Some("10.0.0.1");
    assert_eq!(knocked(&app, proxy, &["198.51.100.7"]).await, 200);
    assert_eq!(knocked(&app, proxy, &["198.51.100.8"]).await, 200);
    assert_eq!(
        knocked(&app, Some("10.0.0.2"), &["198.51.100.7"]).await,
        429
    );
    // What stands before the proxies' words is the caller's own invention.
    assert_eq!(
        knocked(&app, proxy, &["203.0.113.1, 198.51.100.7"]).await,
        429
    );
    assert_eq!(
        knocked(&app, proxy, &["203.0.113.1", "198.51.100.7, 10.9.9.9"]).await,
        429
    );
    assert_eq!(
        knocked(&app, Some("198.51.100.7"), &[]).await,
        429,
        "however it comes"
    );
    // A proxy that names nobody calls for itself.
    assert_eq!(knocked(&app, proxy, &[]).await, 200);
    assert_eq!(knocked(&app, proxy, &["nonsense"]).await, 429);
}

#[tokio::test]
async fn s15_from_everybody_else_the_field_says_nothing() {
    for options in [HttpOptions::default(), behind("10.0.0.0/8")] {
        let app = app(options);
        for number in 0..3 {
            let forged = format!("203.0.113.{number}");
            let status = knocked(&app, Some("192.0.2.1"), &[&forged, "10.0.0.1"]).await;
            assert_eq!(status, if number == 0 { 200 } else { 429 });
        }
    }
}

#[tokio::test]
async fn s15_a_unix_socket_is_this_machine_unless_a_proxy_is_behind_it() {
    let app_on = |proxy_on_unix_socket| {
        app(HttpOptions {
            proxy_on_unix_socket,
            ..HttpOptions::default()
        })
    };
    let own = app_on(false);
    assert_eq!(knocked(&own, None, &["198.51.100.7"]).await, 200);
    assert_eq!(knocked(&own, None, &["198.51.100.8"]).await, 429);
    let proxied = app_on(true);
    assert_eq!(knocked(&proxied, None, &["198.51.100.7"]).await, 200);
    assert_eq!(knocked(&proxied, None, &["198.51.100.8"]).await, 200);
    assert_eq!(knocked(&proxied, None, &["198.51.100.8"]).await, 429);
    assert_eq!(knocked(&proxied, None, &[]).await, 200);
    assert_eq!(knocked(&proxied, None, &[]).await, 429);
}

#[tokio::test]
async fn s15_calls_of_a_websocket_come_from_whom_its_proxy_named() {
    let options = HttpOptions {
        proxy_on_unix_socket: true,
        ..HttpOptions::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let mut server = Server::new(app(options).entry);
    server.listen_unix(&path).unwrap();
    for (address, status) in [
        ("198.51.100.7", 200),
        ("198.51.100.8", 200),
        ("198.51.100.7", 429),
    ] {
        let connection = UnixStream::connect(&path).await.unwrap();
        let mut client = Client::from(connection, None, &[("x-forwarded-for", address)]).await;
        client.call(1, "door/knock", json!({})).await;
        assert_eq!(client.hear().await["status"], status, "{address}");
    }
}

#[tokio::test]
async fn s15_the_log_has_the_callers_address() {
    let app = app(behind("10.0.0.0/8"));
    let (lines, _guard) = Lines::begin(Style::Json);
    knocked(&app, Some("10.0.0.1"), &["198.51.100.7"]).await;
    knocked(&app, Some("192.0.2.1"), &["198.51.100.7"]).await;
    knocked(&app, None, &["198.51.100.7"]).await;
    let peers: Vec<_> = lines
        .all()
        .iter()
        .map(|line| line["peer"].clone())
        .collect();
    assert_eq!(
        peers,
        [json!("198.51.100.7"), json!("192.0.2.1"), json!(null)]
    );
}
