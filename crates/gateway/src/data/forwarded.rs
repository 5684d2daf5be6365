//! Who is believed about where a request came from.
//!
//! Anyone can write `X-Forwarded-For`. What a peer says in it counts only if the operator named that peer's network;
//! from everyone else the fields are replaced by what the gateway itself saw.

use std::net::IpAddr;
use std::str::FromStr;

/// Networks whose word is taken, in CIDR notation.
#[derive(Debug, Clone, Default)]
pub struct TrustedPeers(Vec<Network>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: u128,
    /// Bits that count, from the left, of 128.
    bits: u32,
}

/// Not a network in CIDR notation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a network; write an address, or a network like 10.0.0.0/8 or fd00::/8")]
pub struct NotANetwork(String);

impl FromStr for TrustedPeers {
    type Err = NotANetwork;

    /// A comma-separated list; empty trusts nobody.
    fn from_str(list: &str) -> Result<Self, NotANetwork> {
        list.split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(|text| Network::parse(text).ok_or_else(|| NotANetwork(text.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl TrustedPeers {
    pub(crate) fn contains(&self, peer: IpAddr) -> bool {
        let peer = to_bits(peer);
        self.0.iter().any(|network| network.contains(peer))
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        (bits <= width).then(|| Self {
            address: to_bits(address),
            bits: bits + 128 - width,
        })
    }

    fn contains(&self, peer: u128) -> bool {
        // A shift by the whole width is none in Rust, hence the check.
        self.bits == 0 || (self.address ^ peer) >> (128 - self.bits) == 0
    }
}

/// IPv4 as the mapped IPv6 address, so that a dual-stack listener's peers compare equal.
fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusts(list: &str, peer: &str) -> bool {
        list.parse::<TrustedPeers>()
            .unwrap()
            .contains(peer.parse().unwrap())
    }

    #[test]
    fn networks_hold_their_members_and_nobody_else() {
        assert!(trusts("10.0.0.0/8", "10.255.0.1"));
        assert!(!trusts("10.0.0.0/8", "11.0.0.1"));
        assert!(trusts("127.0.0.1", "127.0.0.1"));
        assert!(!trusts("127.0.0.1", "127.0.0.2"));
        assert!(trusts("127.0.0.1", "::ffff:127.0.0.1"));
        assert!(trusts("fd00::/8, 192.168.1.0/24", "fd12::1"));
        assert!(trusts("0.0.0.0/0", "8.8.8.8"));
        assert!(!trusts("0.0.0.0/0", "2001:db8::1"));
        assert!(trusts("::/0", "2001:db8::1"));
        assert!(!trusts("", "127.0.0.1"));
    }

    #[test]
    fn what_is_no_network_is_named() {
        for text in [
            "localhost",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0",
            "::/129",
            "10.0.0.0/8/8",
        ] {
            let error = text.parse::<TrustedPeers>().unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
