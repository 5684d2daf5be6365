//! Programs that are wrong, each in a way in which programs are.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use bastide::cache::{Cache, Keep, Key};
use bastide::db::{Database, values};
use bastide::prelude::*;

use crate::notes::{self, Note, PROGRAM};

/// A connection past the tenants: of the role that may look across them, or to the file.
fn connection(app: &App) -> Database {
    let settings = &app.settings().database;
    let url = settings.across_url.as_ref().or(settings.url.as_ref());
    Database::open(url.unwrap().expose()).unwrap()
}

struct Raw(Database);

#[service(name = "raw", version = "1.0.0")]
impl Raw {
    /// The text of one.
    #[rpc(auth)]
    #[get("/raw/{id}")]
    async fn text(&self, _cx: &Cx, id: Uuid) -> Result<Option<String>, RepoError> {
        let sql = "SELECT text FROM notes WHERE id = $1";
        let row = self.0.query_opt(sql, &values![id]).await?;
        Ok(row.map(|row| row.get("text")).transpose()?)
    }
}

pub(crate) fn raw_text() -> ExitCode {
    bastide::launch(PROGRAM, async |app| {
        let (raw, notes) = (Raw(connection(&app)), notes::service(&app).await?);
        app.service(raw).service(notes).run().await
    })
}

struct RawCount(Database);

#[service(name = "raw", version = "1.0.0")]
impl RawCount {
    /// How many there are.
    #[rpc(auth)]
    #[get("/raw-count")]
    async fn count(&self, _cx: &Cx) -> Result<i64, RepoError> {
        let row = self
            .0
            .query_opt("SELECT count(*) AS n FROM notes", &[])
            .await?;
        Ok(row.map_or(Ok(0), |row| row.get("n"))?)
    }
}

pub(crate) fn raw_count() -> ExitCode {
    bastide::launch(PROGRAM, async |app| {
        let (raw, notes) = (RawCount(connection(&app)), notes::service(&app).await?);
        app.service(raw).service(notes).run().await
    })
}

struct Kept {
    notes: Repo<Note>,
    cache: Cache,
}

#[service(name = "kept", version = "1.0.0")]
impl Kept {
    /// One note, kept under a key that has no tenant.
    #[rpc(auth)]
    #[get("/kept/{id}")]
    async fn find(&self, cx: &Cx, id: Uuid) -> Result<Option<Note>, RepoError> {
        let key = Key::shared("kept", &id).unwrap();
        let keep = Keep::lasting(Duration::from_mins(1));
        let find = async || self.notes.find(cx, id).await;
        self.cache
            .named("kept")
            .get_or_compute(&key, &keep, find)
            .await
    }
}

pub(crate) fn key_without_tenant() -> ExitCode {
    bastide::launch(PROGRAM, async |app| {
        let (notes, cache) = (notes::service(&app).await?, app.cache().await?);
        let kept = Kept {
            notes: notes.notes.clone(),
            cache,
        };
        app.service(kept).service(notes).run().await
    })
}

static SEEN: LazyLock<Mutex<HashMap<Uuid, Note>>> = LazyLock::new(Mutex::default);

struct Remembered(Repo<Note>);

#[service(name = "remembered", version = "1.0.0")]
impl Remembered {
    /// One note, remembered in the process.
    #[rpc(auth)]
    #[get("/remembered/{id}")]
    async fn find(&self, cx: &Cx, id: Uuid) -> Result<Option<Note>, RepoError> {
        if let Some(note) = SEEN.lock().unwrap().get(&id) {
            return Ok(Some(note.clone()));
        }
        let note = self.0.find(cx, id).await?;
        if let Some(note) = &note {
            SEEN.lock().unwrap().insert(id, note.clone());
        }
        Ok(note)
    }
}

pub(crate) fn static_map() -> ExitCode {
    bastide::launch(PROGRAM, async |app| {
        let notes = notes::service(&app).await?;
        let remembered = Remembered(notes.notes.clone());
        app.service(remembered).service(notes).run().await
    })
}

struct Telling(Database);

#[service(name = "telling", version = "1.0.0")]
impl Telling {
    /// Whether it can be had, with another problem if somebody else has it.
    #[rpc(auth)]
    #[get("/telling/{id}")]
    async fn find(&self, cx: &Cx, id: Uuid) -> Result<bool, Problem> {
        let sql = "SELECT tenant_id FROM notes WHERE id = $1";
        let row = self.0.query_opt(sql, &values![id]).await.unwrap();
        match row.map(|row| row.get::<String>("tenant_id").unwrap()) {
            Some(owner) if owner == cx.tenant().as_str() => Ok(true),
            Some(_) => Err(Problem::new(403, "not_yours", "it is somebody else's")),
            None => Err(Problem::new(404, "note_not_found", "there is no such note")),
        }
    }
}

pub(crate) fn telling_problem() -> ExitCode {
    bastide::launch(PROGRAM, async |app| {
        let (telling, notes) = (Telling(connection(&app)), notes::service(&app).await?);
        app.service(telling).service(notes).run().await
    })
}
