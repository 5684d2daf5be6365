//! Nodes under load, and what they admitted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bastide_limit::{Limit, LimitKey, Limiter, Outcome, Policy, Rate, SharedOptions, clock};
use bastide_store::{RedisOptions, RedisStore, RedisUrl};

/// One admission: read before it was asked for, and after it was granted.
pub(crate) type Admission = (u64, u64);

/// A gateway in small: its own runtime on its own thread, with the leasing task.
pub(crate) struct Node {
    pub(crate) limiter: Limiter,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    runtime: tokio::runtime::Handle,
}

impl Node {
    pub(crate) fn start(url: &str) -> Self {
        Self::start_with(url, SharedOptions::default())
    }

    pub(crate) fn start_with(url: &str, options: SharedOptions) -> Self {
        let url = RedisUrl::parse(url).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let (send, receive) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let redis = RedisStore::new(&url, RedisOptions::default()).unwrap();
                let (limiter, leasing) = Limiter::shared(redis, options);
                tokio::spawn(leasing);
                send.send((limiter, tokio::runtime::Handle::current()))
                    .unwrap();
                while !stopped.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        });
        let (limiter, runtime) = receive.recv().unwrap();
        Self {
            limiter,
            stop,
            thread: Some(thread),
            runtime,
        }
    }

    /// Requests against `limit` until stopped: `every` so often, `burst` at once.
    pub(crate) fn load(&self, limit: &Arc<Limit>, every: Duration, burst: usize) -> Load {
        let log = Arc::new(Log::default());
        let stop = Arc::new(AtomicBool::new(false));
        let (limit, to, stopped) = (limit.clone(), log.clone(), stop.clone());
        let task = self.runtime.spawn(async move {
            let mut tick = tokio::time::interval(every);
            let mut waiting = tokio::task::JoinSet::new();
            while !stopped.load(Ordering::Relaxed) {
                tick.tick().await;
                for _ in 0..burst {
                    let before = clock::now();
                    match limit.try_acquire(before) {
                        Outcome::Pending => {
                            let (limit, to) = (limit.clone(), to.clone());
                            waiting.spawn(async move {
                                let outcome = limit.acquire(before).await;
                                to.note(before, outcome);
                            });
                        }
                        outcome => to.note(before, outcome),
                    }
                }
                while waiting.try_join_next().is_some() {}
            }
            while waiting.join_next().await.is_some() {}
        });
        Load { log, stop, task }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Default)]
pub(crate) struct Log {
    admitted: Mutex<Vec<Admission>>,
    refused: Mutex<u64>,
    slowest: Mutex<u64>,
}

impl Log {
    fn note(&self, before: u64, outcome: Outcome) {
        let after = clock::now();
        match outcome {
            Outcome::Admitted(_) => self.admitted.lock().unwrap().push((before, after)),
            Outcome::Refused(_) => *self.refused.lock().unwrap() += 1,
            Outcome::Pending => panic!("acquire never answers pending"),
        }
        let mut slowest = self.slowest.lock().unwrap();
        *slowest = (*slowest).max(after - before);
    }

    pub(crate) fn admitted(&self) -> usize {
        self.admitted.lock().unwrap().len()
    }

    /// The longest that anybody waited for a decision, microseconds.
    pub(crate) fn slowest(&self) -> u64 {
        *self.slowest.lock().unwrap()
    }

    pub(crate) fn refused(&self) -> u64 {
        *self.refused.lock().unwrap()
    }
}

pub(crate) struct Load {
    pub(crate) log: Arc<Log>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    pub(crate) async fn stop(self) -> Vec<Admission> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        std::mem::take(&mut *self.log.admitted.lock().unwrap())
    }
}

/// The largest number of admissions that surely lie within one window: asked for after its start, granted before its end; and
/// when that window starts.
pub(crate) fn fullest_window(logs: &[Vec<Admission>], window: u64) -> (usize, u64) {
    let mut begun: Vec<u64> = logs.iter().flatten().map(|admission| admission.0).collect();
    let mut ended: Vec<u64> = logs.iter().flatten().map(|admission| admission.1).collect();
    begun.sort_unstable();
    ended.sort_unstable();
    (0..begun.len())
        .map(|index| {
            let start = begun[index];
            let before_start = begun.partition_point(|begun| *begun < start);
            let within = ended
                .partition_point(|ended| *ended < start + window)
                .saturating_sub(before_start);
            (within, start)
        })
        .max()
        .unwrap_or_default()
}

/// Admissions per window after `from`, measured over whole limits' worth of them: admissions come in bursts, and the time
/// from one to the same place in a later burst says how long the bursts take.
pub(crate) fn per_window(
    logs: &[Vec<Admission>],
    from: u64,
    to: u64,
    limit: usize,
    window: u64,
) -> f64 {
    let mut times: Vec<u64> = logs.iter().flatten().map(|admission| admission.0).collect();
    times.retain(|time| (from..to).contains(time));
    times.sort_unstable();
    let limits = times.len().saturating_sub(1) / limit;
    if limits == 0 {
        return times.len() as f64 * window as f64 / (to - from) as f64;
    }
    (limits * limit) as f64 * window as f64 / (times[limits * limit] - times[0]) as f64
}

pub(crate) fn policy(limit: u32, window_ms: u64) -> Policy {
    Policy::new(Rate::Window { limit, window_ms }).unwrap()
}

pub(crate) fn limit(node: &Node, policy: &Policy) -> Arc<Limit> {
    node.limiter.handle(LimitKey::new("tenant", "acme"), policy)
}

/// Two nodes that know of each other.
pub(crate) async fn pair(url: &str) -> [Node; 2] {
    pair_with(url, &SharedOptions::default()).await
}

pub(crate) async fn pair_with(url: &str, options: &SharedOptions) -> [Node; 2] {
    let nodes = [(); 2].map(|()| Node::start_with(url, options.clone()));
    crate::support::eventually("both nodes know of each other", async || {
        nodes
            .iter()
            .all(|node| node.limiter.is_connected() && node.limiter.nodes() == 2)
    })
    .await;
    nodes
}

pub(crate) async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}
