//! Events whose sender signs them.

use std::time::Duration;

use aws_lc_rs::hmac;
use bastide_auth::{Clock, ClockHandle};
use bastide_config::Secret;
use bastide_rpc::{
    HttpOptions, LimitRule, Problem, RawResponse, Route, Service, Signature, Verified, openapi,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::sockets::{Answer, send, serve, with};
use crate::support::{App, NOW, Ran, app_of, request};

const SECRET: &str = "whsec_0123456789abcdef";

/// A route like each of the matrix's methods, for who signs.
pub(crate) fn hooks(ran: &Ran, clock: &Clock) -> Service {
    let signature = || {
        let keys = Signature::hmac_sha256(&Secret::new(SECRET)).unwrap();
        keys.stripe().clock(clock.clone())
    };
    let (event_ran, slow_ran) = (ran.clone(), ran.clone());
    Service::new("hooks", "1.0.0")
        .unwrap()
        .route(
            Route::post("/hooks/stripe")
                .describe("Payments.")
                .signed(signature())
                .limit(LimitRule::parse("5/min").unwrap())
                .handler(move |_, event: Verified| {
                    let ran = event_ran.clone();
                    async move {
                        let kind: Value = event.json()?;
                        match kind["type"].as_str() {
                            Some("panic") => panic!("as asked"),
                            Some("fail") => return Err(Problem::new(503, "later", "not now")),
                            Some("decline") => {
                                return Ok(RawResponse::empty().status(StatusCode::BAD_GATEWAY));
                            }
                            _ => ran.count(),
                        }
                        RawResponse::json(&event.body().len())
                    }
                }),
        )
        .route(
            Route::post("/hooks/slow")
                .signed(signature())
                .max_body(64)
                .handler(move |_, _: Verified| {
                    let ran = slow_ran.clone();
                    async move {
                        tokio::time::sleep(Duration::from_secs(3_600)).await;
                        ran.count();
                        Ok::<_, Problem>(RawResponse::empty())
                    }
                }),
        )
}

/// The field with which this body is signed at this time.
pub(crate) fn signed(body: &str, time: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let mac = hmac::sign(&key, format!("{time}.{body}").as_bytes());
    let mac: String = mac
        .as_ref()
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    format!("t={time},v1={mac}")
}

fn app() -> (App, ClockHandle) {
    let (clock, time) = Clock::controlled(Timestamp::from_second(NOW).unwrap());
    (
        app_of(HttpOptions::default(), |ran, _| vec![hooks(ran, &clock)]),
        time,
    )
}

async fn post(address: std::net::SocketAddr, body: &str, signature: &str) -> Answer {
    let fields = [("stripe-signature", signature)];
    send(
        address,
        with("POST", "/hooks/stripe", &fields, body.to_owned()),
    )
    .await
}

#[tokio::test]
async fn s16_who_signs_is_let_in_and_nobody_else() {
    let (app, _) = app();
    let ran = app.ran.clone();
    let (_server, address) = serve(app.entry).await;
    let body = r#"{"type":"paid"}"#;
    for (body, signature) in [
        (body, String::new()),
        (body, "nonsense".to_owned()),
        (body, signed("{}", NOW)),
        (body, signed(body, NOW - 301)),
        (body, signed(body, NOW + 301)),
        (r#"{"type":"paid" }"#, signed(body, NOW)),
    ] {
        let answer = post(address, body, &signature).await;
        assert_eq!(
            answer.verdict(),
            (401, "signature_invalid".to_owned()),
            "{signature}"
        );
        assert_eq!(answer.field("www-authenticate"), "Signature");
        // What is not signed does not use up what the sender may send.
        assert_eq!(answer.field("x-ratelimit-remaining"), "");
    }
    let unsigned = send(address, with("POST", "/hooks/stripe", &[], body)).await;
    assert_eq!(unsigned.status, 401);
    assert_eq!(ran.get(), 0);
    let answer = post(address, body, &signed(body, NOW)).await;
    assert_eq!((answer.status, answer.json()), (200, json!(15)));
    assert_eq!(answer.field("x-ratelimit-remaining"), "4");
    assert_eq!(ran.get(), 1);
}

#[tokio::test]
async fn s16_an_event_is_taken_once_and_what_failed_may_come_again() {
    let (app, time) = app();
    let ran = app.ran.clone();
    let (_server, address) = serve(app.entry).await;
    let signature = signed("{}", NOW);
    assert_eq!(post(address, "{}", &signature).await.status, 200);
    for _ in 0..2 {
        let again = post(address, "{}", &signature).await;
        assert_eq!(again.verdict(), (409, "event_replayed".to_owned()));
    }
    // Signed anew it is another event, and other letters for the same signature make no other event.
    let shouted = signature
        .replace("v1=", "V1=")
        .to_uppercase()
        .replace("V1=", "v1=")
        .replace("T=", "t=");
    assert_eq!(post(address, "{}", &shouted).await.status, 409);
    assert_eq!(
        post(address, "{}", &signed("{}", NOW + 1)).await.status,
        200
    );
    assert_eq!(ran.get(), 2);
    for (kind, status) in [("fail", 503), ("decline", 502), ("panic", 500)] {
        let (app, _) = self::app();
        let (_server, address) = serve(app.entry).await;
        let body = format!("{{\"type\":\"{kind}\"}}");
        for _ in 0..2 {
            assert_eq!(
                post(address, &body, &signed(&body, NOW)).await.status,
                status,
                "{kind}"
            );
        }
    }
    // Remembered for as long as the signature would do.
    time.advance(Duration::from_secs(300));
    assert_eq!(post(address, "{}", &signature).await.status, 409);
    time.advance(Duration::from_secs(1));
    assert_eq!(post(address, "{}", &signature).await.status, 401);
}

#[tokio::test]
async fn s16_a_signed_body_is_bounded() {
    let (app, _) = app();
    let (_server, address) = serve(app.entry).await;
    let long = format!("\"{}\"", "x".repeat(1 << 20));
    let answer = post(address, &long, &signed(&long, NOW)).await;
    assert_eq!(answer.verdict(), (413, "body_too_large".to_owned()));
    let fits = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    assert_eq!(post(address, &fits, &signed(&fits, NOW)).await.status, 200);
    let pieces = stream::iter([Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(
        "x".repeat(65),
    )))]);
    let request = Request::post("/hooks/slow").header("stripe-signature", signed("", NOW));
    let request = request
        .body(StreamBody::new(pieces.chain(stream::empty())))
        .unwrap();
    assert_eq!(send(address, request).await.status, 413);
}

#[tokio::test]
async fn s11_over_the_limit() {
    let (app, _) = app();
    let ran = app.ran.clone();
    let (_server, address) = serve(app.entry).await;
    for number in 0..7 {
        let answer = post(address, "{}", &signed("{}", NOW + number)).await;
        let expected = if number < 5 {
            (200, "")
        } else {
            (429, "rate_limited")
        };
        assert_eq!(answer.verdict(), (expected.0, expected.1.to_owned()));
    }
    assert_eq!(ran.get(), 5);
}

#[tokio::test(start_paused = true)]
async fn s14_past_the_deadline() {
    let (app, _) = app();
    let mut request = request("POST", "/hooks/slow", None, Bytes::from("{}"));
    let signature = signed("{}", NOW).parse().unwrap();
    request.headers_mut().insert("stripe-signature", signature);
    let reply = app.send(request).await;
    assert_eq!(reply.verdict(), (504, "deadline_passed".to_owned()));
    tokio::time::advance(Duration::from_hours(2)).await;
    assert_eq!(app.ran.get(), 0);
}

#[tokio::test]
async fn s10_a_bad_token_beside_a_signature_is_no_token() {
    let (app, _) = app();
    let (_server, address) = serve(app.entry).await;
    let signature = signed("{}", NOW);
    let fields = [
        ("stripe-signature", signature.as_str()),
        ("authorization", "Bearer x"),
    ];
    assert_eq!(
        send(address, with("POST", "/hooks/stripe", &fields, "{}"))
            .await
            .status,
        200
    );
    let token = [("authorization", "Bearer x")];
    assert_eq!(
        send(address, with("POST", "/hooks/stripe", &token, "{}"))
            .await
            .status,
        401
    );
}

#[test]
fn s10_webhooks_are_listed_and_described_as_what_they_are() {
    let service = hooks(&Ran::default(), &Clock::system());
    let registry = bastide_rpc::Registry::new([service]).unwrap();
    let listed: Vec<_> = registry.listed().map(|entry| entry.to_string()).collect();
    assert_eq!(listed[0], "POST /hooks/stripe  signed: as Stripe does");
    let document = openapi(&registry, "Example", "1.0.0");
    let hook = &document["paths"]["/hooks/stripe"]["post"];
    assert_eq!(hook["x-policy"], "signed: as Stripe does");
    assert_eq!(
        hook["responses"]["401"]["description"],
        "`signature_invalid`"
    );
    assert_eq!(hook["responses"]["409"]["description"], "`event_replayed`");
    assert_eq!(hook["responses"]["403"], Value::Null);
}
