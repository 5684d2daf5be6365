//! The program as its author puts it together.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bastide_accounts::{self as accounts, Accounts};
use bastide_auth::{BindingKey, Clock, Issuer, Sessions};
use bastide_cache::Cache;
use bastide_health::Indicator;
use bastide_repo::{Entity, Repo, TenantDb};
use bastide_rpc::{IntoService, Service};
use bastide_settings::{Declared, Settings as RuntimeSettings};
use bastide_store::Store;
use bastide_telemetry::lines::Lines;
use bastide_telemetry::log::Adjustable;
use bastide_telemetry::metrics::Registry as Metrics;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::error::StartError;
use crate::launch::Command;
use crate::parts::{Component, Parts};
use crate::settings::{Environment, Settings};
use crate::tables;

/// A program about to run: its parts to build services of, and the services that it will have.
///
/// Parts are made when they are first asked for: a program that asks for no repository needs no database.
pub struct App {
    pub(crate) parts: Arc<Parts>,
    pub(crate) command: Command,
    pub(crate) services: Vec<Result<Service, bastide_rpc::RegistryError>>,
    pub(crate) indicators: Vec<Indicator>,
    pub(crate) warm_up: Vec<Hook>,
    pub(crate) wind_down: Vec<Hook>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) sessions: Option<Sessions>,
    /// The log, to be written out before an end that waits for nobody.
    pub(crate) lines: Arc<Lines>,
    /// The level of the log, if it may change.
    pub(crate) log: Option<Adjustable>,
    /// Where the program is handed over to the test that runs it.
    #[cfg(feature = "testing")]
    pub(crate) stage: Option<crate::testing::Opening>,
}

/// What is done once, before calls are taken or after the last.
pub(crate) struct Hook {
    pub(crate) name: &'static str,
    pub(crate) work: Work,
}

pub(crate) type Work = Box<dyn FnOnce() -> BoxFuture<'static, anyhow::Result<()>> + Send>;

/// A process beside the one that takes calls.
pub(crate) struct Worker {
    pub(crate) name: &'static str,
    pub(crate) work: Box<dyn FnOnce(Stop) -> BoxFuture<'static, anyhow::Result<()>> + Send>,
}

/// Tells a worker that it is to end.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    pub(crate) fn new(stopped: watch::Receiver<bool>) -> Self {
        Self(stopped)
    }

    /// Whether the program is stopping.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Ends when the program is to stop.
    pub async fn requested(&mut self) {
        // Whoever could say so is gone: that is a stop too.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}

impl App {
    pub(crate) fn new(
        parts: Parts,
        command: Command,
        lines: Arc<Lines>,
        log: Option<Adjustable>,
    ) -> Self {
        Self {
            parts: Arc::new(parts),
            command,
            services: Vec::new(),
            indicators: Vec::new(),
            warm_up: Vec::new(),
            wind_down: Vec::new(),
            workers: Vec::new(),
            sessions: None,
            lines,
            log,
            #[cfg(feature = "testing")]
            stage: None,
        }
    }

    /// Where the program runs.
    pub fn environment(&self) -> Environment {
        self.parts.environment
    }

    /// What is configured about the parts.
    pub fn settings(&self) -> &Settings {
        &self.parts.settings
    }

    /// The program's own section of the configuration: `[billing]` in `config/*.toml`, and variables as `USERS_BILLING__RATE`. Every
    /// mistake in it is named with its place.
    pub fn section<T: DeserializeOwned + JsonSchema>(
        &self,
        name: &'static str,
    ) -> Result<T, StartError> {
        self.parts.document.section(name)
    }

    /// The repository of an entity, whose table belongs to the program from now on.
    pub async fn repo<E: Entity>(&self) -> Result<Repo<E>, StartError> {
        let tenants = self.parts.tenants().await?;
        self.parts.add::<E>();
        Ok(tenants.repo())
    }

    /// The database, one tenant at a time: for transactions over several repositories.
    pub async fn database(&self) -> Result<TenantDb, StartError> {
        Ok(self.parts.tenants().await?.clone())
    }

    /// The shared store.
    pub async fn store(&self) -> Result<Store, StartError> {
        Ok(self.parts.store().await?.clone())
    }

    /// The cache that methods keep their outputs in, for values of the program's own.
    pub async fn cache(&self) -> Result<Cache, StartError> {
        Ok(self.parts.cache().await?.clone())
    }

    /// The registry of sessions in the shared store.
    pub async fn sessions(&self) -> Result<Sessions, StartError> {
        self.parts.sessions().await
    }

    /// Settings in the database that change while the program runs, the same in every process within a second. Their service is
    /// [`Settings::service`](RuntimeSettings::service).
    pub async fn runtime_settings(
        &self,
        declared: &[&'static dyn Declared],
    ) -> anyhow::Result<RuntimeSettings> {
        let component = Component {
            migrations: bastide_settings::MIGRATIONS,
            grant: bastide_settings::grant,
        };
        tables::prepare_component(&self.parts, component).await?;
        Ok(RuntimeSettings::open(self.parts.database().await?, declared).await?)
    }

    /// Accounts and their sessions in this program's tables, signed by `issuer` and bound by `binding`. Their service is
    /// [`Accounts::service`]; give [`Accounts::registry`] to [`App::check_sessions`].
    pub async fn accounts(
        &self,
        issuer: Issuer,
        binding: BindingKey,
        options: accounts::Options,
    ) -> anyhow::Result<Accounts> {
        self.parts.add_schema(Accounts::schema());
        let parts = accounts::Parts {
            db: self.database().await?,
            store: self.store().await?,
            issuer,
            binding,
            passwords: Arc::default(),
        };
        Ok(Accounts::new(parts, options)?)
    }

    /// What time it is: the system's clock, or the one that a test moves.
    pub fn clock(&self) -> Clock {
        self.parts.clock.clone()
    }

    /// Where counters and histograms of the program's own are registered, beside those of every method.
    pub fn metrics(&self) -> &Metrics {
        &self.parts.metrics
    }

    /// With this service.
    pub fn service(mut self, service: impl IntoService) -> Self {
        self.services.push(service.into_service());
        self
    }

    /// Calls are checked by this registry of sessions, for one that looks elsewhere when the store knows nothing.
    /// `auth.sessions.enabled` says whether they are.
    pub fn check_sessions(mut self, sessions: Sessions) -> Self {
        self.sessions = Some(sessions);
        self
    }

    /// With one more thing that `/readyz` looks at.
    pub fn indicator(mut self, indicator: Indicator) -> Self {
        self.indicators.push(indicator);
        self
    }

    /// Does this before the first call is taken: caches are filled, models loaded. In the order in which they were given;
    /// an error or a panic stops the start, and then nothing is wound down.
    pub fn warm_up<F, E>(
        mut self,
        name: &'static str,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<anyhow::Error>,
    {
        self.warm_up.push(Hook::new(name, work));
        self
    }

    /// Does this after the last call, in the reverse order: buffers are written out. Within `shutdown.timeout`, a fifth of
    /// which calls under way leave for it. One that hangs is given up, so that the others have their turn.
    pub fn wind_down<F, E>(
        mut self,
        name: &'static str,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<anyhow::Error>,
    {
        self.wind_down.push(Hook::new(name, work));
        self
    }

    /// With a worker: a process of its own beside the one that takes calls, so that neither can starve the other. It ends when
    /// its work does or is asked to by [`Stop`].
    pub fn worker<F, E>(
        mut self,
        name: &'static str,
        work: impl FnOnce(Stop) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<anyhow::Error>,
    {
        let work = move |stop| -> BoxFuture<'static, anyhow::Result<()>> {
            let work = work(stop);
            Box::pin(async move { work.await.map_err(Into::into) })
        };
        self.workers.push(Worker {
            name,
            work: Box::new(work),
        });
        self
    }

    /// Does what the command line asks for: takes calls until the process is told to stop, or shows what the program is.
    pub async fn run(self) -> anyhow::Result<()> {
        crate::commands::carry_out(self).await
    }
}

impl Hook {
    fn new<F, E>(name: &'static str, work: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<anyhow::Error>,
    {
        let work = move || -> BoxFuture<'static, anyhow::Result<()>> {
            let work = work();
            Box::pin(async move { work.await.map_err(Into::into) })
        };
        Self {
            name,
            work: Box::new(work),
        }
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("program", &self.parts.program)
            .field("services", &self.services)
            .finish_non_exhaustive()
    }
}
