//! `routes`: every entry with its policy.

use bastide_rpc::{Entry, LimitRule, Registry};
use serde::Serialize;

use super::print;

/// One way in, and who may use it.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    entry: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    policy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_for: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    invalidates: Vec<&'static str>,
}

/// All of them, in the order in which they were given.
pub(crate) fn listed(registry: &Registry) -> Vec<Listed> {
    registry.entries().iter().map(Listed::of).collect()
}

pub(super) fn list(registry: &Registry, json: bool) -> anyhow::Result<()> {
    let listed = listed(registry);
    if json {
        print(&serde_json::to_string_pretty(&listed)?);
    } else {
        print(&table(&listed));
    }
    Ok(())
}

impl Listed {
    fn of(entry: &Entry) -> Self {
        let method = entry.method();
        Self {
            entry: entry.full_name().to_owned(),
            path: method
                .rest()
                .map(|rest| format!("{} {}", rest.verb(), rest.path())),
            policy: method.access().to_string(),
            limit: method.limit().map(LimitRule::to_string),
            cached_for: method.cached().map(|cached| format!("{:?}", cached.ttl())),
            invalidates: method.invalidates().collect(),
        }
    }
}

/// Columns as wide as what stands in them.
fn table(listed: &[Listed]) -> String {
    let rows = listed.iter().map(|one| {
        let mut more: Vec<String> = Vec::new();
        more.extend(one.limit.iter().map(|limit| format!("limit {limit}")));
        more.extend(one.cached_for.iter().map(|time| format!("cached {time}")));
        if !one.invalidates.is_empty() {
            more.push(format!("invalidates {}", one.invalidates.join(", ")));
        }
        let path = one.path.clone().unwrap_or_else(|| "-".to_owned());
        [one.entry.clone(), path, one.policy.clone(), more.join("; ")]
    });
    let head = ["ENTRY", "PATH", "POLICY", "RULES"].map(str::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let (entry, path, policy) = (width(0), width(1), width(2));
    let line = |row: &[String; 4]| {
        let [a, b, c, d] = row;
        format!("{a:entry$}  {b:path$}  {c:policy$}  {d}")
            .trim_end()
            .to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
