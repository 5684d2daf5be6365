//! In which fields of a request its caller shows who it is.

use bastide_auth::TenantId;
use bastide_config::Secret;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::Value;

use crate::dispatch::Credentials;

const SERVICE_KEY: HeaderName = HeaderName::from_static("x-service-key");
static TENANT: HeaderName = HeaderName::from_static("x-tenant-id");

/// In which fields callers show who they are: unless said otherwise a token in `Authorization`, or a service key in
/// `X-Service-Key` and the tenant for which it acts in `X-Tenant-Id`.
///
/// ```
/// use bastide_rpc::{CredentialFields, HttpOptions};
/// use http::HeaderName;
/// let options = HttpOptions {
///     credentials: CredentialFields::key_alone(HeaderName::from_static("x-admin-key")),
///     ..HttpOptions::default()
/// };
/// # drop(options);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialFields {
    key: HeaderName,
    is_key_alone: bool,
}

impl Default for CredentialFields {
    fn default() -> Self {
        Self {
            key: SERVICE_KEY,
            is_key_alone: false,
        }
    }
}

impl CredentialFields {
    /// A service key in this field and nothing else: `Authorization` and `X-Tenant-Id` are not looked at, for they may be meant
    /// for somebody between.
    pub fn key_alone(field: HeaderName) -> Self {
        Self {
            key: field,
            is_key_alone: true,
        }
    }

    /// What a caller shows. Two of a kind, or one of each, are nobody's: of two readers each would take another.
    pub(super) fn read(&self, fields: &HeaderMap) -> Credentials {
        let count = |name: &HeaderName| fields.get_all(name).iter().count();
        let keys = count(&self.key);
        if self.is_key_alone {
            return match (keys, key(fields.get(&self.key))) {
                (0, _) => Credentials::None,
                (1, Some(key)) => Credentials::Service { key, tenant: None },
                _ => Credentials::Unreadable,
            };
        }
        match (count(&header::AUTHORIZATION), keys) {
            (0, 0) => Credentials::None,
            (1, 0) => token(fields).map_or(Credentials::Unreadable, Credentials::Bearer),
            (0, 1) => {
                let tenants = fields.get_all(&TENANT).iter().count();
                let tenant = super::head::text(fields, &TENANT).map(TenantId::parse);
                match (key(fields.get(&self.key)), tenant.transpose()) {
                    (Some(key), Ok(tenant)) if tenants <= 1 => Credentials::Service { key, tenant },
                    _ => Credentials::Unreadable,
                }
            }
            _ => Credentials::Unreadable,
        }
    }

    /// Names the fields in the description of the service.
    pub(super) fn describe_in(&self, document: &mut Value) {
        let schemes = &mut document["components"]["securitySchemes"];
        schemes["serviceKey"]["name"] = self.key.as_str().into();
        if !self.is_key_alone {
            return;
        }
        if let Some(schemes) = schemes.as_object_mut() {
            schemes.remove("bearer");
        }
        let paths = document["paths"].as_object_mut().into_iter().flatten();
        let operations = paths.filter_map(|(_, path)| path.as_object_mut()).flatten();
        for (_, operation) in operations {
            if let Some(ways) = operation["security"].as_array_mut() {
                ways.retain(|way| way.get("bearer").is_none());
            }
        }
    }

    /// Takes out what no handler is to see.
    pub(super) fn remove_from(&self, fields: &mut HeaderMap) {
        fields.remove(header::AUTHORIZATION);
        fields.remove(header::PROXY_AUTHORIZATION);
        fields.remove(&self.key);
    }
}

fn token(fields: &HeaderMap) -> Option<Secret> {
    let field = super::head::text(fields, &header::AUTHORIZATION)?;
    let (scheme, token) = field.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| Secret::new(token))
}

/// Keys are texts of any language.
fn key(field: Option<&HeaderValue>) -> Option<Secret> {
    let key = std::str::from_utf8(field?.as_bytes()).ok()?;
    Some(Secret::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(fields: &CredentialFields, list: &[(&str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in list {
            let name = HeaderName::try_from(*name).unwrap();
            map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        match fields.read(&map) {
            Credentials::None => "nothing".to_owned(),
            Credentials::Bearer(token) => format!("token {}", token.expose()),
            Credentials::Service { key, tenant } => {
                let tenant = tenant.map_or("none".to_owned(), |tenant| tenant.to_string());
                format!("key {} for {tenant}", key.expose())
            }
            Credentials::Unreadable => "unreadable".to_owned(),
        }
    }

    #[test]
    fn a_key_alone_is_looked_for_in_its_field_and_nowhere_else() {
        let fields = CredentialFields::key_alone(HeaderName::from_static("x-admin-key"));
        for (list, expected) in [
            (&[][..], "nothing"),
            (&[("authorization", "Bearer t")], "nothing"),
            (&[("x-service-key", "k")], "nothing"),
            (&[("x-admin-key", "k")], "key k for none"),
            (&[("x-admin-key", "schlüssel")], "key schlüssel for none"),
            (
                &[("x-admin-key", "k"), ("authorization", "Basic b")],
                "key k for none",
            ),
            (
                &[("x-admin-key", "k"), ("x-tenant-id", "acme")],
                "key k for none",
            ),
            (&[("x-admin-key", "k"), ("x-admin-key", "k")], "unreadable"),
        ] {
            assert_eq!(shown(&fields, list), expected, "{list:?}");
        }
    }

    #[test]
    fn tokens_and_keys_are_read_and_two_of_them_are_nobodys() {
        let fields = CredentialFields::default();
        for (list, expected) in [
            (&[("authorization", "bearer t")][..], "token t"),
            (&[("authorization", "Basic b")], "unreadable"),
            (&[("x-service-key", "k")], "key k for none"),
            (
                &[("x-service-key", "k"), ("x-tenant-id", "acme")],
                "key k for acme",
            ),
            (
                &[("x-service-key", "k"), ("authorization", "Bearer t")],
                "unreadable",
            ),
            (&[("x-admin-key", "k")], "nothing"),
        ] {
            assert_eq!(shown(&fields, list), expected, "{list:?}");
        }
    }
}
