//! Prints what a lookup costs, and what a table takes up, by the number of routes.
//!
//! `cargo run --release -p bastide-routing --example lookup`
//!
//! Requests go over at most 1 000 of the routes, as traffic has its favourites, and over all of them, in scattered order,
//! which charges large tables with a miss of the memory caches for each step.
#![allow(clippy::print_stdout)]

use bastide_routing::{
    ConfigError, Lookup, Method, MethodFilter, PathKind, PathPattern, RequestLine, Route,
    RouteTable, Scratch, canonical,
};
use std::hint::black_box;
use std::time::Instant;

const LOOKUPS: usize = 200_000;
const ROUNDS: usize = 40;

/// The routes of one measurement: their paths by number, and a request for each.
struct Subject {
    name: &'static str,
    kind: PathKind,
    path: fn(usize) -> String,
    request: fn(usize) -> String,
}

const SUBJECTS: [Subject; 4] = [
    Subject {
        name: "exact",
        kind: PathKind::Exact,
        path: |n| format!("/api/service-{n}/orders"),
        request: |n| format!("/api/service-{n}/orders"),
    },
    Subject {
        name: "parameter",
        kind: PathKind::Exact,
        path: |n| format!("/api/service-{n}/orders/{{id}}"),
        request: |n| format!("/api/service-{n}/orders/42"),
    },
    Subject {
        name: "prefix",
        kind: PathKind::Prefix,
        path: |n| format!("/api/service-{n}"),
        request: |n| format!("/api/service-{n}/orders/42"),
    },
    Subject {
        name: "regex",
        kind: PathKind::Regex,
        path: |n| format!("/api/service-{n}/orders/[0-9]+"),
        request: |n| format!("/api/service-{n}/orders/42"),
    },
];

fn build(subject: &Subject, count: usize) -> Result<RouteTable, ConfigError> {
    let route = |n| {
        Ok(Route {
            route: n as u32,
            host: None,
            methods: MethodFilter::One(Method::Get),
            path: PathPattern::parse(subject.kind, &(subject.path)(n))?,
            priority: 0,
            age: 0,
        })
    };
    RouteTable::build(&(0..count).map(route).collect::<Result<Vec<_>, _>>()?)
}

/// Nanoseconds for reading the path and looking it up, and for reading it alone: the best of some rounds.
fn measure(table: &RouteTable, targets: &[String]) -> (f64, f64) {
    let (mut buffer, mut scratch) = (String::new(), Scratch::default());
    let mut best = (f64::INFINITY, f64::INFINITY);
    let nanos = |since: Instant| since.elapsed().as_nanos() as f64 / LOOKUPS as f64;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for target in targets.iter().cycle().take(LOOKUPS) {
            black_box(canonical(black_box(target.as_bytes()), &mut buffer).is_ok());
        }
        best.0 = best.0.min(nanos(start));
        let start = Instant::now();
        for target in targets.iter().cycle().take(LOOKUPS) {
            if let Ok(path) = canonical(black_box(target.as_bytes()), &mut buffer) {
                let request = RequestLine {
                    host: "api.example.com",
                    method: Method::Get,
                    path,
                };
                let answer = table.lookup(&request, &mut scratch);
                assert!(matches!(answer, Lookup::Found(_)), "{target} is not served");
                black_box(answer);
            }
        }
        best.1 = best.1.min(nanos(start));
    }
    (best.1, best.0)
}

/// Requests for `used` of `count` routes, far apart in the table.
fn requests(subject: &Subject, count: usize, used: usize) -> Vec<String> {
    // 7 919 is prime to every count, so the routes are different ones.
    (0..used)
        .map(|n| (subject.request)(n * 7_919 % count))
        .collect()
}

fn main() -> Result<(), ConfigError> {
    println!(
        "| path | routes | in use | lookup ns | x 10 routes | with the reading of the path, ns | x 10 routes | bytes a route |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for subject in &SUBJECTS {
        let mut base = None;
        for (count, used) in [
            (10, 10),
            (1_000, 1_000),
            (100_000, 1_000),
            (100_000, 100_000),
        ] {
            let table = build(subject, count)?;
            let (both, path_alone) = measure(&table, &requests(subject, count, used));
            let lookup = both - path_alone;
            let (least_lookup, least_both) = *base.get_or_insert((lookup, both));
            println!(
                "| {} | {count} | {used} | {lookup:.1} | {:.2} | {both:.1} | {:.2} | {} |",
                subject.name,
                lookup / least_lookup,
                both / least_both,
                table.memory() / count,
            );
        }
    }
    Ok(())
}
