//! Station: who asks. A key becomes a tenant here, by one hash and one look-up.

use bastide_http1::Known;
use tokio::time::Instant;

use super::Clock;
use super::call::{Call, Identity};
use super::client::Client;
use super::refusal::Refusal;
use super::routes::{self, Chosen};
use super::worker::Worker;
use crate::legacy_keys::Verdict;
use crate::network;
use crate::snapshot::{KeyEntry, Snapshot};

/// Who calls.
pub(crate) enum Caller<'s> {
    /// The tenant that `call.identity` holds.
    Tenant,
    /// Somebody without a valid key, on a route that asks for none.
    Anyone(Chosen<'s>),
    /// Nobody any more: the client left while its key was verified.
    Left,
}

/// Identifies the caller. Without a valid key only a route that asks for none can serve.
pub(crate) async fn check<'s>(
    worker: &Worker,
    snapshot: &'s Snapshot,
    client: &mut Client,
    call: &mut Call<'s>,
) -> Result<Caller<'s>, Refusal> {
    // Two keys could be two opinions on who is asking.
    let key = if call.head.is_repeated(Known::XApiKey) {
        None
    } else {
        call.head.find(Known::XApiKey)
    };
    let verdict = match key.filter(|key| !key.is_empty()) {
        None => Err(Refusal::KeyMissing),
        Some(key) => {
            let digest = client.last_key.digest(&worker.shared.keys, key);
            match find(worker, snapshot, client, call, key, digest).await {
                Some(entry) => entry.and_then(admit),
                None => return Ok(Caller::Left),
            }
        }
    };
    match verdict {
        Ok(identity) => {
            call.identity = Some(identity);
            Ok(Caller::Tenant)
        }
        Err(refusal) => match routes::find_open(worker, snapshot, call) {
            Some(chosen) => Ok(Caller::Anyone(chosen)),
            None => Err(refusal),
        },
    }
}

/// The key's entry. Nothing when the client left before it was found out whether there is one.
async fn find<'s>(
    worker: &Worker,
    snapshot: &'s Snapshot,
    client: &mut Client,
    call: &mut Call<'_>,
    key: &[u8],
    digest: [u8; 32],
) -> Option<Result<&'s KeyEntry, Refusal>> {
    if let Some(entry) = snapshot.key(&digest) {
        return Some(Ok(entry));
    }
    if snapshot.legacy.is_empty() {
        return Some(Err(Refusal::KeyInvalid));
    }
    let shared = &worker.shared;
    let from = network::of(call.client(&shared.trusted));
    let verdict = shared.legacy.verify(&snapshot.legacy, key, digest, from);
    let verdict = client.wait_for(verdict).await?;
    call.free = Instant::now();
    Some(match verdict {
        Verdict::Valid(id) => snapshot.legacy_key(id).ok_or(Refusal::KeyInvalid),
        Verdict::Invalid => Err(Refusal::KeyInvalid),
        Verdict::Busy => Err(Refusal::VerifierBusy),
    })
}

fn admit(entry: &KeyEntry) -> Result<Identity<'_>, Refusal> {
    if entry
        .expires_at
        .is_some_and(|expiry| expiry <= Clock::unix_millis())
    {
        return Err(Refusal::KeyInvalid);
    }
    if !entry.tenant.is_active {
        return Err(Refusal::TenantInactive);
    }
    Ok(Identity {
        tenant: &entry.tenant,
        key: entry,
    })
}
