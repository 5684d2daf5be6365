//! Listening on a channel, over broken connections too.

use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::PubSub;
use tokio::sync::{broadcast, oneshot};

use super::RedisOptions;
use super::failure::failure;
use super::link::Link;
use crate::error::StoreError;
use crate::subscription::{BACKLOG, Event, Subscription};

const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// A quiet connection is asked this often whether it still stands: a server that vanished without a word would
/// otherwise never be missed.
const PROBE: Duration = Duration::from_secs(5);

/// A subscription with a connection of its own, remade until the listener goes. The first attempt is waited for, so that
/// the caller hears every message from then on, or learns that the server is away.
pub(super) async fn subscribe(
    link: Link,
    channel: String,
    options: RedisOptions,
) -> Result<Subscription, StoreError> {
    let (events, receiver) = broadcast::channel(BACKLOG);
    let (ready, first) = oneshot::channel();
    let task = tokio::spawn(feed(link, channel, options, events, ready));
    let subscription = Subscription::fed_by(receiver, task);
    match first.await {
        Ok(Ok(())) => Ok(subscription),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(StoreError::Unavailable("the listener ended".to_owned())),
    }
}

async fn feed(
    link: Link,
    channel: String,
    options: RedisOptions,
    events: broadcast::Sender<Event>,
    ready: oneshot::Sender<Result<(), StoreError>>,
) {
    let mut ready = Some(ready);
    let mut backoff = BACKOFF.0;
    loop {
        match open(&link, &channel, options).await {
            Ok(connection) => {
                backoff = BACKOFF.0;
                match ready.take() {
                    Some(ready) => {
                        let _ = ready.send(Ok(()));
                    }
                    // Whatever was said while nobody listened is gone.
                    None => {
                        let _ = events.send(Event::Missed);
                    }
                }
                forward(connection, &events, options.response_timeout).await;
                tracing::debug!(
                    channel,
                    "the listening connection to the shared store broke; connecting again"
                );
            }
            Err(error) => {
                if let Some(ready) = ready.take() {
                    let _ = ready.send(Err(error));
                    return;
                }
            }
        }
        tokio::time::sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        backoff = (backoff * 2).min(BACKOFF.1);
    }
}

async fn open(link: &Link, channel: &str, options: RedisOptions) -> Result<PubSub, StoreError> {
    let connecting = async {
        let mut connection = link.listen().await?;
        connection.subscribe(channel).await?;
        Ok::<_, redis::RedisError>(connection)
    };
    match tokio::time::timeout(options.connect_timeout, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(failure(&error, options.connect_timeout)),
        Err(_) => Err(StoreError::Timeout(options.connect_timeout)),
    }
}

async fn forward(connection: PubSub, events: &broadcast::Sender<Event>, answer: Duration) {
    let (mut sink, mut messages) = connection.split();
    loop {
        match tokio::time::timeout(PROBE, messages.next()).await {
            Ok(Some(message)) => {
                // Fails only when the listener has gone, and then this task is being ended.
                let _ = events.send(Event::Message(message.get_payload_bytes().to_vec()));
            }
            Ok(None) => return,
            Err(_) => match tokio::time::timeout(answer, sink.ping::<redis::Value>()).await {
                Ok(Ok(_)) => {}
                _ => return,
            },
        }
    }
}
