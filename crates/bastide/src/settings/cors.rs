//! `[http.cors]`: which pages of other origins a browser lets call.

use std::time::Duration;

use bastide_config::read::Fields;
use bastide_config::{Node, parse};
use bastide_rpc::Cors;

use super::ANY_TIME;

pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<Cors> {
    let origins = fields.required("origins", |node| node.list(origin_or_any));
    let credentials = fields.setting("credentials", false, parse::boolean);
    let max_age = fields.setting(
        "max_age",
        Duration::from_mins(10),
        parse::duration(ANY_TIME),
    );
    let origins = origins?;
    let is_any = origins.iter().any(|origin| origin == "*");
    if is_any && origins.len() > 1 {
        return fields.reject_field("origins", "`*` is any origin, and stands alone");
    }
    let cors = if is_any {
        Cors::any()
    } else {
        Cors::origins(origins.iter().map(String::as_str)).ok()?
    };
    let cors = cors.max_age(max_age);
    if !credentials {
        return Some(cors);
    }
    match cors.credentials() {
        Ok(cors) => Some(cors),
        Err(error) => fields.reject_field("credentials", error.to_string()),
    }
}

fn origin_or_any(node: Node<'_, '_>) -> Option<String> {
    if node.value().as_str() == Some("*") {
        return Some("*".to_owned());
    }
    origin(node)
}

/// As browsers write it.
fn origin(mut node: Node<'_, '_>) -> Option<String> {
    let text = parse::string(1..=512)(node.again())?;
    match Cors::origins([text.as_str()]) {
        Ok(_) => Some(text),
        Err(error) => node.reject(error.to_string()),
    }
}
