//! Successful responses.

use bastide_rpc::{EntityTag, RawResponse};
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;

use super::call::Call;
use crate::model::read::Object;

/// What a handler answers.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    body: Option<Body>,
    tag: Option<EntityTag>,
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
            tag: None,
            location: None,
        }
    }

    /// 204.
    pub(super) fn nothing() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            body: None,
            tag: None,
            location: None,
        }
    }

    /// The same with the entity tag of a version.
    pub(super) fn tagged(mut self, version: i64) -> Self {
        self.tag = Some(EntityTag::of_version(version));
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
            .tag
            .as_ref()
            .is_some_and(|tag| tag.is_known(&call.headers))
        {
            self.status = StatusCode::NOT_MODIFIED;
            self.body = None;
        }
        self
    }

    pub(super) fn into_response(self) -> RawResponse {
        let json = |text: String| RawResponse::whole("application/json", text);
        let mut response = match self.body {
            None => RawResponse::empty(),
            Some(Body::Json(body)) => json(body.to_string()),
            Some(Body::Written(text)) => json(text),
        }
        .status(self.status);
        if let Some(tag) = self.tag {
            response = response.field(header::ETAG, tag.to_value());
        }
        let location = self.location.map(HeaderValue::try_from);
        if let Some(Ok(location)) = location {
            response = response.field(header::LOCATION, location);
        }
        response
    }
}
