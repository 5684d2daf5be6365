//! Installing the programs that tests and benchmarks use, where that is possible without asking.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::bail;
use bastide_testkit::binaries::{self, PACKAGES, Package};

use crate::interrupt;

/// Debian starts a server when it installs one, and makes a Postgres cluster that holds the standard port. Tests use neither,
/// so both are kept from happening: `policy-rc.d` forbids starting anything for as long as the installation runs, and
/// `createcluster.conf` forbids the cluster for good. What an administrator has set up already is left alone.
const SCRIPT: &str = r#"
set -e
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf
fi
if [ ! -e /usr/sbin/policy-rc.d ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold "$@"
"#;

/// `cargo xtask install [--all]`.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<bool> {
    let all = match arguments {
        [] => false,
        ["--all"] => true,
        _ => bail!("expected nothing or --all, found {}", arguments.join(" ")),
    };
    ensure(|package| all || package.for_tests)?;
    Ok(true)
}

/// Installs what of the chosen packages is missing.
///
/// # Errors
/// When something is missing and may not be installed; the message names the command that does it.
pub(crate) fn ensure(chosen: impl Fn(&Package) -> bool) -> anyhow::Result<()> {
    let missing = missing(&chosen);
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = binaries::install_command(&missing);
    let Some(mut command) = install_command() else {
        bail!("missing packages; install them by: {by_hand}");
    };
    eprintln!("installing {}", missing.join(", "));
    command.args(["sh", "-c", SCRIPT, "install"]).args(&missing);
    if !interrupt::run(&mut command)?.success() {
        bail!("the installation failed; by hand: {by_hand}");
    }
    match self::missing(&chosen).as_slice() {
        [] => Ok(()),
        still => bail!("{} did not bring the expected programs", still.join(", ")),
    }
}

fn missing(chosen: impl Fn(&Package) -> bool) -> Vec<&'static str> {
    let incomplete = |package: &&Package| {
        package
            .programs
            .iter()
            .any(|program| binaries::find(program).is_err())
    };
    PACKAGES
        .iter()
        .filter(|package| chosen(package))
        .filter(incomplete)
        .flat_map(|package| package.apt)
        .copied()
        .collect()
}

/// The beginning of a command that runs as root, if there is `apt-get` and a way to be root without a password.
fn install_command() -> Option<Command> {
    if !Path::new("/usr/bin/apt-get").exists() {
        return None;
    }
    if rustix::process::geteuid().is_root() {
        return Some(Command::new("/usr/bin/env"));
    }
    let sudo = || {
        let mut command = Command::new("sudo");
        command.arg("-n");
        command
    };
    let quiet = sudo()
        .arg("true")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    quiet.is_ok_and(|status| status.success()).then(sudo)
}
