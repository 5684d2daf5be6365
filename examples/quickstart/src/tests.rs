#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

use bastide::auth::TenantId;
use bastide::context::Call;
use bastide::db::Database;
use bastide::repo::{Schema, TenantDb};

use super::*;

/// The service on a database in memory.
async fn service() -> Users {
    let database = Database::open("sqlite::memory:").unwrap();
    for statement in Schema::new().with::<User>().create(database.dialect()) {
        database.execute(&statement, &[]).await.unwrap();
    }
    Users::new(TenantDb::new(database).repo(), &Metrics::new())
}

/// A call for this tenant.
fn of(tenant: &str) -> Cx {
    Cx::system("test", Call::new()).for_tenant(TenantId::parse(tenant).unwrap())
}

fn renamed(name: &str) -> UserPatch {
    UserPatch {
        name: Some(name.to_owned()),
        ..UserPatch::default()
    }
}

#[bastide::tokio::test(crate = "bastide::tokio")]
async fn a_user_is_seen_by_its_tenant_alone() {
    let (users, acme, umbrella) = (service().await, of("acme"), of("umbrella"));
    let ada = users.create(&acme, "ada@example.org".into(), "Ada".into());
    let ada = ada.await.unwrap();
    assert_eq!(users.find(&acme, ada.id).await.unwrap().name, "Ada");
    let elsewhere = users.find(&umbrella, ada.id).await;
    assert!(matches!(elsewhere, Err(UserError::NotFound)));
    assert!(users.list(&umbrella, None, None).await.unwrap().is_empty());
    users.remove(&acme, ada.id).await.unwrap();
    let removed = users.find(&acme, ada.id).await;
    assert!(matches!(removed, Err(UserError::NotFound)));
}

#[bastide::tokio::test(crate = "bastide::tokio")]
async fn a_change_of_what_somebody_else_has_changed_is_refused() {
    let (users, acme) = (service().await, of("acme"));
    let ada = users.create(&acme, "ada@example.org".into(), "Ada".into());
    let ada = ada.await.unwrap();
    let changed = users.update(&acme, ada.id, ada.version, renamed("Ada Lovelace"));
    assert_eq!(changed.await.unwrap().name, "Ada Lovelace");
    let late = users.update(&acme, ada.id, ada.version, renamed("Countess"));
    let late = late.await;
    assert!(matches!(
        late,
        Err(UserError::Rows(RepoError::Stale { .. }))
    ));
}

#[bastide::tokio::test(crate = "bastide::tokio")]
async fn an_address_is_taken_once_and_has_an_at_sign() {
    let (users, acme) = (service().await, of("acme"));
    for address in ["ada", "@example.org", "ada@", "a@b@c"] {
        let refused = users.create(&acme, address.into(), "Ada".into()).await;
        assert!(matches!(refused, Err(UserError::BadAddress)), "{address}");
    }
    let create = || users.create(&acme, "ada@example.org".into(), "Ada".into());
    create().await.unwrap();
    let again = create().await;
    assert!(matches!(
        again,
        Err(UserError::Rows(RepoError::Conflict { .. }))
    ));
}
