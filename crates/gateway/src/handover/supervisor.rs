//! Telling a supervisor that asks for it how things stand (`sd_notify(3)`): `READY=1`, `MAINPID=`, `STOPPING=1`.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The supervisor behind `NOTIFY_SOCKET`, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Supervisor(Option<String>);

impl Supervisor {
    /// The one that this process's environment names.
    pub(crate) fn of_this_process() -> Self {
        Self(std::env::var("NOTIFY_SOCKET").ok())
    }

    /// Says it. One that does not listen changes nothing for us.
    pub(crate) fn say(&self, state: &str) {
        if let Some(name) = &self.0
            && let Err(error) = send(name, state)
        {
            tracing::warn!(
                %error, state, "NOTIFY_SOCKET: the supervisor at {name} cannot be told; it may think otherwise"
            );
        }
    }
}

fn send(name: &str, state: &str) -> io::Result<()> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A supervisor that does not read must not hold up what it supervises.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_hears_it_at_a_path_and_by_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("bastide-test-{}", uuid::Uuid::new_v4());
        let sockets = [
            (path.display().to_string(), UnixDatagram::bind(&path)),
            (
                format!("@{name}"),
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()),
            ),
        ];
        for (name, socket) in sockets {
            Supervisor(Some(name)).say("READY=1");
            let mut heard = [0; 32];
            let socket = socket.unwrap();
            socket.set_nonblocking(true).unwrap();
            let length = socket.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"READY=1");
        }
    }

    #[test]
    fn one_that_is_gone_is_no_error_of_ours() {
        Supervisor(Some("/nowhere/notify".into())).say("READY=1");
        Supervisor(None).say("READY=1");
    }
}
