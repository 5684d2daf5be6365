//! What browsers are told, over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use bastide_rpc::{Cors, HttpOptions, Server};
use http::Method;

use crate::sockets::{Answer, send, serve, with};
use crate::support::app_with;

const PAGE: &str = "https://app.example.com";

async fn app(cors: Option<Cors>) -> (Server, SocketAddr) {
    let options = HttpOptions {
        cors,
        ..HttpOptions::default()
    };
    serve(app_with(options).entry).await
}

fn named() -> Cors {
    Cors::origins([PAGE, "http://localhost:5173"]).unwrap()
}

/// The question of a browser before a page of this origin calls.
async fn question(address: SocketAddr, origin: &str) -> Answer {
    let fields = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type",
        ),
    ];
    send(address, with("OPTIONS", "/rpc/users/find", &fields, "")).await
}

fn of_cors(answer: &Answer) -> Vec<&str> {
    let names = answer.fields.keys().map(http::HeaderName::as_str);
    names
        .filter(|name| name.starts_with("access-control-"))
        .collect()
}

#[tokio::test]
async fn s15_without_the_option_no_field_of_cors_is_sent() {
    let (_server, address) = app(None).await;
    let answer = question(address, PAGE).await;
    assert_eq!(
        (answer.status, answer.field("allow")),
        (204, "POST, OPTIONS")
    );
    let call = send(
        address,
        with("GET", "/users-health", &[("origin", PAGE)], ""),
    )
    .await;
    assert_eq!(call.status, 200);
    for answer in [answer, call] {
        assert_eq!(
            (of_cors(&answer).len(), answer.field("vary")),
            (0, ""),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn s15_named_origins_may_call_and_others_may_not() {
    let (_server, address) = app(Some(named())).await;
    let answer = question(address, PAGE).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(answer.field("access-control-allow-origin"), PAGE);
    assert_eq!(
        answer.field("access-control-allow-methods"),
        "GET, HEAD, POST, PUT, PATCH, DELETE"
    );
    let headers = answer.field("access-control-allow-headers");
    assert!(headers.contains("authorization, content-type"), "{headers}");
    assert_eq!(answer.field("access-control-max-age"), "600");
    assert_eq!(answer.field("access-control-allow-credentials"), "");
    let vary: Vec<_> = answer.fields.get_all("vary").iter().collect();
    assert_eq!(
        vary,
        [
            "access-control-request-headers, access-control-request-method",
            "origin"
        ]
    );

    for path in ["/users-health", "/users/7", "/nothing"] {
        let call = send(address, with("GET", path, &[("origin", PAGE)], "")).await;
        assert_eq!(
            call.field("access-control-allow-origin"),
            PAGE,
            "refusals are read too: {path}"
        );
        assert!(
            call.field("access-control-expose-headers")
                .contains("x-request-id")
        );
        assert_eq!(call.field("vary"), "origin");
    }
    for origin in [
        "https://evil.example",
        "https://app.example.com.evil.example",
        "null",
        "http://app.example.com",
    ] {
        let answer = question(address, origin).await;
        assert_eq!(
            (answer.status, of_cors(&answer).len()),
            (204, 0),
            "{origin}"
        );
        let call = send(
            address,
            with("GET", "/users-health", &[("origin", origin)], ""),
        )
        .await;
        assert_eq!(
            (of_cors(&call).len(), call.field("vary")),
            (0, "origin"),
            "{origin}"
        );
    }
    // Who asks without an origin is told nothing, and caches learn that it matters.
    let call = send(address, with("GET", "/users-health", &[], "")).await;
    assert_eq!((of_cors(&call).len(), call.field("vary")), (0, "origin"));
}

#[tokio::test]
async fn s15_credentials_are_for_named_origins() {
    let (_server, address) = app(Some(named().credentials().unwrap())).await;
    for answer in [
        question(address, PAGE).await,
        send(
            address,
            with("GET", "/users-health", &[("origin", PAGE)], ""),
        )
        .await,
    ] {
        assert_eq!(answer.field("access-control-allow-origin"), PAGE);
        assert_eq!(answer.field("access-control-allow-credentials"), "true");
    }
    assert!(Cors::any().credentials().is_err());
    let (_server, address) = app(Some(Cors::any())).await;
    let answer = question(address, "https://anybody.example").await;
    assert_eq!(answer.field("access-control-allow-origin"), "*");
    assert_eq!(answer.field("access-control-allow-credentials"), "");
}

#[tokio::test]
async fn s15_every_option_of_cors_has_an_effect() {
    let cors = Cors::any()
        .methods(&[Method::GET])
        .headers(&[http::header::ACCEPT_LANGUAGE])
        .exposed(&[http::header::ETAG])
        .max_age(Duration::from_secs(5));
    let (_server, address) = app(Some(cors)).await;
    let answer = question(address, PAGE).await;
    assert_eq!(answer.field("access-control-allow-methods"), "GET");
    assert_eq!(
        answer.field("access-control-allow-headers"),
        "accept-language"
    );
    assert_eq!(answer.field("access-control-max-age"), "5");
    let call = send(
        address,
        with("GET", "/users-health", &[("origin", PAGE)], ""),
    )
    .await;
    assert_eq!(call.field("access-control-expose-headers"), "etag");
    // A request that asks nothing of a browser's is an ordinary one.
    let plain = send(
        address,
        with("OPTIONS", "/rpc/users/find", &[("origin", PAGE)], ""),
    )
    .await;
    assert_eq!((plain.status, plain.field("allow")), (204, "POST, OPTIONS"));
}
