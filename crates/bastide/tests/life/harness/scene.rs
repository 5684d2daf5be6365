//! Servers of the test's own, and the program with rows, accounts and limits on them.

use bastide_testkit::{Postgres, Redis};
use serde_json::{Value, json};

use super::Plan;

/// Signs tokens, and binds those of accounts.
pub(crate) const KEY: &str = "4-signing-key-of-the-tests-of-life";
/// The password of the role that the program is.
pub(crate) const ROLE_PASSWORD: &str = "5-password-of-the-role";

/// A Postgres with the role `app`, and a plan on it. Its database is the server's, so that the server may be stopped.
pub(crate) fn on_postgres() -> (Postgres, Plan) {
    let server = Postgres::start().unwrap();
    let database = server.database().unwrap();
    let role = format!("CREATE ROLE app LOGIN PASSWORD '{ROLE_PASSWORD}'");
    database.sql(&role).unwrap();
    drop(database);
    let owner = server.url();
    let url = owner.replace("postgres@", &format!("app:{ROLE_PASSWORD}@"));
    let plan = Plan::new()
        .with("DATABASE_URL", url)
        .with("DATABASE_OWNER_URL", owner)
        .with("PROBE_PLAN__ROWS", "true")
        .with("PROBE_AUTH__SECRET", KEY);
    (server, plan)
}

/// The same with accounts, sessions that every call asks for, and a Redis.
pub(crate) fn with_sessions() -> (Postgres, Redis, Plan) {
    let (postgres, plan) = on_postgres();
    let redis = Redis::start().unwrap();
    let plan = plan
        .with("REDIS_URL", redis.url())
        .with("PROBE_PLAN__ACCOUNTS", "true")
        .with("PROBE_PLAN__KEY", KEY)
        .with("PROBE_AUTH__SESSIONS__ENABLED", "true")
        .with("PROBE_AUTH__BINDING_SECRET", KEY);
    (postgres, redis, plan)
}

/// A token for a user of the tenant `acme`.
#[track_caller]
pub(crate) fn token(plan: &Plan) -> String {
    let ended = plan.run(&["token", "--tenant", "acme"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stdout.trim().to_owned()
}

/// What `auth@1.0.0/login` is given.
pub(crate) fn ada(password: &str) -> Value {
    json!({"tenant": "acme", "email": "ada@example.org", "password": password})
}

/// The input of a note.
pub(crate) fn note(id: u8, text: &str) -> String {
    json!({"id": note_id(id), "text": text}).to_string()
}

/// The input of who asks for it.
pub(crate) fn note_wanted(id: u8) -> String {
    json!({"id": note_id(id)}).to_string()
}

fn note_id(id: u8) -> String {
    format!("00000000-0000-4000-8000-0000000000{id:02x}")
}
