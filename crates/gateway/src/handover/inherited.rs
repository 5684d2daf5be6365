//! What this process was started with: listening sockets, and who waits for it to be ready.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::fd::{OwnedFd, RawFd};

use bastide_config::env::Env;
use socket2::{Domain, Socket, Type};

use super::{ADMIN, FIRST, PUBLIC, READY};
use crate::sys;

/// Descriptors that were handed over at the start.
#[derive(Debug, Default)]
pub struct Inherited {
    pub(crate) public: Vec<TcpListener>,
    pub(crate) admin: Vec<TcpListener>,
    ready: Option<File>,
}

/// Why what was handed over cannot be used. Each message names the variable and says what to do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InheritError {
    /// A number was expected.
    #[error(
        "{variable}: `{value}` is not {expected}; leave LISTEN_FDS and LISTEN_PID to whoever hands over the sockets"
    )]
    NotANumber {
        /// Which variable.
        variable: &'static str,
        /// What stands there.
        value: String,
        /// What should.
        expected: &'static str,
    },
    /// As many names as descriptors were expected.
    #[error(
        "LISTEN_FDNAMES: {names} name(s) for {descriptors} descriptor(s); give each one, or leave the variable out"
    )]
    NameCount {
        /// How many there are.
        names: usize,
        /// How many there should be.
        descriptors: usize,
    },
    /// A name that means nothing here.
    #[error(
        "LISTEN_FDNAMES: `{0}` is not `public`, `admin` or `ready`; name the sockets so (FileDescriptorName= in a systemd \
         socket unit)"
    )]
    UnknownName(String),
    /// Not what it should be.
    #[error("LISTEN_FDS: descriptor {descriptor} {reason}; hand over listening TCP sockets")]
    Unusable {
        /// Its number.
        descriptor: RawFd,
        /// What is wrong with it.
        reason: String,
    },
}

impl Inherited {
    /// Takes over what the variables name, if they are meant for this process. To be called once, before anything is
    /// opened; a second call finds nothing.
    ///
    /// From then on the descriptors are closed when another program is started.
    pub fn take(env: &Env) -> Result<Self, InheritError> {
        let mut inherited = Self::default();
        for (descriptor, name) in (FIRST..).zip(names(env, std::process::id())?) {
            let fd = sys::take_inherited(descriptor)
                .map_err(|error| unusable(descriptor, error.to_string()))?;
            match name.as_str() {
                READY => inherited.ready = Some(File::from(fd)),
                ADMIN => inherited.admin.push(listener(descriptor, fd)?),
                _ => inherited.public.push(listener(descriptor, fd)?),
            }
        }
        Ok(inherited)
    }

    /// Who waits for `READY=1`, if anybody.
    pub(crate) fn take_ready(&mut self) -> Ready {
        Ready(self.ready.take())
    }
}

/// Whoever waits for this process to accept connections.
pub(crate) struct Ready(Option<File>);

impl Ready {
    /// Says it, and that nothing more will come.
    pub(crate) fn say(self) {
        if let Some(mut pipe) = self.0
            && let Err(error) = pipe.write_all(super::successor::IS_READY)
        {
            tracing::warn!(%error, "the process that started this one did not wait until it was ready");
        }
    }
}

/// What each descriptor is for, in order.
fn names(env: &Env, process: u32) -> Result<Vec<String>, InheritError> {
    let number = |variable, expected| {
        let Some(value) = env.get(variable) else {
            return Ok(None);
        };
        match value.parse::<u32>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(InheritError::NotANumber {
                variable,
                value,
                expected,
            }),
        }
    };
    // The variables stay in the environment of children that they are not meant for.
    if number("LISTEN_PID", "the id of a process")? != Some(process) {
        return Ok(Vec::new());
    }
    let count = number("LISTEN_FDS", "a number of descriptors")?.unwrap_or(0) as usize;
    let Some(text) = env.get("LISTEN_FDNAMES").filter(|_| count > 0) else {
        return Ok(vec![PUBLIC.to_owned(); count]);
    };
    let names: Vec<String> = text.split(':').map(str::to_owned).collect();
    if names.len() != count {
        return Err(InheritError::NameCount {
            names: names.len(),
            descriptors: count,
        });
    }
    match names
        .iter()
        .find(|name| ![PUBLIC, ADMIN, READY].contains(&name.as_str()))
    {
        Some(unknown) => Err(InheritError::UnknownName(unknown.clone())),
        None => Ok(names),
    }
}

fn listener(descriptor: RawFd, fd: OwnedFd) -> Result<TcpListener, InheritError> {
    let socket = Socket::from(fd);
    let wrong = |error: io::Error| unusable(descriptor, format!("is not a socket ({error})"));
    let domain = socket.domain().map_err(wrong)?;
    let is_tcp = [Domain::IPV4, Domain::IPV6].contains(&domain)
        && socket.r#type().map_err(wrong)? == Type::STREAM;
    if !is_tcp {
        return Err(unusable(descriptor, "is not a TCP socket"));
    }
    if !socket.is_listener().map_err(wrong)? {
        return Err(unusable(descriptor, "does not listen"));
    }
    // Whoever hands it over may have used it otherwise.
    socket.set_nonblocking(true).map_err(wrong)?;
    Ok(socket.into())
}

fn unusable(descriptor: RawFd, reason: impl Into<String>) -> InheritError {
    InheritError::Unusable {
        descriptor,
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn named(env: &[(&str, &str)]) -> Result<Vec<String>, String> {
        names(&Env::of(env.iter().copied()), 7).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_meant_for_another_process_is_left_alone() {
        assert_eq!(named(&[]).unwrap(), Vec::<String>::new());
        assert_eq!(named(&[("LISTEN_FDS", "2")]).unwrap(), Vec::<String>::new());
        let other = [("LISTEN_FDS", "2"), ("LISTEN_PID", "8")];
        assert_eq!(named(&other).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn names_say_what_each_is_for_and_without_names_all_are_public() {
        let mut env = vec![("LISTEN_FDS", "2"), ("LISTEN_PID", "7")];
        assert_eq!(named(&env).unwrap(), ["public", "public"]);
        env.push(("LISTEN_FDNAMES", "admin:public"));
        assert_eq!(named(&env).unwrap(), ["admin", "public"]);
    }

    #[test]
    fn a_wrong_value_is_named_with_its_variable() {
        for (fds, pid, names, expected) in [
            ("two", "7", "public", "LISTEN_FDS: `two`"),
            ("-1", "7", "public", "LISTEN_FDS: `-1`"),
            ("1", "me", "public", "LISTEN_PID: `me`"),
            ("2", "7", "public", "LISTEN_FDNAMES: 1 name(s) for 2"),
            ("1", "7", "web.socket", "LISTEN_FDNAMES: `web.socket`"),
        ] {
            let env = [
                ("LISTEN_FDS", fds),
                ("LISTEN_PID", pid),
                ("LISTEN_FDNAMES", names),
            ];
            let error = named(&env).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn only_a_listening_tcp_socket_is_taken() {
        let unix = UnixListener::bind(tempfile::tempdir().unwrap().path().join("s")).unwrap();
        let error = listener(3, unix.into()).unwrap_err().to_string();
        assert!(error.contains("descriptor 3 is not a TCP"), "{error}");
        let file = File::open("/dev/null").unwrap();
        let error = listener(4, file.into()).unwrap_err().to_string();
        assert!(error.contains("descriptor 4 is not a socket"), "{error}");
        let unbound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let error = listener(5, unbound.into()).unwrap_err().to_string();
        assert!(error.contains("descriptor 5 does not listen"), "{error}");
        let good = TcpListener::bind("127.0.0.1:0").unwrap();
        listener(6, good.into()).unwrap();
    }
}
