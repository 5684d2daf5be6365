//! Several servers that share the keys.

use std::time::{Duration, Instant};

use bastide_store::{Call, Event, Kind, RedisOptions, RedisUrl, Reply, Script, Store, StoreError};
use bastide_testkit::{Redis, RedisCluster};

use crate::support::eventually;

fn store(addresses: &str) -> Store {
    let options = RedisOptions {
        connect_timeout: Duration::from_millis(500),
        response_timeout: Duration::from_millis(500),
    };
    let url = RedisUrl::parse(&format!("redis+cluster://{addresses}")).unwrap();
    Store::redis(&url, options).unwrap()
}

/// `b` has slot 3300, on the first node; `c` 7365, on the second; `a` 15495, on the third.
const KEYS: [&str; 3] = ["a", "b", "c"];

#[tokio::test]
async fn keys_of_all_nodes_are_read_at_once() {
    let cluster = RedisCluster::start().unwrap();
    let store = store(&cluster.addresses());
    assert_eq!(store.kind(), Kind::RedisCluster);
    let raw = store.raw();
    for key in KEYS {
        raw.set(key, key.as_bytes(), None).await.unwrap();
    }
    assert_eq!(
        raw.get_many(&["c", "none", "a", "b", "a"]).await.unwrap(),
        [
            Some(b"c".to_vec()),
            None,
            Some(b"a".to_vec()),
            Some(b"b".to_vec()),
            Some(b"a".to_vec())
        ]
    );
}

#[tokio::test]
async fn one_node_is_enough_to_find_the_others() {
    let mut cluster = RedisCluster::start().unwrap();
    let one = format!("127.0.0.1:{}", cluster.nodes()[1].port());
    let raw = store(&one).raw();
    for key in KEYS {
        raw.set(key, b"1", None).await.unwrap();
    }
    let gone = format!("127.0.0.1:{},{one}", bastide_testkit::free_port());
    assert_eq!(
        store(&gone).raw().get_many(&KEYS).await.unwrap(),
        vec![Some(b"1".to_vec()); 3]
    );
}

#[tokio::test]
async fn messages_cross_from_node_to_node() {
    let mut cluster = RedisCluster::start().unwrap();
    let ports: Vec<u16> = cluster.nodes().iter().map(Redis::port).collect();
    let mut listeners = Vec::new();
    for port in &ports {
        let store = store(&format!("127.0.0.1:{port}"));
        listeners.push(store.raw().subscribe("news").await.unwrap());
    }
    let teller = store(&cluster.addresses());
    teller.raw().publish("news", b"1").await.unwrap();
    for listener in &mut listeners {
        assert_eq!(listener.next().await, Some(Event::Message(b"1".to_vec())));
    }
}

#[tokio::test]
async fn a_key_that_has_moved_is_found() {
    let cluster = RedisCluster::start().unwrap();
    let raw = store(&cluster.addresses()).raw();
    assert_eq!(raw.get("a").await.unwrap(), None);
    cluster.move_slot(15_495, 0).unwrap();
    raw.set("a", b"1", None).await.unwrap();
    assert_eq!(raw.increment("a", 1, None).await, Ok(2));
    assert_eq!(
        raw.get_many(&["b", "a"]).await.unwrap(),
        [None, Some(b"2".to_vec())]
    );
}

#[tokio::test]
async fn scripts_run_where_their_keys_share_a_tag() {
    let cluster = RedisCluster::start().unwrap();
    let store = store(&cluster.addresses());
    let redis = store.as_redis().unwrap();
    let script =
        Script::new("redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[2])");
    for tag in KEYS {
        store
            .raw()
            .set(&format!("second:{{{tag}}}"), tag.as_bytes(), None)
            .await
            .unwrap();
        let call = Call::new()
            .key(format!("first:{{{tag}}}"))
            .key(format!("second:{{{tag}}}"))
            .arg("1");
        assert_eq!(
            redis.run(&script, &call).await,
            Ok(Reply::Bytes(tag.as_bytes().to_vec()))
        );
    }
    let apart = Call::new().key("a").key("b").arg("1");
    assert!(matches!(
        redis.run(&script, &apart).await,
        Err(StoreError::Refused(_))
    ));
    let timeout = Duration::from_secs(1);
    let error = redis.connect(timeout).await.unwrap_err();
    assert_eq!(error.code(), "store_refused");
}

#[tokio::test]
async fn a_node_that_is_away_makes_calls_fail_in_time_until_it_is_back() {
    let mut cluster = RedisCluster::start().unwrap();
    let store = store(&cluster.addresses());
    let raw = store.raw();
    raw.set("a", b"1", None).await.unwrap();
    cluster.nodes()[2].kill();
    for _ in 0..5 {
        let start = Instant::now();
        let error = raw.set("a", b"2", None).await.unwrap_err();
        assert!(error.is_unavailable(), "{error:?}");
        assert!(start.elapsed() < Duration::from_secs(2));
    }
    cluster.nodes()[2].restart().unwrap();
    eventually("it works again", async || {
        raw.set("a", b"3", None).await.is_ok()
            && raw.get_many(&KEYS).await == Ok(vec![Some(b"3".to_vec()), None, None])
            && store.ping().await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_cluster_may_be_away_at_first() {
    let mut cluster = RedisCluster::start().unwrap();
    for node in cluster.nodes() {
        node.kill();
    }
    let store = store(&cluster.addresses());
    assert!(store.ping().await.unwrap_err().is_unavailable());
    assert!(
        store
            .raw()
            .subscribe("c")
            .await
            .unwrap_err()
            .is_unavailable()
    );
    for node in cluster.nodes() {
        node.restart().unwrap();
    }
    eventually("it works", async || {
        store.ping().await.is_ok() && store.raw().set("a", b"1", None).await.is_ok()
    })
    .await;
}
