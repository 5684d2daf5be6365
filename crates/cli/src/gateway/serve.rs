//! `bastide gateway`: run until told to stop.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use bastide_config::env::Env;
use bastide_gateway::Gateway;
use bastide_gateway::settings::{Environment, Flags, Settings};
use bastide_telemetry::lines::{self, Lines};
use bastide_telemetry::log::{self, Redaction, Style};
use tokio::signal::unix::{SignalKind, signal};

use crate::say::{failed, refused, say};

/// How long the last log lines may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Log lines that wait for a slow terminal, in bytes; more are dropped and counted.
const LOG_BUFFER: usize = 1 << 20;

pub(crate) fn serve(flags: &Flags, env: &Env) -> ExitCode {
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
    let code = runtime.block_on(run(settings, &lines));
    runtime.shutdown_background();
    lines.flush(LAST_WORDS);
    code
}

async fn run(settings: Settings, lines: &Lines) -> ExitCode {
    // Taken before anything is announced: who reads that the gateway listens may stop it at once.
    let (mut terminate, mut interrupt) = match (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => {
            return failed(format!("signals cannot be watched: {error}"));
        }
    };
    let gateway = match Gateway::start(settings, lines).await {
        Ok(gateway) => gateway,
        Err(error) => return failed(error),
    };
    announce(&gateway);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let stopped = gateway.stop();
    tokio::select! {
        () = stopped => ExitCode::SUCCESS,
        // A second one means now.
        _ = terminate.recv() => ExitCode::FAILURE,
        _ = interrupt.recv() => ExitCode::FAILURE,
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
