//! Names of upstreams and their addresses.
//!
//! However many routes and requests want a name, one lookup of it is under way at a time, and few in all: the system's
//! resolver holds a thread for each, for many seconds when no server answers. A name that failed is not asked for again
//! before a while, which doubles; until then who wants it is told what was found the last time. Addresses that were found
//! once stay in use until others are found.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::unreachable::LookupFailed;

/// How often names are looked up again. The resolver of the system does not tell how long an answer holds.
const REFRESH: Duration = Duration::from_secs(10);

/// How long a name that failed is left alone, and how long at most after it failed many times.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// Lookups at a time.
const AT_ONCE: usize = 16;

/// Asks the system, or in tests something else. It blocks.
type Resolver = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// All names that some origin needs.
pub(crate) struct Names {
    known: Mutex<HashMap<Box<str>, Weak<Name>>>,
    desk: Arc<Desk>,
}

/// What all lookups share.
struct Desk {
    resolver: Box<Resolver>,
    turns: Arc<Semaphore>,
}

/// A name; whoever needs it holds it.
pub(crate) struct Name {
    host: Box<str>,
    /// Empty until it was first found.
    addresses: ArcSwap<Vec<IpAddr>>,
    lookups: Mutex<Lookups>,
    /// Changes at the end of each lookup.
    ended: watch::Sender<u64>,
    desk: Arc<Desk>,
}

struct Lookups {
    is_under_way: bool,
    /// When the next one is worth while.
    due: Instant,
    /// In a row.
    failures: u32,
    /// Of the last one, if it failed.
    error: Option<Arc<str>>,
}

impl Default for Names {
    fn default() -> Self {
        Self::with_resolver(|host| {
            let found = (host, 0).to_socket_addrs()?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

impl Names {
    fn with_resolver(
        resolver: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            known: Mutex::default(),
            desk: Arc::new(Desk {
                resolver: Box::new(resolver),
                turns: Arc::new(Semaphore::new(AT_ONCE)),
            }),
        }
    }

    /// The name as everybody else has it.
    pub(crate) fn get(&self, host: &str) -> Arc<Name> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.get(host).and_then(Weak::upgrade) {
            return name;
        }
        let name = Arc::new(Name {
            host: host.into(),
            addresses: ArcSwap::default(),
            lookups: Mutex::new(Lookups {
                is_under_way: false,
                due: Instant::now(),
                failures: 0,
                error: None,
            }),
            ended: watch::Sender::new(0),
            desk: Arc::clone(&self.desk),
        });
        known.insert(host.into(), Arc::downgrade(&name));
        name
    }

    /// Begins to look up whatever is due, and forgets what nobody holds.
    pub(crate) fn refresh(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, name| name.strong_count() > 0);
        let now = Instant::now();
        for name in known.values().filter_map(Weak::upgrade) {
            let mut lookups = name.lookups();
            if lookups.due <= now {
                name.begin(&mut lookups);
            }
        }
    }
}

impl Name {
    /// Its addresses. Waits only for the first ones.
    pub(crate) async fn addresses(self: &Arc<Self>) -> io::Result<Arc<Vec<IpAddr>>> {
        loop {
            let known = self.addresses.load_full();
            if !known.is_empty() {
                return Ok(known);
            }
            let mut ended = {
                let mut lookups = self.lookups();
                if !self.addresses.load().is_empty() {
                    continue;
                }
                if let Some(error) = &lookups.error
                    && Instant::now() < lookups.due
                {
                    return Err(io::Error::other(LookupFailed(Arc::clone(error))));
                }
                self.begin(&mut lookups);
                self.ended.subscribe()
            };
            // The sender lives as long as `self`.
            ended.changed().await.ok();
        }
    }

    /// Begins a lookup, unless one is under way. It goes on without whoever began it: others wait for it, too.
    fn begin(self: &Arc<Self>, lookups: &mut Lookups) {
        if std::mem::replace(&mut lookups.is_under_way, true) {
            return;
        }
        let name = Arc::clone(self);
        tokio::spawn(async move {
            let under_way = UnderWay(Arc::clone(&name));
            let turn = Arc::clone(&name.desk.turns).acquire_owned().await;
            let found = tokio::task::spawn_blocking(move || {
                // Given back when the resolver is done, whoever waits for that.
                let _turn = turn;
                (name.desk.resolver)(&name.host)
            });
            let found = found
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)));
            under_way.0.note(found);
        });
    }

    fn note(&self, found: io::Result<Vec<IpAddr>>) {
        let found = found.and_then(|mut found| {
            found.sort_unstable();
            found.dedup();
            if found.is_empty() {
                return Err(io::Error::other("the name has no address"));
            }
            Ok(found)
        });
        let mut lookups = self.lookups();
        match found {
            Ok(found) => {
                if **self.addresses.load() != found {
                    self.addresses.store(Arc::new(found));
                }
                lookups.due = Instant::now() + REFRESH;
                lookups.error = None;
                let failures = std::mem::take(&mut lookups.failures);
                if failures > 0 {
                    tracing::info!(
                        host = &*self.host,
                        failures,
                        "an upstream's name is found again"
                    );
                }
            }
            Err(error) => {
                let error: Arc<str> = error.to_string().into();
                let wait = FIRST_RETRY.saturating_mul(1 << lookups.failures.min(10));
                lookups.due = Instant::now() + wait.min(LAST_RETRY);
                if lookups.failures == 0 {
                    let serving = if self.addresses.load().is_empty() {
                        "it has none yet"
                    } else {
                        "its last known addresses stay in use"
                    };
                    tracing::warn!(host = &*self.host, %error, "an upstream's name is not found, {serving}; it is tried again, and told when it is found");
                }
                lookups.failures += 1;
                lookups.error = Some(error);
            }
        }
    }

    fn lookups(&self) -> MutexGuard<'_, Lookups> {
        self.lookups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lookup under way. Ends when it is dropped, also with the runtime that it was begun on.
struct UnderWay(Arc<Name>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.lookups().is_under_way = false;
        self.0.ended.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// Names over answers that come when they are sent, and how often was asked.
    fn scripted() -> (
        Names,
        mpsc::Sender<io::Result<Vec<IpAddr>>>,
        Arc<AtomicUsize>,
    ) {
        let (answer, answers) = mpsc::channel();
        let (answers, asked) = (Mutex::new(answers), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&asked);
        let names = Names::with_resolver(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            answers.lock().unwrap().recv().unwrap()
        });
        (names, answer, asked)
    }

    fn dead() -> io::Result<Vec<IpAddr>> {
        Err(io::Error::other("no such name"))
    }

    #[tokio::test]
    async fn whoever_wants_a_name_waits_for_one_lookup() {
        let (names, answer, asked) = scripted();
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let name = names.get("a.test");
                tokio::spawn(async move { name.addresses().await.map(|found| found.to_vec()) })
            })
            .collect();
        tokio::task::yield_now().await;
        // Whoever began it may leave; the others get their answer all the same.
        waiting[0].abort();
        answer.send(Ok(vec![HERE, HERE])).unwrap();
        for waiting in waiting.into_iter().skip(1) {
            assert_eq!(waiting.await.unwrap().unwrap(), [HERE]);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_failed_is_left_alone_for_longer_and_longer() {
        let (names, answer, asked) = scripted();
        let name = names.get("a.test");
        let mut waited = Vec::new();
        for _ in 0..7 {
            answer.send(dead()).unwrap();
            let failed = name.addresses().await.unwrap_err();
            assert_eq!(failed.to_string(), "no such name");
            let since = Instant::now();
            let before = asked.load(Ordering::SeqCst);
            // Nobody asks again before it is due.
            assert!(name.addresses().await.is_err());
            names.refresh();
            assert_eq!(asked.load(Ordering::SeqCst), before);
            let due = name.lookups().due;
            waited.push((due - since).as_secs());
            tokio::time::advance(due - since).await;
        }
        assert_eq!(waited, [1, 2, 4, 8, 16, 30, 30]);
        answer.send(Ok(vec![HERE])).unwrap();
        assert_eq!(*name.addresses().await.unwrap(), [HERE]);
        assert_eq!(name.lookups().failures, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_stay_when_the_name_fails_later() {
        let (names, answer, _) = scripted();
        let name = names.get("a.test");
        answer.send(Ok(vec![HERE])).unwrap();
        name.addresses().await.unwrap();
        tokio::time::advance(REFRESH).await;
        let mut ended = name.ended.subscribe();
        answer.send(dead()).unwrap();
        names.refresh();
        ended.changed().await.unwrap();
        assert_eq!(name.lookups().failures, 1);
        assert_eq!(*name.addresses().await.unwrap(), [HERE]);
    }

    #[tokio::test]
    async fn few_lookups_are_under_way_at_once_and_no_name_waits_for_a_dead_one() {
        let (names, answer, asked) = scripted();
        let held: Vec<_> = (0..40).map(|n| names.get(&format!("{n}.test"))).collect();
        names.refresh();
        // One answer lets one more ask: all that may are asking, or these would not come.
        for _ in 0..24 {
            answer.send(Ok(vec![HERE])).unwrap();
        }
        while asked.load(Ordering::SeqCst) < 40 {
            assert!(asked.load(Ordering::SeqCst) <= 24 + AT_ONCE);
            tokio::task::yield_now().await;
        }
        for _ in 0..16 {
            answer.send(Ok(vec![HERE])).unwrap();
        }
        for name in &held {
            name.addresses().await.unwrap();
        }
        drop(held);
        names.refresh();
        assert!(names.known.lock().unwrap().is_empty());
    }
}
