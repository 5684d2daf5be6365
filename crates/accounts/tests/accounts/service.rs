//! The service as it is listed, and its public keys.

use std::sync::Arc;

use bastide_accounts::{Accounts, Login, NewUser, Options, Parts, Registration};
use bastide_auth::{Issuer, Keys, Passwords, SigningKey, TenantId, Verifier};
use bastide_config::Secret;
use bastide_context::Call;
use bastide_db::Database;
use bastide_repo::TenantDb;
use bastide_rpc::Registry;
use bastide_store::Store;
use serde_json::json;

use crate::support::{Fixture, PASSWORD, binding, program, secret, serve, verifier};

async fn accounts(key: SigningKey, options: Options) -> Accounts {
    let database = Database::open("sqlite::memory:").unwrap();
    for statement in Accounts::schema().create(database.dialect()) {
        database.execute(&statement, &[]).await.unwrap();
    }
    let parts = Parts {
        db: TenantDb::new(database),
        store: Store::memory(),
        issuer: Issuer::new(key),
        binding: binding(),
        passwords: Arc::new(Passwords::for_tests()),
    };
    Accounts::new(parts, options).unwrap()
}

fn listed(accounts: &Accounts) -> Vec<String> {
    let registry = Registry::new([accounts.service().unwrap()]).unwrap();
    let line = |entry: &bastide_rpc::Entry| {
        let method = entry.method();
        let path = method
            .rest()
            .map_or(String::new(), |rest| format!(" {}", rest.path()));
        format!("{}{path}: {}", method.name(), method.access())
    };
    registry.entries().iter().map(line).collect()
}

#[tokio::test]
async fn s10_every_method_states_who_may_call_it() {
    let key = SigningKey::hs256(&secret(crate::support::SIGNING)).unwrap();
    let open = Options {
        registration: Registration::Open(vec![TenantId::parse("acme").unwrap()]),
        admin_roles: &["admin", "owner"],
        ..Options::default()
    };
    assert_eq!(
        listed(&accounts(key, open).await),
        [
            "login: public: who signs in has no token yet",
            "refresh: public: the refresh token is the proof, and the access token may have expired",
            "register: public: who registers has no account yet",
            "sessions: any identity; for a tenant",
            "revoke: any identity; for a tenant",
            "logout: any identity; for a tenant",
            "logout_all: any identity; for a tenant",
            "whoami: any identity; for a tenant",
            "change_password: any identity; for a tenant",
            "create_user: role admin or owner; for a tenant",
            "set_disabled: role admin or owner; for a tenant",
            "session: services alone",
        ]
    );
}

#[tokio::test]
async fn a1_an_asymmetric_key_is_published_and_verifies() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let pem = Secret::new(pair.serialize_pem());
    let key = || SigningKey::eddsa_pem(&pem).unwrap().with_id("k1");
    let accounts = accounts(key(), Options::default()).await;
    let last = listed(&accounts).pop().unwrap();
    assert_eq!(
        last,
        "jwks /.well-known/jwks.json: public: public keys are for everybody"
    );
    let clock = bastide_auth::Clock::system();
    let app = serve(
        accounts.service().unwrap(),
        verifier(accounts.registry(), &clock),
    )
    .await;
    let fixture = Fixture::sqlite();
    let world = fixture.world().await;
    let set = world
        .get(app.address, "/.well-known/jwks.json")
        .await
        .good();
    assert_eq!(set["keys"].as_array().unwrap().len(), 1);
    assert!(set["keys"][0].get("d").is_none(), "the public half alone");
    // Who has the set has all it takes.
    let new = NewUser {
        email: "ada@example.org".to_owned(),
        password: PASSWORD.into(),
        roles: Vec::new(),
    };
    let ada = accounts.create_user(&program("acme"), new).await.unwrap();
    let login = Login {
        tenant: TenantId::parse("acme").unwrap(),
        email: "ada@example.org".to_owned(),
        password: PASSWORD.into(),
        label: None,
    };
    let tokens = accounts.login(&Call::new(), login).await.unwrap();
    let verifier = Verifier::new(Keys::jwk_set(&set.to_string()).unwrap());
    let identity = verifier.verify(tokens.access_token.expose()).await.unwrap();
    assert_eq!(identity.subject(), ada.id.to_string());
}

#[tokio::test]
async fn roles_of_administrators_are_given_by_who_has_them() {
    let fixture = Fixture::sqlite();
    let world = fixture
        .world_with(Options {
            admin_roles: &["admin", "owner"],
            ..Options::default()
        })
        .await;
    world.user("acme", "admin@example.org", &["admin"]).await;
    let owner = world.user("acme", "owner@example.org", &["owner"]).await;
    world.user("acme", "ada@example.org", &["editor"]).await;
    let ada = world.login("acme", "ada@example.org").await;
    let admin = world.login("acme", "admin@example.org").await;
    let make = |roles: &[&str], token: &str| {
        let email = format!("{}@example.org", roles.join("-"));
        let input = json!({"email": email, "password": PASSWORD, "roles": roles});
        let token = token.to_owned();
        let world = &world;
        async move { world.auth("create_user", Some(&token), input).await }
    };
    make(&["editor"], &admin.access).await.good();
    make(&["editor", "admin"], &admin.access).await.good();
    let refused = (403, "role_required");
    assert_eq!(make(&["owner"], &admin.access).await.refusal(), refused);
    assert_eq!(make(&[], &ada.access).await.refusal(), refused);
    let input = json!({"user": owner.id, "isDisabled": true});
    let reply = world.auth("set_disabled", Some(&admin.access), input).await;
    assert_eq!(reply.refusal(), refused);
    world.login("acme", "owner@example.org").await;
}
