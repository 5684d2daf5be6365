//! Outputs that are kept, and calls that make them void. Two processes are two dispatchers on one store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bastide_auth::{Claims, Issuer, Keys, Policy, SigningKey, Verifier};
use bastide_cache::{Cache, CacheOptions};
use bastide_config::Secret;
use bastide_context::{Call, Cx, Public};
use bastide_rpc::{
    Cached, Credentials, Dispatcher, Invocation, Method, Output, Problem, Registry, RegistryError,
    Service,
};
use bastide_store::Store;
use bastide_telemetry::metrics;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
struct Item {
    id: u32,
    #[serde(default)]
    fail: bool,
}

/// Who asked, what for, and how often that was worked out.
fn notes(worked: &Arc<AtomicU32>) -> Service {
    let counter = || {
        let worked = worked.clone();
        move || worked.fetch_add(1, Ordering::Relaxed) + 1
    };
    let lasting = || Cached::lasting(Duration::from_secs(60)).tags(["note:{id}"]);
    let (find, own, open) = (counter(), counter(), counter());
    let read = Method::named("find")
        .policy(Policy::identified())
        .cached(lasting())
        .handler(move |cx: Cx, item: Item| {
            let times = find();
            async move {
                let failed = || Problem::new(404, "no_note", "there is no such note");
                if item.fail {
                    Err(failed())
                } else {
                    Ok(json!([cx.tenant().as_str(), item.id, times]))
                }
            }
        });
    let own = Method::named("own")
        .policy(Policy::identified())
        .cached(lasting().for_each_caller())
        .handler(move |cx: Cx, _: Item| {
            let times = own();
            async move { Ok::<_, Problem>(json!([cx.actor(), times])) }
        });
    let open = Method::named("open")
        .public("it is the same for all")
        .cached(lasting())
        .handler(move |_: Cx<Public>, _: Item| {
            let times = open();
            async move { Ok::<_, Problem>(times) }
        });
    let change = Method::named("change")
        .policy(Policy::identified())
        .invalidates(["note:{id}"])
        .handler(|_: Cx, item: Item| async move {
            if item.fail {
                Err(Problem::internal())
            } else {
                Ok(())
            }
        });
    let stuck = Method::named("stuck")
        .within(Duration::from_millis(50))
        .policy(Policy::identified())
        .invalidates(["note:{id}"])
        .handler(|_: Cx, _: Item| async { std::future::pending::<Result<(), Problem>>().await });
    let service = Service::new("notes", "1.0.0").unwrap();
    [read, own, open, change, stuck]
        .into_iter()
        .fold(service, Service::method)
}

fn secret() -> Secret {
    Secret::new("a secret of at least thirty-two bytes")
}

async fn dispatcher(store: &Store, worked: &Arc<AtomicU32>) -> Arc<Dispatcher> {
    let cache = Cache::new(store, CacheOptions::default()).await.unwrap();
    let registry = Registry::new([notes(worked)]).unwrap();
    let dispatcher = Dispatcher::new(registry, &metrics::Registry::new(), Some(cache)).unwrap();
    Arc::new(dispatcher.verifier(Verifier::new(Keys::hs256(&secret()).unwrap())))
}

fn by(subject: &str, tenant: &str) -> Credentials {
    let issuer = Issuer::new(SigningKey::hs256(&secret()).unwrap());
    Credentials::Bearer(issuer.sign(&Claims::new(subject).tenant(tenant)).unwrap())
}

async fn call(
    dispatcher: &Arc<Dispatcher>,
    who: &Credentials,
    method: &str,
    input: Value,
) -> Result<Value, u16> {
    let entry = dispatcher
        .registry()
        .find(&format!("notes/{method}"))
        .unwrap();
    let invocation = Invocation {
        entry,
        input: async { Ok(Bytes::from(input.to_string())) },
        credentials: who,
        call: Call::within(Duration::from_secs(5)),
        peer: None,
    };
    match dispatcher.dispatch(invocation).await.result {
        Ok(Output::Whole(json)) => Ok(serde_json::from_slice(&json).unwrap()),
        Ok(Output::Stream(_)) => panic!("no method here gives a stream"),
        Err(problem) => Err(problem.status()),
    }
}

#[tokio::test]
async fn s8_an_output_is_worked_out_once_for_a_tenant() {
    let notes = dispatcher(&Store::memory(), &Arc::default()).await;
    let (ada, bob, eve) = (by("ada", "acme"), by("bob", "acme"), by("eve", "globex"));
    for who in [&ada, &ada, &bob] {
        assert_eq!(
            call(&notes, who, "find", json!({"id": 7})).await,
            Ok(json!(["acme", 7, 1]))
        );
    }
    assert_eq!(
        call(&notes, &eve, "find", json!({"id": 7})).await,
        Ok(json!(["globex", 7, 2]))
    );
    assert_eq!(
        call(&notes, &ada, "find", json!({"id": 8})).await,
        Ok(json!(["acme", 8, 3]))
    );
    // The same input, spelled otherwise.
    assert_eq!(
        call(&notes, &ada, "find", json!({"id": 7})).await,
        Ok(json!(["acme", 7, 1]))
    );
    assert_eq!(
        call(&notes, &Credentials::None, "find", json!({"id": 7})).await,
        Err(401)
    );
}

#[tokio::test]
async fn s8_an_output_of_ones_own_is_not_told_to_others() {
    let notes = dispatcher(&Store::memory(), &Arc::default()).await;
    for (who, times) in [("ada", 1), ("bob", 2), ("ada", 1)] {
        assert_eq!(
            call(&notes, &by(who, "acme"), "own", json!({"id": 1})).await,
            Ok(json!([who, times]))
        );
    }
}

#[tokio::test]
async fn s8_a_public_output_is_one_for_strangers() {
    let notes = dispatcher(&Store::memory(), &Arc::default()).await;
    for (who, times) in [
        (Credentials::None, 1),
        (by("ada", "acme"), 2),
        (Credentials::None, 1),
    ] {
        assert_eq!(
            call(&notes, &who, "open", json!({"id": 1})).await,
            Ok(json!(times))
        );
    }
}

#[tokio::test]
async fn s8_a_change_makes_outputs_void_in_every_process() {
    let store = Store::memory();
    let worked = Arc::default();
    let (one, other) = (
        dispatcher(&store, &worked).await,
        dispatcher(&store, &worked).await,
    );
    let (ada, eve) = (by("ada", "acme"), by("eve", "globex"));
    for who in [&ada, &eve] {
        call(&one, who, "find", json!({"id": 7})).await.unwrap();
        call(&one, who, "find", json!({"id": 8})).await.unwrap();
    }
    assert_eq!(worked.load(Ordering::Relaxed), 4);
    call(&other, &ada, "change", json!({"id": 7}))
        .await
        .unwrap();
    let changed = async || call(&one, &ada, "find", json!({"id": 7})).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while changed().await != Ok(json!(["acme", 7, 5])) {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the other process serves what is void"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Another note, and another tenant's of the same id, are as they were.
    assert_eq!(
        call(&one, &ada, "find", json!({"id": 8})).await,
        Ok(json!(["acme", 8, 2]))
    );
    assert_eq!(
        call(&one, &eve, "find", json!({"id": 7})).await,
        Ok(json!(["globex", 7, 3]))
    );
}

#[tokio::test]
async fn s8_a_change_that_fails_or_is_given_up_may_have_happened() {
    let notes = dispatcher(&Store::memory(), &Arc::default()).await;
    let ada = by("ada", "acme");
    let find = async || call(&notes, &ada, "find", json!({"id": 7})).await.unwrap()[2].clone();
    assert_eq!((find().await, find().await), (json!(1), json!(1)));
    assert_eq!(
        call(&notes, &ada, "change", json!({"id": 7, "fail": true})).await,
        Err(500)
    );
    assert_eq!(find().await, json!(2));
    assert_eq!(
        call(&notes, &ada, "stuck", json!({"id": 7})).await,
        Err(504)
    );
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while find().await != json!(3) {
        assert!(
            tokio::time::Instant::now() < deadline,
            "what was given up left an old output"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn s8_a_problem_is_not_kept() {
    let worked = Arc::default();
    let notes = dispatcher(&Store::memory(), &worked).await;
    for _ in 0..2 {
        assert_eq!(
            call(
                &notes,
                &by("ada", "acme"),
                "find",
                json!({"id": 7, "fail": true})
            )
            .await,
            Err(404)
        );
    }
    assert_eq!(worked.load(Ordering::Relaxed), 2);
}

#[test]
fn s8_a_cache_that_is_missing_or_a_tag_that_cannot_be_made_stops_the_start() {
    let registry = Registry::new([notes(&Arc::default())]).unwrap();
    let error = Dispatcher::new(registry, &metrics::Registry::new(), None).unwrap_err();
    assert_eq!(error, RegistryError::NoCache("notes@1.0.0/find".to_owned()));
    let method = Method::named("change")
        .policy(Policy::identified())
        .invalidates(["note:{note_id}"])
        .handler(|_: Cx, _: Item| async { Ok::<_, Problem>(()) });
    let service = Service::new("notes", "1.0.0").unwrap().method(method);
    let error = Registry::new([service]).unwrap_err().to_string();
    assert_eq!(
        error,
        "the tag \"note:{note_id}\" of `notes@1.0.0/change` names `note_id`, which is no member of its input"
    );
}
