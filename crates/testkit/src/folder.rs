//! Folders that go away, even those of processes that could not clean up.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::TestkitError;

const PREFIX: &str = "bastide-test-";

/// A temporary folder, removed when dropped.
///
/// Its name holds the process id. What a killed process left behind is removed by the next one that makes a folder.
#[derive(Debug)]
pub struct TestFolder(TempDir);

impl TestFolder {
    /// An empty folder, readable by this user only.
    pub fn new() -> Result<Self, TestkitError> {
        sweep();
        let prefix = format!("{PREFIX}{}-", std::process::id());
        tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir()
            .map(Self)
            .map_err(TestkitError::system("make a temporary folder"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

fn sweep() {
    // Without /proc it is not known who lives.
    if !Path::new("/proc/self").exists() {
        return;
    }
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .and_then(|rest| rest.split_once('-'))
            .and_then(|(pid, _)| pid.parse::<u32>().ok());
        if let Some(owner) = owner
            && !Path::new("/proc").join(owner.to_string()).exists()
        {
            // Another process may sweep at the same time; what it removes first is gone all the same.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
