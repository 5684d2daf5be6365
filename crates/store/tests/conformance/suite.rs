//! What each operation means.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bastide_store::{Event, Kind, Namespace, Store, StoreError, Subscription};

use crate::support::eventually;

/// How a test lets time pass.
pub(crate) enum Clock {
    /// The store is told the time, in milliseconds.
    Held(Arc<AtomicU64>),
    /// The server has its own.
    Real,
}

impl Clock {
    /// Lets that much time pass, or waits until it must have.
    pub(crate) async fn pass(&self, time: Duration) {
        match self {
            Self::Held(now) => {
                now.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
            }
            Self::Real => tokio::time::sleep(time).await,
        }
    }
}

/// The next event. On Redis Cluster, whose nodes tell each other, `before` may come first: what was said before the listener
/// was there.
pub(crate) async fn next_after(
    before: &[u8],
    store: &Store,
    listener: &mut Subscription,
) -> Option<Event> {
    let event = listener.next().await;
    if store.kind() == Kind::RedisCluster && event == Some(Event::Message(before.to_vec())) {
        return listener.next().await;
    }
    event
}

pub(crate) const SHORT: Duration = Duration::from_millis(200);

pub(crate) async fn values_are_put_read_and_deleted(store: Store, _: Clock) {
    let raw = store.raw();
    store.ping().await.unwrap();
    assert_eq!(raw.get("a").await.unwrap(), None);
    raw.set("a", b"one", None).await.unwrap();
    raw.set("empty", b"", None).await.unwrap();
    raw.set("bytes", &[0, 255, 10], None).await.unwrap();
    assert_eq!(raw.get("a").await.unwrap().as_deref(), Some(&b"one"[..]));
    let many = raw.get_many(&["bytes", "none", "empty"]).await.unwrap();
    assert_eq!(many, [Some(vec![0, 255, 10]), None, Some(vec![])]);
    assert!(raw.get_many(&[]).await.unwrap().is_empty());
    assert!(raw.delete("a").await.unwrap());
    assert!(!raw.delete("a").await.unwrap());
    assert_eq!(raw.get("a").await.unwrap(), None);
}

pub(crate) async fn values_expire(store: Store, clock: Clock) {
    let raw = store.raw();
    raw.set("short", b"1", Some(SHORT)).await.unwrap();
    raw.set("long", b"1", Some(Duration::from_hours(1)))
        .await
        .unwrap();
    raw.set("renewed", b"1", Some(SHORT)).await.unwrap();
    raw.set("renewed", b"2", None).await.unwrap();
    assert!(raw.get("short").await.unwrap().is_some());
    clock.pass(SHORT).await;
    eventually("it expires", async || {
        raw.get("short").await.unwrap().is_none()
    })
    .await;
    assert!(raw.get("long").await.unwrap().is_some());
    assert!(
        raw.get("renewed").await.unwrap().is_some(),
        "a new value has no old expiry"
    );
    assert!(raw.set_if_absent("short", b"2", None).await.unwrap());
}

pub(crate) async fn compare_and_set_changes_only_what_it_expects(store: Store, clock: Clock) {
    let raw = store.raw();
    assert!(
        !raw.compare_and_set("k", Some(b"1"), Some(b"2"), None)
            .await
            .unwrap()
    );
    assert!(
        raw.compare_and_set("k", None, Some(b"1"), None)
            .await
            .unwrap()
    );
    assert!(
        !raw.compare_and_set("k", None, Some(b"2"), None)
            .await
            .unwrap()
    );
    assert!(
        raw.compare_and_set("k", Some(b"1"), Some(b""), None)
            .await
            .unwrap()
    );
    assert!(
        !raw.compare_and_set("k", None, Some(b"2"), None)
            .await
            .unwrap(),
        "an empty value is a value"
    );
    assert!(
        !raw.compare_and_set("k", Some(b"1"), None, None)
            .await
            .unwrap()
    );
    assert!(
        raw.compare_and_set("k", Some(b""), None, None)
            .await
            .unwrap()
    );
    assert_eq!(raw.get("k").await.unwrap(), None);
    assert!(
        raw.compare_and_set("k", None, Some(b"1"), Some(SHORT))
            .await
            .unwrap()
    );
    clock.pass(SHORT).await;
    eventually("it expires", async || raw.get("k").await.unwrap().is_none()).await;
}

pub(crate) async fn only_one_of_many_sets_an_absent_key(store: Store, _: Clock) {
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..50 {
        let locks = store.namespace(Namespace::Locks);
        tasks.spawn(async move {
            locks
                .set_if_absent("one", &[index], Some(Duration::from_mins(1)))
                .await
                .unwrap()
        });
    }
    assert_eq!(
        tasks
            .join_all()
            .await
            .into_iter()
            .filter(|won| *won)
            .count(),
        1
    );
}

pub(crate) async fn numbers_are_added_up(store: Store, clock: Clock) {
    let raw = store.raw();
    assert_eq!(raw.increment("n", 2, Some(SHORT)).await, Ok(2));
    assert_eq!(
        raw.increment("n", -5, Some(Duration::from_hours(1))).await,
        Ok(-3)
    );
    assert_eq!(raw.get("n").await.unwrap().as_deref(), Some(&b"-3"[..]));
    clock.pass(SHORT).await;
    eventually("the first expiry holds", async || {
        raw.get("n").await.unwrap().is_none()
    })
    .await;
    raw.set("text", b"two", None).await.unwrap();
    assert_eq!(
        raw.increment("text", 1, None).await,
        Err(StoreError::NotANumber)
    );
    raw.set("most", i64::MAX.to_string().as_bytes(), None)
        .await
        .unwrap();
    assert_eq!(
        raw.increment("most", 1, None).await,
        Err(StoreError::NotANumber)
    );
}

pub(crate) async fn namespaces_are_apart(store: Store, _: Clock) {
    store
        .namespace(Namespace::Cache)
        .set("k", b"cache", None)
        .await
        .unwrap();
    store
        .namespace(Namespace::Queue)
        .set("k", b"queue", None)
        .await
        .unwrap();
    assert_eq!(
        store
            .namespace(Namespace::Cache)
            .get("k")
            .await
            .unwrap()
            .as_deref(),
        Some(&b"cache"[..])
    );
    assert_eq!(
        store.raw().get("queue:k").await.unwrap().as_deref(),
        Some(&b"queue"[..])
    );
    assert_eq!(store.raw().get("k").await.unwrap(), None);
}

pub(crate) async fn messages_reach_those_who_listen(store: Store, _: Clock) {
    let gateway = store.namespace(Namespace::Gateway);
    let early = b"nobody hears this";
    gateway.publish("news", early).await.unwrap();
    let mut first = gateway.subscribe("news").await.unwrap();
    let mut second = gateway.subscribe("news").await.unwrap();
    let mut other = gateway.subscribe("else").await.unwrap();
    gateway.publish("news", b"1").await.unwrap();
    gateway.publish("else", b"2").await.unwrap();
    for listener in [&mut first, &mut second] {
        assert_eq!(
            next_after(early, &store, listener).await,
            Some(Event::Message(b"1".to_vec()))
        );
    }
    assert_eq!(other.next().await, Some(Event::Message(b"2".to_vec())));
}

pub(crate) async fn a_slow_listener_learns_that_it_missed_something(store: Store, _: Clock) {
    let raw = store.raw();
    let mut slow = raw.subscribe("c").await.unwrap();
    let mut quick = raw.subscribe("c").await.unwrap();
    for number in 0..3_000u32 {
        raw.publish("c", &number.to_be_bytes()).await.unwrap();
        while number % 500 == 0
            && quick.next().await != Some(Event::Message(number.to_be_bytes().to_vec()))
        {}
    }
    while quick.next().await != Some(Event::Message(2_999u32.to_be_bytes().to_vec())) {}
    // The quick one has seen the last, so the slow one's backlog has been overrun, at the latest very soon.
    let mut missed = false;
    while let Some(event) = slow.next().await {
        missed |= event == Event::Missed;
        if event == Event::Message(2_999u32.to_be_bytes().to_vec()) {
            break;
        }
    }
    assert!(missed);
}
