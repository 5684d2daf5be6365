//! Passwords and service keys.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bastide_auth::{
    AuthError, Clock, Denied, KeyError, Kind, PasswordError, Passwords, Policy, ServiceKey,
    ServiceKeys, TenantChoice, TenantId,
};
use bastide_config::Secret;
use jiff::Timestamp;

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

#[tokio::test]
async fn a1_a_password_is_checked_against_its_argon2id_hash() {
    let passwords = Passwords::new();
    let hash = passwords.hash(&secret("correct horse")).await.unwrap();
    assert!(
        hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{hash}"
    );
    assert_ne!(
        hash,
        passwords.hash(&secret("correct horse")).await.unwrap(),
        "salted"
    );
    assert!(
        passwords
            .verify(&secret("correct horse"), Some(&hash))
            .await
            .unwrap()
    );
    assert!(
        !passwords
            .verify(&secret("correct horsf"), Some(&hash))
            .await
            .unwrap()
    );
    assert!(!passwords.verify(&secret(""), Some(&hash)).await.unwrap());
    assert!(!passwords.is_outdated(&hash));
    assert!(Passwords::for_tests().is_outdated(&hash));
    assert!(passwords.is_outdated("$2b$12$abc"));
}

#[tokio::test]
async fn a1_nobody_signs_in_as_nobody() {
    let passwords = Passwords::for_tests();
    for guess in ["", "nobody has this password", "x"] {
        assert!(!passwords.verify(&secret(guess), None).await.unwrap());
    }
    assert_eq!(passwords.checks(), 3, "each took as long as a real one");
}

#[tokio::test]
async fn a1_what_cannot_be_checked_is_said() {
    let passwords = Passwords::for_tests();
    let stored = passwords
        .verify(&secret("x"), Some("not a hash"))
        .await
        .unwrap_err();
    assert!(matches!(stored, PasswordError::Stored(_)));
    let long = secret(&"x".repeat(1025));
    assert_eq!(
        passwords.hash(&long).await.unwrap_err(),
        PasswordError::TooLong
    );
    assert_eq!(
        passwords.verify(&long, None).await.unwrap_err().to_string(),
        "a password has at most 1024 bytes"
    );
}

const KEY: &str = "sk_0123456789abcdef0123456789abcdef";

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn keys(choice: TenantChoice) -> ServiceKeys {
    let key = ServiceKey::new("billing", &secret(KEY)).unwrap();
    ServiceKeys::new([key.role("service").scope("invoices:write").tenant(choice)]).unwrap()
}

#[test]
fn s9_a_service_key_gives_the_rights_it_was_given() {
    let identity = keys(TenantChoice::None).verify(KEY, None).unwrap();
    assert_eq!(
        (identity.subject(), identity.kind()),
        ("billing", Kind::Service)
    );
    assert!(identity.has_role("service") && identity.tenant().is_none());
    assert!(
        Policy::any_role(&["service"])
            .services_only()
            .admit(&identity)
            .is_ok()
    );
    assert_eq!(
        Policy::any_role(&["admin"]).admit(&identity),
        Err(Denied::Role)
    );
    let both = Policy::identified().all_scopes(&["invoices:write", "invoices:read"]);
    assert_eq!(both.admit(&identity), Err(Denied::Scope));
    let wrong = keys(TenantChoice::None)
        .verify(&KEY.replace('0', "1"), None)
        .unwrap_err();
    assert_eq!(wrong, AuthError::ServiceKey);
}

#[test]
fn s9_a_service_acts_only_for_tenants_of_its_key() {
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    let tenant_of = |choice: TenantChoice, named: Option<&TenantId>| {
        keys(choice)
            .verify(KEY, named)
            .map(|identity| identity.tenant().cloned())
    };
    let refused = Err(AuthError::ServiceKey);
    assert_eq!(tenant_of(TenantChoice::None, Some(&acme)), refused);
    let fixed = || TenantChoice::Fixed(acme.clone());
    assert_eq!(tenant_of(fixed(), None), Ok(Some(acme.clone())));
    assert_eq!(tenant_of(fixed(), Some(&acme)), Ok(Some(acme.clone())));
    assert_eq!(tenant_of(fixed(), Some(&globex)), refused);
    assert_eq!(
        tenant_of(TenantChoice::Named, Some(&globex)),
        Ok(Some(globex.clone()))
    );
    assert_eq!(tenant_of(TenantChoice::Named, None), Ok(None));
}

#[test]
fn s9_a_service_key_ends_and_is_not_shown() {
    let (clock, time) = Clock::controlled(Timestamp::from_second(1_000).unwrap());
    let key = ServiceKey::new("billing", &secret(KEY)).unwrap();
    let keys = ServiceKeys::new([key.expires_at(Timestamp::from_second(1_010).unwrap())])
        .unwrap()
        .clock(clock);
    keys.verify(KEY, None).unwrap();
    time.advance(Duration::from_secs(10));
    assert_eq!(keys.verify(KEY, None).unwrap_err(), AuthError::ServiceKey);
    assert!(!format!("{keys:?}").contains("0123"));
}

#[test]
fn s9_keys_that_cannot_be_told_apart_are_refused() {
    let key = |name: &str, key: &str| ServiceKey::new(name, &secret(key)).unwrap();
    let other = KEY.replace("sk", "ks");
    assert!(ServiceKeys::new([key("a", KEY), key("b", &other)]).is_ok());
    let same_name = ServiceKeys::new([key("a", KEY), key("a", &other)]).unwrap_err();
    let same_key = ServiceKeys::new([key("a", KEY), key("b", KEY)]).unwrap_err();
    assert_eq!(same_name, KeyError::Ambiguous("a".to_owned()));
    assert_eq!(same_key, KeyError::Ambiguous("b".to_owned()));
    assert!(ServiceKey::new("a", &secret("short")).is_err());
}
