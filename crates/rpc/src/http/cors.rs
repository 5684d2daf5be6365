//! Which pages of other origins a browser lets call (CORS, <https://fetch.spec.whatwg.org/#http-cors-protocol>).

use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method as Verb, Response, StatusCode, Uri};
use http_body_util::Full;

use super::answer::Body;

/// Which origins may call, and how. It protects users of browsers and nobody else: policies stand as they do without it.
///
/// ```
/// use bastide_rpc::Cors;
/// # fn main() -> Result<(), bastide_rpc::CorsError> {
/// let cors = Cors::origins(["https://app.example.com", "http://localhost:5173"])?.credentials()?;
/// assert!(Cors::any().credentials().is_err());
/// assert!(Cors::origins(["https://app.example.com/"]).is_err());
/// # drop(cors);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Cors {
    /// `None`: any.
    origins: Option<Vec<HeaderValue>>,
    is_credentialed: bool,
    methods: HeaderValue,
    headers: HeaderValue,
    exposed: HeaderValue,
    max_age: Duration,
}

/// Something about the origins is wrong, found at the start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorsError {
    /// It is not as browsers write it.
    #[error(
        "{0:?} is no origin; write it as `https://app.example.com` or `http://localhost:5173`, in small letters, without a path and without the scheme's own port"
    )]
    Origin(String),
    /// Every page could act in the name of who looks at it.
    #[error("credentials are for named origins; list those that may send them")]
    AnyWithCredentials,
}

impl Cors {
    /// These origins, letter by letter as browsers send them.
    pub fn origins<'a>(origins: impl IntoIterator<Item = &'a str>) -> Result<Self, CorsError> {
        let origins: Result<_, _> = origins.into_iter().map(origin).collect();
        Ok(Self::of(Some(origins?)))
    }

    /// Any origin. Calls carry no cookies then; a token that the page itself has may be sent.
    pub fn any() -> Self {
        Self::of(None)
    }

    fn of(origins: Option<Vec<HeaderValue>>) -> Self {
        Self {
            origins,
            is_credentialed: false,
            methods: listed(
                &[
                    Verb::GET,
                    Verb::HEAD,
                    Verb::POST,
                    Verb::PUT,
                    Verb::PATCH,
                    Verb::DELETE,
                ]
                .map(|verb| verb.to_string()),
            ),
            headers: listed(&[
                "authorization",
                "content-type",
                "if-match",
                "if-none-match",
                "range",
                "traceparent",
                "x-request-id",
                "x-request-timeout-ms",
            ]),
            exposed: listed(&[
                "content-disposition",
                "content-range",
                "etag",
                "ratelimit",
                "ratelimit-policy",
                "retry-after",
                "x-ratelimit-limit",
                "x-ratelimit-remaining",
                "x-ratelimit-reset",
                "x-request-id",
            ]),
            max_age: Duration::from_mins(10),
        }
    }

    /// Browsers may send cookies and their like too.
    pub fn credentials(mut self) -> Result<Self, CorsError> {
        if self.origins.is_none() {
            return Err(CorsError::AnyWithCredentials);
        }
        self.is_credentialed = true;
        Ok(self)
    }

    /// These HTTP methods in place of GET, HEAD, POST, PUT, PATCH and DELETE.
    pub fn methods(mut self, methods: &[Verb]) -> Self {
        let methods: Vec<_> = methods.iter().map(Verb::as_str).collect();
        self.methods = listed(&methods);
        self
    }

    /// Requests may have these fields, in place of those that calls have.
    pub fn headers(mut self, headers: &[HeaderName]) -> Self {
        self.headers = names(headers);
        self
    }

    /// Pages may read these fields of responses, in place of those that this server adds.
    pub fn exposed(mut self, headers: &[HeaderName]) -> Self {
        self.exposed = names(headers);
        self
    }

    /// How long a browser may keep the answer to its question, to the second; 10 minutes.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// The answer to a browser that asks before it calls. `None`: it is no such question.
    pub(super) fn preflight(&self, parts: &Parts) -> Option<Response<Body>> {
        let asked = |name: HeaderName| parts.headers.contains_key(name);
        let is_question = parts.method == Verb::OPTIONS
            && asked(header::ORIGIN)
            && asked(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !is_question {
            return None;
        }
        let mut response = Response::new(Body::Left(Full::default()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let fields = response.headers_mut();
        let question = [
            "access-control-request-headers",
            "access-control-request-method",
        ];
        fields.insert(header::VARY, listed(&question));
        if self.put_origin(parts.headers.get(header::ORIGIN), fields) {
            fields.insert(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            fields.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
            let age = self.max_age.as_secs();
            fields.insert(header::ACCESS_CONTROL_MAX_AGE, age.into());
        }
        Some(response)
    }

    /// What a browser must know to hand a response on. `origin` is that of the request.
    pub(super) fn put(&self, origin: Option<&HeaderValue>, fields: &mut HeaderMap) {
        if self.put_origin(origin, fields) && !self.exposed.is_empty() {
            let exposed = self.exposed.clone();
            fields.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }

    /// Whether pages of this origin may call.
    pub(super) fn allows(&self, origin: &str) -> bool {
        let Some(origins) = &self.origins else {
            return true;
        };
        origins.iter().any(|known| known == origin)
    }

    /// Whether the origin may call.
    fn put_origin(&self, origin: Option<&HeaderValue>, fields: &mut HeaderMap) -> bool {
        let allowed = match &self.origins {
            None => HeaderValue::from_static("*"),
            Some(origins) => {
                // Also where nobody asked: a cache between must not give this answer to who does.
                fields.append(header::VARY, HeaderValue::from_static("origin"));
                match origin.filter(|origin| origins.contains(origin)) {
                    Some(origin) => origin.clone(),
                    None => return false,
                }
            }
        };
        if origin.is_none() {
            return false;
        }
        fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.is_credentialed {
            let yes = HeaderValue::from_static("true");
            fields.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
        true
    }
}

/// Compared as it is, so it must be as browsers write it.
fn origin(text: &str) -> Result<HeaderValue, CorsError> {
    let wrong = || CorsError::Origin(text.to_owned());
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(wrong());
    };
    let own_port = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let is_written_so = format!("{scheme}://{authority}") == text
        && !authority.as_str().contains(['@', '*'])
        && text.bytes().all(|byte| !byte.is_ascii_uppercase())
        && (authority.port_u16().is_none() || authority.port_u16() != own_port);
    if is_written_so {
        HeaderValue::from_str(text).map_err(|_| wrong())
    } else {
        Err(wrong())
    }
}

fn names(names: &[HeaderName]) -> HeaderValue {
    let names: Vec<_> = names.iter().map(HeaderName::as_str).collect();
    listed(&names)
}

fn listed(names: &[impl AsRef<str>]) -> HeaderValue {
    let names: Vec<_> = names.iter().map(AsRef::as_ref).collect();
    HeaderValue::try_from(names.join(", ")).expect("names of methods and fields")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s15_who_may_call_may_open_a_websocket() {
        let named = Cors::origins(["https://a.example"]).unwrap();
        assert!(named.allows("https://a.example"));
        assert!(!named.allows("https://b.example") && !named.allows("null"));
        assert!(Cors::any().allows("https://b.example"));
    }

    #[test]
    fn s15_origins_are_written_as_browsers_write_them() {
        for text in [
            "https://a.example",
            "http://localhost:5173",
            "http://[::1]:3000",
            "app://x",
            "https://a.example:80",
        ] {
            assert!(origin(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "*",
            "null",
            "a.example",
            "https://",
            "https://a.example/",
            "https://a.example/x",
            "https://A.example",
            "https://a.example:443",
            "http://a.example:80",
            "https://*.example",
            "https://u@a.example",
            "https://a.example?x",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
    }
}
