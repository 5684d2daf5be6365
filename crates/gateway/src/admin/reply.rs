//! Successful responses.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use super::call::Call;
use super::entity_tag;
use crate::model::read::Object;

/// What a handler answers.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    body: Option<Body>,
    version: Option<i64>,
    location: Option<String>,
}

#[derive(Debug)]
enum Body {
    Json(Value),
    /// The text of it.
    Written(String),
}

impl Reply {
    /// `{data}` of one object, with its entity tag.
    pub(super) fn object<O: Object>(object: &O) -> Self {
        Self::data(object.public()).tagged(object.stamp().version)
    }

    /// `{data}`.
    pub(super) fn data(data: Value) -> Self {
        Self::body(Value::Object(
            [("data".to_owned(), data)].into_iter().collect(),
        ))
    }

    /// Any body.
    pub(super) fn body(body: Value) -> Self {
        Self {
            status: StatusCode::OK,
            body: Some(Body::Json(body)),
            version: None,
            location: None,
        }
    }

    /// 204.
    pub(super) fn nothing() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            body: None,
            version: None,
            location: None,
        }
    }

    /// The same with the entity tag of a version.
    pub(super) fn tagged(mut self, version: i64) -> Self {
        self.version = Some(version);
        self
    }

    /// 201, and where the new object is found.
    pub(super) fn created(mut self, location: String) -> Self {
        self.status = StatusCode::CREATED;
        self.location = Some(location);
        self
    }

    /// The same with the key that is shown this once.
    pub(super) fn with_api_key(mut self, key: &str) -> Self {
        if let Some(Body::Json(body)) = &mut self.body {
            body["apiKey"] = Value::String(key.to_owned());
        }
        self
    }

    /// The same with its body as text: for a long one, where it is made.
    pub(super) fn written(mut self) -> Self {
        if let Some(Body::Json(body)) = &self.body {
            self.body = Some(Body::Written(body.to_string()));
        }
        self
    }

    /// 304 in place of what the client has already.
    pub(super) fn unless_known(mut self, call: &Call) -> Self {
        if self
            .version
            .is_some_and(|version| entity_tag::is_known(&call.headers, version))
        {
            self.status = StatusCode::NOT_MODIFIED;
            self.body = None;
        }
        self
    }

    pub(super) fn into_response(self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(tag) = self
            .version
            .and_then(|version| HeaderValue::try_from(entity_tag::of(version)).ok())
        {
            headers.insert(header::ETAG, tag);
        }
        if let Some(location) = self
            .location
            .and_then(|location| HeaderValue::try_from(location).ok())
        {
            headers.insert(header::LOCATION, location);
        }
        if let Some(body) = self.body {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
            *response.body_mut() = Bytes::from(match body {
                Body::Json(body) => body.to_string(),
                Body::Written(text) => text,
            });
        }
        response
    }
}
