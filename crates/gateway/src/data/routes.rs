//! Station: which route.

use bastide_routing::{Method, RequestLine};

use super::call::Call;
use super::refusal::Refusal;
use super::worker::Worker;
use crate::model::Auth;
use crate::snapshot::{Found, RouteEntry, Snapshot};

/// A route, and how much of the path its prefix matched.
#[derive(Clone, Copy)]
pub(crate) struct Chosen<'s> {
    pub(crate) route: &'s RouteEntry,
    pub(crate) prefix_len: usize,
}

/// The route for a caller with an identity: the tenant's own routes come before the platform's.
pub(crate) fn find<'s>(
    worker: &Worker,
    snapshot: &'s Snapshot,
    call: &Call<'s>,
) -> Result<Chosen<'s>, Refusal> {
    let tenant = call.identity.map(|identity| &**identity.tenant);
    match snapshot.lookup(tenant, &line(call), &mut worker.lookup.borrow_mut()) {
        Found::Route(route, prefix_len) => Ok(Chosen { route, prefix_len }),
        Found::OtherMethods(allow) => Err(Refusal::WrongMethod {
            allow: allow.to_string(),
        }),
        Found::Nothing => Err(Refusal::NoRoute),
    }
}

/// The platform's route for a caller without a key, if it asks for none.
pub(crate) fn find_open<'s>(
    worker: &Worker,
    snapshot: &'s Snapshot,
    call: &Call<'_>,
) -> Option<Chosen<'s>> {
    match snapshot.lookup(None, &line(call), &mut worker.lookup.borrow_mut()) {
        Found::Route(route, prefix_len) if route.spec.auth == Auth::None => {
            Some(Chosen { route, prefix_len })
        }
        _ => None,
    }
}

fn line<'a>(call: &Call<'a>) -> RequestLine<'a> {
    RequestLine {
        host: call.host,
        method: Method::from_bytes(call.head.method()),
        path: call.target,
    }
}
