//! The Rust client: what is checked in is what is made now, and it works.

use std::collections::BTreeMap;
use std::path::Path;

use bastide_client::generate;

use crate::generated::{
    CONTRACT, Id, Kind, KindDelivery, Order, OrdersClient, Payment, Search, Shares, State, Term,
};
use crate::orders::{document, served};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client/generated.rs");

/// With `UPDATE_GENERATED=1` the file is written anew.
#[test]
fn s14_the_rust_client_that_is_checked_in_is_what_is_made_now() {
    let made = generate::rust(&document()).unwrap();
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(Path::new(FILE), &made).unwrap();
    }
    let checked_in = std::fs::read_to_string(FILE).unwrap();
    assert!(
        checked_in == made,
        "run this test with UPDATE_GENERATED=1, and look at the difference"
    );
    assert_eq!(CONTRACT, generate::contract(&document()));
}

#[tokio::test]
async fn s14_the_rust_client_calls_a_running_service() {
    let (_server, client, _) = served().await;
    let orders = OrdersClient::new(client);
    let mut order: Order = orders.find(&Id { id: 7 }).await.unwrap();
    assert_eq!((order.id, order.state), (7, State::InTheKitchen));
    assert_eq!(order.payment, Payment::Split(Shares { among: 3 }));
    assert_eq!(order.parent.as_ref().unwrap().payment, Payment::Nobody);
    assert_eq!(order.lines[0].seat, (-1, true));
    order.type_ = Some(Kind::Delivery(KindDelivery {
        street: "Elm".to_owned(),
    }));
    order.labels = BTreeMap::from([("size".to_owned(), "large".to_owned())]);
    assert_eq!(orders.put(&order).await.unwrap(), order);
    let terms = Some(vec![Term::Text("soup".to_owned()), Term::Integer(7)]);
    let search = Search {
        terms,
        page_size: None,
    };
    let page = orders.search(&search).await.unwrap();
    assert_eq!(
        page.extra,
        serde_json::json!({"page-size": null, "terms": ["soup", 7]})
    );
    assert!(orders.who().await.unwrap().unwrap().contains("ada"));
    let missing = orders.find(&Id { id: 404 }).await.unwrap_err();
    assert_eq!(missing.code(), "order_not_found");
}
