//! The layer between `tracing` and the line writer.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::redact::Redaction;
use super::{Style, format};
use crate::lines::LineSource;

/// Formats, redacts and hands on each event.
#[derive(Debug)]
pub struct LogLayer {
    style: Style,
    redaction: Redaction,
    lines: LineSource,
    now: fn() -> Timestamp,
}

impl LogLayer {
    /// A layer that writes to `lines`.
    pub fn new(style: Style, redaction: Redaction, lines: LineSource) -> Self {
        Self {
            style,
            redaction,
            lines,
            now: Timestamp::now,
        }
    }

    /// The same layer with another clock, for tests.
    pub fn with_clock(mut self, now: fn() -> Timestamp) -> Self {
        self.now = now;
        self
    }
}

/// The parts of one line, redacted.
#[derive(Debug)]
pub(super) struct Line<'e> {
    pub(super) time: Timestamp,
    pub(super) level: Level,
    pub(super) target: &'e str,
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, Value)>,
}

/// A span's fields, redacted when they were recorded.
#[derive(Debug, Default)]
struct SpanFields(Vec<(&'static str, Value)>);

impl<S> Layer<S> for LogLayer
where
    S: Subscriber + for<'l> LookupSpan<'l>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut visitor = Visitor::new(&self.redaction);
        attributes.record(&mut visitor);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(SpanFields(visitor.finish()));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut visitor = Visitor::new(&self.redaction);
        values.record(&mut visitor);
        let recorded = visitor.finish();
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        if let Some(SpanFields(fields)) = extensions.get_mut::<SpanFields>() {
            for (name, value) in recorded {
                put(fields, name, value);
            }
        } else {
            extensions.insert(SpanFields(recorded));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Vec::new();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(Scope::from_root)
        {
            if let Some(SpanFields(of_span)) = span.extensions().get::<SpanFields>() {
                for (name, value) in of_span {
                    put(&mut fields, name, value.clone());
                }
            }
        }
        let mut visitor = Visitor::new(&self.redaction);
        event.record(&mut visitor);
        let message = std::mem::take(&mut visitor.message);
        let metadata = event.metadata();
        let mut target = metadata.target().to_owned();
        for (name, value) in visitor.finish() {
            // Records of the `log` crate come with their origin as fields; only the target is worth a place in the line.
            match (name, value) {
                ("log.target", Value::String(origin)) => target = origin,
                ("log.module_path" | "log.file" | "log.line", _) => {}
                (name, value) => put(&mut fields, name, value),
            }
        }
        let line = Line {
            time: (self.now)(),
            level: *metadata.level(),
            target: &target,
            message: self.redaction.text(&message).into_owned(),
            fields,
        };
        self.lines.write(format::line(&line, self.style).as_bytes());
    }
}

/// The inner field wins over one of the same name further out.
fn put(fields: &mut Vec<(&'static str, Value)>, name: &'static str, value: Value) {
    match fields.iter_mut().find(|(known, _)| *known == name) {
        Some((_, known)) => *known = value,
        None => fields.push((name, value)),
    }
}

struct Visitor<'r> {
    redaction: &'r Redaction,
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl<'r> Visitor<'r> {
    fn new(redaction: &'r Redaction) -> Self {
        Self {
            redaction,
            message: String::new(),
            fields: Vec::new(),
        }
    }

    fn finish(self) -> Vec<(&'static str, Value)> {
        self.fields
    }

    fn add(&mut self, field: &Field, value: Value) {
        let name = field.name().strip_prefix("r#").unwrap_or(field.name());
        let shown = self.redaction.field(name, value);
        put(&mut self.fields, name, shown);
    }
}

impl Visit for Visitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a string fails only if the value's own `Debug` does; what there is of it is kept.
            let _ = write!(self.message, "{value:?}");
            return;
        }
        let text = format!("{value:?}");
        // A map, a list, or JSON that was passed by its `Display`: kept as structure, so that paths apply inside.
        let structure = text
            .starts_with(['{', '['])
            .then(|| serde_json::from_str(&text));
        let value = match structure {
            Some(Ok(value)) => value,
            _ => Value::String(text),
        };
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.add(field, value.into());
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.add(field, text.into());
    }
}
