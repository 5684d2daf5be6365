//! Ctrl-C and SIGTERM: the command under way is ended, then this process goes the ordinary way out and stops its servers.

use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

static ASKED: AtomicBool = AtomicBool::new(false);
/// The command under way, 0 for none.
static CHILD: AtomicI32 = AtomicI32::new(0);

/// Watches for the signals from now on. Where that is not possible they end the process, and the servers with it.
pub(crate) fn watch() {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else {
        return;
    };
    std::thread::spawn(move || {
        for _ in signals.forever() {
            ASKED.store(true, Ordering::SeqCst);
            end_child();
        }
    });
}

/// Whether one of the signals has come.
pub(crate) fn was_asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// Runs a command to its end. The signals end it.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<ExitStatus> {
    let program = command.get_program().to_owned();
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    CHILD.store(i32::try_from(child.id()).unwrap_or(0), Ordering::SeqCst);
    if was_asked() {
        end_child();
    }
    let status = child.wait();
    CHILD.store(0, Ordering::SeqCst);
    status.with_context(|| format!("cannot wait for {}", program.display()))
}

fn end_child() {
    if let Some(child) = Pid::from_raw(CHILD.load(Ordering::SeqCst)) {
        // It fails only if the command has ended already.
        let _ = kill_process(child, Signal::TERM);
    }
}
