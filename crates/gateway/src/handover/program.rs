//! Which program this is, as it was called: what stands at that path later is what an upgrade starts.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The program of this process and its arguments.
#[derive(Debug)]
pub(crate) struct Program {
    /// Absolute, but with its symbolic links: a link that is turned to a new release leads to the new release.
    pub(crate) path: PathBuf,
    /// As they were given, the program's own name first.
    pub(crate) arguments: Vec<OsString>,
}

impl Program {
    /// To be asked at the start, while the file that runs is still the one that stands at the path.
    pub(crate) fn of_this_process() -> Self {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        // Once the file is replaced, the kernel's name for it leads nowhere; now it is still good.
        let running = std::env::current_exe().unwrap_or_default();
        let path = arguments
            .first()
            .zip(std::env::current_dir().ok())
            .zip(fs::metadata(&running).ok())
            .and_then(|((called, folder), running)| {
                let search = std::env::var_os("PATH").unwrap_or_default();
                called_as(called, &folder, &search, &running)
            });
        Self {
            path: path.unwrap_or(running),
            arguments,
        }
    }
}

/// Where the name that a program was called by leads. A caller may give any name, so one that does not lead to the
/// file that runs is not believed.
fn called_as(called: &OsStr, folder: &Path, search: &OsStr, running: &Metadata) -> Option<PathBuf> {
    let is_it = |path: &PathBuf| {
        fs::metadata(path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (running.dev(), running.ino()))
    };
    if called.as_encoded_bytes().contains(&b'/') {
        return Some(folder.join(called)).filter(is_it);
    }
    std::env::split_paths(search)
        .map(|place| folder.join(place).join(called))
        .find(is_it)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_path_is_the_one_it_was_called_by_links_and_all() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        fs::create_dir(folder.join("release-1")).unwrap();
        fs::write(folder.join("release-1/program"), "").unwrap();
        fs::write(folder.join("other"), "").unwrap();
        symlink("release-1", folder.join("current")).unwrap();
        let running = fs::metadata(folder.join("release-1/program")).unwrap();
        let find =
            |called: &str, search: &OsStr| called_as(OsStr::new(called), folder, search, &running);
        let linked = Some(folder.join("current/program"));
        let nowhere = OsStr::new("");
        assert_eq!(find("current/program", nowhere), linked);
        let absolute = folder.join("current/program");
        assert_eq!(find(absolute.to_str().unwrap(), nowhere), linked);
        let search = std::env::join_paths([Path::new("/nowhere"), &folder.join("current")]);
        assert_eq!(find("program", &search.unwrap()), linked);
        assert_eq!(find("other", folder.as_os_str()), None);
        assert_eq!(find("./other", nowhere), None);
    }

    #[test]
    fn this_process_has_a_program_that_is_there() {
        let program = Program::of_this_process();
        assert!(program.path.is_absolute() && program.path.exists());
        assert!(!program.arguments.is_empty());
    }
}
