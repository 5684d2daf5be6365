//! Asking the auth app for a session that the registry does not know.

use std::fmt;
use std::path::{Path, PathBuf};

use bastide_auth::{LookUpSession, LookedUp, SessionId, SessionRecord};
use bastide_config::Secret;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;

use crate::service::{SESSION_METHOD, SessionKnown, SessionWanted};

/// Asks the auth app, by its method `session` and a service key. For the registries of other apps:
/// `Sessions::new(&store).lookup(RemoteSessions::unix(path, &key)?)`.
///
/// The registry waits two seconds for it; while the auth app is away, a session that the registry does not know is answered
/// with 503.
pub struct RemoteSessions {
    way: Way,
    key: HeaderValue,
}

enum Way {
    Http {
        client: Box<Client<HttpsConnector<HttpConnector>, Full<Bytes>>>,
        uri: Uri,
    },
    Unix(PathBuf),
}

/// The auth app cannot be asked this way; found at start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// The address is none.
    #[error("{url:?} is no address of the auth app, as `https://auth.example`: {why}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The key has characters that no header field has.
    #[error("the service key cannot be sent: it has characters other than visible ASCII")]
    Key,
}

const MAX_BODY: usize = 16 << 10;

impl RemoteSessions {
    /// At this address, of which scheme, host and port count: `https`, with certificates by Mozilla's roots; `http` only on this
    /// machine, for the key goes along.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn http(url: &str, key: &Secret) -> Result<Self, RemoteError> {
        let refused = |why| RemoteError::Url {
            url: url.to_owned(),
            why,
        };
        let given: Uri = url.parse().map_err(|_| refused("it cannot be read"))?;
        let host = given.host().unwrap_or_default();
        let is_this_machine = host == "localhost" || host == "[::1]" || host.starts_with("127.");
        match given.scheme_str() {
            Some("https") => {}
            Some("http") if is_this_machine => {}
            Some("http") => return Err(refused("http is for this machine alone; use https")),
            _ => return Err(refused("it does not begin with https://")),
        }
        if !matches!(given.path(), "" | "/") || given.query().is_some() {
            return Err(refused("it has a path; the method's own is known"));
        }
        let mut parts = given.into_parts();
        let path = format!("/rpc/{SESSION_METHOD}").parse();
        parts.path_and_query = Some(path.map_err(|_| refused("it cannot be read"))?);
        let uri = Uri::from_parts(parts).map_err(|_| refused("it cannot be read"))?;
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .build();
        let client = Box::new(Client::builder(TokioExecutor::new()).build(connector));
        let way = Way::Http { client, uri };
        Ok(Self {
            way,
            key: field(key)?,
        })
    }

    /// At this Unix socket.
    ///
    /// # Errors
    /// [`RemoteError::Key`].
    pub fn unix(path: impl AsRef<Path>, key: &Secret) -> Result<Self, RemoteError> {
        Ok(Self {
            way: Way::Unix(path.as_ref().to_owned()),
            key: field(key)?,
        })
    }

    async fn ask(&self, id: &SessionId) -> Result<Option<SessionRecord>, String> {
        let body = serde_json::to_vec(&SessionWanted { id: id.clone() });
        let body = Full::from(body.map_err(|error| error.to_string())?);
        let response = match &self.way {
            Way::Http { client, uri } => {
                let request = self.request(uri.clone(), body)?;
                let response = client.request(request).await;
                response.map_err(|error| format!("the auth app cannot be reached: {error}"))?
            }
            Way::Unix(path) => {
                let uri = format!("/rpc/{SESSION_METHOD}").parse::<Uri>();
                let mut request = self.request(uri.map_err(|error| error.to_string())?, body)?;
                let host = HeaderValue::from_static("localhost");
                request.headers_mut().insert(HOST, host);
                over_unix(path, request)
                    .await
                    .map_err(|error| format!("the auth app cannot be reached: {error}"))?
            }
        };
        read(response).await
    }

    fn request(&self, uri: Uri, body: Full<Bytes>) -> Result<Request<Full<Bytes>>, String> {
        let request = Request::post(uri)
            .header("x-service-key", self.key.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json");
        request.body(body).map_err(|error| error.to_string())
    }
}

/// A connection for each question: they are rare, and a socket of this machine costs little.
async fn over_unix(
    path: &Path,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TokioIo::new(UnixStream::connect(path).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    // It ends with the exchange: the sender is gone then.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to the auth app ended with an error");
        }
    });
    Ok(sender.send_request(request).await?)
}

async fn read(response: Response<Incoming>) -> Result<Option<SessionRecord>, String> {
    let status = response.status();
    if status != StatusCode::OK {
        return Err(format!("the auth app answers {status}"));
    }
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    let known: Option<SessionKnown> = serde_json::from_slice(&body)
        .map_err(|_| "the auth app's answer is no session".to_owned())?;
    Ok(known.map(SessionRecord::from))
}

/// Marked, so that no log of a library shows it.
fn field(key: &Secret) -> Result<HeaderValue, RemoteError> {
    let mut field = HeaderValue::from_str(key.expose()).map_err(|_| RemoteError::Key)?;
    field.set_sensitive(true);
    Ok(field)
}

impl LookUpSession for RemoteSessions {
    fn look_up(&self, id: &SessionId) -> LookedUp<'_> {
        let id = id.clone();
        Box::pin(async move { self.ask(&id).await })
    }
}

impl fmt::Debug for RemoteSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RemoteSessions");
        match &self.way {
            Way::Http { uri, .. } => shown.field("uri", uri),
            Way::Unix(path) => shown.field("path", path),
        };
        shown.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_at_start() {
        let key = Secret::new("sk_0123456789abcdef0123456789abcdef");
        for good in [
            "https://auth.example",
            "https://auth.example:8443/",
            "http://127.0.0.1:1",
        ] {
            assert!(RemoteSessions::http(good, &key).is_ok(), "{good}");
        }
        for bad in [
            "",
            "auth.example",
            "http://auth.example",
            "ftp://auth.example",
            "https://auth.example/rpc",
            "https://auth.example/?a",
        ] {
            assert!(RemoteSessions::http(bad, &key).is_err(), "{bad}");
        }
        let bad = RemoteSessions::unix("/run/auth.sock", &Secret::new("a\nb"));
        assert_eq!(bad.unwrap_err(), RemoteError::Key);
        let shown = format!(
            "{:?}",
            RemoteSessions::unix("/run/auth.sock", &key).unwrap()
        );
        assert!(!shown.contains(key.expose()), "{shown}");
    }
}
