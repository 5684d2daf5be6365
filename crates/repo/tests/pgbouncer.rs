//! Behind PgBouncer in transaction mode many tenants share two connections, and none sees another's rows.

#![allow(clippy::unwrap_used, reason = "a failed test")]

mod support;

use bastide_db::Database;
use bastide_repo::{Filter, RepoError, Schema, TenantDb};
use bastide_testkit::{PgBouncer, Postgres};

use support::{Team, team, tenant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_stay_apart_on_shared_connections() {
    let server = Postgres::start().unwrap();
    let owner = Database::open(&server.url()).unwrap();
    let schema = Schema::new().with::<Team>();
    let role = "CREATE ROLE app LOGIN".to_owned();
    let create = schema.create(owner.dialect());
    for statement in [role].into_iter().chain(create).chain(schema.grant("app")) {
        owner.execute(&statement, &[]).await.unwrap();
    }
    let bouncer = PgBouncer::start(server.port(), "app").unwrap();
    let url = format!("postgres://app@127.0.0.1:{}/postgres", bouncer.port());
    let database = Database::open(&url).unwrap();
    schema.check(&database).await.unwrap();
    let db = TenantDb::new(database.clone());
    let tasks = (0..40).map(|number| {
        let (db, teams) = (db.clone(), db.repo::<Team>());
        tokio::spawn(async move {
            let cx = tenant(&format!("t{number}"));
            for name in 0..10 {
                teams.insert(&cx, team(&name.to_string())).await?;
                let seen = teams.count(&cx, Filter::all()).await?;
                assert_eq!(seen, name + 1, "tenant {number}");
            }
            db.transaction(&cx, async |tx| -> Result<usize, RepoError> {
                Ok(tx.query("SELECT * FROM teams", &[]).await?.len())
            })
            .await
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap().unwrap(), 10);
    }
    let left = database.query("SELECT * FROM teams", &[]).await.unwrap();
    assert!(left.is_empty(), "nothing is seen without a tenant");
}
