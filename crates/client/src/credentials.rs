//! What a client shows of itself, and how it comes by a new token.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bastide_auth::TenantId;
use bastide_config::Secret;
use futures_util::future::BoxFuture;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::OnceCell;

use crate::error::CallError;

const SERVICE_KEY: HeaderName = HeaderName::from_static("x-service-key");
const TENANT: HeaderName = HeaderName::from_static("x-tenant-id");

#[derive(Debug, Clone, Default)]
pub(crate) enum Credentials {
    #[default]
    None,
    Bearer(Arc<Secret>),
    Service {
        key: Arc<Secret>,
        tenant: Option<TenantId>,
    },
    Source(Arc<TokenSource>),
}

/// Gives tokens, and is asked anew when one has expired.
pub(crate) struct TokenSource {
    ask: Box<Ask>,
    current: Mutex<Arc<Token>>,
}

type Ask = dyn Fn() -> BoxFuture<'static, Result<Secret, String>> + Send + Sync;

/// A token that is there or is being asked for: by one caller, while the others wait for the same.
type Token = OnceCell<Secret>;

/// What one attempt showed.
#[derive(Debug)]
pub(crate) struct Shown(Option<Arc<Token>>);

impl TokenSource {
    pub(crate) fn new(ask: Box<Ask>) -> Self {
        Self {
            ask,
            current: Mutex::default(),
        }
    }

    fn current(&self) -> Arc<Token> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }
}

impl Credentials {
    /// Puts them into a request's fields.
    pub(crate) async fn show(&self, fields: &mut HeaderMap) -> Result<Shown, CallError> {
        match self {
            Self::None => {}
            Self::Bearer(token) => {
                fields.insert(header::AUTHORIZATION, bearer(token)?);
            }
            Self::Service { key, tenant } => {
                fields.insert(SERVICE_KEY, secret(key.expose(), "service key")?);
                if let Some(tenant) = tenant {
                    let value = HeaderValue::from_str(tenant.as_str())
                        .expect("a tenant's id has no other characters");
                    fields.insert(TENANT, value);
                }
            }
            Self::Source(source) => {
                let token = source.current();
                let text = token.get_or_try_init(|| (source.ask)()).await;
                let text = text.map_err(|reason| CallError::NoToken { reason })?;
                fields.insert(header::AUTHORIZATION, bearer(text)?);
                return Ok(Shown(Some(token)));
            }
        }
        Ok(Shown(None))
    }

    /// What was shown has expired. Whether something else can be shown now.
    ///
    /// Of many calls that find out at once, one replaces the token; the others find another one than they showed.
    pub(crate) fn renew(&self, shown: &Shown) -> bool {
        let (Self::Source(source), Some(shown)) = (self, &shown.0) else {
            return false;
        };
        let mut current = source
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, shown) {
            *current = Arc::default();
        }
        true
    }
}

fn bearer(token: &Secret) -> Result<HeaderValue, CallError> {
    secret(&format!("Bearer {}", token.expose()), "token")
}

fn secret(text: &str, what: &str) -> Result<HeaderValue, CallError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| CallError::Unsendable {
        reason: format!("the {what} has characters that no field has"),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").finish_non_exhaustive()
    }
}
