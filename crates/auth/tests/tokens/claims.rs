//! What is read of a token, and for whom and when it counts.

use std::time::Duration;

use bastide_auth::{AuthError, Claims, Issuer, Kind, SessionId, SigningKey};
use serde_json::json;

use crate::support::{NOW, clock, good, good_but, secret, verifier, verify, with_claims};

#[test]
fn s9_an_identity_is_what_the_token_says() {
    let token = with_claims(&json!({
        "sub": "ada", "exp": NOW + 600, "tenant_id": "acme", "roles": ["admin", "editor"],
        "scope": "users:read users:write", "tier": "pro", "sid": "s-1", "name": "Ada",
    }));
    let identity = verify(&verifier(), &token).unwrap();
    assert_eq!(identity.subject(), "ada");
    assert_eq!(identity.kind(), Kind::User);
    assert_eq!(identity.tenant().unwrap().as_str(), "acme");
    assert_eq!(identity.roles().collect::<Vec<_>>(), ["admin", "editor"]);
    assert!(identity.has_scope("users:write") && !identity.has_scope("users:*"));
    assert_eq!(identity.tier(), Some("pro"));
    assert_eq!(identity.session().unwrap().as_str(), "s-1");
    assert_eq!(identity.expires_at().unwrap().as_second(), NOW + 600);
}

#[test]
fn s9_other_issuers_name_their_claims_otherwise() {
    let verifier = verifier()
        .tenant_claim("org_id")
        .roles_claim("https://x.example/roles")
        .tier_claim("plan");
    let token = with_claims(&json!({
        "sub": "ada", "exp": NOW + 600, "org_id": "acme", "tenant_id": "other", "plan": "free",
        "https://x.example/roles": "admin", "scope": ["a", "b"],
    }));
    let identity = verify(&verifier, &token).unwrap();
    assert_eq!(identity.tenant().unwrap().as_str(), "acme");
    assert_eq!(identity.tier(), Some("free"));
    assert!(identity.has_role("admin") && identity.has_scope("a") && identity.has_scope("b"));
}

#[test]
fn s9_a_token_counts_from_its_beginning_to_its_end() {
    let cases = [
        (json!({"exp": NOW + 1}), Ok(())),
        // The leeway is 30 s.
        (json!({"exp": NOW - 29}), Ok(())),
        (json!({"exp": NOW - 30}), Err(AuthError::Expired)),
        (json!({"exp": 0}), Err(AuthError::Expired)),
        (json!({"nbf": NOW + 30}), Ok(())),
        (
            json!({"nbf": NOW + 31}),
            Err(AuthError::Invalid("not valid yet")),
        ),
        (
            json!({"iat": NOW + 31}),
            Err(AuthError::Invalid("issued in the future")),
        ),
        (json!({"exp": NOW as f64 + 0.5}), Ok(())),
        (json!({"exp": null}), Err(AuthError::Invalid("no `exp`"))),
    ];
    for (changes, expected) in cases {
        let verdict = verify(&verifier(), &with_claims(&good_but(&changes)));
        assert_eq!(verdict.map(|_| ()), expected, "{changes}");
    }
    for wrong in [
        json!("1900000000"),
        json!(-1),
        json!(1e300),
        json!(true),
        json!([]),
        json!({}),
    ] {
        for name in ["exp", "nbf", "iat"] {
            let token = with_claims(&good_but(&json!({name: wrong})));
            let refused = AuthError::Invalid("a time is not a number of seconds");
            assert_eq!(
                verify(&verifier(), &token).unwrap_err(),
                refused,
                "{name} {wrong}"
            );
        }
    }
}

#[test]
fn s9_issuer_and_audience_must_be_ours() {
    let strict = || {
        verifier()
            .issuer("https://auth.example")
            .audience("api")
            .audience("web")
    };
    let other_audience = Err(AuthError::Invalid("another audience"));
    let other_issuer = Err(AuthError::Invalid("another issuer"));
    let cases = [
        (json!({"iss": "https://auth.example", "aud": "api"}), Ok(())),
        (
            json!({"iss": "https://auth.example", "aud": ["x", "web"]}),
            Ok(()),
        ),
        (
            json!({"iss": "https://auth.example", "aud": "apis"}),
            other_audience.clone(),
        ),
        (
            json!({"iss": "https://auth.example", "aud": []}),
            other_audience.clone(),
        ),
        (
            json!({"iss": "https://auth.example"}),
            other_audience.clone(),
        ),
        (
            json!({"iss": "https://auth.example/", "aud": "api"}),
            other_issuer.clone(),
        ),
        (json!({"aud": "api"}), other_issuer),
    ];
    for (changes, expected) in cases {
        let verdict = verify(&strict(), &with_claims(&good_but(&changes)));
        assert_eq!(verdict.map(|_| ()), expected, "{changes}");
    }
    // Who has no name is meant by no token that names somebody.
    let token = with_claims(&good_but(&json!({"aud": "api"})));
    assert_eq!(verify(&verifier(), &token).map(|_| ()), other_audience);
}

#[test]
fn s9_claims_of_the_wrong_kind_are_refused() {
    for changes in [
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"tenant_id": "a b"}),
        json!({"tenant_id": 7}),
        json!({"tenant_id": ["acme"]}),
        json!({"roles": {"admin": true}}),
        json!({"roles": ["admin", 7]}),
        json!({"scope": 7}),
        json!({"sid": "a:b"}),
        json!({"cnf": "fp"}),
        json!({"cnf": {"fp": 7}}),
    ] {
        let verdict = verify(&verifier(), &with_claims(&good_but(&changes)));
        assert!(
            matches!(verdict, Err(AuthError::Invalid(_))),
            "{changes}: {verdict:?}"
        );
    }
}

#[test]
fn s9_what_the_issuer_signs_is_what_the_verifier_reads() {
    let (clock, _) = clock();
    let issuer = Issuer::new(SigningKey::hs256(&secret()).unwrap())
        .issuer("https://auth.example")
        .audience("api")
        .lifetime(Duration::from_mins(5))
        .clock(clock);
    let session = SessionId::parse("s-1").unwrap();
    let claims = Claims::new("ada")
        .tenant("acme")
        .role("admin")
        .scope("a")
        .scope("b")
        .tier("pro")
        .session(session, "r-1")
        // What the program adds never takes the place of what the issuer says.
        .more("name", "Ada")
        .more("sub", "eve")
        .more("nbf", NOW + 10_000)
        .more("exp", NOW + 10_000_000);
    let token = issuer.sign(&claims).unwrap();
    let verifier = verifier().issuer("https://auth.example").audience("api");
    let identity = verify(&verifier, token.expose()).unwrap();
    assert_eq!(identity.subject(), "ada");
    assert_eq!(identity.tenant().unwrap().as_str(), "acme");
    assert_eq!(identity.expires_at().unwrap().as_second(), NOW + 300);
    assert!(identity.has_role("admin") && identity.has_scope("a") && identity.has_scope("b"));
}

#[test]
fn s9_nothing_of_a_token_or_key_is_shown() {
    let token = with_claims(&good());
    let issuer = Issuer::new(SigningKey::hs256(&secret()).unwrap());
    let verifier = verifier();
    let error = verify(&verifier, &format!("{token}x")).unwrap_err();
    let shown = format!(
        "{verifier:?} {issuer:?} {error} {error:?} {}",
        error.reason()
    );
    for planted in [secret().expose(), &token, token.rsplit('.').next().unwrap()] {
        assert!(!shown.contains(planted), "{shown}");
    }
}
