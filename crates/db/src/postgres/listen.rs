//! `LISTEN` on a connection of its own.

use std::future::poll_fn;
use std::time::Duration;

use tokio::sync::watch;
use tokio_postgres::AsyncMessage;

use super::Postgres;
use crate::url::chain;

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);
/// How often the connection is asked whether it still lives; a half-open one says nothing by itself.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

impl Postgres {
    /// Bumps `signal` on every notification and after every (re)connect. Returns when nobody listens any more.
    pub(crate) async fn listen(&self, channel: &str, signal: &watch::Sender<u64>) {
        let mut backoff = FIRST_BACKOFF;
        let mut was_lost = false;
        loop {
            let started = tokio::time::Instant::now();
            let reason = self.listen_once(channel, signal, &mut was_lost).await;
            if signal.is_closed() {
                return;
            }
            if !was_lost {
                was_lost = true;
                tracing::warn!(database = %self.name, channel, reason, "not listening for changes; looking for them instead, and trying again");
            }
            if started.elapsed() > LONGEST_BACKOFF {
                backoff = FIRST_BACKOFF;
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    /// Listens until the connection is lost, and says why it was.
    async fn listen_once(
        &self,
        channel: &str,
        signal: &watch::Sender<u64>,
        was_lost: &mut bool,
    ) -> String {
        let limit = self.options.connect_timeout;
        let connect = self.direct.config.connect(self.direct_tls.clone());
        let (client, mut connection) = match tokio::time::timeout(limit, connect).await {
            Ok(Ok(pair)) => pair,
            Ok(Err(error)) => return chain(&error),
            Err(_) => return format!("no connection within {limit:?}"),
        };
        let notified = signal.clone();
        let driver = async move {
            loop {
                match poll_fn(|context| connection.poll_message(context)).await {
                    Some(Ok(AsyncMessage::Notification(_))) => {
                        notified.send_modify(|count| *count += 1);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return chain(&error),
                    None => return "the server closed the connection".to_owned(),
                }
            }
        };
        let session = async {
            let listen = format!("LISTEN {}", quote(channel));
            if let Err(error) = client.batch_execute(&listen).await {
                return chain(&error);
            }
            if std::mem::take(was_lost) {
                tracing::info!(database = %self.name, channel, "listening for changes again");
            }
            // Something may have been missed before this moment.
            signal.send_modify(|count| *count += 1);
            loop {
                tokio::select! {
                    () = tokio::time::sleep(PROBE_INTERVAL) => {}
                    () = signal.closed() => return "nobody listens any more".to_owned(),
                }
                match tokio::time::timeout(limit, client.check_connection()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return chain(&error),
                    Err(_) => return format!("no answer within {limit:?}"),
                }
            }
        };
        tokio::select! {
            reason = driver => reason,
            reason = session => reason,
        }
    }
}

/// As an SQL identifier.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
