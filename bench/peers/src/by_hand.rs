//! A token, a limit and a cache as one writes them for one program: verified tokens in a map, a count a minute, answers in a
//! map until their time has passed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::State as Of;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use serde::Deserialize;
use sha2::Sha256;

use crate::{Greeting, Name};

const LIMIT: u64 = 1_000_000_000;
const WINDOW: Duration = Duration::from_secs(60);
const KEPT: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Claims {
    sub: String,
    tenant_id: String,
    exp: u64,
}

pub struct State {
    key: Hmac<Sha256>,
    verified: Mutex<HashMap<String, Arc<Claims>>>,
    counts: Mutex<HashMap<(String, String), (Instant, u64)>>,
    answers: Mutex<HashMap<(String, String), (Instant, Bytes)>>,
}

impl State {
    pub fn new(secret: &str) -> Self {
        Self {
            key: Hmac::new_from_slice(secret.as_bytes()).expect("any length will do"),
            verified: Mutex::default(),
            counts: Mutex::default(),
            answers: Mutex::default(),
        }
    }

    fn verify(&self, token: &str) -> Option<Arc<Claims>> {
        let mut verified = lock(&self.verified);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        if let Some(claims) = verified.get(token) {
            return (now < claims.exp).then(|| claims.clone());
        }
        let (message, signature) = token.rsplit_once('.')?;
        let (_, payload) = message.split_once('.')?;
        let mut mac = self.key.clone();
        mac.update(message.as_bytes());
        mac.verify_slice(&URL_SAFE_NO_PAD.decode(signature).ok()?)
            .ok()?;
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let claims: Arc<Claims> = Arc::new(serde_json::from_slice(&payload).ok()?);
        verified.insert(token.to_owned(), claims.clone());
        (now < claims.exp).then_some(claims)
    }

    fn count(&self, claims: &Claims, now: Instant) -> bool {
        let who = (claims.tenant_id.clone(), claims.sub.clone());
        let mut counts = lock(&self.counts);
        let count = counts.entry(who).or_insert((now, 0));
        if now - count.0 >= WINDOW {
            *count = (now, 0);
        }
        count.1 += 1;
        count.1 <= LIMIT
    }
}

pub async fn greet(Of(state): Of<Arc<State>>, headers: HeaderMap, body: Bytes) -> Response {
    let token = headers.get(AUTHORIZATION).and_then(|field| {
        let (_, token) = field.to_str().ok()?.split_once(' ')?;
        Some(token)
    });
    let Some(claims) = token.and_then(|token| state.verify(token)) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let now = Instant::now();
    if !state.count(&claims, now) {
        return StatusCode::TOO_MANY_REQUESTS.into_response();
    }
    let Ok(input) = serde_json::from_slice::<Name>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let key = (claims.tenant_id.clone(), input.name.clone());
    let mut answers = lock(&state.answers);
    let json = match answers.get(&key) {
        Some((until, json)) if now < *until => json.clone(),
        _ => {
            let json = serde_json::to_vec(&Greeting::of(&input)).unwrap_or_default();
            let json = Bytes::from(json);
            answers.insert(key, (now + KEPT, json.clone()));
            json
        }
    };
    ([(CONTENT_TYPE, "application/json")], json).into_response()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
