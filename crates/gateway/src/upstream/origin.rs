//! An origin: one place to connect to. Routes that name the same place share it, and with it connections and names
//! already resolved; it lives as long as a snapshot names it, so a reload changes nothing for it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::unreachable::LookupFailed;
use crate::model::{Protocol, UpstreamAddress};

/// How often names are looked up again. The resolver of the system does not tell how long an answer holds.
pub(crate) const REFRESH: Duration = Duration::from_secs(10);

/// Identifies an origin's idle connections in a worker's pool. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct OriginId(u32);

pub(crate) struct Origin {
    pub(crate) id: OriginId,
    pub(crate) address: UpstreamAddress,
    pub(crate) protocol: Protocol,
    /// Every address of the name. Empty until it was first resolved.
    resolved: ArcSwap<Vec<SocketAddr>>,
    /// Where the next connection starts in the list, so that all addresses get their share.
    turn: AtomicU32,
}

impl Origin {
    fn new(id: OriginId, address: UpstreamAddress, protocol: Protocol) -> Self {
        let literal = match &address {
            UpstreamAddress::Tcp { host, port, .. } => host
                .parse::<IpAddr>()
                .map(|ip| vec![SocketAddr::new(ip, *port)])
                .unwrap_or_default(),
            UpstreamAddress::Unix(_) => Vec::new(),
        };
        Self {
            id,
            address,
            protocol,
            resolved: ArcSwap::from_pointee(literal),
            turn: AtomicU32::new(0),
        }
    }

    /// The name to look up, if it is one.
    fn name(&self) -> Option<(&str, u16)> {
        match &self.address {
            UpstreamAddress::Tcp { host, port, .. } if host.parse::<IpAddr>().is_err() => {
                Some((host, *port))
            }
            _ => None,
        }
    }

    /// The addresses to try, in this order.
    pub(crate) async fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        let mut known = self.resolved.load();
        if known.is_empty() {
            self.resolve().await?;
            known = self.resolved.load();
        }
        let mut addresses = Vec::clone(&known);
        if addresses.len() > 1 {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize % addresses.len();
            addresses.rotate_left(turn);
        }
        Ok(addresses)
    }

    /// Looks the name up. A failure leaves the addresses that are known.
    async fn resolve(&self) -> std::io::Result<()> {
        let Some((host, port)) = self.name() else {
            return Ok(());
        };
        let failed = |error| std::io::Error::other(LookupFailed(error));
        let found = tokio::net::lookup_host((host, port)).await;
        let mut found: Vec<SocketAddr> = found.map_err(failed)?.collect();
        found.sort_unstable();
        found.dedup();
        if found.is_empty() {
            return Err(failed(std::io::Error::other(format!(
                "the name {host} has no address"
            ))));
        }
        if **self.resolved.load() != found {
            self.resolved.store(Arc::new(found));
        }
        Ok(())
    }
}

/// All origins that some snapshot names.
#[derive(Default)]
pub(crate) struct Origins {
    known: Mutex<HashMap<(UpstreamAddress, Protocol), Weak<Origin>>>,
    next_id: AtomicU32,
}

impl Origins {
    /// The origin of an address, made when it is new. Another protocol there is another origin.
    pub(crate) fn get(&self, address: &UpstreamAddress, protocol: Protocol) -> Arc<Origin> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (address.clone(), protocol);
        if let Some(origin) = known.get(&key).and_then(Weak::upgrade) {
            return origin;
        }
        let id = OriginId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let origin = Arc::new(Origin::new(id, address.clone(), protocol));
        known.insert(key, Arc::downgrade(&origin));
        origin
    }

    /// Forgets origins that no snapshot names any more and returns the rest.
    fn live(&self) -> Vec<Arc<Origin>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, origin| origin.strong_count() > 0);
        known.values().filter_map(Weak::upgrade).collect()
    }

    /// Keeps names fresh for ever. A name that cannot be looked up keeps the addresses that it had.
    pub(crate) async fn keep_fresh(&self) {
        let mut tick = tokio::time::interval(REFRESH);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            for origin in self.live() {
                if let Err(error) = origin.resolve().await
                    && let Some((host, _)) = origin.name()
                {
                    tracing::warn!(host, %error, "looking up an upstream failed; its last known addresses stay in use");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UpstreamUrl;

    fn address(url: &str) -> UpstreamAddress {
        UpstreamUrl::try_from(url.to_owned())
            .unwrap()
            .address()
            .clone()
    }

    #[test]
    fn the_same_place_is_the_same_origin_while_somebody_names_it() {
        let origins = Origins::default();
        let one = origins.get(&address("http://127.0.0.1:1/a"), Protocol::Auto);
        let two = origins.get(&address("http://127.0.0.1:1/b"), Protocol::Auto);
        assert!(Arc::ptr_eq(&one, &two));
        let other = origins.get(&address("http://127.0.0.1:1"), Protocol::Http2);
        assert_ne!(one.id, other.id);
        let old = one.id;
        drop((one, two, other));
        assert!(origins.live().is_empty());
        let again = origins.get(&address("http://127.0.0.1:1"), Protocol::Auto);
        assert_ne!(again.id, old);
    }

    #[tokio::test]
    async fn a_name_is_resolved_and_its_addresses_take_turns() {
        let origins = Origins::default();
        let origin = origins.get(&address("http://localhost:81"), Protocol::Auto);
        let first = origin.addresses().await.unwrap();
        assert!(first.iter().all(|a| a.port() == 81 && a.ip().is_loopback()));
        let second = origin.addresses().await.unwrap();
        assert_eq!(first.len(), second.len());
        assert!(first.len() == 1 || first[0] != second[0]);
    }
}
