//! What a client is told about its limit: the `X-RateLimit-*` fields that everyone knows, and the `RateLimit` and
//! `RateLimit-Policy` fields of draft-ietf-httpapi-ratelimit-headers.

use bastide_limit::Quota;

/// The fields for one quota.
pub(crate) struct RateHeaders<'a> {
    quota: &'a Quota,
    unix_now: u64,
}

impl<'a> RateHeaders<'a> {
    /// `unix_now` is in seconds.
    pub(crate) fn new(quota: &'a Quota, unix_now: u64) -> Self {
        Self { quota, unix_now }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Quota {
            limit,
            remaining,
            window,
            reset_after,
            ..
        } = *self.quota;
        // Rounded up: at the moment named, and not just before it, everything is free again.
        let reset = reset_after.div_ceil(1_000_000);
        let mut number = itoa::Buffer::new();
        let mut put = |text: &[u8], value: u64| {
            out.extend_from_slice(text);
            out.extend_from_slice(number.format(value).as_bytes());
        };
        put(b"X-RateLimit-Limit: ", limit.into());
        put(b"\r\nX-RateLimit-Remaining: ", remaining.into());
        put(b"\r\nX-RateLimit-Reset: ", self.unix_now + reset);
        put(b"\r\nRateLimit-Policy: \"default\";q=", limit.into());
        put(b";w=", window.div_ceil(1_000_000));
        put(b"\r\nRateLimit: \"default\";r=", remaining.into());
        put(b";t=", reset);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_says_what_the_quota_says() {
        let quota = Quota {
            limit: 60,
            remaining: 59,
            window: 60_000_000,
            reset_after: 1_500_000,
            retry_after: 0,
        };
        let mut out = Vec::new();
        RateHeaders::new(&quota, 1_000).write(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "X-RateLimit-Limit: 60\r\nX-RateLimit-Remaining: 59\r\nX-RateLimit-Reset: 1002\r\n\
             RateLimit-Policy: \"default\";q=60;w=60\r\nRateLimit: \"default\";r=59;t=2\r\n"
        );
    }
}
