//! The auth app and another app, each with a server, a verifier and connections of its own, on both pairs of back ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bastide_accounts::{Account, Accounts, Login, NewUser, Options, Parts, Tokens};
use bastide_auth::{
    BindingKey, Clock, ClockHandle, Issuer, Keys, Passwords, Policy, ServiceKey, ServiceKeys,
    Sessions, SigningKey, TenantId, Verifier,
};
use bastide_config::Secret;
use bastide_context::{Call, Cx};
use bastide_db::Database;
use bastide_repo::TenantDb;
use bastide_rpc::{Dispatcher, HttpEntry, HttpOptions, Method, Problem, Registry, Server, Service};
use bastide_store::{RedisOptions, RedisUrl, Store};
use bastide_telemetry::metrics;
use bastide_testkit::{Postgres, Redis, TestFolder};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const SERVICE_KEY: &str = "sk_0123456789abcdef0123456789abcdef";
pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const SIGNING: &str = "a signing secret of thirty-two bytes";
pub(crate) const BINDING: &str = "a binding secret of thirty-two bytes";

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text)
}

pub(crate) fn binding() -> BindingKey {
    BindingKey::new(&secret(BINDING)).unwrap()
}

/// Databases and stores, gone when dropped.
pub(crate) enum Fixture {
    /// `SQLite`, and memory that all apps share.
    Sqlite(TestFolder, Box<Store>),
    /// As a role that owns nothing, and Redis.
    Postgres(bastide_testkit::Database),
}

impl Fixture {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(TestFolder::new().unwrap(), Box::new(Store::memory()))
    }

    pub(crate) fn postgres() -> Self {
        let database = Postgres::shared_database().unwrap();
        let name = database.name();
        let roles = format!(
            "DROP ROLE IF EXISTS {name}_owner, {name}_app; CREATE ROLE {name}_owner LOGIN; CREATE ROLE {name}_app LOGIN NOBYPASSRLS; \
             GRANT CREATE ON SCHEMA public TO {name}_owner"
        );
        database.sql(&roles).unwrap();
        Self::Postgres(database)
    }

    fn open(&self, role: &str) -> Database {
        let url = match self {
            Self::Sqlite(folder, _) => {
                format!("sqlite:{}", folder.path().join("test.db").display())
            }
            Self::Postgres(database) => {
                let role = format!("//{}_{role}@", database.name());
                database.url().replacen("//postgres@", &role, 1)
            }
        };
        Database::open(&url).unwrap()
    }

    /// As the tables' owner; on Postgres it sees no rows.
    pub(crate) fn owner(&self) -> Database {
        self.open("owner")
    }

    /// Who sees all rows.
    pub(crate) fn superuser(&self) -> Database {
        match self {
            Self::Sqlite(..) => self.open("app"),
            Self::Postgres(database) => Database::open(&database.url()).unwrap(),
        }
    }

    /// A connection to the store, of an app's own.
    pub(crate) fn store(&self) -> Store {
        match self {
            Self::Sqlite(_, store) => Store::clone(store),
            Self::Postgres(_) => {
                let url = RedisUrl::parse(&Redis::shared_url().unwrap()).unwrap();
                Store::redis(&url, RedisOptions::default()).unwrap()
            }
        }
    }

    async fn create(&self) {
        let owner = self.owner();
        let schema = Accounts::schema();
        let mut statements = schema.create(owner.dialect());
        if let Self::Postgres(database) = self {
            statements.extend(schema.grant(&format!("{}_app", database.name())));
        }
        for statement in statements {
            owner.execute(&statement, &[]).await.expect(&statement);
        }
    }

    pub(crate) async fn world(&self) -> World {
        self.world_with(Options::default()).await
    }

    pub(crate) async fn world_with(&self, options: Options) -> World {
        self.create().await;
        let (clock, time) = Clock::controlled(Timestamp::from_second(NOW).unwrap());
        let options = Options {
            clock: clock.clone(),
            ..options
        };
        let passwords = Arc::new(Passwords::for_tests());
        let accounts = self.accounts(options.clone(), passwords.clone());
        let auth = serve(
            accounts.service().unwrap(),
            verifier(accounts.registry(), &clock),
        )
        .await;
        let registry = Sessions::new(&self.store()).clock(clock.clone());
        let media = serve(media(), verifier(registry, &clock)).await;
        World {
            accounts,
            auth,
            media,
            time,
            clock,
            options,
            passwords,
            store: self.store(),
            client: HttpClient::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Accounts of an instance of its own on the same database and store.
    pub(crate) fn accounts(&self, options: Options, passwords: Arc<Passwords>) -> Accounts {
        let parts = Parts {
            db: TenantDb::new(self.open("app")),
            store: self.store(),
            issuer: Issuer::new(SigningKey::hs256(&secret(SIGNING)).unwrap()),
            binding: binding(),
            passwords,
        };
        Accounts::new(parts, options).unwrap()
    }
}

pub(crate) fn verifier(registry: Sessions, clock: &Clock) -> Verifier {
    Verifier::new(Keys::hs256(&secret(SIGNING)).unwrap())
        .sessions(registry)
        .binding(binding())
        .clock(clock.clone())
}

/// A service of another app, which only wants to know who calls.
pub(crate) fn media() -> Service {
    Service::new("media", "1.0.0").unwrap().method(
        Method::named("who")
            .policy(Policy::identified())
            .handler(
                |cx: Cx, (): ()| async move { Ok::<_, Problem>(cx.actor().map(str::to_owned)) },
            ),
    )
}

pub(crate) struct App {
    pub(crate) address: SocketAddr,
    pub(crate) server: Server,
}

pub(crate) async fn serve(service: Service, verifier: Verifier) -> App {
    let key = ServiceKey::new("media", &secret(SERVICE_KEY)).unwrap();
    let registry = Registry::new([service]).unwrap();
    let dispatcher = Dispatcher::new(registry, &metrics::Registry::new(), None)
        .unwrap()
        .verifier(verifier)
        .service_keys(ServiceKeys::new([key]).unwrap());
    let mut server = Server::new(HttpEntry::new(Arc::new(dispatcher), HttpOptions::default()));
    let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    App { address, server }
}

pub(crate) struct World {
    /// As a library, behind the service.
    pub(crate) accounts: Accounts,
    pub(crate) auth: App,
    /// Another process: it shares nothing with the auth app but keys and the store.
    pub(crate) media: App,
    pub(crate) time: ClockHandle,
    pub(crate) clock: Clock,
    pub(crate) options: Options,
    pub(crate) passwords: Arc<Passwords>,
    /// A connection that no app has.
    pub(crate) store: Store,
    client: HttpClient<HttpConnector, Full<Bytes>>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) json: Value,
}

impl Reply {
    /// What it gives, if it is no problem.
    pub(crate) fn good(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.json);
        self.json
    }

    /// The status and the code of a problem.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        (self.status, self.json["code"].as_str().unwrap_or_default())
    }
}

/// A session as a client has it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) session: String,
}

impl Client {
    pub(crate) fn of(tokens: &Value) -> Self {
        let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
        Self {
            access: text("access_token"),
            refresh: text("refresh_token"),
            session: text("session"),
        }
    }
}

impl World {
    pub(crate) async fn post(
        &self,
        to: SocketAddr,
        path: &str,
        fields: &[(&str, &str)],
        input: &Value,
    ) -> Reply {
        let mut request = hyper::Request::post(format!("http://{to}{path}"))
            .header("content-type", "application/json");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::from(input.to_string())).unwrap())
            .await
    }

    pub(crate) async fn get(&self, from: SocketAddr, path: &str) -> Reply {
        let request = hyper::Request::get(format!("http://{from}{path}"));
        self.send(request.body(Full::default()).unwrap()).await
    }

    async fn send(&self, request: hyper::Request<Full<Bytes>>) -> Reply {
        let response = self.client.request(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Reply {
            status,
            json: serde_json::from_slice(&body).unwrap_or(Value::Null),
        }
    }

    /// Calls a method of the auth app.
    pub(crate) async fn auth(&self, method: &str, token: Option<&str>, input: Value) -> Reply {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let fields: Vec<_> = bearer
            .iter()
            .map(|text| ("authorization", text.as_str()))
            .collect();
        let path = format!("/rpc/auth@1.0.0/{method}");
        self.post(self.auth.address, &path, &fields, &input).await
    }

    /// Calls the other app.
    pub(crate) async fn media(&self, token: &str) -> Reply {
        let bearer = format!("Bearer {token}");
        let fields = [("authorization", bearer.as_str())];
        self.post(
            self.media.address,
            "/rpc/media@1.0.0/who",
            &fields,
            &Value::Null,
        )
        .await
    }

    pub(crate) async fn try_login(&self, tenant: &str, email: &str, password: &str) -> Reply {
        let input = json!({"tenant": tenant, "email": email, "password": password});
        self.auth("login", None, input).await
    }

    pub(crate) async fn login(&self, tenant: &str, email: &str) -> Client {
        Client::of(&self.try_login(tenant, email, PASSWORD).await.good())
    }

    pub(crate) async fn refresh(&self, token: &str) -> Reply {
        self.auth("refresh", None, json!({ "refresh_token": token }))
            .await
    }

    /// A user whom the program makes.
    pub(crate) async fn user(&self, tenant: &str, email: &str, roles: &[&str]) -> Account {
        let new = NewUser {
            email: email.to_owned(),
            password: PASSWORD.into(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        };
        self.accounts
            .create_user(&program(tenant), new)
            .await
            .unwrap()
    }

    /// A user, signed in.
    pub(crate) async fn ada(&self) -> Client {
        self.user("acme", "ada@example.org", &[]).await;
        self.login("acme", "ada@example.org").await
    }

    /// Another instance of the auth app, with an own connection to database and store.
    pub(crate) fn twin(&self, fixture: &Fixture) -> Accounts {
        fixture.accounts(self.options.clone(), self.passwords.clone())
    }

    /// The store forgets a session.
    pub(crate) async fn lose(&self, session: &str) {
        let was_there = self
            .store
            .raw()
            .delete(&format!("sessions:{session}"))
            .await;
        assert!(was_there.unwrap());
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.time.advance(time);
    }
}

pub(crate) fn program(tenant: &str) -> Cx {
    Cx::system("test", Call::new()).for_tenant(TenantId::parse(tenant).unwrap())
}

pub(crate) fn login_of(email: &str) -> Login {
    Login {
        tenant: TenantId::parse("acme").unwrap(),
        email: email.to_owned(),
        password: PASSWORD.into(),
        label: None,
    }
}

/// What a library call gave, as a client has it.
pub(crate) fn client_of(tokens: &Tokens) -> Client {
    Client::of(&serde_json::to_value(tokens).unwrap())
}

/// Makes two tests of each function that takes a fixture.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite_and_memory {
            $(#[tokio::test]
            async fn $name() { super::$name(&$crate::support::Fixture::sqlite()).await; })*
        }
        mod postgres_and_redis {
            $(#[tokio::test]
            async fn $name() { super::$name(&$crate::support::Fixture::postgres()).await; })*
        }
    };
}
