//! What a program does when it is asked for something on its command line.

mod describe;
mod openapi;
mod routes;
mod tables;
mod token;

use bastide_auth::Policy;
use bastide_rpc::{Registry, Service, health_service_for};

use crate::app::App;
use crate::error::StartError;
use crate::launch::Command;
use crate::readiness::Readiness;
use crate::{serve, watch, workers};

pub(crate) async fn carry_out(mut app: App) -> anyhow::Result<()> {
    // No key of the configuration is nobody's: what is accepted has an effect.
    let effective = app.parts.document.effective()?;
    if let Some(log) = app.log.take() {
        watch::follow(&app.parts, log)?;
    }
    let services = std::mem::take(&mut app.services);
    let services: Result<Vec<_>, _> = services.into_iter().collect();
    let mut services: Vec<Service> = services.map_err(StartError::from)?;
    if matches!(app.command, Command::Run { .. }) {
        open_what_calls_need(&mut app, &services).await?;
    }
    let readiness = Readiness::of(&mut app);
    if app.parts.settings.health.rpc {
        let health = readiness.health.clone();
        let services_alone = Policy::identified().services_only();
        services.push(health_service_for(health, services_alone));
    }
    let registry = Registry::new(services).map_err(StartError::from)?;
    #[cfg(feature = "testing")]
    if let Some(stage) = app.stage.take() {
        return crate::testing::run(app, registry, stage, readiness).await;
    }
    match app.command.clone() {
        Command::Run { http_only } => serve::run(app, registry, !http_only, readiness).await,
        Command::Worker {
            name,
            until_input_ends,
        } => workers::run(app, &name, until_input_ends).await,
        Command::Routes { json } => routes::list(&registry, json),
        Command::Openapi => openapi::print_document(&registry, app.parts.program),
        Command::Config => {
            print(&effective);
            Ok(())
        }
        Command::Describe => describe::print_description(&app, &registry),
        Command::Token(claims) => token::make(&app.parts, &claims),
        Command::Db(command) => tables::carry_out(&app, command).await,
    }
}

/// So that the health of each part is known from the beginning.
async fn open_what_calls_need(app: &mut App, services: &[Service]) -> Result<(), StartError> {
    if services.iter().any(Service::needs_cache) {
        app.parts.cache().await?;
    }
    let auth = &app.parts.settings.auth;
    if auth.keys.is_some() && auth.sessions && app.sessions.is_none() {
        app.sessions = Some(app.parts.sessions().await?);
    }
    Ok(())
}

/// The answer of a command.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
pub(crate) fn print(text: &str) {
    println!("{}", text.trim_end_matches('\n'));
}
