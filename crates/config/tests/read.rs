//! Reading trees: every problem at once, in words a person can act on.

use std::time::Duration;

use bastide_config::problem::MAX_PROBLEMS;
use bastide_config::{Node, Patch, Path, Problems, parse, read};
use proptest::prelude::*;
use serde_json::{Value, json};

fn refusal<T: std::fmt::Debug>(
    value: &Value,
    parser: impl FnOnce(Node<'_, '_>) -> Option<T>,
) -> String {
    read::tree(value, parser)
        .expect_err("it must be refused")
        .to_string()
}

#[derive(Debug, PartialEq)]
struct Route {
    method: &'static str,
    upstreams: Vec<(String, u32)>,
    timeout: Option<Duration>,
}

fn route(node: Node<'_, '_>) -> Option<Route> {
    node.object(|fields| {
        let method = fields.required("method", parse::choice(&[("GET", "GET"), ("POST", "POST")]));
        let upstreams = fields.required("upstreams", |node| {
            node.list(|node| {
                node.object(|fields| {
                    let url = fields.required("url", parse::url(&["http", "https", "unix"]));
                    let weight = fields.or("weight", 1, parse::integer(1..=1000_u32));
                    Some((url?, weight))
                })
            })
        });
        let timeout = fields.object("timeout", |fields| {
            fields.required("default", parse::millis(1..=600_000))
        });
        Some(Route {
            method: method?,
            upstreams: upstreams?,
            timeout,
        })
    })
}

#[test]
fn a_right_tree_becomes_a_value() {
    let value = json!({"method": "GET", "upstreams": [{"url": "http://a:1", "weight": 3}, {"url": "unix:/s"}], "timeout": {"default": 5e3}});
    let expected = Route {
        method: "GET",
        upstreams: vec![("http://a:1".to_owned(), 3), ("unix:/s".to_owned(), 1)],
        timeout: Some(Duration::from_secs(5)),
    };
    assert_eq!(read::tree(&value, route), Ok(expected));
}

#[test]
fn every_problem_is_reported_at_its_place() {
    let value = json!({
        "metod": "GET",
        "method": "GTE",
        "upstreams": [{"url": "ftp://a"}, 5, {"url": "http://a", "weight": 0, "wieght": 1}],
        "timeout": {"default": "soon"},
    });
    assert_eq!(
        refusal(&value, route),
        "method: expected one of GET, POST; found \"GTE\"; did you mean GET?\n\
         upstreams[0].url: expected a URL such as http://host:1234, found \"ftp://a\": the scheme must be http or https or unix\n\
         upstreams[1]: expected an object, found 5\n\
         upstreams[2].weight: expected a whole number from 1 to 1000, found 0\n\
         upstreams[2].wieght: unknown key `wieght`; did you mean `weight`?\n\
         timeout.default: expected a whole number of milliseconds from 1 to 600000, found \"soon\"\n\
         metod: unknown key `metod`; did you mean `method`?"
    );
    assert_eq!(
        refusal(&json!({}), route),
        "method: is required\nupstreams: is required"
    );
    assert_eq!(
        refusal(&json!([]), route),
        "expected an object, found a list"
    );
}

#[test]
fn a_refused_optional_value_is_a_problem_and_no_default() {
    let value = json!({"weight": "x"});
    let result = read::tree(&value, |node| {
        node.object(|fields| Some(fields.or("weight", 1, parse::integer(1..=9))))
    });
    assert_eq!(result.unwrap_err().len(), 1);
}

#[test]
fn absent_null_and_value_differ_in_a_patch() {
    let read_patch = |value: &Value| {
        read::tree(value, |node| {
            node.object(|fields| Some(fields.patch("name", parse::string(1..=5))))
        })
    };
    assert_eq!(read_patch(&json!({})), Ok(Patch::Absent));
    assert_eq!(read_patch(&json!({"name": null})), Ok(Patch::Null));
    assert_eq!(
        read_patch(&json!({"name": "a"})),
        Ok(Patch::Value("a".to_owned()))
    );
    assert!(read_patch(&json!({"name": ""})).is_err());

    let mut target = Some("old".to_owned());
    Patch::Absent.apply(&mut target);
    assert_eq!(target.as_deref(), Some("old"));
    Patch::Value("new".to_owned()).apply(&mut target);
    assert_eq!(target.as_deref(), Some("new"));
    Patch::Null.apply(&mut target);
    assert_eq!(target, None);
}

#[test]
fn a_value_that_cannot_be_cleared_refuses_null() {
    let value = json!({"name": null});
    let parser = |node: Node<'_, '_>| {
        node.object(|fields| Some(fields.change("name", parse::string(1..=5))))
    };
    assert_eq!(
        refusal(&value, parser),
        "name: expected a string, found null"
    );
    assert_eq!(read::tree(&json!({}), parser), Ok(None));
}

#[test]
fn messages_say_what_was_expected() {
    for (message, value, parser) in [
        (
            "expected a string, found 5",
            json!(5),
            text as fn(Node<'_, '_>) -> Option<()>,
        ),
        ("must not be empty", json!(""), text),
        ("expected 2 to 4 characters, found 5", json!("äöüßé"), text),
        ("a NUL character is not allowed", json!("a\0b"), text),
        (
            "expected true or false, found \"yes\"",
            json!("yes"),
            |node| parse::boolean(node).map(drop),
        ),
        (
            "expected a whole number of at least 0, found -1",
            json!(-1),
            whole,
        ),
        (
            "expected a whole number of at least 0, found 1.5",
            json!(1.5),
            whole,
        ),
        ("expected a number from 0 to 1, found 2", json!(2), |node| {
            parse::number(0.0..=1.0)(node).map(drop)
        }),
        ("expected 1 to 2 elements, found 3", json!([1, 2, 3]), few),
        ("expected 1 to 2 elements, found 0", json!([]), few),
        ("expected a list, found an object", json!({}), few),
        (
            "expected at most 1 members, found 2",
            json!({"a": 1, "b": 2}),
            members,
        ),
        ("A: use lower case", json!({"A": 1}), members),
        (
            "expected a secret of at least 8 characters, found 7",
            json!("hunter2"),
            hidden,
        ),
        ("expected a string, found a number", json!(1234), hidden),
        (
            "expected a number of bytes from 1 to 1024, such as 65536, 64KiB or 10MB, found \"2KiB\"",
            json!("2KiB"),
            |node| parse::bytes(1..=1024)(node).map(drop),
        ),
        (
            "expected a time such as 250ms, 10s, 5m, 2h or 1h30m, found \"10\"",
            json!("10"),
            |node| parse::duration(Duration::ZERO..=Duration::MAX)(node).map(drop),
        ),
        (
            "expected an address, found \"a\": invalid IP address syntax",
            json!("a"),
            |node| parse::parsed::<std::net::IpAddr>("an address")(node).map(drop),
        ),
    ] {
        assert_eq!(refusal(&value, parser), message);
    }
}

fn text(node: Node<'_, '_>) -> Option<()> {
    parse::string(2..=4)(node).map(drop)
}

fn whole(node: Node<'_, '_>) -> Option<()> {
    parse::integer(0..=u64::MAX)(node).map(drop)
}

fn few(node: Node<'_, '_>) -> Option<()> {
    parse::list(1..=2, parse::integer(0..=9))(node).map(drop)
}

fn hidden(node: Node<'_, '_>) -> Option<()> {
    parse::secret(8)(node).map(drop)
}

fn members(node: Node<'_, '_>) -> Option<()> {
    let lower = |key: &str| {
        if key.chars().all(char::is_lowercase) {
            Ok(())
        } else {
            Err("use lower case".to_owned())
        }
    };
    parse::map(1, lower, parse::integer(0..=9))(node).map(drop)
}

#[test]
fn units_are_read() {
    let time = parse::duration(Duration::ZERO..=Duration::MAX);
    for (text, millis) in [
        ("250ms", 250),
        ("10s", 10_000),
        ("1h30m", 5_400_000),
        ("1d", 86_400_000),
        ("0s", 0),
    ] {
        assert_eq!(
            read::tree(&json!(text), &time),
            Ok(Duration::from_millis(millis)),
            "{text}"
        );
    }
    for bad in [
        "",
        "s",
        "1",
        "1x",
        "-1s",
        "1.5s",
        "99999999999999999999s",
        "9999999999999999999d",
    ] {
        assert!(read::tree(&json!(bad), &time).is_err(), "{bad}");
    }
    let bytes = parse::bytes(0..=u64::MAX);
    for (value, count) in [
        (json!(7), 7),
        (json!("7"), 7),
        (json!("2 KiB"), 2048),
        (json!("3MB"), 3_000_000),
    ] {
        assert_eq!(read::tree(&value, &bytes), Ok(count));
    }
    assert!(read::tree(&json!("99999999999GiB"), &bytes).is_err());
}

#[test]
fn urls_are_checked_whole() {
    let url = parse::url(&["http", "https", "unix", "sqlite", "postgres"]);
    for good in [
        "http://a",
        "https://a:1/b?c=d",
        "http://[::1]:80",
        "unix:/run/a.sock",
        "sqlite:a.db",
        "sqlite::memory:",
        "postgres://u:p@h:5432/d?sslmode=disable",
        "http://10.0.0.1:65535/",
    ] {
        assert!(read::tree(&json!(good), &url).is_ok(), "{good}");
    }
    for bad in [
        "",
        "a",
        "http:",
        "http://",
        "http:/a",
        "http://:80",
        "http://a:0",
        "http://a:65536",
        "http://a:x",
        "http://a b",
        "http://a\n",
        "unix:a",
        "unix:/",
        "sqlite:",
        "http://[::1",
        "HTTP//a",
    ] {
        assert!(read::tree(&json!(bad), &url).is_err(), "{bad}");
    }
}

#[test]
fn passwords_do_not_reach_messages() {
    let message = refusal(&json!("ftp://bob:hunter2@h"), parse::url(&["http"]));
    assert!(
        !message.contains("hunter2") && message.contains("bob:***@h"),
        "{message}"
    );
    let message = refusal(&json!("hunter2"), |node| {
        parse::integer(0..=9)(node.hidden(true))
    });
    assert_eq!(
        message,
        "expected a whole number from 0 to 9, found a string"
    );
}

#[test]
fn rules_across_fields_name_one_of_them() {
    let value = json!({"base": 9, "max": 1});
    let message = refusal(&value, |node| {
        node.object(|fields| {
            let base = fields.or("base", 1, parse::integer(0..=9));
            let max = fields.or("max", 9, parse::integer(0..=9));
            if base > max {
                return fields.reject_field(
                    "max",
                    format!("must be at least `base` ({base}), found {max}"),
                );
            }
            Some(())
        })
    });
    assert_eq!(message, "max: must be at least `base` (9), found 1");
}

#[test]
fn a_part_of_a_tree_knows_where_it_stands() {
    let at = Path::root().then("routes").then(4);
    let problems = read::tree_at(at, &json!({"method": 1, "upstreams": []}), route).unwrap_err();
    let problem = problems.iter().next().unwrap();
    assert_eq!(
        (problem.field().as_str(), problem.path.pointer().as_str()),
        ("routes[4].method", "/routes/4/method")
    );
    assert_eq!(problem.text(), "expected one of GET, POST; found 1");
}

#[test]
fn hostile_input_does_not_multiply() {
    let many: serde_json::Map<String, Value> =
        (0..10_000).map(|n| (format!("k{n}"), json!(1))).collect();
    let problems = read::tree(&Value::Object(many), |node| node.object(|_| Some(()))).unwrap_err();
    assert_eq!(
        (problems.iter().count(), problems.len()),
        (MAX_PROBLEMS, 10_000)
    );
    assert!(problems.to_string().ends_with("\nand 9900 more"));

    let long = "x".repeat(1 << 20);
    let value = json!({ long.clone(): 1, "method": long });
    assert!(refusal(&value, route).len() < 1000);
}

#[test]
fn a_parser_that_refuses_in_silence_is_still_a_problem() {
    assert_eq!(
        refusal(&json!(1), |_| None::<()>),
        "this value is not accepted"
    );
    let mut all = Problems::new();
    all.append(read::tree(&json!(1), |_| None::<()>).unwrap_err());
    assert!(all.into_result(()).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        let keys = prop_oneof![
            Just("method".to_owned()),
            Just("upstreams".to_owned()),
            Just("url".to_owned()),
            ".{0,6}"
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((keys, inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever comes in: a value, or at least one problem; never both, never a panic.
    #[test]
    fn any_tree_is_read_or_refused(value in any_json()) {
        if let Err(problems) = read::tree(&value, route) {
            prop_assert!(!problems.is_empty());
            for problem in &problems {
                // The place is in the tree, or its parent is (a missing member).
                let pointer = problem.path.pointer();
                let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
                prop_assert!(value.pointer(&pointer).or_else(|| value.pointer(parent)).is_some());
            }
        }
    }

    #[test]
    fn whole_numbers_survive_the_way_through_text(number in any::<i64>()) {
        let parser = parse::integer(i64::MIN..=i64::MAX);
        prop_assert_eq!(read::tree(&json!(number), &parser), Ok(number));
        let text = json!(number.to_string());
        let mut problems = Problems::new();
        prop_assert_eq!(parser(Node::from_text(&text, &mut problems)), Some(number));
    }
}
