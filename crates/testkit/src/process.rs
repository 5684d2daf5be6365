//! A server process that cannot outlive the tests.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::TestkitError;

const STOP_PATIENCE: Duration = Duration::from_secs(10);
const LOG_TAIL: u64 = 2000;

/// A running server and where it logs.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    name: &'static str,
    log: PathBuf,
}

impl Process {
    /// Starts a program through `launcher`, which sees to it that it dies with this process.
    pub(crate) fn start(
        name: &'static str,
        mut command: Command,
        log: &Path,
    ) -> Result<Self, TestkitError> {
        let what = || format!("start {name}");
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(TestkitError::system(what()))?;
        let err = out.try_clone().map_err(TestkitError::system(what()))?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let child = spawn(command).map_err(TestkitError::system(what()))?;
        Ok(Self {
            child,
            name,
            log: log.to_owned(),
        })
    }

    /// Waits until `answers` says so. An error if it does not in time or the process has ended.
    pub(crate) fn wait_ready(
        &mut self,
        patience: Duration,
        mut answers: impl FnMut() -> bool,
    ) -> Result<(), TestkitError> {
        let mut ended = false;
        let ready = crate::until(patience, || {
            ended = self.has_ended();
            ended || answers()
        });
        if ended {
            return Err(TestkitError::Failed {
                program: self.name.to_owned(),
                output: self.log_tail(),
            });
        }
        if !ready {
            return Err(TestkitError::Silent {
                program: self.name.to_owned(),
                patience,
                log: self.log_tail(),
            });
        }
        Ok(())
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal_to(self.child.id(), signal);
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end by a signal; ends it at once if it does not.
    pub(crate) fn stop(&mut self, signal: Signal) -> Option<ExitStatus> {
        self.signal(signal);
        let mut status = None;
        crate::until(STOP_PATIENCE, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        });
        if status.is_none() {
            self.kill();
        }
        status
    }

    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log).unwrap_or_else(|error| format!("(unreadable: {error})"))
    }
}

/// Sends a signal to a process of ours.
pub(crate) fn signal_to(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It fails only if the process has ended already.
        let _ = kill_process(pid, signal);
    }
}

/// The children of a process, by `/proc`.
pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| parent_of(*pid) == Some(parent))
        .collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_whitespace().nth(1)?.parse().ok()
}

/// A command that runs `program` as `user` (when this process is root and a user is named) and gets SIGQUIT when its parent is
/// gone. `setpriv` (util-linux) does both; where there is none, the program is run as it is.
pub(crate) fn launcher(program: &Path, user: Option<&str>) -> Command {
    if !Path::new("/usr/bin/setpriv").exists() {
        return Command::new(program);
    }
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if let Some(user) = user {
        command
            .args(["--reuid", user, "--regid"])
            .arg(group_of(user))
            .arg("--clear-groups");
    }
    command.arg("--").arg(program);
    command
}

fn group_of(user: &str) -> String {
    account(user).map_or_else(|| user.to_owned(), |(_, group)| group.to_string())
}

/// User and group id of a user, by `/etc/passwd`.
pub(crate) fn account(user: &str) -> Option<(u32, u32)> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = text
        .lines()
        .find(|line| line.split(':').next() == Some(user))?;
    let mut parts = line.split(':').skip(2);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Starts a child on a thread that lives as long as the process.
///
/// The parent-death signal comes when the *thread* that started the child ends. A test's thread ends with the test, a shared
/// server must not.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static KEEPER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        let work = move || {
            for (mut command, answer) in inbox {
                // Nobody waits for the answer any more only if the asking thread is gone.
                let _ = answer.send(command.spawn());
            }
        };
        std::thread::Builder::new()
            .name("testkit".to_owned())
            .spawn(work)
            .expect("a test can have one more thread");
        Mutex::new(orders)
    });
    let (answer, child) = channel();
    keeper
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer))
        .expect("the keeper never ends");
    child.recv().expect("the keeper answers each order")
}

fn tail(file: &Path) -> io::Result<String> {
    let mut file = File::open(file)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}
