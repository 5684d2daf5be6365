//! What the program's callers can ask for.

use std::future::pending;
use std::time::Duration;

use bastide::prelude::*;
use bastide::repo::TenantDb;
use bastide::rpc::RegistryError;
use bastide::{tokio, tracing};
use futures_util::stream::unfold;

#[derive(Debug, ApiError)]
pub(crate) enum NoteError {
    /// there is no such note
    #[error(status = 404, code = "note_not_found")]
    NotFound,
    #[error(transparent)]
    Rows(#[from] RepoError),
}

/// Calls that need nothing but the process.
pub(crate) struct Work;

#[service(name = "work", version = "1.0.0")]
impl Work {
    /// Takes so long.
    #[rpc(public = "a test calls it")]
    async fn slow(&self, millis: u64) -> Result<u64, Problem> {
        tracing::info!("a slow call begins");
        tokio::time::sleep(Duration::from_millis(millis)).await;
        Ok(millis)
    }

    /// Never answers.
    #[rpc(public = "a test calls it")]
    async fn hang(&self) -> Result<(), Problem> {
        tracing::info!("a call that hangs begins");
        pending().await
    }

    /// Is counted.
    #[rpc(public = "a test calls it", limit = "20/min")]
    async fn counted(&self) -> Result<(), Problem> {
        Ok(())
    }

    /// Takes a password, which nobody is told.
    #[rpc(auth)]
    async fn sign(&self, cx: &Cx, password: String) -> Result<usize, Problem> {
        tracing::debug!(tenant = %cx.tenant(), password, "signing");
        Ok(password.len())
    }
}

/// A stream that does not end by itself.
pub(crate) fn ticks() -> Result<Service, RegistryError> {
    let ticks = Method::named("ticks")
        .public("a test reads it")
        .stream(|_, _: Nothing| async {
            let interval = tokio::time::interval(Duration::from_millis(20));
            let items = unfold(interval, |mut interval| async {
                interval.tick().await;
                Some((Ok::<_, Problem>("tick"), interval))
            });
            Ok::<_, Problem>(items)
        });
    Ok(Service::new("ticks", "1.0.0")?.method(ticks))
}

/// No input.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Nothing {}

/// Something that is written down.
#[api]
#[derive(Debug, Clone, Entity)]
#[entity(table = "notes", tenant)]
pub(crate) struct Note {
    #[entity(id)]
    id: Uuid,
    text: String,
}

/// Calls that need rows.
pub(crate) struct Rows {
    notes: Repo<Note>,
    database: TenantDb,
}

impl Rows {
    pub(crate) fn new(notes: Repo<Note>, database: TenantDb) -> Self {
        Self { notes, database }
    }
}

#[service(name = "notes", version = "1.0.0")]
impl Rows {
    /// A note, as it is kept.
    #[rpc(auth, cache(ttl = "10m", tags("note:{id}")))]
    async fn find(&self, cx: &Cx, id: Uuid) -> Result<Note, NoteError> {
        self.notes.find(cx, id).await?.ok_or(NoteError::NotFound)
    }

    /// A note, as it is.
    #[rpc(auth)]
    async fn look(&self, cx: &Cx, id: Uuid) -> Result<Note, NoteError> {
        self.notes.find(cx, id).await?.ok_or(NoteError::NotFound)
    }

    /// A new note, or the note anew.
    #[rpc(auth, invalidates("note:{id}"))]
    async fn write(&self, cx: &Cx, id: Uuid, text: String) -> Result<(), NoteError> {
        if self.notes.find(cx, id).await?.is_some() {
            let patch = NotePatch { text: Some(text) };
            self.notes.patch(cx, id, patch).await?;
        } else {
            self.notes.insert(cx, Note { id, text }).await?;
        }
        Ok(())
    }

    /// A new note, which there must not be yet.
    #[rpc(auth)]
    async fn add(&self, cx: &Cx, id: Uuid, text: String) -> Result<(), NoteError> {
        self.notes.insert(cx, Note { id, text }).await?;
        Ok(())
    }

    /// A statement that takes so long on Postgres.
    #[rpc(auth)]
    async fn slow(&self, cx: &Cx, seconds: u32) -> Result<(), NoteError> {
        let sql = format!("SELECT 1 AS slow_one FROM pg_sleep({seconds})");
        let work = async |tx: &bastide::repo::TenantTx| tx.query(&sql, &[]).await;
        self.database.transaction(cx, work).await?;
        Ok(())
    }
}
