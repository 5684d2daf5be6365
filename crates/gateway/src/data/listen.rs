//! Listening sockets: one per worker on the same port, or those that were handed over.
//!
//! With `SO_REUSEPORT` the kernel spreads connections over the workers' own queues, so that workers share nothing. A
//! socket's queue is lost when the socket is closed, so a new binary is given the old one's sockets (`LISTEN_FDS`, the
//! convention of systemd) instead of opening its own.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

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

/// Opens `count` sockets on one address. Port 0 lets the kernel choose one port for all.
pub(crate) fn bind(
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
