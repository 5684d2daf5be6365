//! A server that goes and comes back.

use std::time::{Duration, Instant};

use bastide_store::{Call, Event, Kind, RedisOptions, RedisUrl, Reply, Script, Store};

use crate::support::{PrivateRedis, eventually};

fn store(server: &PrivateRedis) -> Store {
    let options = RedisOptions {
        connect_timeout: Duration::from_millis(300),
        response_timeout: Duration::from_millis(300),
    };
    Store::redis(&RedisUrl::parse(&server.url()).unwrap(), options).unwrap()
}

#[tokio::test]
async fn calls_fail_in_time_and_work_again_by_themselves() {
    let mut server = PrivateRedis::start().await;
    let store = store(&server);
    assert_eq!(store.kind(), Kind::Redis);
    store
        .raw()
        .set("platform:maintenance", b"1", None)
        .await
        .unwrap();
    server.kill();
    for _ in 0..3 {
        let start = Instant::now();
        let error = store.raw().get("platform:maintenance").await.unwrap_err();
        assert!(error.is_unavailable(), "{error:?}");
        assert!(start.elapsed() < Duration::from_secs(2));
    }
    server.restart().await;
    eventually("it works again", async || store.ping().await.is_ok()).await;
    assert_eq!(store.raw().get("platform:maintenance").await.unwrap(), None);
}

#[tokio::test]
async fn a_store_may_be_made_while_its_server_is_away() {
    let mut server = PrivateRedis::start().await;
    server.kill();
    let store = store(&server);
    assert!(store.ping().await.unwrap_err().is_unavailable());
    assert!(
        store
            .raw()
            .subscribe("c")
            .await
            .unwrap_err()
            .is_unavailable()
    );
    server.restart().await;
    eventually("it works", async || store.ping().await.is_ok()).await;
}

#[tokio::test]
async fn a_listener_learns_that_the_connection_broke() {
    let mut server = PrivateRedis::start().await;
    let store = store(&server);
    let mut listener = store.raw().subscribe("c").await.unwrap();
    server.restart().await;
    let event = tokio::time::timeout(Duration::from_secs(10), listener.next())
        .await
        .unwrap();
    assert_eq!(event, Some(Event::Missed));
    eventually("it can be told", async || {
        store.raw().publish("c", b"again").await.is_ok()
    })
    .await;
    let event = tokio::time::timeout(Duration::from_secs(10), listener.next())
        .await
        .unwrap();
    assert_eq!(event, Some(Event::Message(b"again".to_vec())));
}

#[tokio::test]
async fn scripts_are_loaded_where_the_server_forgot_them() {
    let server = PrivateRedis::start().await;
    let store = store(&server);
    let redis = store.as_redis().unwrap();
    let script = Script::new("return {KEYS[1], tonumber(ARGV[1]) + 1, false}");
    let call = Call::new().key("k").number(41);
    let expected = Reply::List(vec![
        Reply::Bytes(b"k".to_vec()),
        Reply::Int(42),
        Reply::Nil,
    ]);
    assert_eq!(redis.run(&script, &call).await.unwrap(), expected);
    let forget = Script::new("return redis.call('PING')");
    assert_eq!(
        redis.run(&forget, &Call::new()).await.unwrap(),
        Reply::Bytes(b"PONG".to_vec())
    );
    assert_eq!(redis.run(&script, &call).await.unwrap(), expected);
}

#[tokio::test]
async fn a_password_is_used_and_not_shown() {
    let server = PrivateRedis::start_with(&["--requirepass", "hunter2"]).await;
    let wrong = RedisUrl::parse(&server.url().replace("//", "//:hunter3@")).unwrap();
    let right = RedisUrl::parse(&server.url().replace("//", "//:hunter2@")).unwrap();
    let store = |url| Store::redis(url, RedisOptions::default()).unwrap();
    let error = store(&wrong).ping().await.unwrap_err();
    let open = store(&right);
    open.ping().await.unwrap();
    let shown = format!("{error} {error:?} {open:?} {wrong:?}");
    assert!(
        error.is_unavailable() && !shown.contains("hunter"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_lock_is_lost_with_its_server_and_tokens_go_on_growing() {
    let mut server = PrivateRedis::start().await;
    let store = store(&server);
    let ttl = Duration::from_secs(1);
    let guard = store.lock("l", ttl).await.unwrap().unwrap();
    server.kill();
    tokio::time::timeout(Duration::from_secs(10), guard.lost())
        .await
        .unwrap();
    assert!(store.lock("l", ttl).await.unwrap_err().is_unavailable());
    server.restart().await;
    eventually("it works again", async || store.ping().await.is_ok()).await;
    let next = store.lock("l", ttl).await.unwrap().unwrap();
    assert!(
        next.token() > guard.token(),
        "the server knows nothing any more"
    );
    assert!(!next.is_lost());
}

#[tokio::test]
async fn a_lock_outlives_a_short_outage() {
    let server = PrivateRedis::start().await;
    let store = store(&server);
    let guard = store
        .lock("l", Duration::from_secs(3))
        .await
        .unwrap()
        .unwrap();
    // Long enough to fail a renewal, which comes after a second; the connection hangs meanwhile.
    server.pause_for(Duration::from_millis(1_500)).await;
    tokio::time::timeout(Duration::from_secs(2), guard.lost())
        .await
        .unwrap_err();
    assert_eq!(guard.release().await, Ok(true));
}
