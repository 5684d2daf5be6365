//! Rules of style that no other tool checks.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

const MAX_LINES: usize = 600;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "manager", "managers", "misc", "type", "types",
];

/// Checks every Rust file below the root; prints what is wrong.
pub(crate) fn check(root: &Path) -> anyhow::Result<bool> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    let mut passed = true;
    for file in &files {
        let shown = file.strip_prefix(root).unwrap_or(file);
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        for fault in faults(shown, text.lines().count()) {
            eprintln!("{}: {fault}", shown.display());
            passed = false;
        }
    }
    Ok(passed)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name();
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if entry.file_type()?.is_dir() {
            if !hidden && name != "target" && name != "node_modules" {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn faults(file: &Path, lines: usize) -> Vec<String> {
    let mut faults = Vec::new();
    if lines > MAX_LINES {
        faults.push(format!("{lines} lines, at most {MAX_LINES}: a second subject has grown in it; give it a file of its own"));
    }
    let without_extension = file.with_extension("");
    let parts = without_extension.iter().filter_map(|part| part.to_str());
    for part in parts.filter(|part| EMPTY_NAMES.contains(part)) {
        faults.push(format!("`{part}` says nothing; name it for what it holds"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_and_empty_names_are_faults() {
        assert!(faults(Path::new("crates/a/src/route.rs"), 600).is_empty());
        assert_eq!(faults(Path::new("crates/a/src/route.rs"), 601).len(), 1);
        assert_eq!(faults(Path::new("crates/a/src/utils.rs"), 1).len(), 1);
        assert_eq!(
            faults(Path::new("crates/a/tests/common/mod.rs"), 1).len(),
            1
        );
    }
}
