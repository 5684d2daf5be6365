//! One request on its way through the stations: what is known of it so far.

use std::net::IpAddr;
use std::sync::Arc;

use bastide_config::network::TrustedPeers;
use bastide_http1::{Known, Method, RequestHead};
use bastide_limit::Quota;
use bastide_routing::CanonicalPath;
use bastide_telemetry::ids;
use tokio::time::Instant;

use super::peer::Peer;
use crate::snapshot::{Endpoint, KeyEntry, TenantEntry};

/// The longest request id that is taken over from a client.
const MAX_ID: usize = 64;

/// A request. Stations fill in what they find out.
pub(crate) struct Call<'a> {
    pub(crate) head: &'a RequestHead,
    /// Path and query in the one form in which they are matched, rewritten and forwarded.
    pub(crate) target: CanonicalPath<'a>,
    /// Lower case, without the port; empty where the request names none.
    pub(crate) host: &'a str,
    pub(crate) peer: Peer,
    pub(crate) secure: bool,
    pub(crate) arrived: Instant,
    /// When its way was free: `arrived`, or later where a station had to wait for somebody.
    pub(crate) free: Instant,
    /// When it arrived, on the limiter's clock.
    pub(crate) ticks: u64,
    /// When it arrived, in seconds since the epoch.
    pub(crate) unix_now: u64,
    pub(crate) request_id: RequestId,
    /// Set by the station `identity`.
    pub(crate) identity: Option<Identity<'a>>,
    /// Set by the station `limits`: the quota nearest to exhaustion.
    pub(crate) rate: Option<Quota>,
    /// Set by the station `forward`: the endpoint that was tried last.
    pub(crate) endpoint: Option<&'a Endpoint>,
    /// Set by the station `forward`: how many attempts were made.
    pub(crate) attempts: u32,
}

/// For whom a request speaks. Only the station `identity` makes one, from a key that it verified.
#[derive(Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) tenant: &'a Arc<TenantEntry>,
    pub(crate) key: &'a KeyEntry,
}

impl Call<'_> {
    /// Who sent it, as far as those are believed who say so.
    pub(crate) fn client(&self, trusted: &TrustedPeers) -> IpAddr {
        trusted.origin(self.peer.ip, self.head.all(Known::XForwardedFor))
    }

    pub(crate) fn is_head(&self) -> bool {
        self.head.method_kind() == Method::Head
    }
}

/// Names a request in answers, logs and towards the upstream.
#[derive(Clone, Copy)]
pub(crate) struct RequestId {
    text: [u8; MAX_ID],
    length: u8,
}

impl RequestId {
    /// The id that came with the request, if it is one to be passed on safely, else a new one of 128 random bits.
    pub(crate) fn of(head: &RequestHead, random: impl FnMut() -> u64) -> Self {
        match head.find(Known::XRequestId) {
            Some(id) if is_acceptable(id) => {
                let mut text = [0; MAX_ID];
                text[..id.len()].copy_from_slice(id);
                Self {
                    text,
                    length: id.len() as u8,
                }
            }
            _ => Self::random(random),
        }
    }

    pub(crate) fn random(mut random: impl FnMut() -> u64) -> Self {
        let bits = u128::from(random()) << 64 | u128::from(random());
        let digits = ids::RequestId::from_u128(bits).to_text();
        let mut text = [0; MAX_ID];
        text[..ids::RequestId::TEXT_LEN].copy_from_slice(digits.as_bytes());
        Self {
            text,
            length: ids::RequestId::TEXT_LEN as u8,
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.length)]
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("a request id is ASCII")
    }
}

/// Letters, digits and a few marks: nothing that could break out of a log line or a JSON string.
fn is_acceptable(id: &[u8]) -> bool {
    let allowed = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=')
    };
    (8..=MAX_ID).contains(&id.len()) && id.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_are_32_hex_digits() {
        let mut random = fastrand::Rng::with_seed(1);
        let id = RequestId::random(|| random.u64(..));
        assert_eq!(id.as_str().len(), 32);
        assert!(id.as_str().bytes().all(|digit| digit.is_ascii_hexdigit()));
    }

    #[test]
    fn only_harmless_ids_are_taken_over() {
        assert!(is_acceptable(b"0b1f8e2c-7a55-4a6f-9a0e-3d1c5f1f2a10"));
        for id in [
            &b"short"[..],
            b"with space here",
            b"quote\"in-it-12",
            b"newline\n12345",
            &[b'a'; 65],
        ] {
            assert!(!is_acceptable(id));
        }
    }
}
