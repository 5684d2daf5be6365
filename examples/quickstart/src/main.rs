//! A service of users with everything that a public API needs: who calls is known, each tenant sees its own rows, what is read
//! often is kept, nobody calls too often, and all of it is probed and measured.

use std::sync::Arc;

use bastide::prelude::*;
use bastide::telemetry::metrics::Counter;

/// Somebody who uses the product.
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
    Rows(#[from] RepoError),
}

struct Users {
    users: Repo<User>,
    created: Arc<Counter>,
}

#[service(name = "users", version = "1.0.0")]
impl Users {
    /// One user by id.
    #[rpc(auth, limit = "100/min", cache(ttl = "60s", tags("user:{id}")))]
    #[get("/users/{id}")]
    async fn find(&self, cx: &Cx, id: Uuid) -> Result<User, UserError> {
        self.users.find(cx, id).await?.ok_or(UserError::NotFound)
    }

    /// The users by name, a page at a time.
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
        Ok(self.users.list(cx, query).await?.rows)
    }

    /// A new user.
    #[rpc(auth(role = "admin"), limit = "100/min")]
    #[post("/users")]
    async fn create(&self, cx: &Cx, email: String, name: String) -> Result<User, UserError> {
        let is_address = email.split('@').filter(|part| !part.is_empty()).count() == 2;
        if !is_address {
            return Err(UserError::BadAddress);
        }
        let id = Uuid::now_v7();
        let user = self
            .users
            .insert(
                cx,
                User {
                    id,
                    email,
                    name,
                    version: 0,
                },
            )
            .await?;
        self.created.add(1);
        Ok(user)
    }

    /// Changes a user; members that are left out stay as they are.
    #[rpc(auth(role = "admin"), limit = "100/min", invalidates("user:{id}"))]
    #[patch("/users/{id}")]
    async fn update(&self, cx: &Cx, id: Uuid, patch: UserPatch) -> Result<User, UserError> {
        Ok(self.users.patch(cx, id, patch).await?)
    }

    /// Takes a user away; the row stays and can be restored.
    #[rpc(auth(role = "admin"), invalidates("user:{id}"))]
    #[delete("/users/{id}")]
    async fn remove(&self, cx: &Cx, id: Uuid) -> Result<(), UserError> {
        Ok(self.users.delete(cx, id).await?)
    }
}

#[bastide::main]
async fn main(app: App) -> Result<()> {
    let users = Users {
        users: app.repo().await?,
        created: app
            .metrics()
            .counter("users_created", "Users that were made"),
    };
    app.service(users).run().await
}
