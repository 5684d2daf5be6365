//! Limits of a few: whoever asks while there is room is admitted, whichever node it asks.

use std::sync::Arc;
use std::time::Duration;

use bastide_limit::{Limit, LimitKey, Outcome, Quota, SharedOptions, clock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::load::{Node, limit, pair, pair_with, pause, policy};
use crate::support::{PrivateRedis, eventually};

/// After how long nodes no longer keep to their shares because the server is young, milliseconds.
const SETTLED: u64 = 3_200;

/// Two nodes that know of each other, and wait for Redis however busy the machine is.
async fn patient_pair(url: &str) -> [Node; 2] {
    let patient = SharedOptions {
        wait: Duration::from_millis(200),
        ..SharedOptions::default()
    };
    pair_with(url, &patient).await
}

async fn refused(limit: &Limit) -> Quota {
    match limit.acquire(clock::now()).await {
        Outcome::Refused(quota) => quota,
        other => panic!("{other:?}"),
    }
}

/// Uses a limit up, the nodes taking turns, and expects every request within it to be admitted.
async fn use_up(limits: &[Arc<Limit>], count: u32, gap: u64) {
    for turn in 0..count {
        let asked = &limits[turn as usize % limits.len()];
        let outcome = asked.acquire(clock::now()).await;
        assert!(
            outcome.is_admitted(),
            "request {} of {count} at {gap} ms: {outcome:?}",
            turn + 1
        );
        pause(gap).await;
    }
    for asked in limits {
        assert_eq!(refused(asked).await.remaining, 0);
    }
}

/// Makes the server deaf for some milliseconds.
async fn stall(url: &str, millis: u64) {
    let address = url.strip_prefix("redis://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let command = format!("CLIENT PAUSE {millis} ALL\r\n");
    stream.write_all(command.as_bytes()).await.unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"+OK\r\n");
}

#[tokio::test]
async fn g3_one_node_gets_all_of_a_small_limit_from_a_young_server() {
    let redis = PrivateRedis::start().await;
    let node = Node::start(&redis.url());
    eventually("connected", async || node.limiter.is_connected()).await;
    for window in [60_000, 1_200] {
        for count in [1, 2, 3, 5] {
            for gap in [0, 5, 90] {
                // No limit has been asked about before.
                let id = format!("{count} in {window} at {gap}");
                let fresh = node
                    .limiter
                    .handle(LimitKey::new("tenant", &id), &policy(count, window));
                use_up(&[fresh], count, gap).await;
            }
        }
    }
}

#[tokio::test]
async fn g3_two_nodes_in_turn_get_all_of_a_small_limit() {
    let redis = PrivateRedis::start().await;
    let nodes = patient_pair(&redis.url()).await;
    pause(SETTLED).await;
    for window in [60_000, 1_200] {
        for count in [1, 2, 3, 5, 20] {
            for gap in [0, 5, 40] {
                let id = format!("{count} in {window} at {gap}");
                let key = LimitKey::new("tenant", &id);
                let limits = nodes
                    .each_ref()
                    .map(|node| node.limiter.handle(key.clone(), &policy(count, window)));
                use_up(&limits, count, gap).await;
            }
        }
    }
}

#[tokio::test]
async fn g3_retry_after_is_honest() {
    let redis = PrivateRedis::start().await;
    let nodes = patient_pair(&redis.url()).await;
    pause(SETTLED).await;
    let limits = nodes.each_ref().map(|node| limit(node, &policy(3, 1_200)));
    for _ in 0..3 {
        use_up_any(&limits, 3).await;
        let told = refused(&limits[1]).await.retry_after;
        assert!((900_000..1_300_000).contains(&told), "{told} us");
        pause(told.div_ceil(1_000)).await;
        assert!(limits[1].acquire(clock::now()).await.is_admitted());
        pause(1_300).await;
    }
}

async fn use_up_any(limits: &[Arc<Limit>], count: usize) {
    for turn in 0..count {
        assert!(
            limits[turn % limits.len()]
                .acquire(clock::now())
                .await
                .is_admitted()
        );
    }
}

#[tokio::test]
async fn g3_a_refusal_by_a_recovering_fleet_is_honest_too() {
    // Within the first seconds of a server's life each node keeps to its share; of one, the second has none.
    let redis = PrivateRedis::start().await;
    let nodes = patient_pair(&redis.url()).await;
    let limits = nodes.each_ref().map(|node| limit(node, &policy(1, 60_000)));
    for limit in &limits {
        if let Outcome::Refused(quota) = limit.acquire(clock::now()).await {
            pause(quota.retry_after.div_ceil(1_000)).await;
            assert!(limit.acquire(clock::now()).await.is_admitted());
            return;
        }
        limit.refund(clock::now());
        pause(200).await;
    }
}

#[tokio::test]
async fn g3_a_slow_server_costs_no_room() {
    let redis = PrivateRedis::start().await;
    let nodes = pair(&redis.url()).await;
    pause(SETTLED).await;
    let limits = nodes.each_ref().map(|node| limit(node, &policy(4, 60_000)));
    stall(&redis.url(), 40).await;
    assert!(limits[0].acquire(clock::now()).await.is_admitted());
    // A paused server looks at the clock ten times a second.
    pause(300).await;
    // What was admitted meanwhile has been counted, and nobody is kept to a share for it.
    for turn in [1, 1, 1] {
        let outcome = limits[turn].acquire(clock::now()).await;
        assert!(outcome.is_admitted(), "{outcome:?}");
    }
    for limit in &limits {
        assert_eq!(refused(limit).await.remaining, 0);
    }
}

#[tokio::test]
async fn g3_a_lone_node_gets_all_although_the_server_is_slow() {
    let redis = PrivateRedis::start().await;
    let node = Node::start(&redis.url());
    eventually("connected", async || node.limiter.is_connected()).await;
    for count in [1, 2, 3, 5] {
        let key = LimitKey::new("tenant", &count.to_string());
        let fresh = node.limiter.handle(key, &policy(count, 60_000));
        for turn in 0..count {
            stall(&redis.url(), 30).await;
            let outcome = fresh.acquire(clock::now()).await;
            assert!(
                outcome.is_admitted(),
                "{} of {count}: {outcome:?}",
                turn + 1
            );
            pause(150).await;
        }
        assert_eq!(refused(&fresh).await.remaining, 0);
    }
}

#[tokio::test]
async fn g3_what_a_request_returns_another_node_may_have() {
    let redis = PrivateRedis::start().await;
    let nodes = patient_pair(&redis.url()).await;
    pause(SETTLED).await;
    let limits = nodes.each_ref().map(|node| limit(node, &policy(1, 60_000)));
    for turn in 0..6 {
        let (mine, theirs) = (&limits[turn % 2], &limits[(turn + 1) % 2]);
        let now = clock::now();
        assert!(mine.acquire(now).await.is_admitted(), "turn {turn}");
        // The other one has been told to wait for a minute.
        assert!(!theirs.acquire(clock::now()).await.is_admitted());
        // Long after the answer, as when a request is cancelled late.
        pause(400).await;
        mine.refund(now);
        pause(300).await;
    }
}

#[tokio::test]
async fn g3_what_a_burst_left_unused_another_node_may_have() {
    let redis = PrivateRedis::start().await;
    let nodes = patient_pair(&redis.url()).await;
    pause(SETTLED).await;
    let limits = nodes
        .each_ref()
        .map(|node| limit(node, &policy(60, 3_600_000)));
    use_up_any(&limits[..1], 25).await;
    // A permit of an hour's limit lasts for a minute and more; those not touched go back long before.
    pause(700).await;
    use_up(&limits[1..], 35, 0).await;
    assert!(!limits[0].acquire(clock::now()).await.is_admitted());
}

#[tokio::test]
async fn g3_a_reload_forgets_nothing() {
    let redis = PrivateRedis::start().await;
    let nodes = patient_pair(&redis.url()).await;
    pause(SETTLED).await;
    let before = nodes.each_ref().map(|node| limit(node, &policy(5, 60_000)));
    use_up(&before, 5, 0).await;

    // The same policy, with nobody holding the limit in between.
    drop(before);
    let same = nodes.each_ref().map(|node| limit(node, &policy(5, 60_000)));
    for limit in &same {
        assert_eq!(refused(limit).await.remaining, 0);
    }

    // Another number: room for what was added, at once, and no more.
    let more = nodes.each_ref().map(|node| limit(node, &policy(7, 60_000)));
    drop(same);
    use_up(&more, 2, 0).await;
    let fewer = nodes.each_ref().map(|node| limit(node, &policy(6, 60_000)));
    drop(more);
    for limit in &fewer {
        assert_eq!(refused(limit).await.remaining, 0);
    }
}

#[tokio::test]
async fn g3_a_reload_with_another_window_forgets_nothing() {
    let redis = PrivateRedis::start().await;
    let nodes = patient_pair(&redis.url()).await;
    pause(SETTLED).await;
    let before = nodes.each_ref().map(|node| limit(node, &policy(8, 60_000)));
    use_up_any(&before, 6).await;
    let after = nodes
        .each_ref()
        .map(|node| limit(node, &policy(8, 120_000)));
    drop(before);
    // The second node reports although nobody asks it.
    pause(SETTLED).await;
    use_up(&after[..1], 2, 0).await;
}
