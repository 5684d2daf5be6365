//! What is measured: a process on a core of its own, gone when it is dropped.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::load::family;

pub(crate) struct Subject {
    child: Child,
    pub(crate) port: u16,
}

impl Subject {
    /// Starts a command on a core and waits until it listens.
    pub(crate) fn start(
        core: &str,
        port: u16,
        program: &mut Command,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let out = fs::File::create(log)?;
        let mut pinned = Command::new("taskset");
        pinned
            .args(["-c", core])
            .arg(program.get_program())
            .args(program.get_args());
        for (name, value) in program.get_envs() {
            if let Some(value) = value {
                pinned.env(name, value);
            }
        }
        let child = pinned
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.get_program().display()))?;
        let subject = Self { child, port };
        let listens = bastide_testkit::until(Duration::from_secs(15), || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        if !listens {
            bail!(
                "nothing listens on port {port}; its log:\n{}",
                fs::read_to_string(log).unwrap_or_default()
            );
        }
        Ok(subject)
    }

    /// nginx with one of our configurations.
    pub(crate) fn nginx(core: &str, port: u16, dir: &Path, config: &Path) -> anyhow::Result<Self> {
        let program = bastide_testkit::binaries::find("nginx")?;
        let log = config.with_extension("out");
        Self::start(
            core,
            port,
            Command::new(program)
                .arg("-p")
                .arg(dir)
                .arg("-c")
                .arg(config),
            &log,
        )
    }

    /// The process and its workers.
    pub(crate) fn processes(&self) -> Vec<u32> {
        family(self.child.id())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // SIGTERM lets a master end its workers; by id, as everything here.
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
        self.child.wait().ok();
    }
}
