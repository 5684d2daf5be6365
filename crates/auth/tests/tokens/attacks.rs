//! Known ways to get a forged token accepted (RFC 8725; the CVEs of JOSE libraries).

use bastide_auth::{AuthError, Keys, Verifier};
use proptest::prelude::*;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::json;

use crate::support::{
    NOW, base64, clock, good, signed, signed_text, verifier, verify, with_claims,
};

fn reason(token: &str) -> &'static str {
    match verify(&verifier(), token) {
        Err(AuthError::Invalid(reason)) => reason,
        other => panic!("{token}: {other:?}"),
    }
}

#[test]
fn s9_a_token_without_a_signature_is_refused() {
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = base64(json!({"alg": alg}).to_string());
        let payload = base64(good().to_string());
        for signature in ["", "AA", &base64("x")] {
            let token = format!("{header}.{payload}.{signature}");
            assert_eq!(reason(&token), "an algorithm that is not accepted");
        }
    }
    let stripped = with_claims(&good());
    let (message, _) = stripped.rsplit_once('.').unwrap();
    assert_eq!(
        reason(&format!("{message}.")),
        "the signature is not base64url"
    );
    assert_eq!(reason(message), "not three parts with dots between them");
}

#[test]
fn s9_a_public_key_is_no_shared_secret() {
    // The attack: sign by HMAC with the text of the public key, and say HS256.
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let pem = pair.public_key_pem();
    let verifier = Verifier::new(Keys::es256_pem(&pem).unwrap()).clock(clock().0);
    for secret in [pem.as_bytes(), pair.public_key_raw()] {
        let message = format!(
            "{}.{}",
            base64(r#"{"alg":"HS256"}"#),
            base64(good().to_string())
        );
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        let tag = aws_lc_rs::hmac::sign(&key, message.as_bytes());
        let token = format!("{message}.{}", base64(tag.as_ref()));
        let refused = AuthError::Invalid("no key for its algorithm and key id");
        assert_eq!(verify(&verifier, &token).unwrap_err(), refused);
    }
}

#[test]
fn s9_an_algorithm_of_the_same_family_is_refused() {
    for alg in [
        "HS384", "HS512", "RS256", "ES256", "EdDSA", "PS256", "hs256", "HS256 ",
    ] {
        let token = signed(&json!({"alg": alg}), &good());
        assert!(
            matches!(verify(&verifier(), &token), Err(AuthError::Invalid(_))),
            "{alg}"
        );
    }
}

#[test]
fn s9_a_key_within_the_token_is_not_looked_at() {
    // An embedded key (CVE-2018-0114): the header brings the key that its signature verifies with.
    let own = json!({"kty": "oct", "k": base64("a key that the attacker brings along")});
    for header in [
        json!({"alg": "HS256", "jwk": own}),
        json!({"alg": "HS256", "jku": "https://attacker.example/keys"}),
        json!({"alg": "HS256", "x5u": "https://attacker.example/cert"}),
        json!({"alg": "HS256", "x5c": ["MIIB"]}),
    ] {
        let message = format!(
            "{}.{}",
            base64(header.to_string()),
            base64(good().to_string())
        );
        let key = aws_lc_rs::hmac::Key::new(
            aws_lc_rs::hmac::HMAC_SHA256,
            b"a key that the attacker brings along",
        );
        let tag = aws_lc_rs::hmac::sign(&key, message.as_bytes());
        let token = format!("{message}.{}", base64(tag.as_ref()));
        assert_eq!(reason(&token), "the signature does not verify");
    }
}

#[test]
fn s9_extensions_are_refused() {
    for header in [
        json!({"alg": "HS256", "crit": ["exp"], "exp": NOW}),
        json!({"alg": "HS256", "crit": []}),
        json!({"alg": "HS256", "b64": false}),
        json!({"alg": "HS256", "zip": "DEF"}),
        json!({"alg": "HS256", "cty": "JWT"}),
        json!({"alg": "HS256", "enc": "A256GCM"}),
    ] {
        assert_eq!(
            reason(&signed(&header, &good())),
            "the header asks for an extension",
            "{header}"
        );
    }
}

#[test]
fn s9_a_token_for_another_purpose_is_refused() {
    for typ in ["dpop+jwt", "logout+jwt", "secevent+jwt", "JOSE", ""] {
        let token = signed(&json!({"alg": "HS256", "typ": typ}), &good());
        assert_eq!(reason(&token), "a token of another type", "{typ}");
    }
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt"] {
        let token = signed(&json!({"alg": "HS256", "typ": typ}), &good());
        assert!(verify(&verifier(), &token).is_ok(), "{typ}");
    }
}

#[test]
fn s9_what_two_readers_would_read_differently_is_refused() {
    for header in [
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","kid":"a","kid":"b"}"#,
        r#"{"alg":"HS256"} {}"#,
        r#"["HS256"]"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":null}"#,
        "{}",
        "",
    ] {
        let token = signed_text(header, &good().to_string());
        assert_eq!(
            reason(&token),
            "the header is not a JOSE header",
            "{header}"
        );
    }
    for payload in [
        format!(r#"{{"sub":"eve","sub":"ada","exp":{}}}"#, NOW + 600),
        format!(r#"{{"sub":"ada","exp":1,"exp":{}}}"#, NOW + 600),
        r#"["sub"]"#.to_owned(),
        r#""ada""#.to_owned(),
        "{".to_owned(),
        String::new(),
    ] {
        let token = signed_text(r#"{"alg":"HS256"}"#, &payload);
        let refused = "the claims are not a JSON object without repetitions";
        assert_eq!(reason(&token), refused, "{payload}");
    }
}

#[test]
fn s9_a_token_has_one_spelling() {
    let token = with_claims(&good());
    let (message, signature) = token.rsplit_once('.').unwrap();
    // The last character of 32 bytes holds four bits; the other two must be zero.
    let (start, last) = signature.split_at(signature.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = alphabet.find(last).unwrap();
    for bits in 1..4 {
        let other = &alphabet[place + bits..=place + bits];
        assert!(verify(&verifier(), &format!("{message}.{start}{other}")).is_err());
    }
    for spelled in [
        format!("{token}="),
        format!("{token} "),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{message}.{}", signature.replacen('_', "/", 1) + "A"),
        token.replace('.', ".."),
        format!("{token}.{signature}"),
    ] {
        assert!(verify(&verifier(), &spelled).is_err(), "{spelled:?}");
    }
}

#[test]
fn s9_what_is_too_large_is_not_read() {
    let claims = json!({"sub": "ada", "exp": NOW + 600, "more": "x".repeat(9_000)});
    assert_eq!(reason(&with_claims(&claims)), "longer than 8 KiB");
    let header = json!({"alg": "HS256", "kid": "k".repeat(257)});
    assert_eq!(reason(&signed(&header, &good())), "the key id is too long");
    // Nesting does not use the stack up.
    let deep = "[".repeat(3_000);
    let payload = format!(r#"{{"sub":"ada","exp":1,"x":{deep}"#);
    assert!(verify(&verifier(), &signed_text(r#"{"alg":"HS256"}"#, &payload)).is_err());
}

proptest! {
    #[test]
    fn s9_no_text_makes_the_reader_fail_or_enter(text in ".{0,200}") {
        prop_assert!(verify(&verifier(), &text).is_err());
    }

    #[test]
    fn s9_no_header_or_payload_makes_the_reader_fail(header in ".{0,80}", payload in ".{0,80}") {
        prop_assert!(verify(&verifier(), &signed_text(&header, &payload)).is_err());
    }

    #[test]
    fn s9_a_token_with_any_character_changed_is_refused(at in 0_usize..200, with in "[A-Za-z0-9_.-]") {
        let token = with_claims(&good());
        let at = at % token.len();
        prop_assume!(token[at..=at] != with);
        let changed = format!("{}{with}{}", &token[..at], &token[at + 1..]);
        prop_assert!(verify(&verifier(), &changed).is_err());
    }
}
