//! Workers: processes beside the one that takes calls. Each is this program, asked for one of them by name.
//!
//! This process holds the other end of each worker's standard input. It closes when a worker is to end, and when this process is
//! gone, however that came about: no worker outlives it, and a signal to all of them is never a second one.

use std::future::pending;
use std::process::Stdio;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{oneshot, watch};

use crate::app::{App, Stop};
use crate::error::StartError;
use crate::signals::Signals;
use crate::{notify, tables};

/// Is the worker of this name until its work ends or the process is told to stop.
pub(crate) async fn run(mut app: App, name: &str, until_input_ends: bool) -> anyhow::Result<()> {
    let timeout = app.parts.settings.shutdown.timeout;
    let mut signals = Signals::listen(timeout, app.lines.clone())?;
    let Some(place) = app.workers.iter().position(|worker| worker.name == name) else {
        return Err(StartError::no_worker(name, &app).into());
    };
    let worker = app.workers.swap_remove(place);
    let (stop, stopped) = watch::channel(false);
    let mut told = Box::pin(told_to_stop(&mut signals, until_input_ends));
    tokio::select! {
        prepared = tables::prepare(&app.parts) => prepared?,
        why = &mut told => {
            tracing::info!(why, worker = name, "stopping before the start was over");
            return Ok(());
        }
    }
    // On a task of its own: should it block, then not whoever waits for it.
    let mut work = tokio::spawn(async move { (worker.work)(Stop::new(stopped)).await });
    notify::ready();
    tracing::info!(worker = name, "ready");
    let why = tokio::select! {
        done = &mut work => return done.unwrap_or_else(|_| Err(anyhow::anyhow!("the worker panicked"))),
        why = &mut told => why,
    };
    drop(told);
    signals.stopping(1);
    notify::stopping();
    tracing::info!(why, worker = name, "stopping");
    stop.send_replace(true);
    match tokio::time::timeout(timeout, work).await {
        Ok(done) => done.unwrap_or_else(|_| Err(anyhow::anyhow!("the worker panicked"))),
        Err(_) => anyhow::bail!("the worker did not end within {timeout:?} (shutdown.timeout)"),
    }
}

/// Ends when somebody wants the worker to; says who.
async fn told_to_stop(signals: &mut Signals, until_input_ends: bool) -> &'static str {
    if !until_input_ends {
        return signals.first().await;
    }
    let (end, ended) = oneshot::channel();
    let read = move || {
        // An input that cannot be read has ended too.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        // Nobody waits any more if a signal came first.
        let _ = end.send(());
    };
    std::thread::spawn(read);
    tokio::select! {
        signal = signals.first() => signal,
        _ = ended => "the program that started it stops or is gone",
    }
}

/// The worker processes of this one.
pub(crate) struct Children(Vec<Running>);

struct Running {
    name: &'static str,
    child: Child,
    /// The worker runs for as long as this is open.
    input: Option<ChildStdin>,
}

impl Children {
    /// Starts a process for each worker, if they are wanted.
    pub(crate) fn start(app: &App, are_wanted: bool) -> anyhow::Result<Self> {
        if !are_wanted || app.workers.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let program = std::env::current_exe()?;
        let start = |name: &'static str| -> anyhow::Result<Running> {
            let mut child = Command::new(&program)
                .args(["worker", "--until-input-ends", name])
                // What would be said to this process's supervisor is not theirs to say.
                .env_remove("NOTIFY_SOCKET")
                .stdin(Stdio::piped())
                // Ctrl-C at a terminal is for this process, which tells them when it is their turn.
                .process_group(0)
                .kill_on_drop(true)
                .spawn()?;
            tracing::info!(worker = name, pid = child.id(), "started");
            let input = child.stdin.take();
            Ok(Running { name, child, input })
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
        for running in &mut self.0 {
            running.input = None;
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
