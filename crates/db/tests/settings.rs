//! Settings of one transaction, and nothing of them afterwards.

#![allow(clippy::unwrap_used, reason = "a failed test")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bastide_db::{Constraint, Database, DbError, Local, values};

use support::Fixture;

on_both!(
    a_statement_is_a_transaction_of_its_own,
    what_only_reads_cannot_write,
    a_transaction_is_rolled_back_unless_committed,
);

async fn table(fixture: &Fixture) -> Database {
    let database = fixture.open_single();
    let sql = "CREATE TABLE t (id bigint PRIMARY KEY)";
    database.execute(sql, &[]).await.unwrap();
    database
}

async fn count(database: &Database) -> i64 {
    let rows = database.query("SELECT count(*) AS n FROM t", &[]).await;
    rows.unwrap()[0].get("n").unwrap()
}

fn local(is_read_only: bool) -> Local {
    Local {
        settings: vec![("app.tenant_id", "a'b".to_owned())],
        limit: Some(Duration::from_secs(5)),
        is_read_only,
    }
}

async fn a_statement_is_a_transaction_of_its_own(fixture: &Fixture) {
    let database = table(fixture).await;
    let insert = "INSERT INTO t (id) VALUES ($1) RETURNING id";
    for id in [1_i64, 2] {
        let rows = database
            .query_within(&local(false), insert, &values![id])
            .await;
        assert_eq!(rows.unwrap()[0].get::<i64>("id").unwrap(), id);
    }
    let again = database
        .query_within(&local(false), insert, &values![1_i64])
        .await;
    let kind = Constraint::Unique;
    assert!(
        matches!(again, Err(DbError::Conflict { kind: k, .. }) if k == kind),
        "{again:?}"
    );
    let wrong = database
        .query_within(&local(false), "SELECT nonsense", &[])
        .await;
    assert!(matches!(wrong, Err(DbError::Invalid(_))), "{wrong:?}");
    assert_eq!(count(&database).await, 2);
}

async fn what_only_reads_cannot_write(fixture: &Fixture) {
    let database = table(fixture).await;
    let insert = "INSERT INTO t (id) VALUES (1)";
    assert!(
        database
            .query_within(&local(true), insert, &[])
            .await
            .is_err()
    );
    assert_eq!(count(&database).await, 0);
}

async fn a_transaction_is_rolled_back_unless_committed(fixture: &Fixture) {
    let database = table(fixture).await;
    let insert = "INSERT INTO t (id) VALUES ($1)";
    for (id, is_kept) in [(1_i64, true), (2, false)] {
        let mut transaction = database.begin_within(&local(false)).await.unwrap();
        transaction.execute(insert, &values![id]).await.unwrap();
        if is_kept {
            transaction.commit().await.unwrap();
        }
    }
    assert_eq!(count(&database).await, 1);
}

/// On the one connection that there is, whether the statement went well or not.
#[tokio::test]
async fn settings_end_with_the_transaction() {
    let fixture = Fixture::postgres();
    let database = table(&fixture).await;
    let read = "SELECT coalesce(current_setting('app.tenant_id', true), '') AS tenant, current_setting('statement_timeout') AS limit, \
                pg_backend_pid() AS pid";
    let now = async || database.query(read, &[]).await.unwrap().remove(0);
    let pid = now().await.get::<i64>("pid").unwrap();
    for sql in [read, "SELECT 1/0"] {
        let rows = database.query_within(&local(true), sql, &[]).await;
        if let Ok(rows) = rows {
            assert_eq!(rows[0].get::<&str>("tenant").unwrap(), "a'b");
            assert_eq!(rows[0].get::<&str>("limit").unwrap(), "5s");
        }
        let after = now().await;
        assert_eq!(after.get::<&str>("tenant").unwrap(), "");
        assert_eq!(after.get::<&str>("limit").unwrap(), "0");
        assert_eq!(after.get::<i64>("pid").unwrap(), pid, "the same connection");
    }
}

/// Between the program and the server: lets nothing of the server through until the client has sent these bytes.
fn hold_answers_until(expected: &'static [u8], server: String) -> (u16, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let is_holding = Arc::new(AtomicBool::new(false));
    let hold = Arc::clone(&is_holding);
    std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let upstream = TcpStream::connect(server).unwrap();
        let (mut from_client, mut to_client) = (client.try_clone().unwrap(), client);
        let (mut from_server, mut to_server) = (upstream.try_clone().unwrap(), upstream);
        let holding = Arc::clone(&hold);
        let (sent, was_sent) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut seen = Vec::new();
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = from_client.read(&mut buffer) {
                if holding.load(Ordering::SeqCst) {
                    seen.extend_from_slice(&buffer[..count]);
                    if seen.windows(expected.len()).any(|part| part == expected) {
                        let _ = sent.send(());
                        seen.clear();
                    }
                }
                to_server.write_all(&buffer[..count]).unwrap();
            }
        });
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from_server.read(&mut buffer) {
            if hold.load(Ordering::SeqCst) {
                was_sent.recv().unwrap();
                hold.store(false, Ordering::SeqCst);
            }
            to_client.write_all(&buffer[..count]).unwrap();
        }
    });
    (port, is_holding)
}

/// `COMMIT` is sent before the answer to `BEGIN` is read: else nobody would ever go on here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_is_one_round_trip() {
    let fixture = Fixture::postgres();
    let url = fixture.url();
    let host = url.split(['@', '/']).nth(3).unwrap().to_owned();
    let (port, is_holding) = hold_answers_until(b"COMMIT", host.clone());
    let options = bastide_db::Options {
        max_connections: 1,
        ..bastide_db::Options::default()
    };
    let url = url.replacen(&host, &format!("127.0.0.1:{port}"), 1);
    let database = Database::open_with(&url, options).unwrap();
    database.ping().await.unwrap();
    let (sql, local) = (
        "SELECT current_setting('app.tenant_id') AS tenant",
        local(true),
    );
    // The first time unnamed, the third time by the name that it got the second time.
    for (time, is_held) in [true, false, true, true].into_iter().enumerate() {
        is_holding.store(is_held, Ordering::SeqCst);
        let rows = database.query_within(&local, sql, &[]);
        let rows = tokio::time::timeout(support::PATIENCE, rows).await;
        let rows = rows
            .unwrap_or_else(|_| panic!("time {time} it waits for the answer to BEGIN"))
            .unwrap();
        assert_eq!(rows[0].get::<&str>("tenant").unwrap(), "a'b");
        assert!(!is_holding.load(Ordering::SeqCst), "the answers were held");
    }
}
