//! The last good responses of a route, for when its upstreams cannot answer.
//!
//! Only what may be shown again to the same kind of caller is kept: complete 200 responses to GET without cookies or
//! `Authorization`, and none that says `no-store` or `private` (RFC 9111 section 3) or varies by anything but what the
//! key holds. Entries belong to a tenant, and the oldest go first when there are too many bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bastide_http1::{Known, Method, RequestHead, ResponseHead};
use tokio::time::Instant;
use uuid::Uuid;

/// A longer body is not kept.
pub(crate) const MAX_BODY: usize = 256 * 1024;

/// Bytes that one route keeps.
const MAX_BYTES: usize = 4 * 1024 * 1024;

#[derive(Default)]
pub(crate) struct LastGood(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_key: HashMap<Key, Arc<Response>>,
    /// Oldest first.
    order: VecDeque<Key>,
    bytes: usize,
}

/// What two requests must share to share a response.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    tenant: Uuid,
    /// Host, path and query, `Accept` and `Accept-Encoding`, each behind its length.
    request: Box<[u8]>,
}

/// A response as it is served again.
pub(crate) struct Response {
    /// Field lines, without those that are made anew each time.
    pub(crate) fields: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) since: Instant,
}

impl Key {
    /// The key of a request whose response may be kept and shown again.
    pub(crate) fn of(tenant: Option<Uuid>, host: &str, head: &RequestHead) -> Option<Self> {
        let is_personal =
            head.find(Known::Authorization).is_some() || head.find(Known::Cookie).is_some();
        if head.method_kind() != Method::Get || is_personal || head.find(Known::Range).is_some() {
            return None;
        }
        let mut request = Vec::with_capacity(128);
        let parts = [
            host.as_bytes(),
            head.path_and_query(),
            head.find(Known::Accept).unwrap_or_default(),
            head.find(Known::AcceptEncoding).unwrap_or_default(),
        ];
        for part in parts {
            request.extend_from_slice(&(part.len() as u32).to_le_bytes());
            request.extend_from_slice(part);
        }
        Some(Self {
            tenant: tenant.unwrap_or(Uuid::nil()),
            request: request.into(),
        })
    }
}

/// Whether a response may be kept at all.
pub(crate) fn may_keep(response: &ResponseHead) -> bool {
    let lists = |known, word: &[u8]| {
        response
            .all(known)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|entry| entry.trim_ascii().eq_ignore_ascii_case(word))
    };
    let varies_otherwise = response
        .all(Known::Vary)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|name| {
            !name.eq_ignore_ascii_case(b"accept") && !name.eq_ignore_ascii_case(b"accept-encoding")
        });
    response.status() == 200
        && response.find(Known::SetCookie).is_none()
        && !lists(Known::CacheControl, b"no-store")
        && !lists(Known::CacheControl, b"private")
        && !varies_otherwise
}

impl LastGood {
    pub(crate) fn keep(&self, key: Key, response: Response) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.forget(&key);
        kept.bytes += response.size(&key);
        kept.order.push_back(key.clone());
        kept.by_key.insert(key, Arc::new(response));
        while kept.bytes > MAX_BYTES
            && let Some(oldest) = kept.order.front().cloned()
        {
            kept.forget(&oldest);
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Response>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .by_key
            .get(key)
            .cloned()
    }
}

impl Kept {
    fn forget(&mut self, key: &Key) {
        if let Some(old) = self.by_key.remove(key) {
            self.bytes -= old.size(key);
            self.order.retain(|known| known != key);
        }
    }
}

impl Response {
    fn size(&self, key: &Key) -> usize {
        self.fields.len() + self.body.len() + 2 * key.request.len() + 256
    }
}

#[cfg(test)]
mod tests {
    use bastide_http1::Limits;

    use super::*;

    fn request(fields: &str) -> RequestHead {
        let mut head = RequestHead::new();
        let text = format!("GET /a?b HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        head.parse(text.as_bytes(), &Limits::default())
            .unwrap()
            .unwrap();
        head
    }

    fn response(fields: &str) -> ResponseHead {
        let mut head = ResponseHead::new();
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n");
        head.parse(text.as_bytes(), &Limits::default(), Method::Get)
            .unwrap()
            .unwrap();
        head
    }

    fn key(number: usize) -> Key {
        Key::of(Some(Uuid::from_u128(number as u128)), "h", &request("")).unwrap()
    }

    fn body(size: usize) -> Response {
        Response {
            fields: Vec::new(),
            body: vec![b'x'; size],
            since: Instant::now(),
        }
    }

    #[test]
    fn what_is_personal_is_not_kept() {
        assert!(Key::of(None, "h", &request("")).is_some());
        for fields in [
            "Authorization: Bearer x\r\n",
            "Cookie: a=b\r\n",
            "Range: bytes=0-1\r\n",
        ] {
            assert!(Key::of(None, "h", &request(fields)).is_none(), "{fields}");
        }
        assert!(may_keep(&response(
            "Cache-Control: max-age=1\r\nVary: Accept-Encoding\r\n"
        )));
        for fields in [
            "Set-Cookie: a=b\r\n",
            "Cache-Control: max-age=1, no-store\r\n",
            "Cache-Control: Private\r\n",
            "Vary: *\r\n",
            "Vary: Accept, X-User\r\n",
        ] {
            assert!(!may_keep(&response(fields)), "{fields}");
        }
    }

    #[test]
    fn tenants_and_negotiated_forms_are_kept_apart() {
        assert_ne!(key(1), key(2));
        let plain = Key::of(None, "h", &request("")).unwrap();
        assert_ne!(
            plain,
            Key::of(None, "h", &request("Accept-Encoding: gzip\r\n")).unwrap()
        );
        assert_ne!(plain, Key::of(None, "g", &request("")).unwrap());
    }

    #[test]
    fn the_oldest_go_first_and_bytes_stay_bounded() {
        let kept = LastGood::default();
        for number in 0..100 {
            kept.keep(key(number), body(MAX_BODY));
        }
        assert!(kept.get(&key(99)).is_some());
        assert!(kept.get(&key(0)).is_none());
        assert!(kept.0.lock().unwrap().bytes <= MAX_BYTES);
        for _ in 0..10 {
            kept.keep(key(99), body(1));
        }
        assert_eq!(kept.get(&key(99)).unwrap().body.len(), 1);
    }
}
