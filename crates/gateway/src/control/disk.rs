//! The last good state on disk.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{ApiKey, Revision, Route, State, Tenant, Tiers};

/// Written into the file; a file of another format is not read.
const FORMAT: u32 = 1;

/// A state as it stands in the file. It holds hashes of keys and the pepper, so the file is its owner's alone.
#[derive(Serialize, Deserialize)]
pub struct Saved {
    format: u32,
    revision: Revision,
    pepper: String,
    /// Which database it is of, by [`source()`](super::source()). A file of an earlier version does not say.
    #[serde(default)]
    source: Option<String>,
    tiers: Arc<Tiers>,
    tenants: Vec<Arc<Tenant>>,
    keys: Vec<Arc<ApiKey>>,
    routes: Vec<Arc<Route>>,
}

/// Why the file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The file system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// Not what this version writes.
    #[error("{}: not a snapshot of this version ({reason}); remove the file", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Saved {
    pub(super) fn new(state: &State, pepper: &str, source: &str) -> Self {
        Self {
            format: FORMAT,
            revision: state.revision,
            pepper: pepper.to_owned(),
            source: Some(source.to_owned()),
            tiers: Arc::clone(&state.tiers),
            tenants: state.tenants.values().cloned().collect(),
            keys: state.keys.values().cloned().collect(),
            routes: state.routes.values().cloned().collect(),
        }
    }

    /// The pepper that the keys were hashed with.
    pub fn pepper(&self) -> &str {
        &self.pepper
    }

    /// The database that it is of, if that is another one than this.
    pub fn other_source(&self, source: &str) -> Option<&str> {
        self.source.as_deref().filter(|own| *own != source)
    }

    /// The state itself.
    pub fn into_state(self) -> State {
        fn by_id<T>(
            objects: Vec<Arc<T>>,
            id: impl Fn(&T) -> uuid::Uuid,
        ) -> HashMap<uuid::Uuid, Arc<T>> {
            objects
                .into_iter()
                .map(|object| (id(&object), object))
                .collect()
        }
        State {
            revision: self.revision,
            tenants: by_id(self.tenants, |tenant| tenant.id),
            keys: by_id(self.keys, |key| key.id),
            routes: by_id(self.routes, |route| route.id),
            tiers: self.tiers,
        }
    }
}

/// Writes beside the file and renames, so that there is always one whole snapshot, the new one or the old.
///
/// In an upgrade two processes save to the same place, so it is done under a lock, which ends with the process at the
/// latest.
pub(super) fn save(path: &Path, saved: &Saved) -> Result<(), DiskError> {
    let beside = path.with_extension("json.new");
    let result = lock(&path.with_extension("lock")).and_then(|_locked| {
        let result = write(&beside, saved).and_then(|()| fs::rename(&beside, path));
        if result.is_err() {
            // What was half written must not take the room that the next try needs.
            fs::remove_file(&beside).ok();
        }
        result
    });
    result.map_err(|error| DiskError::Io {
        path: path.to_owned(),
        error,
    })
}

/// Waits until nobody else saves. The lock is held as long as the file is open.
fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    file.lock()?;
    Ok(file)
}

fn write(path: &Path, saved: &Saved) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    let mut out = BufWriter::new(file);
    serde_json::to_writer(&mut out, saved)?;
    out.flush()?;
    out.into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .sync_all()
}

pub(super) fn load(path: &Path) -> Result<Option<Saved>, DiskError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(DiskError::Io {
                path: path.to_owned(),
                error,
            });
        }
    };
    let wrong = |reason: String| DiskError::Format {
        path: path.to_owned(),
        reason,
    };
    let saved: Saved = serde_json::from_reader(io::BufReader::new(file))
        .map_err(|error| wrong(error.to_string()))?;
    if saved.format != FORMAT {
        return Err(wrong(format!("format {}, expected {FORMAT}", saved.format)));
    }
    Ok(Some(saved))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_state_comes_back_from_disk_and_only_its_owner_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snapshot.json");
        assert!(load(&path).unwrap().is_none());
        let state = State {
            revision: 7,
            ..State::default()
        };
        save(&path, &Saved::new(&state, "pepper", "here")).unwrap();
        let saved = load(&path).unwrap().unwrap();
        assert_eq!(saved.pepper(), "pepper");
        assert_eq!(saved.other_source("here"), None);
        assert_eq!(saved.other_source("there"), Some("here"));
        assert_eq!(saved.into_state().revision, 7);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(!dir.path().join("snapshot.json.new").exists());
    }

    #[test]
    fn several_that_save_at_once_leave_one_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = &dir.path().join("snapshot.json");
        std::thread::scope(|scope| {
            for writer in 1..=4 {
                scope.spawn(move || {
                    // Of different lengths, so that two on top of each other show.
                    let pepper = "x".repeat(writer * 100_000);
                    for _ in 0..20 {
                        save(path, &Saved::new(&State::default(), &pepper, "here")).unwrap();
                        load(path).unwrap().expect("there is always one");
                    }
                });
            }
        });
        assert_eq!(load(path).unwrap().unwrap().pepper().len() % 100_000, 0);
    }

    #[test]
    fn a_damaged_file_is_refused_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snapshot.json");
        fs::write(&path, "{\"format\": 1").unwrap();
        let Err(error) = load(&path) else {
            panic!("half a file was read")
        };
        assert!(error.to_string().contains("snapshot.json"));
    }
}
