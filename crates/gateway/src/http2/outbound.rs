//! A request to an upstream over HTTP/2, as the connection that it is written to and its response is read from.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bastide_http1::{self as http1, Known, Method, RequestBody, RequestHead};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::uri::Scheme;
use http::{HeaderValue, Request, StatusCode, Uri};

use super::body::{Receiving, Sending};
use super::{append, broken, invalid, own_limits};
use crate::data::buffer::Buffer;
use crate::data::grpc;

pub(crate) struct Outbound {
    sender: SendRequest<Bytes>,
    scheme: Scheme,
    /// The request, once its head is out.
    request: Option<Sending>,
    response: Coming,
    method: Method,
    /// Whether the upstream said that it did not act on the request.
    is_unseen: bool,
    is_lost: bool,
    is_retired: Arc<AtomicBool>,
}

/// How far the response is.
enum Coming {
    /// There is no request yet.
    Nothing,
    Head(ResponseFuture),
    Body(Receiving),
    End,
    /// None will: the request could not be sent.
    Never,
}

impl Outbound {
    /// `is_retired` is the connection's mark, and counts its exchanges.
    pub(super) fn new(
        sender: SendRequest<Bytes>,
        scheme: Scheme,
        is_retired: Arc<AtomicBool>,
    ) -> Self {
        Self {
            sender,
            scheme,
            request: None,
            response: Coming::Nothing,
            method: Method::default(),
            is_unseen: true,
            is_lost: false,
            is_retired,
        }
    }

    /// Whether no program of the upstream's can have acted on the request.
    pub(crate) fn is_unseen(&self) -> bool {
        self.is_unseen
    }

    /// Whether the whole connection ended, and not this exchange alone.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Has later requests take another connection: this one may lead nowhere.
    pub(crate) fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
    }

    /// Reads the response: its head, then its body.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        loop {
            match &mut self.response {
                Coming::Nothing => return Poll::Pending,
                Coming::Head(head) => {
                    if let Poll::Ready(Some(Ok(interim))) = head.poll_informational(cx) {
                        let (parts, ()) = interim.into_parts();
                        // HTTP/2 switches no protocols (RFC 9113 section 8.6).
                        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
                            return Poll::Ready(Err(invalid("status 101 in HTTP/2")));
                        }
                        return Poll::Ready(put_head(buffer, &parts, false));
                    }
                    let response = match ready!(Pin::new(head).poll(cx)) {
                        Ok(response) => response,
                        Err(error) => return Poll::Ready(Err(self.failed(error))),
                    };
                    let (parts, body) = response.into_parts();
                    let chunked = is_unbounded(&parts, self.method);
                    let count = put_head(buffer, &parts, chunked)?;
                    self.response = if chunked || !body.is_end_stream() {
                        Coming::Body(Receiving::new(body, chunked))
                    } else {
                        Coming::End
                    };
                    return Poll::Ready(Ok(count));
                }
                Coming::Body(body) => {
                    let count = ready!(body.poll_fill(cx, buffer))?;
                    if body.is_done() {
                        self.response = Coming::End;
                    }
                    if count > 0 {
                        return Poll::Ready(Ok(count));
                    }
                }
                Coming::End => return Poll::Ready(Ok(0)),
                Coming::Never => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            }
        }
    }

    /// Takes the bytes of a request: the head whole, then the body.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(request) = &mut self.request {
            return request.poll_write(cx, bytes);
        }
        let begun = match ready!(self.sender.poll_ready(cx)) {
            Ok(()) => self.begin(bytes),
            Err(error) => Err(self.failed(error)),
        };
        // Whoever waits for a response need not wait until the time is over.
        begun.inspect_err(|_| self.response = Coming::Never).into()
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.request {
            Some(request) => request.poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Sends the head at the start of `bytes`; how many of them it took.
    fn begin(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut head = RequestHead::new();
        let limits = own_limits();
        let taken = head
            .parse(bytes, &limits)
            .map_err(invalid)?
            .ok_or_else(|| invalid("a request's head is written as one piece"))?;
        self.method = head.method_kind();
        let message = to_message(&head, self.scheme.clone())?;
        let ends = matches!(head.body(), RequestBody::None | RequestBody::Length(0));
        let (response, stream) = match self.sender.send_request(message, ends) {
            Ok(sent) => sent,
            Err(error) => return Err(self.failed(error)),
        };
        self.is_unseen = false;
        self.response = Coming::Head(response);
        self.request = Some(if ends {
            Sending::ended(stream)
        } else {
            Sending::new(stream, head.body(), &limits)
        });
        Ok(taken)
    }

    fn failed(&mut self, error: h2::Error) -> io::Error {
        if !error.is_reset() {
            self.is_lost = true;
            self.retire();
        }
        // Only requests above the last one that it took are told of a GOAWAY (RFC 9113 section 6.8).
        self.is_unseen |= error.is_remote()
            && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM));
        broken(error)
    }
}

/// The head without what belongs to HTTP/1.1 alone.
fn to_message(head: &RequestHead, scheme: Scheme) -> io::Result<Request<()>> {
    let mut message = Request::new(());
    *message.method_mut() = http::Method::from_bytes(head.method()).map_err(invalid)?;
    let mut uri = Uri::builder().scheme(scheme);
    if let Some(host) = head.host() {
        uri = uri.authority(host);
    }
    *message.uri_mut() = uri
        .path_and_query(head.path_and_query())
        .build()
        .map_err(invalid)?;
    let fields = message.headers_mut();
    let kept = head.fields().iter();
    let kept = kept.filter(|field| !field.hop && field.known != Known::Host);
    append(
        kept.map(|field| (head.name(field), head.value(field))),
        fields,
    )?;
    // The gateway takes them whoever asked; gRPC servers insist on being told.
    fields.insert(http::header::TE, HeaderValue::from_static("trailers"));
    Ok(message)
}

/// Whether the end of the body is only known when it comes.
fn is_unbounded(parts: &http::response::Parts, method: Method) -> bool {
    let is_bodiless = method == Method::Head || matches!(parts.status.as_u16(), 204 | 304);
    // A call's status comes in its trailers, for which a body of known length has no room.
    let is_grpc = || {
        let kind = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        kind.is_some_and(|kind| kind.starts_with(grpc::CONTENT_TYPE.as_bytes()))
    };
    !is_bodiless && (!parts.headers.contains_key(CONTENT_LENGTH) || is_grpc())
}

/// Writes the head as text; how many bytes it took. The parser has the last word on it.
fn put_head(
    buffer: &mut Buffer,
    parts: &http::response::Parts,
    chunked: bool,
) -> io::Result<usize> {
    let mut text = Vec::with_capacity(512);
    let status = parts.status.as_u16();
    http1::write_status_line(&mut text, status, http1::reason_phrase(status).as_bytes())
        .map_err(invalid)?;
    for (name, value) in &parts.headers {
        if !(chunked && name == CONTENT_LENGTH) {
            http1::write_field(&mut text, name.as_str().as_bytes(), value.as_bytes())
                .map_err(invalid)?;
        }
    }
    if chunked {
        http1::write_chunked(&mut text);
    }
    // The exchange ends with its message; what is used again is the connection below it.
    text.extend_from_slice(b"connection: close\r\n");
    http1::end_head(&mut text);
    buffer.push(&text);
    Ok(text.len())
}
