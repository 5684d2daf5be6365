//! Reads the `transform` object of a route.

use std::collections::BTreeMap;

use bastide_config::{Fields, Node, parse};
use bastide_routing::ConfigError;
use serde_json::Value;

use super::syntax::{HeaderUse, check_header_name, header_value};
use crate::model::{HeaderOps, PathRewrite, RequestTransform, ResponseTransform, Transform};

const MAX_OPS: usize = 100;
const MAX_PATTERN: usize = 1_024;

/// `{request: {headers, pathRewrite}, response: {headers}}`, every part optional.
pub(super) fn transform(node: Node<'_, '_>) -> Option<Transform> {
    node.object(|fields| {
        Some(Transform {
            request: fields.object("request", request),
            response: fields.object("response", |fields| {
                Some(ResponseTransform {
                    headers: headers(fields, HeaderUse::Response, HeaderUse::Response),
                })
            }),
        })
    })
}

#[expect(clippy::unnecessary_wraps, reason = "the form of an object's reader")]
fn request(fields: &mut Fields<'_, '_>) -> Option<RequestTransform> {
    Some(RequestTransform {
        headers: headers(fields, HeaderUse::SetRequest, HeaderUse::Request),
        path_rewrite: fields.optional("pathRewrite", path_rewrite),
    })
}

fn path_rewrite(node: Node<'_, '_>) -> Option<PathRewrite> {
    node.object(|fields| {
        let pattern = fields.required("pattern", parse::string(1..=MAX_PATTERN));
        let replacement = fields.required("replacement", parse::string(0..=MAX_PATTERN));
        let (pattern, replacement) = (pattern?, replacement?);
        match bastide_routing::PathRewrite::new(&pattern, &replacement) {
            Ok(_) => Some(PathRewrite {
                pattern,
                replacement,
            }),
            Err(error @ ConfigError::Replacement { .. }) => {
                fields.reject_field("replacement", error.to_string())
            }
            Err(error) => fields.reject_field("pattern", error.to_string()),
        }
    })
}

fn headers(fields: &mut Fields<'_, '_>, set: HeaderUse, other: HeaderUse) -> HeaderOps {
    let read = |fields: &mut Fields<'_, '_>| {
        Some(HeaderOps {
            remove: fields.or_else(
                "remove",
                Vec::new,
                parse::list(0..=MAX_OPS, |node| name(node, other)),
            ),
            set: fields.or_else("set", BTreeMap::new, |node| values(node, set)),
            add: fields.or_else("add", BTreeMap::new, |node| values(node, other)),
        })
    };
    fields.object("headers", read).unwrap_or_default()
}

fn name(mut node: Node<'_, '_>, used: HeaderUse) -> Option<String> {
    let Value::String(text) = node.value() else {
        return node.expected("the name of a header field");
    };
    match check_header_name(text, used) {
        Ok(()) => Some(text.clone()),
        Err(message) => node.reject(message),
    }
}

fn values(mut node: Node<'_, '_>, used: HeaderUse) -> Option<BTreeMap<String, String>> {
    let check = |name: &str| check_header_name(name, used);
    let values = parse::map(MAX_OPS, check, header_value)(node.again())?;
    // Names compare without case, so two spellings of one name would contradict each other.
    let mut seen = BTreeMap::new();
    for name in values.keys() {
        if let Some(other) = seen.insert(name.to_ascii_lowercase(), name) {
            return node.reject(format!(
                "`{other}` and `{name}` are the same header field; keep one of them"
            ));
        }
    }
    Some(values)
}
