//! The parts of a program, each made of its settings when it is first asked for.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

use bastide_auth::{
    Algorithm, BindingKey, Clock, KeyError, Keys, RemoteKeys, ServiceKey, ServiceKeys, Sessions,
    TenantChoice, TenantId, Verifier, https_keys,
};
use bastide_cache::Cache;
use bastide_config::Secret;
use bastide_db::{Database, Migrations, Options};
use bastide_limit::{Limiter, SharedOptions};
use bastide_repo::{Entity, Schema, TenantDb};
use bastide_store::{Namespace, RedisOptions, RedisStore, RedisUrl, SqliteOptions, Store};
use bastide_telemetry::metrics::Registry;
use bastide_telemetry::otlp::Exporter;
use tokio::sync::OnceCell;

use crate::configuration::Document;
use crate::error::StartError;
use crate::launch::Program;
use crate::settings::{
    DatabaseSettings, Environment, KeySource, LimitStorage, ServiceKeySettings, Settings,
};

/// A part that has tables of its own, which are no entities of the program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Component {
    pub(crate) migrations: Migrations,
    pub(crate) grant: Grant,
}

/// The statements that let a role of Postgres work with a part's tables.
pub(crate) type Grant = fn(&str) -> Vec<String>;

/// What the services of a program are made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) program: Program,
    pub(crate) environment: Environment,
    pub(crate) settings: Settings,
    pub(crate) document: Document,
    pub(crate) metrics: Registry,
    /// Whether the program works. Otherwise it is only looked at, and its parts are stand-ins that nobody sees.
    pub(crate) is_serving: bool,
    /// The system's, unless a test holds it.
    pub(crate) clock: Clock,
    /// What tries each entity's isolation.
    #[cfg(feature = "testing")]
    pub(crate) probes: crate::testing::Probes,
    schema: Mutex<Schema>,
    components: Mutex<Vec<Component>>,
    database: OnceCell<Database>,
    tenants: OnceCell<TenantDb>,
    store: OnceCell<Store>,
    /// Whether anything but the cache, which helps itself, works with the store.
    needs_store: AtomicBool,
    cache: OnceCell<Cache>,
    spans: OnceLock<Exporter>,
}

impl Parts {
    pub(crate) fn new(
        program: Program,
        environment: Environment,
        settings: Settings,
        document: Document,
        is_serving: bool,
    ) -> Self {
        let metrics = metrics(program, environment, &settings);
        Self {
            program,
            environment,
            settings,
            document,
            metrics,
            is_serving,
            clock: Clock::system(),
            #[cfg(feature = "testing")]
            probes: crate::testing::Probes::default(),
            schema: Mutex::default(),
            components: Mutex::default(),
            database: OnceCell::new(),
            tenants: OnceCell::new(),
            store: OnceCell::new(),
            needs_store: AtomicBool::new(false),
            cache: OnceCell::new(),
            spans: OnceLock::new(),
        }
    }

    /// The tables of the entities whose repositories were asked for.
    pub(crate) fn schema(&self) -> Schema {
        self.locked_schema().clone()
    }

    /// One more entity.
    pub(crate) fn add<E: Entity>(&self) {
        let mut schema = self.locked_schema();
        *schema = std::mem::take(&mut *schema).with::<E>();
        #[cfg(feature = "testing")]
        self.probes.add::<E>();
    }

    /// The entities of a part that has tables of its own.
    pub(crate) fn add_schema(&self, more: Schema) {
        let mut schema = self.locked_schema();
        *schema = std::mem::take(&mut *schema).and(more);
    }

    fn locked_schema(&self) -> MutexGuard<'_, Schema> {
        self.schema.lock().expect("nobody panics while holding it")
    }

    /// The migrations of the parts that the program is made of.
    pub(crate) fn components(&self) -> Vec<Migrations> {
        let components = self.locked_components();
        components.iter().map(|one| one.migrations).collect()
    }

    /// What these parts let a role do with their tables.
    pub(crate) fn grants(&self) -> Vec<Grant> {
        let components = self.locked_components();
        components.iter().map(|one| one.grant).collect()
    }

    /// One more part that has tables of its own.
    pub(crate) fn add_component(&self, component: Component) {
        let mut components = self.locked_components();
        let name = component.migrations.component;
        if !components
            .iter()
            .any(|known| known.migrations.component == name)
        {
            components.push(component);
        }
    }

    fn locked_components(&self) -> MutexGuard<'_, Vec<Component>> {
        let locked = self.components.lock();
        locked.expect("nobody panics while holding it")
    }

    /// The database, if one was asked for.
    pub(crate) fn used_database(&self) -> Option<&Database> {
        self.database.get()
    }

    /// The store, if one was asked for.
    pub(crate) fn used_store(&self) -> Option<&Store> {
        self.store.get()
    }

    pub(crate) async fn database(&self) -> Result<&Database, StartError> {
        let open = async || {
            if self.is_serving {
                self.configured_database()
            } else {
                Ok(Database::open("sqlite::memory:")?)
            }
        };
        self.database.get_or_try_init(open).await
    }

    /// The database that is configured, whatever the program was asked for.
    pub(crate) fn configured_database(&self) -> Result<Database, StartError> {
        let settings = &self.settings.database;
        let url = match &settings.url {
            Some(url) => Secret::new(url.expose()),
            None if self.environment.is_lenient() => self.embedded()?,
            None => return Err(StartError::NoDatabase),
        };
        let options = database_options(settings, self.program.name);
        Ok(Database::open_with(url.expose(), options)?)
    }

    pub(crate) async fn tenants(&self) -> Result<&TenantDb, StartError> {
        let open = async || {
            let tenants = TenantDb::new(self.database().await?.clone());
            Ok(
                match (&self.settings.database.across_url, self.is_serving) {
                    (Some(url), true) => {
                        let options = database_options(&self.settings.database, self.program.name);
                        tenants.with_across(Database::open_with(url.expose(), options)?)
                    }
                    _ => tenants,
                },
            )
        };
        self.tenants.get_or_try_init(open).await
    }

    /// Whether calls fail while the store is away.
    pub(crate) fn needs_store(&self) -> bool {
        self.needs_store.load(Ordering::Relaxed)
    }

    pub(crate) async fn store(&self) -> Result<&Store, StartError> {
        self.needs_store.store(true, Ordering::Relaxed);
        self.opened_store().await
    }

    async fn opened_store(&self) -> Result<&Store, StartError> {
        let open = async || {
            let settings = &self.settings.store;
            let url = match (&settings.url, self.is_serving) {
                (_, false) => return Ok(Store::memory()),
                (Some(url), true) => url.expose(),
                (None, true) if self.environment.is_lenient() => return Ok(Store::memory()),
                (None, true) => return Err(StartError::NoStore),
            };
            if url == "memory" {
                return Ok(Store::memory());
            }
            if let Some(path) = url.strip_prefix("sqlite:") {
                return Ok(Store::sqlite(Path::new(path), SqliteOptions::default()).await?);
            }
            let url = RedisUrl::parse(url)?;
            let options = RedisOptions::default();
            Ok(Store::redis_with_databases(
                &url,
                options,
                &settings.databases,
            )?)
        };
        self.store.get_or_try_init(open).await
    }

    /// The cache, if one was asked for.
    pub(crate) fn used_cache(&self) -> Option<&Cache> {
        self.cache.get()
    }

    pub(crate) async fn cache(&self) -> Result<&Cache, StartError> {
        let open = async || {
            let mut options = self.settings.cache.options(self.program.name);
            options.clock = self.clock.clone();
            let cache = Cache::new(self.opened_store().await?, options).await?;
            cache.expose(&self.metrics);
            Ok(cache)
        };
        self.cache.get_or_try_init(open).await
    }

    /// The registry of sessions in the shared store.
    pub(crate) async fn sessions(&self) -> Result<Sessions, StartError> {
        let sessions = Sessions::new(self.store().await?).clock(self.clock.clone());
        Ok(sessions.staleness(self.settings.auth.staleness))
    }

    /// What sends spans, if it was started.
    pub(crate) fn spans(&self) -> Option<&Exporter> {
        self.spans.get()
    }

    /// Starts what sends spans, if there is a collector.
    pub(crate) fn start_spans(&self) -> Result<Option<Exporter>, StartError> {
        let otlp = self.settings.traces.otlp(self.program.name);
        let otlp = otlp.map_err(|error| StartError::Configuration(format!("traces: {error}")))?;
        let Some(otlp) = otlp else {
            return Ok(None);
        };
        let exporter = otlp
            .resource("service.version", self.program.version)
            .resource("deployment.environment.name", self.environment.name())
            .start();
        exporter.register(&self.metrics);
        Ok(Some(self.spans.get_or_init(|| exporter).clone()))
    }

    /// What `/metrics` shows.
    pub(crate) fn shown_metrics(&self) -> Registry {
        if self.settings.metrics.enabled {
            self.metrics.clone()
        } else {
            Registry::new()
        }
    }

    /// Who tells tokens from forgeries; `None` if no keys are configured.
    pub(crate) async fn verifier(
        &self,
        sessions: Option<Sessions>,
    ) -> Result<Option<Verifier>, StartError> {
        let settings = &self.settings.auth;
        let mut verifier = match &settings.keys {
            None => return Ok(None),
            Some(KeySource::Secret(secret)) => Verifier::new(Keys::hs256(secret)?),
            Some(KeySource::File(algorithm, path)) => {
                let pem = std::fs::read_to_string(path).map_err(|error| {
                    let path = path.display();
                    StartError::Configuration(format!("auth.public_key_file: {path}: {error}"))
                })?;
                Verifier::new(public_keys(*algorithm, &pem)?)
            }
            Some(KeySource::Remote(url)) => {
                Verifier::remote(std::sync::Arc::new(RemoteKeys::new(https_keys(url)?)))
            }
        };
        verifier = verifier
            .clock(self.clock.clone())
            .leeway(settings.leeway)
            .cache(settings.cache_entries, settings.cache_ttl);
        if let Some(issuer) = &settings.issuer {
            verifier = verifier.issuer(issuer);
        }
        if let Some(audience) = &settings.audience {
            verifier = verifier.audience(audience);
        }
        if settings.sessions {
            let sessions = match sessions {
                Some(sessions) => sessions,
                None => self.sessions().await?,
            };
            verifier = verifier.sessions(sessions);
        }
        if let Some(secret) = &settings.binding_secret {
            verifier = verifier.binding(BindingKey::new(secret)?);
        }
        let counter = verifier.cache_counter();
        self.metrics.counters(
            "auth_token_cache",
            "Tokens whose signature was checked before, and those that had to be",
            &["result"],
            move |emit| {
                let (hits, misses) = counter();
                emit(&["hit"], hits as f64);
                emit(&["miss"], misses as f64);
            },
        );
        Ok(Some(verifier))
    }

    pub(crate) fn service_keys(&self) -> Result<ServiceKeys, StartError> {
        let keys = self.settings.auth.service_keys.iter().map(service_key);
        Ok(ServiceKeys::new(keys.collect::<Result<Vec<_>, _>>()?)?)
    }

    /// Where limits are counted.
    pub(crate) fn limiter(&self) -> Result<Limiter, StartError> {
        let settings = &self.settings.rate_limit;
        if !self.is_serving || settings.storage == Some(LimitStorage::Memory) {
            return Ok(Limiter::local());
        }
        let store = &self.settings.store;
        let url = store.url.as_ref().map_or("", Secret::expose);
        let Ok(url) = RedisUrl::parse(url) else {
            return match settings.storage {
                Some(LimitStorage::Shared) => Err(StartError::UnsharedLimits),
                _ => Ok(Limiter::local()),
            };
        };
        let url = match store.databases.get(&Namespace::RateLimit) {
            Some(index) => url.with_database(*index)?,
            None => url,
        };
        let redis = RedisStore::new(&url, RedisOptions::default())?;
        let prefix = settings.prefix.as_deref().unwrap_or(self.program.name);
        let options = SharedOptions {
            prefix: format!("ratelimit:{prefix}"),
            ..SharedOptions::default()
        };
        let (limiter, task) = Limiter::shared(redis, options);
        tokio::spawn(task);
        Ok(limiter)
    }

    /// A file in the data directory, which is made for it.
    fn embedded(&self) -> Result<Secret, StartError> {
        let folder = &self.settings.data_dir;
        std::fs::create_dir_all(folder).map_err(StartError::file(folder))?;
        let path = folder.join(format!("{}.db", self.program.name));
        Ok(Secret::new(format!("sqlite:{}", path.display())))
    }
}

/// What is there before anything is counted.
fn metrics(program: Program, environment: Environment, settings: &Settings) -> Registry {
    let metrics = Registry::new();
    if settings.metrics.process {
        metrics.add_process_metrics();
    }
    if settings.metrics.system {
        metrics.add_system_metrics();
    }
    metrics.add_own_metrics();
    metrics.gauges(
        "app_info",
        "Always 1: which program this is",
        &["name", "version", "environment"],
        move |emit| emit(&[program.name, program.version, environment.name()], 1.0),
    );
    metrics
}

/// The options of the database layer.
pub(crate) fn database_options(settings: &DatabaseSettings, name: &str) -> Options {
    Options {
        max_connections: settings.pool_max,
        min_connections: settings.pool_min,
        connect_timeout: settings.connect_timeout,
        acquire_timeout: settings.acquire_timeout,
        statement_timeout: settings.statement_timeout,
        idle_timeout: settings.idle_timeout,
        direct_url: settings
            .direct_url
            .as_ref()
            .map(|url| url.expose().to_owned()),
        prepared_statements: settings.prepared_statements,
        application_name: name.to_owned(),
        ..Options::default()
    }
}

fn public_keys(algorithm: Algorithm, pem: &str) -> Result<Keys, KeyError> {
    match algorithm {
        Algorithm::Rs256 => Keys::rs256_pem(pem),
        Algorithm::Es256 => Keys::es256_pem(pem),
        Algorithm::EdDsa => Keys::eddsa_pem(pem),
        Algorithm::Hs256 => unreachable!("the settings take no file for a shared secret"),
    }
}

fn service_key(settings: &ServiceKeySettings) -> Result<ServiceKey, StartError> {
    let tenant = match settings.tenant.as_deref() {
        None => TenantChoice::None,
        Some("any") => TenantChoice::Named,
        Some(tenant) => TenantChoice::Fixed(TenantId::parse(tenant)?),
    };
    let mut key = ServiceKey::new(&settings.name, &settings.key)?.tenant(tenant);
    for role in &settings.roles {
        key = key.role(role);
    }
    for scope in &settings.scopes {
        key = key.scope(scope);
    }
    Ok(key)
}
