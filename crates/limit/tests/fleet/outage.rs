//! Redis goes and comes back.

use std::time::Duration;

use bastide_limit::{FailMode, Outcome, clock};

use crate::load::{Node, fullest_window, limit, pair, pause, per_window, policy};
use crate::support::{PrivateRedis, eventually};

const SECOND: u64 = 1_000_000;

/// Longest wait that a loaded test machine may add to the 5 ms a request waits for Redis, microseconds.
const PATIENCE: u64 = 250_000;

#[tokio::test]
async fn g3_redis_killed_under_load_and_back_empty() {
    let mut redis = PrivateRedis::start().await;
    let nodes = pair(&redis.url()).await;
    let limits = nodes
        .each_ref()
        .map(|node| limit(node, &policy(1000, 1000)));
    let every = Duration::from_millis(2);
    let loads = [
        nodes[0].load(&limits[0], every, 9),
        nodes[1].load(&limits[1], every, 3),
    ];
    pause(4_000).await;

    redis.kill();
    let killed = clock::now();
    pause(2_500).await;
    let restarted = clock::now();
    redis.restart().await;
    eventually("both nodes are back", async || {
        nodes.iter().all(|node| node.limiter.is_connected())
    })
    .await;
    pause(3_000).await;
    let settled = clock::now();
    pause(3_000).await;
    let end = clock::now();

    let slowest = loads.iter().map(|load| load.log.slowest()).max().unwrap();
    let mut logs = Vec::new();
    for load in loads {
        logs.push(load.stop().await);
    }
    let (fullest, at) = fullest_window(&logs, SECOND);
    println!(
        "the fullest window starts {} ms after the kill",
        (at as i64 - killed as i64) / 1000
    );
    let away = per_window(&logs, killed, restarted, 1000, SECOND);
    let recovering = per_window(&logs, restarted, settled, 1000, SECOND);
    let after = per_window(&logs, settled, end, 1000, SECOND);
    println!(
        "fullest {fullest}; per window: away {away:.0}, recovering {recovering:.0}, after {after:.0}"
    );
    println!("slowest decision {slowest} us");
    assert!(fullest <= 1000, "{fullest} in one window");
    assert!(away >= 500.0 && recovering >= 500.0, "service went on");
    assert!(after >= 950.0, "leasing again");
    assert!(slowest < PATIENCE, "nobody waits for a server that is gone");
}

#[tokio::test]
async fn g3_an_idle_moment_before_the_fall_leaves_the_share() {
    let mut redis = PrivateRedis::start().await;
    let nodes = pair(&redis.url()).await;
    let limits = nodes
        .each_ref()
        .map(|node| limit(node, &policy(100, 60_000)));
    // Within the first seconds of a server's life nodes keep to their shares.
    pause(3_200).await;
    for limit in &limits {
        for _ in 0..10 {
            assert!(limit.acquire(clock::now()).await.is_admitted());
        }
    }
    redis.kill();
    eventually("both nodes notice", async || {
        nodes.iter().all(|node| !node.limiter.is_connected())
    })
    .await;
    let mut admitted = 0;
    for limit in &limits {
        while limit.try_acquire(clock::now()).is_admitted() {
            admitted += 1;
        }
    }
    assert!(
        (70..=80).contains(&admitted),
        "{admitted} besides the 20 of before"
    );
}

#[tokio::test]
async fn g3_fail_modes_do_what_they_say() {
    let mut redis = PrivateRedis::start().await;
    let node = Node::start(&redis.url());
    eventually("connected", async || node.limiter.is_connected()).await;
    redis.kill();
    eventually("noticed", async || !node.limiter.is_connected()).await;

    let open = limit(&node, &policy(2, 60_000).with_fail_mode(FailMode::Open));
    for _ in 0..10 {
        assert!(open.acquire(clock::now()).await.is_admitted());
    }
    drop(open);
    let closed = limit(&node, &policy(2, 60_000).with_fail_mode(FailMode::Closed));
    assert!(
        matches!(closed.acquire(clock::now()).await, Outcome::Refused(quota) if quota.retry_after > 0)
    );
    drop(closed);
    let share = limit(&node, &policy(2, 60_000));
    assert!(share.acquire(clock::now()).await.is_admitted());
    assert!(share.acquire(clock::now()).await.is_admitted());
    assert!(!share.acquire(clock::now()).await.is_admitted());
}

#[tokio::test]
async fn g3_a_node_that_never_met_redis_serves_and_reports_later() {
    let mut redis = PrivateRedis::start().await;
    redis.kill();
    let node = Node::start(&redis.url());
    let mine = limit(&node, &policy(100, 60_000));
    for _ in 0..60 {
        assert!(mine.acquire(clock::now()).await.is_admitted());
    }
    redis.restart().await;
    eventually("connected", async || node.limiter.is_connected()).await;
    let other = Node::start(&redis.url());
    eventually("two nodes", async || {
        node.limiter.nodes() == 2 && other.limiter.nodes() == 2
    })
    .await;
    pause(3_500).await;
    let theirs = limit(&other, &policy(100, 60_000));
    let mut admitted = 0;
    while theirs.acquire(clock::now()).await.is_admitted() {
        admitted += 1;
    }
    assert_eq!(admitted, 40);
}
