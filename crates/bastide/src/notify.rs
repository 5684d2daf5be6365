//! Telling whoever supervises this process how it goes, by systemd's convention `NOTIFY_SOCKET` (`sd_notify(3)`).

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Calls are taken.
pub(crate) fn ready() {
    say("READY=1");
}

/// The end has begun.
pub(crate) fn stopping() {
    say("STOPPING=1");
}

/// Nobody may listen, which is no failure of this process.
fn say(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&path),
    };
    let sent = address
        .and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!(%error, state, "NOTIFY_SOCKET is set, and nobody can be told there");
    }
}
