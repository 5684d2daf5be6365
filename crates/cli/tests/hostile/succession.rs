//! A gateway whose process changes while its sockets stay.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::wait::{eventually, within};
use crate::harness::{Gateway, Options, Upstream};

/// In a debug build on a busy machine, a start takes a while.
const START: Duration = Duration::from_secs(20);

/// What it says of each success and each failure.
const DONE: &str = "another process has taken over";
const FAILED: &str = "the upgrade failed, this process serves on";

/// A gateway and those that take over from it. Whatever of them still runs at the end of the test is ended.
pub(crate) struct Succession {
    gateway: Gateway,
}

impl Deref for Succession {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.gateway
    }
}

impl DerefMut for Succession {
    fn deref_mut(&mut self) -> &mut Gateway {
        &mut self.gateway
    }
}

impl Succession {
    pub(crate) fn of(gateway: Gateway) -> Self {
        Self { gateway }
    }

    /// Starts one from a path of its own, which leads to the real program for now.
    #[track_caller]
    pub(crate) fn start(options: Options) -> Self {
        let program = program(&options);
        put_real(&program);
        let mut command = Command::new(&program);
        command.args(options.command()).stdin(Stdio::null());
        Self::of(Gateway::start_by(options, &mut command))
    }

    /// Where its program stands.
    pub(crate) fn program(&self) -> PathBuf {
        program(self.options())
    }

    /// The processes that run with this gateway's data directory, the oldest first.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let data = self.data_dir().display().to_string();
        let mut found: Vec<u32> = fs::read_dir("/proc")
            .expect("Linux shows its processes")
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|process| {
                // That of a process which has ended is empty.
                fs::read_to_string(format!("/proc/{process}/cmdline"))
                    .is_ok_and(|line| line.split('\0').any(|argument| argument == data))
            })
            .collect();
        found.sort_unstable_by_key(|process| began(*process));
        found
    }

    /// How many upgrades were done and how many failed so far, by what it logs.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let printed = self.stdout();
        (
            printed.matches(DONE).count(),
            printed.matches(FAILED).count(),
        )
    }

    /// Asks the one process that runs for an upgrade. Returns its id.
    #[track_caller]
    pub(crate) fn ask(&self) -> u32 {
        let running = self.processes();
        let [process] = running[..] else {
            panic!("one process should run, not {running:?}");
        };
        signal(process, Signal::USR2);
        process
    }

    /// Asks, and waits until another process has taken over. Returns the old one's id and the new one's.
    #[track_caller]
    pub(crate) fn upgrade(&self) -> (u32, u32) {
        let (done, _) = self.counts();
        let old = self.ask();
        within(START, "another process takes over", || {
            self.counts().0 > done
        });
        let new = *self.processes().last().expect("one runs");
        assert_ne!(new, old);
        (old, new)
    }

    /// Asks, and waits until the process says that it came to nothing.
    #[track_caller]
    pub(crate) fn fail_to_upgrade(&self) {
        let (done, failed) = self.counts();
        let process = self.ask();
        within(START, "it says that the upgrade failed", || {
            self.counts().1 > failed
        });
        assert_eq!(self.counts(), (done, failed + 1));
        assert_eq!(
            self.processes(),
            [process],
            "the old process runs and nothing else"
        );
    }

    /// Waits until a process has ended.
    #[track_caller]
    pub(crate) fn wait_for_end_of(&self, process: u32) {
        within(START, "the old process ends", || {
            !self.processes().contains(&process)
        });
    }

    /// Tells the one process that runs to end, and waits for that.
    #[track_caller]
    pub(crate) fn terminate_last(&self) {
        for process in self.processes() {
            signal(process, Signal::TERM);
        }
        eventually("all have ended", || self.processes().is_empty());
    }
}

impl Drop for Succession {
    fn drop(&mut self) {
        for process in self.processes() {
            signal(process, Signal::KILL);
        }
    }
}

/// Sends a signal to one that this test has started.
pub(crate) fn signal(process: u32, signal: Signal) {
    let id = i32::try_from(process).ok().and_then(Pid::from_raw);
    // It fails only if the process has ended already.
    kill_process(id.expect("a process has an id"), signal).ok();
}

/// Puts a program in place as one should: beside it, then by one rename.
pub(crate) fn replace(program: &Path, put: impl FnOnce(&Path)) {
    let beside = program.with_extension("new");
    put(&beside);
    fs::rename(beside, program).expect("the test's folder can be written");
}

pub(crate) fn put_real(program: &Path) {
    replace(program, |place| {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_bastide"), place)
            .expect("the test's folder can be written");
    });
}

/// A shell script in place of the program.
pub(crate) fn put_script(program: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;

    replace(program, |place| {
        fs::write(place, format!("#!/bin/sh\n{text}\n")).expect("the test's folder can be written");
        fs::set_permissions(place, fs::Permissions::from_mode(0o700)).expect("it is ours");
    });
}

/// An upstream that answers at once with what it was sent.
pub(crate) fn echo() -> Upstream {
    Upstream::start(|request| crate::harness::Answer::status(200).body(request.body.clone()))
}

fn program(options: &Options) -> PathBuf {
    options.folder().join("bastide")
}

/// When a process began, in ticks since the machine did.
fn began(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name, which may hold anything, ends with the last parenthesis; the state is field 3 and the start field 22.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let field = after.split_whitespace().nth(19);
    field.and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}
