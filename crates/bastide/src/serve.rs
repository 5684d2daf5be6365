//! The process that takes calls: its start in order, and its end in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bastide_health::Health;
use bastide_rpc::{Dispatcher, Drain, HttpEntry, HttpOptions, Ops, Registry, Server};
use tokio::time::{Instant, timeout_at};

use crate::app::{App, Hook};
use crate::error::StartError;
use crate::notify;
use crate::readiness;
use crate::settings::OpsListen;
use crate::signals::Signals;
use crate::tables;
use crate::workers::Children;

/// Takes calls until the process is told to stop.
///
/// 1. Tables are looked at, or made where that is allowed.
/// 2. The operator's endpoints answer; `/readyz` says that the program starts.
/// 3. Hooks warm up, in order.
/// 4. Callers are let in, and `/readyz` says so.
/// 5. On SIGTERM or SIGINT `/readyz` fails first; after `shutdown.delay` nobody is let in any more; what is under way ends, then
///    the hooks of the end, all within `shutdown.timeout`. A second signal ends it at once.
pub(crate) async fn run(
    mut app: App,
    registry: Registry,
    with_workers: bool,
) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    tables::prepare(&app.parts).await?;
    let started = Arc::new(AtomicBool::new(false));
    let health = Arc::new(readiness::of(&mut app, &started));
    let settings = &app.parts.settings;

    let mut ops = None;
    if let OpsListen::At(address) = settings.http.ops {
        let ops_of = Ops::new(health.clone(), app.parts.metrics.clone());
        let mut server = Server::new(ops_of.entry());
        let address = server.listen(address).await.map_err(StartError::from)?;
        tracing::info!(%address, "the operator's endpoints answer");
        ops = Some(server);
    }
    let entry = entry(&mut app, registry, &health).await?;
    let parts = app.parts.clone();
    let settings = &parts.settings;
    let mut server = Server::new(entry);
    let address = settings.http.listen;

    warm_up(std::mem::take(&mut app.warm_up), &mut signals).await?;
    let mut children = Children::start(&app, with_workers)?;
    let address = server.listen(address).await.map_err(StartError::from)?;
    if let Some(socket) = &settings.http.socket {
        server.listen_unix(socket).map_err(StartError::from)?;
    }
    started.store(true, Ordering::Release);
    notify::ready();
    tracing::info!(%address, name = parts.program.name, version = parts.program.version, environment = parts.environment.name(), "ready");

    let ended = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "stopping");
            None
        }
        ended = children.one_ended() => Some(ended),
    };
    notify::stopping();
    health.drain();
    let stop = stop(
        server,
        children,
        std::mem::take(&mut app.wind_down),
        settings.shutdown.delay,
        settings.shutdown.timeout,
    );
    tokio::select! {
        () = stop => {}
        signal = signals.next() => anyhow::bail!("{signal} came again while stopping: ended at once"),
    }
    if let Some(ops) = ops {
        ops.drain(Duration::ZERO).await;
    }
    ended.map_or(Ok(()), |ended| Err(ended.into()))
}

/// What answers callers.
async fn entry(
    app: &mut App,
    registry: Registry,
    health: &Arc<Health>,
) -> Result<HttpEntry, StartError> {
    let parts = &app.parts;
    let needs_cache = registry.entries().iter().any(|entry| {
        let method = entry.method();
        method.cached().is_some() || method.invalidates().next().is_some()
    });
    let cache = if needs_cache {
        Some(parts.cache().await?.clone())
    } else {
        None
    };
    let http = &parts.settings.http;
    let mut dispatcher = Dispatcher::new(registry, &parts.metrics, cache)?
        .service_keys(parts.service_keys()?)
        .limiter(parts.limiter()?)
        .timeout(http.request_timeout);
    if let Some(verifier) = parts.verifier(app.sessions.take()).await? {
        dispatcher = dispatcher.verifier(verifier);
    }
    let limits = &parts.settings.rate_limit;
    dispatcher = if limits.enabled {
        match &limits.rule {
            Some(rule) => dispatcher.default_limit(rule.clone()),
            None => dispatcher,
        }
    } else {
        dispatcher.without_limits()
    };
    let options = HttpOptions {
        max_body: usize::try_from(http.max_body).unwrap_or(usize::MAX),
        header_timeout: http.header_timeout,
        keep_alive_timeout: http.keep_alive_timeout,
        max_batch: http.max_batch,
        batch_concurrency: http.batch_concurrency,
        ..HttpOptions::default()
    };
    let mut entry = HttpEntry::new(Arc::new(dispatcher), options);
    if http.openapi {
        entry = entry.described(parts.program.name, parts.program.version);
    }
    if http.ops == OpsListen::Same {
        let ops = Ops::new(health.clone(), parts.metrics.clone());
        entry = entry.with_ops(ops)?;
    }
    Ok(entry)
}

/// Each hook in order; a signal to stop is heard in between.
async fn warm_up(hooks: Vec<Hook>, signals: &mut Signals) -> anyhow::Result<()> {
    for Hook { name, work } in hooks {
        let started = Instant::now();
        tokio::select! {
            done = work() => done.map_err(|error| error.context(format!("warming up: {name}")))?,
            signal = signals.next() => anyhow::bail!("{signal} came while warming up: {name}"),
        }
        tracing::debug!(hook = name, time = ?started.elapsed(), "warmed up");
    }
    Ok(())
}

/// The phases of the end. Each takes what the ones before it left of the time.
async fn stop(
    server: Server,
    children: Children,
    hooks: Vec<Hook>,
    delay: Duration,
    timeout: Duration,
) {
    tokio::time::sleep(delay).await;
    let end = Instant::now() + timeout;
    let left = || end.saturating_duration_since(Instant::now());
    let (drained, ()) = tokio::join!(server.drain(left()), children.stop(left()));
    if drained == Drain::CutOff {
        tracing::warn!(
            ?timeout,
            "calls were still under way and are cut off; shutdown.timeout is for all of them"
        );
    }
    for Hook { name, work } in hooks.into_iter().rev() {
        match timeout_at(end, work()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(
                hook = name,
                error = format!("{error:#}"),
                "winding down failed"
            ),
            Err(_) => {
                tracing::error!(
                    hook = name,
                    ?timeout,
                    "winding down took longer than shutdown.timeout"
                );
                return;
            }
        }
    }
}
