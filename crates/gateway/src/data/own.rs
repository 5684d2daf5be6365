//! Station: the gateway's own endpoints, which no route can shadow: `/health`, `/ready`, and, where one listener serves
//! all, `/metrics` and `/admin`.

use std::future::poll_fn;
use std::io;

use bastide_http1::{BodyDecoder, BodyError, RequestHead, Step};
use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::call::Call;
use super::client::Client;
use super::line::{Served, discard_body, finish};
use super::phase::Phase;
use super::refusal::Refusal;
use super::response_head::{Own, write_own};
use super::worker::Worker;

/// How long the body of such a request may take.
const BODY_TIME: std::time::Duration = std::time::Duration::from_secs(30);

/// What the server as a whole can be asked: a route may be for any method but CONNECT and TRACE.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Serves a request to the gateway itself.
pub(crate) async fn serve<'s>(
    worker: &Worker,
    client: &mut Client,
    call: &Call<'_>,
) -> Result<Served<'s>, Refusal> {
    let head = to_http(call)?;
    let limit = worker.shared.front.body_limit(&head);
    let (body, is_whole) = read_body(worker, client, call, limit).await?;
    let request = http::Request::from_parts(head, body);
    let (parts, body) = worker
        .shared
        .front
        .handle(request, call.peer.ip)
        .await
        .into_parts();
    let keep = is_whole && call.head.keep_alive() && worker.phase() == Phase::Running;
    // These are written for every response of the gateway's own.
    let written = [
        "content-type",
        "content-length",
        "x-request-id",
        "cache-control",
        "date",
    ];
    let fields: Vec<(&str, &str)> = parts
        .headers
        .iter()
        .filter(|(name, _)| !written.contains(&name.as_str()))
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let content_type = parts
        .headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let own = Own {
        status: parts.status.as_u16(),
        content_type,
        body: &body,
        proxy_error: None,
        fields: &fields,
    };
    let date = worker.shared.clock.date();
    write_own(&mut client.out.bytes, call, &own, date.as_bytes(), keep);
    Ok(Served {
        status: own.status,
        after: finish(client, keep).await,
        route: None,
        finished: None,
        refusal: None,
    })
}

/// Whether a request asks about the server and not about a resource: `OPTIONS *`.
pub(crate) fn is_about_server(head: &RequestHead) -> bool {
    // Also the form that proxies are sent, `OPTIONS http://host` without a path, which means the same.
    head.path_and_query() == b"*"
}

/// Answers `OPTIONS *` (RFC 9110, section 9.3.7). It names no route, so there is nobody to forward it to and nothing to
/// protect by a key.
pub(crate) async fn describe_server<'s>(
    worker: &Worker,
    client: &mut Client,
    call: &Call<'_>,
) -> Served<'s> {
    let body = BodyDecoder::new(call.head.body(), &worker.shared.limits);
    let keep =
        call.head.keep_alive() && worker.phase() == Phase::Running && discard_body(client, body);
    let own = Own {
        status: 200,
        content_type: None,
        body: b"",
        proxy_error: None,
        fields: &[("Allow", METHODS)],
    };
    let date = worker.shared.clock.date();
    write_own(&mut client.out.bytes, call, &own, date.as_bytes(), keep);
    Served {
        status: own.status,
        after: finish(client, keep).await,
        route: None,
        finished: None,
        refusal: None,
    }
}

/// Reads the body, which is held in memory and therefore bounded: what goes beyond `limit` is refused by whom it is for.
/// Tells whether that was all of it.
async fn read_body(
    worker: &Worker,
    client: &mut Client,
    call: &Call<'_>,
    limit: usize,
) -> Result<(Bytes, bool), Refusal> {
    let mut decoder = BodyDecoder::new(call.head.body(), &worker.shared.limits);
    let mut body = BytesMut::new();
    if call.head.expects_continue() && decoder.remaining() != Some(0) && client.input.is_empty() {
        client.put_continue();
    }
    client.deadline.set_after(Instant::now(), BODY_TIME);
    client.flush().await.map_err(|_| Refusal::BodyTimeout)?;
    loop {
        match decoder.decode(client.input.data()) {
            Ok(Step::Data { consumed, data }) => {
                body.extend_from_slice(&client.input.data()[data]);
                client.input.consume(consumed);
                if body.len() > limit {
                    return Ok((body.freeze(), false));
                }
            }
            Ok(Step::Done { consumed }) => {
                client.input.consume(consumed);
                return Ok((body.freeze(), true));
            }
            Ok(Step::More { consumed }) => {
                client.input.consume(consumed);
                match poll_fn(|cx| client.poll_fill(cx)).await {
                    Ok(0) => decoder.end_of_input()?,
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                        return Err(Refusal::BodyTimeout);
                    }
                    Err(_) => return Err(BodyError::Truncated.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The request as the control plane takes it.
fn to_http(call: &Call<'_>) -> Result<http::request::Parts, Refusal> {
    let uri = match call.target.query() {
        Some(query) => format!("{}?{query}", call.target.path()),
        None => call.target.path().to_owned(),
    };
    let mut request = http::Request::builder().method(call.head.method()).uri(uri);
    for field in call.head.fields().iter().filter(|field| !field.hop) {
        request = request.header(call.head.name(field), call.head.value(field));
    }
    request
        .header("x-request-id", call.request_id.as_str())
        .body(())
        .map(|request| request.into_parts().0)
        .map_err(|error| Refusal::Malformed {
            status: 400,
            code: "bad_request",
            detail: error.to_string(),
        })
}
