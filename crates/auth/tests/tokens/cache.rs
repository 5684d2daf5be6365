//! Verified tokens are remembered, and never longer than they count.

use std::time::Duration;

use bastide_auth::{AuthError, Keys, Verifier};
use serde_json::json;

use crate::support::{NOW, clock, good_but, secret, verify, with_claims};

fn cached() -> (Verifier, bastide_auth::ClockHandle) {
    let (clock, handle) = clock();
    let verifier = Verifier::new(Keys::hs256(&secret()).unwrap())
        .leeway(Duration::ZERO)
        .clock(clock);
    (verifier, handle)
}

#[test]
fn s9_a_signature_is_checked_once_in_five_minutes() {
    let (verifier, time) = cached();
    let token = with_claims(&good_but(&json!({"exp": NOW + 3_600})));
    for _ in 0..3 {
        verify(&verifier, &token).unwrap();
    }
    assert_eq!(verifier.cache_counts(), (2, 1));
    time.advance(Duration::from_secs(299));
    verify(&verifier, &token).unwrap();
    assert_eq!(verifier.cache_counts(), (3, 1));
    time.advance(Duration::from_secs(1));
    verify(&verifier, &token).unwrap();
    assert_eq!(verifier.cache_counts(), (3, 2));
    verifier.forget_all();
    verify(&verifier, &token).unwrap();
    assert_eq!(verifier.cache_counts(), (3, 3));
}

#[test]
fn s9_a_remembered_token_ends_when_it_says() {
    let (verifier, time) = cached();
    let token = with_claims(&good_but(&json!({"exp": NOW + 10})));
    verify(&verifier, &token).unwrap();
    time.advance(Duration::from_millis(9_999));
    verify(&verifier, &token).unwrap();
    time.advance(Duration::from_millis(1));
    assert_eq!(verify(&verifier, &token).unwrap_err(), AuthError::Expired);
}

#[test]
fn s9_bad_tokens_do_not_push_good_ones_out() {
    let (verifier, _) = cached();
    let verifier = verifier.cache(8, Duration::from_mins(5));
    let token = with_claims(&good_but(&json!({})));
    verify(&verifier, &token).unwrap();
    for number in 0..100 {
        assert!(verify(&verifier, &format!("{token}{number}")).is_err());
    }
    let (hits, _) = verifier.cache_counts();
    verify(&verifier, &token).unwrap();
    assert_eq!(verifier.cache_counts().0, hits + 1);
}

#[test]
fn s9_a_cache_of_no_size_remembers_nothing() {
    let (verifier, _) = cached();
    let verifier = verifier.cache(0, Duration::from_mins(5));
    let token = with_claims(&good_but(&json!({})));
    verify(&verifier, &token).unwrap();
    verify(&verifier, &token).unwrap();
    assert_eq!(verifier.cache_counts(), (0, 0));
}
