//! Connections that nobody uses just now: some are kept open, others are closed.

use std::time::Duration;

use super::Postgres;

/// Looking more often costs more than it brings.
const SHORTEST: Duration = Duration::from_millis(100);
/// A connection that broke is replaced within this time.
const LONGEST: Duration = Duration::from_secs(30);

impl Postgres {
    /// How often to look.
    pub(crate) fn tending_interval(&self) -> Duration {
        (self.options.idle_timeout / 2).clamp(SHORTEST, LONGEST)
    }

    /// Closes connections that were idle for too long, and opens as many as are to be kept.
    pub(crate) async fn tend(&self) {
        let idle = self.options.idle_timeout;
        self.pool.retain(|_, metrics| metrics.last_used() <= idle);
        let wanted = self
            .options
            .min_connections
            .min(self.options.max_connections);
        // Those in hand cannot be taken twice, so that each further one is new.
        let mut held = Vec::new();
        while self.pool.status().size < wanted {
            match self.pool.get().await {
                Ok(connection) => held.push(connection),
                Err(error) => {
                    tracing::debug!(database = self.name, %error, "a connection to keep cannot be opened");
                    return;
                }
            }
        }
    }
}
