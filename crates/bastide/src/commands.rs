//! What a program does when it is asked for something on its command line.

mod describe;
mod openapi;
mod routes;
mod tables;
mod token;

use bastide_rpc::Registry;

use crate::app::App;
use crate::error::StartError;
use crate::launch::Command;
use crate::{serve, workers};

pub(crate) async fn carry_out(mut app: App) -> anyhow::Result<()> {
    // No key of the configuration is nobody's: what is accepted has an effect.
    let effective = app.parts.document.effective()?;
    let services = std::mem::take(&mut app.services);
    let services: Result<Vec<_>, _> = services.into_iter().collect();
    let registry = Registry::new(services.map_err(StartError::from)?);
    let registry = registry.map_err(StartError::from)?;
    match app.command.clone() {
        Command::Run { http_only } => serve::run(app, registry, !http_only).await,
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

/// The answer of a command.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
pub(crate) fn print(text: &str) {
    println!("{}", text.trim_end_matches('\n'));
}
