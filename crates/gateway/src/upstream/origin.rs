//! An origin: one place to connect to. Routes that name the same place share it, and with it connections and names
//! already resolved; it lives as long as a snapshot names it, so a reload changes nothing for it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::names::{Name, Names};
use crate::model::{Protocol, UpstreamAddress};

/// How often it is looked whether names are due.
const LOOK: Duration = Duration::from_secs(1);

/// Identifies an origin's idle connections in a worker's pool. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct OriginId(u32);

pub(crate) struct Origin {
    pub(crate) id: OriginId,
    pub(crate) address: UpstreamAddress,
    pub(crate) protocol: Protocol,
    place: Place,
    /// Where the next connection starts among a name's addresses, so that all get their share.
    turn: AtomicU32,
}

/// How an address is found.
enum Place {
    /// On this machine, by a path.
    Path,
    Ip(SocketAddr),
    Name(Arc<Name>, u16),
}

impl Origin {
    /// The addresses to try, in this order.
    pub(crate) async fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        let (name, port) = match &self.place {
            Place::Path => return Ok(Vec::new()),
            Place::Ip(address) => return Ok(vec![*address]),
            Place::Name(name, port) => (name, *port),
        };
        let known = name.addresses().await?;
        let mut addresses: Vec<_> = known.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
        if addresses.len() > 1 {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize % addresses.len();
            addresses.rotate_left(turn);
        }
        Ok(addresses)
    }
}

/// All origins that some snapshot names.
#[derive(Default)]
pub(crate) struct Origins {
    known: Mutex<HashMap<(UpstreamAddress, Protocol), Weak<Origin>>>,
    next_id: AtomicU32,
    names: Names,
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
        let place = match address {
            UpstreamAddress::Unix(_) => Place::Path,
            UpstreamAddress::Tcp { host, port, .. } => match host.parse::<IpAddr>() {
                Ok(ip) => Place::Ip(SocketAddr::new(ip, *port)),
                Err(_) => Place::Name(self.names.get(host), *port),
            },
        };
        let origin = Arc::new(Origin {
            id,
            address: address.clone(),
            protocol,
            place,
            turn: AtomicU32::new(0),
        });
        known.insert(key, Arc::downgrade(&origin));
        origin
    }

    /// Forgets origins that no snapshot names any more.
    fn forget_unused(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, origin| origin.strong_count() > 0);
    }

    /// Keeps names fresh for ever.
    pub(crate) async fn keep_fresh(&self) {
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.forget_unused();
            self.names.refresh();
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
        origins.forget_unused();
        assert!(origins.known.lock().unwrap().is_empty());
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
