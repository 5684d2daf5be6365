//! Over TLS both sides agree on the version (ALPN, RFC 7301).

use std::net::SocketAddr;

use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::{Http2, run};
use crate::harness::*;
use crate::scene::{Scene, one_worker};
use crate::upstream::Http2Upstream;

/// A connection to the gateway's TLS listener by a client that offers these protocols.
async fn connect(
    gateway: &Gateway,
    authority: &Authority,
    protocols: &[&[u8]],
) -> TlsStream<TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    let tcp = TcpStream::connect(gateway.public).await.unwrap();
    let connector = TlsConnector::from(authority.client_offering(protocols));
    connector.connect(name, tcp).await.unwrap()
}

/// What was agreed on.
fn agreed(stream: &TlsStream<TcpStream>) -> Option<&[u8]> {
    stream.get_ref().1.alpn_protocol()
}

#[test]
fn g17_the_client_chooses_the_version_on_the_tls_listener() {
    let upstream = Upstream::echo();
    let authority = Authority::new();
    let options = one_worker();
    let (chain, key) = authority.issue("localhost").write(&options.folder());
    let options = options
        .arg("--tls-cert", chain.to_str().unwrap())
        .arg("--tls-key", key.to_str().unwrap());
    let scene = Scene::with(options, &upstream.url(), "auto", Value::Null);
    run(async {
        for (offered, wanted) in [
            (&[&b"h2"[..], b"http/1.1"][..], Some(&b"h2"[..])),
            (&[b"http/1.1", b"h2"], Some(b"h2")),
            (&[b"http/1.1"], Some(b"http/1.1")),
            (&[], None),
        ] {
            let stream = connect(&scene.gateway, &authority, offered).await;
            assert_eq!(agreed(&stream), wanted, "{offered:?}");
        }
        let stream = connect(&scene.gateway, &authority, &[b"h2"]).await;
        let client = Http2::over(stream, "https://localhost", |_| {}).await;
        for number in 0..3 {
            let path = format!("/{number}");
            let response = client.get(&path, &scene.tenant.key).await.expect(200);
            assert_eq!(response.text(), format!("GET {path}"));
        }
        // Without ALPN the preface says it (prior knowledge).
        let stream = connect(&scene.gateway, &authority, &[]).await;
        let client = Http2::over(stream, "https://localhost", |_| {}).await;
        client.get("/prior", &scene.tenant.key).await.expect(200);
    });
    let last = upstream.requests().pop().unwrap();
    assert_eq!(last.header("x-forwarded-proto"), Some("https"));
    assert_eq!(last.header("via"), Some("2.0 bastide"));
}

/// A route to an upstream behind TLS that speaks these protocols.
fn before_tls(to: SocketAddr, offered: &[&[u8]], protocol: &str) -> (Scene, Relay) {
    let authority = Authority::new();
    let relay = Relay::from_tls_offering(to, &authority.issue("localhost"), offered);
    let options = one_worker();
    let file = authority.write(&options.folder());
    let url = format!("https://localhost:{}", relay.address().port());
    let options = options.arg("--upstream-ca", &file);
    (Scene::with(options, &url, protocol, Value::Null), relay)
}

#[test]
fn g17_an_https_upstream_that_offers_http2_is_spoken_to_in_it() {
    for (offered, protocol) in [
        (&[&b"h2"[..], b"http/1.1"][..], "auto"),
        (&[b"h2"], "auto"),
        (&[b"h2", b"http/1.1"], "http2"),
    ] {
        let upstream = Http2Upstream::echo();
        let (scene, relay) = before_tls(upstream.address(), offered, protocol);
        for number in 0..5 {
            let path = format!("/{number}");
            let response = scene.gateway.get(&path, &scene.tenant.key).expect(200);
            assert_eq!(response.text(), format!("GET {path}"));
        }
        assert_eq!(
            relay.accepted(),
            1,
            "{protocol}: requests share a connection"
        );
        assert_eq!(upstream.requests().len(), 5);
    }
}

#[test]
fn g17_an_https_upstream_that_does_not_offer_it_or_must_not_use_it_gets_http1() {
    for (offered, protocol) in [
        (&[&b"http/1.1"[..]][..], "auto"),
        (&[], "auto"),
        (&[b"h2", b"http/1.1"], "http1"),
    ] {
        let upstream = Upstream::echo();
        let (scene, _relay) = before_tls(upstream.address(), offered, protocol);
        let response = scene.gateway.get("/x", &scene.tenant.key).expect(200);
        assert_eq!(response.text(), "GET /x");
        assert_eq!(upstream.only().version, "HTTP/1.1");
    }
}

#[test]
fn g17_an_https_upstream_without_http2_is_no_upstream_where_http2_is_asked_for() {
    let upstream = Upstream::echo();
    let (scene, _relay) = before_tls(upstream.address(), &[b"http/1.1"], "http2");
    let response = scene.gateway.get("/x", &scene.tenant.key).expect(502);
    let proxy_status = response.header("proxy-status").unwrap();
    assert!(
        proxy_status.contains("tls_alert_received"),
        "{proxy_status}"
    );
    assert_eq!(upstream.count(), 0);
}
