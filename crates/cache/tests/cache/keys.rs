//! No two different calls have one key.

use std::collections::HashMap;

use bastide_auth::TenantId;
use bastide_cache::{Key, KeyError, Tag};
use proptest::prelude::*;
use serde_json::{Value, json};

fn arguments() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        (-3.0_f64..3.0).prop_map(Value::from),
        r#"[ab,:"\[\]{}\\]{0,4}"#.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::hash_map("[ab:\"]{0,2}", inner, 0..3)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

/// Short texts out of few letters, so that parts run together where they can.
fn text() -> impl Strategy<Value = String> {
    "[ab:.-]{1,3}"
}

fn call() -> impl Strategy<Value = (u8, String, String, String, Value)> {
    (0_u8..3, text(), text(), text(), arguments())
}

fn key((scope, tenant, subject, name, arguments): &(u8, String, String, String, Value)) -> Key {
    let tenant = TenantId::parse(tenant).unwrap();
    match scope {
        0 => Key::for_tenant(&tenant, name, arguments),
        1 => Key::for_subject(&tenant, subject, name, arguments),
        _ => Key::shared(name, arguments),
    }
    .unwrap()
}

proptest! {
    #[test]
    fn keys_are_equal_only_for_equal_calls(one in call(), other in call()) {
        let said = |call: &(u8, String, String, String, Value)| {
            let mut call = call.clone();
            if call.0 != 1 {
                call.2.clear();
            }
            if call.0 == 2 {
                call.1.clear();
            }
            call
        };
        prop_assert_eq!(key(&one) == key(&other), said(&one) == said(&other));
    }

    /// The same letters, cut elsewhere.
    #[test]
    fn where_a_part_ends_makes_a_difference(letters in "[ab:]{3,6}", cuts in (1_usize..5, 1_usize..5)) {
        prop_assume!(cuts.0 != cuts.1 && cuts.0.max(cuts.1) < letters.len());
        let cut = |at: usize| {
            let tenant = TenantId::parse(&letters[..at]).unwrap();
            (Key::for_tenant(&tenant, &letters[at..], &()).unwrap(), Tag::for_tenant(&tenant, &letters[at..]))
        };
        let (one, other) = (cut(cuts.0), cut(cuts.1));
        prop_assert_ne!(one.0, other.0);
        prop_assert_ne!(one.1, other.1);
    }
}

#[test]
fn the_order_of_members_makes_no_difference_and_types_do() {
    let key = |arguments: &Value| Key::shared("find", arguments).unwrap();
    let one: HashMap<String, u32> = (0..20).map(|n| (n.to_string(), n)).collect();
    let other: HashMap<String, u32> = (0..20).rev().map(|n| (n.to_string(), n)).collect();
    assert_eq!(
        Key::shared("find", &one).unwrap(),
        Key::shared("find", &other).unwrap()
    );
    assert_ne!(key(&json!(1)), key(&json!("1")));
    assert_ne!(key(&json!([1, 2])), key(&json!(["1,2"])));
    assert_ne!(key(&json!(null)), key(&json!([])));
}

#[test]
fn arguments_without_json_are_refused() {
    let unwritable = HashMap::from([((1, 2), 3)]);
    let error = Key::shared("find", &unwritable).unwrap_err();
    assert!(matches!(error, KeyError::Arguments { .. }));
    assert_eq!(error.code(), "cache_key_arguments");
    assert!(error.to_string().contains("`find`"), "{error}");
}
