//! The commands that work on what the gateway keeps, without running it.

use std::fmt::Display;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use bastide_config::env::Env;
use bastide_gateway::keys::Keys;
use bastide_gateway::repository::Repository;
use bastide_gateway::settings::{Flags, StorageSettings};
use bastide_gateway::{declare, seed, start};

use crate::say::{failed, refused, say};

pub(crate) fn check(file: &Path) -> ExitCode {
    match declare::check_file(file) {
        Ok(found) => say(format!(
            "{}: valid; {}, {}, {}, {}",
            file.display(),
            count(found.tenants, "tenant"),
            count(found.keys, "key"),
            count(found.routes, "route"),
            count(found.tiers, "tier")
        )),
        Err(problems) => refused(problems.join("\n")),
    }
}

fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

pub(crate) fn migrate(flags: &Flags, env: &Env) -> ExitCode {
    with_repository(flags, env, async |storage| {
        start::open_migrated(&storage).await?;
        Ok::<_, start::StartError>("the database is up to date".to_owned())
    })
}

pub(crate) fn seed(flags: &Flags, env: &Env) -> ExitCode {
    with_repository(flags, env, async |storage| {
        let (repository, keys) = open(&storage).await?;
        seed::seed(&repository, &keys)
            .await
            .map_err(|error| start::StartError::Database(error.to_string()))
    })
}

pub(crate) fn hash_key(flags: &Flags, env: &Env) -> ExitCode {
    let mut key = String::new();
    if let Err(error) = std::io::stdin().read_to_string(&mut key) {
        return failed(format!(
            "the key cannot be read from standard input: {error}"
        ));
    }
    let key = key.trim_end_matches(['\r', '\n']).to_owned();
    if key.is_empty() {
        return refused(
            "no key came; write one to standard input, for instance: printf %s \"$KEY\" | bastide gateway keys hash",
        );
    }
    with_repository(flags, env, async |storage| {
        let (_, keys) = open(&storage).await?;
        Ok::<_, start::StartError>(String::from(keys.hash(&key)))
    })
}

async fn open(storage: &StorageSettings) -> Result<(Repository, Keys), start::StartError> {
    let repository = start::open_migrated(storage).await?;
    let keys = start::keys(storage, &repository).await?;
    Ok((repository, keys))
}

/// Runs a command on the database that flags and environment name.
fn with_repository<E: Display>(
    flags: &Flags,
    env: &Env,
    command: impl AsyncFnOnce(StorageSettings) -> Result<String, E>,
) -> ExitCode {
    let storage = match StorageSettings::read(flags, env) {
        Ok(storage) => storage,
        Err(problems) => return refused(problems),
    };
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        return failed("the TLS provider is installed twice");
    }
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(format!("the runtime cannot be started: {error}")),
    };
    match runtime.block_on(command(storage)) {
        Ok(said) => say(said),
        Err(error) => failed(error),
    }
}
