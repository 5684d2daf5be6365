//! Station: how often. The tenant's and the key's limits are taken together, the route's once the route is known.

use bastide_limit::{Limit, Outcome, Quota};
use tokio::time::Instant;

use super::call::Call;
use super::refusal::Refusal;
use super::worker::Worker;
use crate::network;
use crate::snapshot::RouteEntry;

/// Takes one from the limits of tenant and key.
pub(crate) async fn admit_caller(call: &mut Call<'_>) -> Result<(), Refusal> {
    let Some(identity) = call.identity else {
        return Ok(());
    };
    let tenant = &identity.tenant.limit;
    let outcome = match &identity.key.limit {
        None => take(call, &[tenant]).await,
        Some(key) => take(call, &[tenant, key]).await,
    };
    note(call, outcome)
}

/// Takes one from the route's limit for this tenant, or, without one, for this client. A request that is refused here gives back what it took before.
pub(crate) async fn admit_route(
    worker: &Worker,
    call: &mut Call<'_>,
    route: &RouteEntry,
) -> Result<(), Refusal> {
    let Some(limits) = &route.limits else {
        return Ok(());
    };
    let shared = &worker.shared;
    let limit = match call.identity {
        Some(identity) => limits.for_tenant(&shared.limiter, identity.tenant.id),
        None => limits.for_client(&shared.limiter, network::of(call.client(&shared.trusted))),
    };
    let outcome = take(call, &[&limit]).await;
    let result = note(call, outcome);
    if let (Err(_), Some(identity)) = (&result, call.identity) {
        let now = call.ticks;
        identity.tenant.limit.refund(now);
        if let Some(key) = &identity.key.limit {
            key.refund(now);
        }
    }
    result
}

async fn take(call: &mut Call<'_>, limits: &[&Limit]) -> Outcome {
    let outcome = match bastide_limit::try_acquire_all(limits, call.ticks) {
        Some(Outcome::Pending) => {
            let outcome = bastide_limit::acquire_all(limits, call.ticks).await;
            call.free = Instant::now();
            outcome
        }
        decided => decided,
    };
    outcome.expect("there is at least one limit")
}

/// Remembers the quota nearest to exhaustion for the response.
fn note(call: &mut Call<'_>, outcome: Outcome) -> Result<(), Refusal> {
    let keep =
        |known: Option<Quota>, new: Quota| Some(known.map_or(new, |known| known.tighter(new)));
    match outcome {
        Outcome::Admitted(quota) => {
            call.rate = keep(call.rate, quota);
            Ok(())
        }
        Outcome::Refused(quota) => {
            call.rate = Some(quota);
            Err(Refusal::OverLimit {
                retry_after: std::time::Duration::from_micros(quota.retry_after),
            })
        }
        Outcome::Pending => unreachable!("waiting ends with a decision"),
    }
}
