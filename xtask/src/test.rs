//! `cargo xtask test`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::bail;

use crate::servers::Servers;
use crate::steps::Steps;
use crate::{install, style};

#[derive(Debug, Default, PartialEq, Eq)]
struct Options<'a> {
    no_lint: bool,
    packages: Vec<&'a str>,
    filters: Vec<&'a str>,
}

impl<'a> Options<'a> {
    fn parse(arguments: &[&'a str]) -> anyhow::Result<Self> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match *argument {
                "--no-lint" => options.no_lint = true,
                "-p" | "--package" => match arguments.next() {
                    Some(package) => options.packages.push(package),
                    None => bail!("-p wants the name of a package"),
                },
                unknown if unknown.starts_with('-') => {
                    bail!("unknown option `{unknown}`; see cargo xtask help")
                }
                filter => options.filters.push(filter),
            }
        }
        Ok(options)
    }

    /// Which packages a cargo command is for.
    fn scope(&self, everything: &'static str) -> Vec<&'a str> {
        if self.packages.is_empty() {
            return vec![everything];
        }
        self.packages
            .iter()
            .flat_map(|package| ["-p", package])
            .collect()
    }

    /// As [`Options::scope`] for documented examples, which only libraries have.
    fn library_scope(&self) -> Vec<&'a str> {
        if self.packages.is_empty() {
            return vec!["--workspace"];
        }
        let libraries = self.packages.iter().filter(|package| has_library(package));
        libraries.flat_map(|package| ["-p", package]).collect()
    }

    fn has_libraries(&self) -> bool {
        self.packages.is_empty() || self.packages.iter().any(|package| has_library(package))
    }
}

/// Whether a package of the workspace has a library; cargo calls it an error to ask one without for its examples.
fn has_library(package: &str) -> bool {
    let folder = package.strip_prefix("bastide-").unwrap_or(package);
    root()
        .join("crates")
        .join(folder)
        .join("src/lib.rs")
        .exists()
}

/// Runs everything; whether all of it passed.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<bool> {
    let options = Options::parse(arguments)?;
    let mut steps = Steps::default();
    if !options.no_lint {
        lint(&options, &mut steps);
    }
    test(&options, &mut steps);
    Ok(steps.finish())
}

fn lint(options: &Options<'_>, steps: &mut Steps) {
    steps.run("style", || style::check(&root()));
    steps.command(
        "format",
        cargo("fmt").args(options.scope("--all")).arg("--check"),
    );
    let scope = options.scope("--workspace");
    steps.command(
        "clippy",
        cargo("clippy")
            .args(&scope)
            .args(["--all-targets", "--", "-D", "warnings"]),
    );
    let mut doc = cargo("doc");
    doc.args(&scope)
        .arg("--no-deps")
        .env("RUSTDOCFLAGS", "-D warnings");
    steps.command("documentation", &mut doc);
    if has("deny") {
        steps.command("dependencies", cargo("deny").arg("check"));
    } else {
        steps.skip(
            "dependencies",
            "cargo-deny is not installed: cargo install --locked cargo-deny",
        );
    }
}

fn test(options: &Options<'_>, steps: &mut Steps) {
    let installed = steps.run("install", || {
        install::ensure(|package| package.for_tests).map(|()| true)
    });
    let mut servers = None;
    let started = installed
        && steps.run("servers", || {
            servers = Some(Servers::start()?);
            Ok(true)
        });
    // Black-box tests of any crate find the binary where cargo puts it, built from this very source.
    let built = started && steps.command("build", cargo("build").args(["-p", "bastide-cli"]));
    let Some(environment) = servers.as_ref().filter(|_| built).map(Servers::environment) else {
        steps.skip("tests", "a step before failed");
        return;
    };
    let scope = options.scope("--workspace");
    let mut tests = if has("nextest") {
        let mut command = cargo("nextest");
        command
            .arg("run")
            .args(&scope)
            .args(["--no-fail-fast", "--no-tests", "warn"])
            .args(&options.filters);
        command
    } else {
        let mut command = cargo("test");
        command
            .args(&scope)
            .args(["--no-fail-fast", "--tests", "--"])
            .args(&options.filters);
        command
    };
    let mut documented = cargo("test");
    documented
        .args(options.library_scope())
        .args(["--doc", "--no-fail-fast", "--"])
        .args(&options.filters);
    let mut commands = vec![("tests", &mut tests)];
    if options.has_libraries() {
        commands.push(("documented examples", &mut documented));
    } else {
        steps.skip("documented examples", "no package here has a library");
    }
    for (name, command) in commands {
        steps.run(name, || {
            let environment = environment
                .as_ref()
                .map_err(|error| anyhow::anyhow!("{error:#}"))?;
            command.envs(environment.iter().map(|(name, value)| (name, value)));
            Ok(crate::interrupt::run(command)?.success())
        });
    }
    steps.run("stop servers", || {
        drop(servers);
        Ok(true)
    });
}

/// A cargo command in the workspace, without what `cargo run` told this program about itself.
fn cargo(subcommand: &str) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let own = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        if own {
            command.env_remove(name);
        }
    }
    command.arg(subcommand).current_dir(root());
    command
}

fn has(subcommand: &str) -> bool {
    let quiet = cargo(subcommand)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    quiet.is_ok_and(|status| status.success())
}

/// The workspace's folder: the one above this package's.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let options = Options::parse(&["--no-lint", "-p", "a", "limits", "-p", "b"]).unwrap();
        let expected = Options {
            no_lint: true,
            packages: vec!["a", "b"],
            filters: vec!["limits"],
        };
        assert_eq!(options, expected);
        assert_eq!(options.scope("--workspace"), ["-p", "a", "-p", "b"]);
        assert!(Options::parse(&["--nolint"]).is_err());
        assert!(Options::parse(&["-p"]).is_err());
    }
}
