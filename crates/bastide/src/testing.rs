//! For tests of a program: the whole of it in this process, on stores of its own, with callers of two tenants, a clock that the
//! test moves, and assertions that no tenant reaches what is another's.
//!
//! It is the feature `testing`, which belongs below `[dev-dependencies]`, where no build of the program itself has it:
//!
//! ```toml
//! [dev-dependencies]
//! bastide = { version = "0.1", features = ["testing"] }
//! ```
//!
//! [`TestApp::start`] runs the program's own `main` up to [`App::run`](crate::App::run): what is tested is what is started in
//! production, configuration files, migrations, hooks and checks of the start included.
//!
//! # Invariants
//! - **No store but its own.** No environment variable of the process is read: a `DATABASE_URL` that happens to be set is
//!   nobody's here. Rows are in a file that goes with the test, or in a database of a Postgres made for it
//!   ([`TestAppBuilder::postgres`]); what processes share is in memory, or in a Redis made for it ([`TestAppBuilder::redis`]).
//! - **On Postgres as in production:** the owner of the tables applies migrations; the program is another role, held to row-level
//!   security.
//! - **Tokens are of the kit's key**, whatever `[auth]` says of keys; issuer, audience, sessions and binding are as configured.
//! - **An assertion that saw nothing fails.** [`assert_isolated`] and [`assert_no_leak`] plant rows first, and insist that their
//!   own tenant sees them.
//!
//! # The clock
//! [`TestApp::advance`] moves what tells tokens' and sessions' ages and how long outputs are kept, and [`App::clock`](crate::App::clock)
//! for the program's own. For that the cache keeps values in the store alone. Rate limits and deadlines count by the
//! machine's clock, and timestamps of rows are those of the machine too.
//!
//! # What it deliberately does not do
//! No mocks: what a service calls is the author's to replace, where `main` builds it. Workers are processes of their own in
//! production and are not started. No signals: [`TestApp::stop`] runs the hooks of the end.
//!
//! # Example
//! In `tests/notes.rs` the program is `#[path = "../src/main.rs"] mod program;`:
//!
//! ```
//! mod program {
//!     use bastide::prelude::*;
//!
//!     #[api]
//!     #[derive(Debug, Entity)]
//!     #[entity(table = "notes", tenant)]
//!     pub struct Note {
//!         #[entity(id)]
//!         pub id: Uuid,
//!         text: String,
//!     }
//!
//!     struct Notes(Repo<Note>);
//!
//!     #[service(name = "notes", version = "1.0.0")]
//!     impl Notes {
//!         /// One note.
//!         #[rpc(auth, limit = "100/min", cache(ttl = "60s"))]
//!         #[get("/notes/{id}")]
//!         async fn find(&self, cx: &Cx, id: Uuid) -> Result<Option<Note>, RepoError> {
//!             self.0.find(cx, id).await
//!         }
//!
//!         /// A new note.
//!         #[rpc(auth(role = "writer"), limit = "100/min")]
//!         async fn write(&self, cx: &Cx, text: String) -> Result<Note, RepoError> {
//!             self.0.insert(cx, Note { id: Uuid::now_v7(), text }).await
//!         }
//!     }
//!
//!     #[bastide::main]
//!     async fn main(app: App) -> Result<()> {
//!         let notes = Notes(app.repo().await?);
//!         app.service(notes).run().await
//!     }
//! }
//!
//! use bastide::testing::{Fixtures, LeakSearch, TestApp, assert_isolated, assert_no_leak};
//! use program::Note;
//! use serde_json::json;
//!
//! // Stands below `#[tokio::test]`.
//! async fn notes_stay_with_their_tenant() -> bastide::Result<()> {
//!     let app = TestApp::start(program::main).await?;
//!     let writer = app.acme().role("writer");
//!     let note: Note = writer.call("notes/write", json!({"text": "hello"})).await?;
//!
//!     let find = json!({"id": note.id});
//!     assert!(app.acme().call::<Option<Note>>("notes/find", &find).await?.is_some());
//!     assert!(app.globex().call::<Option<Note>>("notes/find", &find).await?.is_none());
//!     let refused = app.acme().call::<Note>("notes/write", json!({"text": "x"})).await;
//!     assert_eq!(refused.unwrap_err(), "role_required");
//!
//!     assert_isolated(&app, &Fixtures::new()).await;
//!     assert_no_leak(&app, &LeakSearch::new()).await;
//!     app.stop().await
//! }
//! # fn main() -> bastide::Result<()> {
//! #     bastide::tokio::runtime::Runtime::new()?.block_on(notes_stay_with_their_tenant())
//! # }
//! ```

mod answers;
mod builder;
mod caller;
mod fixtures;
mod inputs;
mod isolation;
mod leak;
mod probe;
mod servers;
mod stage;
mod statements;
mod test_app;

pub use builder::TestAppBuilder;
pub use caller::{Caller, Refusal, Reply};
pub use fixtures::Fixtures;
pub use isolation::assert_isolated;
pub use leak::{LeakSearch, Searched, assert_no_leak};
pub use test_app::TestApp;

pub(crate) use probe::Probes;
pub(crate) use stage::{Opening, Stage, run};

/// One of two tenants that every test has.
pub const ACME: &str = "acme";
/// The other.
pub const GLOBEX: &str = "globex";
