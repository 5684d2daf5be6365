//! The program as its callers see it, on stores of the test's own.

#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

#[path = "../src/main.rs"]
mod program;

use bastide::serde_json::{Value, json};
use bastide::testing::{Fixtures, LeakSearch, TestApp, assert_isolated, assert_no_leak};

#[bastide::tokio::test(crate = "bastide::tokio")]
async fn users_are_made_by_admins_and_found_by_colleagues() -> bastide::Result<()> {
    let app = TestApp::start(program::main).await?;
    let (admin, colleague) = (app.acme().role("admin"), app.acme());
    let ada = json!({"email": "ada@example.org", "name": "Ada"});
    let refused = colleague.call::<Value>("users/create", &ada).await;
    assert_eq!(refused.unwrap_err(), "role_required");
    let ada: Value = admin.call("users@1.0.0/create", &ada).await?;

    let find = json!({"id": ada["id"]});
    let found: Value = colleague.call("users/find", &find).await?;
    assert_eq!(found, ada);
    let elsewhere = app.globex().call::<Value>("users/find", &find).await;
    assert_eq!(elsewhere.unwrap_err(), "user_not_found");
    app.stop().await
}

#[bastide::tokio::test(crate = "bastide::tokio")]
async fn no_tenant_learns_of_anothers_users() -> bastide::Result<()> {
    let app = TestApp::builder().postgres().redis();
    let app = app.start(program::main).await?;
    assert_isolated(&app, &Fixtures::new()).await;
    assert_no_leak(&app, &LeakSearch::new()).await;
    app.stop().await
}
