//! Which endpoint gets the next request.
//!
//! A [`Balancer`] belongs to one route and one list of endpoints; it is built anew when the list changes. A [`Load`]
//! belongs to one endpoint, is kept by the caller and outlives configurations, so a reload forgets nobody's latency.
//!
//! Random numbers and the time come from the caller. Closures say which endpoints are available (healthy, breaker closed,
//! not yet tried by this request): they are asked at most a few times per pick, must be cheap, and must not call back
//! into the balancer.

mod load;
mod weighted;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

pub use load::Load;
use weighted::SmoothWeighted;

/// The largest weight of an endpoint.
pub const MAX_WEIGHT: u32 = 65_535;

/// How a [`Balancer`] chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Strategy {
    /// One after the other. Weights play no part.
    #[default]
    RoundRobin,
    /// Exactly in proportion to the weights, evenly spread: nginx's smooth weighted round-robin.
    Weighted,
    /// Each available endpoint with the same probability. Weights play no part.
    Random,
    /// The fewest requests in flight per weight; among equals by chance, in proportion to their weights.
    LeastRequest,
    /// The cheaper of two drawn at random, by peak latency and requests in flight per weight: Finagle's peak EWMA over
    /// "power of two choices" (Mitzenmacher, 2001).
    PeakEwma,
}

impl Strategy {
    /// Every strategy, in the order of the documentation.
    pub const ALL: [Self; 5] = [
        Self::RoundRobin,
        Self::Weighted,
        Self::Random,
        Self::LeastRequest,
        Self::PeakEwma,
    ];

    /// The name in configuration files and the API: `round-robin`, `weighted`, `random`, `least-request`, `peak-ewma`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Weighted => "weighted",
            Self::Random => "random",
            Self::LeastRequest => "least-request",
            Self::PeakEwma => "peak-ewma",
        }
    }

    /// The strategy of that [`name`](Self::name), if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|strategy| strategy.name() == name)
    }
}

/// Chooses among the endpoints of one route. Shared by all threads; every choice is O(endpoints) at worst.
///
/// ```
/// use bastide_resilience::balance::{Balancer, Load, Strategy};
///
/// let balancer = Balancer::new(Strategy::RoundRobin, &[1, 1, 1]);
/// let loads = [Load::default(), Load::default(), Load::default()];
/// let up = |endpoint: usize| endpoint != 1;
/// let picks: Vec<_> = (0..4).map(|_| balancer.pick(up, |endpoint| &loads[endpoint], 0, 0)).collect();
/// assert_eq!(picks, [Some(0), Some(2), Some(0), Some(2)]);
/// ```
#[derive(Debug)]
pub struct Balancer {
    weights: Box<[u32]>,
    state: State,
}

#[derive(Debug)]
enum State {
    RoundRobin(Turns<AtomicUsize>),
    Weighted(Turns<SmoothWeighted>),
    Random,
    LeastRequest,
    PeakEwma,
}

/// First attempts and later ones take turns apart. Were they to share, a retry would take the turn of the next request:
/// of two endpoints the sick one would get every first attempt.
#[derive(Debug)]
struct Turns<T> {
    first: T,
    again: T,
}

impl<T> Turns<T> {
    fn of(&self, is_first: bool) -> &T {
        if is_first { &self.first } else { &self.again }
    }
}

impl Balancer {
    /// A balancer over as many endpoints as there are weights. A weight is held within 1 to [`MAX_WEIGHT`].
    #[must_use]
    pub fn new(strategy: Strategy, weights: &[u32]) -> Self {
        let weights: Box<[u32]> = weights
            .iter()
            .map(|weight| (*weight).clamp(1, MAX_WEIGHT))
            .collect();
        let state = match strategy {
            Strategy::RoundRobin => State::RoundRobin(Turns {
                first: AtomicUsize::new(0),
                again: AtomicUsize::new(0),
            }),
            Strategy::Weighted => State::Weighted(Turns {
                first: SmoothWeighted::new(weights.len()),
                again: SmoothWeighted::new(weights.len()),
            }),
            Strategy::Random => State::Random,
            Strategy::LeastRequest => State::LeastRequest,
            Strategy::PeakEwma => State::PeakEwma,
        };
        Self { weights, state }
    }

    /// The endpoint for a request's first attempt among those for which `available` holds; `None` if there is none.
    ///
    /// `load` is asked for available endpoints only, and by the strategies that need it. `random` is uniform over all of
    /// `u64`; `now` is monotonic, in microseconds, of the same clock as in [`Load::finish`].
    pub fn pick<'l>(
        &self,
        available: impl Fn(usize) -> bool,
        load: impl Fn(usize) -> &'l Load,
        random: u64,
        now: u64,
    ) -> Option<usize> {
        self.pick_for(true, available, load, random, now)
    }

    /// As [`Self::pick`] for another attempt at the same request. It takes no turn of a first one: those go on in their
    /// order, whatever is tried again.
    pub fn pick_again<'l>(
        &self,
        available: impl Fn(usize) -> bool,
        load: impl Fn(usize) -> &'l Load,
        random: u64,
        now: u64,
    ) -> Option<usize> {
        self.pick_for(false, available, load, random, now)
    }

    fn pick_for<'l>(
        &self,
        is_first: bool,
        available: impl Fn(usize) -> bool,
        load: impl Fn(usize) -> &'l Load,
        random: u64,
        now: u64,
    ) -> Option<usize> {
        let count = self.weights.len();
        if count <= 1 {
            return (count == 1 && available(0)).then_some(0);
        }
        match &self.state {
            State::RoundRobin(turns) => in_turn(turns.of(is_first), count, available),
            State::Weighted(turns) => turns.of(is_first).pick(&self.weights, available),
            State::Random => at_random(count, available, random),
            State::LeastRequest => self.least_request(available, load, random),
            State::PeakEwma => self.cheaper_of_two(available, load, random, now),
        }
    }

    fn least_request<'l>(
        &self,
        available: impl Fn(usize) -> bool,
        load: impl Fn(usize) -> &'l Load,
        mut random: u64,
    ) -> Option<usize> {
        let mut best = None;
        // Requests and weight of the best so far, compared crosswise; and the weight of all that are equal to it.
        let (mut least, mut best_weight, mut tied) = (0, 1, 0);
        for (endpoint, &weight) in self.weights.iter().enumerate() {
            if !available(endpoint) {
                continue;
            }
            let weight = u64::from(weight);
            let requests = u64::from(load(endpoint).in_flight());
            let (here, there) = (requests * best_weight, least * weight);
            if best.is_none() || here < there {
                (best, least, best_weight, tied) = (Some(endpoint), requests, weight, weight);
            } else if here == there {
                // Each of equals replaces the choice with its share of their weight so far, which leaves each its share
                // in the end. An idle route is all ties.
                tied += weight;
                // One step of a linear congruence (Knuth's MMIX) is enough, as only the upper bits are looked at.
                random = random
                    .wrapping_mul(0x5851_f42d_4c95_7f2d)
                    .wrapping_add(0x1405_7b7e_f767_814f);
                if (below(random, tied as usize) as u64) < weight {
                    (best, least, best_weight) = (Some(endpoint), requests, weight);
                }
            }
        }
        best
    }

    fn cheaper_of_two<'l>(
        &self,
        available: impl Fn(usize) -> bool,
        load: impl Fn(usize) -> &'l Load,
        random: u64,
        now: u64,
    ) -> Option<usize> {
        let (one, other) = two_at_random(self.weights.len(), available, random)?;
        if one == other {
            return Some(one);
        }
        let weights = (self.weights[one] as f32, self.weights[other] as f32);
        let (cost_of_one, cost_of_other) = load::compare(load(one), load(other), weights, now);
        // The draw is symmetric, so the first of a tie is no preference.
        Some(if cost_of_one <= cost_of_other {
            one
        } else {
            other
        })
    }
}

/// The first available one from `next` on. `next` then stands behind the endpoint that was really chosen: a plain
/// counter would give the successor of an unavailable endpoint that one's share as well.
fn in_turn(next: &AtomicUsize, count: usize, available: impl Fn(usize) -> bool) -> Option<usize> {
    let mut seen = next.load(Relaxed);
    loop {
        let chosen = (seen..count)
            .chain(0..seen)
            .find(|endpoint| available(*endpoint))?;
        let following = if chosen + 1 == count { 0 } else { chosen + 1 };
        match next.compare_exchange_weak(seen, following, Relaxed, Relaxed) {
            Ok(_) => return Some(chosen),
            Err(newer) => seen = newer,
        }
    }
}

/// Uniform over the available ones. A draw over all is kept when it hits an available one; otherwise a second, independent
/// one is drawn over the available ones: that leaves each of them the same chance, and asks only once where all are up.
fn at_random(count: usize, available: impl Fn(usize) -> bool, random: u64) -> Option<usize> {
    let drawn = below(random, count);
    if available(drawn) {
        return Some(drawn);
    }
    let up = || (0..count).filter(|endpoint| available(*endpoint));
    let total = up().count();
    // Availability may change between the two passes; then any endpoint that is still up will do.
    up().nth(below(mix(random), total)).or_else(|| up().next())
}

/// Two different available endpoints, each pair with the same chance; the same one twice if there is only one.
fn two_at_random(
    count: usize,
    available: impl Fn(usize) -> bool,
    random: u64,
) -> Option<(usize, usize)> {
    let again = mix(random);
    let (one, other) = two_ranks(count, random, again);
    if available(one) && available(other) {
        return Some((one, other));
    }
    let up = || (0..count).filter(|endpoint| available(*endpoint));
    let first_up = up().next()?;
    let total = up().count();
    if total < 2 {
        return Some((first_up, first_up));
    }
    let again = mix(again);
    let (one, other) = two_ranks(total, again, mix(again));
    let nth = |rank| up().nth(rank).unwrap_or(first_up);
    Some((nth(one), nth(other)))
}

/// Two different numbers below `count`, which is at least 2.
fn two_ranks(count: usize, random: u64, again: u64) -> (usize, usize) {
    let one = below(random, count);
    let other = below(again, count - 1);
    (one, other + usize::from(other >= one))
}

/// Scales a uniform `random` to `0..count` (Lemire, *Fast Random Integer Generation in an Interval*, 2019; the bias of
/// `count / 2^64` is far below anything observable). 0 where `count` is 0.
fn below(random: u64, count: usize) -> usize {
    ((u128::from(random) * count as u128) >> 64) as usize
}

/// The next of a sequence of well-mixed numbers: `SplitMix64` (Steele, Lea and Flood, 2014).
fn mix(random: u64) -> u64 {
    let z = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
