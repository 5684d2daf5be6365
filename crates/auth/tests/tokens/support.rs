//! Tokens made by hand, so that they may be wrong.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bastide_auth::{AuthError, Clock, ClockHandle, Identity, Keys, Verifier};
use bastide_config::Secret;
use jiff::Timestamp;
use serde_json::{Value, json};

/// The time at which the tests' clocks begin.
pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) fn secret() -> Secret {
    Secret::new("a secret of at least thirty-two bytes")
}

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An HS256 signature over texts that stand as they are given.
pub(crate) fn signed_text(header: &str, payload: &str) -> String {
    let message = format!("{}.{}", base64(header), base64(payload));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret().expose().as_bytes());
    let tag = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", base64(tag.as_ref()))
}

pub(crate) fn signed(header: &Value, payload: &Value) -> String {
    signed_text(&header.to_string(), &payload.to_string())
}

/// Signed with the right key under a plain header.
pub(crate) fn with_claims(payload: &Value) -> String {
    signed(&json!({"alg": "HS256", "typ": "JWT"}), payload)
}

/// Claims that are accepted.
pub(crate) fn good() -> Value {
    json!({"sub": "ada", "exp": NOW + 600})
}

/// Good claims with these put over them; `null` takes one away.
pub(crate) fn good_but(changes: &Value) -> Value {
    let mut claims = good();
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

pub(crate) fn clock() -> (Clock, ClockHandle) {
    Clock::controlled(Timestamp::from_second(NOW).expect("in range"))
}

pub(crate) fn verifier() -> Verifier {
    Verifier::new(Keys::hs256(&secret()).expect("long enough")).clock(clock().0)
}

/// Verifies; the registry is not involved, so nothing is waited for.
pub(crate) fn verify(verifier: &Verifier, token: &str) -> Result<Identity, AuthError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(verifier.verify(token))
}
