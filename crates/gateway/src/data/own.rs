//! Station: the gateway's own endpoints, which no route can shadow: `/health`, `/ready`, and, where one listener serves
//! all, `/metrics` and `/admin`.

use std::future::poll_fn;
use std::io;
use std::pin::pin;

use bastide_http1::{BodyDecoder, BodyError, RequestHead, Step};
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::StreamBody;
use tokio::sync::mpsc;
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
    let (response, is_whole) = answer(worker, client, call, head).await?;
    let (parts, body) = response.into_parts();
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

/// Gets a request answered, and brings its body as far as the answer needs it. Tells whether that was all of it.
async fn answer(
    worker: &Worker,
    client: &mut Client,
    call: &Call<'_>,
    head: http::request::Parts,
) -> Result<(http::Response<Bytes>, bool), Refusal> {
    let mut decoder = BodyDecoder::new(call.head.body(), &worker.shared.limits);
    if call.head.expects_continue() && decoder.remaining() != Some(0) && client.input.is_empty() {
        client.put_continue();
    }
    client.deadline.set_after(Instant::now(), BODY_TIME);
    client.flush().await.map_err(|_| Refusal::BodyTimeout)?;
    let (pieces, brought) = mpsc::channel(1);
    let request = http::Request::from_parts(head, body(brought));
    let mut answering = pin!(worker.shared.front.handle(request, call.peer.ip));
    let (mut is_wanted, mut is_whole) = (true, false);
    loop {
        let bring = async {
            // One piece waits for the answer at most; what nobody asks for stays with the client.
            let Ok(place) = pieces.reserve().await else {
                return Ok(false);
            };
            let data = read_piece(client, &mut decoder).await?;
            is_whole = data.is_none();
            place.send(data);
            Ok::<_, Refusal>(!is_whole)
        };
        tokio::select! {
            biased;
            response = &mut answering => {
                let is_whole = is_whole || discard_body(client, decoder);
                return Ok((response, is_whole));
            }
            brought = bring, if is_wanted => is_wanted = brought?,
        }
    }
}

/// The body of these pieces. `None` among them is its end: a sender that is gone without one was cut off, and so was the body.
fn body(
    mut pieces: mpsc::Receiver<Option<Bytes>>,
) -> impl Body<Data = Bytes, Error = io::Error> + Send + 'static {
    StreamBody::new(futures_util::stream::poll_fn(move |cx| {
        pieces.poll_recv(cx).map(|piece| match piece {
            Some(Some(data)) => Some(Ok(Frame::data(data))),
            Some(None) => None,
            None => Some(Err(io::ErrorKind::UnexpectedEof.into())),
        })
    }))
}

/// More of the body, or `None` at its end.
async fn read_piece(
    client: &mut Client,
    decoder: &mut BodyDecoder,
) -> Result<Option<Bytes>, Refusal> {
    loop {
        match decoder.decode(client.input.data()) {
            Ok(Step::Data { consumed, data }) => {
                let data = Bytes::copy_from_slice(&client.input.data()[data]);
                client.input.consume(consumed);
                return Ok(Some(data));
            }
            Ok(Step::Done { consumed }) => {
                client.input.consume(consumed);
                return Ok(None);
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
    // Set, not added: what the client named its request may be no id for the gateway.
    let id = http::HeaderValue::from_str(call.request_id.as_str());
    request
        .body(())
        .and_then(|request| {
            let mut head = request.into_parts().0;
            head.headers.insert("x-request-id", id?);
            Ok(head)
        })
        .map_err(|error| Refusal::Malformed {
            status: 400,
            code: "bad_request",
            detail: error.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    /// Half a document may be one that can be read.
    #[tokio::test]
    async fn a_body_that_was_cut_off_does_not_look_whole() {
        for (end, is_whole) in [(true, true), (false, false)] {
            let (pieces, brought) = mpsc::channel(2);
            pieces.send(Some(Bytes::from_static(b"a"))).await.unwrap();
            if end {
                pieces.send(None).await.unwrap();
            }
            drop(pieces);
            assert_eq!(body(brought).collect().await.is_ok(), is_whole);
        }
    }
}
