//! Station: who asks. A key becomes a tenant here, by one hash and one look-up.

use bastide_http1::Known;
use tokio::time::Instant;

use super::Clock;
use super::call::{Call, Identity};
use super::last_key::LastKey;
use super::refusal::Refusal;
use super::routes::{self, Chosen};
use super::worker::Worker;
use crate::legacy_keys::Verdict;
use crate::snapshot::Snapshot;

/// Identifies the caller. Without a valid key only a route that asks for none can serve: then that route is returned.
pub(crate) async fn check<'s>(
    worker: &Worker,
    snapshot: &'s Snapshot,
    call: &mut Call<'s>,
    last_key: &mut LastKey,
) -> Result<Option<Chosen<'s>>, Refusal> {
    // Two keys could be two opinions on who is asking.
    let key = if call.head.is_repeated(Known::XApiKey) {
        None
    } else {
        call.head.find(Known::XApiKey)
    };
    let verdict = match key.filter(|key| !key.is_empty()) {
        None => Err(Refusal::KeyMissing),
        Some(key) => {
            let digest = last_key.digest(&worker.shared.keys, key);
            verify(worker, snapshot, call, key, digest).await
        }
    };
    match verdict {
        Ok(identity) => {
            call.identity = Some(identity);
            Ok(None)
        }
        Err(refusal) => match routes::find_open(worker, snapshot, call) {
            Some(chosen) => Ok(Some(chosen)),
            None => Err(refusal),
        },
    }
}

async fn verify<'s>(
    worker: &Worker,
    snapshot: &'s Snapshot,
    call: &mut Call<'_>,
    key: &[u8],
    digest: [u8; 32],
) -> Result<Identity<'s>, Refusal> {
    let entry = match snapshot.key(&digest) {
        Some(entry) => entry,
        None if snapshot.legacy.is_empty() => return Err(Refusal::KeyInvalid),
        None => {
            let verifier = &worker.shared.legacy;
            let verdict = verifier
                .verify(&snapshot.legacy, key, digest, call.peer.ip)
                .await;
            call.free = Instant::now();
            match verdict {
                Verdict::Valid(id) => snapshot.legacy_key(id).ok_or(Refusal::KeyInvalid)?,
                Verdict::Invalid => return Err(Refusal::KeyInvalid),
                Verdict::Busy => return Err(Refusal::VerifierBusy),
            }
        }
    };
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
