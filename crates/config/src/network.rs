//! Where a request came from: who is believed about it, and who counts as one client.
//!
//! Anyone can write `X-Forwarded-For`. What a peer says in it counts only if the operator named that peer's network; from
//! everyone else the field says nothing.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Networks whose word is taken, in CIDR notation.
///
/// ```
/// use bastide_config::network::TrustedPeers;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let proxies: TrustedPeers = "10.0.0.0/8, fd00::/8".parse()?;
/// let fields = [&b"203.0.113.9, 198.51.100.7"[..]];
/// // What stands before the last proxy's word was written by anybody.
/// assert_eq!(proxies.origin("10.0.0.1".parse()?, fields.into_iter()), "198.51.100.7".parse::<std::net::IpAddr>()?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    /// Whether this peer's word is taken.
    pub fn contains(&self, peer: IpAddr) -> bool {
        let peer = to_bits(peer);
        self.0.iter().any(|network| network.contains(peer))
    }

    /// Who sent a request: the peer; where that one is trusted, whom it names last in `X-Forwarded-For`, and so on until the
    /// word of somebody who is not trusted. `forwarded` are the field's lines in their order.
    pub fn origin<'v>(&self, peer: IpAddr, forwarded: impl Iterator<Item = &'v [u8]>) -> IpAddr {
        let named = if self.contains(peer) {
            self.named(forwarded)
        } else {
            None
        };
        named.unwrap_or(peer)
    }

    /// The same where the peer has no address and is trusted: a proxy on a Unix socket. `None`: it names nobody.
    pub fn named<'v>(&self, forwarded: impl Iterator<Item = &'v [u8]>) -> Option<IpAddr> {
        let named: Vec<&[u8]> = forwarded
            .flat_map(|value| value.split(|byte| *byte == b','))
            .collect();
        let mut origin = None;
        for name in named.into_iter().rev() {
            let Some(address) = parse_address(name) else {
                break;
            };
            origin = Some(address);
            if !self.contains(address) {
                break;
            }
        }
        origin
    }
}

/// The address itself of IPv4. Of IPv6 the network of 64 bits: whoever has one address there has all of it.
pub fn of(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => IpAddr::V4(address),
            None => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        },
        IpAddr::V4(_) => client,
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

/// An address as proxies write it: alone, or with a port.
fn parse_address(name: &[u8]) -> Option<IpAddr> {
    let name = str::from_utf8(name).ok()?.trim();
    name.parse()
        .or_else(|_| name.parse().map(|socket: SocketAddr| socket.ip()))
        .ok()
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
    fn a_request_comes_from_the_nearest_who_is_not_trusted() {
        let trusted: TrustedPeers = "10.0.0.0/8".parse().unwrap();
        let origin = |peer: &str, forwarded: &[&str]| {
            let fields = forwarded.iter().map(|value| value.as_bytes());
            trusted.origin(peer.parse().unwrap(), fields).to_string()
        };
        // Who is not trusted is not believed.
        assert_eq!(origin("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(origin("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(origin("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        // What stands before the word of a stranger is the stranger's.
        assert_eq!(
            origin("10.0.0.1", &["203.0.113.9, 198.51.100.7, 10.0.0.2"]),
            "198.51.100.7"
        );
        assert_eq!(
            origin("10.0.0.1", &["203.0.113.9", "10.0.0.3 , 10.0.0.2"]),
            "203.0.113.9"
        );
        assert_eq!(origin("10.0.0.1", &["10.0.0.3"]), "10.0.0.3");
        assert_eq!(origin("10.0.0.1", &["x, unknown"]), "10.0.0.1");
        assert_eq!(origin("10.0.0.1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(origin("10.0.0.1", &["198.51.100.7:1234"]), "198.51.100.7");
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

    #[test]
    fn addresses_of_one_network_are_one_client() {
        let network = |text: &str| of(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1:2:3"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }

    #[test]
    fn who_has_no_address_may_name_one() {
        let trusted: TrustedPeers = "10.0.0.0/8".parse().unwrap();
        let named = |field: &str| trusted.named([field.as_bytes()].into_iter());
        assert_eq!(
            named("203.0.113.9, 198.51.100.7, 10.0.0.2"),
            "198.51.100.7".parse().ok()
        );
        assert_eq!((named(""), named("unknown")), (None, None));
    }
}
