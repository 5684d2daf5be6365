//! Methods that give streams, and what became of those.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bastide_auth::Policy;
use bastide_context::{Cx, Public};
use bastide_rpc::{LimitRule, Method, Problem, Service};
use futures_util::stream::{self, Stream, StreamExt as _};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Notify;

use crate::support::{Find, Nothing, Ran, UserError};

#[derive(Serialize, JsonSchema)]
pub(crate) struct Change {
    id: u32,
    number: u32,
}

/// How many items were made, and when a stream was dropped.
#[derive(Clone, Default)]
pub(crate) struct Feeds {
    made: Arc<AtomicU32>,
    dropped: Arc<Notify>,
}

impl Feeds {
    pub(crate) fn made(&self) -> u32 {
        self.made.load(Ordering::Relaxed)
    }

    /// Waits until a stream is dropped.
    pub(crate) async fn dropped(&self) {
        self.dropped.notified().await;
    }

    /// An item now and one after each of these times, without end.
    fn every(&self, time: Duration) -> impl Stream<Item = Result<u32, Problem>> + use<> {
        stream::unfold((Open(self.clone()), 0), move |(open, number)| async move {
            if number > 0 {
                tokio::time::sleep(time).await;
            }
            open.0.made.fetch_add(1, Ordering::Relaxed);
            Some((Ok(number), (open, number + 1)))
        })
    }

    /// Items of a kilobyte, as many as are taken.
    fn flood(&self) -> impl Stream<Item = Result<String, Problem>> + use<> {
        stream::unfold(Open(self.clone()), async |open| {
            open.0.made.fetch_add(1, Ordering::Relaxed);
            Some((Ok("x".repeat(1_000)), open))
        })
    }
}

struct Open(Feeds);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dropped.notify_one();
    }
}

/// Two changes; of some users there are none, or something happens between the two.
fn changes(id: u32) -> impl Stream<Item = Result<Change, UserError>> {
    stream::unfold(0, move |number| async move {
        match (id, number) {
            (405, 1) => Some((Err(UserError::NotFound), 2)),
            (500, 1) => panic!("this one panics"),
            (_, 2) => None,
            _ => Some((Ok(Change { id, number }), number + 1)),
        }
    })
}

pub(crate) fn feeds(ran: &Ran, feeds: &Feeds) -> Service {
    let (follow_ran, audit_ran) = (ran.clone(), ran.clone());
    let (ticks, watched, silent, floods) =
        (feeds.clone(), feeds.clone(), feeds.clone(), feeds.clone());
    Service::new("feeds", "1.0.0")
        .unwrap()
        .method(
            Method::named("follow")
                .get("/users/{id}/changes")
                .policy(Policy::identified())
                .limit(LimitRule::parse("5/min").unwrap())
                .stream(move |_: Cx, input: Find| {
                    follow_ran.count();
                    async move {
                        if input.id == 404 {
                            return Err(UserError::NotFound);
                        }
                        Ok(changes(input.id))
                    }
                }),
        )
        .method(
            Method::named("audit")
                .policy(Policy::any_role(&["admin"]))
                .stream(move |_: Cx, input: Find| {
                    audit_ran.count();
                    async move { Ok::<_, UserError>(changes(input.id)) }
                }),
        )
        .method(
            Method::named("hesitate")
                .policy(Policy::identified())
                .stream(|_: Cx, _: Nothing| async move {
                    tokio::time::sleep(Duration::from_secs(3_600)).await;
                    Ok::<_, UserError>(changes(1))
                }),
        )
        .method(
            Method::named("ticks")
                .get("/ticks")
                .policy(Policy::identified())
                .stream(move |cx: Cx, _: Nothing| {
                    let items = ticks.every(Duration::from_secs(1));
                    // What is done for an item has no deadline either.
                    let items = items.map(move |item| {
                        cx.call().remaining()?;
                        item
                    });
                    async move { Ok::<_, Problem>(items) }
                }),
        )
        .method(Method::named("watched").public("anybody may watch").stream(
            move |_: Cx<Public>, _: Nothing| {
                let items = watched.every(Duration::from_secs(1));
                async move { Ok::<_, Problem>(items) }
            },
        ))
        .method(Method::named("silent").policy(Policy::identified()).stream(
            move |_: Cx, _: Nothing| {
                let items = silent.every(Duration::from_secs(3_600));
                async move { Ok::<_, Problem>(items) }
            },
        ))
        .method(Method::named("flood").policy(Policy::identified()).stream(
            move |_: Cx, _: Nothing| {
                let items = floods.flood();
                async move { Ok::<_, Problem>(items) }
            },
        ))
}
