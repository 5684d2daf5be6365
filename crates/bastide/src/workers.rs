//! Workers: processes beside the one that takes calls. Each is this program, asked for one of them by name.

use std::future::pending;
use std::process::Stdio;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::app::{App, Stop};
use crate::error::StartError;
use crate::signals::Signals;
use crate::{notify, tables};

/// Is the worker of this name until its work ends or the process is told to stop.
pub(crate) async fn run(mut app: App, name: &str) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let Some(place) = app.workers.iter().position(|worker| worker.name == name) else {
        return Err(StartError::no_worker(name, &app).into());
    };
    let worker = app.workers.swap_remove(place);
    tables::prepare(&app.parts).await?;
    let (stop, stopped) = watch::channel(false);
    let mut work = (worker.work)(Stop::new(stopped));
    notify::ready();
    tracing::info!(worker = name, "ready");
    let signal = tokio::select! {
        done = &mut work => return done,
        signal = signals.next() => signal,
    };
    notify::stopping();
    tracing::info!(signal, worker = name, "stopping");
    stop.send_replace(true);
    let timeout = app.parts.settings.shutdown.timeout;
    tokio::select! {
        done = tokio::time::timeout(timeout, work) => match done {
            Ok(done) => done,
            Err(_) => anyhow::bail!("the worker did not end within {timeout:?} (shutdown.timeout)"),
        },
        signal = signals.next() => anyhow::bail!("{signal} came again while stopping: ended at once"),
    }
}

/// The worker processes of this one.
pub(crate) struct Children(Vec<Running>);

struct Running {
    name: &'static str,
    child: Child,
}

impl Children {
    /// Starts a process for each worker, if they are wanted.
    pub(crate) fn start(app: &App, are_wanted: bool) -> anyhow::Result<Self> {
        if !are_wanted || app.workers.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let program = std::env::current_exe()?;
        let start = |name: &'static str| -> anyhow::Result<Running> {
            // What would be said to this process's supervisor is not theirs to say.
            let child = Command::new(&program)
                .args(["worker", name])
                .env_remove("NOTIFY_SOCKET")
                .stdin(Stdio::null())
                .kill_on_drop(true)
                .spawn()?;
            tracing::info!(worker = name, pid = child.id(), "started");
            Ok(Running { name, child })
        };
        let workers = app.workers.iter().map(|worker| start(worker.name));
        Ok(Self(workers.collect::<anyhow::Result<_>>()?))
    }

    /// Ends when one of them does, which none should.
    pub(crate) async fn one_ended(&mut self) -> StartError {
        let mut all: FuturesUnordered<_> = self
            .0
            .iter_mut()
            .map(|running| async { (running.name, running.child.wait().await) })
            .collect();
        match all.next().await {
            Some((name, status)) => StartError::WorkerEnded {
                name: name.to_owned(),
                status: match status {
                    Ok(status) => status.to_string(),
                    Err(error) => error.to_string(),
                },
            },
            None => pending().await,
        }
    }

    /// Asks all of them to end, and ends those that do not within this time.
    pub(crate) async fn stop(mut self, limit: Duration) {
        for Running { child, .. } in &self.0 {
            let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
            if let Some(pid) = pid {
                // One that has just ended is what was wanted.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        let all = self.0.iter_mut().map(|running| running.child.wait());
        let ended = tokio::time::timeout(limit, futures_util::future::join_all(all)).await;
        if ended.is_err() {
            for running in &mut self.0 {
                if let Ok(None) = running.child.try_wait() {
                    tracing::warn!(worker = running.name, "did not end in time and is killed");
                }
                let _ = running.child.start_kill();
            }
        }
    }
}
