//! `bastide gateway`: run until told to stop.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use bastide_config::env::Env;
use bastide_gateway::Gateway;
use bastide_gateway::handover::Inherited;
use bastide_gateway::settings::{Environment, Flags, Settings};
use bastide_telemetry::lines::{self, Lines};
use bastide_telemetry::log::{self, Redaction, Style};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::say::{failed, refused, say};

/// How long the last log lines may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Log lines that wait for a slow terminal, in bytes; more are dropped and counted.
const LOG_BUFFER: usize = 1 << 20;

/// Why a process that has handed over makes no other one.
const LEFT: &str = "another process has taken over already; ask that one";

pub(crate) fn serve(flags: &Flags, env: &Env) -> ExitCode {
    // Before anything is opened, which might get a number that is spoken for.
    let inherited = match Inherited::take(env) {
        Ok(inherited) => inherited,
        Err(error) => return refused(error),
    };
    let settings = match Settings::read(flags, env) {
        Ok(settings) => settings,
        Err(problems) => return refused(problems),
    };
    let style = if settings.environment == Environment::Production {
        Style::Json
    } else {
        Style::Pretty {
            color: std::io::stdout().is_terminal(),
        }
    };
    let lines = match lines::stdout().and_then(|stdout| Lines::start(stdout, LOG_BUFFER)) {
        Ok(lines) => lines,
        Err(error) => return failed(format!("standard output cannot be written: {error}")),
    };
    if let Err(error) = log::init(&settings.log, style, Redaction::standard(), lines.source()) {
        return failed(error);
    }
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        return failed("the TLS provider is installed twice");
    }
    // One thread beside those that carry requests: nothing here is urgent, and nothing there waits for it.
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return failed(format!(
                "the control plane's thread cannot be started: {error}"
            ));
        }
    };
    let code = runtime.block_on(run(settings, inherited, &lines));
    runtime.shutdown_background();
    lines.flush(LAST_WORDS);
    code
}

/// The signals that the gateway acts upon.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    upgrade: Signal,
    hangup: Signal,
}

impl Signals {
    fn watch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            upgrade: signal(SignalKind::user_defined2())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Asked::Stop,
                _ = self.interrupt.recv() => return Asked::Stop,
                _ = self.upgrade.recv() => return Asked::Upgrade,
                // What many programs read their configuration at; unheeded it would end the process on the spot.
                _ = self.hangup.recv() => {
                    tracing::info!("SIGHUP has nothing to do: files are watched");
                }
            }
        }
    }

    /// Waits to be told to stop, where an upgrade cannot be had and `why` says why not.
    async fn stop(&mut self, why: &str) {
        while self.next().await == Asked::Upgrade {
            tracing::warn!("no upgrade: {why}");
        }
    }
}

#[derive(PartialEq, Eq)]
enum Asked {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGUSR2.
    Upgrade,
}

async fn run(settings: Settings, inherited: Inherited, lines: &Lines) -> ExitCode {
    // Taken before anything is announced: who reads that the gateway listens may stop it at once.
    let mut signals = match Signals::watch() {
        Ok(signals) => signals,
        Err(error) => return failed(format!("signals cannot be watched: {error}")),
    };
    let mut gateway = tokio::select! {
        started = Gateway::start(settings, inherited, lines) => match started {
            Ok(gateway) => gateway,
            Err(error) => return failed(error),
        },
        // Nothing is accepted yet, so nothing is lost.
        () = signals.stop("this process is only starting") => return ExitCode::SUCCESS,
    };
    announce(&gateway);
    let successor = successor(&gateway, &mut signals).await;
    match successor {
        None => finish(gateway.stop(), &mut signals, "this process stops").await,
        Some(process) => {
            tokio::select! {
                () = gateway.leave(process) => {}
                () = signals.stop(LEFT) => {}
            }
            finish(gateway.close(), &mut signals, LEFT).await
        }
    }
}

/// Serves until told to stop, or until another process has taken over, whose id is returned.
async fn successor(gateway: &Gateway, signals: &mut Signals) -> Option<u32> {
    loop {
        if signals.next().await == Asked::Stop {
            return None;
        }
        tracing::info!("asked for an upgrade; starting the new process");
        let upgraded = tokio::select! {
            upgraded = gateway.upgrade() => upgraded,
            () = signals.stop("one is under way already") => return None,
        };
        match upgraded {
            Ok(process) => return Some(process),
            Err(error) => tracing::error!("the upgrade failed, this process serves on: {error}"),
        }
    }
}

/// Waits for the end, unless told to stop again, which means now.
async fn finish(end: impl Future<Output = ()>, signals: &mut Signals, why: &str) -> ExitCode {
    tokio::select! {
        () = end => ExitCode::SUCCESS,
        () = signals.stop(why) => ExitCode::FAILURE,
    }
}

fn announce(gateway: &Gateway) {
    if let Some(key) = &gateway.made_admin_key {
        say(format!(
            "admin key (shown this once, kept in the data directory): {key}"
        ));
    }
    let scheme = if gateway.is_tls { "https" } else { "http" };
    match gateway.admin_listen {
        Some(admin) => say(format!(
            "gateway on {scheme}://{}, Admin API on http://{admin}",
            gateway.listen
        )),
        None => say(format!(
            "gateway and Admin API on {scheme}://{}",
            gateway.listen
        )),
    };
}
