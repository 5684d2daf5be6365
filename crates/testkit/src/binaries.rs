//! Which programs tests need, where they are, and which package has them.

use std::env;
use std::path::{Path, PathBuf};

/// A Debian package and the programs taken from it.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// The packages to install, as `apt-get` takes them.
    pub apt: &'static [&'static str],
    /// The programs that must be there afterwards.
    pub programs: &'static [&'static str],
    /// Whether the tests need it. What only benchmarks need is installed when one is run.
    pub for_tests: bool,
}

/// Every package that tests or benchmarks use. To add one, add a line.
pub const PACKAGES: &[Package] = &[
    Package {
        apt: &["postgresql"],
        programs: &["postgres", "initdb", "psql", "pg_isready"],
        for_tests: true,
    },
    Package {
        apt: &["redis-server"],
        programs: &["redis-server"],
        for_tests: true,
    },
    Package {
        apt: &["nginx", "libnginx-mod-http-lua"],
        programs: &["nginx"],
        for_tests: false,
    },
    Package {
        apt: &["haproxy"],
        programs: &["haproxy"],
        for_tests: false,
    },
    Package {
        apt: &["nghttp2-client"],
        programs: &["h2load"],
        for_tests: false,
    },
    Package {
        apt: &["wrk"],
        programs: &["wrk"],
        for_tests: false,
    },
    Package {
        apt: &["nodejs", "npm"],
        programs: &["node", "npm"],
        for_tests: false,
    },
    Package {
        apt: &["pgbouncer"],
        programs: &["pgbouncer"],
        for_tests: true,
    },
    Package {
        apt: &["nodejs"],
        programs: &["node"],
        for_tests: true,
    },
    Package {
        apt: &["node-typescript"],
        programs: &["tsc"],
        for_tests: true,
    },
    Package {
        apt: &["curl"],
        programs: &["curl"],
        for_tests: true,
    },
];

/// A program that is not installed.
#[derive(Debug, thiserror::Error)]
#[error("`{program}` is not installed; install it by: {command}")]
pub struct Missing {
    /// The program.
    pub program: String,
    /// The command that installs it.
    pub command: String,
}

/// The path of a program.
///
/// Looked for in this order: the `BASTIDE_TEST_*_BIN` variable, `PATH`, the folders in which Debian keeps servers, and the
/// newest version below `/usr/lib/postgresql`.
pub fn find(program: &str) -> Result<PathBuf, Missing> {
    candidates(program)
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| Missing {
            program: program.to_owned(),
            command: install_command(&packages_of(program)),
        })
}

/// The command that installs packages, as a person would type it.
pub fn install_command(packages: &[&str]) -> String {
    format!(
        "sudo apt-get update && sudo apt-get install -y {}",
        packages.join(" ")
    )
}

fn packages_of(program: &str) -> Vec<&str> {
    let package = PACKAGES
        .iter()
        .find(|package| package.programs.contains(&program));
    package.map_or_else(|| vec![program], |package| package.apt.to_vec())
}

fn candidates(program: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    if program == "redis-server" {
        paths.extend(env::var_os("BASTIDE_TEST_REDIS_BIN").map(PathBuf::from));
    } else if let Some(folder) = env::var_os("BASTIDE_TEST_POSTGRES_BIN") {
        paths.push(Path::new(&folder).join(program));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    paths.extend(env::split_paths(&path).map(|folder| folder.join(program)));
    paths.extend(["/usr/sbin", "/usr/local/sbin"].map(|folder| Path::new(folder).join(program)));
    paths.extend(
        postgres_versions()
            .into_iter()
            .map(|folder| folder.join(program)),
    );
    paths
}

/// Debian does not put the server's programs on `PATH`. Newest first.
fn postgres_versions() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir("/usr/lib/postgresql") else {
        return Vec::new();
    };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_the_command() {
        let missing = find("no-such-program").unwrap_err().to_string();
        assert_eq!(
            missing,
            "`no-such-program` is not installed; install it by: \
             sudo apt-get update && sudo apt-get install -y no-such-program"
        );
        assert_eq!(packages_of("initdb"), ["postgresql"]);
    }
}
