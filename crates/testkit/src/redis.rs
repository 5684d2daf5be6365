//! A private Redis.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;

use crate::process::{Process, launcher};
use crate::{TestFolder, TestkitError, binaries, free_port};

const START_PATIENCE: Duration = Duration::from_secs(20);
const ASK_PATIENCE: Duration = Duration::from_secs(5);
const ATTEMPTS: usize = 5;

/// A Redis of one's own on 127.0.0.1. It keeps data in memory only, and ends when dropped.
#[derive(Debug)]
pub struct Redis {
    // Before the folder, so that the server is gone when its folder is removed.
    process: Option<Process>,
    binary: PathBuf,
    port: u16,
    folder: TestFolder,
    /// What the server's kind needs beyond what all have.
    arguments: Vec<String>,
}

impl Redis {
    /// Starts a server on a free port and waits until it answers.
    pub fn start() -> Result<Self, TestkitError> {
        Self::start_with(|_| Ok(Vec::new()))
    }

    /// As [`Redis::start`], with arguments that may name files in the server's folder, and are made anew with each port
    /// that is tried.
    pub(crate) fn start_with(
        arguments: impl Fn(&TestFolder) -> Result<Vec<String>, TestkitError>,
    ) -> Result<Self, TestkitError> {
        let binary = binaries::find("redis-server")?;
        let mut attempt = 1;
        loop {
            let folder = TestFolder::new()?;
            let mut redis = Self {
                process: None,
                binary: binary.clone(),
                port: free_port(),
                arguments: arguments(&folder)?,
                folder,
            };
            match redis.restart() {
                // Someone else took the port in between.
                Err(TestkitError::Failed { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
                Ok(()) => return Ok(redis),
            }
        }
    }

    /// The URL of a server that many tests share, so keys need a prefix of their own ([`unique`](crate::unique)).
    pub fn shared_url() -> Result<String, TestkitError> {
        static OWN: OnceLock<Redis> = OnceLock::new();
        if let Ok(url) = std::env::var("BASTIDE_TEST_REDIS_URL") {
            return Ok(url);
        }
        if let Some(redis) = OWN.get() {
            return Ok(redis.url());
        }
        // Two tests may both start one; the slower one's is dropped.
        let started = Self::start()?;
        Ok(OWN.get_or_init(|| started).url())
    }

    /// `redis://127.0.0.1:port`; the same after a restart.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it at once, as a crash would; connections are reset. What was in memory is lost.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Stops it in order. Its data comes back with [`Redis::restart`].
    pub fn stop(&mut self) -> Result<(), TestkitError> {
        let _ = self.ask("SAVE");
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::TERM);
        }
        Ok(())
    }

    /// Starts it again on the same port; nothing happens if it is running.
    pub fn restart(&mut self) -> Result<(), TestkitError> {
        if self
            .process
            .as_mut()
            .is_some_and(|process| !process.has_ended())
        {
            return Ok(());
        }
        let mut command = launcher(&self.binary, None);
        command
            .args(&self.arguments)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--maxclients", "1000", "--dir"])
            .arg(self.folder.path());
        if !self
            .arguments
            .iter()
            .any(|argument| argument == "--sentinel")
        {
            command.args(["--save", "", "--appendonly", "no"]);
        }
        let mut process = Process::start(
            "redis-server",
            command,
            &self.folder.path().join("redis.log"),
        )?;
        process.wait_ready(START_PATIENCE, || {
            self.ask("PING")
                .is_ok_and(|answer| answer.starts_with("+PONG"))
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops it from doing anything without ending it, as a machine does that hangs: connections stay open, nothing is answered.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`Redis::pause`].
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Removes all data.
    pub fn flush(&self) -> Result<(), TestkitError> {
        self.ask("FLUSHALL")
            .map(drop)
            .map_err(TestkitError::system("empty redis"))
    }

    /// As [`Redis::ask`], until the answer contains `word`.
    pub(crate) fn ask_until(&self, command: &str, word: &str) -> Result<(), TestkitError> {
        let mut last = String::new();
        let has_come = crate::until(START_PATIENCE, || {
            last = self.ask(command).unwrap_or_else(|error| error.to_string());
            last.contains(word)
        });
        if has_come {
            return Ok(());
        }
        Err(TestkitError::Silent {
            program: format!("redis-server, asked for {word:?} by {command}"),
            patience: START_PATIENCE,
            log: last,
        })
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    /// Sends an inline command and reads the beginning of the answer, as the protocol writes it.
    pub(crate) fn ask(&self, command: &str) -> std::io::Result<String> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let mut stream = TcpStream::connect_timeout(&address, ASK_PATIENCE)?;
        stream.set_read_timeout(Some(ASK_PATIENCE))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
