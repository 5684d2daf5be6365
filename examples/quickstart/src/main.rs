//! A service of users with everything that a public API needs: who calls is known, each tenant sees its own rows, what is read
//! often is kept, nobody calls too often, and all of it is probed and measured.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use bastide::prelude::*;
use bastide::telemetry::metrics::{Counter, Histogram, LATENCY, Registry as Metrics};

/// Somebody who uses the product.
///
/// Each row is a tenant's (`tenant`), stays when it is deleted (`soft_delete`), knows when it was made and changed
/// (`timestamps`) and how often (`version`), and every change is written down (`audit`).
#[api]
#[derive(Debug, Clone, Entity)]
#[entity(table = "users", tenant, soft_delete, timestamps, audit, version)]
struct User {
    #[entity(id)]
    id: Uuid,
    #[entity(unique)]
    email: String,
    name: String,
    version: i64,
}

/// What can go wrong, with the status and the code that callers rely on.
#[derive(Debug, ApiError)]
enum UserError {
    /// there is no such user
    #[error(status = 404, code = "user_not_found")]
    NotFound,
    /// an address has one @, with something on either side
    #[error(status = 400, code = "email_invalid")]
    BadAddress,
    #[error(transparent)]
    Rows(RepoError),
}

impl From<RepoError> for UserError {
    fn from(error: RepoError) -> Self {
        match error {
            RepoError::NotFound { .. } => Self::NotFound,
            error => Self::Rows(error),
        }
    }
}

struct Users {
    rows: Repo<User>,
    created: Arc<Counter>,
    find_seconds: Arc<Histogram>,
}

#[service(name = "users", version = "1.0.0")]
impl Users {
    fn new(rows: Repo<User>, metrics: &Metrics) -> Self {
        let find_help = "Time to find a user that was not kept";
        Self {
            rows,
            created: metrics.counter("users_created", "Users that were made"),
            find_seconds: metrics.histogram("users_find_seconds", find_help, LATENCY),
        }
    }

    /// One user by id.
    #[rpc(auth, limit = "100/min", cache(ttl = "60s", tags("user:{id}")))]
    #[get("/users/{id}")]
    async fn find(&self, cx: &Cx, id: Uuid) -> Result<User, UserError> {
        let started = Instant::now();
        let found = self.rows.find(cx, id).await?;
        self.find_seconds.observe_time(started.elapsed());
        found.ok_or(UserError::NotFound)
    }

    /// The users by name, 25 at a time.
    #[rpc(auth, limit = "100/min")]
    #[get("/users")]
    async fn list(
        &self,
        cx: &Cx,
        search: Option<String>,
        skip: Option<u64>,
    ) -> Result<Vec<User>, UserError> {
        let mut query = Query::new()
            .sort(User::NAME.ascending())
            .page(Page::offset(skip.unwrap_or(0), 25));
        if let Some(search) = search {
            query = query.filter(User::NAME.contains(search));
        }
        Ok(self.rows.list(cx, query).await?.rows)
    }

    /// A new user.
    #[rpc(auth(role = "admin"), limit = "100/min")]
    #[post("/users")]
    async fn create(&self, cx: &Cx, email: String, name: String) -> Result<User, UserError> {
        check_address(&email)?;
        let user = User {
            id: Uuid::now_v7(),
            email,
            name,
            version: 0, // the repository counts
        };
        let user = self.rows.insert(cx, user).await?;
        self.created.add(1);
        Ok(user)
    }

    /// Changes a user; members of `patch` that are left out stay as they are. `version` is the one that was read: if
    /// somebody else has changed the user since, nothing is overwritten (409 `stale_version`).
    #[rpc(auth(role = "admin"), limit = "100/min", invalidates("user:{id}"))]
    #[patch("/users/{id}")]
    async fn update(
        &self,
        cx: &Cx,
        id: Uuid,
        version: i64,
        patch: UserPatch,
    ) -> Result<User, UserError> {
        patch.email.as_deref().map_or(Ok(()), check_address)?;
        Ok(self.rows.patch_version(cx, id, version, patch).await?)
    }

    /// Takes a user away; the row stays, marked as deleted.
    #[rpc(auth(role = "admin"), limit = "100/min", invalidates("user:{id}"))]
    #[delete("/users/{id}")]
    async fn remove(&self, cx: &Cx, id: Uuid) -> Result<(), UserError> {
        Ok(self.rows.delete(cx, id).await?)
    }
}

fn check_address(text: &str) -> Result<(), UserError> {
    match text.split_once('@') {
        Some((name, host)) if !name.is_empty() && !host.is_empty() && !host.contains('@') => Ok(()),
        _ => Err(UserError::BadAddress),
    }
}

#[bastide::main]
async fn main(app: App) -> Result<()> {
    let users = Users::new(app.repo().await?, app.metrics());
    app.service(users).run().await
}
