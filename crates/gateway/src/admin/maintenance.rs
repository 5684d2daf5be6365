//! `/admin/maintenance`: the switches of maintenance mode.

use bastide_config::{parse, read};
use bastide_rpc::Problem;
use serde_json::{Value, json};
use uuid::Uuid;

use super::call::Call;
use super::problem::{self, Code};
use super::reply::Reply;
use crate::maintenance::{Board, Switches};

/// So many tenants or routes can be switched off one by one.
const MAX_SWITCHES: usize = 10_000;

pub(super) fn get(board: &Board) -> Reply {
    Reply::body(json!({ "data": shown(&board.switches()) }))
}

/// Replaces all switches. What is left out is on again.
pub(super) async fn put(board: &Board, call: &Call) -> Result<Reply, Problem> {
    let body = call.json()?;
    let switches = read_switches(&body)?;
    board.set(switches.clone()).await.map_err(|error| {
        tracing::error!(%error, "maintenance mode could not be written");
        Code::StoreUnavailable
            .problem("the shared store cannot be reached; nothing was changed, try again")
    })?;
    tracing::warn!(
        request = call.request_id,
        "maintenance mode was set through the Admin API"
    );
    Ok(Reply::body(json!({ "data": shown(&switches) })))
}

fn read_switches(body: &Value) -> Result<Switches, Problem> {
    let id = parse::from_text("an id (a UUID)", |text| Uuid::try_parse(text).ok());
    let ids = || parse::list(0..=MAX_SWITCHES, id.clone());
    let read = read::tree(body, |node| {
        node.object(|fields| {
            let platform = fields.or("platform", false, parse::boolean);
            let tenants = fields.or("tenants", Vec::new(), ids());
            let routes = fields.or("routes", Vec::new(), ids());
            Some(Switches {
                platform,
                tenants: tenants.into_iter().collect(),
                routes: routes.into_iter().collect(),
            })
        })
    });
    read.map_err(|problems| problem::validation(&problems))
}

fn shown(switches: &Switches) -> Value {
    let sorted = |ids: &std::collections::HashSet<Uuid>| {
        let mut ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
        ids.sort_unstable();
        ids
    };
    json!({
        "platform": switches.platform,
        "tenants": sorted(&switches.tenants),
        "routes": sorted(&switches.routes),
    })
}
