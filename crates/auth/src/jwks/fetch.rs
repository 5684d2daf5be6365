//! Fetching over HTTPS.

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::{FetchKeys, Fetched};
use crate::error::KeyError;

const MAX_BODY: usize = 1 << 20;

/// Keys at this address, which is `https`; `http` only on this machine, for who can change the answer can sign.
///
/// Redirects are not followed. Certificates are checked against Mozilla's roots.
pub fn https_keys(url: &str) -> Result<impl FetchKeys + use<>, KeyError> {
    let refused = |why: &str| KeyError::Unreadable {
        expected: "the address of a JWK set, as https://auth.example/.well-known/jwks.json",
        why: why.to_owned(),
    };
    let uri: Uri = url.parse().map_err(|_| refused("it cannot be read"))?;
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if is_this_machine(uri.host().unwrap_or_default()) => {}
        Some("http") => return Err(refused("http is for this machine alone; use https")),
        _ => return Err(refused("it does not begin with https://")),
    }
    let connector = HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http()
        .enable_http1()
        .build();
    let client = Client::builder(TokioExecutor::new()).build(connector);
    Ok(HttpsKeys { client, uri })
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host == "[::1]" || host.starts_with("127.")
}

struct HttpsKeys {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    uri: Uri,
}

impl FetchKeys for HttpsKeys {
    fn fetch(&self) -> Fetched<'_> {
        Box::pin(async {
            let request = Request::get(&self.uri)
                .header("accept", "application/jwk-set+json, application/json")
                .body(Empty::new())
                .map_err(|error| error.to_string())?;
            let response = self
                .client
                .request(request)
                .await
                .map_err(|error| error.to_string())?;
            if response.status() != StatusCode::OK {
                return Err(format!("the answer is {}", response.status()));
            }
            let body = Limited::new(response.into_body(), MAX_BODY);
            let bytes = body
                .collect()
                .await
                .map_err(|error| error.to_string())?
                .to_bytes();
            String::from_utf8(bytes.into()).map_err(|_| "the answer is not UTF-8".to_owned())
        })
    }
}
