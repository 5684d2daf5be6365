//! Who gets which scope.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bastide_auth::{
    AuthError, Claims, Denied, Identity, Issuer, Keys, SigningKey, TenantId, Verifier,
};
use bastide_config::Secret;
use bastide_context::{Call, Cx, Known, Public, Refused, System, Tenant};

/// Identities come from the verifier, in tests too.
async fn identity(claims: Claims) -> Identity {
    let secret = Secret::new("a secret of at least thirty-two bytes");
    let token = Issuer::new(SigningKey::hs256(&secret).unwrap())
        .sign(&claims)
        .unwrap();
    let verifier = Verifier::new(Keys::hs256(&secret).unwrap());
    verifier.verify(token.expose()).await.unwrap()
}

#[tokio::test]
async fn s10_a_scope_is_given_to_who_has_what_it_needs() {
    let of_tenant = identity(Claims::new("ada").tenant("acme")).await;
    let of_none = identity(Claims::new("root")).await;
    let call = Call::new;

    assert_eq!(Cx::<Public>::enter(call(), None).unwrap().actor(), None);
    let known = Cx::<Public>::enter(call(), Some(of_none.clone())).unwrap();
    assert_eq!(known.actor(), Some("root"));

    let stranger = Refused::Stranger(AuthError::Missing);
    assert_eq!(Cx::<Known>::enter(call(), None).unwrap_err(), stranger);
    assert_eq!(Cx::<Tenant>::enter(call(), None).unwrap_err(), stranger);
    let without = Cx::<Tenant>::enter(call(), Some(of_none.clone())).unwrap_err();
    assert_eq!(without, Refused::Denied(Denied::Tenant));

    let cx = Cx::<Tenant>::enter(call(), Some(of_tenant.clone())).unwrap();
    assert_eq!((cx.tenant().as_str(), cx.actor()), ("acme", Some("ada")));
    assert_eq!(cx.known().unwrap().actor(), Some("ada"));
    let known = Cx::<Known>::enter(call(), Some(of_tenant)).unwrap();
    assert_eq!(known.tenant().unwrap().tenant().as_str(), "acme");
    let known = Cx::<Known>::enter(call(), Some(of_none)).unwrap();
    assert_eq!(known.tenant().unwrap_err(), Denied::Tenant);
}

#[tokio::test]
async fn s10_nobody_enters_as_the_program_itself() {
    let service = identity(Claims::new("system:nightly").role("system")).await;
    assert!(Cx::<System>::enter(Call::new(), Some(service)).is_err());
    assert!(Cx::<System>::enter(Call::new(), None).is_err());
}

#[test]
fn s10_the_programs_own_work_is_named() {
    let cx = Cx::system("nightly", Call::new());
    assert_eq!(
        (cx.actor(), cx.identity().is_none()),
        (Some("system:nightly"), true)
    );
    let acme = cx.for_tenant(TenantId::parse("acme").unwrap());
    assert_eq!(
        (acme.actor(), acme.tenant().as_str()),
        (Some("system:nightly"), "acme")
    );
    assert!(acme.known().is_none());
}
