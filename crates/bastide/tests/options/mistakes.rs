//! A start that is refused says everything that is wrong, and where.

use crate::shop::Setup;

/// One mistake in each section, and the beginning of the line that tells of it.
const MISTAKES: &[(&str, &str)] = &[
    (
        "[http]\nrequest_timeout = 30",
        "2:19: http.request_timeout: expected a time",
    ),
    ("[http]\nport = 70000", "2:8: http.port: "),
    ("[http]\nops = \"sometimes\"", "2:7: http.ops: "),
    (
        "[http.cors]\ncredentials = true",
        "1:1: http.cors.origins: is required",
    ),
    (
        "[http.cors]\norigins = [\"app.example\"]",
        "2:12: http.cors.origins[0]: ",
    ),
    (
        "[http.websocket]\nping_timeout = \"1s\"",
        "2:16: http.websocket.ping_timeout: ",
    ),
    ("[database]\nurl = \"mysql://x\"", "2:7: database.url: "),
    (
        "[database]\npool = {min = 5, max = 3}",
        "2:15: database.pool.min: is more than `max`",
    ),
    ("[store]\nurl = \"memcached://x\"", "2:7: store.url: "),
    (
        "[store]\ndatabases = {cahce = 1}",
        "2:14: store.databases.cahce: ",
    ),
    ("[cache]\nmulti_tier = \"yes\"", "2:14: cache.multi_tier: "),
    (
        "[cache]\nmulti_tier = false\nl1 = {max_entries = 0}",
        "2:14: cache.multi_tier: ",
    ),
    ("[auth]\nleeway = \"1h\"", "2:10: auth.leeway: "),
    (
        "[auth]\njwks_url = \"https://id.example/jwks\"",
        "2:12: auth.jwks_url: only one of",
    ),
    (
        "[[auth.service_keys]]\nname = \"x\"\nkey = \"short\"",
        "3:7: auth.service_keys[0].key: ",
    ),
    (
        "[rate_limit]\ndefault = \"60 per minute\"",
        "2:11: rate_limit.default: ",
    ),
    (
        "[rate_limit]\ndefault = \"60/min\"\ntiers = {pro = \"lots\"}",
        "3:9: rate_limit.tiers: ",
    ),
    (
        "[health]\nmemory = {degraded = \"2MB\", unhealthy = \"1MB\"}",
        "2:22: health.memory.degraded: ",
    ),
    ("[health]\ntimeout = \"soon\"", "2:11: health.timeout: "),
    ("[metrics]\nprocess = \"always\"", "2:11: metrics.process: "),
    ("[log]\nlevel = \"inof\"", "2:9: log.level: "),
    ("[log]\nredact = [\"*\"]", "2:11: log.redact[0]: "),
    ("[traces]\nratio = 2", "2:9: traces.ratio: "),
    (
        "[traces]\nendpoint = \"collector\"",
        "2:12: traces.endpoint: ",
    ),
    ("[config]\nwatch = 1", "2:9: config.watch: "),
    ("[shutdown]\ntimeout = \"0s\"", "2:11: shutdown.timeout: "),
    ("[sign]\nopens_at = \"late\"", "2:12: sign.opens_at: "),
    (
        "[http]\nrequest_timout = \"30s\"",
        "2:1: http.request_timout: ",
    ),
    ("[databse]\nurl = \"x\"", "1:2: databse: "),
];

#[test]
fn a_mistake_in_any_section_is_one_line_with_its_place() {
    let mut wrong = Vec::new();
    for (text, beginning) in MISTAKES {
        let lines = Setup::new(text).refusal();
        let wanted = format!("config/default.toml:{beginning}");
        if lines.len() != 1 || !lines[0].starts_with(&wanted) {
            wrong.push(format!("{text}\n  wanted {wanted}\n  found  {lines:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_mistake_in_a_variable_names_the_variable() {
    for (name, value, beginning) in [
        (
            "SHOP_HTTP__MAX_BODY",
            "much",
            "SHOP_HTTP__MAX_BODY: http.max_body: ",
        ),
        ("PORT", "x", "PORT: http.port: "),
        ("LOG_LEVEL", "inof", "LOG_LEVEL: log.level: "),
        ("REDIS_URL", "memcached://x", "REDIS_URL: store.url: "),
        ("BASTIDE_ENV", "prod", "BASTIDE_ENV: "),
        (
            "SHOP_HTTP__MAX_BODI",
            "1kB",
            "SHOP_HTTP__MAX_BODI: no setting has this name",
        ),
        (
            "SHOP_SIGN__CLOSES_AT",
            "8",
            "SHOP_SIGN__CLOSES_AT: no setting has this name",
        ),
    ] {
        let lines = Setup::new("").set(name, value).refusal();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with(beginning), "{lines:?}");
    }
}

#[test]
fn all_mistakes_come_at_once_with_those_of_variables() {
    let text = "[http]\nmax_batch = 0\n[cache]\nl1 = {ttl = 60}\n[log]\nformat = \"xml\"\n";
    let lines = Setup::new(text)
        .set("SHOP_HEALTH__TIMEOUT", "soon")
        .refusal();
    let places = [
        "http.max_batch",
        "cache.l1.ttl",
        "log.format",
        "health.timeout",
    ];
    assert_eq!(lines.len(), places.len(), "{lines:?}");
    for place in places {
        assert!(
            lines
                .iter()
                .any(|line| line.contains(&format!(": {place}: "))),
            "{place} {lines:?}"
        );
    }
}

#[test]
fn keys_and_variables_that_nobody_knows_come_at_once() {
    let setup = Setup::new("[sgin]\nx = 1\n[limits]\ny = 2\n");
    let lines = setup.set("SHOP_LIMTS__Z", "3").refusal();
    assert_eq!(lines.len(), 3, "{lines:?}");
}

#[test]
fn no_mistake_shows_a_secret() {
    let setup = Setup::new("[auth]\nsecret = \"hunter2\"\n").set("SHOP_AUTH__SECRET", "");
    let lines = setup
        .set("DATABASE_URL", "mysql://app:hunter3@db/app")
        .refusal();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines.iter().all(|line| !line.contains("hunter")),
        "{lines:?}"
    );
}
