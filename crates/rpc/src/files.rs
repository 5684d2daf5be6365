//! A folder whose files are served and received by names that come from anybody.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bastide_telemetry::ids;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, openat, openat2, renameat, unlinkat};
use rustix::io::Errno;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use crate::http::{Content, RawResponse};
use crate::problem::{ApiError, Declared, Problem};

/// The files in a folder, and nothing outside it: names are resolved by the system below the folder, so that neither `..` nor a
/// link that leads away is followed, whoever makes it and whenever. Cheap to clone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use bastide_rpc::{FileError, Files, RawRequest, Route};
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let files = Files::under(folder)?;
/// let served = files.clone();
/// let download = Route::get("/files/{*name}")
///     .public("they are published")
///     .handler(move |_, request: RawRequest| {
///         let files = served.clone();
///         async move { files.serve(request.head.member("name").unwrap_or_default()).await }
///     });
/// assert!(matches!(files.serve("../etc/passwd").await, Err(FileError::Name(_))));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Files {
    folder: Arc<OwnedFd>,
    path: Arc<Path>,
}

/// A file was not served, or not received.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is none of this name, or it is no file.
    #[error("there is no file of this name")]
    NotFound,
    /// The name is none that a file may have here.
    #[error(
        "the name {0:?} is none of a file here; use names and `/` alone, none of which begins with a dot"
    )]
    Name(String),
    /// It has more bytes than are taken.
    #[error("the file has more than {0} bytes")]
    TooLarge(u64),
    /// There is no room left for it.
    #[error("there is no room for the file; try again later")]
    Full,
    /// What it was to be read from failed: the request's body, mostly.
    #[error(transparent)]
    Source(io::Error),
    /// The file system failed.
    #[error(transparent)]
    Io(io::Error),
}

impl ApiError for FileError {
    const DECLARED: &'static [Declared] = &[
        Declared {
            status: 400,
            code: "file_name",
        },
        Declared {
            status: 404,
            code: "file_not_found",
        },
        Declared {
            status: 413,
            code: "body_too_large",
        },
        Declared {
            status: 507,
            code: "storage_full",
        },
    ];

    fn into_problem(self) -> Problem {
        let (status, code) = match &self {
            Self::Name(_) => (400, "file_name"),
            Self::NotFound => (404, "file_not_found"),
            Self::TooLarge(_) => (413, "body_too_large"),
            Self::Full => (507, "storage_full"),
            Self::Source(_) | Self::Io(_) => {
                let (Self::Source(error) | Self::Io(error)) = self else {
                    return Problem::internal();
                };
                return error.into();
            }
        };
        Problem::new(status, code, self.to_string())
    }
}

impl From<FileError> for Problem {
    fn from(error: FileError) -> Self {
        error.into_problem()
    }
}

impl Files {
    /// The files below this folder, which exists. It may be a link; where it leads is looked up now and once.
    pub fn under(folder: impl AsRef<Path>) -> io::Result<Self> {
        let path = fs::canonicalize(folder)?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&path, flags, Mode::empty())?;
        Ok(Self {
            folder: Arc::new(folder),
            path: path.into(),
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.path
    }

    /// The file of this name, as `reports/2026.csv`, decoded already. Names with a part that is empty or begins with a dot are
    /// refused; links within the folder are followed, those that leave it are not found.
    pub async fn serve(&self, name: &str) -> Result<RawResponse, FileError> {
        let path = checked(name)?;
        let (folder, opened) = (self.folder.clone(), path.clone());
        let file = blocking(move || {
            // A pipe of that name would keep the thread until somebody writes to it.
            let flags = OFlags::RDONLY | OFlags::NONBLOCK;
            below(folder.as_fd(), &opened, flags)
        })
        .await
        .map_err(unseen)?;
        let content = Content::opened(File::from_std(file.into()), &path).await;
        Ok(RawResponse::content(content.map_err(unseen)?))
    }

    /// Writes what comes to a file of this name, in place of one that is there. Nobody sees it before it is whole and on the
    /// disk: half an upload leaves nothing. (A process that is killed meanwhile leaves a file `.part-..`, which is not served.)
    /// Folders in the name exist. Gives its length in bytes.
    pub async fn receive<E>(
        &self,
        name: &str,
        stream: impl Stream<Item = Result<Bytes, E>>,
        max: u64,
    ) -> Result<u64, FileError>
    where
        E: Into<io::Error>,
    {
        let path = checked(name)?;
        let root = self.folder.clone();
        let (mut part, file) = blocking(move || Part::begin(root.as_fd(), &path))
            .await
            .map_err(unseen)?;
        let mut file = File::from_std(file.into());
        let mut length = 0;
        let mut stream = std::pin::pin!(stream);
        while let Some(bytes) = stream.next().await {
            let bytes = bytes.map_err(|error| FileError::Source(error.into()))?;
            length += bytes.len() as u64;
            if length > max {
                return Err(FileError::TooLarge(max));
            }
            file.write_all(&bytes).await.map_err(unwritten)?;
        }
        file.flush().await.map_err(unwritten)?;
        file.sync_all().await.map_err(unwritten)?;
        let finished = blocking(move || part.finish()).await;
        finished.map_err(|error| match Errno::from_io_error(&error) {
            // A folder has it, or it is longer than names are here.
            Some(Errno::ISDIR | Errno::NAMETOOLONG) => FileError::Name(shown(name)),
            _ => unwritten(error),
        })?;
        Ok(length)
    }
}

/// A file that is being written, beside the one that it will be.
struct Part {
    folder: OwnedFd,
    name: PathBuf,
    /// What it is called until then; `None` once it is in its place.
    temporary: Option<String>,
}

impl Part {
    fn begin(root: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<(Self, OwnedFd)> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY;
        let folder = match path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            Some(parent) => below(root, parent, flags)?,
            None => openat(root, ".", flags | OFlags::CLOEXEC, Mode::empty())?,
        };
        let temporary = format!(".part-{}", ids::with_source(ids::IdSource::next_id));
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o640);
        let file = openat(&folder, &temporary, flags | OFlags::CLOEXEC, mode)?;
        let part = Self {
            folder,
            name: path.file_name().unwrap_or_default().into(),
            temporary: Some(temporary),
        };
        Ok((part, file))
    }

    fn finish(&mut self) -> rustix::io::Result<()> {
        if let Some(temporary) = &self.temporary {
            renameat(&self.folder, temporary, &self.folder, &self.name)?;
            self.temporary = None;
            // The name too is to outlive a loss of power.
            rustix::fs::fsync(&self.folder)?;
        }
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.take()
            && let Err(error) = unlinkat(&self.folder, &temporary, AtFlags::empty())
        {
            tracing::warn!(%error, temporary, "half an upload was not removed");
        }
    }
}

/// A relative path of plain names.
fn checked(name: &str) -> Result<PathBuf, FileError> {
    let is_plain =
        |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\0', '\\']);
    if name.len() <= 1_024 && name.split('/').all(is_plain) {
        Ok(name.into())
    } else {
        Err(FileError::Name(shown(name)))
    }
}

fn shown(name: &str) -> String {
    name.chars().take(100).collect()
}

/// Opens what stands below this folder, wherever links in it lead, so long as they stay below.
fn below(folder: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    loop {
        match openat2(folder, path, flags, Mode::empty(), resolve) {
            // Something was renamed meanwhile, so that the kernel could not tell.
            Err(Errno::AGAIN) => {}
            // An old kernel, or a sandbox that does not know it.
            Err(Errno::NOSYS | Errno::PERM) => return step_by_step(folder, path, flags),
            opened => return opened,
        }
    }
}

/// The same where no link is followed at all.
fn step_by_step(folder: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let mut parts = path.iter();
    let last = parts.next_back().ok_or(Errno::NOENT)?;
    let folders = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut within: Option<OwnedFd> = None;
    for part in parts {
        let folder = within.as_ref().map_or(folder, AsFd::as_fd);
        within = Some(openat(folder, part, folders, Mode::empty())?);
    }
    let folder = within.as_ref().map_or(folder, AsFd::as_fd);
    openat(folder, last, flags | OFlags::NOFOLLOW, Mode::empty())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> rustix::io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let work = tokio::task::spawn_blocking(work).await;
    Ok(work.map_err(io::Error::other)??)
}

/// What may not be seen is not there, for who asks.
fn unseen(error: io::Error) -> FileError {
    const HIDDEN: &[Errno] = &[
        Errno::ISDIR,
        Errno::LOOP,
        Errno::NAMETOOLONG,
        Errno::NOENT,
        Errno::NOTDIR,
        Errno::NXIO,
        Errno::XDEV,
    ];
    match Errno::from_io_error(&error) {
        Some(errno) if HIDDEN.contains(&errno) => FileError::NotFound,
        None if error.kind() == io::ErrorKind::NotFound => FileError::NotFound,
        _ => unwritten(error),
    }
}

fn unwritten(error: io::Error) -> FileError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FileError::Full,
        _ => FileError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn s16_no_name_leads_out_of_the_folder() {
        for name in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "a/../b",
            "a/..",
            "./a",
            "a/./b",
            "a//b",
            "a/",
            ".env",
            "a/.git/config",
            "a\0b",
            "..\\x",
            "a\\b",
        ] {
            assert!(checked(name).is_err(), "{name:?}");
        }
        for name in ["a", "a b.txt", "a/b/c", "…/ü", "a..b", "con"] {
            assert!(checked(name).is_ok(), "{name:?}");
        }
        assert!(checked(&"x".repeat(1_025)).is_err());
    }

    #[test]
    fn s16_links_that_leave_are_not_followed_in_either_way() {
        let outside = tempfile::tempdir().unwrap();
        let inside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        fs::create_dir(inside.path().join("sub")).unwrap();
        fs::write(inside.path().join("sub/plain"), "p").unwrap();
        let link = |to: &Path, name: &str| symlink(to, inside.path().join(name)).unwrap();
        link(&outside.path().join("secret"), "file");
        link(outside.path(), "folder");
        link(Path::new("../"), "up");
        link(Path::new("sub"), "within");
        link(Path::new("loop"), "loop");
        link(Path::new("/proc/self/root/etc"), "magic");
        let files = Files::under(inside.path()).unwrap();
        let open = |name: &str| below(files.folder.as_fd(), Path::new(name), OFlags::RDONLY);
        let walk = |name: &str| {
            step_by_step(
                files.folder.as_fd(),
                Path::new(name),
                OFlags::RDONLY | OFlags::CLOEXEC,
            )
        };
        for name in [
            "file",
            "folder/secret",
            "up/x",
            "loop",
            "magic/passwd",
            "../x",
            "/etc/passwd",
        ] {
            assert!(open(name).is_err(), "{name}");
        }
        for name in [
            "file",
            "folder/secret",
            "loop",
            "magic/passwd",
            "within/plain",
        ] {
            assert!(walk(name).is_err(), "{name}");
        }
        assert!(open("sub/plain").is_ok() && open("within/plain").is_ok());
        assert!(walk("sub/plain").is_ok());
    }
}
