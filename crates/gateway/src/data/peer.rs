//! The other end of a client's connection: found out once, when it is accepted, for all its requests.

use std::net::IpAddr;
use std::rc::Rc;

use bastide_config::network::TrustedPeers;

#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) ip: IpAddr,
    /// As it stands in `X-Forwarded-For`.
    pub(crate) text: Rc<str>,
    /// Whether it is believed what it says of others.
    pub(crate) is_trusted: bool,
}

impl Peer {
    pub(crate) fn new(ip: IpAddr, trusted: &TrustedPeers) -> Self {
        Self {
            ip,
            text: ip.to_string().into(),
            is_trusted: trusted.contains(ip),
        }
    }
}
