//! Requests to routes.

use http::request::Parts;
use hyper::body::Body as IncomingBody;

use super::HttpEntry;
use super::answer::Answer;
use super::body::{Bounds, RawBody};
use super::head::Head;
use super::request::{RawHead, RawRequest};
use crate::route::RouteEntry;

/// Takes the request to its route, and what that gives to an answer.
pub(super) async fn answer<B>(
    http: &HttpEntry,
    entry: &RouteEntry,
    params: &matchit::Params<'_, '_>,
    parts: &Parts,
    head: &Head,
    body: B,
) -> Answer
where
    B: IncomingBody<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static,
{
    let deadline = http.dispatcher.deadline_of(entry, head.granted);
    let call = head.call(deadline);
    let bounds = Bounds {
        max: entry.route().max_body(),
        whole: http.options.max_body,
        patience: http.options.body_timeout,
    };
    let body = RawBody::new(body, bounds);
    let request = RawHead::read(parts, params, head, &http.options);
    let request = request.map(|head| RawRequest { head, body });
    let entering = http
        .dispatcher
        .enter(entry, request, &head.credentials, call, head.peer);
    let (result, quota) = entering.await;
    match result {
        Ok(response) => Answer::Own {
            response: response.into_response(&parts.method, &parts.headers),
            quota,
        },
        Err(problem) => Answer::Outcome {
            result: Err(problem),
            quota,
        },
    }
}
