//! Calls over a WebSocket (RFC 6455): many on one connection, each judged for itself.

mod frame;
mod socket;

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method as Verb, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::answer::Answer;
use super::cors::Cors;
use super::head::Head;
use super::{HttpEntry, HttpOptions, drain};
use crate::problem::Problem;
use crate::service::Registry;
use socket::Socket;

/// The only version there is.
const VERSION: &str = "13";

/// Whether a WebSocket can be what the options say.
pub(super) fn check(options: &HttpOptions, registry: &Registry) -> Result<(), String> {
    let Some(path) = &options.websocket_path else {
        return Ok(());
    };
    if !path.starts_with('/') {
        return Err(format!(
            "`websocket_path` is {path:?}; a path begins with a slash"
        ));
    }
    let own = path == "/rpc" || path.starts_with("/rpc/") || path == "/openapi.json";
    let methods = registry.entries().iter().filter_map(|entry| {
        let rest = entry.method().rest()?;
        Some((rest, entry.full_name()))
    });
    let routes = registry.routes().iter();
    let routes = routes.map(|entry| (entry.route().rest(), entry.full_name()));
    let there = methods.chain(routes).find(|(rest, _)| rest.path() == path);
    if own || there.is_some() {
        let other = there.map_or("the service itself", |(_, name)| name);
        return Err(format!(
            "`{other}` and a WebSocket are both at {path}; give `websocket_path` another value, or `None`"
        ));
    }
    if options.ping_timeout <= options.ping_interval {
        return Err("`ping_timeout` has to be longer than `ping_interval`".to_owned());
    }
    Ok(())
}

/// Opens a WebSocket if that is what the request asks for (RFC 6455, 4.2). Nobody is judged yet: calls are.
pub(super) fn open(entry: &HttpEntry, parts: &Parts, head: Head) -> Result<Answer, Problem> {
    if parts.method != Verb::GET {
        return Ok(Answer::NotAllowed("GET".to_owned()));
    }
    if parts.version > Version::HTTP_11 {
        let detail = "a WebSocket is opened over HTTP/1.1";
        return Err(Problem::new(400, "websocket_version", detail));
    }
    let fields = &parts.headers;
    let wants = has_token(fields, &header::CONNECTION, "upgrade")
        && has_token(fields, &header::UPGRADE, "websocket");
    let Some(upgrade) = parts.extensions.get::<OnUpgrade>().filter(|_| wants) else {
        let detail = "only a WebSocket is opened at this path";
        let problem = Problem::new(426, "websocket_required", detail);
        return Ok(Answer::WebSocketOnly(problem));
    };
    if single(fields, &header::SEC_WEBSOCKET_VERSION) != Some(VERSION) {
        let detail = "send `Sec-WebSocket-Version: 13`";
        let problem = Problem::new(426, "websocket_version", detail);
        return Ok(Answer::WebSocketOnly(problem));
    }
    let Some(key) = single(fields, &header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key)) else {
        let detail = "send one `Sec-WebSocket-Key` of 16 bytes in base64";
        return Err(Problem::new(400, "websocket_key", detail));
    };
    if !is_welcome(fields, entry.options.cors.as_ref()) {
        let detail = "pages of this origin may not open a WebSocket here; see `cors`";
        return Err(Problem::new(403, "origin_refused", detail));
    }
    let notice = entry.draining.notice();
    if notice.is_draining() {
        return Err(drain::problem());
    }
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).expect("base64");
    let socket = Socket::new(
        entry.dispatcher.clone(),
        entry.options.clone(),
        head,
        notice,
    );
    let upgrade = upgrade.clone();
    tokio::spawn(async move {
        match upgrade.await {
            Ok(connection) => socket.serve(TokioIo::new(connection)).await,
            Err(error) => tracing::debug!(%error, "a connection did not become a WebSocket"),
        }
    });
    Ok(Answer::WebSocket { accept })
}

/// A browser asks nobody before it opens a WebSocket for a page, and says whose page it is. Without this check every site
/// could read what is public here, from the machine of whoever visits it. Whom CORS lets call can do no more over a WebSocket: who a
/// caller is stands in no cookie.
fn is_welcome(fields: &HeaderMap, cors: Option<&Cors>) -> bool {
    if !fields.contains_key(header::ORIGIN) {
        return true;
    }
    let Some(origin) = single(fields, &header::ORIGIN) else {
        return false;
    };
    let host = origin.split_once("://").map(|(_, host)| host);
    let is_own = host.is_some() && host == single(fields, &header::HOST);
    is_own || cors.is_some_and(|cors| cors.allows(origin))
}

fn has_token(fields: &HeaderMap, name: &header::HeaderName, token: &str) -> bool {
    let lines = fields.get_all(name).iter();
    let mut tokens = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    tokens.any(|one| one.trim().eq_ignore_ascii_case(token))
}

/// Of two, one reader would take the one and another the other.
fn single<'a>(fields: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    let mut lines = fields.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(one), None) => one.to_str().ok(),
        _ => None,
    }
}

/// Sixteen bytes are 22 digits and two signs that fill up.
fn is_key(key: &str) -> bool {
    let digits = key.strip_suffix("==").unwrap_or_default();
    digits.len() == 22
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
}
