//! How the parts of a line are put together.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use tracing::Level;

use super::Style;
use super::layer::Line;

/// The line without its line break. Neither style lets a value begin a new line.
pub(super) fn line(line: &Line<'_>, style: Style) -> String {
    match style {
        Style::Json => json(line),
        Style::Pretty { color } => pretty(line, color),
    }
}

fn json(line: &Line<'_>) -> String {
    let mut text = String::with_capacity(256);
    let mut members = Map::new();
    for (name, value) in &line.fields {
        // The line's own members keep their meaning whatever a field is called.
        let reserved = matches!(*name, "timestamp" | "level" | "target" | "message");
        let name = if reserved {
            format!("field.{name}")
        } else {
            (*name).to_owned()
        };
        members.insert(name, value.clone());
    }
    let head = [
        ("timestamp", format!("{:.3}", line.time)),
        ("level", line.level.as_str().to_ascii_lowercase()),
        ("target", line.target.to_owned()),
        ("message", line.message.clone()),
    ];
    text.push('{');
    for (name, value) in head {
        let _ = write!(text, "\"{name}\":{},", Value::String(value));
    }
    let fields = Value::Object(members).to_string();
    if fields == "{}" {
        text.pop();
    } else {
        text.push_str(&fields[1..fields.len() - 1]);
    }
    text.push('}');
    text
}

fn pretty(line: &Line<'_>, color: bool) -> String {
    let mut text = String::with_capacity(160);
    let time = format!("{:.3}", line.time);
    let clock = time
        .split_once('T')
        .map_or("", |(_, clock)| clock.trim_end_matches('Z'));
    let level = line.level.as_str();
    let (paint, plain) = if color {
        (paint(line.level), "\u{1b}[0m")
    } else {
        ("", "")
    };
    let _ = write!(
        text,
        "{clock} {paint}{level:5}{plain} {}: {}",
        line.target,
        visible(&line.message)
    );
    for (name, value) in &line.fields {
        match value {
            Value::String(value) if is_word(value) => {
                let _ = write!(text, " {name}={value}");
            }
            value => {
                let _ = write!(text, " {name}={}", visible(&value.to_string()));
            }
        }
    }
    text
}

fn paint(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        Level::DEBUG => "\u{1b}[34m",
        Level::TRACE => "\u{1b}[35m",
    }
}

fn is_word(value: &str) -> bool {
    !value.is_empty()
        && !value
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '='))
}

/// Control characters escaped: a value from outside must neither forge a line nor steer the terminal.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}
