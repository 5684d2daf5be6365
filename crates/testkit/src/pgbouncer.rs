//! A private PgBouncer.

use std::net::TcpStream;
use std::time::Duration;

use crate::postgres::server_user;
use crate::process::{Process, launcher};
use crate::{TestFolder, TestkitError, binaries, free_port};

const START_PATIENCE: Duration = Duration::from_secs(20);

/// A `PgBouncer` of one's own on 127.0.0.1, in transaction mode: a connection to the server belongs to a client only for one
/// transaction. It ends when dropped.
#[derive(Debug)]
pub struct PgBouncer {
    // Before the folder, so that it is gone when its folder is removed.
    _process: Process,
    port: u16,
    _folder: TestFolder,
}

impl PgBouncer {
    /// In front of the Postgres on this port, with two connections to it for each database. Whoever logs in is this user.
    pub fn start(server_port: u16, user: &str) -> Result<Self, TestkitError> {
        let folder = TestFolder::new()?;
        // It refuses to run as root.
        let account = server_user(folder.path())?;
        let port = free_port();
        let config = folder.path().join("pgbouncer.ini");
        // `any` logs everybody in as one user, whom the database line has to name.
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={server_port} user={user}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 2\n"
        );
        std::fs::write(&config, text).map_err(TestkitError::system("write pgbouncer.ini"))?;
        let mut command = launcher(&binaries::find("pgbouncer")?, account);
        command.arg(config);
        let log = folder.path().join("pgbouncer.log");
        let mut process = Process::start("pgbouncer", command, &log)?;
        process.wait_ready(START_PATIENCE, || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        })?;
        Ok(Self {
            _process: process,
            port,
            _folder: folder,
        })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }
}
