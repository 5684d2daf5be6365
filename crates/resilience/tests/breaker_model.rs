//! Random orders of events against the breaker's invariants and a plain model of it (G6).

use bastide_resilience::breaker::{Availability, Breaker, BreakerConfig, Outcome, Permit, State};
use proptest::prelude::*;
use std::time::Duration;

const OPEN_FOR: u64 = 1_000_000;

#[derive(Debug, Clone, Copy)]
enum Event {
    Acquire,
    /// The permit at this place among those not yet given back, counted round.
    Record(usize, Outcome),
    Cancel(usize),
    Forget(usize),
    Advise(u64),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Failure),
        3 => Just(Outcome::Success),
        1 => Just(Outcome::Neutral),
    ];
    prop_oneof![
        8 => Just(Event::Acquire),
        8 => (any::<usize>(), outcome).prop_map(|(at, outcome)| Event::Record(at, outcome)),
        1 => any::<usize>().prop_map(Event::Cancel),
        1 => any::<usize>().prop_map(Event::Forget),
        1 => (0..3 * OPEN_FOR).prop_map(Event::Advise),
        2 => (0..OPEN_FOR / 4).prop_map(Event::Wait),
        1 => (0..12 * OPEN_FOR).prop_map(Event::Wait),
    ]
}

/// What a request was admitted into: the epoch, and for probes a serial number.
type Ticket = (u32, Option<u32>);

/// The documentation written down once more, with nothing in mind but being obviously right.
struct Model {
    k: usize,
    failure_threshold: usize,
    /// Everything that was reported since the last change of state.
    heard: Vec<Outcome>,
    /// Probes given since the last change of state and not given back: serial number and when.
    out: Vec<(u32, u64)>,
    state: State,
    until: u64,
    /// The lengths of the openings by failed probes since the last closing.
    reopened: Vec<u64>,
    epoch: u32,
    serial: u32,
}

impl Model {
    fn new(failure_threshold: u32, k: u32) -> Self {
        let state = State::Closed;
        let (k, failure_threshold) = (k as usize, failure_threshold as usize);
        let (heard, out, reopened) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            k,
            failure_threshold,
            heard,
            out,
            state,
            until: 0,
            reopened,
            epoch: 0,
            serial: 0,
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
        self.heard.clear();
        self.out.clear();
    }

    fn now(&self, now: u64) -> State {
        if self.state == State::Open && self.until <= now {
            State::HalfOpen
        } else {
            self.state
        }
    }

    fn held(&self, now: u64) -> usize {
        self.out
            .iter()
            .filter(|(_, since)| now - since < OPEN_FOR)
            .count()
    }

    fn availability(&self, now: u64) -> Availability {
        match self.now(now) {
            State::Open => Availability::Open { until: self.until },
            State::HalfOpen if self.held(now) >= self.k => Availability::Probing,
            _ => Availability::Ready,
        }
    }

    fn acquire(&mut self, now: u64) -> Option<Ticket> {
        if self.availability(now) != Availability::Ready {
            return None;
        }
        if self.state == State::Open {
            self.enter(State::HalfOpen);
        }
        if self.state == State::Closed {
            return Some((self.epoch, None));
        }
        self.serial += 1;
        self.out.push((self.serial, now));
        Some((self.epoch, Some(self.serial)))
    }

    fn give_back(&mut self, ticket: Ticket) {
        self.out.retain(|(serial, _)| Some(*serial) != ticket.1);
    }

    fn record(&mut self, ticket: Ticket, outcome: Outcome, now: u64) -> Option<State> {
        if ticket.0 != self.epoch {
            return None;
        }
        self.give_back(ticket);
        self.heard.push(outcome);
        let telling = self
            .heard
            .iter()
            .rev()
            .filter(|outcome| **outcome != Outcome::Neutral);
        let row = telling
            .take_while(|outcome| **outcome == Outcome::Failure)
            .count();
        match self.state {
            State::Closed if row >= self.failure_threshold => {
                self.until = now + OPEN_FOR;
                self.enter(State::Open);
            }
            State::HalfOpen if row > 0 => {
                let length = self
                    .reopened
                    .last()
                    .map_or(OPEN_FOR, |last| (2 * last).min(10 * OPEN_FOR));
                self.reopened.push(length);
                self.until = now + length;
                self.enter(State::Open);
            }
            State::HalfOpen if self.heard.len() >= self.k => {
                self.reopened.clear();
                self.enter(State::Closed);
            }
            _ => return None,
        }
        Some(self.state)
    }

    fn advise(&mut self, until: u64, now: u64) -> bool {
        let believed = self.state == State::Closed && now < until;
        if believed {
            self.until = until.min(now + OPEN_FOR);
            self.enter(State::Open);
        }
        believed
    }
}

fn breaker(failure_threshold: u32, success_threshold: u32) -> Breaker {
    Breaker::new(BreakerConfig {
        failure_threshold,
        success_threshold,
        open_for: Duration::from_micros(OPEN_FOR),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_model_agrees_at_every_step(
        failure_threshold in 1..5u32,
        k in 1..5u32,
        events in prop::collection::vec(event(), 1..200),
    ) {
        let breaker = breaker(failure_threshold, k);
        let mut model = Model::new(failure_threshold, k);
        let mut permits: Vec<(Permit, Ticket)> = Vec::new();
        let mut now = 0;
        for event in events {
            match event {
                Event::Acquire => {
                    let (ours, theirs) = (breaker.try_acquire(now), model.acquire(now));
                    prop_assert_eq!(ours.map(|permit| permit.is_probe()), theirs.map(|(_, probe)| probe.is_some()));
                    permits.extend(ours.zip(theirs));
                }
                Event::Record(at, outcome) if !permits.is_empty() => {
                    let (permit, ticket) = permits.swap_remove(at % permits.len());
                    prop_assert_eq!(breaker.record(permit, outcome, now), model.record(ticket, outcome, now));
                }
                Event::Cancel(at) if !permits.is_empty() => {
                    let (permit, ticket) = permits.swap_remove(at % permits.len());
                    breaker.cancel(permit);
                    model.give_back(ticket);
                }
                Event::Forget(at) if !permits.is_empty() => {
                    let _ = permits.swap_remove(at % permits.len());
                }
                Event::Advise(ahead) => {
                    prop_assert_eq!(breaker.advise_open(now + ahead, now), model.advise(now + ahead, now));
                }
                Event::Wait(time) => now += time,
                Event::Record(..) | Event::Cancel(_) | Event::Forget(_) => {}
            }
            prop_assert_eq!(breaker.state(now), model.now(now));
            prop_assert_eq!(breaker.availability(now), model.availability(now));
        }
    }

    /// The bounds that matter, counted from outside and without the model.
    #[test]
    fn open_admits_none_and_half_open_at_most_k(
        failure_threshold in 1..4u32,
        k in 1..4u32,
        events in prop::collection::vec(event(), 1..200),
    ) {
        let breaker = breaker(failure_threshold, k);
        let mut out: Vec<(Permit, u64)> = Vec::new();
        let mut probes: Vec<(Permit, u64)> = Vec::new();
        let mut now = 0;
        for event in events {
            let before = breaker.state(now);
            let mut changed = None;
            match event {
                Event::Acquire => {
                    let ready = breaker.availability(now) == Availability::Ready;
                    let permit = breaker.try_acquire(now);
                    prop_assert_eq!(permit.is_some(), ready);
                    prop_assert!(before != State::Open || permit.is_none());
                    prop_assert!(before != State::Closed || permit.is_some());
                    out.extend(permit.map(|permit| (permit, now)));
                    probes.extend(permit.filter(Permit::is_probe).map(|permit| (permit, now)));
                    probes.retain(|(_, since)| now - since < OPEN_FOR);
                    prop_assert!(probes.len() <= k as usize);
                }
                Event::Record(at, outcome) if !out.is_empty() => {
                    let (permit, _) = out.swap_remove(at % out.len());
                    changed = breaker.record(permit, outcome, now);
                    probes.retain(|(probe, _)| *probe != permit);
                }
                Event::Cancel(at) if !out.is_empty() => {
                    let (permit, _) = out.swap_remove(at % out.len());
                    breaker.cancel(permit);
                    probes.retain(|(probe, _)| *probe != permit);
                }
                Event::Wait(time) => {
                    now += time;
                    continue;
                }
                _ => {}
            }
            // Who records learns of the change, and only then there is one.
            prop_assert_eq!(breaker.state(now), changed.unwrap_or(before));
            if changed.is_some() {
                probes.clear();
            }
        }
    }

    /// However long the story, an endpoint that works again is used again.
    #[test]
    fn it_always_finds_back(
        failure_threshold in 1..4u32,
        k in 1..4u32,
        events in prop::collection::vec(event(), 1..100),
    ) {
        let breaker = breaker(failure_threshold, k);
        let mut now = 0;
        for event in events {
            match event {
                // Every permit is forgotten or failed, none given back.
                Event::Acquire => drop(breaker.try_acquire(now)),
                Event::Record(_, outcome) => {
                    breaker.try_acquire(now).map(|permit| breaker.record(permit, outcome, now));
                }
                Event::Advise(ahead) => drop(breaker.advise_open(now + ahead, now)),
                Event::Wait(time) => now += time,
                Event::Cancel(_) | Event::Forget(_) => {}
            }
        }
        // The longest opening; and if it is half-open already, all its probes are lost by then.
        now += 10 * OPEN_FOR;
        if breaker.state(now) != State::Closed {
            for _ in 0..k {
                prop_assert_ne!(breaker.state(now), State::Closed, "closed before k successes in this run");
                let permit = breaker.try_acquire(now);
                prop_assert!(permit.is_some());
                if permit.and_then(|permit| breaker.record(permit, Outcome::Success, now)) == Some(State::Closed) {
                    break;
                }
            }
        }
        prop_assert_eq!(breaker.state(now), State::Closed);
    }
}
