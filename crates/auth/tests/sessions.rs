//! Sessions that end for everybody at once. Two processes are two registries on one Redis.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bastide_auth::{
    AuthError, BindingKey, Claims, Clock, ClockHandle, Found, Issuer, Keys, LookUpSession,
    LookedUp, SessionId, SessionRecord, Sessions, SigningKey, TenantId, Verifier,
};
use bastide_config::Secret;
use bastide_store::{Call, RedisOptions, RedisUrl, Reply, Script, Store};
use bastide_testkit::Redis;
use jiff::Timestamp;

const NOW: i64 = 1_800_000_000;

fn secret(name: &str) -> Secret {
    Secret::new(format!("{name}, of at least thirty-two bytes"))
}

fn clock() -> (Clock, ClockHandle) {
    Clock::controlled(Timestamp::from_second(NOW).unwrap())
}

fn record(refresh: &str) -> SessionRecord {
    SessionRecord {
        user: "ada".to_owned(),
        refresh: refresh.to_owned(),
        tenant: Some(TenantId::parse("acme").unwrap()),
        expires_at: NOW + 7 * 86_400,
    }
}

/// An id that no other test on the shared Redis has.
fn fresh_id() -> SessionId {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    SessionId::parse(&format!("s-{}-{number}", std::process::id())).unwrap()
}

fn redis() -> Store {
    let url = RedisUrl::parse(&Redis::shared_url().unwrap()).unwrap();
    Store::redis(&url, RedisOptions::default()).unwrap()
}

/// Both back ends, each seen by two processes.
fn pairs() -> [(Store, Store); 2] {
    let memory = Store::memory();
    [(memory.clone(), memory), (redis(), redis())]
}

struct App {
    issuer: Issuer,
    verifier: Verifier,
    sessions: Sessions,
    time: ClockHandle,
}

fn app(store: &Store) -> App {
    app_with(store, |sessions| sessions)
}

fn app_with(store: &Store, change: impl FnOnce(Sessions) -> Sessions) -> App {
    let (clock, time) = clock();
    let binding = BindingKey::new(&secret("binding")).unwrap();
    let sessions = change(Sessions::new(store).clock(clock.clone()));
    let issuer = Issuer::new(SigningKey::hs256(&secret("signing")).unwrap())
        .clock(clock.clone())
        .binding(binding.clone());
    let verifier = Verifier::new(Keys::hs256(&secret("signing")).unwrap())
        .sessions(sessions.clone())
        .binding(binding)
        .clock(clock);
    App {
        issuer,
        verifier,
        sessions,
        time,
    }
}

impl App {
    fn token(&self, id: &SessionId, refresh: &str) -> Secret {
        let claims = Claims::new("ada")
            .tenant("acme")
            .session(id.clone(), refresh);
        self.issuer.sign(&claims).unwrap()
    }

    async fn refusal(&self, token: &Secret) -> AuthError {
        self.verifier.verify(token.expose()).await.unwrap_err()
    }
}

#[tokio::test]
async fn a2_a_revoked_session_is_refused_on_the_next_call_of_another_process() {
    for (one, other) in pairs() {
        let (auth, media) = (app(&one), app(&other));
        let id = fresh_id();
        assert!(auth.sessions.begin(&id, &record("r-1")).await.unwrap());
        let token = auth.token(&id, "r-1");
        for _ in 0..2 {
            media.verifier.verify(token.expose()).await.unwrap();
        }
        auth.sessions.revoke(&id).await.unwrap();
        assert_eq!(media.refusal(&token).await, AuthError::SessionRevoked);
        // The id is burnt: nobody begins or refreshes it again.
        assert!(!auth.sessions.begin(&id, &record("r-2")).await.unwrap());
        assert!(
            !auth
                .sessions
                .replace(&id, &record("r-1"), &record("r-2"))
                .await
                .unwrap()
        );
        assert_eq!(media.refusal(&token).await, AuthError::SessionRevoked);
    }
}

#[tokio::test]
async fn a2_an_id_that_is_taken_stays_with_the_session_that_has_it() {
    for (one, other) in pairs() {
        let (auth, other) = (app(&one), app(&other));
        let id = fresh_id();
        assert!(auth.sessions.begin(&id, &record("r-1")).await.unwrap());
        let second = SessionRecord {
            user: "eve".to_owned(),
            ..record("r-2")
        };
        assert!(!other.sessions.begin(&id, &second).await.unwrap());
        let found = auth.sessions.find(&id).await.unwrap();
        assert_eq!(found, Found::Active(record("r-1")));
        let token = auth.token(&id, "r-1");
        other.verifier.verify(token.expose()).await.unwrap();
        let token = other.token(&id, "r-2");
        assert_eq!(other.refusal(&token).await, AuthError::Superseded);
    }
}

#[tokio::test]
async fn a2_that_a_session_was_ended_is_remembered_for_as_long_as_is_asked_for() {
    let (store, minute) = (redis(), Duration::from_secs(60));
    let sessions = app(&store).sessions;
    for (asked, remembered) in [
        (minute, 10 * minute),
        (7 * 24 * 60 * minute, 7 * 24 * 60 * minute),
    ] {
        let id = fresh_id();
        sessions.revoke_for(&id, asked).await.unwrap();
        let left = Script::new("return redis.call('PTTL', KEYS[1])");
        let call = Call::new().key(format!("sessions:{id}"));
        let Reply::Int(left) = store.as_redis().unwrap().run(&left, &call).await.unwrap() else {
            panic!("a number");
        };
        let left = Duration::from_millis(u64::try_from(left).unwrap());
        assert!(left + minute > remembered && left <= remembered, "{left:?}");
    }
}

#[tokio::test]
async fn a4_a_refresh_ends_the_tokens_before_it() {
    for (one, other) in pairs() {
        let (auth, media) = (app(&one), app(&other));
        let id = fresh_id();
        auth.sessions.begin(&id, &record("r-1")).await.unwrap();
        let old = auth.token(&id, "r-1");
        media.verifier.verify(old.expose()).await.unwrap();
        assert!(
            auth.sessions
                .replace(&id, &record("r-1"), &record("r-2"))
                .await
                .unwrap()
        );
        assert_eq!(media.refusal(&old).await, AuthError::Superseded);
        media
            .verifier
            .verify(auth.token(&id, "r-2").expose())
            .await
            .unwrap();
        // Of two refreshes of one token only one counts.
        assert!(
            !auth
                .sessions
                .replace(&id, &record("r-1"), &record("r-3"))
                .await
                .unwrap()
        );
        media
            .verifier
            .verify(auth.token(&id, "r-2").expose())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a4_of_many_refreshes_at_once_one_counts() {
    for (one, other) in pairs() {
        let id = fresh_id();
        app(&one).sessions.begin(&id, &record("r-0")).await.unwrap();
        let before = record("r-0");
        let tries = (1..=16).map(|number| {
            let store = if number % 2 == 0 { &one } else { &other };
            let (sessions, id, before) = (app(store).sessions, id.clone(), before.clone());
            tokio::spawn(async move {
                sessions
                    .replace(&id, &before, &record(&format!("r-{number}")))
                    .await
            })
        });
        let mut counted = 0;
        for one in tries.collect::<Vec<_>>() {
            counted += u32::from(one.await.unwrap().unwrap());
        }
        assert_eq!(counted, 1);
    }
}

#[tokio::test]
async fn a4_a_token_without_a_binding_is_refused() {
    let app = app(&Store::memory());
    let id = fresh_id();
    app.sessions.begin(&id, &record("r-1")).await.unwrap();
    let unbound = Issuer::new(SigningKey::hs256(&secret("signing")).unwrap()).clock(clock().0);
    let claims = Claims::new("ada").tenant("acme").session(id.clone(), "r-1");
    let token = unbound.sign(&claims).unwrap();
    assert_eq!(
        app.refusal(&token).await,
        AuthError::Invalid("the token is not bound")
    );
    // Bound by somebody who has the signing key but not the one for binding.
    let other = unbound.binding(BindingKey::new(&secret("guessed")).unwrap());
    assert_eq!(
        app.refusal(&other.sign(&claims).unwrap()).await,
        AuthError::Superseded
    );
}

#[tokio::test]
async fn a2_a_token_without_a_session_or_with_anothers_is_refused() {
    let app = app(&Store::memory());
    let id = fresh_id();
    app.sessions.begin(&id, &record("r-1")).await.unwrap();
    let sign = |claims: Claims| app.issuer.sign(&claims).unwrap();
    let none = sign(Claims::new("ada").tenant("acme"));
    assert_eq!(app.refusal(&none).await, AuthError::Invalid("no session"));
    let elses = AuthError::Invalid("the session is another user's");
    let eve = sign(Claims::new("eve").tenant("acme").session(id.clone(), "r-1"));
    assert_eq!(app.refusal(&eve).await, elses);
    let other_tenant = sign(
        Claims::new("ada")
            .tenant("globex")
            .session(id.clone(), "r-1"),
    );
    assert_eq!(app.refusal(&other_tenant).await, elses);
    let unknown = app.token(&fresh_id(), "r-1");
    assert_eq!(app.refusal(&unknown).await, AuthError::SessionUnknown);
}

#[tokio::test]
async fn a2_a_session_ends_by_itself() {
    let app = app(&Store::memory());
    let id = fresh_id();
    let short = SessionRecord {
        expires_at: NOW + 60,
        ..record("r-1")
    };
    app.sessions.begin(&id, &short).await.unwrap();
    app.verifier
        .verify(app.token(&id, "r-1").expose())
        .await
        .unwrap();
    app.time.advance(Duration::from_secs(60));
    assert_eq!(
        app.refusal(&app.token(&id, "r-1")).await,
        AuthError::SessionUnknown
    );
    assert!(!app.sessions.begin(&fresh_id(), &short).await.unwrap());
}

#[tokio::test]
async fn a2_a_stale_answer_is_as_old_as_was_allowed() {
    let store = Store::memory();
    let auth = app(&store);
    let media = app_with(&store, |sessions| {
        sessions.staleness(Duration::from_secs(2))
    });
    let id = fresh_id();
    auth.sessions.begin(&id, &record("r-1")).await.unwrap();
    let token = auth.token(&id, "r-1");
    media.verifier.verify(token.expose()).await.unwrap();
    auth.sessions.revoke(&id).await.unwrap();
    media.time.advance(Duration::from_millis(1_999));
    media.verifier.verify(token.expose()).await.unwrap();
    media.time.advance(Duration::from_millis(1));
    assert_eq!(media.refusal(&token).await, AuthError::SessionRevoked);
    // The process that ends a session knows at once.
    let own = fresh_id();
    media.sessions.begin(&own, &record("r-1")).await.unwrap();
    let token = media.token(&own, "r-1");
    media.verifier.verify(token.expose()).await.unwrap();
    media.sessions.revoke(&own).await.unwrap();
    assert_eq!(media.refusal(&token).await, AuthError::SessionRevoked);
}

/// Where sessions are kept for good.
#[derive(Clone, Default)]
struct Table {
    asked: Arc<AtomicU32>,
    is_away: bool,
    revoke_meanwhile: Option<Sessions>,
}

impl LookUpSession for Table {
    fn look_up(&self, id: &SessionId) -> LookedUp<'_> {
        let id = id.clone();
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if self.is_away {
                return Err("the table is away".to_owned());
            }
            if let Some(sessions) = &self.revoke_meanwhile {
                sessions.revoke(&id).await.unwrap();
            }
            Ok((!id.as_str().ends_with("unknown")).then(|| record("r-1")))
        })
    }
}

#[tokio::test]
async fn a3_a_cold_registry_warms_itself_for_everybody() {
    for (one, other) in pairs() {
        let table = Table::default();
        let asked = table.asked.clone();
        let (auth, media) = (
            app_with(&one, |sessions| sessions.lookup(table)),
            app(&other),
        );
        let id = fresh_id();
        let token = auth.token(&id, "r-1");
        assert_eq!(media.refusal(&token).await, AuthError::SessionUnknown);
        auth.verifier.verify(token.expose()).await.unwrap();
        auth.verifier.verify(token.expose()).await.unwrap();
        media.verifier.verify(token.expose()).await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn a3_a_session_that_ends_while_it_is_looked_up_stays_ended() {
    let store = Store::memory();
    let table = Table {
        revoke_meanwhile: Some(app(&store).sessions),
        ..Table::default()
    };
    let auth = app_with(&store, |sessions| sessions.lookup(table));
    let id = fresh_id();
    assert_eq!(
        auth.refusal(&auth.token(&id, "r-1")).await,
        AuthError::SessionRevoked
    );
    assert_eq!(auth.sessions.find(&id).await.unwrap(), Found::Revoked);
}

#[tokio::test]
async fn a2_what_cannot_be_found_out_is_refused() {
    let table = Table {
        is_away: true,
        ..Table::default()
    };
    let auth = app_with(&Store::memory(), |sessions| sessions.lookup(table));
    let refusal = auth.refusal(&auth.token(&fresh_id(), "r-1")).await;
    assert_eq!(
        (refusal.code(), refusal.status()),
        ("auth_unavailable", 503)
    );
    // Who is away is named: it is not the store.
    assert_eq!(
        refusal.reason(),
        "the session is not in the shared store, and looking it up failed: the table is away"
    );

    let mut server = Redis::start().unwrap();
    let options = RedisOptions {
        response_timeout: Duration::from_millis(300),
        ..RedisOptions::default()
    };
    let store = Store::redis(&RedisUrl::parse(&server.url()).unwrap(), options).unwrap();
    let app = app(&store);
    let id = fresh_id();
    app.sessions.begin(&id, &record("r-1")).await.unwrap();
    let token = app.token(&id, "r-1");
    app.verifier.verify(token.expose()).await.unwrap();
    server.kill();
    assert_eq!(app.refusal(&token).await.status(), 503);
}

#[tokio::test]
async fn a2_a_value_that_cannot_be_read_lets_nobody_in() {
    let store = Store::memory();
    let app = app(&store);
    for value in [
        "",
        "ada",
        "{}",
        r#"{"u":"ada"}"#,
        r#"{"u":"ada","r":"r-1","e":"never"}"#,
        "\u{0}",
    ] {
        let id = fresh_id();
        let key = format!("sessions:{id}");
        store.raw().set(&key, value.as_bytes(), None).await.unwrap();
        assert_eq!(
            app.refusal(&app.token(&id, "r-1")).await,
            AuthError::SessionUnknown,
            "{value}"
        );
    }
}
