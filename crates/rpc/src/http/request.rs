//! What a route is given of its request.

use std::borrow::Cow;
use std::sync::Arc;

use bastide_telemetry::ids::RequestId;
use http::request::Parts;
use http::{HeaderMap, Method as Verb};
use serde::de::DeserializeOwned;

use super::HttpOptions;
use super::body::RawBody;
use super::head::{Head, expect_json, is_json, percent_decoded};
use crate::input;
use crate::problem::Problem;

/// A request to a route, as it came but for its credentials.
#[derive(Debug)]
pub struct RawRequest {
    /// Its head.
    pub head: RawHead,
    /// Its body, of which nothing is read yet.
    pub body: RawBody,
}

/// The head of a request to a route. It has no credentials: who the caller is stands in the context, and nowhere else.
#[derive(Debug)]
pub struct RawHead {
    verb: Verb,
    path: String,
    query: String,
    members: Vec<(String, String)>,
    fields: HeaderMap,
    name: Option<Arc<str>>,
    id: RequestId,
}

impl RawRequest {
    /// The body, which must call itself JSON, read as `T`; at most [`HttpOptions::max_body`](crate::HttpOptions::max_body)
    /// bytes. What is wrong is named member by member.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Problem> {
        let is_json = is_json(&self.head.fields);
        let body = self.body.whole().await?;
        expect_json(&body, is_json)?;
        input::read(&body)
    }
}

impl RawHead {
    pub(super) fn read(
        parts: &Parts,
        params: &matchit::Params<'_, '_>,
        head: &Head,
        options: &HttpOptions,
    ) -> Result<Self, Problem> {
        let undecodable = || {
            Problem::new(
                400,
                "malformed_path",
                "the path is not UTF-8 once its escapes are decoded",
            )
        };
        let mut members = Vec::with_capacity(params.len());
        for (name, text) in params.iter() {
            let text = percent_decoded(text).ok_or_else(undecodable)?;
            members.push((name.to_owned(), text));
        }
        let mut fields = parts.headers.clone();
        options.credentials.remove_from(&mut fields);
        Ok(Self {
            verb: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            members,
            fields,
            name: head.name.clone(),
            id: head.request_id,
        })
    }

    /// The HTTP method; `HEAD` also where the route is for `GET`.
    pub fn method(&self) -> &Verb {
        &self.verb
    }

    /// The path as it came, with its escapes.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A member of the path: of `/uploads/{name}` the member `name`, its escapes decoded. It may have any character, a slash
    /// among them. `None` if the route's path has no such member.
    pub fn member(&self, name: &str) -> Option<&str> {
        let mut members = self.members.iter();
        members
            .find(|(known, _)| known == name)
            .map(|(_, text)| text.as_str())
    }

    /// The query as it came, without its question mark.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// The names and values in the query, decoded, in their order.
    pub fn query_members(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        form_urlencoded::parse(self.query.as_bytes())
    }

    /// How this request is called in its answer: its id, or what [`HttpOptions::request_name`] makes of it.
    pub fn request_name(&self) -> Cow<'_, str> {
        match &self.name {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(self.id.to_string()),
        }
    }

    /// The header fields, without `Authorization`, `Proxy-Authorization` and the one of service keys.
    pub fn fields(&self) -> &HeaderMap {
        &self.fields
    }
}
