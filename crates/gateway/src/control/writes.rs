//! Whether the database's disk takes writes: reading goes on when it is full, so that nothing else would show it.

use std::time::Duration;

use tokio::sync::watch;

use crate::repository::CommitError;

/// How long after a write that the disk did not take another one is tried, for nobody else may write for a long time.
const RETRY: Duration = Duration::from_secs(5);

/// What became of the last write.
#[derive(Default)]
pub(super) struct Writes {
    refused: watch::Sender<bool>,
}

impl Writes {
    /// Takes in what became of a write, and logs when that is another thing than before.
    pub(super) fn note<T>(&self, written: &Result<T, CommitError>) {
        match written {
            Err(CommitError::Disk(error)) => {
                if !self.refused.send_replace(true) {
                    tracing::warn!(
                        error,
                        "changes of the configuration cannot be written; what is known is served"
                    );
                }
            }
            // Says nothing of the disk.
            Err(_) => {}
            Ok(_) => {
                if self.refused.send_replace(false) {
                    tracing::info!("changes of the configuration can be written again");
                }
            }
        }
    }

    pub(super) fn are_refused(&self) -> bool {
        *self.refused.borrow()
    }

    /// Waits for ever while writes are taken.
    pub(super) async fn are_due_for_a_try(&self) {
        let mut refused = self.refused.subscribe();
        // The sender is our own.
        refused.wait_for(|refused| *refused).await.ok();
        tokio::time::sleep(RETRY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_the_disk_makes_writes_refused_and_a_written_one_ends_it() {
        let writes = Writes::default();
        writes.note::<()>(&Err(CommitError::Unavailable("down".into())));
        assert!(!writes.are_refused());
        writes.note::<()>(&Err(CommitError::Disk("full".into())));
        assert!(writes.are_refused());
        writes.are_due_for_a_try().await;
        writes.note::<()>(&Err(CommitError::Unavailable("down".into())));
        assert!(writes.are_refused(), "nothing was written yet");
        writes.note(&Ok(()));
        assert!(!writes.are_refused());
        let waiting = tokio::time::timeout(RETRY * 9, writes.are_due_for_a_try());
        assert!(waiting.await.is_err(), "nothing is tried in good times");
    }
}
