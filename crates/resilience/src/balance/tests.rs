use super::Strategy;
use super::*;
use proptest::prelude::*;
use proptest::strategy::Strategy as _;
use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

mod retries;

const SECOND: u64 = 1_000_000;

fn loads(count: usize) -> Vec<Load> {
    std::iter::repeat_with(Load::default).take(count).collect()
}

fn picks(balancer: &Balancer, times: usize, available: impl Fn(usize) -> bool) -> Vec<usize> {
    let loads = loads(balancer.weights.len());
    let mut random = 7;
    (0..times)
        .map(|_| {
            random = mix(random);
            balancer
                .pick(&available, |endpoint| &loads[endpoint], random, 0)
                .unwrap()
        })
        .collect()
}

fn counts(picks: &[usize], endpoints: usize) -> Vec<usize> {
    (0..endpoints)
        .map(|endpoint| picks.iter().filter(|&&pick| pick == endpoint).count())
        .collect()
}

const ANY: fn(usize) -> bool = |_| true;

#[test]
fn g5_no_endpoints_means_no_pick() {
    let none = loads(0);
    for strategy in Strategy::ALL {
        assert_eq!(
            Balancer::new(strategy, &[]).pick(ANY, |endpoint| &none[endpoint], 1, 1),
            None
        );
    }
}

#[test]
fn g5_a_single_endpoint_is_picked_without_asking_for_its_load() {
    for strategy in Strategy::ALL {
        let balancer = Balancer::new(strategy, &[3]);
        assert_eq!(balancer.pick(ANY, |_| unreachable!(), 1, 1), Some(0));
        assert_eq!(balancer.pick(|_| false, |_| unreachable!(), 1, 1), None);
    }
}

#[test]
fn g5_round_robin_cycles() {
    assert_eq!(
        picks(&Balancer::new(Strategy::RoundRobin, &[1; 3]), 7, ANY),
        [0, 1, 2, 0, 1, 2, 0]
    );
}

#[test]
fn g5_round_robin_counts_per_route() {
    let (one, other) = (
        Balancer::new(Strategy::RoundRobin, &[1; 3]),
        Balancer::new(Strategy::RoundRobin, &[1; 3]),
    );
    assert_eq!(picks(&one, 2, ANY), [0, 1]);
    assert_eq!(picks(&other, 1, ANY), [0]);
    assert_eq!(picks(&one, 1, ANY), [2]);
}

#[test]
fn g5_a_new_balancer_starts_at_the_first() {
    for strategy in [Strategy::RoundRobin, Strategy::Weighted] {
        assert_eq!(picks(&Balancer::new(strategy, &[1; 3]), 1, ANY), [0]);
    }
}

#[test]
fn g5_round_robin_gives_nobody_the_share_of_an_unavailable_one() {
    let balancer = Balancer::new(Strategy::RoundRobin, &[1; 4]);
    assert_eq!(
        picks(&balancer, 6, |endpoint| endpoint != 1),
        [0, 2, 3, 0, 2, 3]
    );
}

#[test]
fn g5_weighted_favours_the_heavier_and_interleaves() {
    assert_eq!(
        picks(&Balancer::new(Strategy::Weighted, &[5, 1, 1]), 7, ANY),
        [0, 0, 1, 0, 2, 0, 0]
    );
}

#[test]
fn g5_equal_weights_are_in_turn() {
    assert_eq!(
        picks(&Balancer::new(Strategy::Weighted, &[1; 3]), 6, ANY),
        [0, 1, 2, 0, 1, 2]
    );
}

#[test]
fn g5_a_weight_of_none_counts_as_one_and_too_large_a_one_is_cut() {
    assert_eq!(
        *Balancer::new(Strategy::Weighted, &[0, 1, u32::MAX]).weights,
        [1, 1, MAX_WEIGHT]
    );
}

#[test]
fn g5_the_largest_weights_are_exact_over_a_cycle() {
    let weights = [65_535, 1, 32_768];
    let total = 65_535 + 1 + 32_768;
    assert_eq!(
        counts(
            &picks(&Balancer::new(Strategy::Weighted, &weights), total, ANY),
            3
        ),
        [65_535, 1, 32_768]
    );
}

#[test]
fn g5_a_weighted_endpoint_that_returns_is_not_flooded() {
    let balancer = Balancer::new(Strategy::Weighted, &[1, 1]);
    picks(&balancer, 1000, |endpoint| endpoint == 0);
    assert_eq!(counts(&picks(&balancer, 10, ANY), 2), [5, 5]);
}

#[test]
fn g5_random_picks_by_index() {
    let balancer = Balancer::new(Strategy::Random, &[1; 4]);
    let loads = loads(4);
    for (quarter, expected) in [(0, 0), (1 << 62, 1), (1 << 63, 2), (u64::MAX, 3)] {
        assert_eq!(
            balancer.pick(ANY, |endpoint| &loads[endpoint], quarter, 0),
            Some(expected)
        );
    }
}

#[test]
fn g5_chance_is_even_over_the_available_ones() {
    for strategy in [Strategy::Random, Strategy::LeastRequest, Strategy::PeakEwma] {
        let balancer = Balancer::new(strategy, &[1; 7]);
        for down in [&[][..], &[3], &[0, 6], &[0, 1, 2, 3, 4]] {
            let picked = counts(
                &picks(&balancer, 70_000, |endpoint| !down.contains(&endpoint)),
                7,
            );
            let share = 70_000 / (7 - down.len());
            for (endpoint, count) in picked.into_iter().enumerate() {
                let expected = if down.contains(&endpoint) { 0 } else { share };
                assert!(
                    count.abs_diff(expected) <= expected / 20,
                    "{strategy:?} {down:?} {endpoint}: {count}"
                );
            }
        }
    }
}

#[test]
fn g5_an_unknown_name_is_no_strategy() {
    for strategy in Strategy::ALL {
        assert_eq!(Strategy::from_name(strategy.name()), Some(strategy));
    }
    assert_eq!(Strategy::from_name("sticky"), None);
    assert_eq!(Strategy::default(), Strategy::RoundRobin);
}

#[test]
fn g5_least_request_takes_the_fewest_per_weight() {
    let balancer = Balancer::new(Strategy::LeastRequest, &[1, 4]);
    let loads = loads(2);
    for _ in 0..500 {
        let pick = balancer
            .pick(ANY, |endpoint| &loads[endpoint], mix(3), 0)
            .unwrap();
        loads[pick].start();
    }
    assert_eq!((loads[0].in_flight(), loads[1].in_flight()), (100, 400));
}

#[test]
fn g5_least_request_shares_an_idle_route_by_weight() {
    let picked = counts(
        &picks(
            &Balancer::new(Strategy::LeastRequest, &[1, 2, 3]),
            60_000,
            ANY,
        ),
        3,
    );
    for (count, share) in picked.into_iter().zip([10_000, 20_000, 30_000]) {
        assert!(count.abs_diff(share) < 600, "{count} of {share}");
    }
}

#[test]
fn g5_peak_ewma_starves_no_light_endpoint_of_an_idle_route() {
    let picked = counts(
        &picks(&Balancer::new(Strategy::PeakEwma, &[1, 1000]), 1000, ANY),
        2,
    );
    assert!(picked[0] > 400, "{picked:?}");
}

#[test]
fn g5_peak_ewma_considers_weights() {
    let balancer = Balancer::new(Strategy::PeakEwma, &[1, 4]);
    let loads = loads(2);
    for load in &loads {
        for _ in 0..40 {
            load.finish(Some(Duration::from_millis(10)), true, 0);
        }
    }
    for random in 0..500 {
        let pick = balancer
            .pick(ANY, |endpoint| &loads[endpoint], mix(random), 0)
            .unwrap();
        loads[pick].start();
    }
    assert!(
        loads[0].in_flight().abs_diff(100) <= 5,
        "{}",
        loads[0].in_flight()
    );
}

/// Requests come evenly; an endpoint answers each after its latency, whatever it has to do.
/// Returns how many each was given during the last two thirds.
fn simulate(endpoints: &[(u64, bool)], per_second: u64, seconds: u64) -> Vec<usize> {
    let balancer = Balancer::new(Strategy::PeakEwma, &vec![1; endpoints.len()]);
    let loads = loads(endpoints.len());
    let mut running = BTreeSet::<(u64, u64, usize)>::new();
    let mut given = Vec::new();
    let mut random = 1;
    for request in 0..per_second * seconds {
        let now = request * SECOND / per_second;
        while let Some(&(end, _, endpoint)) = running.first().filter(|(end, ..)| *end <= now) {
            running.pop_first();
            let (latency, ok) = endpoints[endpoint];
            loads[endpoint].finish(Some(Duration::from_micros(latency)), ok, end);
        }
        random = mix(random);
        let pick = balancer
            .pick(ANY, |endpoint| &loads[endpoint], random, now)
            .unwrap();
        loads[pick].start();
        running.insert((now + endpoints[pick].0, request, pick));
        if request > per_second * seconds / 3 {
            given.push(pick);
        }
    }
    counts(&given, endpoints.len())
}

#[test]
fn g5_peak_ewma_avoids_a_slow_endpoint_without_starving_it() {
    let given = simulate(&[(10_000, true), (10_000, true), (200_000, true)], 1000, 60);
    let total: usize = given.iter().sum();
    assert!(given[2] > 0 && given[2] * 20 < total, "{given:?}");
    assert!(given[0].abs_diff(given[1]) < total / 10, "{given:?}");
}

#[test]
fn g5_peak_ewma_sends_little_to_one_that_fails_fast() {
    let given = simulate(&[(10_000, true), (10_000, true), (100, false)], 1000, 60);
    let total: usize = given.iter().sum();
    assert!(given[2] * 50 < total, "{given:?}");
}

#[test]
fn g5_peak_ewma_is_even_among_equals() {
    let given = simulate(&[(5_000, true); 5], 2000, 30);
    let share = given.iter().sum::<usize>() / 5;
    assert!(
        given.iter().all(|count| count.abs_diff(share) < share / 5),
        "{given:?}"
    );
}

#[test]
fn g5_threads_share_a_balancer() {
    const THREADS: usize = 4;
    const EACH: usize = 12_000;
    for strategy in Strategy::ALL {
        let balancer = Balancer::new(strategy, &[1, 2, 3]);
        let loads = loads(3);
        let picked: Vec<usize> = thread::scope(|scope| {
            let work = |seed: u64| {
                let (balancer, loads) = (&balancer, &loads);
                move || {
                    let mut random = seed;
                    (0..EACH)
                        .map(|turn| {
                            random = mix(random);
                            let now = turn as u64 * 50;
                            let pick = balancer
                                .pick(ANY, |endpoint| &loads[endpoint], random, now)
                                .unwrap();
                            loads[pick].start();
                            loads[pick].finish(
                                Some(Duration::from_micros(random >> 54)),
                                random & 7 > 0,
                                now,
                            );
                            pick
                        })
                        .collect::<Vec<_>>()
                }
            };
            let workers: Vec<_> = (0..THREADS)
                .map(|seed| scope.spawn(work(seed as u64)))
                .collect();
            workers
                .into_iter()
                .flat_map(|worker| worker.join().unwrap())
                .collect()
        });
        let picked = counts(&picked, 3);
        assert_eq!(picked.iter().sum::<usize>(), THREADS * EACH);
        assert!(loads.iter().all(|load| load.in_flight() == 0));
        match strategy {
            Strategy::RoundRobin => assert_eq!(picked, [16_000; 3]),
            Strategy::Weighted => assert_eq!(picked, [8000, 16_000, 24_000]),
            _ => assert!(
                picked.iter().all(|count| *count > 0),
                "{strategy:?} {picked:?}"
            ),
        }
    }
}

fn some_up() -> impl proptest::strategy::Strategy<Value = Vec<bool>> {
    prop::collection::vec(any::<bool>(), 1..12)
        .prop_filter("one must be up", |up| up.contains(&true))
}

proptest! {
    #[test]
    fn g5_a_pick_is_available_and_there_is_one_whenever_possible(
        ups in prop::collection::vec(prop::collection::vec(any::<bool>(), 9), 1..40),
        weights in prop::collection::vec(any::<u32>(), 1..10),
        random in any::<u64>(), now in any::<u64>(),
    ) {
        for strategy in Strategy::ALL {
            let balancer = Balancer::new(strategy, &weights);
            let loads = loads(weights.len());
            for (turn, up) in ups.iter().enumerate() {
                let up = &up[..weights.len()];
                let random = random.wrapping_mul(turn as u64 | 1);
                let pick = balancer.pick(|endpoint| up[endpoint], |endpoint| &loads[endpoint], random, now);
                prop_assert_eq!(pick.is_some(), up.contains(&true));
                if let Some(pick) = pick {
                    prop_assert!(up[pick]);
                    loads[pick].start();
                    if turn % 3 == 0 {
                        loads[pick].finish(Some(Duration::from_nanos(random)), turn % 2 == 0, now);
                    }
                }
            }
        }
    }

    #[test]
    fn g5_round_robin_is_exactly_fair_whoever_is_up(up in some_up(), warm_up in 0..20_usize) {
        let balancer = Balancer::new(Strategy::RoundRobin, &vec![1; up.len()]);
        picks(&balancer, warm_up, ANY);
        let live = up.iter().filter(|up| **up).count();
        let picked = counts(&picks(&balancer, live * 5, |endpoint| up[endpoint]), up.len());
        prop_assert!(picked.iter().zip(&up).all(|(count, up)| *count == 5 * usize::from(*up)), "{:?}", picked);
    }

    #[test]
    fn g5_weighted_is_exact_over_every_cycle_and_smooth_within(
        endpoints in prop::collection::vec((1..40_u32, any::<bool>()), 1..8),
    ) {
        prop_assume!(endpoints.iter().any(|(_, up)| *up));
        let weights: Vec<u32> = endpoints.iter().map(|(weight, _)| *weight).collect();
        let share = |endpoint: usize| if endpoints[endpoint].1 { weights[endpoint] as usize } else { 0 };
        let cycle: usize = (0..weights.len()).map(share).sum();
        let balancer = Balancer::new(Strategy::Weighted, &weights);
        for _ in 0..3 {
            let picked = picks(&balancer, cycle, |endpoint| endpoints[endpoint].1);
            for endpoint in 0..weights.len() {
                let mut given = 0;
                for (turn, pick) in picked.iter().enumerate() {
                    given += usize::from(*pick == endpoint);
                    let due = (turn + 1) as f64 * share(endpoint) as f64 / cycle as f64;
                    prop_assert!((f64::from(given as u32) - due).abs() <= weights.len() as f64 / 2.0);
                }
                prop_assert_eq!(given, share(endpoint));
            }
        }
    }

    #[test]
    fn g5_least_request_picks_a_least(
        busy in prop::collection::vec((0..6_u32, 1..5_u32, any::<bool>()), 2..8), random in any::<u64>(),
    ) {
        let weights: Vec<u32> = busy.iter().map(|(_, weight, _)| *weight).collect();
        let loads = loads(busy.len());
        for (load, (requests, ..)) in loads.iter().zip(&busy) {
            (0..*requests).for_each(|_| load.start());
        }
        let share = |endpoint: usize| f64::from(busy[endpoint].0) / f64::from(busy[endpoint].1);
        let pick = Balancer::new(Strategy::LeastRequest, &weights)
            .pick(|endpoint| busy[endpoint].2, |endpoint| &loads[endpoint], random, 0);
        let least = (0..busy.len()).filter(|endpoint| busy[*endpoint].2).map(share).reduce(f64::min);
        prop_assert_eq!(pick.map(share), least);
    }

    #[test]
    fn g5_scaling_stays_below(random in any::<u64>(), count in 1..1000_usize) {
        prop_assert!(below(random, count) < count);
    }
}
