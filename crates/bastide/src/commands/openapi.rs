//! `openapi`: the document that describes the methods.

use bastide_rpc::Registry;

use super::print;
use crate::launch::Program;

pub(super) fn print_document(registry: &Registry, program: Program) -> anyhow::Result<()> {
    let document = bastide_rpc::openapi(registry, program.name, program.version);
    print(&serde_json::to_string_pretty(&document)?);
    Ok(())
}
