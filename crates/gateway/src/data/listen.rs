//! Listening sockets: one per worker on the same port, or those that were handed over.
//!
//! With `SO_REUSEPORT` the kernel spreads connections over the workers' own queues, so that workers share nothing. A
//! socket's queue is lost when the socket is closed, so a new binary is given the old one's sockets
//! ([`handover`](crate::handover)) instead of opening its own.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::handover::Inherited;
use crate::settings::{AdminListen, Settings};
use crate::start::StartError;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Why a listener could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}; choose another address with {option}")]
pub struct ListenError {
    address: SocketAddr,
    option: &'static str,
    error: io::Error,
}

/// Every listening socket of the process, held for whoever may take over.
pub(crate) struct Sockets {
    /// Never empty.
    pub(crate) public: Vec<TcpListener>,
    /// Empty where the Admin API has no listener of its own.
    pub(crate) admin: Vec<TcpListener>,
}

impl Sockets {
    /// Takes what was handed over and opens what was not.
    pub(crate) fn open(settings: &Settings, inherited: Inherited) -> Result<Self, StartError> {
        let Inherited {
            mut public,
            mut admin,
            ..
        } = inherited;
        let handed_over = (public.len(), admin.len());
        if public.is_empty() {
            public = bind(settings.listen, settings.workers, "--listen")?;
        }
        match settings.admin_listen {
            AdminListen::At(address) if admin.is_empty() => {
                admin = bind(address, 1, "--admin-listen")?;
            }
            AdminListen::Same if !admin.is_empty() => return Err(StartError::TwoAdminListeners),
            AdminListen::At(_) | AdminListen::Same => {}
        }
        if handed_over != (0, 0) {
            tracing::info!(
                public = handed_over.0,
                admin = handed_over.1,
                "listening on sockets that were handed over, not on the addresses in the settings"
            );
        }
        Ok(Self { public, admin })
    }

    /// The public sockets as `workers` workers accept from them.
    ///
    /// Every socket is somebody's: the kernel queues connections on each, and a queue that nobody reads keeps its
    /// clients waiting for ever. Where there are fewer sockets than workers, several workers share one.
    pub(crate) fn deal(&self, workers: usize) -> io::Result<Vec<Vec<TcpListener>>> {
        let mut hands: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
        for turn in 0..workers.max(self.public.len()) {
            let socket = &self.public[turn % self.public.len()];
            hands[turn % workers].push(socket.try_clone()?);
        }
        Ok(hands)
    }
}

/// Opens `count` sockets on one address. Port 0 lets the kernel choose one port for all.
fn bind(
    address: SocketAddr,
    count: usize,
    option: &'static str,
) -> Result<Vec<TcpListener>, ListenError> {
    let fail = |error| ListenError {
        address,
        option,
        error,
    };
    let reuse = count > 1 || address.port() == 0;
    if reuse && address.port() != 0 {
        // With SO_REUSEPORT a second gateway would start and silently take half of the connections.
        drop(open(address, false).map_err(fail)?);
    }
    let first = open(address, reuse).map_err(fail)?;
    let actual = first.local_addr().map_err(fail)?;
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(open(actual, true).map_err(fail)?);
    }
    Ok(sockets)
}

fn open(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_workers_get_a_socket_on_one_port() {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), 3, "--listen").unwrap();
        let ports: Vec<_> = sockets
            .iter()
            .map(|s| s.local_addr().unwrap().port())
            .collect();
        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0));
    }

    #[test]
    fn every_socket_is_accepted_from_and_every_worker_accepts() {
        for (sockets, workers) in [(1, 1), (1, 3), (2, 3), (3, 2), (5, 2), (4, 4)] {
            let sockets = Sockets {
                public: (0..sockets)
                    .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
                    .collect(),
                admin: Vec::new(),
            };
            let hands = sockets.deal(workers).unwrap();
            assert_eq!(hands.len(), workers);
            assert!(hands.iter().all(|hand| !hand.is_empty()));
            let port = |socket: &TcpListener| socket.local_addr().unwrap().port();
            let dealt: Vec<u16> = hands.iter().flatten().map(port).collect();
            assert!(sockets.public.iter().all(|own| dealt.contains(&port(own))));
            assert_eq!(dealt.len(), workers.max(sockets.public.len()));
        }
    }

    #[test]
    fn a_taken_port_is_an_error_that_names_the_option() {
        let taken = bind("127.0.0.1:0".parse().unwrap(), 1, "--listen").unwrap();
        let address = taken[0].local_addr().unwrap();
        for count in [1, 2] {
            let error = bind(address, count, "--listen").unwrap_err().to_string();
            assert!(
                error.contains("--listen") && error.contains(&address.to_string()),
                "{error}"
            );
        }
    }
}
