//! What `README.md` tells its reader to paste does what is promised: on embedded stores, on Postgres and Redis, in production.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

mod shell;

use std::collections::VecDeque;

use bastide_testkit::{Postgres, Redis, binaries};
use serde_json::Value;
use shell::Shell;

const PAGE: &str = include_str!("../README.md");
const GUIDE: &str = include_str!("../../../docs/services.md");

/// The blocks of a section that are to be pasted, in order.
fn blocks(heading: &str) -> VecDeque<&'static str> {
    let section = PAGE
        .split("\n## ")
        .find_map(|text| text.strip_prefix(heading));
    let section = section.expect("the section is there");
    let fenced = section.split("```").skip(1).step_by(2);
    fenced
        .map(|block| {
            block
                .strip_prefix("sh\n")
                .expect("every block is for a shell")
                .trim()
        })
        .collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The metrics that `docs/services.md` names.
fn metrics_of_the_guide() -> Vec<&'static str> {
    let table = GUIDE
        .split("\n| metric |")
        .nth(1)
        .expect("the table is there");
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let names = rows.flat_map(|row| {
        row.split('|')
            .nth(1)
            .unwrap_or_default()
            .split('`')
            .skip(1)
            .step_by(2)
    });
    names.collect()
}

/// Takes the next block and pastes it.
fn next(shell: &mut Shell, blocks: &mut VecDeque<&'static str>) -> String {
    let block = blocks.pop_front().expect("there is one more block");
    if block == "cargo run" {
        shell.start_service();
        return String::new();
    }
    shell.paste(block)
}

/// The calls of the first section, which do the same wherever the rows are.
fn calls(shell: &mut Shell, blocks: &mut VecDeque<&'static str>) {
    assert_eq!(next(shell, blocks), "", "tokens are kept, not shown");
    let found = json(&next(shell, blocks));
    assert_eq!(found["email"], "ada@example.org");
    assert_eq!(found["version"], 1);

    let changed = next(shell, blocks);
    let [listed, first, second] = &changed.lines().map(json).collect::<Vec<_>>()[..] else {
        panic!("{changed}");
    };
    assert_eq!(listed, &Value::from(vec![found.clone()]));
    assert_eq!(first["name"], "Ada Lovelace");
    assert_eq!(second["code"], "stale_version", "{second}");
    assert_eq!(second["status"], 409);

    let elsewhere = next(shell, blocks);
    let [listed, found, stranger] = &elsewhere.lines().map(json).collect::<Vec<_>>()[..] else {
        panic!("{elsewhere}");
    };
    assert_eq!(listed, &Value::Array(Vec::new()));
    assert_eq!(found["code"], "user_not_found");
    assert_eq!(stranger["status"], 401);

    // One call of the hundred was made above.
    let counted = next(shell, blocks);
    let counted: Vec<Vec<&str>> = counted
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(counted, [["99", "200"], ["2", "429"]]);

    let told = next(shell, blocks);
    for promised in [
        "users_created_total 1",
        "users_find_seconds_count 2",
        r#""status":"ready""#,
        "\n\"/users/{id}\"\n",
        "GET /users/{id}",
        "auth.issuer",
    ] {
        assert!(told.contains(promised), "{promised} in {told}");
    }
    assert!(
        !told.contains("32 bytes or more"),
        "the secret is not shown: {told}"
    );
}

#[test]
fn every_line_to_paste_does_what_is_promised() {
    binaries::find("curl").unwrap();
    let mut embedded = blocks("Run it");
    let mut shell = Shell::new();
    next(&mut shell, &mut embedded);
    calls(&mut shell, &mut embedded);
    assert!(embedded.is_empty(), "{embedded:?}");
    let metrics = shell.paste("curl -s localhost:3000/metrics");
    for name in metrics_of_the_guide() {
        let typed = format!("# TYPE {name} ");
        assert!(metrics.contains(&typed), "{name} in {metrics}");
    }
    shell.end_service();

    let (postgres, redis) = (Postgres::start().unwrap(), Redis::start().unwrap());
    shell.replace("localhost:5432", &format!("127.0.0.1:{}", postgres.port()));
    shell.replace("localhost:6379", &format!("127.0.0.1:{}", redis.port()));
    let mut servers = blocks("On Postgres and Redis");
    next(&mut shell, &mut servers);
    let migrated = next(&mut shell, &mut servers);
    let lines: Vec<&str> = migrated.lines().collect();
    assert_eq!(lines.len(), 3, "{migrated}");
    assert_eq!(lines[0], "applied 0001_create_users");
    assert_eq!(lines[1], "applied  quickstart  0001_create_users");
    assert!(lines[2].contains("keep tenants apart"), "{migrated}");
    next(&mut shell, &mut servers);
    assert!(servers.is_empty(), "{servers:?}");
    let mut again = blocks("Run it");
    again.pop_front();
    calls(&mut shell, &mut again);
    shell.end_service();

    let mut production = blocks("In production");
    let checked = next(&mut shell, &mut production);
    assert!(checked.contains("keep tenants apart"), "{checked}");
    next(&mut shell, &mut production);
    assert!(production.is_empty(), "{production:?}");
    let ready = shell.paste("curl -s localhost:3000/readyz");
    assert_eq!(json(&ready)["status"], "ready", "{ready}");
    let refused = shell.paste("cargo run -q -- token --tenant acme");
    assert!(refused.contains("this is production"), "{refused}");
    let refused = shell.paste(r#"curl -s localhost:3000/users -H "Authorization: Bearer $ADMIN""#);
    assert_eq!(
        json(&refused)["status"],
        401,
        "development's tokens are worth nothing: {refused}"
    );
}

/// Each demand of production is told by itself, before anything is served.
#[test]
fn production_demands_what_the_page_says() {
    let (postgres, redis) = (Postgres::start().unwrap(), Redis::start().unwrap());
    let mut shell = Shell::new();
    shell.paste(&format!(
        "export BASTIDE_ENV=production\n\
         export DATABASE_URL={} REDIS_URL=redis://127.0.0.1:{}\n\
         export QUICKSTART_AUTH__SECRET=production-has-32-bytes-and-more",
        postgres.url(),
        redis.port(),
    ));
    let mut refused = |before: &str, why: &str| {
        let said = shell.paste(&format!("({before}; cargo run -q --; echo \"code $?\")"));
        let is_refused = said.ends_with("code 1") || said.ends_with("code 2");
        assert!(said.contains(why) && is_refused, "{why} in {said}");
    };
    refused("unset DATABASE_URL", "set DATABASE_URL");
    refused(":", "are pending");
    refused("cargo run -q -- db migrate", "row-level security");
    // To show what else is demanded there is a file.
    let file = "export DATABASE_URL=sqlite:served.db; cargo run -q -- db migrate";
    refused(&format!("{file}; unset REDIS_URL"), "set REDIS_URL");
    refused(
        &format!("{file}; unset QUICKSTART_AUTH__SECRET"),
        "auth.secret",
    );
}
