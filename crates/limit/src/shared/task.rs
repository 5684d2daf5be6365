//! The leasing task: waits for demand, asks, and comes back when Redis does.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bastide_store::{RedisStore, StoreError};
use tokio::time::{Instant, sleep, sleep_until};

use super::session::{Scripts, Session, give_up};
use crate::clock;
use crate::lease::Due;
use crate::limit::{Limit, State};
use crate::limiter::Registry;
use crate::link::Link;

const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// Runs until the limiter is gone.
pub(super) async fn run(redis: RedisStore, link: Arc<Link>, registry: Weak<Registry>) {
    let scripts = Scripts::new();
    let options = link.options().clone();
    let name = format!("{:016x}", fastrand::u64(..));
    let mut backoff = BACKOFF.0;
    let mut reported = false;
    let mut timers = Timers::default();
    let mut before = None;
    while registry.strong_count() > 0 {
        match Session::open(&redis, &scripts, &options, &name, before).await {
            Ok((mut session, nodes)) => {
                if std::mem::take(&mut reported) {
                    tracing::info!("redis is back; rate limits are shared again");
                }
                backoff = BACKOFF.0;
                link.set_nodes(nodes);
                link.set_up();
                let error = serve(&mut session, &link, &registry, &mut timers).await;
                link.set_down(clock::now());
                before = Some(link.nodes());
                give_up(&link.drain());
                let Some(error) = error else {
                    session.leave().await;
                    return;
                };
                tracing::warn!(%error, "redis is away; rate limits are kept by each node alone");
                reported = true;
            }
            Err(error) => {
                if !std::mem::replace(&mut reported, true) {
                    tracing::warn!(%error, "redis cannot be reached; rate limits are kept by each node alone");
                }
            }
        }
        sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        backoff = (backoff * 2).min(BACKOFF.1);
    }
}

/// Asks as long as Redis answers. Nothing is said while nobody asks, but for the heartbeat.
async fn serve(
    session: &mut Session<'_>,
    link: &Link,
    registry: &Weak<Registry>,
    timers: &mut Timers,
) -> Option<StoreError> {
    let options = link.options();
    let mut asking = with_news(registry);
    let mut heartbeat_at = Instant::now() + options.heartbeat;
    loop {
        if !asking.is_empty() {
            let flushed_at = Instant::now();
            if let Err(error) = session.ask(link, &asking).await {
                return Some(error);
            }
            for limit in asking.drain(..) {
                timers.set(&limit);
            }
            // What is asked meanwhile travels together.
            sleep_until(flushed_at + options.tick).await;
        }
        if Instant::now() >= heartbeat_at {
            heartbeat_at = Instant::now() + options.heartbeat;
            registry.upgrade()?;
            match session.heartbeat().await {
                Ok(nodes) => link.set_nodes(nodes),
                Err(error) => return Some(error),
            }
        }
        asking = link.drain();
        timers.ring(clock::now(), &mut asking);
        if asking.is_empty() {
            let next = timers
                .next()
                .map_or(heartbeat_at, |at| at.min(heartbeat_at));
            tokio::select! {
                () = link.wake.notified() => {}
                () = sleep_until(next) => {}
            }
            asking = link.drain();
            timers.ring(clock::now(), &mut asking);
        }
    }
}

/// After a connection was made, Redis hears of every limit that is in use: its counters may be gone, and other nodes must
/// not lease what this one has admitted.
fn with_news(registry: &Weak<Registry>) -> Vec<Arc<Limit>> {
    let mut limits = registry
        .upgrade()
        .map(|registry| registry.living())
        .unwrap_or_default();
    let now = clock::now();
    limits.retain(|limit| {
        let mut guard = limit.core().lock();
        let State {
            tally,
            lease: Some(lease),
        } = &mut *guard
        else {
            return false;
        };
        tally.advance(now);
        lease.has_news(tally) && lease.ask()
    });
    limits
}

/// When to look at limits again: a full one has room, or a lease ends with permits left.
#[derive(Default)]
struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
}

struct Timer {
    at: u64,
    limit: Weak<Limit>,
}

impl Timers {
    /// Looks at a limit that has just been answered.
    fn set(&mut self, limit: &Arc<Limit>) {
        let now = clock::now();
        let mut guard = limit.core().lock();
        let Some(lease) = guard.lease.as_mut() else {
            return;
        };
        let at = match lease.due(now) {
            Due::At(at) => at,
            Due::Ask => now,
            Due::Nothing => return,
        };
        if lease.set_timer(at) {
            self.heap.push(Reverse(Timer {
                at,
                limit: Arc::downgrade(limit),
            }));
        }
    }

    /// Adds the limits whose time has come and that Redis is to be asked about.
    fn ring(&mut self, now: u64, asking: &mut Vec<Arc<Limit>>) {
        while self
            .heap
            .peek()
            .is_some_and(|Reverse(timer)| timer.at <= now)
            && let Some(Reverse(timer)) = self.heap.pop()
        {
            let Some(limit) = timer.limit.upgrade() else {
                continue;
            };
            let mut guard = limit.core().lock();
            let Some(lease) = guard.lease.as_mut() else {
                continue;
            };
            if !lease.take_timer(timer.at) {
                continue;
            }
            let due = lease.due(now);
            let ask = due == Due::Ask && lease.ask();
            if let Due::At(at) = due {
                let at = at.max(now + 1);
                if lease.set_timer(at) {
                    self.heap.push(Reverse(Timer {
                        at,
                        limit: Arc::downgrade(&limit),
                    }));
                }
            }
            drop(guard);
            if ask {
                asking.push(limit);
            }
        }
    }

    fn next(&self) -> Option<Instant> {
        let Reverse(timer) = self.heap.peek()?;
        Some(Instant::now() + Duration::from_micros(timer.at.saturating_sub(clock::now())))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Timer {}
