//! Changes to headers and path on the way through.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The `transform` object of a route.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Transform {
    /// What happens to the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestTransform>,
    /// What happens to the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<ResponseTransform>,
}

/// Changes to the request before it is forwarded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestTransform {
    /// Header changes.
    pub headers: HeaderOps,
    /// Works on the forwarded path alone, never on host or query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_rewrite: Option<PathRewrite>,
}

/// Changes to the response before it reaches the client.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResponseTransform {
    /// Header changes.
    pub headers: HeaderOps,
}

/// Header changes, applied in the order remove, set, add. Names compare without case.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderOps {
    /// Fields to drop, every value of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Fields to replace or make.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// Fields to make where they are absent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<String, String>,
}

/// Replaces the first match of `pattern` in the path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathRewrite {
    /// A regular expression of the linear-time kind (no look-around, no back references).
    pub pattern: String,
    /// May name groups: `$1`, `${name}`.
    pub replacement: String,
}

impl HeaderOps {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}
