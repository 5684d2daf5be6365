//! One row by tokio-postgres: by an unnamed statement, as a pooler in transaction mode needs it, and by a prepared one.

use std::error::Error;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use serde::{Deserialize, Serialize};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{NoTls, Row};
use uuid::Uuid;

/// Tenant included, for the key begins with it; but no settings, no transaction and, as superuser, no row-level security.
const FIND: &str =
    r#"SELECT "id", "email", "name" FROM "users" WHERE "tenant_id" = $1 AND "id" = $2"#;
const TENANT: &str = "tenant-1";
/// As many as ours has.
const CONNECTIONS: usize = 8;

#[derive(Deserialize)]
struct ById {
    id: Uuid,
}

#[derive(Serialize)]
struct User {
    id: Uuid,
    email: String,
    name: String,
}

pub fn routes(url: &str) -> Result<Router, Box<dyn Error>> {
    let fast = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let manager = Manager::from_config(url.parse()?, NoTls, fast);
    let pool = Pool::builder(manager).max_size(CONNECTIONS).build()?;
    let routes = Router::new()
        .route("/find", post(find))
        .route("/find-prepared", post(find_prepared));
    Ok(routes.with_state(pool))
}

async fn find(
    State(pool): State<Pool>,
    Json(input): Json<ById>,
) -> Result<Json<Option<User>>, StatusCode> {
    let client = pool.get().await.map_err(failed)?;
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&TENANT, Type::TEXT), (&input.id, Type::UUID)];
    let rows = client.query_typed(FIND, &parameters).await;
    Ok(Json(user(rows.map_err(failed)?.first())))
}

async fn find_prepared(
    State(pool): State<Pool>,
    Json(input): Json<ById>,
) -> Result<Json<Option<User>>, StatusCode> {
    let client = pool.get().await.map_err(failed)?;
    let statement = client.prepare_cached(FIND).await.map_err(failed)?;
    let row = client.query_opt(&statement, &[&TENANT, &input.id]).await;
    Ok(Json(user(row.map_err(failed)?.as_ref())))
}

fn user(row: Option<&Row>) -> Option<User> {
    row.map(|row| User {
        id: row.get(0),
        email: row.get(1),
        name: row.get(2),
    })
}

fn failed(error: impl Error) -> StatusCode {
    eprintln!("{error}");
    StatusCode::INTERNAL_SERVER_ERROR
}
