//! G3: together never more than the limit, and nearly all of it.

use std::time::Duration;

use bastide_limit::clock;

use crate::load::{fullest_window, limit, pair, pause, per_window, policy};
use crate::support::PrivateRedis;

async fn saturate(
    policy: bastide_limit::Policy,
    count: usize,
    window: u64,
    settle: u64,
    measure: u64,
) {
    let redis = PrivateRedis::start().await;
    let nodes = pair(&redis.url()).await;
    let limits = nodes.each_ref().map(|node| limit(node, &policy));
    // Three times the limit from one node, as much as the limit from the other.
    let every = Duration::from_millis(2);
    let burst = (count as u64 * 2_000 / window).max(1) as usize + 1;
    let loads = [
        nodes[0].load(&limits[0], every, burst * 3),
        nodes[1].load(&limits[1], every, burst),
    ];
    pause(settle).await;
    let from = clock::now();
    pause(measure).await;
    let to = clock::now();
    let refused: u64 = loads.iter().map(|load| load.log.refused()).sum();
    let mut logs = Vec::new();
    for load in loads {
        logs.push(load.stop().await);
    }
    let (fullest, _) = fullest_window(&logs, window);
    let share = per_window(&logs, from, to, count, window) / count as f64;
    println!(
        "limit {count} in {window} us: fullest window {fullest}, {:.2} % in steady state",
        share * 100.0
    );
    println!(
        "  by node: {:?}, refused {refused}",
        logs.iter().map(Vec::len).collect::<Vec<_>>()
    );
    assert!(fullest <= count, "{fullest} of {count} in one window");
    assert!(share >= 0.95, "only {share:.3} of the limit");
    assert!(refused > 0);
}

#[tokio::test]
async fn g3_two_nodes_share_1000_a_second() {
    saturate(policy(1000, 1000), 1000, 1_000_000, 3_500, 5_000).await;
}

#[tokio::test]
async fn g3_two_nodes_share_20_a_second() {
    saturate(policy(20, 1000), 20, 1_000_000, 3_500, 8_000).await;
}

#[tokio::test]
async fn g3_two_nodes_share_600_in_3_seconds() {
    saturate(policy(600, 3000), 600, 3_000_000, 4_000, 9_900).await;
}

#[tokio::test]
async fn g3_exact_mode_shares_1000_a_second() {
    saturate(
        policy(1000, 1000).with_exact(true),
        1000,
        1_000_000,
        3_500,
        5_000,
    )
    .await;
}
