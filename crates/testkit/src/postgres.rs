//! A private Postgres.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;

use crate::process::{Process, account, children_of, is_root, launcher, signal_to};
use crate::{TestFolder, TestkitError, binaries, free_port, unique};

const START_PATIENCE: Duration = Duration::from_mins(1);
const ATTEMPTS: usize = 5;

/// Settings for tests: nothing has to survive a crash of the machine, everything has to be quick. Commits still reach the
/// operating system one by one, so that they survive a crash of the server.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "max_connections=200",
    "shared_buffers=64MB",
    "fsync=off",
    "full_page_writes=off",
    "wal_level=logical",
    "max_wal_size=256MB",
    "autovacuum_naptime=1h",
    "logging_collector=off",
    "timezone=UTC",
];

/// A Postgres of one's own on 127.0.0.1, superuser `postgres` without password. It ends when dropped.
#[derive(Debug)]
pub struct Postgres {
    // Before the folder, so that the server is gone when its folder is removed.
    process: Option<Process>,
    binary: PathBuf,
    isready: PathBuf,
    user: Option<&'static str>,
    port: u16,
    folder: TestFolder,
}

impl Postgres {
    /// Makes a new cluster, starts a server on a free port and waits until it answers: about a second and a half.
    pub fn start() -> Result<Self, TestkitError> {
        let folder = TestFolder::new()?;
        let user = server_user(folder.path())?;
        let mut server = Self {
            process: None,
            binary: binaries::find("postgres")?,
            isready: binaries::find("pg_isready")?,
            user,
            port: 0,
            folder,
        };
        server.initialize()?;
        let mut attempt = 1;
        loop {
            server.port = free_port();
            match server.restart() {
                // Someone else took the port in between.
                Err(TestkitError::Failed { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
                Ok(()) => return Ok(server),
            }
        }
    }

    /// A new, empty database on a server that many tests share. It is dropped with the value.
    pub fn shared_database() -> Result<Database, TestkitError> {
        static OWN: OnceLock<Postgres> = OnceLock::new();
        if let Ok(url) = std::env::var("BASTIDE_TEST_POSTGRES_URL") {
            return Database::create(&url);
        }
        if let Some(server) = OWN.get() {
            return server.database();
        }
        // Two tests may both start one; the slower one's is dropped.
        let started = Self::start()?;
        OWN.get_or_init(|| started).database()
    }

    /// A new, empty database on this server.
    pub fn database(&self) -> Result<Database, TestkitError> {
        Database::create(&self.url())
    }

    /// The superuser's URL of the database `postgres`; the same after a restart.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it and all of its sessions at once, as a crash of the machine would. Committed data is there after a restart.
    pub fn kill(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        // First the server, which would else take the death of a session for a reason to restart the others.
        process.signal(Signal::STOP);
        let sessions = children_of(process.id());
        process.kill();
        for session in &sessions {
            signal_to(*session, Signal::KILL);
        }
        // A session that still lives holds the shared memory, and the next server would refuse to start.
        crate::until(Duration::from_secs(5), || {
            sessions
                .iter()
                .all(|session| !Path::new("/proc").join(session.to_string()).exists())
        });
    }

    /// Stops it in order, ending all sessions.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::INT);
        }
    }

    /// Starts it again on the same port with the same data; nothing happens if it is running.
    pub fn restart(&mut self) -> Result<(), TestkitError> {
        if self
            .process
            .as_mut()
            .is_some_and(|process| !process.has_ended())
        {
            return Ok(());
        }
        let mut command = launcher(&self.binary, self.user);
        command.arg("-D").arg(self.data());
        command
            .args(["-p", &self.port.to_string(), "-k"])
            .arg(self.folder.path());
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        let mut process = Process::start(
            "postgres",
            command,
            &self.folder.path().join("postgres.log"),
        )?;
        process.wait_ready(START_PATIENCE, || self.answers())?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops the server and its sessions from doing anything without ending them, as a machine does that hangs.
    pub fn pause(&self) {
        self.signal_all(Signal::STOP);
    }

    /// Lets it go on after [`Postgres::pause`].
    pub fn resume(&self) {
        self.signal_all(Signal::CONT);
    }

    fn signal_all(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
            for session in children_of(process.id()) {
                signal_to(session, signal);
            }
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn initialize(&self) -> Result<(), TestkitError> {
        let mut command = launcher(&binaries::find("initdb")?, self.user);
        command.arg("-D").arg(self.data()).args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        ]);
        run("initdb", &mut command).map(drop)
    }

    fn answers(&self) -> bool {
        let mut command = Command::new(&self.isready);
        command.args([
            "-q",
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-d",
            "postgres",
            "-p",
            &self.port.to_string(),
        ]);
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::CONT);
            // "Immediate shutdown": as quick as killing, but the shared memory is given back.
            process.stop(Signal::QUIT);
        }
    }
}

/// Postgres refuses to run as root. Then it runs as `postgres` or `nobody`, who must own the folder.
pub(crate) fn server_user(folder: &Path) -> Result<Option<&'static str>, TestkitError> {
    if !is_root() {
        return Ok(None);
    }
    let known = ["postgres", "nobody"]
        .into_iter()
        .find_map(|user| Some((user, account(user)?)));
    let (user, (uid, gid)) = known.ok_or_else(|| TestkitError::Failed {
        program: "postgres".to_owned(),
        output: "it cannot run as root, and there is neither a user `postgres` nor `nobody`"
            .to_owned(),
    })?;
    std::os::unix::fs::chown(folder, Some(uid), Some(gid))
        .map_err(TestkitError::system("give a folder to postgres"))?;
    Ok(Some(user))
}

/// An empty database, dropped with this value.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    fn create(server: &str) -> Result<Self, TestkitError> {
        let database = Self {
            server: server.to_owned(),
            name: unique("test"),
        };
        // From `template0`, which nobody is connected to, so that many can be made at once.
        psql(
            server,
            &format!("CREATE DATABASE {} TEMPLATE template0", database.name),
        )?;
        Ok(database)
    }

    /// The superuser's URL of this database.
    pub fn url(&self) -> String {
        let (base, parameters) = match self.server.split_once('?') {
            Some((base, parameters)) => (base, format!("?{parameters}")),
            None => (self.server.as_str(), String::new()),
        };
        let host_end = base.find("://").map_or(0, |scheme| scheme + 3);
        let path = base[host_end..]
            .find('/')
            .map_or(base.len(), |slash| host_end + slash);
        format!("{}/{}{parameters}", &base[..path], self.name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs SQL in it as superuser and returns what `psql` prints: rows without decoration, values separated by `|`.
    pub fn sql(&self, statement: &str) -> Result<String, TestkitError> {
        psql(&self.url(), statement)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The server may be gone already, and the database with it.
        let _ = psql(
            &self.server,
            &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name),
        );
    }
}

fn psql(url: &str, statement: &str) -> Result<String, TestkitError> {
    let mut command = Command::new(binaries::find("psql")?);
    command
        .args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            url,
            "-c",
            statement,
        ])
        .env("PGCONNECT_TIMEOUT", "10");
    let output = run("psql", &mut command)?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}

fn run(program: &str, command: &mut Command) -> Result<Output, TestkitError> {
    let output = command
        .output()
        .map_err(TestkitError::system(format!("run {program}")))?;
    if output.status.success() {
        return Ok(output);
    }
    let printed = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(TestkitError::Failed {
        program: program.to_owned(),
        output: printed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_replaces_the_path_of_the_url() {
        let url = |server: &str| {
            std::mem::ManuallyDrop::new(Database {
                server: server.to_owned(),
                name: "t".to_owned(),
            })
            .url()
        };
        assert_eq!(url("postgres://u:p@h:1/postgres"), "postgres://u:p@h:1/t");
        assert_eq!(url("postgres://u@h"), "postgres://u@h/t");
        assert_eq!(
            url("postgres://u@h:1/a?sslmode=disable"),
            "postgres://u@h:1/t?sslmode=disable"
        );
    }
}
