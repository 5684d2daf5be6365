//! What nodes tell each other about upstreams, over the shared store.
//!
//! An endpoint that fails for one node is likely to fail for the next one. So a node that opens a breaker or sees an
//! endpoint's health flip says so; the others take it as advice, late and possibly wrong: what a node sees itself decides
//! (see [`bastide_resilience`]).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bastide_limit::clock;
use bastide_store::{Event, Store};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::snapshot::{EndpointState, Snapshot};

const CHANNEL: &str = "gateway:upstreams";

/// How long to wait before subscribing again.
const RETRY: Duration = Duration::from_secs(1);

/// What this node has to tell.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) route: Uuid,
    pub(crate) url: String,
    pub(crate) change: Change,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Change {
    /// The breaker opened and stays open for this many milliseconds.
    Open(u64),
    /// Probes say that it is well, or not.
    Healthy(bool),
}

/// Where news go; without a shared store nobody listens.
pub(crate) type NewsSender = mpsc::UnboundedSender<News>;

#[derive(Serialize, Deserialize)]
struct Message {
    node: Uuid,
    route: Uuid,
    url: String,
    change: Change,
}

/// Passes news on and takes in those of other nodes, for ever.
pub(crate) async fn share(
    store: Store,
    snapshot: Arc<ArcSwap<Snapshot>>,
    mut news: mpsc::UnboundedReceiver<News>,
) {
    let node = Uuid::now_v7();
    let tell = async {
        while let Some(News { route, url, change }) = news.recv().await {
            let message = Message {
                node,
                route,
                url,
                change,
            };
            let text = serde_json::to_vec(&message).expect("a message is plain data");
            // Advice that is lost costs the others a few failures of their own.
            if let Err(error) = store.raw().publish(CHANNEL, &text).await {
                tracing::debug!(%error, "the other nodes could not be told about an upstream");
            }
        }
    };
    let hear = async {
        loop {
            if let Ok(mut messages) = store.raw().subscribe(CHANNEL).await {
                while let Some(event) = messages.next().await {
                    if let Event::Message(text) = event
                        && let Ok(message) = serde_json::from_slice::<Message>(&text)
                        && message.node != node
                    {
                        take(&snapshot.load(), &message);
                    }
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::join!(tell, hear);
}

fn take(snapshot: &Snapshot, message: &Message) {
    let endpoint = snapshot
        .routes()
        .filter(|route| route.id == message.route)
        .flat_map(|route| &route.endpoints)
        .find(|endpoint| endpoint.url.as_str() == message.url);
    if let Some(endpoint) = endpoint {
        advise(&endpoint.state, message.change);
    }
}

fn advise(state: &EndpointState, change: Change) {
    let taken = match change {
        Change::Open(millis) => state.breaker.as_ref().is_some_and(|breaker| {
            let now = clock::now();
            breaker.advise_open(now.saturating_add(millis.saturating_mul(1_000)), now)
        }),
        Change::Healthy(is_healthy) => state.health.advise(is_healthy),
    };
    if taken {
        tracing::warn!(route = %state.route, upstream = %state.url, ?change, "another node's word was taken about an upstream");
    }
}
