//! A private Redis with a replica, and a sentinel that watches both.

use crate::{Redis, TestkitError};

/// What the sentinel calls the master.
const NAME: &str = "bastide";

/// A master, a replica that takes over when the master is gone, and one sentinel that sees to it. They end when this is
/// dropped.
#[derive(Debug)]
pub struct RedisSentinel {
    master: Redis,
    replica: Redis,
    sentinel: Redis,
}

impl RedisSentinel {
    /// Starts the three and waits until the sentinel knows of the others.
    pub fn start() -> Result<Self, TestkitError> {
        let at_once = ["--repl-diskless-sync-delay", "0"].map(str::to_owned);
        let master = Redis::start_with(|_| Ok(at_once.to_vec()))?;
        let port = master.port();
        let replica =
            Redis::start_with(|_| Ok(vec!["--replicaof".to_owned(), format!("127.0.0.1 {port}")]))?;
        replica.ask_until("ROLE", "connected")?;
        let sentinel = Redis::start_with(|folder| {
            let file = folder.path().join("sentinel.conf");
            let text = format!(
                "sentinel monitor {NAME} 127.0.0.1 {port} 1\n\
                 sentinel down-after-milliseconds {NAME} 500\n\
                 sentinel failover-timeout {NAME} 2000\n"
            );
            std::fs::write(&file, text)
                .map_err(TestkitError::system("write the sentinel's configuration"))?;
            Ok(vec![file.display().to_string(), "--sentinel".to_owned()])
        })?;
        let known = format!("127.0.0.1:{}", replica.port());
        sentinel.ask_until(&format!("SENTINEL REPLICAS {NAME}"), &known)?;
        Ok(Self {
            master,
            replica,
            sentinel,
        })
    }

    /// `127.0.0.1:port/name`: the sentinel, and what it calls the master.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}/{NAME}", self.sentinel.port())
    }

    /// The first master.
    pub fn master(&mut self) -> &mut Redis {
        &mut self.master
    }

    /// Waits until what has been written has reached the replica.
    pub fn wait_for_replica(&self) -> Result<(), TestkitError> {
        let offset = self
            .master
            .ask("INFO replication")
            .map_err(TestkitError::system("ask redis for its offset"))?;
        let offset = offset
            .lines()
            .find_map(|line| line.strip_prefix("master_repl_offset:"))
            .unwrap_or_default();
        self.replica
            .ask_until("INFO replication", &format!("slave_repl_offset:{offset}"))
    }
}
