//! `[auth]`: whose tokens are believed.

use std::path::PathBuf;
use std::time::Duration;

use bastide_auth::{Algorithm, TenantId};
use bastide_config::read::Fields;
use bastide_config::{Node, Secret, parse};

use super::ANY_TIME;

/// How callers are told from strangers.
#[derive(Debug)]
pub struct AuthSettings {
    /// Where the keys come from; without any no token is believed, and only service keys and public methods work.
    pub keys: Option<KeySource>,
    /// `issuer`: what a token's `iss` must be.
    pub issuer: Option<String>,
    /// `audience`: what a token's `aud` must hold.
    pub audience: Option<String>,
    /// `leeway`: by how much clocks may differ; 60 s.
    pub leeway: Duration,
    /// `cache.enabled`, `cache.max_entries`: verified tokens that are remembered; 5 000. Zero if it is off.
    pub cache_entries: usize,
    /// `cache.ttl`: for how long; 5 min, and never past a token's own end.
    pub cache_ttl: Duration,
    /// `sessions.enabled`: whether every call asks the registry of sessions; off.
    pub sessions: bool,
    /// `sessions.staleness`: how old its answer may be; none.
    pub staleness: Duration,
    /// `binding_secret`: with it only tokens bound to their session's refresh token are accepted.
    pub binding_secret: Option<Secret>,
    /// `service_keys`: trusted programs.
    pub service_keys: Vec<ServiceKeySettings>,
}

/// What verifies tokens.
#[derive(Debug)]
pub enum KeySource {
    /// `algorithm = "HS256"` and `secret`, at least 32 bytes.
    Secret(Secret),
    /// `algorithm` and `public_key_file`: a PEM file.
    File(Algorithm, PathBuf),
    /// `jwks_url`: a set of public keys over HTTPS.
    Remote(String),
}

/// One of `service_keys`.
#[derive(Debug)]
pub struct ServiceKeySettings {
    /// `name`: who stands in records.
    pub name: String,
    /// `key`: at least 32 characters.
    pub key: Secret,
    /// `roles`
    pub roles: Vec<String>,
    /// `scopes`
    pub scopes: Vec<String>,
    /// `tenant`: a tenant's id, `any` for the one that each call names, or absent for none.
    pub tenant: Option<String>,
}

const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("HS256", Algorithm::Hs256),
    ("RS256", Algorithm::Rs256),
    ("ES256", Algorithm::Es256),
    ("EdDSA", Algorithm::EdDsa),
];

pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<AuthSettings> {
    let keys = keys(fields);
    let seconds = Duration::from_secs;
    let issuer = fields.optional("issuer", parse::string(1..=512));
    let audience = fields.optional("audience", parse::string(1..=512));
    let leeway = fields.setting(
        "leeway",
        seconds(60),
        parse::duration(Duration::ZERO..=seconds(600)),
    );
    let cache = fields.object_or_empty("cache", |fields| {
        let enabled = fields.setting("enabled", true, parse::boolean);
        let entries = fields.setting("max_entries", 5_000, parse::integer(0..=10_000_000_usize));
        let ttl = fields.setting("ttl", seconds(300), parse::duration(ANY_TIME));
        Some((if enabled { entries } else { 0 }, ttl))
    });
    let sessions = fields.object_or_empty("sessions", |fields| {
        let enabled = fields.setting("enabled", false, parse::boolean);
        let staleness = fields.setting("staleness", Duration::ZERO, parse::duration(ANY_TIME));
        Some((enabled, staleness))
    });
    let is_checked = sessions.is_none_or(|(enabled, _)| enabled);
    let binding_secret = fields.optional("binding_secret", parse::secret(32));
    if binding_secret.is_some() && !is_checked {
        let message = "needs `sessions.enabled`: the registry knows the refresh token to which a token is bound";
        fields.reject_field::<()>("binding_secret", message);
    }
    let service_keys = fields.list("service_keys", service_key);
    let ((cache_entries, cache_ttl), (sessions, staleness)) = (cache?, sessions?);
    Some(AuthSettings {
        keys: keys?,
        issuer,
        audience,
        leeway,
        cache_entries,
        cache_ttl,
        sessions,
        staleness,
        binding_secret,
        service_keys,
    })
}

/// `None`: something about them is wrong.
#[allow(
    clippy::option_option,
    reason = "the outer one is the reader's, as everywhere"
)]
fn keys(fields: &mut Fields<'_, '_>) -> Option<Option<KeySource>> {
    let algorithm = fields.optional("algorithm", parse::choice(ALGORITHMS));
    let secret = fields.optional("secret", parse::secret(32));
    let file = fields.optional("public_key_file", parse::string(1..=4096));
    let remote = fields.optional("jwks_url", parse::url(&["https", "http"]));
    let given = [
        ("secret", secret.is_some()),
        ("public_key_file", file.is_some()),
        ("jwks_url", remote.is_some()),
    ];
    if let [_, second, ..] = given
        .iter()
        .filter(|(_, is_there)| *is_there)
        .collect::<Vec<_>>()[..]
    {
        return fields.reject_field(
            second.0,
            "only one of `secret`, `public_key_file` and `jwks_url` can be given",
        );
    }
    match (algorithm, secret, file, remote) {
        (None | Some(Algorithm::Hs256), Some(secret), None, None) => {
            Some(Some(KeySource::Secret(secret)))
        }
        (Some(_), Some(_), None, None) => {
            fields.reject_field("secret", "is for HS256 alone; give `public_key_file`")
        }
        (Some(algorithm), None, Some(file), None) if algorithm != Algorithm::Hs256 => {
            Some(Some(KeySource::File(algorithm, file.into())))
        }
        (_, None, Some(_), None) => fields.reject_field(
            "algorithm",
            "a public key needs one of RS256, ES256 and EdDSA",
        ),
        (None, None, None, Some(url)) => Some(Some(KeySource::Remote(url))),
        (Some(_), None, None, Some(_)) => fields.reject_field(
            "algorithm",
            "each key of a JWKS says its own algorithm; leave it out",
        ),
        (Some(Algorithm::Hs256), None, None, None) => {
            fields.reject_field("secret", "is required for HS256")
        }
        (Some(_), None, None, None) => {
            fields.reject_field("public_key_file", "is required for this algorithm")
        }
        (None, None, None, None) => Some(None),
        (_, _, _, _) => unreachable!("two sources were refused before"),
    }
}

fn service_key(node: Node<'_, '_>) -> Option<ServiceKeySettings> {
    node.object(|fields| {
        let name = fields.required("name", parse::string(1..=64));
        let key = fields.required("key", parse::secret(32));
        let roles = fields.list("roles", parse::string(1..=64));
        let scopes = fields.list("scopes", parse::string(1..=128));
        let tenant = fields.optional("tenant", tenant);
        Some(ServiceKeySettings {
            name: name?,
            key: key?,
            roles,
            scopes,
            tenant,
        })
    })
}

fn tenant(mut node: Node<'_, '_>) -> Option<String> {
    let text = parse::string(1..=64)(node.again())?;
    match TenantId::parse(&text) {
        Ok(_) => Some(text),
        Err(error) => node.reject(error.to_string()),
    }
}
