//! `[traces]`: calls as spans of a collector.

use std::time::Duration;

use bastide_config::read::Fields;
use bastide_config::{Node, Secret, parse};
use bastide_telemetry::otlp::{Otlp, OtlpError};

use super::SOME_TIME;

/// Where spans go. Without an endpoint there are none.
#[derive(Debug)]
pub struct TracesSettings {
    /// `endpoint`: the collector's OTLP over HTTP, as `http://collector:4318`; `OTEL_EXPORTER_OTLP_ENDPOINT` is the same.
    pub endpoint: Option<String>,
    /// `headers = {authorization = ".."}`: fields of each request to it.
    pub headers: Vec<(String, Secret)>,
    /// `ratio`: which part of the calls that nobody decided about before is recorded, from 0 to 1; 1.
    pub ratio: f64,
    /// `delay`: how long a span waits for others to go with; 5 s.
    pub delay: Duration,
}

impl TracesSettings {
    /// What sends the spans of a program of this name, if there is an endpoint.
    pub(crate) fn otlp(&self, name: &str) -> Result<Option<Otlp>, OtlpError> {
        let Some(endpoint) = &self.endpoint else {
            return Ok(None);
        };
        let mut otlp = Otlp::new(endpoint, name)?
            .ratio(self.ratio)?
            .delay(self.delay);
        for (name, value) in &self.headers {
            otlp = otlp.field(name, value.expose())?;
        }
        Ok(Some(otlp))
    }
}

pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<TracesSettings> {
    let endpoint = fields.optional("endpoint", endpoint);
    let headers = fields.optional("headers", |node| node.map(parse::any_key, parse::secret(1)));
    let ratio = fields.setting("ratio", 1.0, parse::number(0.0..=1.0));
    let delay = fields.setting("delay", Duration::from_secs(5), parse::duration(SOME_TIME));
    let read = TracesSettings {
        endpoint,
        headers: headers.unwrap_or_default(),
        ratio,
        delay,
    };
    if let Err(error) = read.otlp("program") {
        return fields.reject_field("headers", error.to_string());
    }
    Some(read)
}

fn endpoint(mut node: Node<'_, '_>) -> Option<String> {
    let text = parse::string(1..=4096)(node.again())?;
    match Otlp::new(&text, "program") {
        Ok(_) => Some(text),
        Err(error) => node.reject(error.to_string()),
    }
}
