//! One request of the Admin API, with what its handlers ask of it.

use bastide_config::document::{Document, DocumentError, Format};
use bastide_rpc::{Problem, RawHead, RawRequest};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::problem::Code;
use crate::declare::Author;
use crate::model::read::in_microseconds;

/// The longest body of a request about one object.
pub(super) const MAX_BODY: usize = 1 << 20;
/// The longest body of a whole configuration.
pub(super) const MAX_DOCUMENT: usize = 32 << 20;

/// A request after its endpoint is known.
#[derive(Clone)]
pub(super) struct Call {
    /// The ids in the path, from left to right.
    pub(super) ids: Vec<Uuid>,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) request_id: String,
    pub(super) now: Timestamp,
}

impl Call {
    /// Takes over a request, of whose body no more is read than one piece past the limit.
    pub(super) async fn read(request: RawRequest, limit: usize) -> Result<Self, Problem> {
        let RawRequest { head, body } = request;
        let ids = ids(&head)?;
        let (mut pieces, mut body) = (body.stream(), BytesMut::new());
        // What is too long is refused by whoever has use for a body, and read first: a client that is still sending would not
        // see an answer that came before.
        while body.len() <= limit
            && let Some(piece) = pieces.next().await
        {
            body.extend_from_slice(&piece?);
        }
        Ok(Self {
            ids,
            query: head.query().to_owned(),
            headers: head.fields().clone(),
            body: body.freeze(),
            request_id: head.request_name().into_owned(),
            now: in_microseconds(Timestamp::now()),
        })
    }

    /// The only id, or the first.
    pub(super) fn id(&self) -> Uuid {
        self.ids.first().copied().unwrap_or_default()
    }

    /// The second id.
    pub(super) fn inner_id(&self) -> Uuid {
        self.ids.get(1).copied().unwrap_or_default()
    }

    pub(super) fn author(&self) -> Author {
        Author {
            actor: "admin",
            request_id: Some(self.request_id.clone()),
            now: self.now,
        }
    }

    /// The query's parameters, if all of them are `known` and none stands twice.
    pub(super) fn parameters(&self, known: &[&str]) -> Result<Parameters, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(self.query.as_bytes()) {
            if !known.contains(&name.as_ref()) {
                let message = match known {
                    [] => "this endpoint has no parameters".to_owned(),
                    _ => format!(
                        "there is no such parameter here; there are {}",
                        known.join(", ")
                    ),
                };
                return Err(Code::InvalidParameter.at(&name, message));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(Code::InvalidParameter.at(&name, "stands twice; give it once"));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Parameters { pairs })
    }

    /// The body as JSON. A body without a content type counts as JSON.
    pub(super) fn json(&self) -> Result<Value, Problem> {
        match self.format()? {
            None | Some(Format::Json) => Ok(self.parse(Format::Json, MAX_BODY)?.value().clone()),
            Some(_) => Err(unsupported("application/json")),
        }
    }

    /// As [`Call::json`], where no body at all means an empty object.
    pub(super) fn json_or_empty(&self) -> Result<Value, Problem> {
        if self.body.is_empty() {
            Ok(Value::Object(serde_json::Map::new()))
        } else {
            self.json()
        }
    }

    /// The body as a document of any format.
    pub(super) fn document(&self) -> Result<Document, Problem> {
        self.parse(self.format()?.unwrap_or(Format::Json), MAX_DOCUMENT)
    }

    fn parse(&self, format: Format, limit: usize) -> Result<Document, Problem> {
        if self.body.len() > limit {
            let detail = format!(
                "the body has {} bytes; at most {limit} are read",
                self.body.len()
            );
            return Err(Code::BodyTooLarge.problem(detail));
        }
        let malformed = |detail: String| Code::MalformedBody.problem(detail);
        let text = std::str::from_utf8(&self.body).map_err(|error| {
            malformed(format!(
                "the body is not UTF-8 text from byte {} on",
                error.valid_up_to()
            ))
        })?;
        Document::parse("body", format, text).map_err(|error| match error {
            DocumentError::Syntax { at, message, .. } => malformed(format!(
                "the body cannot be read, line {} column {}: {message}",
                at.line, at.column
            )),
            other => malformed(other.to_string()),
        })
    }

    /// The format that the content type names, `None` without one.
    fn format(&self) -> Result<Option<Format>, Problem> {
        let Some(value) = self.headers.get(header::CONTENT_TYPE) else {
            return Ok(None);
        };
        let essence = value
            .to_str()
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" | "text/json" => Ok(Some(Format::Json)),
            "application/toml" | "text/toml" | "text/x-toml" => Ok(Some(Format::Toml)),
            "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => {
                Ok(Some(Format::Yaml))
            }
            other if other.ends_with("+json") => Ok(Some(Format::Json)),
            other if other.ends_with("+yaml") => Ok(Some(Format::Yaml)),
            _ => Err(unsupported("application/json")),
        }
    }
}

/// The ids in the path. What is no UUID names nothing.
fn ids(head: &RawHead) -> Result<Vec<Uuid>, Problem> {
    let texts = ["id", "keyId"]
        .into_iter()
        .map_while(|name| head.member(name));
    let ids = texts.map(|text| text.parse().ok().filter(|_| text.len() == 36));
    ids.collect::<Option<_>>().ok_or_else(|| {
        Code::NotFound.problem("there is no such path in the Admin API; ids are UUIDs")
    })
}

fn unsupported(expected: &'static str) -> Problem {
    let detail = format!("send the body as {expected} (Content-Type: {expected})");
    Code::UnsupportedMediaType
        .problem(detail)
        .field(header::ACCEPT, HeaderValue::from_static(expected))
}

/// The parameters of a query.
#[derive(Debug)]
pub(super) struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    /// The text of one parameter.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// One parameter, read by `convert`; `expected` says what it takes.
    pub(super) fn value<T>(
        &self,
        name: &str,
        expected: &str,
        convert: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let invalid = || Code::InvalidParameter.at(name, format!("expected {expected}"));
        convert(text).map(Some).ok_or_else(invalid)
    }

    /// An id.
    pub(super) fn id(&self, name: &str) -> Result<Option<Uuid>, Problem> {
        self.value(name, "a UUID", |text| text.parse().ok())
    }
}
