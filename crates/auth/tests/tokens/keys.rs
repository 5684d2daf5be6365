//! Keys of every kind, and which of several a token is verified with.

use bastide_auth::{AuthError, Claims, Issuer, KeyError, Keys, SigningKey, Verifier};
use bastide_config::Secret;
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
};
use serde_json::{Value, json};

use crate::support::{clock, good, secret, signed, verify};

type ReadSigning = fn(&Secret) -> Result<SigningKey, KeyError>;
type ReadPublic = fn(&str) -> Result<Keys, KeyError>;

/// The kinds with a public half: a fresh pair, and how its halves are read.
fn kinds() -> [(KeyPair, ReadSigning, ReadPublic); 3] {
    let pair = |algorithm| KeyPair::generate_for(algorithm).unwrap();
    [
        (
            pair(&PKCS_ECDSA_P256_SHA256),
            SigningKey::es256_pem,
            Keys::es256_pem,
        ),
        (pair(&PKCS_ED25519), SigningKey::eddsa_pem, Keys::eddsa_pem),
        (
            pair(&PKCS_RSA_SHA256),
            SigningKey::rs256_pem,
            Keys::rs256_pem,
        ),
    ]
}

fn issuer(key: SigningKey) -> Issuer {
    Issuer::new(key).clock(clock().0)
}

fn accepts(keys: &Keys, token: &Secret) -> bool {
    verify(
        &Verifier::new(keys.clone()).clock(clock().0),
        token.expose(),
    )
    .is_ok()
}

#[test]
fn s9_each_algorithm_signs_and_verifies() {
    let mut tokens = Vec::new();
    let mut readers = Vec::new();
    for (pair, signing, public) in kinds() {
        let key = signing(&Secret::new(pair.serialize_pem())).unwrap();
        tokens.push(issuer(key).sign(&Claims::new("ada")).unwrap());
        readers.push(public(&pair.public_key_pem()).unwrap());
    }
    for (token, own) in tokens.iter().enumerate() {
        for (keys, verifying) in readers.iter().enumerate() {
            assert_eq!(
                accepts(verifying, own),
                token == keys,
                "token {token}, keys {keys}"
            );
        }
    }
}

#[test]
fn s9_published_keys_verify_what_their_issuer_signs() {
    let mut published = Vec::new();
    let mut tokens = Vec::new();
    for (number, (pair, signing, _)) in kinds().into_iter().enumerate() {
        let key = signing(&Secret::new(pair.serialize_pem()))
            .unwrap()
            .with_id(format!("k{number}"));
        let issuer = issuer(key);
        tokens.push(issuer.sign(&Claims::new("ada")).unwrap());
        let set = issuer.jwk_set().unwrap();
        assert_eq!(set["keys"][0]["use"], "sig");
        assert!(set["keys"][0].get("d").is_none(), "{set}");
        published.extend(set["keys"].as_array().unwrap().clone());
    }
    let keys = Keys::jwk_set(&json!({"keys": published}).to_string()).unwrap();
    for token in &tokens {
        assert!(accepts(&keys, token));
    }
    // Signed by a stranger's key under a known id.
    let stranger = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let key = SigningKey::eddsa_pem(&Secret::new(stranger.serialize_pem()))
        .unwrap()
        .with_id("k1");
    assert!(!accepts(
        &keys,
        &issuer(key).sign(&Claims::new("eve")).unwrap()
    ));
}

#[test]
fn s9_a_shared_secret_is_never_published_nor_taken_from_a_set() {
    let set = issuer(SigningKey::hs256(&secret()).unwrap())
        .jwk_set()
        .unwrap();
    assert_eq!(set, json!({"keys": []}));
    let oct = json!({"keys": [{"kty": "oct", "k": crate::support::base64(secret().expose()), "alg": "HS256"}]});
    assert_eq!(Keys::jwk_set(&oct.to_string()).unwrap_err(), KeyError::None);
}

#[test]
fn s9_what_a_set_has_beside_our_keys_is_passed_over() {
    let (pair, signing, _) = kinds().into_iter().next().unwrap();
    let issuer = issuer(
        signing(&Secret::new(pair.serialize_pem()))
            .unwrap()
            .with_id("good"),
    );
    let mut set = issuer.jwk_set().unwrap();
    let good_key = set["keys"][0].clone();
    let changed = |name: &str, value: Value| {
        let mut key = good_key.clone();
        key["kid"] = json!(format!("changed-{name}"));
        key[name] = value;
        key
    };
    let others = [
        json!({"kty": "future", "kid": "x"}),
        json!({"no": "kty"}),
        changed("use", json!("enc")),
        changed("alg", json!("ES384")),
        changed("crv", json!("P-384")),
    ];
    set["keys"].as_array_mut().unwrap().extend(others);
    let keys = Keys::jwk_set(&set.to_string()).unwrap();
    assert_eq!(format!("{keys:?}"), r#"[(Es256, Some("good"))]"#);
    assert!(accepts(&keys, &issuer.sign(&Claims::new("ada")).unwrap()));
    assert!(Keys::jwk_set(r#"{"keys": []}"#).is_err());
    assert!(Keys::jwk_set("[]").is_err());
}

#[test]
fn s9_a_token_is_verified_by_the_key_it_names() {
    let old = Secret::new("the secret of last month, long enough");
    let one = |secret: &Secret, id: &str| Keys::hs256(secret).unwrap().with_id(id);
    let keys = one(&secret(), "new").and(one(&old, "old")).unwrap();
    let sign = |secret: &Secret, id: Option<&str>| {
        let key = SigningKey::hs256(secret).unwrap();
        let key = id.into_iter().fold(key, SigningKey::with_id);
        issuer(key).sign(&Claims::new("ada")).unwrap()
    };
    assert!(accepts(&keys, &sign(&secret(), Some("new"))));
    assert!(accepts(&keys, &sign(&old, Some("old"))));
    assert!(!accepts(&keys, &sign(&old, Some("new"))));
    assert!(!accepts(&keys, &sign(&secret(), Some("unknown"))));
    // Without a name it could be either, and it is not guessed.
    assert!(!accepts(&keys, &sign(&secret(), None)));
    // A single key needs no name, and a key without an id serves all.
    assert!(accepts(&one(&secret(), "new"), &sign(&secret(), None)));
    assert!(accepts(
        &Keys::hs256(&secret()).unwrap(),
        &sign(&secret(), Some("whatever"))
    ));
    assert_eq!(
        one(&secret(), "same").and(one(&old, "same")).unwrap_err(),
        KeyError::Ambiguous("same".to_owned())
    );
}

#[test]
fn s9_weak_and_wrong_keys_are_refused_with_the_remedy() {
    let error = Keys::hs256(&Secret::new("short")).unwrap_err().to_string();
    assert_eq!(
        error,
        "an HS256 secret needs at least 32 bytes, this one has 5; `openssl rand -base64 48` makes one"
    );
    assert!(SigningKey::hs256(&Secret::new("short")).is_err());
    let error = Keys::rs256_pem("-----BEGIN nothing")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("expected an RSA public key in PEM: "),
        "{error}"
    );
    // A key of another curve verifies nothing.
    let other = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let refused = Keys::es256_pem(&other.public_key_pem()).map(|keys| {
        let token = signed(&json!({"alg": "ES256"}), &good());
        verify(&Verifier::new(keys).clock(clock().0), &token).unwrap_err()
    });
    assert!(
        matches!(refused, Err(_) | Ok(AuthError::Invalid(_))),
        "{refused:?}"
    );
}
