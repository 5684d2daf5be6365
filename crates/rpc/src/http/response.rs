//! What a route answers with.

use std::io;
use std::path::Path;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method as Verb, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use serde::Serialize;

use super::answer::{Body, Broken};
use super::content::Content;
use crate::problem::Problem;

/// The response of a route. The server adds its own fields: `X-Request-Id`, the limit's, `Date`, those of CORS and of framing; a
/// route's fields of these names are left out.
///
/// ```
/// use bastide_rpc::RawResponse;
/// use http::{HeaderValue, StatusCode, header};
/// let response = RawResponse::whole("text/csv", "id,name\n7,Ada\n")
///     .status(StatusCode::CREATED)
///     .field(header::CONTENT_LANGUAGE, HeaderValue::from_static("en"));
/// # drop(response);
/// ```
#[derive(Debug)]
pub struct RawResponse {
    status: StatusCode,
    fields: HeaderMap,
    payload: Payload,
}

#[derive(Debug)]
enum Payload {
    Body(Body),
    Content(Content),
}

impl RawResponse {
    /// Nothing but a status: 204.
    pub fn empty() -> Self {
        Self::new(StatusCode::NO_CONTENT, Body::Left(Full::default()))
    }

    /// These bytes, which are of this kind; 200.
    ///
    /// # Panics
    /// If the kind has characters that no header field may have.
    pub fn whole(kind: &'static str, bytes: impl Into<Bytes>) -> Self {
        let body = Body::Left(Full::new(bytes.into()));
        Self::new(StatusCode::OK, body).kind(kind)
    }

    /// This value as JSON; 200.
    ///
    /// # Errors
    /// [`Problem::internal`] if the value has no JSON form.
    pub fn json(value: &impl Serialize) -> Result<Self, Problem> {
        let json = serde_json::to_vec(value).map_err(|error| {
            tracing::error!(%error, "an answer has no JSON form");
            Problem::internal()
        })?;
        Ok(Self::whole("application/json", json))
    }

    /// These pieces as they come; 200. An error closes the connection, so that what was cut looks cut.
    ///
    /// # Panics
    /// As [`RawResponse::whole`].
    pub fn stream<E>(
        kind: &'static str,
        pieces: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        let frames = pieces.map(|piece| match piece {
            Ok(bytes) => Ok(Frame::data(bytes)),
            Err(error) => Err(Broken(error.into())),
        });
        let body = Body::Right(StreamBody::new(frames).boxed_unsync());
        Self::new(StatusCode::OK, body).kind(kind)
    }

    /// This content, or the parts of it that are asked for, or nothing where the client has it already: 200, 206, 304, 412 or
    /// 416. Unless a field says otherwise it is sent with `Cache-Control: private, no-cache`.
    pub fn content(content: Content) -> Self {
        Self {
            status: StatusCode::OK,
            fields: HeaderMap::new(),
            payload: Payload::Content(content),
        }
    }

    /// The file at this path, as [`Content::file`] has it.
    pub async fn file(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self::content(Content::file(path).await?))
    }

    /// With this status. What a content is answered with is its own affair.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With this header field; one more of a name does not take the others' place.
    pub fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.append(name, value);
        self
    }

    pub(crate) fn is_success(&self) -> bool {
        self.status.is_success()
    }

    pub(crate) fn status_code(&self) -> u16 {
        self.status.as_u16()
    }

    fn new(status: StatusCode, body: Body) -> Self {
        Self {
            status,
            fields: HeaderMap::new(),
            payload: Payload::Body(body),
        }
    }

    fn kind(mut self, kind: &'static str) -> Self {
        let kind = HeaderValue::from_static(kind);
        self.fields.insert(header::CONTENT_TYPE, kind);
        self
    }

    /// Puts it together, for this request.
    pub(super) fn into_response(self, verb: &Verb, asked: &HeaderMap) -> Response<Body> {
        let Self {
            status,
            mut fields,
            payload,
        } = self;
        leave_out_the_servers(&mut fields);
        let body = match payload {
            Payload::Body(body) => body,
            Payload::Content(content) => {
                let mut response = content.answer(verb, asked);
                response.headers_mut().extend(fields);
                return response;
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = fields;
        response
    }
}

/// What only the server can say: of two such fields a reader would take the one or the other.
pub(super) fn leave_out_the_servers(fields: &mut HeaderMap) {
    const NAMES: &[&str] = &[
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "ratelimit",
        "ratelimit-policy",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-request-id",
    ];
    const PREFIXES: &[&str] = &["access-control-", "x-ratelimit-"];
    let is_servers = |name: &HeaderName| {
        let name = name.as_str();
        NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let servers: Vec<HeaderName> = fields
        .keys()
        .filter(|name| is_servers(name))
        .cloned()
        .collect();
    for name in servers {
        fields.remove(name);
    }
}
