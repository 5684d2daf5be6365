//! The layers of a program's configuration: `config/default.*`, `config/{env}.*`, then environment variables.

use std::fmt;
use std::path::Path;
use std::sync::Mutex;

use bastide_config::env::Env;
use bastide_config::layers::{Layers, Reload, Watched, table};
use bastide_config::read::Fields;
use bastide_config::{env, parse};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::error::StartError;
use crate::launch::Program;
use crate::settings::{Environment, Settings};

/// What was read before the author's code.
pub(crate) struct Configuration {
    pub(crate) environment: Environment,
    pub(crate) settings: Settings,
    pub(crate) document: Document,
}

/// The layers, and which members of them were asked for.
pub(crate) struct Document {
    layers: Layers,
    env: Env,
    environment: Environment,
    /// The program's own sections, to be read once more with everything else.
    claims: Mutex<Vec<Claim>>,
}

type Claim = Box<dyn Fn(&mut Fields<'_, '_>) -> Option<()> + Send>;

/// The endings of files, in the order in which they are looked for.
const ENDINGS: &[&str] = &["toml", "yaml", "yml", "json"];

/// Variables that deployment tools set for programs of all kinds.
const COMMON: &[(&str, &str)] = &[
    ("PORT", "HTTP__PORT"),
    ("DATABASE_URL", "DATABASE__URL"),
    ("DATABASE_OWNER_URL", "DATABASE__OWNER_URL"),
    ("REDIS_URL", "STORE__URL"),
    ("LOG_LEVEL", "LOG__LEVEL"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "TRACES__ENDPOINT"),
];

/// Reads what is ours in the folder `config` below `folder` and in variables that begin with the program's name. The rest is read
/// when the program asks for it.
pub(crate) fn read(
    program: Program,
    folder: &Path,
    env: &Env,
) -> Result<Configuration, StartError> {
    let environment = environment(env)?;
    let mut layers = Layers::new().env_prefix(prefix(program.name));
    for (name, setting) in COMMON {
        layers = layers.common_variable(*name, *setting);
    }
    for stem in ["default", environment.name()] {
        for ending in ENDINGS {
            let path = folder.join("config").join(format!("{stem}.{ending}"));
            layers = layers.optional_file(path);
        }
    }
    let read = |fields: &mut Fields<'_, '_>| Settings::read(fields, environment);
    let loaded = layers.read_part(env, read);
    Ok(Configuration {
        environment,
        settings: loaded.map_err(refused)?.value,
        document: Document {
            layers,
            env: env.clone(),
            environment,
            claims: Mutex::default(),
        },
    })
}

impl Document {
    /// The program's own section of this name.
    pub(crate) fn section<T>(&self, name: &'static str) -> Result<T, StartError>
    where
        T: DeserializeOwned + JsonSchema,
    {
        let read = move |fields: &mut Fields<'_, '_>| fields.section::<T>(name);
        let value = self
            .layers
            .read_part(&self.env, read)
            .map_err(refused)?
            .value;
        let claim: Claim = Box::new(move |fields| read(fields).map(drop));
        self.claims
            .lock()
            .expect("nobody panics while holding it")
            .push(claim);
        Ok(value)
    }

    /// Every value in use as a table, once no key is nobody's.
    ///
    /// # Errors
    /// Keys and variables that neither we nor the program asked for.
    pub(crate) fn effective(&self) -> Result<String, StartError> {
        let loaded = self
            .layers
            .read(&self.env, |fields| self.read_all(fields).map(drop));
        Ok(table(&loaded.map_err(refused)?.effective))
    }

    /// Everything that was asked for: ours and the program's own sections.
    pub(crate) fn read_all(&self, fields: &mut Fields<'_, '_>) -> Option<Settings> {
        let claims = self.claims.lock().expect("nobody panics while holding it");
        let settings = Settings::read(fields, self.environment);
        let own: Vec<_> = claims.iter().map(|claim| claim(fields)).collect();
        own.into_iter().collect::<Option<Vec<()>>>()?;
        settings
    }

    /// Follows the files with this reader of all that was asked for. What it gives changes by `[log]` alone.
    pub(crate) fn watch<T: Send + Sync + 'static>(
        &self,
        reader: impl FnMut(&mut Fields<'_, '_>) -> Option<T> + Send + 'static,
    ) -> Result<Watched<T>, StartError> {
        let layers = self.layers.clone();
        // Whether they are followed at all is `config.watch`, which is known here.
        layers
            .watch(&self.env, Reload::Always, &["log"], reader)
            .map_err(refused)
    }
}

/// Without values: there are secrets among them.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

/// `BASTIDE_ENV`.
fn environment(env: &Env) -> Result<Environment, StartError> {
    let mut settings = env::Settings::new(env);
    let read = settings
        .variable("BASTIDE_ENV")
        .or("development", parse::choice(Environment::CHOICES));
    match settings.finish() {
        Ok(_) => Ok(read.expect("what was refused has made `finish` fail")),
        Err(problems) => Err(StartError::Configuration(problems.to_string())),
    }
}

/// `MEDIA_SCALER_` for `media-scaler`.
pub(crate) fn prefix(name: &str) -> String {
    format!("{}_", name.replace('-', "_").to_ascii_uppercase())
}

fn refused(error: impl fmt::Display) -> StartError {
    StartError::Configuration(error.to_string())
}
