//! Comparison with hyper 1.12, server and client: what this crate accepts, hyper accepts with the same
//! method, target and body.
//!
//! The reverse does not hold and is not meant to: hyper repairs or ignores what is refused here (bare
//! LF, both framings, several lengths, leading zeros, codings before `chunked`, several empty lines,
//! hosts of any form, forbidden trailers).
//!
//! Deliberately wider than hyper in one place: an absolute-form target without a path but with a query
//! (`http://a?b`) is read as RFC 9112 section 3.2.1 says; hyper does too, but prints it with the slash.

#![allow(
    clippy::unwrap_used,
    reason = "a test may panic in its own functions, too"
)]

mod support;

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use bastide_http1::Method;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use support::{fetch, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Runs a hyper server on these bytes: each complete request as `METHOD target body`.
async fn hyper_serves(input: &[u8]) -> Vec<String> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let handled = Arc::clone(&events);
    let service = service_fn(move |request: Request<Incoming>| {
        let handled = Arc::clone(&handled);
        async move {
            let escaped = |text: &str| text.as_bytes().escape_ascii().to_string();
            let method = escaped(request.method().as_str());
            let start = format!("{method} {} ", escaped(&request.uri().to_string()));
            if let Ok(body) = request.into_body().collect().await {
                let body = body.to_bytes();
                handled
                    .lock()
                    .unwrap()
                    .push(format!("{start}{}", body.escape_ascii()));
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    client.write_all(input).await.unwrap();
    client.shutdown().await.unwrap();
    // An error here is hyper's refusal of what follows the events.
    let _ = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(server), service)
        .await;
    Arc::into_inner(events).unwrap().into_inner().unwrap()
}

/// Gives a hyper client these bytes as its answer: `STATUS body`, or nothing when it refuses them.
async fn hyper_fetches(method: Method, input: &[u8]) -> Option<String> {
    let (client, mut server) = tokio::io::duplex(1 << 20);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(client))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method.as_str())
        .uri("/")
        .header("host", "a")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = tokio::spawn(async move {
        let response = sender.send_request(request).await.ok()?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some(format!("{status} {}", body.escape_ascii()))
    });
    // hyper refuses bytes that come before its request went out.
    let mut asked = [0; 1024];
    assert!(server.read(&mut asked).await.unwrap() > 0);
    let _ = server.write_all(input).await;
    drop(server);
    let answer = answer.await.unwrap();
    connection.abort();
    answer
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(work)
}

/// Requests that mostly are sound, with everything in them that may vary.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let method = prop_oneof![
        3 => prop::sample::select(&["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"]).prop_map(str::to_owned),
        1 => "[A-Za-z!#$%&'*+.^_`|~-]{1,12}",
    ];
    let target = prop_oneof![
        4 => r"/[!$&'()*+,./0-9:;=@A-Z\[\]^_a-z{|}~%-]{0,20}",
        4 => r"/[a-z]{0,5}\?[!$&'()*+,./0-9:;=?@A-Z\[\]\\^_`a-z{|}~%-]{0,20}",
        1 => Just("*".to_owned()),
        1 => "https?://[a-z0-9.-]{1,9}(:[0-9]{1,4})?/[a-z?=]{0,9}",
    ];
    let host = prop_oneof![
        "[a-z0-9._~-]{1,9}(:[0-9]{1,4})?",
        Just(r"[::1]:80".to_owned())
    ];
    let field = prop_oneof![
        4 => "x-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,8}:[ \t]{0,2}[!-~\u{80}-\u{ff}]{0,12}[ \t]{0,2}",
        1 => Just("Connection: keep-alive".to_owned()),
        1 => Just("Connection: close".to_owned()),
        1 => Just("Expect: 100-continue".to_owned()),
        1 => Just("Upgrade: x".to_owned()),
    ];
    let body = prop_oneof![
        2 => Just(String::new()),
        2 => "[a-z]{0,9}".prop_map(|data| format!("Content-Length: {}\r\n\r\n{data}", data.len())),
        3 => prop::collection::vec(("[a-z]{1,20}", "( ?; ?[a-z]{1,3}( ?= ?([a-z]{1,3}|\"[ -!#-\\[\\]-~]{0,4}\"))?){0,2}"), 0..4)
            .prop_map(|chunks| {
                let mut body = "Transfer-Encoding: chunked\r\n\r\n".to_owned();
                for (data, extension) in chunks {
                    write!(body, "{:x}{extension}\r\n{data}\r\n", data.len()).unwrap();
                }
                body + "0\r\nX-Trailer: y\r\n\r\n"
            }),
    ];
    let request = (
        method,
        target,
        host,
        prop::collection::vec(field, 0..4),
        body,
        prop::bool::weighted(0.9),
    )
        .prop_map(|(method, target, host, fields, body, new)| {
            let version = if new { "1.1" } else { "1.0" };
            let mut text = format!("{method} {target} HTTP/{version}\r\nHost: {host}\r\n");
            for field in fields {
                text.push_str(&field);
                text.push_str("\r\n");
            }
            text.push_str(if body.is_empty() { "\r\n" } else { &body });
            // Characters above 0x7f stand for single bytes.
            text.chars().map(|c| c as u8).collect::<Vec<u8>>()
        });
    (
        prop::collection::vec(request, 1..4),
        prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>())),
    )
        .prop_map(|(requests, flip)| {
            let mut bytes = requests.concat();
            if let Some((index, byte)) = flip {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
}

fn responses() -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![
        4 => "HTTP/1\\.[01] [2-9][0-9]{2} [ -~]{0,9}",
        1 => "HTTP/1\\.1 [1-9][0-9]{2}",
        1 => Just("HTTP/1.1 204 No Content".to_owned()),
        1 => Just("HTTP/1.1 304 Not Modified".to_owned()),
    ];
    let field = "x-[a-z]{1,8}:[ \t]{0,2}[!-~]{0,12}";
    let body = prop_oneof![
        Just("\r\nuntil close".to_owned()),
        "[a-z]{0,9}".prop_map(|data| format!("Content-Length: {}\r\n\r\n{data}", data.len())),
        "[a-z]{1,9}".prop_map(|data| format!(
            "Transfer-Encoding: chunked\r\n\r\n{:X}\r\n{data}\r\n0\r\n\r\n",
            data.len()
        )),
        "[a-z]{1,9}".prop_map(|data| format!(
            "Content-Length: {0}\r\nContent-Length: {0}\r\n\r\n{data}",
            data.len()
        )),
    ];
    let early = prop::option::of(Just("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"));
    (early, start, prop::collection::vec(field, 0..4), body).prop_map(
        |(early, start, fields, body)| {
            let mut text = early.unwrap_or_default().to_owned() + &start + "\r\n";
            for field in fields {
                text.push_str(&field);
                text.push_str("\r\n");
            }
            (text + &body).into_bytes()
        },
    )
}

proptest! {
    #[test]
    fn hyper_serves_what_is_accepted(input in requests()) {
        let ours: Vec<_> = serve(&[&input])
            .into_iter()
            .filter(|event| event != "incomplete" && !event.starts_with("refused"))
            .collect();
        let theirs = block_on(hyper_serves(&input));
        prop_assert!(theirs.len() >= ours.len(), "{:?} is more than {:?}", ours, theirs);
        prop_assert_eq!(&theirs[..ours.len()], &ours[..]);
    }

    #[test]
    fn hyper_fetches_what_is_accepted(input in responses(), head: bool) {
        let method = if head { Method::Head } else { Method::Get };
        let ours = fetch(method, &[&input]);
        // Informational statuses come first; hyper keeps them to itself.
        let Some(ours) = ours.into_iter().find(|event| event.contains(' ')) else { return Ok(()) };
        if !ours.starts_with("refused") && !ours.starts_with("101") {
            prop_assert_eq!(block_on(hyper_fetches(method, &input)), Some(ours));
        }
    }
}

/// The generator must not drift into input that both refuse.
#[test]
fn most_of_the_generated_input_is_accepted() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut accepted = 0;
    for _ in 0..200 {
        let input = requests().new_tree(&mut runner).unwrap().current();
        accepted += usize::from(!serve(&[&input])[0].starts_with("refused"));
    }
    assert!(accepted > 120, "only {accepted} of 200");
}
