//! What each operation means where it is easily meant otherwise.

use std::time::Duration;

use bastide_store::{Event, Store, StoreError};
use futures_util::FutureExt;

use crate::suite::{Clock, SHORT, next_after};
use crate::support::eventually;

pub(crate) async fn the_shortest_and_the_longest_life(store: Store, clock: Clock) {
    let raw = store.raw();
    for (key, ttl) in [("zero", 0), ("less than a millisecond", 300)] {
        raw.set(key, b"1", Some(Duration::from_micros(ttl)))
            .await
            .unwrap();
        clock.pass(Duration::from_millis(2)).await;
        eventually("it expires", async || raw.get(key).await.unwrap().is_none()).await;
    }
    raw.set("long", b"1", Some(Duration::MAX)).await.unwrap();
    raw.increment("longer", 1, Some(Duration::MAX))
        .await
        .unwrap();
    clock.pass(SHORT).await;
    assert_eq!(
        raw.get_many(&["long", "longer"]).await.unwrap(),
        [Some(b"1".to_vec()), Some(b"1".to_vec())]
    );
}

pub(crate) async fn what_has_expired_is_as_if_never_there(store: Store, clock: Clock) {
    let raw = store.raw();
    for key in ["read", "deleted", "expected", "absent", "number"] {
        raw.set(key, b"7", Some(SHORT)).await.unwrap();
    }
    clock.pass(SHORT).await;
    eventually("they expire", async || {
        raw.get("number").await.unwrap().is_none()
    })
    .await;
    assert_eq!(raw.get_many(&["read"]).await.unwrap(), [None]);
    assert!(!raw.delete("deleted").await.unwrap());
    assert!(
        !raw.compare_and_set("expected", Some(b"7"), Some(b"8"), None)
            .await
            .unwrap()
    );
    assert!(
        raw.compare_and_set("absent", None, Some(b"8"), None)
            .await
            .unwrap()
    );
    assert_eq!(raw.increment("number", 1, Some(SHORT)).await, Ok(1));
    clock.pass(SHORT).await;
    eventually("the new number has the new life", async || {
        raw.get("number").await.unwrap().is_none()
    })
    .await;
}

pub(crate) async fn nothing_may_be_expected_and_put(store: Store, _: Clock) {
    let raw = store.raw();
    assert!(raw.compare_and_set("k", None, None, None).await.unwrap());
    assert_eq!(raw.get("k").await.unwrap(), None);
    raw.set("k", b"", None).await.unwrap();
    assert!(!raw.compare_and_set("k", None, None, None).await.unwrap());
    assert_eq!(raw.get("k").await.unwrap(), Some(vec![]));
}

pub(crate) async fn a_change_brings_its_own_life(store: Store, clock: Clock) {
    let raw = store.raw();
    raw.set("stays", b"1", Some(SHORT)).await.unwrap();
    assert!(
        raw.compare_and_set("stays", Some(b"1"), Some(b"2"), None)
            .await
            .unwrap()
    );
    raw.set("goes", b"1", None).await.unwrap();
    assert!(
        raw.compare_and_set("goes", Some(b"1"), Some(b"1"), Some(SHORT))
            .await
            .unwrap()
    );
    // A number without a life keeps none.
    raw.set("number", b"1", None).await.unwrap();
    raw.increment("number", 1, Some(SHORT)).await.unwrap();
    clock.pass(SHORT).await;
    eventually("it expires", async || {
        raw.get("goes").await.unwrap().is_none()
    })
    .await;
    assert_eq!(
        raw.get_many(&["stays", "number"]).await.unwrap(),
        [Some(b"2".to_vec()), Some(b"2".to_vec())]
    );
}

pub(crate) async fn numbers_are_written_in_one_way(store: Store, _: Clock) {
    let raw = store.raw();
    for text in [
        "",
        " 5",
        "5 ",
        "+5",
        "05",
        "-0",
        "5.0",
        "9223372036854775808",
    ] {
        raw.set("n", text.as_bytes(), None).await.unwrap();
        assert_eq!(
            raw.increment("n", 1, None).await,
            Err(StoreError::NotANumber),
            "{text:?}"
        );
        assert_eq!(
            raw.get("n").await.unwrap().as_deref(),
            Some(text.as_bytes())
        );
    }
    raw.set("n", b"-9223372036854775808", None).await.unwrap();
    assert_eq!(raw.increment("n", 1, None).await, Ok(i64::MIN + 1));
    assert_eq!(raw.increment("n", -1, None).await, Ok(i64::MIN));
    assert_eq!(
        raw.increment("n", -1, None).await,
        Err(StoreError::NotANumber)
    );
    assert_eq!(raw.increment("m", i64::MIN, None).await, Ok(i64::MIN));
}

pub(crate) async fn values_may_be_big(store: Store, _: Clock) {
    let raw = store.raw();
    let big: Vec<u8> = (0..4 << 20).map(|at: u32| (at % 251) as u8).collect();
    raw.set("big", &big, None).await.unwrap();
    assert!(raw.get("big").await.unwrap().as_ref() == Some(&big));
    assert!(
        raw.compare_and_set("big", Some(&big), Some(&big[1..]), None)
            .await
            .unwrap()
    );
    let both = raw.get_many(&["big", "big"]).await.unwrap();
    assert!(both.iter().all(|value| value.as_deref() == Some(&big[1..])));
    let mut listener = raw.subscribe("c").await.unwrap();
    raw.publish("c", &big[..1 << 20]).await.unwrap();
    assert!(listener.next().await == Some(Event::Message(big[..1 << 20].to_vec())));
}

pub(crate) async fn keys_may_be_odd(store: Store, _: Clock) {
    let raw = store.raw();
    let long = "k".repeat(10_000);
    let keys = [
        "", " ", "a b", "a\nb", "a\r\n$1", "\0", "a\0", "a\0b", "ключ", "🗝", "{}", "{x}y", "a{x}",
        "}{", "*", "%", "'; --", "A", "a", "a:b", &long,
    ];
    for key in keys {
        assert!(
            raw.set_if_absent(key, key.as_bytes(), None).await.unwrap(),
            "{key:?} is apart from the others"
        );
    }
    let values = raw.get_many(&keys).await.unwrap();
    for (key, value) in keys.iter().zip(values) {
        assert_eq!(value.as_deref(), Some(key.as_bytes()), "{key:?}");
        let mut listener = raw.subscribe(key).await.unwrap();
        raw.publish(key, key.as_bytes()).await.unwrap();
        assert_eq!(
            listener.next().await,
            Some(Event::Message(key.as_bytes().to_vec()))
        );
        assert!(raw.delete(key).await.unwrap());
    }
}

pub(crate) async fn a_listener_hears_what_comes_after_it_in_order(store: Store, _: Clock) {
    let raw = store.raw();
    let mut first = raw.subscribe("c").await.unwrap();
    raw.publish("c", &[0]).await.unwrap();
    let mut second = raw.subscribe("c").await.unwrap();
    let gone = raw.subscribe("c").await.unwrap();
    drop(gone);
    for number in 1..=100 {
        raw.publish("c", &[number]).await.unwrap();
    }
    for number in 0..=100 {
        // A call that was given up takes nothing with it.
        let event = match first.next().now_or_never() {
            Some(event) => event,
            None => first.next().await,
        };
        assert_eq!(event, Some(Event::Message(vec![number])));
    }
    let event = next_after(&[0], &store, &mut second).await;
    assert_eq!(event, Some(Event::Message(vec![1])));
    for number in 2..=100 {
        assert_eq!(second.next().await, Some(Event::Message(vec![number])));
    }
    drop((first, second));
    raw.publish("c", b"nobody").await.unwrap();
    let mut later = raw.subscribe("c").await.unwrap();
    raw.publish("c", b"later").await.unwrap();
    let event = next_after(b"nobody", &store, &mut later).await;
    assert_eq!(event, Some(Event::Message(b"later".to_vec())));
}

pub(crate) async fn calls_that_are_given_up_harm_nobody(store: Store, _: Clock) {
    let raw = store.raw();
    raw.set("n", b"0", None).await.unwrap();
    let mut done = 0;
    for round in 0..200u32 {
        let mut adding = Box::pin(raw.increment("n", 1, None));
        // Given up at different points of its way.
        let mut is_done = false;
        for _ in 0..round % 5 {
            if let Some(result) = adding.as_mut().now_or_never() {
                result.unwrap();
                is_done = true;
                break;
            }
            tokio::task::yield_now().await;
        }
        done += i64::from(is_done);
        drop(adding);
        drop(raw.subscribe("c").now_or_never());
    }
    let sum = raw.increment("n", 0, None).await.unwrap();
    assert!((done..=200).contains(&sum), "{done} {sum}");
    assert_eq!(raw.increment("n", 1, None).await, Ok(sum + 1));
    let mut listener = raw.subscribe("c").await.unwrap();
    raw.publish("c", b"1").await.unwrap();
    assert_eq!(listener.next().await, Some(Event::Message(b"1".to_vec())));
}
