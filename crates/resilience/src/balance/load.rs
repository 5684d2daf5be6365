use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Latency estimates lose weight with this time constant: after 10 s of silence 37 % of one is left.
const DECAY_MICROS: f32 = 10_000_000.0;

/// Times are kept in units of 2^14 us (16 ms): 32 bits of them last two years, and the decay over one unit is 0.16 %.
const TICK_BITS: u32 = 14;
const DECAY_PER_TICK: f32 = (1_u32 << TICK_BITS) as f32 / DECAY_MICROS;

/// Answers until an endpoint counts as settled: the length of its slow start, and the memory of its failure share.
const SETTLED: u32 = 32;

/// Cost of an endpoint that answers nothing but failures, relative to one that never fails. A share of 1 % doubles the
/// cost, which moves half the load away where there is somewhere to move it.
const FAILURE_FACTOR: f32 = 100.0;

/// A little-known endpoint is assumed to be this much quicker than its rival. Below 1, so that it is tried again even
/// when nothing is under load; not far below, so that it draws one request and not a flood.
const OPTIMISM: f32 = 0.5;

/// How busy, how quick and how reliable one endpoint is.
///
/// It outlives configurations: keep it in an `Arc`, by the endpoint's address. All updates are lock-free. Its values are
/// statistics that guard no other memory, hence relaxed ordering throughout.
///
/// - **Latency**: a peak-sensitive moving average (Finagle's `PeakEwma`): a slower answer replaces the estimate at once, a
///   quicker one lowers it with the weight `1 - exp(-dt / 10 s)`.
/// - **Failures**: their share of the last 32 answers or so. How quickly a failure came says nothing about answers, so it
///   never lowers the latency; a slow failure, such as a timeout, raises it.
/// - **Requests in flight**.
#[derive(Debug, Default)]
// Written with each request by any thread: neighbours on the same cache line would pay for it.
#[repr(align(64))]
pub struct Load {
    in_flight: AtomicU32,
    /// [`Record`], packed.
    record: AtomicU32,
    /// [`Latency`], packed: one word, so estimate and time always belong together.
    latency: AtomicU64,
}

impl Load {
    /// A request goes to the endpoint. Exactly one [`finish`](Self::finish) must follow, also when it is cancelled.
    pub fn start(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// The request has ended.
    ///
    /// `latency` is the time to the head of the answer, or to the failure; `None` where the request told nothing about
    /// the endpoint (the client left, it was never sent): then `ok` does not count either. `ok` is whether the endpoint
    /// answered properly. `now` is monotonic, in microseconds.
    pub fn finish(&self, latency: Option<Duration>, ok: bool, now: u64) {
        // Saturating: a caller's stray `finish` must not make the endpoint look busier than any other for ever.
        let _ = self
            .in_flight
            .fetch_update(Relaxed, Relaxed, |running| running.checked_sub(1));
        if let Some(latency) = latency {
            let micros = latency.as_secs_f32() * 1e6;
            let _ = self.latency.fetch_update(Relaxed, Relaxed, |packed| {
                let old = Latency::unpack(packed);
                let new = old.after(micros, ok, tick(now)).pack();
                (new != packed).then_some(new)
            });
            let _ = self.record.fetch_update(Relaxed, Relaxed, |packed| {
                let new = Record::unpack(packed).after(ok).pack();
                (new != packed).then_some(new)
            });
        }
    }

    /// Requests between [`start`](Self::start) and [`finish`](Self::finish).
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Expected microseconds of waiting here: the latency estimate, decayed since the last answer and raised by the share
    /// of failures, times the requests in flight with the next one. 0 where nothing is known yet.
    ///
    /// For display. A balancer judges an endpoint that it knows little about by its rival, not by 0.
    #[must_use]
    pub fn cost(&self, now: u64) -> f64 {
        let view = self.view(now);
        f64::from(view.micros * view.confidence * view.failure_factor())
            * (f64::from(view.in_flight) + 1.0)
    }

    /// Forgets latency and failures, but not what is in flight: for an endpoint that returns from being down, and starts
    /// slowly again.
    pub fn forget(&self) {
        self.latency.store(0, Relaxed);
        self.record.store(0, Relaxed);
    }

    fn view(&self, now: u64) -> View {
        let latency = Latency::unpack(self.latency.load(Relaxed));
        let record = Record::unpack(self.record.load(Relaxed));
        View {
            micros: latency.micros,
            confidence: latency.confidence(tick(now)),
            failures: f32::from(record.failures) * (1.0 / 65_535.0),
            answers: record.answers,
            in_flight: self.in_flight(),
        }
    }
}

/// The costs of two endpoints of these weights, comparable with each other only.
///
/// What is not known about one, because it is new or has been silent, is assumed from the other: a random member of the
/// pool stands for the pool. So nothing has to be kept per pool, and old knowledge fades into "as good as the rest"
/// and not into "costs nothing", which would flood an endpoint that hangs.
pub(super) fn compare(one: &Load, other: &Load, weights: (f32, f32), now: u64) -> (f32, f32) {
    let (one, other) = (one.view(now), other.view(now));
    let (trust_one, trust_other) = (one.trust(), other.trust());
    let trust = trust_one + trust_other;
    let typical = if trust > 0.0 {
        (one.micros * trust_one + other.micros * trust_other) / trust
    } else {
        // Nobody is known: only what is in flight, and failures, can tell them apart.
        one.micros.max(other.micros).max(1.0)
    };
    (one.cost(typical, weights.0), other.cost(typical, weights.1))
}

/// A [`Load`] at one moment.
struct View {
    micros: f32,
    /// 1 for an answer just now, towards 0 with its age; 0 if there was none.
    confidence: f32,
    failures: f32,
    answers: u32,
    in_flight: u32,
}

impl View {
    /// How much the latency says about real answers.
    fn trust(&self) -> f32 {
        self.confidence * (1.0 - self.failures)
    }

    fn failure_factor(&self) -> f32 {
        1.0 + FAILURE_FACTOR * self.failures * self.confidence
    }

    fn cost(&self, typical: f32, weight: f32) -> f32 {
        // One that only failed, at once, never showed what an answer takes.
        let known = self.micros.max(typical * self.failures);
        let expected = known * self.confidence + typical * OPTIMISM * (1.0 - self.confidence);
        // The weight says how many requests an endpoint carries side by side, not that it is quicker: dividing the
        // whole cost would leave a light endpoint nothing while the heavy one is idle.
        let queue = self.in_flight as f32 / weight + 1.0;
        expected * queue * self.slow_start() * self.failure_factor()
    }

    /// As in TCP's slow start each answer makes room for one more request; beyond that room the cost grows with the
    /// square. Not a hard limit: a request that never ends must not lock the endpoint out.
    fn slow_start(&self) -> f32 {
        if self.answers < SETTLED {
            self.in_flight.saturating_sub(self.answers) as f32 + 1.0
        } else {
            1.0
        }
    }
}

/// The latency estimate and the time of the answer that it rests on.
#[derive(Clone, Copy)]
struct Latency {
    /// 0 where nothing is known.
    micros: f32,
    tick: u32,
}

impl Latency {
    fn after(self, micros: f32, ok: bool, now: u32) -> Self {
        // A thread's time may be a little behind the one that is kept; that one stays.
        let tick = if self.is_known() && self.age(now) == 0 {
            self.tick
        } else {
            now
        };
        // Never 0, which means unknown.
        let micros = micros.max(0.001);
        let micros = if !self.is_known() || micros >= self.micros {
            micros
        } else if ok {
            let kept = self.confidence(now);
            self.micros * kept + micros * (1.0 - kept)
        } else {
            self.micros
        };
        Self { micros, tick }
    }

    fn is_known(self) -> bool {
        self.micros > 0.0
    }

    /// Ticks since the last answer; 0 if that is in the future.
    fn age(self, now: u32) -> u32 {
        let age = now.wrapping_sub(self.tick);
        if age > u32::MAX / 2 { 0 } else { age }
    }

    fn confidence(self, now: u32) -> f32 {
        if !self.is_known() {
            return 0.0;
        }
        match self.age(now) {
            0 => 1.0,
            age => (age as f32 * -DECAY_PER_TICK).exp(),
        }
    }

    fn pack(self) -> u64 {
        (u64::from(self.micros.to_bits()) << 32) | u64::from(self.tick)
    }

    fn unpack(packed: u64) -> Self {
        Self {
            micros: f32::from_bits((packed >> 32) as u32),
            tick: packed as u32,
        }
    }
}

/// How the last answers were.
#[derive(Clone, Copy)]
struct Record {
    /// Up to [`SETTLED`].
    answers: u32,
    /// The share of failures, `u16::MAX` for all: the mean of the first answers, then a moving average.
    failures: u16,
}

impl Record {
    fn after(self, ok: bool) -> Self {
        let answers = (self.answers + 1).min(SETTLED);
        let step = |gap: u16| u32::from(gap).div_ceil(answers) as u16;
        let failures = if ok {
            self.failures - step(self.failures)
        } else {
            self.failures + step(u16::MAX - self.failures)
        };
        Self { answers, failures }
    }

    fn pack(self) -> u32 {
        (u32::from(self.failures) << 16) | self.answers
    }

    fn unpack(packed: u32) -> Self {
        Self {
            answers: packed & 0xffff,
            failures: (packed >> 16) as u16,
        }
    }
}

fn tick(now: u64) -> u32 {
    (now >> TICK_BITS) as u32
}

#[cfg(test)]
mod tests;
