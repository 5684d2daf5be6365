//! One limit, as the request path sees it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock;
use crate::key::LimitKey;
use crate::lease::{Lease, Stance};
use crate::link::Link;
use crate::policy::{FailMode, Policy, Windows};
use crate::quota::{Outcome, Quota};
use crate::tally::{Geometries, Tally};

/// What a request is told that only the return of Redis can admit: the policy is closed, or the share is nothing. In
/// microseconds.
const RETRY_WHEN_CLOSED: u64 = 1_000_000;

/// The counts of a limit. Limits whose policies differ only in numbers share one, so a change of the number keeps what
/// has been used.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) geometries: Geometries,
    state: Mutex<State>,
    /// Wakes those who wait for an answer of Redis.
    pub(crate) answered: Notify,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) tally: Tally,
    /// Present between several nodes.
    pub(crate) lease: Option<Box<Lease>>,
}

impl Core {
    pub(crate) fn new(geometries: Geometries, shared: bool) -> Self {
        let lease = shared.then(|| Box::new(Lease::new(geometries.clone())));
        let state = State {
            tally: Tally::new(&geometries),
            lease,
        };
        Self {
            geometries,
            state: Mutex::new(state),
            answered: Notify::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds it can leave the counts half changed, so a panic elsewhere is no reason to stop limiting.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A limit in force. Made by [`Limiter::handle`](crate::Limiter::handle); keep the `Arc` where requests find it, so that
/// asking needs no lookup.
#[derive(Debug)]
pub struct Limit {
    this: Weak<Limit>,
    key: LimitKey,
    policy: Policy,
    windows: Windows,
    core: Arc<Core>,
    link: Option<Arc<Link>>,
}

impl Limit {
    pub(crate) fn new(
        key: LimitKey,
        policy: Policy,
        core: Arc<Core>,
        link: Option<Arc<Link>>,
    ) -> Arc<Self> {
        let windows = policy.windows();
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            key,
            policy,
            windows,
            core,
            link,
        })
    }

    /// What is limited.
    pub fn key(&self) -> &LimitKey {
        &self.key
    }

    /// How it is limited.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(crate) fn windows(&self) -> &Windows {
        &self.windows
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Decides about one request without waiting, without allocating and without a round trip. `now` is
    /// [`clock::now`], read for this request.
    ///
    /// Answers [`Outcome::Pending`] only between several nodes, when this one holds no lease: then ask
    /// [`acquire`](Self::acquire).
    #[inline]
    pub fn try_acquire(&self, now: u64) -> Outcome {
        match &self.link {
            None => self.try_local(now),
            Some(link) => self.try_leased(link, now),
        }
    }

    /// Decides about one request, waiting for Redis some milliseconds at most (5 by default); after that the policy's
    /// [`FailMode`] decides. Never answers [`Outcome::Pending`]. Dropping the future counts nothing.
    ///
    /// Must run within a tokio runtime with time enabled.
    pub async fn acquire(&self, now: u64) -> Outcome {
        match (self.try_acquire(now), &self.link) {
            (Outcome::Pending, Some(link)) => self.wait(link).await,
            (decided, _) => decided,
        }
    }

    /// Takes one admission back that was counted at `now`, because the request did not go on. If the count has moved on
    /// since, at worst it stays counted.
    pub fn refund(&self, now: u64) {
        let mut guard = self.core.lock();
        let State { tally, lease } = &mut *guard;
        tally.take_back(now);
        let (Some(lease), Some(link)) = (lease, &self.link) else {
            return;
        };
        let tell = lease.take_back(now, clock::now()) && !link.is_down() && lease.ask();
        drop(guard);
        if tell {
            self.enqueue(link);
        }
    }

    fn try_local(&self, now: u64) -> Outcome {
        let mut state = self.core.lock();
        state.tally.advance(now);
        if state.tally.has_room(&self.windows) {
            state.tally.add();
            Outcome::Admitted(state.tally.admitted(&self.windows))
        } else {
            Outcome::Refused(state.tally.refused(&self.windows))
        }
    }

    fn try_leased(&self, link: &Link, now: u64) -> Outcome {
        if self.policy.is_exact() && !link.is_down() {
            return Outcome::Pending;
        }
        let mut guard = self.core.lock();
        let State {
            tally,
            lease: Some(lease),
        } = &mut *guard
        else {
            return Outcome::Pending;
        };
        let now = tally.advance(now);
        if lease.spend(now) {
            tally.add();
            let quota = self.leased_quota(tally, lease, now);
            let low = lease.runs_low(now) && lease.ask();
            drop(guard);
            if low {
                self.enqueue(link);
            }
            return Outcome::Admitted(quota);
        }
        if link.is_down() {
            return self.alone(link, tally, lease, now);
        }
        match lease.stance(now) {
            Stance::Refuse(retry) => Outcome::Refused(self.denied_quota(tally, lease, retry)),
            Stance::Ask => Outcome::Pending,
        }
    }

    /// Has Redis told of this limit although nobody asks for it.
    pub(crate) fn announce(&self) {
        if let Some(link) = &self.link
            && !link.is_down()
            && self
                .core
                .lock()
                .lease
                .as_mut()
                .is_some_and(|lease| lease.ask())
        {
            self.enqueue(link);
        }
    }

    fn enqueue(&self, link: &Link) {
        // Called through the Arc that `this` points to, so it is alive.
        if let Some(this) = self.this.upgrade() {
            link.enqueue(this);
        }
    }

    async fn wait(&self, link: &Link) -> Outcome {
        let deadline = clock::now() + link.options().wait.as_micros() as u64;
        let mut place = Place::take(self);
        loop {
            let answered = self.core.answered.notified();
            tokio::pin!(answered);
            // From here on no answer is missed.
            answered.as_mut().enable();
            let now = clock::now();
            if let Some(outcome) = self.look(link, &mut place, now) {
                return outcome;
            }
            let left = Duration::from_micros(deadline.saturating_sub(now));
            if tokio::time::timeout(left, answered).await.is_err() {
                return self.overdue(link);
            }
        }
    }

    /// What a waiting request finds now; nothing if it has to wait on.
    fn look(&self, link: &Link, place: &mut Place<'_>, now: u64) -> Option<Outcome> {
        let mut guard = self.core.lock();
        let State {
            tally,
            lease: Some(lease),
        } = &mut *guard
        else {
            return None;
        };
        let now = tally.advance(now);
        let answered = lease.answered(place.ticket);
        // With `exact`, permits belong to those whom the answered message counted.
        if (answered || !self.policy.is_exact()) && lease.spend(now) {
            tally.add();
            return Some(Outcome::Admitted(self.leased_quota(tally, lease, now)));
        }
        if link.is_down() {
            return Some(self.alone(link, tally, lease, now));
        }
        let denied = lease.denied_for(now);
        let known = lease.is_fresh(now) && !self.policy.is_exact();
        if denied > 0 && (answered || known) {
            return Some(Outcome::Refused(self.denied_quota(tally, lease, denied)));
        }
        if answered {
            // Counted too late, or somebody was quicker.
            lease.leave();
            place.ticket = lease.wait();
        }
        let ask = lease.ask();
        drop(guard);
        if ask {
            self.enqueue(link);
        }
        None
    }

    /// Redis did not answer in time.
    fn overdue(&self, link: &Link) -> Outcome {
        let mut guard = self.core.lock();
        let State {
            tally,
            lease: Some(lease),
        } = &mut *guard
        else {
            return Outcome::Pending;
        };
        let now = tally.advance(clock::now());
        if lease.spend(now) {
            tally.add();
            return Outcome::Admitted(self.leased_quota(tally, lease, now));
        }
        let denied = lease.denied_for(now);
        if denied > 0 && !link.is_down() {
            return Outcome::Refused(self.denied_quota(tally, lease, denied));
        }
        // While the others may still be served, a node must not add its share to a limit that is all but used up.
        let shortest = self.core.geometries[0];
        let contended = lease.knowledge().is_contended(now, shortest.span());
        let among = link.nodes().count > 1;
        if contended && among && !link.is_down() && self.policy.fail_mode() == FailMode::Share {
            // By then Redis has answered, or counts as gone.
            let retry = link.options().deadline.as_micros() as u64;
            return Outcome::Refused(self.denied_quota(tally, lease, retry));
        }
        self.alone(link, tally, lease, now)
    }

    /// The decision of a node that cannot ask.
    fn alone(&self, link: &Link, tally: &mut Tally, lease: &mut Lease, now: u64) -> Outcome {
        let admit = match self.policy.fail_mode() {
            FailMode::Open => true,
            FailMode::Closed => {
                return Outcome::Refused(self.denied_quota(tally, lease, RETRY_WHEN_CLOSED));
            }
            FailMode::Share => {
                let at = link.down_since().unwrap_or(now);
                lease.fall_at(at, now, tally, &self.windows, link.nodes());
                lease.fits_share(now, tally, &self.windows, link.nodes())
            }
        };
        if admit {
            tally.add();
            lease.add_unleased(now, link.is_down());
            Outcome::Admitted(tally.admitted(&self.windows))
        } else {
            let retry = lease
                .share_frees(now, tally, &self.windows, link.nodes())
                .unwrap_or(RETRY_WHEN_CLOSED);
            Outcome::Refused(self.denied_quota(tally, lease, retry))
        }
    }

    fn leased_quota(&self, tally: &Tally, lease: &Lease, now: u64) -> Quota {
        let live = lease.live(now);
        let until = lease.until(now);
        self.headline(
            tally,
            |index, limit, own| {
                (limit.saturating_sub(lease.knowledge().used(index)) + live)
                    .min(limit.saturating_sub(own))
            },
            |span| until + span - now,
            0,
        )
    }

    fn denied_quota(&self, tally: &Tally, lease: &Lease, retry_after: u64) -> Quota {
        self.headline(
            tally,
            |index, limit, own| {
                limit
                    .saturating_sub(lease.knowledge().used(index))
                    .min(limit.saturating_sub(own))
            },
            |span| span.max(retry_after),
            retry_after,
        )
    }

    fn headline(
        &self,
        tally: &Tally,
        remaining: impl Fn(usize, u32, u32) -> u32,
        reset_after: impl Fn(u64) -> u64,
        retry_after: u64,
    ) -> Quota {
        let mut quotas =
            tally
                .rings()
                .iter()
                .zip(&self.windows)
                .enumerate()
                .map(|(index, (ring, window))| Quota {
                    limit: window.limit(),
                    remaining: remaining(index, window.limit(), ring.total()),
                    window: window.length(),
                    reset_after: reset_after(ring.geometry().span()),
                    retry_after,
                });
        let first = quotas
            .next()
            .expect("a policy compiles to at least one window");
        quotas.fold(first, Quota::tighter)
    }
}

/// A request's place among those who wait; given up when dropped.
struct Place<'a> {
    limit: &'a Limit,
    /// Number of the message that counts it.
    ticket: u64,
}

impl<'a> Place<'a> {
    fn take(limit: &'a Limit) -> Self {
        let ticket = limit
            .core
            .lock()
            .lease
            .as_mut()
            .map_or(0, |lease| lease.wait());
        Self { limit, ticket }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(lease) = &mut self.limit.core.lock().lease {
            lease.leave();
        }
    }
}

/// Decides about one request under several limits, all or none: where one refuses, nothing is counted under any of them
/// (between the count and its return another request may be refused in its place). `None` if there are no limits.
///
/// The quota is that of the limit nearest to exhaustion, or of the one that refused.
/// See [`Limit::try_acquire`] for `now` and [`Outcome::Pending`].
pub fn try_acquire_all(limits: &[&Limit], now: u64) -> Option<Outcome> {
    let mut tightest: Option<Quota> = None;
    for (taken, limit) in limits.iter().enumerate() {
        match limit.try_acquire(now) {
            Outcome::Admitted(quota) => {
                tightest = Some(tightest.map_or(quota, |t| t.tighter(quota)));
            }
            open => {
                limits[..taken].iter().for_each(|limit| limit.refund(now));
                return Some(open);
            }
        }
    }
    tightest.map(Outcome::Admitted)
}

/// As [`try_acquire_all`], waiting where it must; never answers [`Outcome::Pending`].
pub async fn acquire_all(limits: &[&Limit], now: u64) -> Option<Outcome> {
    let mut taken = Taken { limits: &[], now };
    let mut tightest: Option<Quota> = None;
    for (index, limit) in limits.iter().enumerate() {
        match limit.acquire(now).await {
            Outcome::Admitted(quota) => {
                tightest = Some(tightest.map_or(quota, |t| t.tighter(quota)));
            }
            refused => return Some(refused),
        }
        taken.limits = &limits[..=index];
    }
    taken.limits = &[];
    tightest.map(Outcome::Admitted)
}

/// Limits already counted for a request that is not through yet; given back when it is refused or dropped.
struct Taken<'a> {
    limits: &'a [&'a Limit],
    now: u64,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.limits.iter().for_each(|limit| limit.refund(self.now));
    }
}
