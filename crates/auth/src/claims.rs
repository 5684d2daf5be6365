//! What a token says: made by an issuer, read after its signature was verified.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::error::AuthError;
use crate::identity::{Facts, Identity, Kind};
use crate::object::Object;
use crate::sessions::SessionId;
use crate::tenant::TenantId;

/// What a token shall say about its bearer. [`Issuer::sign`](crate::Issuer::sign) adds who issued it, for whom and when it ends.
#[derive(Debug, Clone)]
pub struct Claims {
    pub(crate) subject: String,
    pub(crate) tenant: Option<String>,
    pub(crate) roles: Vec<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) tier: Option<String>,
    pub(crate) session: Option<(SessionId, String)>,
    pub(crate) more: Map<String, Value>,
}

impl Claims {
    /// Of this user.
    pub fn new(subject: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            tenant: None,
            roles: Vec::new(),
            scopes: Vec::new(),
            tier: None,
            session: None,
            more: Map::new(),
        }
    }

    /// Who acts for this tenant (`tenant_id`).
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// With one more role (`roles`).
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.roles.push(role.into());
        self
    }

    /// With one more scope (`scope`, RFC 8693).
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// On this plan (`tier`).
    pub fn tier(mut self, tier: impl Into<String>) -> Self {
        self.tier = Some(tier.into());
        self
    }

    /// In this session (`sid`), whose refresh token has this id; an issuer with a binding key binds the token to it (`cnf.fp`).
    pub fn session(mut self, session: SessionId, refresh: impl Into<String>) -> Self {
        self.session = Some((session, refresh.into()));
        self
    }

    /// With a claim of the program's own. It is not part of an [`Identity`].
    pub fn more(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name.into(), value.into());
        self
    }
}

/// Which claims carry what; issuers differ.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub tenant: String,
    pub roles: String,
    pub tier: String,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            tenant: "tenant_id".to_owned(),
            roles: "roles".to_owned(),
            tier: "tier".to_owned(),
        }
    }
}

/// What is expected of every token.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub issuers: Vec<String>,
    pub audiences: Vec<String>,
    /// Seconds by which clocks may differ.
    pub leeway: i64,
    pub names: Names,
}

/// What was read of a token whose signature is good.
#[derive(Debug)]
pub(crate) struct Read {
    pub identity: Identity,
    pub fingerprint: Option<String>,
    /// The last moment at which it counts, in Unix seconds, leeway included.
    pub last_second: i64,
}

impl Expected {
    pub(crate) fn read(&self, payload: &[u8], now: Timestamp) -> Result<Read, AuthError> {
        const UNREADABLE: AuthError =
            AuthError::Invalid("the claims are not a JSON object without repetitions");
        let claims = Object::read(payload).ok_or(UNREADABLE)?;
        let now = now.as_second();
        let expires = claims.date("exp")?.ok_or(AuthError::Invalid("no `exp`"))?;
        if now >= expires.saturating_add(self.leeway) {
            return Err(AuthError::Expired);
        }
        if claims
            .date("nbf")?
            .is_some_and(|begins| now < begins.saturating_sub(self.leeway))
        {
            return Err(AuthError::Invalid("not valid yet"));
        }
        if claims
            .date("iat")?
            .is_some_and(|issued| now < issued.saturating_sub(self.leeway))
        {
            return Err(AuthError::Invalid("issued in the future"));
        }
        let issuer = claims.text("iss")?;
        if !self.issuers.is_empty()
            && !issuer.is_some_and(|one| self.issuers.iter().any(|known| known == one))
        {
            return Err(AuthError::Invalid("another issuer"));
        }
        // RFC 7519, 4.1.3: a token for somebody is not for one who is not named, nor for one who has no name.
        let audience = claims.texts("aud", false)?;
        let is_for_nobody = self.audiences.is_empty() && audience.is_empty();
        let is_for_us = is_for_nobody || audience.iter().any(|one| self.audiences.contains(one));
        if !is_for_us {
            return Err(AuthError::Invalid("another audience"));
        }
        let subject = claims
            .text("sub")?
            .filter(|subject| !subject.is_empty())
            .ok_or(AuthError::Invalid("no `sub`"))?;
        let tenant = claims
            .text(&self.names.tenant)?
            .map(TenantId::parse)
            .transpose();
        let session = claims.text("sid")?.map(SessionId::parse).transpose();
        let boxed = |texts: Vec<String>| texts.into_iter().map(String::into_boxed_str).collect();
        let identity = Identity::new(Facts {
            kind: Kind::User,
            subject: subject.into(),
            tenant: tenant.map_err(|_| AuthError::Invalid("the tenant's id is malformed"))?,
            roles: boxed(claims.texts(&self.names.roles, false)?),
            scopes: boxed(claims.texts("scope", true)?),
            tier: claims.text(&self.names.tier)?.map(Into::into),
            session: session.map_err(|_| AuthError::Invalid("the session's id is malformed"))?,
            expires_at: Timestamp::from_second(expires).ok(),
        });
        Ok(Read {
            identity,
            fingerprint: claims.fingerprint()?,
            last_second: expires.saturating_add(self.leeway),
        })
    }
}
