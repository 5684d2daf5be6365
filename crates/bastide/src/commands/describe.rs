//! `describe`: what the program is, for those who run it.

use bastide_rpc::Registry;
use serde_json::json;

use super::{print, routes};
use crate::app::App;

/// Entries with their policies, workers, tables, and which parts are in use.
pub(super) fn print_description(app: &App, registry: &Registry) -> anyhow::Result<()> {
    let parts = &app.parts;
    let workers: Vec<_> = app.workers.iter().map(|worker| worker.name).collect();
    let tables: Vec<_> = parts.schema().names().collect();
    let description = json!({
        "name": parts.program.name,
        "version": parts.program.version,
        "listen": parts.settings.http.listen.to_string(),
        "socket": parts.settings.http.socket,
        "needs": {
            "database": parts.used_database().is_some(),
            "store": parts.used_store().is_some(),
        },
        "workers": workers,
        "tables": tables,
        "entries": routes::listed(registry),
    });
    print(&serde_json::to_string_pretty(&description)?);
    Ok(())
}
