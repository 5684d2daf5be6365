//! `[log]`: what the program says while it runs.

use bastide_config::read::Fields;
use bastide_config::{Node, Shown, parse};
use bastide_telemetry::log::{Filter, Redaction};

use serde_json::Value;

use super::Environment;

/// Level, form, and what is never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// `level`: `error` to `trace`, or directives as `info,my_app=debug`; `LOG_LEVEL` is the same. `info`, in development `debug`.
    pub level: Filter,
    /// `format`: `json` or `pretty`; JSON but in development.
    pub format: LogFormat,
    /// `redact`: paths whose values are never shown, on top of the standard ones: `password`, `creditCard.*`, `headers.authorization`.
    pub redact: Vec<String>,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

impl Shown for LogFormat {
    fn shown(&self) -> Value {
        match self {
            Self::Json => "json".into(),
            Self::Pretty => "pretty".into(),
        }
    }
}

impl LogSettings {
    /// The standard paths and those of the program.
    pub(crate) fn redaction(&self) -> Redaction {
        let paths = self.redact.iter().map(String::as_str);
        Redaction::standard_and(paths).expect("each path was read before")
    }
}

pub(super) fn read(fields: &mut Fields<'_, '_>, environment: Environment) -> Option<LogSettings> {
    let is_development = environment == Environment::Development;
    let otherwise = if is_development { "debug" } else { "info" };
    fields.default("level", otherwise);
    let level = fields.optional("level", level);
    let format = fields.setting(
        "format",
        if is_development {
            LogFormat::Pretty
        } else {
            LogFormat::Json
        },
        parse::choice(&[("json", LogFormat::Json), ("pretty", LogFormat::Pretty)]),
    );
    let redact = fields.list("redact", redacted);
    Some(LogSettings {
        level: level.unwrap_or_else(|| Filter::parse(otherwise).expect("a level")),
        format,
        redact,
    })
}

fn level(mut node: Node<'_, '_>) -> Option<Filter> {
    let text = parse::string(1..=4096)(node.again())?;
    match Filter::parse(&text) {
        Ok(filter) => Some(filter),
        Err(error) => node.reject(error.to_string()),
    }
}

fn redacted(mut node: Node<'_, '_>) -> Option<String> {
    let path = parse::string(1..=256)(node.again())?;
    match Redaction::of([path.as_str()]) {
        Ok(_) => Some(path),
        Err(error) => node.reject(error.to_string()),
    }
}
