// Made from a service's description. Changes here are lost when it is made again.

use std::collections::BTreeMap;

use bastide_client::{CallError, Client, Items};
use serde::{Deserialize, Serialize};

/// The SHA-256 of what the service promised when this was made.
pub const CONTRACT: &str =
    "bcf06c2350821b88524cfe2cd025b15b3f0d17ef6d7f0740f4ad811c447fec22";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Empty {}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Id {
    pub id: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KindDelivery {
    pub street: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Kind {
    Regular,
    Table(u8),
    Delivery(KindDelivery),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub count: u32,
    pub price: f64,
    /// Left and right of the window.
    pub seat: (i32, bool),
    pub table: u8,
    pub what: String,
}

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    pub id: u64,
    pub labels: BTreeMap<String, String>,
    pub lines: Vec<Line>,
    #[serde(rename = "madeAt")]
    pub made_at: String,
    /// For the kitchen. /* not for guests */
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The order that this one is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Box<Order>>,
    pub payment: Payment,
    pub state: State,
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<Kind>,
}

/// Some of many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Whatever else there is to say.
    pub extra: serde_json::Value,
    pub items: Vec<Order>,
    pub total: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by")]
pub enum Payment {
    #[serde(rename = "nobody")]
    Nobody,
    #[serde(rename = "card")]
    Card {
        last_digits: String,
    },
    #[serde(rename = "split")]
    Split(Shares),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Search {
    #[serde(rename = "page-size", default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Vec<Term>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    pub among: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    #[serde(rename = "open")]
    Open,
    #[serde(rename = "in-the-kitchen")]
    InTheKitchen,
    #[serde(rename = "closed")]
    Closed,
}

/// A word or a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Term {
    Integer(i64),
    Text(String),
}

/// Calls `orders`, made from version 1.2.0 of it.
#[derive(Debug, Clone)]
pub struct OrdersClient {
    client: Client,
}

impl OrdersClient {
    /// Calls by this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Policy: public: it tells callers of themselves.
    ///
    /// # Errors
    /// Problems with these codes, and what keeps calls from being answered: `body_timeout`, `body_too_large`, `deadline_passed`, `internal`, `malformed_body`, `unsupported_media_type`, `validation_failed`.
    pub async fn call_ids(&self, input: &Empty) -> Result<(String, String, u64), CallError> {
        self.client.call("orders@1/call-ids", input).await
    }

    /// One order by its id.
    ///
    /// Policy: any identity; for a tenant.
    ///
    /// # Errors
    /// Problems with these codes, and what keeps calls from being answered: `auth_unavailable`, `body_timeout`, `body_too_large`, `deadline_passed`, `internal`, `malformed_body`, `order_closed`, `order_not_found`, `role_required`, `scope_required`, `service_key_invalid`, `service_required`, `session_revoked`, `session_unknown`, `tenant_required`, `token_expired`, `token_invalid`, `token_missing`, `token_superseded`, `unsupported_media_type`, `validation_failed`.
    pub async fn find(&self, input: &Id) -> Result<Order, CallError> {
        self.client.request("orders@1/find").idempotent().send(input).await
    }

    /// Policy: any identity; for a tenant.
    ///
    /// # Errors
    /// Problems with these codes, and what keeps calls from being answered: `auth_unavailable`, `body_timeout`, `body_too_large`, `deadline_passed`, `internal`, `malformed_body`, `order_closed`, `order_not_found`, `role_required`, `scope_required`, `service_key_invalid`, `service_required`, `session_revoked`, `session_unknown`, `tenant_required`, `token_expired`, `token_invalid`, `token_missing`, `token_superseded`, `unsupported_media_type`, `validation_failed`.
    pub async fn put(&self, input: &Order) -> Result<Order, CallError> {
        self.client.call("orders@1/put", input).await
    }

    /// Policy: public: once is enough.
    ///
    /// # Errors
    /// Problems with these codes, and what keeps calls from being answered: `body_timeout`, `body_too_large`, `deadline_passed`, `internal`, `malformed_body`, `rate_limited`, `unsupported_media_type`, `validation_failed`.
    pub async fn rare(&self, input: &Empty) -> Result<(), CallError> {
        self.client.call("orders@1/rare", input).await
    }

    /// Policy: public: the menu hangs outside.
    ///
    /// # Errors
    /// Problems with these codes, and what keeps calls from being answered: `body_timeout`, `body_too_large`, `deadline_passed`, `internal`, `malformed_body`, `unsupported_media_type`, `validation_failed`.
    pub async fn search(&self, input: &Search) -> Result<Page, CallError> {
        self.client.request("orders@1/search").idempotent().send(input).await
    }

    /// Policy: public: everybody waits.
    ///
    /// # Errors
    /// Problems with these codes, and what keeps calls from being answered: `body_timeout`, `body_too_large`, `deadline_passed`, `internal`, `malformed_body`, `unsupported_media_type`, `validation_failed`.
    pub async fn slow(&self, input: &Empty) -> Result<(), CallError> {
        self.client.call("orders@1/slow", input).await
    }

    /// Orders as they change.
    ///
    /// # Errors
    /// Problems with these codes, and what keeps calls from being answered: `auth_unavailable`, `body_timeout`, `body_too_large`, `deadline_passed`, `internal`, `malformed_body`, `order_closed`, `order_not_found`, `role_required`, `scope_required`, `service_key_invalid`, `service_required`, `session_revoked`, `session_unknown`, `tenant_required`, `token_expired`, `token_invalid`, `token_missing`, `token_superseded`, `unsupported_media_type`, `validation_failed`.
    pub async fn watch(&self, input: &Id) -> Result<Items<Id>, CallError> {
        self.client.stream("orders@1/watch", input).await
    }

    /// Policy: any identity.
    ///
    /// # Errors
    /// Problems with these codes, and what keeps calls from being answered: `auth_unavailable`, `body_timeout`, `body_too_large`, `deadline_passed`, `internal`, `malformed_body`, `role_required`, `scope_required`, `service_key_invalid`, `service_required`, `session_revoked`, `session_unknown`, `tenant_required`, `token_expired`, `token_invalid`, `token_missing`, `token_superseded`, `unsupported_media_type`, `validation_failed`.
    pub async fn who(&self) -> Result<Option<String>, CallError> {
        self.client.call("orders@1/who", &()).await
    }
}
