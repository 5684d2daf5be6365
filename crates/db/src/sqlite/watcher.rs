//! Noticing commits: this process's at once, other processes' by looking.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Sqlite, convert, lane};
use crate::Result;

/// A look costs a few microseconds: `SQLite` reads a counter in shared memory.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

impl Sqlite {
    /// Bumps `signal` after every commit to the file. Returns when nobody listens any more.
    pub(crate) async fn listen(&self, signal: &watch::Sender<u64>) {
        let mut commits = self.commits.subscribe();
        let mut tick = tokio::time::interval(self.options.poll_interval.unwrap_or(POLL_INTERVAL));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut lane = None;
        let mut version = None;
        loop {
            let is_news = tokio::select! {
                () = signal.closed() => return,
                // `self` holds the sender.
                _ = commits.changed() => true,
                _ = tick.tick() => {
                    let seen = self.data_version(&mut lane).await.ok();
                    // Unreadable says nothing; readable again says that something may have been missed.
                    let is_news = seen.is_some() && seen != version;
                    version = seen;
                    is_news
                }
            };
            if is_news {
                signal.send_modify(|count| *count += 1);
            }
        }
    }

    /// `PRAGMA data_version` differs when somebody else committed since the same connection last asked.
    async fn data_version(&self, lane: &mut Option<lane::Lane>) -> Result<i64> {
        let Some(open) = &self.watcher else {
            return Ok(0);
        };
        if lane.is_none() {
            *lane = Some(lane::Lane::start(Arc::clone(open))?);
        }
        let lane = lane.as_ref().expect("it was just started");
        let (name, limit) = (Arc::clone(&self.name), self.options.statement_timeout);
        lane.run(move |session| {
            let version =
                session
                    .connection(limit)?
                    .pragma_query_value(None, "data_version", |row| row.get(0));
            convert::ours(version, &name, limit)
        })
        .await
    }
}
