//! The program under test: its `main` runs in a thread of its own, and hands itself over where production would begin to serve.

use std::cell::Cell;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bastide_auth::Clock;
use bastide_config::Secret;
use bastide_config::env::Env;
use bastide_rpc::{Dispatcher, HttpEntry, Registry, Server};
use bastide_telemetry::lines::Lines;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::servers::Urls;
use crate::app::{App, Hook};
use crate::error::StartError;
use crate::launch::{Command, Program};
use crate::parts::Parts;
use crate::readiness::Readiness;
use crate::settings::{KeySource, OpsListen, ServiceKeySettings};
use crate::{configuration, serve, tables};

thread_local! {
    static STAGE: Cell<Option<Stage>> = const { Cell::new(None) };
}

/// What `launch` finds instead of a command line.
pub(crate) struct Stage {
    pub(super) runtime: Handle,
    pub(super) setting: Setting,
    pub(super) opening: Opening,
    pub(super) ended: oneshot::Sender<anyhow::Result<()>>,
}

/// What is the test's and not the configuration's.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) folder: PathBuf,
    /// `rate_limit.default` and what it is.
    pub(super) overrides: Vec<(String, String)>,
    pub(super) urls: Urls,
    pub(super) secret: Secret,
    pub(super) service_keys: Vec<ServiceKey>,
    pub(super) clock: Clock,
}

/// A trusted program that may act for any tenant.
#[derive(Debug, Clone)]
pub(super) struct ServiceKey {
    pub(super) name: String,
    pub(super) key: Secret,
    pub(super) roles: Vec<String>,
}

/// Where a program that is ready is handed over, and how it is told to end.
pub(crate) struct Opening {
    pub(super) listens: bool,
    pub(super) ready: oneshot::Sender<Running>,
    pub(super) stop: oneshot::Receiver<()>,
}

/// A program that takes calls.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) parts: Arc<Parts>,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) entry: HttpEntry,
    pub(super) address: Option<SocketAddr>,
}

impl Stage {
    /// That of this thread, which is there once.
    pub(crate) fn take() -> Option<Self> {
        STAGE.take()
    }

    /// Calls `main` with this stage. It gives no code that says anything: how it ended is sent.
    pub(super) fn enter(self, main: &dyn Fn() -> ExitCode) {
        STAGE.set(Some(self));
        main();
        // A `main` that never came to `launch`: the test sees that nobody will answer.
        drop(STAGE.take());
    }

    /// What `launch` does, but for the process's arguments, variables, log and runtime.
    pub(crate) fn play<F, E>(self, program: Program, body: impl FnOnce(App) -> F) -> ExitCode
    where
        F: Future<Output = Result<(), E>>,
        E: Into<anyhow::Error>,
    {
        let Self {
            runtime,
            setting,
            opening,
            ended,
        } = self;
        // The log is the test's: what the program would write out at its end goes nowhere.
        let lines = Lines::start(std::io::sink(), 0);
        let result = match (setting.parts(program), lines) {
            (Ok(parts), Ok(lines)) => {
                let mut app = App::new(parts, Command::default(), Arc::new(lines), None);
                app.stage = Some(opening);
                runtime.block_on(body(app)).map_err(Into::into)
            }
            (Err(error), _) => Err(error.into()),
            (_, Err(error)) => Err(error.into()),
        };
        // A test that is over does not ask any more.
        let _ = ended.send(result);
        ExitCode::SUCCESS
    }
}

impl Setting {
    /// The parts as configured, on stores of the test's own.
    fn parts(&self, program: Program) -> Result<Parts, StartError> {
        let prefix = configuration::prefix(program.name);
        let variable = |(name, value): &(String, String)| {
            let name = name.replace('.', "__").to_ascii_uppercase();
            (format!("{prefix}{name}"), value.clone())
        };
        let environment = ("BASTIDE_ENV".to_owned(), "test".to_owned());
        let env = Env::of(self.overrides.iter().map(variable).chain([environment]));
        let configuration::Configuration {
            environment,
            mut settings,
            document,
        } = configuration::read(program, &self.folder, &env)?;

        let own = |url: &String| Some(Secret::new(url.as_str()));
        let database = &mut settings.database;
        database.url = own(&self.urls.database);
        database.owner_url = self.urls.owner.as_ref().and_then(own);
        database.across_url = self.urls.across.as_ref().and_then(own);
        database.direct_url = None;
        database.migrations = self.folder.join(&database.migrations);
        settings.store.url = own(&self.urls.store);
        // In memory ages are told by the machine's clock, which no test moves.
        settings.cache.l1_entries = 0;
        settings.cache.multi_tier = true;
        settings.auth.keys = Some(KeySource::Secret(self.secret.clone()));
        let key = |key: &ServiceKey| ServiceKeySettings {
            name: key.name.clone(),
            key: key.key.clone(),
            roles: key.roles.clone(),
            scopes: Vec::new(),
            tenant: Some("any".to_owned()),
        };
        let keys = self.service_keys.iter().map(key);
        settings.auth.service_keys.extend(keys);
        settings.http.ops = OpsListen::Same;

        let mut parts = Parts::new(program, environment, settings, document, true);
        parts.clock = self.clock.clone();
        Ok(parts)
    }
}

/// The life of the program between its `run` and its end: as in production, without workers and signals.
pub(crate) async fn run(
    mut app: App,
    registry: Registry,
    opening: Opening,
    Readiness { health, started }: Readiness,
) -> anyhow::Result<()> {
    let dispatcher = serve::dispatcher(&mut app, registry).await?;
    tables::prepare(&app.parts).await?;
    let entry = || serve::entry(&app.parts, dispatcher.clone(), &health);
    let running = Running {
        parts: app.parts.clone(),
        dispatcher: dispatcher.clone(),
        entry: entry()?,
        address: None,
    };
    let mut server = Server::new(entry()?);
    for Hook { name, work } in std::mem::take(&mut app.warm_up) {
        let done = work().await;
        done.map_err(|error| error.context(format!("warming up: {name}")))?;
    }
    let address = if opening.listens {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Some(server.listen(any).await?)
    } else {
        None
    };
    started.store(true, Ordering::Release);
    let is_wanted = opening.ready.send(Running { address, ..running }).is_ok();
    if is_wanted {
        // A test that ended without a word is an end too.
        let _ = opening.stop.await;
    }
    health.drain();
    server.drain(app.parts.settings.shutdown.timeout).await;
    for Hook { name, work } in std::mem::take(&mut app.wind_down).into_iter().rev() {
        let done = work().await;
        done.map_err(|error| error.context(format!("winding down: {name}")))?;
    }
    Ok(())
}
