//! The table against a matcher that is slow and plain: it looks at every route and compares by the documented order
//! (SPEC row G4).

#![allow(
    clippy::unwrap_used,
    reason = "tests, in the functions beside them too"
)]

use bastide_routing::{
    Allow, HostPattern, Lookup, Method, MethodFilter, PathKind, PathPattern, RequestLine, Route,
    RouteTable, Scratch, canonical,
};
use proptest::prelude::*;
use std::cmp::Reverse;

#[derive(Clone, Debug)]
struct Plain {
    host: Option<&'static str>,
    method: &'static str,
    kind: PathKind,
    path: String,
    priority: i32,
    age: u64,
}

/// What the request is served by: the route's place, the prefix's length, the parameters' values.
type Served = (u32, usize, Vec<String>);

/// How well a path fits; smaller is better.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Exact,
    /// For each segment 0 if it is literal and 1 if it is a parameter; at the end 2 for a whole path, 3 for a prefix.
    Parameters(Vec<u8>),
    Prefix(Reverse<usize>),
    Expression,
}

fn host_fit(pattern: Option<&str>, host: &str) -> Option<(u8, Reverse<usize>)> {
    match pattern {
        None => Some((2, Reverse(0))),
        Some(pattern) => match pattern.strip_prefix('*') {
            Some(suffix) => {
                (host.ends_with(suffix) && host != suffix).then_some((1, Reverse(suffix.len())))
            }
            None => (pattern == host).then_some((0, Reverse(0))),
        },
    }
}

fn path_fit(route: &Plain, path: &str) -> Option<(Fit, usize, Vec<String>)> {
    if route.kind == PathKind::Regex {
        let regex = regex::Regex::new(&format!("^(?:{})$", route.path)).unwrap();
        return regex.is_match(path).then_some((Fit::Expression, 0, vec![]));
    }
    let whole = route.kind == PathKind::Exact;
    let mut pattern: Vec<&str> = route.path[1..].split('/').collect();
    if !whole && pattern.last() == Some(&"") {
        pattern.pop();
    }
    let segments: Vec<&str> = path[1..].split('/').collect();
    if pattern.len() > segments.len() || (whole && pattern.len() < segments.len()) {
        return None;
    }
    let (mut shape, mut values, mut length) = (vec![], vec![], 0);
    for (part, segment) in pattern.iter().zip(&segments) {
        if part.starts_with('{') {
            if segment.is_empty() {
                return None;
            }
            shape.push(1);
            values.push((*segment).to_owned());
        } else if part == segment {
            shape.push(0);
        } else {
            return None;
        }
        length += 1 + segment.len();
    }
    let prefix_len = if whole { 0 } else { length };
    let fit = match (shape.contains(&1), whole) {
        (false, true) => Fit::Exact,
        (false, false) => Fit::Prefix(Reverse(pattern.len())),
        (true, _) => {
            shape.push(if whole { 2 } else { 3 });
            Fit::Parameters(shape)
        }
    };
    Some((fit, prefix_len, values))
}

fn serves(route: &Plain, method: &str) -> bool {
    route.method == "*" || route.method == method || (route.method == "GET" && method == "HEAD")
}

fn breadth(route: &Plain) -> u8 {
    match route.method {
        "HEAD" => 0,
        "*" => 2,
        _ => 1,
    }
}

fn reference(routes: &[Plain], host: &str, method: &str, path: &str) -> Result<Served, Allow> {
    let mut best = None;
    let mut allow = Allow::NONE;
    for (number, route) in routes.iter().enumerate() {
        let Some(host_fit) = host_fit(route.host, host) else {
            continue;
        };
        let Some((fit, prefix_len, values)) = path_fit(route, path) else {
            continue;
        };
        if !serves(route, method) {
            allow |= Allow::from(MethodFilter::parse(route.method).unwrap());
            continue;
        }
        let key = (
            host_fit,
            fit,
            Reverse(route.priority),
            breadth(route),
            route.age,
            number,
        );
        if best.as_ref().is_none_or(|(known, _)| key < *known) {
            best = Some((key, (number as u32, prefix_len, values)));
        }
    }
    best.map(|(_, served)| served).ok_or(allow)
}

fn build(routes: &[Plain]) -> RouteTable {
    let routes: Vec<Route> = routes
        .iter()
        .enumerate()
        .map(|(number, plain)| Route {
            route: number as u32,
            host: plain.host.map(|host| HostPattern::parse(host).unwrap()),
            methods: MethodFilter::parse(plain.method).unwrap(),
            path: PathPattern::parse(plain.kind, &plain.path).unwrap(),
            priority: plain.priority,
            age: plain.age,
        })
        .collect();
    RouteTable::build(&routes).unwrap()
}

fn lookup(tables: &[RouteTable], host: &str, method: &str, path: &str) -> Result<Served, Allow> {
    let mut buffer = String::new();
    let path = canonical(path.as_bytes(), &mut buffer).unwrap();
    let request = RequestLine {
        host,
        method: Method::from_bytes(method.as_bytes()),
        path,
    };
    match RouteTable::lookup_in(tables, &request, &mut Scratch::default()) {
        Lookup::Found(found) => {
            let values = found.parameters.values(path).map(str::to_owned).collect();
            Ok((found.route, found.prefix_len, values))
        }
        Lookup::MethodNotAllowed(allow) => Err(allow),
        Lookup::NotFound => Err(Allow::NONE),
    }
}

fn plain_path() -> impl Strategy<Value = (PathKind, String)> {
    let segment = prop::sample::select(vec!["a", "a", "b", "", "c%2Fd", "{x}", "{y}"]);
    let literal =
        prop::collection::vec(segment, 1..5).prop_map(|segments| {
            // Each parameter of a path needs its own name.
            let named = segments.iter().enumerate().map(|(place, segment)| {
                match segment.strip_suffix('}') {
                    Some(open) => format!("/{open}{place}}}"),
                    None => format!("/{segment}"),
                }
            });
            named.collect::<String>()
        });
    let expression = prop::sample::select(vec![
        "/a/.*",
        "/[ab]",
        "/a/(b|)",
        ".*",
        "/a/b/[a-z%0-9A-F]+",
        "/(a|b)/.*",
        "/a/b/?",
        "/a/b/",
        "^/b/a$",
        "/a|/b/a",
        "/(?i)A/B",
        "",
    ]);
    prop_oneof![
        (
            prop::sample::select(vec![PathKind::Exact, PathKind::Prefix]),
            literal
        ),
        (Just(PathKind::Regex), expression.prop_map(str::to_owned)),
    ]
}

fn plain_route() -> impl Strategy<Value = Plain> {
    let host = prop::sample::select(vec![
        None,
        None,
        Some("a.ex"),
        Some("*.ex"),
        Some("*.b.ex"),
        Some("b.ex"),
    ]);
    let method = prop::sample::select(vec!["GET", "HEAD", "POST", "*"]);
    (host, method, plain_path(), -1..2_i32, 0..4_u64).prop_map(
        |(host, method, (kind, path), priority, age)| Plain {
            host,
            method,
            kind,
            path,
            priority,
            age,
        },
    )
}

fn request() -> impl Strategy<Value = (&'static str, &'static str, String)> {
    let host = prop::sample::select(vec!["", "a.ex", "x.b.ex", "b.ex", "ex", "other"]);
    let method = prop::sample::select(vec!["GET", "HEAD", "POST", "DELETE", "BREW"]);
    let segment = prop::sample::select(vec!["a", "a", "b", "", "c%2Fd", "z"]);
    let path = prop::collection::vec(segment, 1..6)
        .prop_map(|segments| format!("/{}", segments.join("/")));
    (host, method, path)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn the_table_agrees_with_a_linear_scan(
        routes in prop::collection::vec(plain_route(), 0..24),
        requests in prop::collection::vec(request(), 1..24),
    ) {
        let tables = [build(&routes)];
        for (host, method, path) in requests {
            prop_assert_eq!(
                lookup(&tables, host, method, &path),
                reference(&routes, host, method, &path),
                "{} {} {}", method, host, path
            );
        }
    }

    #[test]
    fn of_two_tables_the_first_that_serves_wins(
        own in prop::collection::vec(plain_route(), 0..8),
        platform in prop::collection::vec(plain_route(), 0..8),
        (host, method, path) in request(),
    ) {
        let tables = [build(&own), build(&platform)];
        let expected = reference(&own, host, method, &path).or_else(|own_allow| {
            reference(&platform, host, method, &path).map_err(|allow| own_allow | allow)
        });
        prop_assert_eq!(lookup(&tables, host, method, &path), expected);
    }
}

fn route(method: &'static str, kind: PathKind, path: &str) -> Plain {
    Plain {
        host: None,
        method,
        kind,
        path: path.to_owned(),
        priority: 0,
        age: 0,
    }
}

fn found(routes: &[Plain], method: &str, path: &str) -> Result<u32, String> {
    let answer = lookup(&[build(routes)], "", method, path);
    assert_eq!(
        answer,
        reference(routes, "", method, path),
        "{method} {path}"
    );
    answer
        .map(|(number, ..)| number)
        .map_err(|allow| allow.to_string())
}

#[test]
fn exact_then_parameter_then_longest_prefix_then_regex() {
    let routes = [
        route("GET", PathKind::Regex, "/api/.*"),
        route("GET", PathKind::Prefix, "/"),
        route("GET", PathKind::Prefix, "/api"),
        route("GET", PathKind::Exact, "/api/{name}"),
        route("GET", PathKind::Exact, "/api/users"),
    ];
    for (path, expected) in [
        ("/api/users", 4),
        ("/api/x", 3),
        ("/api/x/y", 2),
        ("/apiv2", 1),
        ("/api/", 2),
    ] {
        assert_eq!(found(&routes, "GET", path), Ok(expected), "{path}");
    }
    assert_eq!(found(&routes[..1], "GET", "/api/x"), Ok(0));
}

#[test]
fn method_is_a_filter_before_it_is_a_preference() {
    let routes = [
        route("GET", PathKind::Exact, "/a/b"),
        route("POST", PathKind::Prefix, "/a"),
        route("*", PathKind::Exact, "/a/c"),
        route("GET", PathKind::Exact, "/a/c"),
    ];
    assert_eq!(found(&routes, "POST", "/a/b"), Ok(1));
    assert_eq!(found(&routes, "HEAD", "/a/b"), Ok(0));
    assert_eq!(found(&routes, "GET", "/a/c"), Ok(3));
    assert_eq!(found(&routes, "DELETE", "/a/c"), Ok(2));
    assert_eq!(
        found(&routes, "DELETE", "/a/b"),
        Err("GET, HEAD, POST".into())
    );
    assert_eq!(found(&routes, "DELETE", "/z"), Err(String::new()));
}

#[test]
fn priority_and_age_decide_last() {
    let mut routes = vec![
        Plain {
            age: 2,
            ..route("GET", PathKind::Regex, "/a.*")
        },
        Plain {
            age: 1,
            ..route("GET", PathKind::Regex, "/.*")
        },
    ];
    assert_eq!(found(&routes, "GET", "/a"), Ok(1));
    routes[0].priority = 1;
    assert_eq!(found(&routes, "GET", "/a"), Ok(0));
    routes.push(Plain {
        priority: -5,
        ..route("*", PathKind::Prefix, "/a")
    });
    assert_eq!(
        found(&routes, "GET", "/a"),
        Ok(2),
        "the path decides before the priority"
    );
}

#[test]
fn prefixes_end_at_segments() {
    let routes = [route("*", PathKind::Prefix, "/api/")];
    for path in ["/api", "/api/", "/api/x", "/api//x"] {
        assert_eq!(found(&routes, "GET", path), Ok(0), "{path}");
    }
    for path in ["/apiv2", "/ap", "/", "//api", "/API"] {
        assert_eq!(found(&routes, "GET", path), Err(String::new()), "{path}");
    }
}

#[test]
fn a_table_for_each_tenant_is_small() {
    let own: Vec<Plain> = (0..10)
        .map(|n| match n % 3 {
            0 => route("GET", PathKind::Exact, &format!("/api/orders/{n}")),
            1 => route("*", PathKind::Prefix, &format!("/api/service-{n}")),
            _ => route(
                "POST",
                PathKind::Exact,
                &format!("/api/users/{{id}}/thing-{n}"),
            ),
        })
        .collect();
    let table = build(&own);
    assert_eq!(table.len(), 10);
    let bytes = size_of::<RouteTable>() + table.memory();
    assert!(
        bytes <= 1536,
        "{bytes} bytes: a thousand tenants would take more than 1.5 MB"
    );
}
