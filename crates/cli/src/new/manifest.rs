//! The manifest of a new service: on which crate `bastide` it depends, and of which workspace it is no part.

use std::path::{Component, Path, PathBuf};

use toml::{Table, Value};

/// Where a checkout has the crate.
const CRATE: &str = "crates/bastide";

/// The text of `Cargo.toml` for a folder that is yet to be made.
pub(super) fn of(name: &str, folder: &Path, bastide: Option<&Path>) -> Result<String, String> {
    let folder = whole(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let dependency = match bastide {
        Some(path) => by_path(&given(path)?),
        None => match checkout(&folder) {
            Some(root) => by_path(&way_up(&folder, &root).join(CRATE)),
            None => format!("{:?}", env!("CARGO_PKG_VERSION")),
        },
    };
    // Cargo takes a package below a workspace for a member that was forgotten.
    let apart = if is_taken_for_a_member(&folder) {
        "\n[workspace]\n"
    } else {
        ""
    };
    Ok(format!(
        "[package]\nname = {name:?}\nversion = \"0.1.0\"\nedition = \"2024\"\nrust-version = {:?}\npublish = false\n\n\
         [dependencies]\nbastide = {dependency}\n{apart}",
        env!("CARGO_PKG_RUST_VERSION"),
    ))
}

fn by_path(path: &Path) -> String {
    // As TOML has it: its basic strings are written as ours.
    format!("{{ path = {:?} }}", path.display().to_string())
}

/// The crate that was named.
fn given(path: &Path) -> Result<PathBuf, String> {
    let shown = path.display();
    let found = path.canonicalize();
    let found = found.map_err(|error| format!("--bastide-path {shown}: {error}"))?;
    for candidate in [found.join(CRATE), found] {
        if is_crate(&candidate) {
            return Ok(candidate);
        }
    }
    Err(format!(
        "--bastide-path {shown}: the crate `bastide` is not there; name the folder of its Cargo.toml"
    ))
}

fn is_crate(folder: &Path) -> bool {
    let text = std::fs::read_to_string(folder.join("Cargo.toml"));
    text.is_ok_and(|text| text.lines().any(|line| line.trim() == "name = \"bastide\""))
}

/// The checkout of Bastide around this folder.
fn checkout(folder: &Path) -> Option<PathBuf> {
    let above = folder.ancestors().skip(1);
    above
        .map(Path::to_owned)
        .find(|root| is_crate(&root.join(CRATE)))
}

/// `../..` for two folders up.
fn way_up(from: &Path, to: &Path) -> PathBuf {
    let below = from.strip_prefix(to).unwrap_or(from);
    below.components().map(|_| Component::ParentDir).collect()
}

/// Whether a workspace is around the folder which does not name it among its members by a pattern.
fn is_taken_for_a_member(folder: &Path) -> bool {
    let mut above = folder.ancestors().skip(1);
    let Some((root, workspace)) = above.find_map(|root| Some((root, workspace(root)?))) else {
        return false;
    };
    let below = folder.strip_prefix(root).unwrap_or(folder);
    let siblings = below.parent().unwrap_or(Path::new("")).join("*");
    let members = workspace.get("members").and_then(Value::as_array);
    let mut members = members.into_iter().flatten().filter_map(Value::as_str);
    !members.any(|member| Path::new(member) == siblings)
}

/// What the manifest in this folder says of a workspace.
fn workspace(folder: &Path) -> Option<Value> {
    let text = std::fs::read_to_string(folder.join("Cargo.toml")).ok()?;
    text.parse::<Table>().ok()?.remove("workspace")
}

/// The path from the root on, of a folder that does not exist: its parents may lead through links.
fn whole(folder: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(folder)?;
    let existing = path.ancestors().find(|above| above.exists());
    let existing = existing.unwrap_or(Path::new("/"));
    let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
    Ok(existing.canonicalize()?.join(rest))
}
