//! Log lines through `tracing`: JSON for machines, compact text for people, redacted before anything is written.
//!
//! Every line carries the fields of the spans around it, so a request id put on a span stands on each of its lines.
//! Redaction is part of making the line; there is no way to write around it. See [`Redaction`] for what it covers.

mod format;
mod layer;
mod redact;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::lines::LineSource;
pub use layer::LogLayer;
pub use redact::{DEFAULT_PATHS, REDACTED, Redaction};

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// One JSON object a line: `timestamp`, `level`, `target`, `message`, then the fields.
    Json,
    /// Time of day, level, target, message, `name=value`.
    Pretty {
        /// Whether the level is coloured.
        color: bool,
    },
}

/// What a log cannot be set up with.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is not understood.
    #[error(
        "expected error, warn, info, debug, trace, off, or directives such as info,bastide_gateway=debug; \
         found {found:?}: {why}"
    )]
    Level {
        /// What was given.
        found: String,
        /// Why it is not understood.
        why: String,
    },
    /// A redaction path is not understood.
    #[error(
        "expected a path such as password, headers.authorization or creditCard.*; found {found:?}"
    )]
    RedactionPath {
        /// What was given.
        found: String,
    },
    /// Another part of the program has set up a log already.
    #[error("the log is set up already")]
    SetUpTwice,
}

/// Libraries that describe at `debug` and `trace` what goes over their connections, header values included.
const LIBRARIES: &[&str] = &[
    "h2",
    "hyper",
    "hyper_util",
    "mio",
    "redis",
    "rustls",
    "tokio_postgres",
    "tokio_rustls",
    "tungstenite",
];

/// The target of the spans that give the lines of a call its ids. It has no lines of its own.
pub const CALLS: &str = "bastide_call";

/// Which lines are written: a level, or `tracing` directives separated by commas (`info,bastide_gateway=debug`).
///
/// A level below `info` is the program's: libraries that would log what they carry stay at `info` unless a directive
/// names them (`debug,h2=debug`), for there may be keys in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(String);

impl Filter {
    /// Reads the value of `LOG_LEVEL`.
    ///
    /// A word that is neither a level nor `target=level` is refused; `tracing` would take a misspelt level as the name of
    /// a target.
    pub fn parse(text: &str) -> Result<Self, LogError> {
        let refuse = |why: String| LogError::Level {
            found: text.to_owned(),
            why,
        };
        for directive in text.split(',').map(str::trim) {
            let is_level = directive.parse::<LevelFilter>().is_ok()
                && !directive.chars().all(|c| c.is_ascii_digit());
            if !is_level && !directive.contains(['=', '[']) {
                return Err(refuse(format!("{directive:?} is no level")));
            }
        }
        EnvFilter::try_new(text).map_err(|error| refuse(error.to_string()))?;
        Ok(Self(text.to_owned()))
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn build(&self) -> EnvFilter {
        EnvFilter::new(self.directives())
    }

    fn directives(&self) -> String {
        let is_talkative = self.0.split(',').map(str::trim).any(|directive| {
            let level = directive.parse::<LevelFilter>();
            level.is_ok_and(|level| level > LevelFilter::INFO)
        });
        let kept_back = LIBRARIES.iter().filter(|_| is_talkative);
        // A filter that names some targets alone would leave their lines without the ids of their calls.
        let is_off = self.0.trim().eq_ignore_ascii_case("off");
        let calls = (!is_off).then(|| format!("{CALLS}=error,"));
        // Of two directives for one target the later one counts.
        kept_back
            .map(|library| format!("{library}=info,"))
            .chain(calls)
            .chain([self.0.clone()])
            .collect()
    }
}

/// Sets the log of this process up; once.
///
/// ```
/// use bastide_telemetry::lines::{self, Lines};
/// use bastide_telemetry::log::{self, Filter, Redaction, Style};
///
/// let lines = Lines::start(lines::stdout()?, 1 << 20)?;
/// log::init(&Filter::parse("info")?, Style::Json, Redaction::standard(), lines.source())?;
/// tracing::info!(tenant = "t1", "ready");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn init(
    filter: &Filter,
    style: Style,
    redaction: Redaction,
    lines: LineSource,
) -> Result<(), LogError> {
    tracing_subscriber::registry()
        .with(filter.build())
        .with(LogLayer::new(style, redaction, lines))
        .try_init()
        .map_err(|_| LogError::SetUpTwice)
}

/// As [`init`], with a level that can be changed while the process runs. Asking whether a line is written costs a lock that
/// nearly nobody holds.
pub fn init_adjustable(
    filter: &Filter,
    style: Style,
    redaction: Redaction,
    lines: LineSource,
) -> Result<Adjustable, LogError> {
    let (filter, handle) = reload::Layer::new(filter.build());
    tracing_subscriber::registry()
        .with(filter)
        .with(LogLayer::new(style, redaction, lines))
        .try_init()
        .map_err(|_| LogError::SetUpTwice)?;
    Ok(Adjustable(handle))
}

/// The level of a log that runs.
#[derive(Clone, Debug)]
pub struct Adjustable(reload::Handle<EnvFilter, Registry>);

impl Adjustable {
    /// From now on these lines are written.
    pub fn set(&self, filter: &Filter) {
        // Only a log that is gone refuses, and that has no lines.
        let _ = self.0.reload(filter.build());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_do_not_tell_what_they_carry_unless_they_are_asked() {
        let lines = |filter: &str, target: &str| {
            let filter = EnvFilter::new(Filter::parse(filter).unwrap().directives()).to_string();
            let of = |wanted: &str| {
                let mut directives = filter.split(',').map(|one| one.trim().split_once('='));
                directives.find_map(|pair| pair.filter(|(name, _)| *name == wanted))
            };
            of(target).map(|(_, level)| level.to_owned())
        };
        assert_eq!(lines("debug", "h2").as_deref(), Some("info"));
        assert_eq!(lines("debug,h2=trace", "h2").as_deref(), Some("trace"));
        assert_eq!(lines("info", "h2"), None);
        assert_eq!(lines("off", "h2"), None);
        assert_eq!(lines("warn,bastide_gateway=debug", "h2"), None);
    }

    #[test]
    fn s2_a_filter_that_names_targets_leaves_their_lines_their_ids() {
        let is_on = |filter: &str, work: fn() -> bool| {
            let filter = Filter::parse(filter).unwrap().build();
            let subscriber = tracing_subscriber::registry().with(filter);
            tracing::subscriber::with_default(subscriber, work)
        };
        let calls = || !tracing::error_span!(target: CALLS, "call").is_disabled();
        for filter in ["info", "media=debug", "off,media=warn", "error"] {
            assert!(is_on(filter, calls), "{filter}");
        }
        assert!(!is_on("off", calls), "without lines it costs nothing");
    }

    #[test]
    fn levels_and_directives_are_read() {
        for good in [
            "info",
            "OFF",
            "warn,bastide_gateway=debug",
            "error,a[span{id=1}]=trace",
        ] {
            assert!(Filter::parse(good).is_ok(), "{good}");
        }
        for bad in ["inof", "", "info,debgu", "a=verbose", "3"] {
            let error = Filter::parse(bad).unwrap_err().to_string();
            assert!(error.starts_with("expected error, warn, info"), "{error}");
        }
    }
}
