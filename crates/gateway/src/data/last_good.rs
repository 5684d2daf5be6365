//! Keeping good responses for the fallback, and serving them.

use bastide_http1::{Known, ResponseHead};
use tokio::time::Instant;

use super::call::Call;
use super::refusal::Refusal;
use super::response_head;
use crate::snapshot::RouteEntry;
use crate::snapshot::last_good::{Key, MAX_BODY, Response, may_keep};

/// A response that is being relayed and may be kept.
pub(crate) struct Recording {
    key: Key,
    response: Response,
    is_too_long: bool,
}

impl Recording {
    /// Begins to record, if the route wants it and the exchange may be kept.
    pub(crate) fn begin(
        call: &Call<'_>,
        route: &RouteEntry,
        response: &ResponseHead,
    ) -> Option<Self> {
        route.last_good.as_ref()?;
        let key = key(call).filter(|_| may_keep(response))?;
        let mut fields = Vec::new();
        for field in response.fields() {
            let is_made_anew = matches!(
                field.known,
                Known::ContentLength
                    | Known::XRequestId
                    | Known::Age
                    | Known::XRateLimitLimit
                    | Known::XRateLimitRemaining
                    | Known::XRateLimitReset
                    | Known::RateLimit
                    | Known::RateLimitPolicy
            );
            if !field.hop && !is_made_anew && !route.response_headers.drops(response.name(field)) {
                response_head::copy_field(&mut fields, response, field);
            }
        }
        route
            .response_headers
            .write(|name| response.find_name(name).is_some(), &mut fields);
        let response = Response {
            fields,
            body: Vec::new(),
            since: Instant::now(),
        };
        Some(Self {
            key,
            response,
            is_too_long: false,
        })
    }

    pub(crate) fn add(&mut self, data: &[u8]) {
        if self.is_too_long || self.response.body.len() + data.len() > MAX_BODY {
            self.is_too_long = true;
            self.response.body = Vec::new();
        } else {
            self.response.body.extend_from_slice(data);
        }
    }

    /// The response is whole.
    pub(crate) fn finish(self, route: &RouteEntry) {
        if let Some(last_good) = &route.last_good
            && !self.is_too_long
        {
            last_good.keep(self.key, self.response);
        }
    }
}

/// Writes the last good response to the same request, if there is one. Tells whether there was.
pub(crate) fn write(
    out: &mut Vec<u8>,
    call: &Call<'_>,
    route: &RouteEntry,
    instead_of: &Refusal,
    keep_alive: bool,
) -> bool {
    let kept = route
        .last_good
        .as_ref()
        .zip(key(call))
        .and_then(|(last_good, key)| last_good.get(&key));
    let Some(kept) = kept else { return false };
    response_head::write_kept(out, call, &kept, instead_of, keep_alive);
    true
}

fn key(call: &Call<'_>) -> Option<Key> {
    let tenant = call.identity.map(|identity| identity.tenant.id);
    Key::of(tenant, call.host, call.head)
}
