//! First attempts go on in their order, whatever is tried again.

use super::*;

/// Runs requests that go to another endpoint as long as `is_sick` says so of the one they got. Returns the first picks and
/// the later ones.
fn requests(
    balancer: &Balancer,
    count: usize,
    is_sick: impl Fn(usize) -> bool,
) -> (Vec<usize>, Vec<usize>) {
    let loads = loads(balancer.weights.len());
    let load = |endpoint: usize| &loads[endpoint];
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let mut tried = vec![balancer.pick(ANY, load, 0, 0).unwrap()];
        first.push(tried[0]);
        while is_sick(tried[tried.len() - 1]) {
            let untried = |endpoint: usize| !tried.contains(&endpoint);
            let Some(next) = balancer.pick_again(untried, load, 0, 0) else {
                break;
            };
            tried.push(next);
            again.push(next);
        }
    }
    (first, again)
}

#[test]
fn g7_of_two_endpoints_the_sick_one_is_not_asked_first_each_time() {
    let balancer = Balancer::new(Strategy::RoundRobin, &[1; 2]);
    let (first, again) = requests(&balancer, 6, |endpoint| endpoint == 0);
    assert_eq!(first, [0, 1, 0, 1, 0, 1]);
    assert_eq!(again, [1, 1, 1]);
}

#[test]
fn g7_what_is_tried_again_is_spread_over_the_others() {
    for strategy in [Strategy::RoundRobin, Strategy::Weighted] {
        let balancer = Balancer::new(strategy, &[1; 4]);
        let (_, again) = requests(&balancer, 36, |endpoint| endpoint == 2);
        assert_eq!(counts(&again, 4), [3, 3, 0, 3], "{strategy:?}");
    }
}

proptest! {
    #[test]
    fn g7_a_retry_takes_no_turn_of_a_first_attempt(
        weights in prop::collection::vec(1..9_u32, 1..7), sick in any::<u8>(), count in 1..80_usize,
    ) {
        for strategy in [Strategy::RoundRobin, Strategy::Weighted] {
            let (undisturbed, none) = requests(&Balancer::new(strategy, &weights), count, |_| false);
            prop_assert!(none.is_empty());
            let (first, _) = requests(&Balancer::new(strategy, &weights), count, |endpoint| sick >> endpoint & 1 == 1);
            prop_assert_eq!(first, undisturbed);
        }
    }
}
