//! The field names a gateway looks at, told apart once, while the head is parsed.

/// Belongs to one connection and is never forwarded: RFC 9110 section 7.6.1, and the proxy
/// authentication fields, which are meant for the first proxy alone.
const HOP: u8 = 1;
/// Dropped from trailers: framing, routing, authentication, request modifiers, response control and
/// content format (RFC 9110 section 6.5.1), and what a gateway sets itself.
const NO_TRAILER: u8 = 2;

macro_rules! known {
    ($($variant:ident = $name:literal, $flags:expr;)*) => {
        /// A field name the gateway gives meaning to.
        ///
        /// Names that are not here are [`Known::Other`]. A name that is here and not hop-by-hop can never be
        /// removed by nominating it in `Connection`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        #[repr(u8)]
        pub enum Known {
            /// Any name without meaning to us.
            #[default]
            Other,
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Known {
            /// Every variant, in order.
            const ALL: &[Self] = &[Self::Other, $(Self::$variant,)*];
        }

        const NAMES: [&str; Known::COUNT] = ["", $($name,)*];
        const FLAGS: [u8; Known::COUNT] = [0, $($flags,)*];
    };
}

known! {
    Host = "host", NO_TRAILER;
    ContentLength = "content-length", NO_TRAILER;
    TransferEncoding = "transfer-encoding", HOP | NO_TRAILER;
    Connection = "connection", HOP | NO_TRAILER;
    KeepAlive = "keep-alive", HOP | NO_TRAILER;
    ProxyConnection = "proxy-connection", HOP | NO_TRAILER;
    ProxyAuthenticate = "proxy-authenticate", HOP | NO_TRAILER;
    ProxyStatus = "proxy-status", NO_TRAILER;
    ProxyAuthorization = "proxy-authorization", HOP | NO_TRAILER;
    Te = "te", HOP | NO_TRAILER;
    Upgrade = "upgrade", HOP | NO_TRAILER;
    Trailer = "trailer", NO_TRAILER;
    Expect = "expect", NO_TRAILER;
    MaxForwards = "max-forwards", NO_TRAILER;
    XApiKey = "x-api-key", NO_TRAILER;
    XAdminKey = "x-admin-key", NO_TRAILER;
    XRequestId = "x-request-id", NO_TRAILER;
    XTenantId = "x-tenant-id", NO_TRAILER;
    XForwardedFor = "x-forwarded-for", NO_TRAILER;
    XForwardedHost = "x-forwarded-host", NO_TRAILER;
    XForwardedProto = "x-forwarded-proto", NO_TRAILER;
    XForwardedPort = "x-forwarded-port", NO_TRAILER;
    XForwardedPrefix = "x-forwarded-prefix", NO_TRAILER;
    Forwarded = "forwarded", NO_TRAILER;
    XRealIp = "x-real-ip", NO_TRAILER;
    Via = "via", NO_TRAILER;
    Authorization = "authorization", NO_TRAILER;
    WwwAuthenticate = "www-authenticate", NO_TRAILER;
    Cookie = "cookie", NO_TRAILER;
    SetCookie = "set-cookie", NO_TRAILER;
    Accept = "accept", NO_TRAILER;
    AcceptEncoding = "accept-encoding", NO_TRAILER;
    UserAgent = "user-agent", NO_TRAILER;
    ContentType = "content-type", NO_TRAILER;
    ContentEncoding = "content-encoding", NO_TRAILER;
    ContentRange = "content-range", NO_TRAILER;
    Range = "range", NO_TRAILER;
    IdempotencyKey = "idempotency-key", NO_TRAILER;
    RetryAfter = "retry-after", NO_TRAILER;
    Date = "date", NO_TRAILER;
    Server = "server", NO_TRAILER;
    Location = "location", NO_TRAILER;
    Etag = "etag", 0;
    Vary = "vary", NO_TRAILER;
    Age = "age", NO_TRAILER;
    Expires = "expires", NO_TRAILER;
    CacheControl = "cache-control", NO_TRAILER;
    Origin = "origin", NO_TRAILER;
    SecWebSocketKey = "sec-websocket-key", NO_TRAILER;
    SecWebSocketVersion = "sec-websocket-version", NO_TRAILER;
    SecWebSocketAccept = "sec-websocket-accept", NO_TRAILER;
    SecWebSocketProtocol = "sec-websocket-protocol", NO_TRAILER;
    Traceparent = "traceparent", NO_TRAILER;
    Tracestate = "tracestate", NO_TRAILER;
    XRateLimitLimit = "x-ratelimit-limit", NO_TRAILER;
    XRateLimitRemaining = "x-ratelimit-remaining", NO_TRAILER;
    XRateLimitReset = "x-ratelimit-reset", NO_TRAILER;
    RateLimit = "ratelimit", NO_TRAILER;
    RateLimitPolicy = "ratelimit-policy", NO_TRAILER;
}

// The head keeps one bit for each name.
const _: () = assert!(Known::COUNT <= 64);

impl Known {
    /// How many variants there are, [`Known::Other`] included.
    pub const COUNT: usize = Self::ALL.len();

    /// Tells which name this is, in any letter case. `name` must not hold controls.
    #[inline]
    pub fn of(name: &[u8]) -> Self {
        if name.is_empty() || name.len() > LONGEST {
            return Self::Other;
        }
        let candidate = usize::from(SLOTS[slot(fingerprint(name), SEED)]);
        if candidate != 0 && matches(name, NAMES[candidate].as_bytes()) {
            Self::ALL[candidate]
        } else {
            Self::Other
        }
    }

    /// The name in lower case, empty for [`Known::Other`].
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// Whether it belongs to one connection and must not be forwarded.
    #[inline]
    pub fn is_hop_by_hop(self) -> bool {
        FLAGS[self as usize] & HOP != 0
    }

    /// Whether it may stand in a trailer section.
    #[inline]
    pub fn is_allowed_in_trailers(self) -> bool {
        FLAGS[self as usize] & NO_TRAILER == 0
    }

    /// The known name that `name` becomes for programs that take `_` for `-` (CGI, WSGI and their kin).
    pub(crate) fn aliased_by(name: &[u8]) -> Self {
        let mut dashed = [0; LONGEST];
        let Some(dashed) = dashed.get_mut(..name.len()) else {
            return Self::Other;
        };
        for (to, from) in dashed.iter_mut().zip(name) {
            *to = if *from == b'_' { b'-' } else { *from };
        }
        Self::of(dashed)
    }
}

const LONGEST: usize = {
    let mut longest = 0;
    let mut i = 0;
    while i < NAMES.len() {
        if NAMES[i].len() > longest {
            longest = NAMES[i].len();
        }
        i += 1;
    }
    longest
};

/// Sets the bit that tells lower case from upper. Two bytes that it makes one of the bytes of our names
/// (letters, digits, `-`) are a letter in both cases, or one of them is a control below 0x20: without
/// those a comparison under it is exact.
const LOWER: u8 = 0x20;

/// Length, first byte and last four bytes: what tells our names apart.
#[inline]
const fn fingerprint(name: &[u8]) -> u64 {
    let n = name.len();
    let tail = match name.last_chunk::<4>() {
        Some(last) => u32::from_le_bytes(*last),
        None => u32::from_le_bytes([name[0], name[n / 2], name[n - 1], 0]),
    };
    let tail = tail | u32::from_le_bytes([LOWER; 4]);
    tail as u64 | (n as u64) << 32 | ((name[0] | LOWER) as u64) << 40
}

const SLOT_BITS: u32 = 9;

#[inline]
const fn slot(fingerprint: u64, seed: u64) -> usize {
    (fingerprint.wrapping_mul(seed) >> (64 - SLOT_BITS)) as usize
}

/// A multiplier under which no two names share a slot, searched for by the compiler: adding a name
/// needs no other change.
const SEED: u64 = {
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    while fill(seed).is_none() {
        // An odd multiplier of a 64-bit linear congruential generator (Knuth, MMIX).
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(2) | 1;
    }
    seed
};

static SLOTS: [u8; 1 << SLOT_BITS] = match fill(SEED) {
    Some(slots) => slots,
    None => panic!("the seed was chosen so that this succeeds"),
};

const fn fill(seed: u64) -> Option<[u8; 1 << SLOT_BITS]> {
    let mut slots = [0; 1 << SLOT_BITS];
    let mut i = 1;
    while i < NAMES.len() {
        let slot = slot(fingerprint(NAMES[i].as_bytes()), seed);
        if slots[slot] != 0 {
            return None;
        }
        slots[slot] = i as u8;
        i += 1;
    }
    Some(slots)
}

/// Whether `name` is `lower` in any letter case; eight bytes at a time, the last eight overlapping.
#[inline]
fn matches(name: &[u8], lower: &[u8]) -> bool {
    if name.len() != lower.len() {
        return false;
    }
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let mask = u64::from_le_bytes([LOWER; 8]);
    let (Some(last), Some(last_lower)) = (name.last_chunk::<8>(), lower.last_chunk::<8>()) else {
        return name.iter().zip(lower).all(|(a, b)| a | LOWER == *b);
    };
    name.as_chunks::<8>()
        .0
        .iter()
        .zip(lower.as_chunks::<8>().0)
        .all(|(a, b)| word(a) | mask == word(b))
        && word(last) | mask == word(last_lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for &known in &Known::ALL[1..] {
            let name = known.name();
            assert_eq!(Known::of(name.as_bytes()), known, "{name}");
            assert_eq!(Known::of(name.to_uppercase().as_bytes()), known, "{name}");
        }
    }

    #[test]
    fn a_name_that_differs_in_one_byte_is_other() {
        for known in &Known::ALL[1..] {
            for at in 0..known.name().len() {
                for byte in (b' '..=b'~').chain(128..=255) {
                    let mut name = known.name().as_bytes().to_vec();
                    if name[at].eq_ignore_ascii_case(&byte) {
                        continue;
                    }
                    name[at] = byte;
                    let found = Known::of(&name);
                    assert!(
                        found == Known::Other
                            || found.name().as_bytes().eq_ignore_ascii_case(&name),
                        "{name:?}"
                    );
                }
            }
        }
        assert_eq!(Known::of(b""), Known::Other);
        assert_eq!(Known::of(&[b'a'; 300]), Known::Other);
    }

    #[test]
    fn underscores_alias_dashes() {
        assert_eq!(Known::aliased_by(b"Content_Length"), Known::ContentLength);
        assert_eq!(Known::aliased_by(b"x-forwarded_for"), Known::XForwardedFor);
        assert_eq!(Known::aliased_by(b"my_field"), Known::Other);
        assert_eq!(Known::aliased_by(&[b'_'; 300]), Known::Other);
    }
}
