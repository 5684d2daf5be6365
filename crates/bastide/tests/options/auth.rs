//! Whose tokens are believed.

use std::fs;
use std::time::Duration;

use bastide::auth::{Claims, Issuer, SessionId, SessionRecord, Sessions, SigningKey, TenantId};
use bastide::config::Secret;
use bastide::store::{RedisOptions, RedisUrl, Store};
use bastide_testkit::{Redis, until};
use rcgen::{KeyPair, PKCS_ED25519};

use crate::shop::{PATIENCE, SECRET, Setup, Shop, claims, sign, token};

fn me(shop: &Shop, token: &str) -> u16 {
    shop.get_as(token, "/me").status
}

fn issuer() -> Issuer {
    Issuer::new(SigningKey::hs256(&Secret::new(SECRET)).unwrap())
}

#[test]
fn seed000_auth_algorithm_and_secret() {
    let setup = Setup::new("[auth]\nalgorithm = \"HS256\"\n");
    let shop = setup.start();
    assert_eq!(me(&shop, &token()), 200);
    let other = Secret::new("another secret of thirty-two bytes");
    let forged = Issuer::new(SigningKey::hs256(&other).unwrap())
        .sign(&claims())
        .unwrap();
    assert_eq!(me(&shop, forged.expose()), 401);

    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    fs::write(setup.path().join("key.pem"), pair.public_key_pem()).unwrap();
    let setup = setup
        .set("SHOP_AUTH__SECRET", "")
        .set("SHOP_AUTH__ALGORITHM", "EdDSA")
        .set("SHOP_AUTH__PUBLIC_KEY_FILE", "key.pem");
    let shop = setup.start();
    let key = SigningKey::eddsa_pem(&Secret::new(pair.serialize_pem())).unwrap();
    let signed = Issuer::new(key).sign(&claims()).unwrap();
    assert_eq!(me(&shop, signed.expose()), 200);
    assert_eq!(me(&shop, &token()), 401);
}

#[test]
fn seed000_auth_issuer() {
    let shop = Setup::new("[auth]\nissuer = \"id\"\n").start();
    assert_eq!(me(&shop, &token()), 401);
    let of = |name: &str| issuer().issuer(name).sign(&claims()).unwrap();
    assert_eq!(me(&shop, of("id").expose()), 200);
    assert_eq!(me(&shop, of("other").expose()), 401);
}

#[test]
fn seed000_auth_audience() {
    let shop = Setup::new("[auth]\naudience = \"shop\"\n").start();
    assert_eq!(me(&shop, &token()), 401);
    let of = |name: &str| issuer().audience(name).sign(&claims()).unwrap();
    assert_eq!(me(&shop, of("shop").expose()), 200);
    assert_eq!(me(&shop, of("other").expose()), 401);
}

/// Tokens that were remembered, and those that were not.
fn counts(shop: &Shop) -> (f64, f64) {
    let of = |result: &str| shop.metric(&format!("auth_token_cache_total{{result=\"{result}\"}}"));
    (of("hit"), of("miss"))
}

#[test]
fn seed000_auth_cache_enabled() {
    let on = Setup::new("").start();
    let off = Setup::new("[auth]\ncache = {enabled = false}\n").start();
    let token = token();
    for _ in 0..3 {
        assert_eq!((me(&on, &token), me(&off, &token)), (200, 200));
    }
    assert_eq!(counts(&on), (2.0, 1.0));
    assert_eq!(counts(&off), (0.0, 0.0));
}

#[test]
fn seed000_auth_cache_max_size() {
    let small = Setup::new("[auth]\ncache = {max_entries = 4}\n").start();
    let large = Setup::new("").start();
    let tokens: Vec<_> = (0..40)
        .map(|number| sign(&Claims::new(format!("caller-{number}")).tenant("acme")))
        .collect();
    for token in tokens.iter().chain(&tokens) {
        assert_eq!((me(&small, token), me(&large, token)), (200, 200));
    }
    assert_eq!(counts(&large), (40.0, 40.0));
    assert!(counts(&small).0 < 20.0, "{:?}", counts(&small));
}

#[test]
fn seed000_auth_cache_ttl() {
    let short = Setup::new("[auth]\ncache = {ttl = \"1s\"}\n").start();
    let long = Setup::new("").start();
    let token = token();
    let is_checked_again = || {
        assert_eq!((me(&short, &token), me(&long, &token)), (200, 200));
        counts(&short).1 >= 2.0
    };
    assert!(until(PATIENCE, is_checked_again));
    assert_eq!(counts(&long).1, 1.0);
}

#[test]
fn seed000_auth_cache_never_outlives_a_token() {
    let shop = Setup::new("[auth]\nleeway = \"0s\"\n").start();
    let short = issuer()
        .lifetime(Duration::from_secs(2))
        .sign(&claims())
        .unwrap();
    assert_eq!(me(&shop, short.expose()), 200);
    assert!(until(PATIENCE, || me(&shop, short.expose()) == 401));
}

/// The registry of sessions as an auth app on this Redis server has it.
fn sessions(server: &Redis) -> Sessions {
    let url = RedisUrl::parse(&server.url()).unwrap();
    Sessions::new(&Store::redis(&url, RedisOptions::default()).unwrap())
}

#[test]
fn seed000_auth_revocation_with_a_cache_is_within_the_staleness_and_without_sessions_never() {
    let server = Redis::start().unwrap();
    let start = |text: &str| Setup::new(text).set("REDIS_URL", server.url()).start();
    let at_once = start("[auth]\nsessions = {enabled = true}\n");
    let stale = start("[auth]\nsessions = {enabled = true, staleness = \"1h\"}\n");
    let unchecked = start("");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let id = SessionId::parse("s-1").unwrap();
    let record = SessionRecord {
        user: "ada".to_owned(),
        refresh: "r-1".to_owned(),
        tenant: Some(TenantId::parse("acme").unwrap()),
        expires_at: 4_000_000_000,
    };
    let registry = runtime.block_on(async { sessions(&server) });
    assert!(runtime.block_on(registry.begin(&id, &record)).unwrap());
    let token = sign(&claims().session(id.clone(), "r-1"));
    let all = || [&at_once, &stale, &unchecked].map(|shop| me(shop, &token));
    assert_eq!(all(), [200, 200, 200]);
    runtime.block_on(registry.revoke(&id)).unwrap();
    assert_eq!(all(), [401, 200, 200]);
    // Who belongs to no session does not get in where sessions are asked about.
    assert_eq!(me(&at_once, &crate::shop::token()), 401);
}

#[test]
fn seed000_auth_service_keys_for_trusted_callers() {
    let key = "sk_0123456789abcdef0123456789abcdef";
    let text =
        format!("[[auth.service_keys]]\nname = \"billing\"\nkey = {key:?}\ntenant = \"acme\"\n");
    let shop = Setup::new(&text).start();
    assert_eq!(shop.get("/me", &[("x-service-key", key)]).status, 200);
    assert_eq!(
        shop.get("/me", &[("x-service-key", &key.replace('0', "1"))])
            .status,
        401
    );
}
