//! A program for tests of the life of programs: what it does at its start, its end and in its calls is said by its configuration.

use std::future::pending;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bastide::accounts::{Accounts, Registration};
use bastide::auth::{BindingKey, Issuer, SigningKey};
use bastide::config::Secret;
use bastide::prelude::*;
use bastide::{Program, accounts, anyhow, launch, tokio, tracing};

mod service;

/// The section `[plan]`, usually `PROBE_PLAN__*`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Plan {
    /// Whether there are rows, and so a database.
    rows: bool,
    /// Whether there are accounts.
    accounts: bool,
    /// What the first hook of the start does: `wait` for the file `go`, `fail`, `panic` or `block`.
    warm_up: Option<String>,
    /// What the first hook of the end does: `hang`, `block`, `fail` or `panic`.
    wind_down: Option<String>,
    /// What the worker does: `stay`, `end`, `fail` or `block`. Without, there is none.
    worker: Option<String>,
    /// Signs and binds accounts' tokens.
    key: Option<Secret>,
}

fn main() -> ExitCode {
    let program = Program {
        name: "probe",
        version: "1.2.3",
    };
    launch(program, body)
}

async fn body(app: App) -> Result<()> {
    let plan: Plan = app.section("plan")?;
    tracing::debug!(settings = ?app.settings(), ?plan, "as authors may show it");
    let mut app = app.service(service::Work).service(service::ticks()?);
    if plan.rows {
        let database = app.database().await?;
        tracing::debug!(?database, cache = ?app.cache().await?, "as authors may show it");
        let rows = service::Rows::new(app.repo().await?, database);
        app = app.service(rows);
    }
    if plan.accounts {
        app = with_accounts(app, &plan.key.unwrap_or_default()).await?;
    }
    let (warm_up, wind_down) = (plan.warm_up, plan.wind_down);
    app = app
        .warm_up("first", move || told("warm-up first", warm_up))
        .warm_up("second", || told("warm-up second", None))
        .wind_down("first", || told("wind-down first", None))
        .wind_down("second", move || told("wind-down second", wind_down))
        .wind_down("third", || told("wind-down third", None));
    if let Some(what) = plan.worker {
        app = app
            .worker("mailer", move |stop| work("mailer", what, stop))
            .worker("reaper", |stop| work("reaper", "stay".to_owned(), stop));
    }
    app.run().await
}

/// Accounts, and the user `ada@example.org` in the tenant `acme`.
async fn with_accounts(app: App, key: &Secret) -> Result<App> {
    let issuer = Issuer::new(SigningKey::hs256(key)?);
    let acme = TenantId::parse("acme")?;
    let options = accounts::Options {
        registration: Registration::Open(vec![acme]),
        ..accounts::Options::default()
    };
    let accounts: Accounts = app.accounts(issuer, BindingKey::new(key)?, options).await?;
    let registry = accounts.registry();
    tracing::debug!(?accounts, store = ?app.store().await?, ?app, "as authors may show it");
    Ok(app.service(accounts.service()?).check_sessions(registry))
}

/// Says that it is its turn, and does what it is told.
async fn told(who: &'static str, what: Option<String>) -> Result<()> {
    tracing::info!("{who} begins");
    match what.as_deref() {
        None => {}
        Some("wait") => wait_for(PathBuf::from("go")).await,
        Some("fail") => {
            let cause = std::io::Error::other("the model is not there");
            return Err(anyhow::Error::new(cause).context("loading the model"));
        }
        Some("panic") => panic!("as it is told"),
        Some("hang") => pending().await,
        Some("block") => block(),
        Some(other) => anyhow::bail!("`{other}` is nothing that a hook can do"),
    }
    tracing::info!("{who} is done");
    Ok(())
}

async fn work(who: &'static str, what: String, mut stop: Stop) -> Result<()> {
    match what.as_str() {
        "stay" => stop.requested().await,
        "end" => return Ok(()),
        "fail" => anyhow::bail!("the mail server is away"),
        "block" => block(),
        other => anyhow::bail!("`{other}` is nothing that a worker can do"),
    }
    tracing::info!("worker {who} is done");
    Ok(())
}

/// Holds every thread of the runtime.
fn block() {
    for _ in 0..64 {
        tokio::spawn(async {
            loop {
                std::thread::park();
            }
        });
    }
    loop {
        std::thread::park();
    }
}

async fn wait_for(file: PathBuf) {
    while !file.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
