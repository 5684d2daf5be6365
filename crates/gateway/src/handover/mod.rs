//! Listening sockets that come from another process and go to another one, so that a change of the binary loses no
//! connection.
//!
//! Connections that wait to be accepted belong to the listening socket, not to the process. As long as one process
//! holds the socket, none of them is reset. So a new process is never told to open the same address: it gets the very
//! sockets.
//!
//! # The convention
//! It is systemd's (`sd_listen_fds(3)`), in both directions. Descriptors from 3 on are handed over; `LISTEN_FDS` says
//! how many, `LISTEN_PID` to whom, `LISTEN_FDNAMES` what each is for:
//!
//! | name | meaning |
//! |---|---|
//! | `public` | a listening TCP socket in place of `--listen`; there may be several |
//! | `admin` | a listening TCP socket in place of `--admin-listen`; there may be several |
//! | `ready` | a pipe into which `READY=1` is written when connections are accepted |
//!
//! Without names every descriptor is `public`, and the Admin API opens its own address as ever.
//!
//! # An upgrade
//! The program that now stands where this one was started from is started with the same arguments and environment,
//! and waited for at its `ready`. Until then both processes are as independent as two nodes on one database.

mod inherited;
mod program;
pub(crate) mod successor;
mod supervisor;

pub use inherited::{InheritError, Inherited};
pub(crate) use program::Program;
pub use successor::UpgradeError;
pub(crate) use supervisor::Supervisor;

/// The first descriptor after standard input, output and error.
const FIRST: std::os::fd::RawFd = 3;

/// Names in `LISTEN_FDNAMES`.
const PUBLIC: &str = "public";
const ADMIN: &str = "admin";
const READY: &str = "ready";
