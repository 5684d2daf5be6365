//! Settings from flags and environment variables.
//!
//! Precedence: flag, then environment, then default. An environment variable that is set but empty counts as not set, as
//! deployment tools often cannot leave one out. Every wrong value is collected; what was used and where it
//! came from is kept for printing, with secrets left out.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::path::Path;
use crate::problem::{Problem, Problems, Subject};
use crate::read::Node;

/// Where environment variables come from: the process, or a map in tests.
#[derive(Clone)]
pub struct Env(Source);

#[derive(Clone)]
enum Source {
    Process,
    Map(BTreeMap<String, String>),
}

impl Env {
    /// The variables of this process, read when they are asked for.
    pub fn process() -> Self {
        Self(Source::Process)
    }

    /// Exactly these variables.
    pub fn of<K: Into<String>, V: Into<String>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        Self(Source::Map(variables.collect()))
    }

    /// The value of a variable; `None` when it is not set or empty. Bytes that are not UTF-8 come back as `U+FFFD`, which
    /// the parser then refuses or shows.
    pub fn get(&self, name: &str) -> Option<String> {
        let value = match &self.0 {
            Source::Process => {
                std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
            }
            Source::Map(variables) => variables.get(name).cloned(),
        };
        value.filter(|value| !value.is_empty())
    }

    /// As it is now, whatever becomes of the process's own.
    pub(crate) fn frozen(&self) -> Self {
        Self(match &self.0 {
            Source::Process => Source::Map(
                std::env::vars_os()
                    .filter_map(|(name, value)| {
                        let name = name.into_string().ok()?;
                        Some((name, value.to_string_lossy().into_owned()))
                    })
                    .collect(),
            ),
            map @ Source::Map(_) => map.clone(),
        })
    }

    /// The names that begin with a prefix, sorted.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> = match &self.0 {
            Source::Process => std::env::vars_os()
                .filter_map(|(name, _)| name.into_string().ok())
                .filter(|name| name.starts_with(prefix))
                .collect(),
            Source::Map(variables) => variables
                .keys()
                .filter(|name| name.starts_with(prefix))
                .cloned()
                .collect(),
        };
        names.sort();
        names
    }
}

/// Without the values: an environment is full of secrets.
impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Process => f.write_str("Env(process)"),
            Source::Map(variables) => f.debug_set().entries(variables.keys()).finish(),
        }
    }
}

/// Where the value in use came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A command-line flag.
    Flag,
    /// An environment variable.
    Environment,
    /// The built-in default.
    Default,
    /// Nowhere: it has no value.
    Unset,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::Default => "default",
            Self::Unset => "not set",
        })
    }
}

/// One setting as it is in use, fit to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The environment variable's name, or the flag's where there is no variable.
    pub name: String,
    /// The value, `[redacted]` for a secret, without the password of a URL; empty when not set.
    pub shown: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Reads settings and collects what is wrong with them.
///
/// ```
/// use bastide_config::env::{Env, Settings};
/// use bastide_config::parse;
///
/// let env = Env::of([("PORT", "abc")]);
/// let mut settings = Settings::new(&env);
/// let _port = settings.variable("PORT").or("3000", parse::integer(1..=65535_u16));
/// let problems = settings.finish().unwrap_err();
/// assert_eq!(
///     problems.to_string(),
///     "PORT: expected a whole number from 1 to 65535, found \"abc\" (from the environment); set it to e.g. 3000"
/// );
/// ```
#[derive(Debug)]
pub struct Settings<'e> {
    env: &'e Env,
    problems: Problems,
    effective: Vec<Effective>,
}

impl<'e> Settings<'e> {
    /// Settings over an environment.
    pub fn new(env: &'e Env) -> Self {
        Self {
            env,
            problems: Problems::new(),
            effective: Vec::new(),
        }
    }

    /// A setting with an environment variable.
    pub fn variable(&mut self, name: &'static str) -> Setting<'_, 'e> {
        Setting::new(self, Some(name))
    }

    /// A setting that only a flag can give.
    pub fn flag(&mut self, name: &'static str, value: Option<&str>) -> Setting<'_, 'e> {
        Setting::new(self, None).flag(name, value)
    }

    /// Reports a problem that no single parser can see, such as two settings that exclude one another.
    pub fn reject(
        &mut self,
        name: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let problem = Problem::new(Path::root().then(name), message).with_remedy(remedy);
        self.problems.push(problem);
    }

    /// Whether everything so far was right.
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }

    /// The settings in use, or all problems.
    pub fn finish(self) -> Result<Vec<Effective>, Problems> {
        self.problems.into_result(self.effective)
    }
}

/// One setting about to be read. Nothing happens before [`Setting::or`], [`Setting::required`] or [`Setting::optional`].
#[must_use = "a setting is read by `or`, `required` or `optional`"]
pub struct Setting<'s, 'e> {
    settings: &'s mut Settings<'e>,
    variable: Option<&'static str>,
    flag: Option<(&'static str, Option<String>)>,
    example: Option<&'static str>,
    secret: bool,
}

impl<'s, 'e> Setting<'s, 'e> {
    fn new(settings: &'s mut Settings<'e>, variable: Option<&'static str>) -> Self {
        Self {
            settings,
            variable,
            flag: None,
            example: None,
            secret: false,
        }
    }

    /// The flag that overrides the variable, and its value if it was given.
    pub fn flag(mut self, name: &'static str, value: Option<&str>) -> Self {
        self.flag = Some((name, value.map(str::to_owned)));
        self
    }

    /// A value for the remedy `set it to e.g. ...`; else the default serves as one.
    pub fn example(mut self, value: &'static str) -> Self {
        self.example = Some(value);
        self
    }

    /// The value is never shown, neither in messages nor among the settings in use.
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Reads it; without a value the default is read by the same parser. `None` only if a value was refused.
    pub fn or<T>(
        mut self,
        default: &'static str,
        parser: impl FnOnce(Node<'_, '_>) -> Option<T>,
    ) -> Option<T> {
        self.example.get_or_insert(default);
        let (raw, origin) = self
            .find()
            .unwrap_or_else(|| (default.to_owned(), Origin::Default));
        self.parse(raw, origin, parser)
    }

    /// Reads it; to have no value is a problem. `why` completes "is required ...": `in production`.
    pub fn required<T>(
        mut self,
        why: &str,
        parser: impl FnOnce(Node<'_, '_>) -> Option<T>,
    ) -> Option<T> {
        if let Some((raw, origin)) = self.find() {
            return self.parse(raw, origin, parser);
        }
        let message = format!("is required {why}");
        let mut problem = Problem::new(self.path(), message.trim_end()).about(Subject::Missing);
        problem.remedy = self.remedy();
        self.settings.problems.push(problem);
        None
    }

    /// Reads it; `None` without a value (or if the value was refused: then a problem stands).
    pub fn optional<T>(mut self, parser: impl FnOnce(Node<'_, '_>) -> Option<T>) -> Option<T> {
        if let Some((raw, origin)) = self.find() {
            return self.parse(raw, origin, parser);
        }
        self.remember(String::new(), Origin::Unset);
        None
    }

    fn find(&mut self) -> Option<(String, Origin)> {
        if let Some((_, value)) = &mut self.flag
            && let Some(value) = value.take()
        {
            return Some((value, Origin::Flag));
        }
        let value = self.settings.env.get(self.variable?)?;
        Some((value, Origin::Environment))
    }

    fn parse<T>(
        mut self,
        raw: String,
        origin: Origin,
        parser: impl FnOnce(Node<'_, '_>) -> Option<T>,
    ) -> Option<T> {
        let value = Value::String(raw);
        let mut problems = Problems::new();
        let result = parser(Node::from_text(&value, &mut problems).hidden(self.secret));
        if problems.is_empty() && result.is_some() {
            let raw = value.as_str().unwrap_or_default();
            let shown = if self.secret {
                "[redacted]".to_owned()
            } else {
                crate::found::without_password(raw)
            };
            self.remember(shown, origin);
            return result;
        }
        if problems.is_empty() {
            problems.report("this value is not accepted");
        }
        let place = self.place(origin);
        for mut problem in problems {
            problem.path = place.clone();
            problem.message = match origin {
                Origin::Environment => format!("{} (from the environment)", problem.message),
                Origin::Default => format!("{} (the built-in default)", problem.message),
                Origin::Flag | Origin::Unset => problem.message,
            };
            problem.remedy = problem.remedy.or_else(|| self.remedy());
            self.settings.problems.push(problem);
        }
        None
    }

    fn remember(&mut self, shown: String, origin: Origin) {
        let name = self.name().to_owned();
        self.settings.effective.push(Effective {
            name,
            shown,
            origin,
        });
    }

    fn name(&self) -> &'static str {
        let flag = self.flag.as_ref().map(|(name, _)| *name);
        self.variable
            .or(flag)
            .expect("a setting has a variable or a flag")
    }

    fn place(&self, origin: Origin) -> Path {
        match (&self.flag, origin) {
            (Some((flag, _)), Origin::Flag) => Path::root().then(*flag),
            _ => self.path(),
        }
    }

    fn path(&self) -> Path {
        Path::root().then(self.name())
    }

    fn remedy(&self) -> Option<String> {
        self.example
            .map(|example| format!("set it to e.g. {example}"))
    }
}

impl fmt::Debug for Setting<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// The settings in use as a table of name, value and origin.
pub fn table(effective: &[Effective]) -> String {
    let width = |part: fn(&Effective) -> &str| {
        effective
            .iter()
            .map(|e| part(e).chars().count())
            .max()
            .unwrap_or(0)
    };
    let (names, values) = (width(|e| &e.name), width(|e| &e.shown));
    let lines = effective
        .iter()
        .map(|e| format!("{:names$}  {:values$}  ({})", e.name, e.shown, e.origin));
    lines.collect::<Vec<_>>().join("\n")
}
