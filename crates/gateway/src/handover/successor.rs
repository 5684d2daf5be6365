//! The process that takes over: starting it with the listening sockets, and waiting until it accepts.

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

use super::{ADMIN, FIRST, PUBLIC, Program, READY};
use crate::sys::{ERROR_NUMBER, Image};

/// What a process writes when it accepts connections.
pub(super) const IS_READY: &[u8] = b"READY=1\n";

/// A process that is told to end and does not is killed after this time.
const END: Duration = Duration::from_secs(5);

/// Why an upgrade did not happen. The running process serves on.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// In a container, the first process's end is everybody's.
    #[error(
        "this is the first process of its container, at whose end a new one would end too; start a new container instead"
    )]
    FirstProcess,
    /// The operating system refused.
    #[error("{} cannot be started: {error}; put a program there that can be run", path.display())]
    Start {
        /// Which program.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It came and went.
    #[error("the new process {process} ({}) ended before it was ready ({status}); see what it wrote", path.display())]
    Ended {
        /// Its id.
        process: u32,
        /// Which program.
        path: PathBuf,
        /// How.
        status: ExitStatus,
    },
    /// It did not come far enough.
    #[error(
        "the new process {process} ({}) was not ready within {patience:?} and was ended; see what it wrote, or give it more \
         time with --upgrade-timeout",
        path.display()
    )]
    Late {
        /// Its id.
        process: u32,
        /// Which program.
        path: PathBuf,
        /// How long it was waited for.
        patience: Duration,
    },
}

/// Starts the program anew, hands it the sockets and waits for at most `patience` until it accepts connections.
/// Returns the new process's id.
///
/// Dropped before its end, it ends what it started.
pub(crate) async fn start(
    program: &Program,
    public: &[TcpListener],
    admin: &[TcpListener],
    patience: Duration,
) -> Result<u32, UpgradeError> {
    if std::process::id() == 1 {
        return Err(UpgradeError::FirstProcess);
    }
    let fail = |error| UpgradeError::Start {
        path: program.path.clone(),
        error,
    };
    let (said, mut unready) = spawn(program, public, admin).map_err(fail)?;
    let (process, child) = (unready.id, &mut unready.child);
    let late = || UpgradeError::Late {
        process,
        path: program.path.clone(),
        patience,
    };
    let told = async {
        let mut words = Vec::new();
        // One line, or the end, with the process's own.
        let mut said = BufReader::new(said.take(64));
        said.read_until(b'\n', &mut words).await.map(|_| words)
    };
    let words = tokio::select! {
        words = told => words.map_err(fail)?,
        () = tokio::time::sleep(patience) => {
            unready.end().await;
            return Err(late());
        }
    };
    if words == IS_READY {
        unready.is_trusted = true;
        return Ok(process);
    }
    if let Some(number) = words
        .strip_prefix(ERROR_NUMBER)
        .and_then(|number| std::str::from_utf8(number).ok()?.trim_end().parse().ok())
    {
        return Err(fail(io::Error::from_raw_os_error(number)));
    }
    // It closed the pipe. Nearly always because it ended; one that lives on does not know what was asked of it.
    let Ok(status) = tokio::time::timeout(patience, child.wait()).await else {
        unready.end().await;
        return Err(late());
    };
    Err(UpgradeError::Ended {
        process,
        path: program.path.clone(),
        status: status.map_err(fail)?,
    })
}

/// A process that may still turn out to be good for nothing.
struct Unready {
    child: Child,
    id: u32,
    is_trusted: bool,
}

impl Unready {
    /// Tells it to end, in case it accepts already, and sees to it that it does.
    async fn end(&mut self) {
        if let Some(process) = self.child.id().and_then(|id| Pid::from_raw(id as i32)) {
            kill_process(process, Signal::TERM).ok();
        }
        tokio::time::timeout(END, self.child.wait()).await.ok();
        self.child.kill().await.ok();
    }
}

impl Drop for Unready {
    fn drop(&mut self) {
        if !self.is_trusted {
            // It has ended already, most likely, and then this does nothing.
            self.child.start_kill().ok();
        }
    }
}

/// Starts it. The pipe ends when the process says something or ends.
fn spawn(
    program: &Program,
    public: &[TcpListener],
    admin: &[TcpListener],
) -> io::Result<(pipe::Receiver, Unready)> {
    let (reader, writer) = io::pipe()?;
    let sockets = public.iter().chain(admin).map(TcpListener::as_fd);
    let descriptors: Vec<BorrowedFd<'_>> = sockets.chain([writer.as_fd()]).collect();
    let names: Vec<&str> = std::iter::repeat_n(PUBLIC, public.len())
        .chain(std::iter::repeat_n(ADMIN, admin.len()))
        .chain([READY])
        .collect();
    let image = Image::new(
        program.path.as_os_str(),
        &program.arguments,
        &environment(std::env::vars_os(), &names),
        FIRST,
        &descriptors,
    )?;
    let mut command = Command::new(&program.path);
    image.become_of(&mut command);
    let child = command.spawn()?;
    let id = child.id().expect("it was not waited for yet");
    // With `command` and `writer` go this process's own ends for writing: what is left is the new process's.
    drop(command);
    drop(writer);
    let unready = Unready {
        child,
        id,
        is_trusted: false,
    };
    Ok((pipe::Receiver::from_owned_fd(reader.into())?, unready))
}

/// This process's environment with what was handed over now in place of what once was. `LISTEN_PID` is missing: it is
/// only known in the new process.
fn environment(
    own: impl Iterator<Item = (OsString, OsString)>,
    names: &[&str],
) -> Vec<(OsString, OsString)> {
    const CONVENTION: [&str; 3] = ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"];
    let handed_over = [
        ("LISTEN_FDS".into(), names.len().to_string().into()),
        ("LISTEN_FDNAMES".into(), names.join(":").into()),
    ];
    own.filter(|(name, _)| !CONVENTION.iter().any(|known| name == OsStr::new(known)))
        .chain(handed_over)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A program that is a shell script.
    fn script(folder: &tempfile::TempDir, text: &str) -> Program {
        let path = folder.path().join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        Program {
            arguments: vec![path.clone().into(), "one".into(), "two words".into()],
            path,
        }
    }

    async fn start_with_a_socket(
        program: &Program,
        patience: Duration,
    ) -> Result<u32, UpgradeError> {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        start(program, &[socket], &[], patience).await
    }

    #[tokio::test]
    async fn a_process_that_says_it_is_ready_has_its_arguments_and_what_it_needs_to_know() {
        let folder = tempfile::tempdir().unwrap();
        let facts = r#"echo "$LISTEN_FDS $LISTEN_FDNAMES $1 $2" > "$0.facts"
            test "$LISTEN_PID" = $$ && test -e /proc/$$/fd/3 && echo READY=1 >&4"#;
        let program = script(&folder, facts);
        let process = start_with_a_socket(&program, Duration::from_secs(10)).await;
        assert_ne!(process.unwrap(), std::process::id());
        let facts = std::fs::read_to_string(folder.path().join("program.facts")).unwrap();
        assert_eq!(facts, "2 public:ready one two words\n");
    }

    #[tokio::test]
    async fn one_that_ends_is_told_from_one_that_cannot_be_started() {
        let folder = tempfile::tempdir().unwrap();
        let program = script(&folder, "exit 3");
        let error = start_with_a_socket(&program, Duration::from_secs(10)).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("exit status: 3"), "{error}");
        std::fs::set_permissions(&program.path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let error = start_with_a_socket(&program, Duration::from_secs(10)).await;
        assert!(
            matches!(&error, Err(UpgradeError::Start { error, .. }) if error.raw_os_error() == Some(libc::EACCES)),
            "{error:?}"
        );
        std::fs::remove_file(&program.path).unwrap();
        let error = start_with_a_socket(&program, Duration::from_secs(10)).await;
        assert!(
            matches!(&error, Err(UpgradeError::Start { error, .. }) if error.kind() == io::ErrorKind::NotFound),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn one_that_never_gets_ready_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let program = script(&folder, "exec sleep 600");
        let error = start_with_a_socket(&program, Duration::from_millis(100)).await;
        let Err(UpgradeError::Late { process, .. }) = error else {
            panic!("{error:?}")
        };
        assert!(!std::path::Path::new(&format!("/proc/{process}")).exists());
    }

    #[test]
    fn what_an_earlier_process_handed_over_is_not_handed_on() {
        let own = [
            ("LISTEN_FDS", "9"),
            ("LISTEN_PID", "1"),
            ("LISTEN_FDNAMES", "a"),
            ("PATH", "/bin"),
        ];
        let own = own.map(|(name, value)| (name.into(), value.into()));
        let next = environment(own.into_iter(), &["public", "ready"]);
        let expected = [
            ("PATH", "/bin"),
            ("LISTEN_FDS", "2"),
            ("LISTEN_FDNAMES", "public:ready"),
        ];
        assert_eq!(
            next,
            expected.map(|(name, value)| (name.into(), value.into()))
        );
    }
}
