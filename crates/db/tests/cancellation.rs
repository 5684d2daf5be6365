//! Whoever is cancelled, wherever, leaves nothing behind for the next user of the connection.

#![allow(clippy::unwrap_used, reason = "a failed test")]

mod support;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bastide_db::{Database, DbError, Local, values};

use support::{Fixture, PATIENCE};

on_both!(
    a_transaction_cancelled_at_any_await_is_gone,
    a_batch_cancelled_at_any_await_is_gone,
    a_statement_cancelled_at_any_await_leaves_a_sound_connection,
    a_cancelled_statement_inside_a_transaction_ends_it,
);

/// Polls the future at most `polls` times and drops it; its output if it was done by then.
async fn polled<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // Given up at the next wake-up, so that what was begun is answered or under way.
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// How often the whole is repeated: threads and sockets answer now before, now after a poll.
const ROUNDS: usize = 20;

/// Cancels the work after each number of polls that it takes; returns how often it was cancelled.
async fn for_all_polls(database: &Database, work: impl AsyncFn(usize) -> bool) -> usize {
    let mut cancelled = 0;
    for round in 0..ROUNDS {
        for polls in 0.. {
            let is_done = work(polls).await;
            assert_next_user_is_alone(
                database,
                1_000 + cancelled as i64 * ROUNDS as i64 + round as i64,
                polls,
            )
            .await;
            if is_done {
                break;
            }
            cancelled += 1;
        }
    }
    cancelled
}

async fn table(database: &Database) {
    database
        .execute("CREATE TABLE t (id bigint PRIMARY KEY)", &[])
        .await
        .unwrap();
}

async fn ids(database: &Database) -> Vec<i64> {
    let rows = tokio::time::timeout(
        PATIENCE,
        database.query("SELECT id FROM t ORDER BY id", &[]),
    )
    .await;
    rows.expect("the next user waits for nobody")
        .unwrap()
        .iter()
        .map(|row| row.get("id").unwrap())
        .collect()
}

/// The next user's transaction sees only its own work, and it commits.
async fn assert_next_user_is_alone(database: &Database, id: i64, polls: usize) {
    let before = ids(database).await;
    assert!(
        before.iter().all(|id| *id >= 1_000),
        "after {polls} polls the connection was inside a transaction: {before:?}"
    );
    let done: Result<u64, DbError> = database
        .transaction(async |transaction| {
            transaction
                .execute("INSERT INTO t (id) VALUES ($1)", &values![id])
                .await
        })
        .await;
    done.unwrap();
    assert!(ids(database).await.contains(&id));
}

async fn a_transaction_cancelled_at_any_await_is_gone(fixture: &Fixture) {
    let (database, onlooker) = (fixture.open_single(), fixture.open());
    table(&database).await;
    let cancelled = for_all_polls(&database, async |polls| {
        let work = database.transaction(async |transaction| -> Result<(), DbError> {
            transaction
                .execute("INSERT INTO t (id) VALUES (1)", &[])
                .await?;
            transaction.query("SELECT id FROM t", &[]).await?;
            transaction
                .execute("INSERT INTO t (id) VALUES (2)", &[])
                .await?;
            transaction.notify("c", "p").await
        });
        let is_done = polled(polls, work).await.map(Result::unwrap).is_some();
        // Cancelled while COMMIT was under way it may have been applied; then it was applied whole.
        let done = onlooker
            .execute("DELETE FROM t WHERE id < 1000", &[])
            .await
            .unwrap();
        assert!(
            if is_done {
                done == 2
            } else {
                done == 0 || done == 2
            },
            "half of a transaction: {done}"
        );
        is_done
    });
    assert!(cancelled.await > ROUNDS);
}

async fn a_batch_cancelled_at_any_await_is_gone(fixture: &Fixture) {
    let database = fixture.open_single();
    table(&database).await;
    let cancelled = for_all_polls(&database, async |polls| {
        let work = database.transaction(async |transaction| -> Result<(), DbError> {
            let rows = (1..=300_i64).map(|id| values![id].to_vec()).collect();
            transaction
                .execute_each("INSERT INTO t (id) VALUES ($1)", rows)
                .await?;
            Err(DbError::Invalid("never mind".into()))
        });
        polled(polls, work).await.is_some()
    });
    assert!(cancelled.await > ROUNDS);
}

async fn a_statement_cancelled_at_any_await_leaves_a_sound_connection(fixture: &Fixture) {
    let database = fixture.open_single();
    table(&database).await;
    let statement = async |polls| {
        polled(polls, database.query("SELECT id + 1 AS n FROM t", &[]))
            .await
            .is_some()
    };
    assert!(for_all_polls(&database, statement).await > 0);
}

async fn a_cancelled_statement_inside_a_transaction_ends_it(fixture: &Fixture) {
    let database = fixture.open_single();
    table(&database).await;
    let mut id = 1_000;
    let mut was_cancelled = false;
    // The answer may be there before the first poll is over; then the statement is not cancelled but done.
    while !was_cancelled {
        id += 2;
        let result: Result<(), DbError> = database
            .transaction(async |transaction| {
                transaction
                    .execute("INSERT INTO t (id) VALUES ($1)", &values![id])
                    .await?;
                let next = values![id + 1];
                let second = transaction.execute("INSERT INTO t (id) VALUES ($1)", &next);
                was_cancelled = polled(1, second).await.is_none();
                Ok(())
            })
            .await;
        assert_eq!(
            matches!(result, Err(DbError::Aborted)),
            was_cancelled,
            "{result:?}"
        );
        assert_eq!(ids(&database).await.contains(&id), !was_cancelled);
    }
}

/// While it is being prepared (asked for the second time) and afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prepared_statement_cancelled_at_any_await_leaves_a_sound_connection() {
    let fixture = Fixture::postgres();
    let database = fixture.open_single();
    table(&database).await;
    let create = "CREATE TABLE u (id bigint)";
    database.execute(create, &[]).await.unwrap();
    let local = Local {
        settings: vec![("app.tenant_id", "a".to_owned())],
        ..Local::default()
    };
    let insert = "INSERT INTO u (id) VALUES ($1)";
    for times_before in [1, 3] {
        database.execute("DELETE FROM t", &[]).await.unwrap();
        let next = std::sync::atomic::AtomicI64::new(times_before * 1_000_000);
        let cancelled = for_all_polls(&database, async |polls| {
            let row = || values![next.fetch_add(1, std::sync::atomic::Ordering::SeqCst)];
            for _ in 0..times_before {
                let row = row();
                let done = database.query_within(&local, insert, &row).await;
                done.unwrap();
            }
            let last = row();
            let work = database.query_within(&local, insert, &last);
            let is_done = polled(polls, work).await.map(Result::unwrap).is_some();
            let found = "SELECT count(*) AS n, coalesce(current_setting('app.tenant_id', true), '') AS tenant FROM u WHERE id = $1";
            let rows = database.query(found, &last).await.unwrap();
            assert_eq!(rows[0].get::<&str>("tenant").unwrap(), "");
            // Cancelled while COMMIT was under way it may have been applied.
            assert!(!is_done || rows[0].get::<i64>("n").unwrap() == 1);
            is_done
        });
        assert!(cancelled.await > ROUNDS);
    }
}

/// What is still running on the server holds locks, whoever waits for it.
#[tokio::test]
async fn a_cancelled_statement_is_stopped_on_the_server() {
    let fixture = Fixture::postgres();
    let database = fixture.open_single();
    let sleep = database.query("SELECT pg_sleep(60)::text", &[]);
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(200), sleep)
            .await
            .is_err()
    );
    let running = "SELECT count(*) AS n FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND datname = current_database()";
    let stopped = async {
        while database.query(running, &[]).await.unwrap()[0]
            .get::<i64>("n")
            .unwrap()
            > 0
        {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, stopped)
        .await
        .expect("the statement is cancelled");
}
