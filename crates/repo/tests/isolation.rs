//! No tenant reaches another's rows, whatever is tried: for each table, on both databases.

#![allow(clippy::unwrap_used, reason = "a failed test")]

mod support;

use bastide_db::{Dialect, Local, values};
use bastide_repo::{Column, Entity, Filter, PerTenant, Query, Repo, RepoError, TenantDb, Uuid};

use support::{Fixture, Post, PostPatch, Team, TeamPatch, User, UserPatch, team, tenant, user};

on_both!(
    teams_are_apart,
    users_are_apart,
    posts_are_apart,
    audit_entries_are_apart,
);

/// A table, and how its rows are made.
struct Subject<E: Entity> {
    repo: Repo<E>,
    /// One that this tenant could have.
    row: E,
    /// A change of it.
    patch: fn() -> E::Patch,
    key: Column<E, Uuid>,
}

/// Everything that can be done through a repository, done to another tenant's row.
async fn assert_apart<E>(fixture: &Fixture, db: &TenantDb, subject: Subject<E>)
where
    E: Entity<Id = Uuid, Rows = PerTenant> + Clone + PartialEq + std::fmt::Debug,
{
    let Subject {
        repo,
        row,
        patch,
        key,
    } = subject;
    let (a, b, id) = (tenant("a"), tenant("b"), *row.id());
    let own = repo.find(&a, id).await.unwrap().expect("it is there");
    let all = async || repo.count(&a, Filter::all()).await.unwrap();
    let before = all().await;

    // select, count, exists, list, by the id and without
    assert_eq!(repo.find(&b, id).await.unwrap(), None);
    assert_eq!(repo.count(&b, Filter::all()).await.unwrap(), 0);
    assert!(!repo.exists(&b, key.eq(id)).await.unwrap());
    let escape = Query::new().filter(key.eq(id).or(key.ne(id)));
    assert!(
        repo.list(&b, escape.with_deleted())
            .await
            .unwrap()
            .is_empty()
    );
    // update, patch, delete
    let none = "not_found";
    assert_eq!(repo.update(&b, row.clone()).await.unwrap_err().code(), none);
    assert_eq!(repo.patch(&b, id, patch()).await.unwrap_err().code(), none);
    assert_eq!(repo.delete(&b, id).await.unwrap_err().code(), none);
    // The same within a transaction.
    let result: Result<(), RepoError> = db
        .transaction(&b, async |tx| {
            assert_eq!(repo.find(tx, id).await?, None);
            assert_eq!(repo.count(tx, Filter::all()).await?, 0);
            Ok(())
        })
        .await;
    result.unwrap();
    by_statements(fixture, db, E::TABLE.name, id).await;
    // A row with the same id, by insert or upsert, is another row.
    let inserted = repo.upsert(&b, row.clone(), key).await;
    if let Err(error) = inserted {
        assert_eq!(error.code(), "reference", "its own reference: {error}");
    } else {
        repo.delete(&b, id).await.unwrap();
    }
    assert_eq!(
        repo.find(&a, id).await.unwrap(),
        Some(own),
        "nothing has changed"
    );
    assert_eq!(all().await, before);
}

/// The same by statements of one's own.
async fn by_statements(fixture: &Fixture, db: &TenantDb, table: &str, id: Uuid) {
    let b = tenant("b");
    if fixture.dialect() == Dialect::Sqlite {
        for sql in [
            format!("SELECT * FROM {table}"),
            format!("DELETE FROM \"{}\"", table.to_uppercase()),
            format!("WITH x AS (SELECT * FROM main.{table}) SELECT * FROM x"),
        ] {
            let refused: Result<(), RepoError> = db
                .transaction(&b, async |tx| tx.query(&sql, &[]).await.map(drop))
                .await;
            assert_eq!(refused.unwrap_err().code(), "invalid", "{sql}");
        }
        return;
    }
    let try_it = async |sql: String| -> Result<u64, RepoError> {
        db.transaction(&b, async |tx| tx.execute(&sql, &[]).await)
            .await
    };
    let rows = async |sql: String| {
        let found: Result<_, RepoError> = db
            .transaction(&b, async |tx| tx.query(&sql, &[]).await)
            .await;
        found.unwrap().len()
    };
    assert_eq!(
        rows(format!("SELECT * FROM {table} WHERE tenant_id = 'a'")).await,
        0
    );
    assert_eq!(
        rows(format!("SELECT * FROM {table} WHERE id = '{id}'")).await,
        0
    );
    let join = format!(
        "SELECT * FROM {table} AS one JOIN {table} AS two ON one.id = two.id WHERE one.tenant_id = 'a'"
    );
    assert_eq!(rows(join).await, 0);
    // In `bastide_audit` the role may not even try.
    for write in [
        format!("UPDATE {table} SET tenant_id = 'b' WHERE id = '{id}'"),
        format!("DELETE FROM {table} WHERE id = '{id}'"),
    ] {
        let changed = try_it(write).await;
        assert!(
            matches!(
                changed,
                Ok(0) | Err(RepoError::Invalid(_) | RepoError::Failed(_))
            ),
            "{changed:?}"
        );
    }
    let move_in = format!("INSERT INTO {table} (tenant_id, id) VALUES ('a', '{id}')");
    assert_eq!(try_it(move_in).await.unwrap_err().code(), "internal");

    // Without a context nothing is seen and nothing is taken.
    let app = fixture.app();
    let nobody = Local::default();
    let sql = format!("SELECT * FROM {table}");
    assert!(app.query(&sql, &[]).await.unwrap().is_empty());
    assert!(
        app.query_within(&nobody, &sql, &[])
            .await
            .unwrap()
            .is_empty()
    );
    let own_table_of_settings = Local {
        settings: vec![("app.tenant_id", String::new())],
        ..Local::default()
    };
    let rows = app.query_within(&own_table_of_settings, &sql, &[]).await;
    assert!(rows.unwrap().is_empty());
    let insert = format!("INSERT INTO {table} (id) VALUES ($1)");
    assert!(
        app.execute(&insert, &values![Uuid::now_v7()])
            .await
            .is_err()
    );
    // The owner too is held to it.
    assert!(fixture.owner().query(&sql, &[]).await.unwrap().is_empty());
}

async fn teams_are_apart(fixture: &Fixture) {
    let db = fixture.db().await;
    let repo = db.repo::<Team>();
    let row = repo.insert(&tenant("a"), team("one")).await.unwrap();
    let patch = || TeamPatch {
        name: Some("taken".into()),
    };
    let key = Team::ID;
    assert_apart(
        fixture,
        &db,
        Subject {
            repo,
            row,
            patch,
            key,
        },
    )
    .await;
}

async fn users_are_apart(fixture: &Fixture) {
    let db = fixture.db().await;
    let repo = db.repo::<User>();
    let a = tenant("a");
    let gone = repo.insert(&a, user("gone@x")).await.unwrap();
    repo.delete(&a, gone.id).await.unwrap();
    assert_eq!(
        repo.restore(&tenant("b"), gone.id)
            .await
            .unwrap_err()
            .code(),
        "not_found"
    );
    let row = repo.insert(&a, user("ada@x")).await.unwrap();
    let patch = || UserPatch {
        name: Some("taken".into()),
        ..UserPatch::default()
    };
    let key = User::ID;
    assert_apart(
        fixture,
        &db,
        Subject {
            repo,
            row,
            patch,
            key,
        },
    )
    .await;
}

async fn posts_are_apart(fixture: &Fixture) {
    let db = fixture.db().await;
    let (repo, a) = (db.repo::<Post>(), tenant("a"));
    let author = db.repo::<User>().insert(&a, user("ada@x")).await.unwrap();
    let post = Post {
        id: Uuid::now_v7(),
        author_id: author.id,
        title: "one".into(),
    };
    let row = repo.insert(&a, post).await.unwrap();
    // Relations do not lead across either.
    let b = tenant("b");
    assert!(
        repo.belonging_to(&b, [&author], Post::AUTHOR)
            .await
            .unwrap()
            .is_empty()
    );
    let authors = db
        .repo::<User>()
        .of(&b, [&row], Post::AUTHOR)
        .await
        .unwrap();
    assert!(authors.is_empty());
    let patch = || PostPatch {
        title: Some("taken".into()),
        ..PostPatch::default()
    };
    let key = Post::ID;
    assert_apart(
        fixture,
        &db,
        Subject {
            repo,
            row,
            patch,
            key,
        },
    )
    .await;
}

async fn audit_entries_are_apart(fixture: &Fixture) {
    let db = fixture.db().await;
    let a = tenant("a");
    db.repo::<User>().insert(&a, user("ada@x")).await.unwrap();
    let repo = db.repo::<bastide_repo::AuditEntry>();
    let row = repo.list(&a, Query::new()).await.unwrap().rows.remove(0);
    assert_eq!(
        repo.find(&tenant("b"), row.id)
            .await
            .unwrap()
            .map(|entry| entry.id),
        None
    );
    by_statements(fixture, &db, "bastide_audit", row.id).await;
}
