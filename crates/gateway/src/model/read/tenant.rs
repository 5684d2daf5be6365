//! Reads tenants and their keys.

use bastide_config::{Fields, Node, Secret, parse};
use jiff::Timestamp;
use serde_json::Value;

use super::{Stamp, rate_limit, syntax, tier_name};
use crate::model::{RateLimit, Tenant, Tiers};

/// The shortest key that a client may choose. Shorter ones can be guessed.
pub const MIN_KEY_CHARS: usize = 16;
const MAX_KEY_CHARS: usize = 256;

/// A tenant: `name`, `tier?`, `rateLimit?` (also under its older name `defaultRateLimit`), `isActive?`. A draft.
pub fn tenant(fields: &mut Fields<'_, '_>, tiers: &Tiers) -> Option<Tenant> {
    let name = fields.required("name", name);
    let tier = fields.or_else("tier", || "free".to_owned(), |node| tier_name(node, tiers));
    let rate_limit = tenant_limit(fields);
    let is_active = fields.or("isActive", true, parse::boolean);
    let Stamp {
        id,
        managed_by,
        created_at,
        updated_at,
        version,
    } = Stamp::draft();
    Some(Tenant {
        id,
        name: name?,
        tier,
        rate_limit,
        is_active,
        managed_by,
        created_at,
        updated_at,
        version,
    })
}

fn tenant_limit(fields: &mut Fields<'_, '_>) -> Option<RateLimit> {
    let limit = fields.optional("rateLimit", rate_limit);
    let older = fields.optional("defaultRateLimit", rate_limit);
    if limit.is_some() && older.is_some() {
        fields.reject_field::<()>(
            "defaultRateLimit",
            "is the older name of `rateLimit`; give one of the two",
        );
    }
    limit.or(older)
}

/// What the holder of a tenant can say about one of its keys.
#[derive(Debug, Clone, PartialEq)]
pub struct KeySettings {
    /// 1 to 255 characters. Default `default`.
    pub name: String,
    /// Its own limit.
    pub rate_limit: Option<RateLimit>,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
}

/// The settings of a key: `name?`, `expiresAt?`, `rateLimit?`.
pub fn key(fields: &mut Fields<'_, '_>) -> KeySettings {
    KeySettings {
        name: fields.or_else("name", || "default".to_owned(), name),
        rate_limit: fields.optional("rateLimit", rate_limit),
        expires_at: fields.optional("expiresAt", syntax::timestamp),
    }
}

/// A key that the client chose: 16 to 256 visible ASCII characters, so that it fits into a header as it is. It
/// is never shown in a message.
pub fn api_key(mut node: Node<'_, '_>) -> Option<Secret> {
    let Value::String(text) = node.value() else {
        return node.reject("expected a string");
    };
    if !(MIN_KEY_CHARS..=MAX_KEY_CHARS).contains(&text.len()) {
        return node.reject(format!(
            "expected {MIN_KEY_CHARS} to {MAX_KEY_CHARS} characters, found {}",
            text.len()
        ));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return node.reject("a key may hold letters, digits and signs of ASCII only, no blanks");
    }
    Some(Secret::new(text.clone()))
}

fn name(mut node: Node<'_, '_>) -> Option<String> {
    let name = parse::string(1..=255)(node.again())?;
    if name.chars().any(char::is_control) {
        return node.reject("a name cannot hold line breaks or other control characters");
    }
    if name.trim().len() != name.len() {
        return node.reject("a name cannot begin or end with a blank");
    }
    Some(name)
}
