//! A program that runs for a test.

use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bastide_auth::{
    BindingKey, Claims, Clock, ClockHandle, Issuer, SessionId, SessionRecord, SigningKey, TenantId,
};
use bastide_config::Secret;
use bastide_context::{Call, Cx, Tenant};
use bastide_db::Database;
use bastide_repo::{TenantDb, Timestamp, Uuid};
use bastide_rpc::Registry;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::builder::{Main, TestAppBuilder};
use super::caller::{Caller, Who};
use super::probe::Probe;
use super::servers::{self, Servers};
use super::stage::{Opening, Running, ServiceKey, Setting, Stage};
use super::{ACME, GLOBEX};
use crate::settings::Settings;

/// The service key that every test has.
const TESTING: &str = "testing";

/// A program that runs in this process, on stores of its own. It ends with this value; [`TestApp::stop`] waits for its end.
pub struct TestApp {
    running: Running,
    setting: Setting,
    issuer: Issuer,
    clock: ClockHandle,
    stop: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<anyhow::Result<()>>,
    builder: TestAppBuilder,
    main: Main,
    // Last: what the program uses goes after it.
    _servers: Servers,
}

impl TestApp {
    /// Starts a program by its `main`, on embedded stores.
    ///
    /// # Errors
    /// Whatever would have stopped it in production.
    pub async fn start(
        main: impl Fn() -> ExitCode + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        Self::builder().start(main).await
    }

    /// To say first where rows are, and which settings are others.
    pub fn builder() -> TestAppBuilder {
        TestAppBuilder::default()
    }

    pub(super) async fn build(builder: TestAppBuilder, main: Main) -> anyhow::Result<Self> {
        let (postgres, redis) = (builder.postgres, builder.redis);
        let servers = tokio::task::spawn_blocking(move || servers::start(postgres, redis));
        let (servers, urls) = servers.await??;
        // To the millisecond, as the clock counts.
        let now = Timestamp::from_millisecond(Timestamp::now().as_millisecond())?;
        let (clock, handle) = Clock::controlled(now);
        let known = [(TESTING.to_owned(), Vec::new())];
        let service_keys = known.into_iter().chain(builder.service_keys.clone());
        let setting = Setting {
            folder: builder.folder.clone(),
            overrides: builder.overrides.clone(),
            urls,
            secret: secret(),
            service_keys: service_keys
                .map(|(name, roles)| ServiceKey {
                    name,
                    key: secret(),
                    roles,
                })
                .collect(),
            clock: clock.clone(),
        };
        let (ready, is_ready) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let (ended, mut has_ended) = oneshot::channel();
        let stage = Stage {
            runtime: Handle::current(),
            setting: setting.clone(),
            opening: Opening {
                listens: builder.listens,
                ready,
                stop: stopped,
            },
            ended,
        };
        let program = main.clone();
        // A thread, because `main` does not come back before the program ends.
        std::thread::Builder::new()
            .name("program under test".to_owned())
            .spawn(move || stage.enter(&*program))?;
        let running = tokio::select! {
            biased;
            Ok(running) = is_ready => running,
            ended = &mut has_ended => return Err(match ended {
                Ok(Err(error)) => error,
                Ok(Ok(())) => anyhow!("the program ended before it took calls: its `main` ends with `app.run().await`"),
                Err(_) => anyhow!("the program panicked, or its `main` never came to `bastide::launch`"),
            }),
        };
        let issuer = issuer(&running.parts.settings, &setting.secret, clock)?;
        Ok(Self {
            running,
            setting,
            issuer,
            clock: handle,
            stop: Some(stop),
            ended: has_ended,
            builder,
            main,
            _servers: servers,
        })
    }

    /// The same program once more, with stores of its own in which there is nothing yet.
    ///
    /// # Errors
    /// As [`TestAppBuilder::start`].
    pub async fn start_another(&self) -> anyhow::Result<Self> {
        // Large, as it holds what starting holds.
        Box::pin(Self::build(self.builder.clone(), self.main.clone())).await
    }

    /// A user of the tenant `acme`, without roles until [`Caller::role`].
    pub fn acme(&self) -> Caller<'_> {
        self.as_tenant(ACME)
    }

    /// A user of the tenant `globex`, without roles until [`Caller::role`].
    pub fn globex(&self) -> Caller<'_> {
        self.as_tenant(GLOBEX)
    }

    /// A user of this tenant, named `user` until [`Caller::user`], without roles until [`Caller::role`]. Tenants need not be made.
    pub fn as_tenant(&self, tenant: &str) -> Caller<'_> {
        Caller::new(self, Who::user(Some(tenant)))
    }

    /// A user who acts for no tenant.
    pub fn as_user(&self, subject: &str) -> Caller<'_> {
        Caller::new(self, Who::user(None)).user(subject)
    }

    /// Somebody who shows nothing.
    pub fn as_stranger(&self) -> Caller<'_> {
        Caller::new(self, Who::Nobody)
    }

    /// Whoever has this token, as of [`Caller::token`]; it ages by the test's clock.
    pub fn with_token(&self, token: impl Into<String>) -> Caller<'_> {
        Caller::new(self, Who::Token(token.into()))
    }

    /// A trusted program that acts for this tenant: `testing`, or one of [`TestAppBuilder::service_key`].
    ///
    /// # Panics
    /// If there is none of this name.
    pub fn service(&self, name: &str, tenant: &str) -> Caller<'_> {
        let mut known = self.setting.service_keys.iter();
        let key = known.rfind(|key| key.name == name);
        let key = key.unwrap_or_else(|| panic!("there is no service key `{name}`"));
        Caller::new(
            self,
            Who::Service {
                key: key.key.clone(),
                tenant: tenant.to_owned(),
            },
        )
    }

    /// Lets this much time pass for tokens, sessions, kept outputs and [`App::clock`](crate::App::clock).
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// What time it is for the program.
    pub fn now(&self) -> Timestamp {
        self.setting.clock.now()
    }

    /// `http://127.0.0.1:PORT`.
    ///
    /// # Panics
    /// Without [`TestAppBuilder::listen`].
    pub fn url(&self) -> String {
        let address = self.running.address;
        let address = address.expect("say `TestApp::builder().listen()` for a socket");
        format!("http://{address}")
    }

    /// What is configured about the parts.
    pub fn settings(&self) -> &Settings {
        &self.running.parts.settings
    }

    /// The program's own context for a tenant, to make rows with [`TestApp::database`] and repositories.
    ///
    /// # Panics
    /// If it is no tenant's id.
    pub fn cx(&self, tenant: &str) -> Cx<Tenant> {
        let tenant = TenantId::parse(tenant).expect("a tenant's id is of letters, digits, _ and -");
        Cx::system(TESTING, Call::new()).for_tenant(tenant)
    }

    /// The program's database, one tenant at a time.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub async fn database(&self) -> anyhow::Result<TenantDb> {
        Ok(self.running.parts.tenants().await?.clone())
    }

    /// Ends the program as a signal would, with the hooks of its end.
    ///
    /// # Errors
    /// What the program ended with.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stop.take());
        (&mut self.ended)
            .await
            .context("the program panicked at its end")?
    }

    pub(super) fn running(&self) -> &Running {
        &self.running
    }

    pub(super) fn registry(&self) -> &Registry {
        self.running.dispatcher.registry()
    }

    pub(super) fn probes(&self) -> Vec<Arc<dyn Probe>> {
        self.running.parts.probes.all()
    }

    /// The program's connection, past every tenant.
    pub(super) async fn connection(&self) -> anyhow::Result<Database> {
        Ok(self.running.parts.database().await?.clone())
    }

    /// A token for this; in a session that is under way, if sessions are checked.
    pub(super) async fn sign(
        &self,
        mut claims: Claims,
        user: &str,
        tenant: Option<&str>,
    ) -> Secret {
        let settings = &self.settings().auth;
        if settings.sessions {
            let id = format!("testing-{}", Uuid::now_v7().simple());
            let id = SessionId::parse(&id).expect("this is an id");
            let refresh = "testing";
            let record = SessionRecord {
                user: user.to_owned(),
                refresh: refresh.to_owned(),
                tenant: tenant.map(|tenant| TenantId::parse(tenant).expect("a tenant's id")),
                expires_at: self.now().as_second() + 7 * 86_400,
            };
            let sessions = self.running.parts.sessions().await;
            let sessions = sessions.expect("the program has opened it");
            let begun = sessions.begin(&id, &record).await;
            begun.expect("the test's own store takes a session");
            claims = claims.session(id, refresh);
        }
        self.issuer.sign(&claims).expect("claims can be signed")
    }
}

/// Signs as the program's settings want it.
fn issuer(settings: &Settings, secret: &Secret, clock: Clock) -> anyhow::Result<Issuer> {
    let settings = &settings.auth;
    let mut issuer = Issuer::new(SigningKey::hs256(secret)?).clock(clock);
    if let Some(name) = &settings.issuer {
        issuer = issuer.issuer(name);
    }
    if let Some(audience) = &settings.audience {
        issuer = issuer.audience(audience);
    }
    if let Some(secret) = &settings.binding_secret {
        issuer = issuer.binding(BindingKey::new(secret)?);
    }
    Ok(issuer)
}

/// One that nobody else has.
fn secret() -> Secret {
    let (one, two) = (Uuid::new_v4().simple(), Uuid::new_v4().simple());
    Secret::new(format!("testing_{one}{two}"))
}

impl fmt::Debug for TestApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestApp")
            .field("program", &self.running.parts.program)
            .field("address", &self.running.address)
            .finish_non_exhaustive()
    }
}
