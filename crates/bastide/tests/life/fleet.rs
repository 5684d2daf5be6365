//! Three processes of the program on one Postgres and one Redis.

use std::thread;

use bastide_testkit::until;
use serde_json::{Value, json};

use crate::harness::scene::{ada, note, note_wanted, on_postgres, token, with_sessions};
use crate::harness::{PATIENCE, Plan, Program, Response, call};

const FIND: &str = "notes@1.0.0/find";

fn three(plan: &Plan) -> Vec<Program> {
    // One by one: the first makes the tables.
    (0..3).map(|_| plan.ready()).collect()
}

#[test]
fn limits_are_exact_over_all_processes() {
    let redis = bastide_testkit::Redis::start().unwrap();
    let plan = Plan::new().with("REDIS_URL", redis.url());
    let programs = three(&plan);
    let counted = |program: &Program| call(program.address(), "work@1.0.0/counted", "", "{}");
    let statuses: Vec<u16> = thread::scope(|scope| {
        let each = |program| {
            let ten = move || {
                let answers = (0..15).map(|_| counted(program).unwrap().status);
                answers.collect::<Vec<_>>()
            };
            scope.spawn(ten)
        };
        let callers: Vec<_> = programs.iter().map(each).collect();
        callers
            .into_iter()
            .flat_map(|caller| caller.join().unwrap())
            .collect()
    });
    let let_in = statuses.iter().filter(|status| **status == 200).count();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!((let_in, refused), (20, 25));
}

#[test]
fn a_change_in_one_process_is_seen_by_the_others() {
    let (_postgres, plan) = on_postgres();
    let redis = bastide_testkit::Redis::start().unwrap();
    let token = token(&plan);
    let programs = three(&plan.with("REDIS_URL", redis.url()));
    let write = |program: &Program, text: &str| {
        let method = "notes@1.0.0/write";
        let written = call(program.address(), method, &token, &note(1, text)).unwrap();
        assert_eq!(written.status, 200, "{written:?}");
    };
    let find = |program: &Program| {
        let found = call(program.address(), FIND, &token, &note_wanted(1)).unwrap();
        found.json()["text"].as_str().unwrap().to_owned()
    };
    write(&programs[0], "0");
    for round in 1..=9_usize {
        let before = (round - 1).to_string();
        // Each has it in its own memory now.
        assert!(
            programs
                .iter()
                .all(|program| until(PATIENCE, || find(program) == before))
        );
        let after = round.to_string();
        write(&programs[round % 3], &after);
        assert_eq!(find(&programs[round % 3]), after);
        assert!(
            programs
                .iter()
                .all(|program| until(PATIENCE, || find(program) == after))
        );
    }
}

#[test]
fn a_session_that_ends_in_one_process_has_ended_in_all() {
    let (_postgres, _redis, plan) = with_sessions();
    let programs = three(&plan);
    let [one, other, third] = [0, 1, 2].map(|place: usize| programs[place].address());
    let password = ada("a password of hers").to_string();
    let registered = call(one, "auth@1.0.0/register", "", &password).unwrap();
    assert_eq!(registered.status, 200, "{registered:?}");
    let text = |answer: &Response, name: &str| match &answer.json()[name] {
        Value::String(text) => text.clone(),
        _ => panic!("{answer:?}"),
    };
    for _ in 0..5 {
        let tokens = call(one, "auth@1.0.0/login", "", &password).unwrap();
        let access = text(&tokens, "access_token");
        let asks = |address| {
            let answer = call(address, "auth@1.0.0/whoami", &access, "{}").unwrap();
            (answer.status, answer.code())
        };
        for address in [one, other, third] {
            assert_eq!(asks(address).0, 200);
        }
        // A refresh takes back the tokens before it, everywhere and on the next call.
        let refresh = json!({"refresh_token": text(&tokens, "refresh_token")}).to_string();
        let next = call(other, "auth@1.0.0/refresh", "", &refresh).unwrap();
        let next_access = text(&next, "access_token");
        for address in [third, one, other] {
            assert_eq!(asks(address), (401, "token_superseded".to_owned()));
            let answer = call(address, "auth@1.0.0/whoami", &next_access, "{}").unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        // So does the end of a session.
        let out = call(third, "auth@1.0.0/logout", &next_access, "{}").unwrap();
        assert_eq!(out.status, 200, "{out:?}");
        for address in [one, other, third] {
            let answer = call(address, "auth@1.0.0/whoami", &next_access, "{}").unwrap();
            assert_eq!(answer.status, 401, "{answer:?}");
        }
    }
    // Of a refresh token that comes to all of them at once, one counts.
    let tokens = call(one, "auth@1.0.0/login", "", &password).unwrap();
    let refresh = json!({"refresh_token": text(&tokens, "refresh_token")}).to_string();
    let refreshed = thread::scope(|scope| {
        let each = |address| {
            let refresh = &refresh;
            scope.spawn(move || {
                call(address, "auth@1.0.0/refresh", "", refresh)
                    .unwrap()
                    .status
            })
        };
        let all = [one, other, third].map(each);
        all.map(|caller| caller.join().unwrap())
    });
    let won = refreshed.iter().filter(|status| **status == 200).count();
    assert!(
        won <= 1
            && refreshed
                .iter()
                .all(|status| matches!(status, 200 | 401 | 409)),
        "{refreshed:?}"
    );
}
