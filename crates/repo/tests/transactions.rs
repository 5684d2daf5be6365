//! Transactions for a tenant: whole or not at all, until the deadline, and nothing left for the next one.

#![allow(clippy::unwrap_used, reason = "a failed test")]

mod support;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bastide_context::Call;
use bastide_db::{Dialect, Local, values};
use bastide_repo::{Filter, RepoError};

use support::{Fixture, PATIENCE, Repos, Team, User, UserPatch, team, tenant, user, within};

on_both!(
    a_transaction_is_applied_whole_or_not_at_all,
    transactions_and_calls_run_in_spawned_tasks,
    cancelled_at_any_await_nothing_is_left_behind,
    a_deadline_that_has_passed_asks_nothing,
    statements_that_would_leave_the_tenant_are_refused,
    changes_are_written_down_with_them,
);

async fn a_transaction_is_applied_whole_or_not_at_all(fixture: &Fixture) {
    let (repos, cx) = (Repos::new(fixture).await, tenant("a"));
    let both = async |name: &str, email: &str| {
        let result: Result<User, RepoError> = repos
            .db
            .transaction(&cx, async |tx| {
                let team = repos.teams.insert(tx, team(name)).await?;
                let member = User {
                    team_id: Some(team.id),
                    ..user(email)
                };
                repos.users.insert(tx, member).await
            })
            .await;
        result
    };
    both("one", "ada@x").await.unwrap();
    assert_eq!(both("two", "ada@x").await.unwrap_err().code(), "conflict");
    assert_eq!(repos.teams.count(&cx, Filter::all()).await.unwrap(), 1);
    // An error that was swallowed is one nevertheless.
    let swallowed: Result<(), RepoError> = repos
        .db
        .transaction(&cx, async |tx| {
            repos.teams.insert(tx, team("three")).await?;
            let _ = repos.teams.insert(tx, team("one")).await;
            Ok(())
        })
        .await;
    assert_eq!(swallowed.unwrap_err().code(), "internal");
    assert_eq!(repos.teams.count(&cx, Filter::all()).await.unwrap(), 1);
}

async fn transactions_and_calls_run_in_spawned_tasks(fixture: &Fixture) {
    let repos = Repos::new(fixture).await;
    let (db, users) = (repos.db.clone(), repos.users.clone());
    let task = tokio::spawn(async move {
        let cx = tenant("a");
        let added: Result<User, RepoError> = db
            .transaction(&cx, async |tx| users.insert(tx, user("ada@x")).await)
            .await;
        users.delete(&cx, added?.id).await?;
        users.count(&cx, Filter::all()).await
    });
    assert_eq!(task.await.unwrap().unwrap(), 0);
}

/// Polls the future at most `polls` times and drops it; whether it was done by then.
async fn is_done_within<F: Future>(polls: usize, future: F) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| true)
    })
    .await
}

async fn cancelled_at_any_await_nothing_is_left_behind(fixture: &Fixture) {
    let db = fixture.single().await;
    let (teams, users) = (db.repo::<Team>(), db.repo::<User>());
    let (a, b) = (tenant("a"), tenant("b"));
    let kept = users.insert(&a, user("kept")).await.unwrap();
    let mut cancelled = 0;
    for round in 0..5 {
        for kind in 0..6 {
            for polls in 0.. {
                let name = format!("{round}-{kind}-{polls}");
                let is_done = match kind {
                    0 => is_done_within(polls, teams.count(&a, Filter::all())).await,
                    1 => is_done_within(polls, teams.insert(&a, team(&name))).await,
                    2 => is_done_within(polls, users.insert(&a, user(&name))).await,
                    3 => is_done_within(polls, users.upsert(&a, user("kept"), User::EMAIL)).await,
                    4 => {
                        let patch = UserPatch {
                            name: Some(name.clone()),
                            ..UserPatch::default()
                        };
                        is_done_within(polls, users.patch(&a, kept.id, patch)).await
                    }
                    _ => {
                        let work = db.transaction(&a, async |tx| -> Result<(), RepoError> {
                            teams.insert(tx, team(&name)).await?;
                            users.insert(tx, user(&name)).await?;
                            Err(RepoError::Invalid("never mind".into()))
                        });
                        is_done_within(polls, work).await
                    }
                };
                // The next one on the connection is another tenant: it sees nothing of the first, and what it writes stays.
                let next = async {
                    assert_eq!(teams.count(&b, Filter::all()).await.unwrap(), 0);
                    let own = teams.insert(&b, team("own")).await.unwrap();
                    assert_eq!(teams.count(&b, Filter::all()).await.unwrap(), 1);
                    teams.delete(&b, own.id).await.unwrap();
                };
                let in_time = tokio::time::timeout(PATIENCE, next).await;
                in_time.expect("the next one waits for nobody");
                if is_done {
                    break;
                }
                cancelled += 1;
            }
        }
    }
    assert!(cancelled > 20, "{cancelled}");
    let rolled_back = teams
        .count(&a, Team::NAME.starts_with("0-5-"))
        .await
        .unwrap();
    assert_eq!(rolled_back, 0);
    // Every change that was applied was written down, and none that was not.
    let now = users.find(&a, kept.id).await.unwrap().unwrap();
    let entries = db.repo::<bastide_repo::AuditEntry>();
    let of_row = bastide_repo::AuditEntry::ROW.eq(kept.id.to_string());
    let written = entries.count(&a, of_row).await.unwrap();
    assert_eq!(written, now.version as u64);
    if fixture.dialect() == Dialect::Postgres {
        // And nothing of any tenant is on the connection: without a setting there are no rows.
        let app = fixture.app();
        let sql = "SELECT coalesce(current_setting('app.tenant_id', true), '') AS tenant";
        let row = app.query(sql, &[]).await.unwrap().remove(0);
        assert_eq!(row.get::<&str>("tenant").unwrap(), "");
    }
}

async fn a_deadline_that_has_passed_asks_nothing(fixture: &Fixture) {
    let repos = Repos::new(fixture).await;
    let late = within("a", Call::within(Duration::ZERO));
    let error = repos.teams.insert(&late, team("one")).await.unwrap_err();
    assert_eq!(error.code(), "deadline_passed");
    let result: Result<(), RepoError> = repos.db.transaction(&late, async |_| Ok(())).await;
    assert_eq!(result.unwrap_err().code(), "deadline_passed");
    assert_eq!(
        repos
            .teams
            .count(&tenant("a"), Filter::all())
            .await
            .unwrap(),
        0
    );
    // While a body waits for something else, the deadline passes too.
    let soon = within("a", Call::within(Duration::from_millis(200)));
    let result: Result<(), RepoError> = repos
        .db
        .transaction(&soon, async |tx| {
            repos.teams.insert(tx, team("one")).await?;
            std::future::pending().await
        })
        .await;
    assert_eq!(result.unwrap_err().code(), "deadline_passed");
    assert_eq!(
        repos
            .teams
            .count(&tenant("a"), Filter::all())
            .await
            .unwrap(),
        0
    );
}

async fn statements_that_would_leave_the_tenant_are_refused(fixture: &Fixture) {
    let (repos, a) = (Repos::new(fixture).await, tenant("a"));
    for (sql, code) in [
        ("COMMIT", "invalid"),
        ("RESET ALL", "invalid"),
        ("SELECT set_config('app.tenant_id', 'b', true)", "invalid"),
        // The database itself says so.
        ("SELECT 1; SELECT 2", "internal"),
    ] {
        let result: Result<(), RepoError> = repos
            .db
            .transaction(&a, async |tx| tx.query(sql, &[]).await.map(drop))
            .await;
        assert_eq!(result.unwrap_err().code(), code, "{sql}");
    }
    // What holds no rows of tenants can be asked on both.
    let result: Result<i64, RepoError> = repos
        .db
        .transaction(&a, async |tx| {
            let insert = "INSERT INTO countries (id, name) VALUES ($1, $2)";
            tx.execute(insert, &values!["uz", "Uzbekistan"]).await?;
            let rows = tx.query("SELECT count(*) AS n FROM countries", &[]).await?;
            Ok(rows[0].get("n")?)
        })
        .await;
    assert_eq!(result.unwrap(), 1);
}

async fn changes_are_written_down_with_them(fixture: &Fixture) {
    use bastide_repo::{AuditEntry, Query};
    let (repos, a) = (Repos::new(fixture).await, tenant("a"));
    let entries = repos.db.repo::<AuditEntry>();
    let ada = repos.users.insert(&a, user("ada@x")).await.unwrap();
    let older = User {
        age: Some(36),
        ..ada.clone()
    };
    repos.users.update(&a, older).await.unwrap();
    let stale = repos.users.update(&a, ada.clone()).await.unwrap_err();
    assert_eq!(stale.code(), "stale_version");
    repos.users.delete(&a, ada.id).await.unwrap();
    repos.users.restore(&a, ada.id).await.unwrap();
    repos
        .users
        .upsert(&a, user("ada@x"), User::EMAIL)
        .await
        .unwrap();
    repos.users.insert_many(&a, [user("bob@x")]).await.unwrap();
    // What is rolled back is not written down.
    let undone: Result<(), RepoError> = repos
        .db
        .transaction(&a, async |tx| {
            repos.users.insert(tx, user("eve@x")).await?;
            Err(RepoError::Invalid("never mind".into()))
        })
        .await;
    undone.unwrap_err();
    let found = entries.list(&a, Query::new()).await.unwrap();
    let actions: Vec<&str> = found.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        actions,
        ["insert", "update", "delete", "restore", "upsert", "insert"]
    );
    let update = &found[1];
    assert_eq!(update.actor.as_deref(), Some("system:test"));
    assert_eq!(update.row, ada.id.to_string());
    assert_eq!(update.request, a.call().request_id().to_string());
    let cell =
        |document: &Option<serde_json::Value>, name: &str| document.as_ref().unwrap()[name].clone();
    assert_eq!(cell(&update.before, "age"), serde_json::Value::Null);
    assert_eq!(cell(&update.after, "age"), 36);
    assert_eq!(cell(&update.after, "tenant_id"), "a");
    assert_eq!(
        (found[0].before.is_none(), found[5].after.is_some()),
        (true, true)
    );
    assert!(cell(&found[2].after, "deleted_at").is_string());
    assert_eq!(entries.count(&tenant("b"), Filter::all()).await.unwrap(), 0);
}

/// What is still running on the server holds locks, whoever waits for it.
#[tokio::test]
async fn a_deadline_ends_the_statement_on_the_server() {
    let fixture = Fixture::postgres();
    let repos = Repos::new(&fixture).await;
    let soon = within("a", Call::within(Duration::from_millis(300)));
    let started = std::time::Instant::now();
    let result: Result<(), RepoError> = repos
        .db
        .transaction(&soon, async |tx| {
            tx.query("SELECT pg_sleep(60)::text", &[]).await.map(drop)
        })
        .await;
    assert_eq!(result.unwrap_err().code(), "deadline_passed");
    assert!(started.elapsed() < Duration::from_secs(5));
    // A single statement too, and it leaves the connection as it was.
    let app = fixture.app();
    let pid = async || {
        app.query("SELECT pg_backend_pid() AS pid", &[])
            .await
            .unwrap()[0]
            .get::<i64>("pid")
            .unwrap()
    };
    let before = pid().await;
    let short = Local {
        limit: Some(Duration::from_millis(200)),
        ..Local::default()
    };
    let error = app
        .query_within(&short, "SELECT pg_sleep(60)::text", &[])
        .await;
    assert!(
        matches!(error, Err(bastide_db::DbError::Timeout { .. })),
        "{error:?}"
    );
    assert_eq!(pid().await, before);
}
