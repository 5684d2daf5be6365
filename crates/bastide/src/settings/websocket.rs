//! `[http.websocket]`: calls over one connection.

use std::time::Duration;

use bastide_config::read::Fields;
use bastide_config::{Node, parse};

use super::http::WebSocketSettings;
use super::{SOME_TIME, count};

/// What is at these paths already, and below the last.
const TAKEN: &[&str] = &[
    "/openapi.json",
    "/healthz",
    "/readyz",
    "/metrics",
    "/version",
    "/rpc",
];

pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<WebSocketSettings> {
    let time = parse::duration(SOME_TIME);
    let read = WebSocketSettings {
        enabled: fields.setting("enabled", true, parse::boolean),
        path: fields.setting("path", "/ws".to_owned(), path),
        max_frame: fields.setting("max_frame", 1 << 20, parse::bytes(1..=1 << 30)),
        concurrency: fields.setting("concurrency", 32, count),
        ping_interval: fields.setting("ping_interval", Duration::from_secs(15), &time),
        ping_timeout: fields.setting("ping_timeout", Duration::from_secs(45), &time),
    };
    if read.ping_timeout <= read.ping_interval {
        let name = if fields.has("ping_timeout") {
            "ping_timeout"
        } else {
            "ping_interval"
        };
        let (interval, timeout) = (read.ping_interval, read.ping_timeout);
        let message = format!(
            "a client would be given up before it is asked for a sign of life: `ping_interval` is {interval:?}, and \
             `ping_timeout`, {timeout:?}, has to be longer"
        );
        return fields.reject_field(name, message);
    }
    Some(read)
}

fn path(mut node: Node<'_, '_>) -> Option<String> {
    let text = parse::string(1..=256)(node.again())?;
    if !text.starts_with('/') || text.contains(['?', '#', '{']) {
        return node.reject("expected a path such as /ws");
    }
    if TAKEN.contains(&text.as_str()) || text.starts_with("/rpc/") {
        return node.reject(format!(
            "{text} is the program's own already; give another path"
        ));
    }
    Some(text)
}
