//! gRPC through the gateway, with a real client and a real server of it.

mod service;

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{MetadataKey, MetadataValue};
use tonic::{Code, Request};

use self::service::{Echo, EchoClient, EchoServer};
use crate::client::run;
use crate::frames::*;
use crate::harness::{Gateway, eventually};
use crate::scene::{Scene, one_worker};

fn before(server: &EchoServer) -> Scene {
    Scene::with(one_worker(), &server.url(), "http2", json!(null))
}

#[test]
fn each_kind_of_call_works() {
    let server = EchoServer::start();
    let scene = before(&server);
    run(async {
        let mut client = EchoClient::connect(scene.gateway.public, &scene.tenant.key).await;
        assert_eq!(
            client.unary("hello").await.unwrap().into_inner().text,
            "hello"
        );
        let mut parts = client.server_stream("a b c").await.unwrap().into_inner();
        for text in ["a", "b", "c"] {
            assert_eq!(parts.next().await.unwrap().unwrap().text, text);
        }
        assert!(parts.next().await.is_none());
        let many = tokio_stream::iter(["x", "y", "z"].map(Echo::new));
        assert_eq!(
            client.client_stream(many).await.unwrap().into_inner().text,
            "x y z"
        );
    });
}

#[test]
fn each_message_of_a_bidirectional_stream_arrives_before_the_next_is_sent() {
    let server = EchoServer::start();
    let scene = before(&server);
    run(async {
        let mut client = EchoClient::connect(scene.gateway.public, &scene.tenant.key).await;
        let (pings, sent) = mpsc::channel(1);
        let mut pongs = client
            .both(ReceiverStream::new(sent))
            .await
            .unwrap()
            .into_inner();
        for number in 0..50 {
            let text = format!("ping {number}");
            pings.send(Echo::new(&text)).await.unwrap();
            assert_eq!(pongs.next().await.unwrap().unwrap().text, text);
        }
        drop(pings);
        assert!(pongs.next().await.is_none());
    });
}

#[test]
fn a_status_comes_with_its_message_and_details() {
    let server = EchoServer::start();
    let scene = before(&server);
    run(async {
        let mut client = EchoClient::connect(scene.gateway.public, &scene.tenant.key).await;
        // Instead of a message: in a head that is also the end.
        let status = client.unary("fail").await.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::FailedPrecondition, "as told: \u{fc}")
        );
        assert_eq!(status.details(), b"\0\x01details");
        assert_eq!(status.metadata().get("x-why").unwrap(), "because");
        // After some: in trailers.
        let mut parts = client.server_stream("a fail").await.unwrap().into_inner();
        assert_eq!(parts.next().await.unwrap().unwrap().text, "a");
        let status = parts.next().await.unwrap().unwrap_err();
        assert_eq!(
            (status.code(), status.details()),
            (Code::FailedPrecondition, &b"\0\x01details"[..])
        );
        let status = client.call_unknown().await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
    });
}

#[test]
fn metadata_goes_both_ways() {
    let server = EchoServer::start();
    let scene = before(&server);
    run(async {
        let mut client = EchoClient::connect(scene.gateway.public, &scene.tenant.key).await;
        let mut request = Request::new(Echo::new("metadata"));
        request
            .metadata_mut()
            .insert("x-text", "some text".parse().unwrap());
        let bytes = MetadataValue::from_bytes(&[0, 1, 254, 255]);
        request
            .metadata_mut()
            .insert_bin(MetadataKey::from_static("x-raw-bin"), bytes);
        let answer = client.unary_with(request).await.unwrap();
        assert_eq!(answer.metadata().get("x-text").unwrap(), "some text");
        let raw = answer.metadata().get_bin("x-raw-bin").unwrap();
        assert_eq!(
            raw.to_bytes().unwrap(),
            Bytes::from_static(&[0, 1, 254, 255])
        );
        // What the gateway knows of the caller is metadata for the server.
        assert_eq!(
            answer.metadata().get("seen-tenant").unwrap(),
            scene.tenant.id.as_str()
        );
        assert!(answer.metadata().get("seen-key").is_none());
    });
}

#[test]
fn a_deadline_and_a_cancellation_reach_the_server() {
    let server = EchoServer::start();
    let scene = before(&server);
    run(async {
        let mut client = EchoClient::connect(scene.gateway.public, &scene.tenant.key).await;
        let begun = Instant::now();
        let mut request = Request::new(Echo::new("hang"));
        request.set_timeout(Duration::from_millis(300));
        let status = client.unary_with(request).await.unwrap_err();
        assert!(
            matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled),
            "{status:?}"
        );
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(server.timeouts(), ["300000u"]);
        eventually("the server let go of it", || server.waiting() == 0);
        let mut other = client.clone();
        let call = tokio::spawn(async move { other.unary("hang").await });
        eventually("it is at the server", || server.waiting() == 1);
        call.abort();
        eventually("the server let go of it", || server.waiting() == 0);
        let mut stream = client.server_stream("a hang").await.unwrap().into_inner();
        assert_eq!(stream.next().await.unwrap().unwrap().text, "a");
        drop(stream);
        eventually("the server let go of that, too", || server.waiting() == 0);
        client.unary("fine").await.unwrap();
    });
}

#[test]
fn large_messages_go_through() {
    let server = EchoServer::start();
    let scene = before(&server);
    run(async {
        let mut client = EchoClient::connect(scene.gateway.public, &scene.tenant.key).await;
        let text = "0123456789abcdef".repeat(1 << 18);
        let answer = client.unary(&text).await.unwrap().into_inner();
        assert!(answer.text == text, "{} bytes", answer.text.len());
    });
}

#[test]
fn what_the_gateway_refuses_is_a_status_that_clients_know() {
    let server = EchoServer::start();
    let gateway = Gateway::start(one_worker());
    let limited = json!({ "name": "acme", "rateLimit": { "limit": 2, "windowMs": 60_000 } });
    let tenant = gateway.tenant_with(limited);
    let upstreams = json!([{ "url": server.url(), "protocol": "http2" }]);
    gateway.route(json!({ "tenantId": tenant.id, "method": "POST", "path": "/test.Echo", "pathType": "prefix", "stripPrefix": false, "upstreams": upstreams }));
    run(async {
        let call = async |key: &str| {
            EchoClient::connect(gateway.public, key)
                .await
                .unary("x")
                .await
        };
        assert_eq!(call("").await.unwrap_err().code(), Code::Unauthenticated);
        assert_eq!(
            call("nobody").await.unwrap_err().code(),
            Code::PermissionDenied
        );
        for _ in 0..2 {
            call(&tenant.key).await.unwrap();
        }
        assert_eq!(
            call(&tenant.key).await.unwrap_err().code(),
            Code::Unavailable
        );
        let other = gateway.tenant("other");
        assert_eq!(
            call(&other.key).await.unwrap_err().code(),
            Code::Unimplemented
        );
    });
}

#[test]
fn a_server_that_cannot_be_had_is_unavailable() {
    let server = EchoServer::start();
    let url = server.url();
    drop(server);
    let scene = Scene::with(one_worker(), &url, "http2", json!(null));
    run(async {
        let mut client = EchoClient::connect(scene.gateway.public, &scene.tenant.key).await;
        assert_eq!(
            client.unary("x").await.unwrap_err().code(),
            Code::Unavailable
        );
    });
}

#[test]
fn fifty_calls_at_a_time_share_one_connection() {
    let server = EchoServer::start();
    let scene = before(&server);
    run(async {
        let client = EchoClient::connect(scene.gateway.public, &scene.tenant.key).await;
        let calls: Vec<_> = (0..50)
            .map(|number| {
                let mut client = client.clone();
                tokio::spawn(async move {
                    for turn in 0..10 {
                        let text = format!("{number} {turn}");
                        assert_eq!(client.unary(&text).await.unwrap().into_inner().text, text);
                    }
                })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
        assert_eq!(server.connections(), 1);
    });
}

/// Trailers alone come as one frame and not as a head and an end.
#[test]
fn trailers_alone_stay_trailers_alone() {
    let server = EchoServer::start();
    let scene = before(&server);
    let mut wire = Wire::connect(scene.gateway.public, &[]);
    let fields = [
        ("x-api-key", scene.tenant.key.as_str()),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    wire.send_headers(1, false, &request("POST", "/test.Echo/Unknown", &fields))
        .unwrap();
    wire.send(DATA, END_STREAM, 1, &[0; 5]).unwrap();
    let frames = wire.wait_for_stream(1);
    let heads: Vec<_> = frames
        .iter()
        .filter(|frame| matches!(frame.kind, HEADERS | DATA))
        .collect();
    assert_eq!(heads.len(), 1, "{frames:?}");
    assert!(heads[0].ends_stream());
}
