//! What is right passes, what is wrong is caught, and what shows nothing fails.

use std::any::Any;
use std::fs;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use bastide::db::Database;
use bastide::prelude::*;
use bastide::testing::{
    Fixtures, LeakSearch, TestApp, TestAppBuilder, assert_isolated, assert_no_leak,
};
use futures_util::FutureExt as _;
use serde_json::json;

use crate::leaky;
use crate::notes::{self, Note, PROGRAM};

/// The message with which it fails.
async fn failure<T>(assertion: impl Future<Output = T>) -> String {
    let caught = AssertUnwindSafe(assertion).catch_unwind().await;
    let Err(panic) = caught else {
        panic!("it should have failed");
    };
    let panic: Box<dyn Any> = panic;
    *panic.downcast::<String>().unwrap()
}

async fn a_program_that_is_right_passes(builder: TestAppBuilder) {
    let app = builder.start(notes::main).await.unwrap();
    assert_isolated(&app, &Fixtures::new()).await;
    // Rows that are there already are no hindrance.
    assert_isolated(&app, &Fixtures::new()).await;
    let searched = assert_no_leak(&app, &LeakSearch::new()).await;
    let methods = ["notes@1.0.0/find", "notes@1.0.0/list", "notes@1.0.0/count"];
    assert_eq!(searched.methods, methods);
    assert!(searched.changing.is_empty(), "{searched:?}");
    assert!(searched.answers >= 5, "{searched:?}");
}

#[tokio::test]
async fn s21_a_program_that_is_right_passes_on_embedded_stores() {
    a_program_that_is_right_passes(TestApp::builder()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s21_a_program_that_is_right_passes_on_servers() {
    a_program_that_is_right_passes(TestApp::builder().postgres().redis()).await;
}

/// Each is caught by the method that leaks, and by what is wrong with it.
async fn leaks_are_caught(builder: TestAppBuilder) {
    type Main = fn() -> ExitCode;
    let programs: [(Main, &str, &str); 5] = [
        (
            leaky::raw_text,
            "`raw@1.0.0/text`",
            "tells another tenant of planted",
        ),
        (
            leaky::raw_count,
            "`raw@1.0.0/count`",
            "answers Output(Number(1)) to a tenant without rows",
        ),
        (
            leaky::key_without_tenant,
            "`kept@1.0.0/find`",
            "tells another tenant of planted",
        ),
        (
            leaky::static_map,
            "`remembered@1.0.0/find`",
            "tells another tenant of planted",
        ),
        (leaky::telling_problem, "`telling@1.0.0/find`", "not_yours"),
    ];
    for (program, method, what) in programs {
        let app = builder.clone().start(program).await.unwrap();
        let told = failure(assert_no_leak(&app, &LeakSearch::new())).await;
        assert!(told.contains(method) && told.contains(what), "{told}");
        assert!(!told.contains("`notes@1.0.0"), "only that one: {told}");
    }
}

#[tokio::test]
async fn s21_leaks_are_caught_on_embedded_stores() {
    leaks_are_caught(TestApp::builder()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s21_leaks_are_caught_on_servers() {
    leaks_are_caught(TestApp::builder().postgres().redis()).await;
}

/// With a migration of this text after those that make the entities' tables.
async fn migrated(more: &str) -> (bastide_testkit::TestFolder, TestApp) {
    let folder = bastide_testkit::TestFolder::new().unwrap();
    let migrations = folder.path().join("migrations");
    fs::create_dir(&migrations).unwrap();
    let schema = bastide::repo::Schema::new()
        .with::<notes::Folder>()
        .with::<Note>();
    for (dialect, name) in [
        (bastide::db::Dialect::Postgres, "postgres"),
        (bastide::db::Dialect::Sqlite, "sqlite"),
    ] {
        let text = format!("{};\n{more}", schema.create(dialect).join(";\n"));
        fs::write(migrations.join(format!("0001_notes.{name}.sql")), text).unwrap();
    }
    let app = TestApp::builder().postgres().folder(folder.path());
    let app = app.start(notes::main).await.unwrap();
    (folder, app)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s21_a_table_beside_the_entities_is_tried_too() {
    let table = "CREATE TABLE drafts (tenant_id text NOT NULL, body text NOT NULL);\n\
                 INSERT INTO drafts VALUES ('acme', 'one'), ('globex', 'two');\nGRANT SELECT, INSERT, UPDATE, DELETE ON drafts TO public;";
    let (_folder, app) = migrated(table).await;
    let told = failure(assert_isolated(&app, &Fixtures::new())).await;
    for what in [
        "drafts: globex reads 1 rows by SELECT",
        "drafts: without a tenant 2 rows are read",
        "drafts: globex changes 1 rows by UPDATE",
        "drafts: globex changes 1 rows by DELETE",
        "drafts: globex gives acme 1 rows by INSERT",
        "drafts: globex gives acme 1 rows by UPDATE",
    ] {
        assert!(told.contains(what), "{what}: {told}");
    }
    assert!(!told.contains("notes:"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s21_a_policy_that_was_loosened_is_caught() {
    let (_folder, app) = migrated("").await;
    assert_isolated(&app, &Fixtures::new()).await;
    let owner = app.settings().database.owner_url.as_ref().unwrap();
    let owner = Database::open(owner.expose()).unwrap();
    // After the start, whose own check would have refused it.
    let loosen = "CREATE POLICY everybody_reads ON notes FOR SELECT USING (true)";
    owner.execute(loosen, &[]).await.unwrap();
    let told = failure(assert_isolated(&app, &Fixtures::new())).await;
    assert!(told.contains("notes: globex reads"), "{told}");
    assert!(told.contains("notes: without a tenant"), "{told}");
    assert!(!told.contains("folders:"), "{told}");
}

#[derive(Debug, Clone, Entity)]
#[entity(table = "orders", tenant)]
struct Order {
    #[entity(id)]
    id: Uuid,
    status: String,
}

struct Orders(Repo<Order>);

#[service(name = "orders", version = "1.0.0")]
impl Orders {
    /// How many have this status.
    #[rpc(auth)]
    #[get("/orders")]
    async fn count(&self, cx: &Cx, page: std::num::NonZeroU32) -> Result<u64, RepoError> {
        let _ = page;
        self.0.count(cx, Filter::all()).await
    }

    /// Does nothing that could be shown.
    #[rpc(auth)]
    #[get("/broken")]
    async fn broken(&self, _cx: &Cx) -> Result<u64, Problem> {
        Err(Problem::new(409, "never", "it never works"))
    }
}

fn orders() -> ExitCode {
    bastide::launch(PROGRAM, async |app| {
        let orders = Orders(app.repo().await?);
        app.service(orders).run().await
    })
}

#[tokio::test]
async fn s21_what_shows_nothing_fails() {
    let app = TestApp::start(orders).await.unwrap();
    let broken = failure(assert_no_leak(&app, &LeakSearch::new())).await;
    assert!(broken.contains("do not answer acme itself"), "{broken}");
    assert!(
        broken.contains("`orders@1.0.0/broken`") && broken.contains("never"),
        "{broken}"
    );
    assert!(!broken.contains("orders@1.0.0/count"), "{broken}");
    let search = LeakSearch::new().except("orders@1.0.0/broken");
    let unseen = failure(assert_no_leak(&app, &search)).await;
    assert!(unseen.contains("sees nothing of its own rows"), "{unseen}");
    let search = search.input("orders@1.0.0/find", json!({}));
    let unknown = failure(assert_no_leak(&app, &search)).await;
    assert!(
        unknown.contains("there is no method `orders@1.0.0/find`"),
        "{unknown}"
    );

    let empty = || bastide::launch(PROGRAM, async |app| app.run().await);
    let app = TestApp::start(empty).await.unwrap();
    let nothing = failure(assert_isolated(&app, &Fixtures::new())).await;
    assert!(nothing.contains("no repository"), "{nothing}");
    let nothing = failure(assert_no_leak(&app, &LeakSearch::new())).await;
    assert!(nothing.contains("no method that reads"), "{nothing}");
}

#[tokio::test]
async fn s21_columns_that_take_few_values_are_given() {
    let folder = bastide_testkit::TestFolder::new().unwrap();
    let migrations = folder.path().join("migrations");
    fs::create_dir(&migrations).unwrap();
    let schema = bastide::repo::Schema::new().with::<Order>();
    let tables = schema.create(bastide::db::Dialect::Sqlite).join(";\n");
    let tables = tables.replace(
        "\"status\" TEXT NOT NULL",
        "\"status\" TEXT NOT NULL CHECK (status IN ('open', 'paid'))",
    );
    assert!(tables.contains("CHECK"), "{tables}");
    fs::write(migrations.join("0001_orders.sql"), tables).unwrap();
    let app = TestApp::builder().folder(folder.path());
    let app = app.start(orders).await.unwrap();
    let refused = failure(assert_isolated(&app, &Fixtures::new())).await;
    assert!(refused.contains("`Fixtures::column`"), "{refused}");
    assert_isolated(&app, &Fixtures::new().column(Order::STATUS, "open")).await;
}

/// The same table without a word of tenants.
#[derive(Debug, Clone, Entity)]
#[entity(table = "notes")]
struct EveryNote {
    #[entity(id)]
    id: Uuid,
    text: String,
}

#[tokio::test]
async fn s21_an_entity_that_forgets_the_tenant_is_caught() {
    let forgetful = || {
        bastide::launch(PROGRAM, async |app| {
            let notes = notes::service(&app).await?;
            let every: Repo<EveryNote> = app.repo().await?;
            drop(every);
            app.service(notes).run().await
        })
    };
    let app = TestApp::start(forgetful).await.unwrap();
    let told = failure(assert_isolated(&app, &Fixtures::new())).await;
    assert!(told.contains("notes: an entity without `tenant`"), "{told}");
    assert!(!told.contains("reaches"), "{told}");
}
