//! What a route answers when its upstreams cannot.

use super::call::Call;
use super::client::Client;
use super::last_good;
use super::line::{Served, finish};
use super::phase::Phase;
use super::refusal::Refusal;
use super::response_head::{Own, write_own};
use super::upload::Upload;
use super::worker::Worker;
use crate::model::Fallback;
use crate::snapshot::RouteEntry;

/// Answers with the last good response, where the route wants that and has one, or with its static response, and says in `Proxy-Status` what it stands in for.
pub(crate) async fn respond<'s>(
    worker: &Worker,
    client: &mut Client,
    call: &Call<'_>,
    route: &'s RouteEntry,
    fallback: &Fallback,
    instead_of: &Refusal,
    upload: &Upload,
) -> Served<'s> {
    let keep = call.head.keep_alive() && worker.phase() == Phase::Running && upload.is_drained();
    if last_good::write(&mut client.out.bytes, call, route, instead_of, keep) {
        return Served {
            status: 200,
            after: finish(client, keep).await,
            route: Some(route),
            finished: None,
            refusal: Some(instead_of.code()),
        };
    }
    let own = Own {
        status: fallback.status_code,
        content_type: Some(&fallback.content_type),
        body: fallback.body.as_bytes(),
        proxy_error: Some(instead_of.proxy_status()),
        fields: &[("X-Fallback", instead_of.code())],
    };
    let date = worker.shared.clock.date();
    write_own(&mut client.out.bytes, call, &own, date.as_bytes(), keep);
    let after = finish(client, keep).await;
    Served {
        status: fallback.status_code,
        after,
        route: Some(route),
        finished: None,
        refusal: Some(instead_of.code()),
    }
}
