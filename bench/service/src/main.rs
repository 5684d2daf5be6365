//! The service that `cargo xtask bench service` measures: a handful of methods, each as one would write it.
//!
//! - `bench-service prepare ROLE` makes the tables of `DATABASE_URL` and fills them; on Postgres as their owner, for a program
//!   that runs as that role.
//! - `bench-service tokens COUNT` prints tokens of so many users, one a line.
//! - `bench-service serve PORT` answers calls on 127.0.0.1, with `DATABASE_URL`, and with `REDIS_URL` for a cache that is
//!   shared; without it, the cache is of this process alone.
//! - `bench-service alone CALLS [METHOD]` prints what a call costs without sockets, of 40 rounds of so many calls; of one
//!   method, `hello` or `greet`, for a tool that counts instructions.
//!
//! `SECRET` signs and verifies the tokens.
#![forbid(unsafe_code)]

mod alone;
mod figures;
mod methods;
mod tokens;
mod users;

use std::sync::Arc;
use std::time::Duration;

use bastide_auth::{Keys, Verifier};
use bastide_cache::{Cache, CacheOptions};
use bastide_config::Secret;
use bastide_db::Database;
use bastide_repo::TenantDb;
use bastide_rpc::{Dispatcher, HttpEntry, HttpOptions, Registry, Server};
use bastide_store::{RedisOptions, RedisUrl, Store};
use bastide_telemetry::metrics;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["prepare", role] => users::prepare(&database()?, role).await,
        ["tokens", count] => tokens::print(&secret()?, count.parse()?),
        ["serve", port] => serve(port.parse()?).await,
        ["alone", calls, only @ ..] if only.len() <= 1 => {
            let token = tokens::sign(&secret()?, 0)?;
            let only = only.first().copied();
            alone::print(&entry().await?, &token, calls.parse()?, only).await
        }
        _ => Err(
            "expected `prepare ROLE`, `tokens COUNT`, `serve PORT` or `alone CALLS [METHOD]`"
                .into(),
        ),
    }
}

async fn serve(port: u16) -> Result<(), Failure> {
    let mut server = Server::new(entry().await?);
    server.listen(([127, 0, 0, 1], port).into()).await?;
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?
        .recv()
        .await;
    server.drain(Duration::from_secs(1)).await;
    Ok(())
}

async fn entry() -> Result<HttpEntry, Failure> {
    let store = match std::env::var("REDIS_URL") {
        Ok(url) => Store::redis(&RedisUrl::parse(&url)?, RedisOptions::default())?,
        Err(_) => Store::memory(),
    };
    let cache = Cache::new(&store, CacheOptions::default()).await?;
    let service = methods::service(&TenantDb::new(database()?), &cache)?;
    let registry = Registry::new([service])?;
    let dispatcher = Dispatcher::new(registry, &metrics::Registry::new(), Some(cache))?
        .verifier(Verifier::new(Keys::hs256(&secret()?)?));
    Ok(HttpEntry::new(Arc::new(dispatcher), HttpOptions::default()))
}

fn database() -> Result<Database, Failure> {
    Ok(Database::open(&variable("DATABASE_URL")?)?)
}

fn secret() -> Result<Secret, Failure> {
    Ok(Secret::new(variable("SECRET")?))
}

fn variable(name: &str) -> Result<String, Failure> {
    std::env::var(name).map_err(|_| format!("set {name}").into())
}
