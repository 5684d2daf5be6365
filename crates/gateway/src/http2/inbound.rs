//! A client's request over HTTP/2, as the connection that its body is read from and its response is written to.

use std::io;
use std::task::{Context, Poll, ready};

use bastide_http1::{Limits, Method, RequestError, RequestHead, ResponseBody, ResponseHead};
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::request::Parts;
use http::{Response, StatusCode};

use super::body::{Receiving, Sending};
use super::{append, broken, invalid, own_limits};
use crate::data::buffer::Buffer;

/// What ends a body of chunks that has none.
const EMPTY_CHUNKS: &[u8] = b"0\r\n\r\n";

pub(crate) struct Inbound {
    respond: SendResponse<Bytes>,
    request: Receiving,
    /// The response, once its head is out.
    response: Option<Sending>,
    method: Method,
}

/// Reads the parts of a request into a head.
pub(super) fn read_head(
    head: &mut RequestHead,
    parts: &Parts,
    has_body: bool,
    limits: &Limits,
) -> Result<(), RequestError> {
    let uri = &parts.uri;
    // The framing has checked that there is one, and lets go of it where no authority stands beside it but a `host` field
    // (RFC 9113 section 8.3.1).
    let scheme = uri.scheme_str().unwrap_or("http");
    head.begin(
        parts.method.as_str().as_bytes(),
        scheme.as_bytes(),
        uri.authority()
            .map(|authority| authority.as_str().as_bytes()),
        uri.path_and_query()
            .map_or("", http::uri::PathAndQuery::as_str)
            .as_bytes(),
        limits,
    )?;
    for (name, value) in &parts.headers {
        head.push(name.as_str().as_bytes(), value.as_bytes())?;
    }
    head.finish(has_body)
}

impl Inbound {
    pub(super) fn new(respond: SendResponse<Bytes>, body: RecvStream, head: &RequestHead) -> Self {
        let chunked = head.body() == bastide_http1::RequestBody::Chunked;
        Self {
            respond,
            request: Receiving::new(body, chunked),
            response: None,
            method: head.method_kind(),
        }
    }

    /// Reads on in the request's body. After its end nothing comes any more but that the client leaves.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        if !self.request.is_done() {
            let count = ready!(self.request.poll_fill(cx, buffer))?;
            if count > 0 {
                return Poll::Ready(Ok(count));
            }
        }
        let gone = match &mut self.response {
            Some(response) => ready!(response.poll_reset(cx)),
            None => match ready!(self.respond.poll_reset(cx)) {
                Ok(reason) => broken(reason.into()),
                Err(error) => broken(error),
            },
        };
        Poll::Ready(Err(gone))
    }

    /// Takes the bytes of a response: the head whole, then the body.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.response {
            // It ended with its head, also where that answers what could not be read to the end, body and all.
            Some(_) if self.method == Method::Head => Poll::Ready(Ok(bytes.len())),
            Some(response) => response.poll_write(cx, bytes),
            None => Poll::Ready(self.begin(bytes)),
        }
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.response {
            Some(response) => response.poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Tells the client that what it got is not whole.
    pub(crate) fn reset(&mut self) {
        match &mut self.response {
            Some(response) => response.reset(),
            None => self.respond.send_reset(h2::Reason::INTERNAL_ERROR),
        }
    }

    /// Sends the head at the start of `bytes`; how many of them it took.
    fn begin(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut head = ResponseHead::new();
        let limits = own_limits();
        let mut taken = head
            .parse(bytes, &limits, self.method)
            .map_err(invalid)?
            .ok_or_else(|| invalid("a response's head is written as one piece"))?;
        let message = to_message(&head)?;
        if head.is_informational() {
            self.respond.send_informational(message).map_err(broken)?;
            return Ok(taken);
        }
        let mut ends = matches!(head.body(), ResponseBody::None | ResponseBody::Length(0));
        // Trailers alone, as gRPC answers a call that failed: nothing may follow the head, not even an empty frame.
        if head.body() == ResponseBody::Chunked && bytes[taken..].starts_with(EMPTY_CHUNKS) {
            taken += EMPTY_CHUNKS.len();
            ends = true;
        }
        let stream = self.respond.send_response(message, ends).map_err(broken)?;
        self.response = Some(if ends {
            Sending::ended(stream)
        } else {
            Sending::new(stream, head.body(), &limits)
        });
        Ok(taken)
    }
}

/// The head without what belongs to HTTP/1.1 alone.
fn to_message(head: &ResponseHead) -> io::Result<Response<()>> {
    let mut message = Response::new(());
    *message.status_mut() = StatusCode::from_u16(head.status()).map_err(invalid)?;
    let kept = head.fields().iter().filter(|field| !field.hop);
    let fields = kept.map(|field| (head.name(field), head.value(field)));
    append(fields, message.headers_mut())?;
    Ok(message)
}
