//! What is said to Redis, and when.

use std::time::Duration;

use bastide_limit::{LimitKey, SharedOptions, clock};
use bastide_store::{Call, RedisOptions, RedisStore, RedisUrl, Reply, Script};

use crate::load::{Node, limit, pause, policy};
use crate::support::{PrivateRedis, eventually};

/// How many scripts the server has run.
async fn scripts_run(redis: &RedisStore) -> i64 {
    let script = Script::new(
        "return tonumber(string.match(redis.call('INFO', 'commandstats'), 'cmdstat_evalsha:calls=(%d+)')) or 0",
    );
    match redis.run(&script, &Call::new()).await.unwrap() {
        Reply::Int(calls) => calls,
        other => panic!("{other:?}"),
    }
}

fn quiet() -> SharedOptions {
    SharedOptions {
        heartbeat: Duration::from_hours(1),
        ..SharedOptions::default()
    }
}

#[tokio::test]
async fn g3_an_idle_limiter_says_nothing() {
    let server = PrivateRedis::start().await;
    let redis = RedisStore::new(
        &RedisUrl::parse(&server.url()).unwrap(),
        RedisOptions::default(),
    )
    .unwrap();
    let node = Node::start_with(&server.url(), quiet());
    eventually("connected", async || node.limiter.is_connected()).await;
    pause(3_200).await;
    let limit = limit(&node, &policy(1000, 60_000));
    for _ in 0..100 {
        assert!(limit.acquire(clock::now()).await.is_admitted());
    }
    // What is left of the last lease goes back after a while, and then there is silence.
    let mut before = scripts_run(&redis).await;
    eventually("silence", async || {
        pause(700).await;
        let after = scripts_run(&redis).await;
        // One is the question itself.
        std::mem::replace(&mut before, after) + 1 == after
    })
    .await;
    assert!(limit.acquire(clock::now()).await.is_admitted());
}

#[tokio::test]
async fn g3_messages_follow_time_not_requests() {
    let server = PrivateRedis::start().await;
    let redis = RedisStore::new(
        &RedisUrl::parse(&server.url()).unwrap(),
        RedisOptions::default(),
    )
    .unwrap();
    let node = Node::start_with(&server.url(), quiet());
    eventually("connected", async || node.limiter.is_connected()).await;
    pause(3_200).await;
    let limit = limit(&node, &policy(1_000_000, 60_000));
    let load = node.load(&limit, Duration::from_millis(2), 40);
    pause(1_000).await;
    let (before, already) = (scripts_run(&redis).await, load.log.admitted());
    pause(2_000).await;
    let (calls, requests) = (
        scripts_run(&redis).await - before,
        load.log.admitted() - already,
    );
    load.stop().await;
    println!("{requests} requests, {calls} calls");
    assert!(requests > 10_000, "{requests}");
    assert!(calls < 60, "{calls} calls for {requests} requests");
}

#[tokio::test]
async fn g3_many_limits_travel_in_one_message() {
    let server = PrivateRedis::start().await;
    let node = Node::start(&server.url());
    eventually("connected", async || node.limiter.is_connected()).await;
    let mut asking = tokio::task::JoinSet::new();
    for id in 0..200 {
        let limit = node
            .limiter
            .handle(LimitKey::new("tenant", &id.to_string()), &policy(10, 1000));
        asking.spawn(async move { limit.acquire(clock::now()).await.is_admitted() });
    }
    assert!(asking.join_all().await.into_iter().all(|admitted| admitted));
}
