//! The process that takes calls: its start in order, and its end in order.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bastide_health::Health;
use bastide_rpc::{Dispatcher, Drain, HttpEntry, Ops, Registry, Server};
use bastide_telemetry::metrics::Registry as MetricsRegistry;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::app::{App, Hook, Work};
use crate::error::{StartError, with_causes};
use crate::notify;
use crate::parts::Parts;
use crate::readiness::Readiness;
use crate::settings::{OpsListen, WebSocketSettings};
use crate::signals::Signals;
use crate::tables;
use crate::workers::Children;

/// For the hooks of the end, calls under way leave this part of `shutdown.timeout`.
const SHARE_OF_HOOKS: u32 = 5;
/// A supervisor may tell a worker to stop before it tells this process.
const SIGNAL_ON_ITS_WAY: Duration = Duration::from_millis(250);

/// How long the collector may take over the last spans.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Takes calls until the process is told to stop.
///
/// 1. The operator's endpoints answer, if they have an address of their own; `/readyz` says that the program starts.
/// 2. Tables are looked at, or made where that is allowed.
/// 3. Hooks warm up, in order.
/// 4. Callers are let in, the workers start, and `/readyz` says so.
/// 5. On SIGTERM or SIGINT `/readyz` fails first; after `shutdown.delay` nobody is let in any more; what is under way ends, then
///    the hooks of the end, all within `shutdown.timeout`. A second signal ends it at once.
///
/// A signal during the start ends it as well, in order: nobody was let in yet.
pub(crate) async fn run(
    mut app: App,
    registry: Registry,
    with_workers: bool,
    Readiness { health, started }: Readiness,
) -> anyhow::Result<()> {
    let parts = app.parts.clone();
    let settings = &parts.settings;
    let shutdown = &settings.shutdown;
    let limit = shutdown.delay.saturating_add(shutdown.timeout);
    let mut signals = Signals::listen(limit, app.lines.clone())?;
    // What is wrong with the configuration is said before anybody listens.
    let dispatcher = dispatcher(&mut app, registry).await?;
    let ops = operators_endpoints(&app, &health).await?;

    let hooks = std::mem::take(&mut app.warm_up);
    let start = async {
        tables::prepare(&parts).await?;
        warm_up(hooks).await
    };
    tokio::select! {
        started = start => started?,
        signal = signals.first() => {
            tracing::info!(signal, "stopping before the start was over");
            notify::stopping();
            return Ok(());
        }
    }
    let mut server = Server::new(entry(&parts, dispatcher, &health)?);
    let address = server.listen(settings.http.listen).await;
    let address = address.map_err(StartError::from)?;
    if let Some(socket) = &settings.http.socket {
        server.listen_unix(socket).map_err(StartError::from)?;
    }
    let mut children = Children::start(&app, with_workers)?;
    started.store(true, Ordering::Release);
    notify::ready();
    tracing::info!(%address, name = parts.program.name, version = parts.program.version, environment = parts.environment.name(), "ready");

    let ended = tokio::select! {
        signal = signals.first() => stopping(signal),
        ended = children.one_ended() => tokio::select! {
            signal = signals.first() => stopping(signal),
            () = tokio::time::sleep(SIGNAL_ON_ITS_WAY) => {
                tracing::error!(error = %ended, "stopping");
                signals.stopping(1);
                Some(ended)
            }
        },
    };
    notify::stopping();
    health.drain();
    let hooks = std::mem::take(&mut app.wind_down);
    stop(server, children, hooks, shutdown.delay, shutdown.timeout).await;
    if let Some(spans) = parts.spans()
        && !spans.flush(LAST_SPANS).await
    {
        tracing::warn!("the collector did not take the last spans in time");
    }
    if let Some(ops) = ops {
        ops.drain(Duration::ZERO).await;
    }
    tracing::info!("stopped");
    ended.map_or(Ok(()), |ended| Err(ended.into()))
}

fn stopping(signal: &'static str) -> Option<StartError> {
    tracing::info!(signal, "stopping");
    None
}

/// The listener of their own, if they have one.
async fn operators_endpoints(
    app: &App,
    health: &Arc<Health>,
) -> Result<Option<Server>, StartError> {
    let OpsListen::At(address) = app.parts.settings.http.ops else {
        return Ok(None);
    };
    let endpoints = Ops::new(health.clone(), app.parts.shown_metrics());
    let mut server = Server::new(endpoints.entry());
    let address = server.listen(address).await?;
    tracing::info!(%address, "the operator's endpoints answer");
    Ok(Some(server))
}

/// What decides about calls, with the parts that it needs for that.
pub(crate) async fn dispatcher(
    app: &mut App,
    registry: Registry,
) -> Result<Arc<Dispatcher>, StartError> {
    let parts = &app.parts;
    callers_can_be_known(parts, &registry)?;
    let http = &parts.settings.http;
    websocket_is_free(&http.websocket, &registry)?;
    let counted = if parts.settings.metrics.rpc {
        parts.metrics.clone()
    } else {
        // Counted all the same, where nobody looks.
        MetricsRegistry::new()
    };
    let mut dispatcher = Dispatcher::new(registry, &counted, parts.used_cache().cloned())?
        .service_keys(parts.service_keys()?)
        .limiter(parts.limiter()?)
        .timeout(parts.settings.http.request_timeout);
    if let Some(spans) = parts.start_spans()? {
        dispatcher = dispatcher.exporter(spans);
    }
    if let Some(verifier) = parts.verifier(app.sessions.take()).await? {
        dispatcher = dispatcher.verifier(verifier);
    }
    let limits = &parts.settings.rate_limit;
    Ok(Arc::new(if limits.enabled {
        match &limits.rule {
            Some(rule) => dispatcher.default_limit(rule.clone()),
            None => dispatcher,
        }
    } else {
        dispatcher.without_limits()
    }))
}

/// What answers callers.
pub(crate) fn entry(
    parts: &Parts,
    dispatcher: Arc<Dispatcher>,
    health: &Arc<Health>,
) -> Result<HttpEntry, StartError> {
    let http = &parts.settings.http;
    let mut entry = HttpEntry::new(dispatcher, http.options());
    if http.openapi {
        entry = entry.described(parts.program.name, parts.program.version);
    }
    if http.ops == OpsListen::Same {
        let ops = Ops::new(health.clone(), parts.shown_metrics());
        entry = entry.with_ops(ops)?;
    }
    Ok(entry)
}

/// Without keys every call but the public ones would be refused, for ever.
fn callers_can_be_known(parts: &Parts, registry: &Registry) -> Result<(), StartError> {
    let auth = &parts.settings.auth;
    if auth.keys.is_some() || !auth.service_keys.is_empty() {
        return Ok(());
    }
    // The report of health is for services alone, of which there need be none.
    let methods = registry.entries().iter();
    let methods = methods.filter(|entry| entry.service() != "health");
    let methods = methods.map(|entry| (entry.full_name(), entry.method().access()));
    let routes = registry.routes().iter();
    let routes = routes.map(|entry| (entry.full_name(), entry.route().access()));
    let Some((entry, _)) = methods
        .chain(routes)
        .find(|(_, access)| !access.is_public())
    else {
        return Ok(());
    };
    if !parts.environment.is_lenient() {
        let entry = entry.to_owned();
        return Err(StartError::NoKeys { entry });
    }
    tracing::warn!(
        entry,
        "nobody can call it: no keys are named by which tokens are verified (auth.secret)"
    );
    Ok(())
}

/// A method at the WebSocket's path could never be called there.
fn websocket_is_free(settings: &WebSocketSettings, registry: &Registry) -> Result<(), StartError> {
    let methods = registry.entries().iter();
    let paths = methods.filter_map(|entry| Some((entry.full_name(), entry.method().rest()?)));
    let mut taken = paths.filter(|(_, rest)| settings.enabled && rest.path() == settings.path);
    match taken.next() {
        None => Ok(()),
        Some((name, _)) => Err(StartError::Configuration(format!(
            "http.websocket.path: `{name}` is at {} too; give the WebSocket another path, or set http.websocket.enabled to false",
            settings.path
        ))),
    }
}

/// Each hook in order.
async fn warm_up(hooks: Vec<Hook>) -> anyhow::Result<()> {
    for Hook { name, work } in hooks {
        let started = Instant::now();
        let done = Running::start(work).await;
        done.map_err(|error| error.context(format!("warming up: {name}")))?;
        tracing::debug!(hook = name, time = ?started.elapsed(), "warmed up");
    }
    Ok(())
}

/// The work of a hook, on a task of its own: should it block, then not whoever waits for it. Dropped, it is cut off.
struct Running(JoinHandle<anyhow::Result<()>>);

impl Running {
    fn start(work: Work) -> Self {
        // What the author wrote is called there too, for it may block or panic as well.
        Self(tokio::spawn(async move { work().await }))
    }
}

impl Future for Running {
    type Output = anyhow::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Nobody else has the handle, so a task that did not end by itself has panicked.
        let ended = Pin::new(&mut self.0).poll(cx);
        ended.map(|ended| ended.unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked"))))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
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
    let for_calls = if hooks.is_empty() {
        timeout
    } else {
        timeout.saturating_sub(timeout / SHARE_OF_HOOKS)
    };
    let (drained, ()) = tokio::join!(server.drain(for_calls), children.stop(for_calls));
    if drained == Drain::CutOff {
        tracing::warn!(
            ?timeout,
            "calls were still under way and are cut off; shutdown.timeout is for all of them"
        );
    }
    let mut after_it = u32::try_from(hooks.len()).unwrap_or(u32::MAX);
    for Hook { name, work } in hooks.into_iter().rev() {
        let share = end.saturating_duration_since(Instant::now()) / after_it;
        after_it -= 1;
        match tokio::time::timeout(share, Running::start(work)).await {
            Ok(Ok(())) => tracing::debug!(hook = name, "wound down"),
            Ok(Err(error)) => tracing::error!(
                hook = name,
                error = with_causes(&error),
                "winding down failed"
            ),
            Err(_) => tracing::error!(
                hook = name,
                ?timeout,
                "winding down took longer than its share of shutdown.timeout and is given up"
            ),
        }
    }
}
