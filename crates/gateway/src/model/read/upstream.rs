//! Reads the endpoints of a route.

use bastide_config::{Node, parse};

use super::resilience::MAX_MS;
use crate::model::{Protocol, Upstream, UpstreamUrl};

const MAX_URL: usize = 2_048;

const PROTOCOLS: &[(&str, Protocol)] = &[
    ("auto", Protocol::Auto),
    ("http1", Protocol::Http1),
    ("http2", Protocol::Http2),
];

/// An endpoint: `url`, `weight?`, `timeout?`, `protocol?`.
pub(super) fn upstream(node: Node<'_, '_>) -> Option<Upstream> {
    node.object(|fields| {
        let url = fields.required("url", url);
        let weight = fields.or("weight", 1, parse::integer(1..=65_535));
        let timeout = fields.optional("timeout", parse::integer(1..=MAX_MS));
        let protocol = fields.or("protocol", Protocol::Auto, parse::choice(PROTOCOLS));
        Some(Upstream {
            url: url?,
            weight,
            timeout,
            protocol,
        })
    })
}

fn url(mut node: Node<'_, '_>) -> Option<UpstreamUrl> {
    let text = parse::string(1..=MAX_URL)(node.again())?;
    match UpstreamUrl::try_from(text) {
        Ok(url) => Some(url),
        // The URL itself is not repeated: it may hold a password.
        Err(error) => node.reject(error.to_string()),
    }
}
