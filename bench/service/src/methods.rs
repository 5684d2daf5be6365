//! What can be called.

use std::time::Duration;

use bastide_auth::Policy;
use bastide_cache::Cache;
use bastide_context::{Cx, Public};
use bastide_repo::{RepoError, TenantDb, Uuid};
use bastide_rpc::{Cached, LimitRule, Method, Problem, RegistryError, Service};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::figures::DatabaseTime;
use crate::users::{User, UserPatch};

/// Never reached, and counted all the same.
const LIMIT: &str = "1000000000/min";
const KEPT: Duration = Duration::from_secs(60);

#[derive(Deserialize, JsonSchema)]
struct Name {
    name: String,
}

#[derive(Serialize, JsonSchema)]
struct Greeting {
    greeting: String,
}

#[derive(Deserialize, JsonSchema)]
struct ById {
    id: Uuid,
}

#[derive(Deserialize, JsonSchema)]
struct Rename {
    id: Uuid,
    name: String,
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

pub(crate) fn service(db: &TenantDb, cache: &Cache) -> Result<Service, Failure> {
    let time = DatabaseTime::default();
    let methods = [
        hello(),
        greet()?,
        find(db, &time),
        read(db, &time)?,
        rename(db, &time)?,
        figures(cache, time),
    ];
    let service: Result<Service, RegistryError> = Service::new("bench", "1.0.0");
    Ok(methods.into_iter().fold(service?, Service::method))
}

fn greeting(name: &Name) -> Greeting {
    Greeting {
        greeting: format!("hello {}", name.name),
    }
}

fn hello() -> Method {
    Method::named("hello")
        .public("anybody may be greeted")
        .handler(|_: Cx<Public>, input: Name| async move { Ok::<_, Problem>(greeting(&input)) })
}

/// A token, a limit, and an output that is kept.
fn greet() -> Result<Method, Failure> {
    Ok(Method::named("greet")
        .policy(Policy::identified())
        .cached(Cached::lasting(KEPT).tags(["greeting:{name}"]))
        .limit(LimitRule::parse(LIMIT)?)
        .handler(|_: Cx, input: Name| async move { Ok::<_, Problem>(greeting(&input)) }))
}

/// A row of the caller's tenant, from the database each time.
fn find(db: &TenantDb, time: &DatabaseTime) -> Method {
    let (users, time) = (db.repo::<User>(), time.clone());
    Method::named("find")
        .policy(Policy::identified())
        .handler(move |cx: Cx, input: ById| {
            let (users, time) = (users.clone(), time.clone());
            async move {
                let found = time.of(users.find(&cx, input.id)).await;
                found.map_err(|error| failed(&error))
            }
        })
}

/// The same, kept until somebody changes it.
fn read(db: &TenantDb, time: &DatabaseTime) -> Result<Method, Failure> {
    let (users, time) = (db.repo::<User>(), time.clone());
    Ok(Method::named("read")
        .policy(Policy::identified())
        .cached(Cached::lasting(KEPT).tags(["user:{id}"]))
        .limit(LimitRule::parse(LIMIT)?)
        .handler(move |cx: Cx, input: ById| {
            let (users, time) = (users.clone(), time.clone());
            async move {
                let found = time.of(users.find(&cx, input.id)).await;
                found.map_err(|error| failed(&error))
            }
        }))
}

fn rename(db: &TenantDb, time: &DatabaseTime) -> Result<Method, Failure> {
    let (users, time) = (db.repo::<User>(), time.clone());
    Ok(Method::named("rename")
        .policy(Policy::identified())
        .limit(LimitRule::parse(LIMIT)?)
        .invalidates(["user:{id}"])
        .handler(move |cx: Cx, input: Rename| {
            let (users, time) = (users.clone(), time.clone());
            async move {
                let patch = UserPatch {
                    name: Some(input.name),
                    ..UserPatch::default()
                };
                let changed = time.of(users.patch(&cx, input.id, patch)).await;
                changed.map_err(|error| failed(&error))
            }
        }))
}

fn figures(cache: &Cache, time: DatabaseTime) -> Method {
    let cache = cache.clone();
    Method::named("figures")
        .public("only the benchmark is there to ask")
        .handler(move |_: Cx<Public>, _: Nothing| {
            let text = time.text(&cache);
            async move { Ok::<_, Problem>(text) }
        })
}

fn failed(error: &RepoError) -> Problem {
    tracing::error!(%error, "the database failed");
    Problem::internal()
}
