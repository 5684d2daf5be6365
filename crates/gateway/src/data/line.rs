//! The whole line that a request passes, in order. Each station is a file of its own.
//!
//! framing ([`super::client`]) -> path and host -> the gateway's own endpoints -> maintenance -> identity -> the tenant's
//! limits and maintenance -> route -> its maintenance and limits -> endpoint, transform, forward, retry or fallback
//! ([`super::forward`]) -> respond -> count, access log.

use bastide_http1::{BodyDecoder, Method, RequestHead, Step, Upgrade};
use bastide_limit::clock;
use bastide_routing::{CanonicalPath, canonical, canonical_host};
use tokio::time::Instant;

use super::call::{Call, RequestId};
use super::client::Client;
use super::connection::{After, Scratch};
use super::identity::Caller;
use super::phase::Phase;
use super::refusal::Refusal;
use super::worker::Worker;
use super::{
    WRITE_TIMEOUT, forward, handshake, identity, limits, own, request_head, response_head, routes,
};
use crate::front::Front;
use crate::snapshot::{RouteEntry, Snapshot};

/// What a request led to, for the books.
pub(crate) struct Served<'s> {
    pub(crate) status: u16,
    pub(crate) after: After,
    pub(crate) route: Option<&'s RouteEntry>,
    /// When the response was out, if somebody looked at the clock then.
    pub(crate) finished: Option<Instant>,
    /// Why the gateway answered itself, if it did.
    pub(crate) refusal: Option<&'static str>,
}

/// A refusal on its way to the client.
struct Refused<'s> {
    refusal: Refusal,
    /// What it concerns, once that is known.
    route: Option<&'s RouteEntry>,
    /// How far the request's body was read, if it was begun.
    body: Option<BodyDecoder>,
}

impl From<Refusal> for Refused<'_> {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            route: None,
            body: None,
        }
    }
}

/// Takes one request through all stations.
pub(crate) async fn serve(
    worker: &Worker,
    client: &mut Client,
    head: &RequestHead,
    scratch: &mut Scratch,
) -> After {
    let _in_flight = worker.metrics.begin();
    let snapshot = worker.snapshot();
    let Scratch {
        target,
        host,
        forwarding,
    } = scratch;
    let mut call = new_call(worker, client, head, CanonicalPath::ROOT);
    let result = match read_target(&mut call, target, host) {
        Ok(()) => pass(worker, &snapshot, client, &mut call, forwarding).await,
        Err(refusal) => Err(refusal.into()),
    };
    let served = match result {
        Ok(served) => served,
        Err(Refused {
            refusal,
            route,
            body,
        }) => {
            let after = refuse(worker, client, &call, &refusal, body).await;
            Served {
                status: refusal.status(),
                after,
                route,
                finished: None,
                refusal: Some(refusal.code()),
            }
        }
    };
    count(worker, client, &call, &served);
    served.after
}

/// Enters a finished request in the books and in the access log.
fn count(worker: &Worker, client: &mut Client, call: &Call<'_>, served: &Served<'_>) {
    let finished = served.finished.unwrap_or_else(Instant::now);
    let traffic = client.take_traffic();
    worker.metrics.count(call, served, traffic, finished);
    if let Some(log) = &worker.access_log {
        let origin = call.client(&worker.shared.trusted);
        log.write(call, served, traffic, finished, origin);
    }
    client.last = Some(finished);
}

/// Brings path and host into the form in which everybody behind here sees them.
fn read_target<'a>(
    call: &mut Call<'a>,
    target: &'a mut String,
    host: &'a mut String,
) -> Result<(), Refusal> {
    // Their targets need not be paths at all.
    if matches!(call.head.method_kind(), Method::Connect | Method::Trace) {
        return Err(Refusal::MethodNotProxied);
    }
    if !own::is_about_server(call.head) {
        call.target =
            canonical(call.head.path_and_query(), target).map_err(Refusal::AmbiguousTarget)?;
    }
    let named = call.head.host().unwrap_or_default();
    call.host = canonical_host(named, host).map_err(Refusal::AmbiguousTarget)?;
    Ok(())
}

async fn pass<'s>(
    worker: &Worker,
    snapshot: &'s Snapshot,
    client: &mut Client,
    call: &mut Call<'s>,
    scratch: &mut forward::Scratch,
) -> Result<Served<'s>, Refused<'s>> {
    match call.head.upgrade() {
        Upgrade::None => {}
        Upgrade::Other => return Err(Refusal::UpgradeNotProxied.into()),
        // RFC 9110 section 7.8 would have it ignored, but who asks for a WebSocket waits for one and gets the effects of a
        // POST instead; RFC 6455 sections 4.1 and 4.2.1 want GET, and an error for all else. Forwarded, it would open a tunnel
        // wherever an upstream is less exact.
        Upgrade::WebSocket if call.head.method_kind() != Method::Get => {
            return Err(Refusal::WebSocketMethod.into());
        }
        Upgrade::WebSocket if !handshake::is_whole(call.head) => {
            return Err(Refusal::WebSocketHandshake.into());
        }
        Upgrade::WebSocket => {}
    }
    if request_head::is_looping(call.head) {
        return Err(Refusal::Loop.into());
    }
    if own::is_about_server(call.head) {
        return Ok(own::describe_server(worker, client, call).await);
    }
    if Front::serves(call.target.path(), worker.shared.one_listener) {
        return own::serve(worker, client, call)
            .await
            .map_err(Refused::from);
    }
    let shared = &worker.shared;
    let switches = shared
        .maintenance
        .is_any()
        .then(|| shared.maintenance.switches());
    let maintenance = || Refusal::Maintenance {
        page: shared.maintenance_page.clone(),
    };
    if switches.as_ref().is_some_and(|switches| switches.platform) {
        return Err(maintenance().into());
    }
    let open = match identity::check(worker, snapshot, client, call).await? {
        Caller::Tenant => None,
        Caller::Anyone(chosen) => Some(chosen),
        Caller::Left => {
            return Ok(Served {
                status: 499,
                after: After::Cut,
                route: None,
                finished: None,
                refusal: None,
            });
        }
    };
    limits::admit_caller(call).await?;
    // After the limits, as a route's: whoever is known is told of its limit, and held to it.
    if let (Some(switches), Some(identity)) = (&switches, &call.identity)
        && switches.tenants.contains(&identity.tenant.id)
    {
        return Err(maintenance().into());
    }
    let chosen = match open {
        Some(chosen) => chosen,
        None => routes::find(worker, snapshot, call)?,
    };
    let late = |refusal| Refused {
        refusal,
        route: Some(chosen.route),
        body: None,
    };
    if switches.is_some_and(|switches| switches.routes.contains(&chosen.route.id)) {
        return Err(late(maintenance()));
    }
    limits::admit_route(worker, call, chosen.route)
        .await
        .map_err(late)?;
    forward::forward(worker, client, call, chosen, scratch)
        .await
        .map_err(|(refusal, body)| Refused {
            body: Some(body),
            ..late(refusal)
        })
}

fn new_call<'a>(
    worker: &Worker,
    client: &Client,
    head: &'a RequestHead,
    target: CanonicalPath<'a>,
) -> Call<'a> {
    let arrived = Instant::now();
    let ticks = clock::at(arrived.into_std());
    Call {
        head,
        target,
        host: "",
        peer: client.peer.clone(),
        secure: client.secure,
        arrived,
        free: arrived,
        ticks,
        unix_now: worker.shared.clock.unix_seconds(ticks),
        request_id: RequestId::of(head, || worker.random()),
        identity: None,
        rate: None,
        endpoint: None,
        attempts: 0,
    }
}

/// Answers a request that was refused.
async fn refuse(
    worker: &Worker,
    client: &mut Client,
    call: &Call<'_>,
    refusal: &Refusal,
    body: Option<BodyDecoder>,
) -> After {
    let body = body.unwrap_or_else(|| BodyDecoder::new(call.head.body(), &worker.shared.limits));
    let keep = !refusal.must_close()
        && call.head.keep_alive()
        && worker.phase() == Phase::Running
        && discard_body(client, body);
    let date = worker.shared.clock.date();
    response_head::write_refusal(&mut client.out.bytes, call, refusal, date.as_bytes(), keep);
    finish(client, keep).await
}

/// Answers bytes that are no request.
pub(crate) async fn refuse_unread(
    worker: &Worker,
    client: &mut Client,
    refusal: &Refusal,
) -> After {
    let nothing = RequestHead::new();
    let call = new_call(worker, client, &nothing, CanonicalPath::ROOT);
    let date = worker.shared.clock.date();
    response_head::write_refusal(
        &mut client.out.bytes,
        &call,
        refusal,
        date.as_bytes(),
        false,
    );
    let after = finish(client, false).await;
    let served = Served {
        status: refusal.status(),
        after,
        route: None,
        finished: None,
        refusal: Some(refusal.code()),
    };
    count(worker, client, &call, &served);
    after
}

/// Throws away what is left of a refused request's body if all of it is in the buffer already; to wait for more is not
/// worth it.
pub(super) fn discard_body(client: &mut Client, mut rest: BodyDecoder) -> bool {
    loop {
        match rest.decode(client.input.data()) {
            Ok(Step::Data { consumed, .. }) => client.input.consume(consumed),
            Ok(Step::Done { consumed }) => {
                client.input.consume(consumed);
                return true;
            }
            Ok(Step::More { .. }) | Err(_) => return false,
        }
    }
}

/// Writes out a response that is whole in the client's buffer.
pub(crate) async fn finish(client: &mut Client, keep: bool) -> After {
    client.deadline.set_after(Instant::now(), WRITE_TIMEOUT);
    match client.flush().await {
        Ok(()) if keep => After::KeepAlive,
        Ok(()) => After::Close,
        Err(_) => After::Cut,
    }
}
