//! A program that is right: two entities, one of which refers to the other, kept outputs, a count.

use std::process::ExitCode;
use std::time::Duration;

use bastide::Program;
use bastide::prelude::*;

pub(crate) const PROGRAM: Program = Program {
    name: "notes",
    version: "1.0.0",
};

#[api]
#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(table = "folders", tenant)]
pub(crate) struct Folder {
    #[entity(id)]
    pub(crate) id: Uuid,
    #[entity(unique)]
    pub(crate) name: String,
}

#[api]
#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(table = "notes", tenant, soft_delete, timestamps, audit, version)]
pub(crate) struct Note {
    #[entity(id)]
    pub(crate) id: Uuid,
    #[entity(belongs_to = Folder)]
    pub(crate) folder_id: Uuid,
    pub(crate) text: String,
    pub(crate) stars: i64,
    pub(crate) version: i64,
}

pub(crate) struct Notes {
    pub(crate) folders: Repo<Folder>,
    pub(crate) notes: Repo<Note>,
}

#[service(name = "notes", version = "1.0.0")]
impl Notes {
    /// One note, kept for a minute.
    #[rpc(auth, limit = "1000/min", cache(ttl = "60s"))]
    #[get("/notes/{id}")]
    async fn find(&self, cx: &Cx, id: Uuid) -> Result<Option<Note>, RepoError> {
        self.notes.find(cx, id).await
    }

    /// Notes that hold a text.
    #[rpc(auth, limit = "1000/min")]
    #[get("/notes")]
    async fn list(&self, cx: &Cx, search: Option<String>) -> Result<Vec<Note>, RepoError> {
        let mut query = Query::new().sort(Note::TEXT.ascending());
        if let Some(search) = search {
            query = query.filter(Note::TEXT.contains(search));
        }
        Ok(self.notes.list(cx, query).await?.rows)
    }

    /// How many there are.
    #[rpc(auth(role = "auditor"), limit = "1000/min")]
    #[get("/notes-count")]
    async fn count(&self, cx: &Cx) -> Result<u64, RepoError> {
        self.notes.count(cx, Filter::all()).await
    }

    /// A new folder.
    #[rpc(auth(role = "writer"), limit = "1000/min")]
    async fn create_folder(&self, cx: &Cx, name: String) -> Result<Folder, RepoError> {
        let id = Uuid::now_v7();
        self.folders.insert(cx, Folder { id, name }).await
    }

    /// A new note.
    #[rpc(auth(role = "writer"), limit = "1000/min")]
    async fn write(&self, cx: &Cx, folder_id: Uuid, text: String) -> Result<Note, RepoError> {
        let note = Note {
            id: Uuid::now_v7(),
            folder_id,
            text,
            stars: 0,
            version: 0,
        };
        self.notes.insert(cx, note).await
    }

    /// Takes one away.
    #[rpc(auth(role = "writer"), limit = "1000/min")]
    async fn remove(&self, cx: &Cx, id: Uuid) -> Result<(), RepoError> {
        self.notes.delete(cx, id).await
    }
}

pub(crate) async fn service(app: &App) -> Result<Notes> {
    Ok(Notes {
        folders: app.repo().await?,
        notes: app.repo().await?,
    })
}

pub(crate) fn main() -> ExitCode {
    bastide::launch(PROGRAM, async |app| {
        let notes = service(&app).await?;
        app.service(notes).run().await
    })
}

/// Longer than a note is kept.
pub(crate) const KEPT: Duration = Duration::from_secs(61);
