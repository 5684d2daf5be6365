//! Namespaces in databases of their own.

use std::collections::HashMap;

use bastide_store::{Event, Namespace, RedisOptions, RedisUrl, Store, StoreError};

use crate::support::PrivateRedis;

fn store(url: &str, databases: &[(Namespace, u32)]) -> Result<Store, StoreError> {
    let databases: HashMap<_, _> = databases.iter().copied().collect();
    let url = RedisUrl::parse(url).unwrap();
    Store::redis_with_databases(&url, RedisOptions::default(), &databases)
}

#[tokio::test]
async fn each_namespace_is_in_its_database() {
    let server = PrivateRedis::start().await;
    let databases = [
        (Namespace::Sessions, 0),
        (Namespace::Cache, 1),
        (Namespace::Queue, 1),
    ];
    let store = store(&format!("{}/4", server.url()), &databases).unwrap();
    store.ping().await.unwrap();
    let places = [
        (Namespace::Sessions, 0),
        (Namespace::Cache, 1),
        (Namespace::Queue, 1),
        (Namespace::Locks, 4),
    ];
    for (namespace, index) in places {
        let space = store.namespace(namespace);
        space.set("k", b"1", None).await.unwrap();
        let key = format!("{}k", namespace.prefix());
        for database in [0, 1, 4] {
            let url = RedisUrl::parse(&format!("{}/{database}", server.url())).unwrap();
            let there = Store::redis(&url, RedisOptions::default()).unwrap().raw();
            assert_eq!(
                there.get(&key).await.unwrap().is_some(),
                database == index,
                "{key} in {database}"
            );
        }
        let mut listener = space.subscribe("c").await.unwrap();
        space.publish("c", b"1").await.unwrap();
        assert_eq!(listener.next().await, Some(Event::Message(b"1".to_vec())));
    }
    assert_eq!(
        store.raw().get("locks:k").await.unwrap(),
        Some(b"1".to_vec()),
        "raw keys are in the URL's database"
    );
}

#[tokio::test]
async fn a_database_that_the_server_has_not_is_an_error() {
    let server = PrivateRedis::start().await;
    let store = store(&server.url(), &[(Namespace::Cache, 999)]).unwrap();
    assert!(store.ping().await.is_err());
    assert!(store.namespace(Namespace::Cache).get("k").await.is_err());
    store.namespace(Namespace::Queue).get("k").await.unwrap();
}

#[tokio::test]
async fn a_cluster_has_no_databases() {
    let error = store("redis+cluster://127.0.0.1:1", &[(Namespace::Cache, 1)]).unwrap_err();
    assert!(error.to_string().contains("only database 0"), "{error}");
}
