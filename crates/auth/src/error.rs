//! Why nobody was let in.

/// Why a token gives no identity.
///
/// The message is for the caller: it says what to do and tells nothing about keys. What exactly was wrong with a token
/// that is [`Invalid`](Self::Invalid) stands in [`AuthError::reason`], for logs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No token was given.
    #[error("this needs a token; send `Authorization: Bearer <token>`")]
    Missing,
    /// The token is not one that this service accepts.
    #[error("the token is not valid here; sign in again")]
    Invalid(&'static str),
    /// The token has ended.
    #[error("the token has expired; refresh it or sign in again")]
    Expired,
    /// The session was ended.
    #[error("the session has been ended; sign in again")]
    SessionRevoked,
    /// The registry does not know the session.
    #[error("the session is not known; sign in again")]
    SessionUnknown,
    /// The session's refresh token has moved on since this token was issued.
    #[error("the token was replaced by a newer one of its session; use that")]
    Superseded,
    /// The service key is not known, or has ended.
    #[error("the service key is not valid here")]
    ServiceKey,
    /// Whether the caller may enter could not be found out.
    #[error("the caller cannot be checked now; try again later")]
    Unavailable(String),
}

impl AuthError {
    /// The stable code of problem documents.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Invalid(_) => "token_invalid",
            Self::Expired => "token_expired",
            Self::SessionRevoked => "session_revoked",
            Self::SessionUnknown => "session_unknown",
            Self::Superseded => "token_superseded",
            Self::ServiceKey => "service_key_invalid",
            Self::Unavailable(_) => "auth_unavailable",
        }
    }

    /// The HTTP status: 401, or 503 where nothing could be found out.
    pub fn status(&self) -> u16 {
        match self {
            Self::Unavailable(_) => 503,
            _ => 401,
        }
    }

    /// The value of `WWW-Authenticate` (RFC 6750, 3); `None` for a 503.
    pub fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::Missing => Some("Bearer"),
            Self::Unavailable(_) => None,
            _ => Some("Bearer error=\"invalid_token\""),
        }
    }

    /// What exactly was wrong, for logs. Contains nothing of the token.
    pub fn reason(&self) -> &str {
        match self {
            Self::Invalid(reason) => reason,
            Self::Unavailable(reason) => reason,
            _ => self.code(),
        }
    }
}

/// A key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// An HMAC secret has fewer bytes than its digest (RFC 7518, 3.2).
    #[error(
        "an HS256 secret needs at least 32 bytes, this one has {0}; `openssl rand -base64 48` makes one"
    )]
    Short(usize),
    /// The text is no key of this kind.
    #[error("expected {expected}: {why}")]
    Unreadable {
        /// What was expected.
        expected: &'static str,
        /// What the reader says.
        why: String,
    },
    /// Two keys would be chosen by the same id.
    #[error("two keys have the id {0:?}; a token's `kid` would choose both")]
    Ambiguous(String),
    /// Nothing was given.
    #[error("no key can verify a signature: the set has none of HS256, RS256, ES256, EdDSA")]
    None,
    /// The key signs nothing.
    #[error("the token could not be signed: {0}")]
    Signing(String),
}
