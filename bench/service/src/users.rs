//! The one table.

use bastide_auth::TenantId;
use bastide_context::{Call, Cx};
use bastide_db::{Database, Dialect};
use bastide_repo::{Entity, Schema, TenantDb, Uuid};
use schemars::JsonSchema;
use serde::Serialize;

use crate::Failure;

pub(crate) const TENANTS: u64 = 10;
const USERS_EACH: u64 = 200;

#[derive(Debug, Clone, Serialize, JsonSchema, Entity)]
#[entity(table = "users", tenant)]
pub(crate) struct User {
    #[entity(id)]
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) name: String,
}

/// Makes the table and its rows.
pub(crate) async fn prepare(database: &Database, role: &str) -> Result<(), Failure> {
    let schema = Schema::new().with::<User>();
    let mut statements = schema.create(database.dialect());
    if database.dialect() == Dialect::Postgres {
        statements.extend(schema.grant(role));
    }
    for statement in statements {
        database.execute(&statement, &[]).await?;
    }
    let users = TenantDb::new(database.clone()).repo::<User>();
    for tenant in 1..=TENANTS {
        let cx = Cx::system("prepare", Call::new())
            .for_tenant(TenantId::parse(&format!("tenant-{tenant}"))?);
        let rows = (1..=USERS_EACH).map(|number| User {
            id: id(tenant, number),
            email: format!("user-{number}@tenant-{tenant}.example"),
            name: format!("User {number}"),
        });
        users.insert_many(&cx, rows).await?;
    }
    if database.dialect() == Dialect::Postgres {
        database.execute("ANALYZE users", &[]).await?;
    }
    Ok(())
}

/// `00000000-0000-0000-TTTT-UUUUUUUUUUUU`, which the scripts of the load can write too.
fn id(tenant: u64, number: u64) -> Uuid {
    Uuid::from_u128(u128::from(tenant << 48 | number))
}
