//! Files and environment variables as layers of one configuration, every value of which knows where it came from.
//!
//! Later layers win member by member; lists and everything else are replaced whole. Variables come last, whatever the order
//! of the calls. A file of a layer that exists has to be right, also an optional one.
//!
//! # Variables
//! `MEDIA_AUTH__JWT_SECRET` under the prefix `MEDIA_` is the member `jwtSecret`, `jwt_secret` or `jwt-secret` of `auth`, whichever
//! of them the reader knows: `__` goes one object down, and case, `_` and `-` do not count. The text is read by the type that is
//! wanted (`8080`, `true`, `a,b`, `5m`, `10gb`). A variable that is set but empty counts as not set; one that matches nothing
//! is a mistake. Lists of objects are for files.
//!
//! # No templates
//! Nothing is replaced within values: a text with `${` is refused, as it was surely meant to be replaced.
//!
//! ```
//! use bastide_config::env::Env;
//! use bastide_config::{ByteSize, Layers, Secret, TimeSpan, parse};
//!
//! #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
//! struct Auth { #[serde(rename = "jwtSecret")] jwt_secret: Secret, lifetime: TimeSpan }
//! struct App { auth: Auth, port: u16 }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let base = folder.path().join("default.toml");
//! std::fs::write(&base, "port = 8080\n[auth]\nlifetime = \"15m\"\n")?;
//! let env = Env::of([("MEDIA_AUTH__JWT_SECRET", "correct horse battery staple")]);
//! let layers = Layers::new()
//!     .file(&base)
//!     .optional_file(folder.path().join("{env}.toml"))
//!     .env_prefix("MEDIA_");
//! let config = layers.read(&env, |root| {
//!     // Every member is asked for before the first `?`, so that every mistake is found.
//!     let auth = root.section("auth");
//!     let port = root.required("port", parse::integer(1..=65_535_u16));
//!     Some(App { auth: auth?, port: port? })
//! })?;
//! assert_eq!(config.value.port, 8080);
//! let shown: Vec<String> = config.effective.iter().map(ToString::to_string).collect();
//! assert_eq!(shown[0], "auth.jwtSecret = [redacted] (MEDIA_AUTH__JWT_SECRET)");
//!
//! let env = Env::of([("MEDIA_AUTH__JWT_SECRT", "x")]);
//! let mistakes = layers.read(&env, |root| root.section::<Auth>("auth")).unwrap_err().to_string();
//! assert!(mistakes.contains("MEDIA_AUTH__JWT_SECRT: no setting has this name; did you mean MEDIA_AUTH__JWT_SECRET?"));
//! # Ok(())
//! # }
//! ```

mod effective;
mod tree;
mod variables;
mod watched;

use std::fmt;
use std::path::PathBuf;

use serde_json::Value;

use crate::document::{Document, DocumentError, one_line};
use crate::env::Env;
use crate::ledger::Ledger;
use crate::problem::{MAX_PROBLEMS, Problem, Problems, Subject};
use crate::read::{Fields, Node};

pub use effective::{Effective, table};
pub use tree::Source;
use tree::Tree;
use variables::Variables;
pub use watched::{Reload, Watched};

/// The variable that says in which environment the program runs.
const ENVIRONMENT: &str = "BASTIDE_ENV";
const DEFAULT_ENVIRONMENT: &str = "development";

/// Where a configuration comes from, in the order in which one layer covers another. Nothing is read before [`Layers::read`].
#[derive(Clone, Debug, Default)]
pub struct Layers {
    files: Vec<File>,
    environment: Option<String>,
    prefix: Option<String>,
    common: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
struct File {
    path: PathBuf,
    is_optional: bool,
}

/// How much of the layers a reader asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    Whole,
    Part,
}

/// What was read of layers.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// What the reader made of them.
    pub value: T,
    /// Every value in use, fit to be shown, by path.
    pub effective: Vec<Effective>,
}

/// Everything that is wrong with the layers, one line for each mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayersError {
    mistakes: Vec<Mistake>,
}

/// One mistake, and where it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The place to mend; `None` where nothing is written at all.
    pub source: Option<Source>,
    /// What the mistake is about, and what to do.
    pub message: String,
}

impl Layers {
    /// No layers.
    pub fn new() -> Self {
        Self::default()
    }

    /// The name that stands for `{env}` in names of files. Default: what `BASTIDE_ENV` says, else `development`.
    pub fn environment(mut self, name: impl Into<String>) -> Self {
        self.environment = Some(name.into());
        self
    }

    /// A file, TOML, YAML or JSON by its extension. It has to be there.
    pub fn file(self, path: impl Into<PathBuf>) -> Self {
        self.with(path.into(), false)
    }

    /// A file that need not be there. If it is, it has to be right.
    pub fn optional_file(self, path: impl Into<PathBuf>) -> Self {
        self.with(path.into(), true)
    }

    /// The environment variables that begin so, as `MEDIA_`.
    pub fn env_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// A variable that many programs understand, as `DATABASE_URL`, and the setting that it is, written as behind a prefix:
    /// `DATABASE__URL`. The variable with the prefix covers it.
    pub fn common_variable(mut self, name: impl Into<String>, setting: impl Into<String>) -> Self {
        self.common.push((name.into(), setting.into()));
        self
    }

    fn with(mut self, path: PathBuf, is_optional: bool) -> Self {
        self.files.push(File { path, is_optional });
        self
    }

    /// Reads the layers, and from them the value. `reader` is asked several times, each time with more of the variables in their
    /// places, so it does nothing but read.
    ///
    /// # Errors
    /// Every mistake with its source: files that cannot be read, and in the merged layers values that were refused, members
    /// that are missing, keys and variables that nobody asked for. No secret stands in the messages.
    pub fn read<T>(
        &self,
        env: &Env,
        reader: impl FnMut(&mut Fields<'_, '_>) -> Option<T>,
    ) -> Result<Loaded<T>, LayersError> {
        let tree = self.tree(env)?;
        self.read_tree(tree, env, Extent::Whole, reader)
    }

    /// Reads a part of the layers: members of the root and variables that the reader does not ask for are somebody else's to
    /// read. Whoever reads parts has to read the whole once, so that no key is nobody's.
    ///
    /// # Errors
    /// As [`Layers::read`], about this part.
    pub fn read_part<T>(
        &self,
        env: &Env,
        reader: impl FnMut(&mut Fields<'_, '_>) -> Option<T>,
    ) -> Result<Loaded<T>, LayersError> {
        let tree = self.tree(env)?;
        self.read_tree(tree, env, Extent::Part, reader)
    }

    fn read_tree<T>(
        &self,
        mut tree: Tree,
        env: &Env,
        extent: Extent,
        mut reader: impl FnMut(&mut Fields<'_, '_>) -> Option<T>,
    ) -> Result<Loaded<T>, LayersError> {
        let mut mistakes = tree.templates();
        let mut variables = Variables::of(env, self.prefix.as_deref(), &self.common, ENVIRONMENT);
        let mut texts = variables.paths();
        let (value, problems, ledger) = loop {
            let ledger = Ledger {
                texts,
                ..Ledger::default()
            };
            let mut problems = Problems::with(ledger);
            let value = match extent {
                Extent::Whole => Node::new(tree.value(), &mut problems).object(&mut reader),
                Extent::Part => Fields::new(tree.value(), &mut problems).and_then(|mut fields| {
                    let value = reader(&mut fields);
                    fields.leave();
                    value
                }),
            };
            let ledger = problems.take_ledger().unwrap_or_default();
            if !variables.advance(&mut tree, &ledger) {
                break (value, problems, ledger);
            }
            texts = variables.paths();
        };
        mistakes.extend(self.told(&tree, problems));
        if extent == Extent::Whole {
            mistakes.extend(variables.mistakes(&ledger));
        }
        match value {
            Some(value) if mistakes.is_empty() => Ok(Loaded {
                value,
                effective: effective::list(&tree, &ledger),
            }),
            None if mistakes.is_empty() => Err(LayersError {
                mistakes: vec![Mistake::nowhere("this configuration is not accepted")],
            }),
            _ => Err(LayersError::of(mistakes)),
        }
    }

    fn told(&self, tree: &Tree, problems: Problems) -> Vec<Mistake> {
        let unlisted = problems.unlisted();
        let mut mistakes: Vec<Mistake> = problems
            .into_iter()
            .map(|problem| self.mistake(tree, problem))
            .collect();
        if unlisted > 0 {
            mistakes.push(Mistake::nowhere(&format!("and {unlisted} more")));
        }
        mistakes
    }

    fn mistake(&self, tree: &Tree, mut problem: Problem) -> Mistake {
        if let (Subject::Missing, Some(prefix), None) =
            (problem.subject, &self.prefix, &problem.remedy)
            && let Some(name) = variables::name_of(prefix, &problem.path)
        {
            problem.remedy = Some(format!("write it there, or set {name}"));
        }
        Mistake {
            source: tree.source(&problem),
            message: one_line(&problem.to_string()),
        }
    }

    /// The files, merged.
    fn tree(&self, env: &Env) -> Result<Tree, LayersError> {
        let mut tree = Tree::default();
        let mut mistakes = Vec::new();
        match self.files(env) {
            Err(mistake) => mistakes.push(mistake),
            Ok(files) => {
                for (path, is_optional) in files {
                    match Document::load(&path) {
                        Err(DocumentError::Unreadable { source, .. })
                            if is_optional && source.kind() == std::io::ErrorKind::NotFound => {}
                        Err(error) => mistakes.push(Mistake::nowhere(&error.to_string())),
                        Ok(document) if document.value().is_object() => tree.cover(document),
                        Ok(document) => mistakes.push(Mistake::nowhere(&format!(
                            "{}:1:1: expected an object",
                            document.name()
                        ))),
                    }
                }
            }
        }
        if mistakes.is_empty() {
            Ok(tree)
        } else {
            Err(LayersError::of(mistakes))
        }
    }

    /// The files' names with the environment in them.
    fn files(&self, env: &Env) -> Result<Vec<(PathBuf, bool)>, Mistake> {
        let environment = self.environment_in(env)?;
        let named = |file: &File| {
            let path = file.path.to_string_lossy();
            if !path.contains(['{', '}', '$']) {
                return Ok((file.path.clone(), file.is_optional));
            }
            let path = path.replace("{env}", &environment);
            if path.contains(['{', '}', '$']) {
                let message = format!(
                    "{}: only `{{env}}` is replaced in the name of a file",
                    file.path.display()
                );
                return Err(Mistake::nowhere(&message));
            }
            Ok((PathBuf::from(path), file.is_optional))
        };
        self.files.iter().map(named).collect()
    }

    /// A plain word, for it becomes part of a path.
    fn environment_in(&self, env: &Env) -> Result<String, Mistake> {
        let named = self.environment.clone().or_else(|| env.get(ENVIRONMENT));
        let name = named.unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned());
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if !name.is_empty() && name.chars().all(is_plain) {
            return Ok(name);
        }
        Err(Mistake {
            source: Some(Source::Variable(ENVIRONMENT.to_owned())),
            message: format!(
                "expected a name of letters, digits, `_` and `-`, found {}",
                crate::found::describe(&Value::String(name))
            ),
        })
    }
}

impl LayersError {
    fn of(mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by(|one, other| one.source.cmp(&other.source));
        let more = mistakes.len().saturating_sub(MAX_PROBLEMS);
        if more > 0 {
            mistakes.truncate(MAX_PROBLEMS);
            mistakes.push(Mistake::nowhere(&format!("and {more} more")));
        }
        Self { mistakes }
    }

    /// The mistakes, by source.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }
}

impl Mistake {
    fn nowhere(message: &str) -> Self {
        Self {
            source: None,
            message: one_line(message),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{source}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl fmt::Display for LayersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, mistake) in self.mistakes.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for LayersError {}

/// About a text with a template in it.
const TEMPLATE: &str =
    "`${` is not replaced in values; write the value itself, or set it by an environment variable";
