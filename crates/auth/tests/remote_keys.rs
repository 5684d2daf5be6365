//! Keys that an issuer publishes: fetched, kept, and changed under way.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bastide_auth::{
    AuthError, Claims, Clock, ClockHandle, FetchKeys, Fetched, Issuer, RemoteKeys, SigningKey,
    Verifier, https_keys,
};
use bastide_config::Secret;
use jiff::Timestamp;
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::{Value, json};

/// An issuer's address, as a test sees it.
#[derive(Clone, Default)]
struct Published {
    answer: Arc<Mutex<Option<String>>>,
    fetched: Arc<AtomicU32>,
}

impl Published {
    fn put(&self, issuers: &[&Issuer]) {
        let keys: Vec<Value> = issuers
            .iter()
            .map(|one| one.jwk_set().unwrap()["keys"][0].clone())
            .collect();
        *self.answer.lock().unwrap() = Some(json!({"keys": keys}).to_string());
    }

    fn take_down(&self) {
        *self.answer.lock().unwrap() = None;
    }

    fn fetched(&self) -> u32 {
        self.fetched.load(Ordering::Relaxed)
    }
}

impl FetchKeys for Published {
    fn fetch(&self) -> Fetched<'_> {
        self.fetched.fetch_add(1, Ordering::Relaxed);
        let answer = self.answer.lock().unwrap().clone();
        Box::pin(async { answer.ok_or_else(|| "away".to_owned()) })
    }
}

fn issuer(id: &str, clock: &Clock) -> Issuer {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let key = SigningKey::eddsa_pem(&Secret::new(pair.serialize_pem())).unwrap();
    Issuer::new(key.with_id(id))
        .lifetime(Duration::from_hours(100))
        .clock(clock.clone())
}

fn token(issuer: &Issuer) -> Secret {
    issuer.sign(&Claims::new("ada")).unwrap()
}

struct Scene {
    published: Published,
    verifier: Verifier,
    clock: Clock,
    time: ClockHandle,
}

fn scene() -> Scene {
    let (clock, time) = Clock::controlled(Timestamp::from_second(1_800_000_000).unwrap());
    let published = Published::default();
    let keys = RemoteKeys::new(published.clone()).clock(clock.clone());
    let verifier = Verifier::remote(Arc::new(keys)).clock(clock.clone());
    Scene {
        published,
        verifier,
        clock,
        time,
    }
}

#[tokio::test]
async fn s9_published_keys_are_fetched_once_in_ten_minutes() {
    let Scene {
        published,
        verifier,
        clock,
        time,
    } = scene();
    let issuer = issuer("a", &clock);
    published.put(&[&issuer]);
    for _ in 0..5 {
        verifier.verify(token(&issuer).expose()).await.unwrap();
        time.advance(Duration::from_mins(1));
    }
    assert_eq!(published.fetched(), 1);
    time.advance(Duration::from_mins(6));
    verifier.verify(token(&issuer).expose()).await.unwrap();
    assert_eq!(published.fetched(), 2);
}

#[tokio::test]
async fn s9_a_new_key_is_found_when_a_token_names_it() {
    let Scene {
        published,
        verifier,
        clock,
        time,
    } = scene();
    let (old, new) = (issuer("old", &clock), issuer("new", &clock));
    published.put(&[&old]);
    verifier.verify(token(&old).expose()).await.unwrap();
    published.put(&[&old, &new]);
    // Within the pause the issuer is not asked again, however many ids are invented.
    for _ in 0..10 {
        let refused = verifier.verify(token(&new).expose()).await.unwrap_err();
        assert_eq!(
            refused,
            AuthError::Invalid("the issuer publishes no key of its id")
        );
    }
    assert_eq!(published.fetched(), 1);
    time.advance(Duration::from_secs(30));
    verifier.verify(token(&new).expose()).await.unwrap();
    verifier.verify(token(&old).expose()).await.unwrap();
    assert_eq!(published.fetched(), 2);
}

#[tokio::test]
async fn s9_a_key_that_is_taken_back_ends_remembered_tokens() {
    let Scene {
        published,
        verifier,
        clock,
        time,
    } = scene();
    let (old, new) = (issuer("old", &clock), issuer("new", &clock));
    published.put(&[&old, &new]);
    let token_of_old = token(&old);
    verifier.verify(token_of_old.expose()).await.unwrap();
    published.put(&[&new]);
    time.advance(Duration::from_mins(10));
    verifier.verify(token(&new).expose()).await.unwrap();
    let refused = verifier.verify(token_of_old.expose()).await.unwrap_err();
    assert_eq!(
        refused,
        AuthError::Invalid("the issuer publishes no key of its id")
    );
}

#[tokio::test]
async fn s9_while_the_issuer_is_away_its_last_keys_count_for_a_day() {
    let Scene {
        published,
        verifier,
        clock,
        time,
    } = scene();
    let issuer = issuer("a", &clock);
    let refused = verifier.verify(token(&issuer).expose()).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.status()),
        ("auth_unavailable", 503)
    );
    published.put(&[&issuer]);
    time.advance(Duration::from_secs(30));
    verifier.verify(token(&issuer).expose()).await.unwrap();
    published.take_down();
    time.advance(Duration::from_hours(23));
    verifier.verify(token(&issuer).expose()).await.unwrap();
    time.advance(Duration::from_hours(1));
    assert_eq!(
        verifier
            .verify(token(&issuer).expose())
            .await
            .unwrap_err()
            .status(),
        503
    );
    published.put(&[&issuer]);
    time.advance(Duration::from_secs(30));
    verifier.verify(token(&issuer).expose()).await.unwrap();
}

/// Answers this to every request, on an address of this machine.
fn serve(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 2048];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}/keys.json")
}

#[tokio::test]
async fn s9_keys_are_fetched_over_http() {
    let clock = Clock::system();
    let issuer = issuer("a", &clock);
    let set = issuer.jwk_set().unwrap().to_string();
    let respond = |status: &str, body: &str| {
        serve(format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let status_of = async |url: String| {
        let verifier = Verifier::remote(Arc::new(RemoteKeys::new(https_keys(&url).unwrap())));
        verifier
            .verify(token(&issuer).expose())
            .await
            .map_err(|error| error.status())
    };
    assert!(status_of(respond("200 OK", &set)).await.is_ok());
    for (status, body) in [
        ("404 Not Found", set.as_str()),
        ("302 Found\r\nlocation: http://127.0.0.1:1/", ""),
        ("200 OK", "{}"),
        ("200 OK", "<html>"),
        ("200 OK", &format!("{set}{}", " ".repeat(1 << 20))),
    ] {
        assert_eq!(
            status_of(respond(status, body)).await.unwrap_err(),
            503,
            "{status}"
        );
    }
    assert_eq!(
        status_of("http://127.0.0.1:1/keys.json".to_owned())
            .await
            .unwrap_err(),
        503
    );
}

#[test]
fn s9_keys_are_not_fetched_in_the_clear_from_elsewhere() {
    for url in [
        "http://auth.example/keys",
        "ftp://auth.example/keys",
        "auth.example",
        "",
        "https://",
    ] {
        let error = https_keys(url).err().unwrap().to_string();
        assert!(
            error.starts_with("expected the address of a JWK set, as https://"),
            "{error}"
        );
    }
    for url in [
        "https://auth.example/keys",
        "http://127.0.0.1:9/keys",
        "http://[::1]:9/k",
        "http://localhost/k",
    ] {
        assert!(https_keys(url).is_ok(), "{url}");
    }
}
