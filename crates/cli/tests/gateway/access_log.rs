//! G13: the access log, and what no log may ever hold.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use bastide_testkit::{Postgres, TestFolder};
use serde_json::{Value, json};

use crate::harness::gateway::addresses;
use crate::harness::program::Program;
use crate::harness::redis_client;
use crate::harness::*;

/// A gateway that writes its access log.
fn logging(backend: Backend) -> Options {
    Options::new(backend).arg("--access-log", "json")
}

/// The access lines so far. Lines that are not whole yet are left out.
fn lines(gateway: &Gateway) -> Vec<Value> {
    gateway
        .stdout()
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n') && line.contains("\"target\":\"access\""))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Waits for the line of the request with this id.
#[track_caller]
fn line(gateway: &Gateway, request_id: &str) -> Value {
    let mut found = None;
    eventually("the request is logged", || {
        found = lines(gateway)
            .into_iter()
            .find(|line| line["request_id"] == request_id);
        found.is_some()
    });
    found.unwrap()
}

on_both! {
    fn g13_every_request_has_a_line(backend) {
        let gateway = Gateway::start(logging(backend));
        let upstream = Upstream::named("hello");
        let tenant = gateway.tenant("acme");
        let route = gateway.prefix_route(&tenant, "/api", &[&upstream], Value::Null);
        let request = Request::post("/api/things?token=in-the-query", "body")
            .key(&tenant.key)
            .header("X-Request-Id", "the-first-request");
        let response = gateway.call(&request).expect(200);
        let line = line(&gateway, "the-first-request");
        let expected = [
            ("level", json!("info")),
            ("client_ip", json!("127.0.0.1")),
            ("method", json!("POST")),
            ("path", json!("/api/things")),
            ("status_code", json!(200)),
            ("bytes_received", json!(request.bytes().len())),
            ("tenant_id", json!(tenant.id)),
            ("route", json!(route)),
            ("upstream", json!(upstream.url())),
            ("retries", json!(0)),
        ];
        for (member, value) in expected {
            assert_eq!(line[member], value, "{member} in {line}");
        }
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
        assert!(line["duration_ms"].as_f64().unwrap() > 0.0, "{line}");
        assert!(line["bytes_sent"].as_u64().unwrap() > response.body.len() as u64, "{line}");
        assert!(line.get("refusal").is_none(), "{line}");
        assert!(!gateway.stdout().contains("in-the-query"));
        assert_eq!(lines(&gateway).len(), 1, "the Admin API has its audit log");
    }

    fn g13_a_refused_request_is_logged_with_its_code(backend) {
        let gateway = Gateway::start(logging(backend));
        let tenant = gateway.tenant("acme");
        let mut dead = Upstream::named("dead");
        dead.stop();
        let fallback = json!({ "resilience": { "fallback": { "statusCode": 200, "body": "sorry" } } });
        let rescued = gateway.prefix_route(&tenant, "/rescued", &[&dead], fallback);
        gateway.prefix_route(&tenant, "/dead", &[&dead], Value::Null);
        let cases = [
            ("/nowhere", &tenant.key, 404, "no_route"),
            ("/nowhere", &"no-key-of-anybody".to_owned(), 403, "api_key_invalid"),
            ("/dead", &tenant.key, 502, "upstream_unreachable"),
            ("/rescued", &tenant.key, 200, "upstream_unreachable"),
            ("/a/%2e%2e/b?x=1", &tenant.key, 400, "path_dot_segment"),
        ];
        for (number, (path, key, status, code)) in cases.into_iter().enumerate() {
            let id = format!("request-{number}");
            let request = Request::get(path).key(key).header("X-Request-Id", &id);
            gateway.call(&request).expect(status);
            let line = line(&gateway, &id);
            assert_eq!(line["refusal"], code, "{line}");
            assert_eq!(line["status_code"], status, "{line}");
            assert_eq!(line["path"], path.split('?').next().unwrap(), "{line}");
            let knows_tenant = !matches!(status, 400 | 403);
            assert_eq!(line.get("tenant_id").is_some(), knows_tenant, "{line}");
            if path == "/rescued" {
                assert_eq!((&line["route"], &line["upstream"]), (&json!(rescued), &json!(dead.url())));
            }
        }
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
        assert_eq!(client.read(false).status, 400);
        eventually("bytes that are no request are logged as well", || {
            lines(&gateway).iter().any(|line| {
                line["status_code"] == 400 && line.get("path").is_none() && line["refusal"].is_string()
            })
        });
    }

    fn g13_a_line_tells_of_retries_and_of_the_last_upstream(backend) {
        let gateway = Gateway::start(logging(backend));
        let (sick, well) = (Upstream::status(503), Upstream::named("well"));
        let tenant = gateway.tenant("acme");
        let retry = json!({ "resilience": { "retry": { "maxRetries": 1, "baseDelayMs": 1, "maxDelayMs": 2 } } });
        gateway.prefix_route(&tenant, "/", &[&sick, &well], retry);
        let request = Request::get("/").key(&tenant.key).header("X-Request-Id", "tried-twice");
        gateway.call(&request).expect(200);
        let line = line(&gateway, "tried-twice");
        assert_eq!((&line["retries"], &line["upstream"]), (&json!(1), &json!(well.url())));
    }

    /// A client that a trusted proxy names is the client; anybody else's word on it counts for nothing.
    fn g13_the_client_is_whom_trusted_proxies_name(backend) {
        for (trusted, client) in [("127.0.0.0/8", "198.51.100.7"), ("10.0.0.0/8", "127.0.0.1")] {
            let options = logging(backend).arg("--trusted-proxies", trusted);
            let gateway = Gateway::start(options);
            let request = Request::get("/")
                .header("X-Forwarded-For", "203.0.113.9, 198.51.100.7")
                .header("X-Request-Id", "from-somewhere");
            gateway.call(&request).expect(401);
            assert_eq!(line(&gateway, "from-somewhere")["client_ip"], client);
        }
    }
}

#[test]
fn g13_the_access_log_is_off_unless_it_is_asked_for() {
    for options in [
        Options::new(Backend::Embedded),
        Options::new(Backend::Embedded).env("ACCESS_LOG", "off"),
    ] {
        let mut gateway = Gateway::start(options);
        gateway.call(&Request::get("/")).expect(401);
        // Everything is written when it has ended.
        gateway.terminate();
        assert!(gateway.wait().success());
        assert!(lines(&gateway).is_empty());
    }
    let mut gateway = Gateway::start(Options::new(Backend::Embedded).env("ACCESS_LOG", "json"));
    gateway.call(&Request::get("/")).expect(401);
    gateway.terminate();
    assert!(gateway.wait().success());
    assert_eq!(lines(&gateway).len(), 1);
}

#[test]
fn g13_a_wrong_format_of_the_access_log_stops_the_start() {
    let folder = TestFolder::new().unwrap();
    let ended = Program::run(&["gateway", "--access-log", "xml"], &[], folder.path());
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended.stderr.starts_with("bastide: --access-log: ") && ended.stderr.contains("json"),
        "{ended:?}"
    );
}

/// Keys, credentials and passwords, the right ones and the wrong ones, stay out of everything that a gateway in production
/// prints, however much it logs and whatever goes wrong.
#[test]
fn g13_no_log_in_production_holds_a_secret() {
    let mut postgres = Postgres::start().unwrap();
    let database = postgres
        .url()
        .replace("postgres@", "postgres:secret-database@");
    let options = Options::over(std::sync::Arc::new(Stores::redis_only()));
    let redis = options.stores().redis_url().unwrap();
    let port = options.stores().redis().port();
    let protect = ["CONFIG", "SET", "requirepass", "secret-redis"];
    assert_eq!(redis_client::ask(port, &protect), "+OK");
    let redis = redis.replace("redis://", "redis://:secret-redis@");
    let admin_key = "secret-admin-key-0123456789";
    let env = [
        ("BASTIDE_ENV", "production"),
        ("ADMIN_API_KEY", admin_key),
        ("BASTIDE_KEY_PEPPER", "secret-pepper-0123456789"),
        ("DATABASE_URL", &database),
        ("REDIS_URL", &redis),
        ("LOG_LEVEL", "trace"),
        ("ACCESS_LOG", "json"),
        ("DRAIN_DELAY", "0s"),
    ];
    let folder = options.folder();
    let migrated = Program::run(&["gateway", "migrate"], &env, &folder);
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    let options = env
        .iter()
        .fold(options, |options, (name, value)| options.env(name, value));
    let mut gateway = Gateway::start(options);

    let admin = |method: &str, path: &str, key: &str, body: &str| {
        let request = Request::new(method, path)
            .header("X-Admin-Key", key)
            .header("Content-Type", "application/json")
            .body(body);
        gateway.call_admin(&request)
    };
    let upstream = Upstream::start(|request| match request.path() {
        "/malformed" => Answer::raw_and_close("secret-answer\r\n\r\n"),
        _ => Answer::text("a").header("Set-Cookie", "session=secret-session"),
    });
    let tenant = r#"{"name":"acme","apiKey":"secret-api-key-0123456789"}"#;
    admin("POST", "/admin/tenants", admin_key, tenant).expect(201);
    let route = json!({ "method": "*", "path": "/", "pathType": "prefix", "upstreams": [{ "url": upstream.url() }] });
    admin("POST", "/admin/routes", admin_key, &route.to_string()).expect(201);
    // Keys that are wrong may be right but for one letter.
    admin("GET", "/admin/tenants", "secret-guess-at-admin", "").expect(401);
    admin(
        "POST",
        "/admin/tenants",
        admin_key,
        r#"{"apiKey":"secret-in-broken-json"#,
    )
    .expect(400);
    admin(
        "POST",
        "/admin/tenants",
        admin_key,
        r#"{"name":7,"apiKey":"secret-in-refused-json"}"#,
    )
    .expect(400);
    admin(
        "GET",
        "/admin/tenants?key=secret-in-admin-query",
        admin_key,
        "",
    )
    .expect(400);

    let key = "secret-api-key-0123456789";
    eventually("the tenant is served", || {
        gateway.get("/", key).status == 200
    });
    let request = |path: &str| {
        Request::get(path)
            .key(key)
            .header("Authorization", "Bearer secret-bearer")
            .header("Cookie", "session=secret-cookie")
    };
    gateway
        .call(&request("/?api_key=secret-in-query"))
        .expect(200);
    gateway
        .call(&request("/files;api_key=secret-in-path/x"))
        .expect(200);
    gateway.call(&request("/malformed")).expect(502);
    gateway
        .call(&request("/a/%2e%2e/b?token=secret-in-bad-target"))
        .expect(400);
    gateway.get("/", "secret-guess-at-key").expect(403);
    for broken in [
        "GET / HTTP/1.1\r\nHost: a\r\nX-API-Key : secret-in-broken-head\r\n\r\n",
        "GET http://secret-user:secret-in-authority@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "secret-instead-of-http\r\n\r\n",
    ] {
        let mut client = gateway.connect();
        client.send(broken);
        assert_eq!(client.read(false).status, 400, "{broken}");
    }

    // What is lost is spoken of, without its password.
    gateway.stores().redis().kill();
    postgres.kill();
    eventually("the loss is seen", || {
        let ready = gateway.call(&Request::get("/ready")).text();
        ready.matches("unhealthy").count() == 2
    });
    admin(
        "POST",
        "/admin/tenants",
        admin_key,
        r#"{"name":"other","apiKey":"secret-in-vain"}"#,
    );
    gateway.get("/", key).expect(200);
    let program = [gateway.get("/ready", key).text(), gateway.metrics()].concat();
    gateway.terminate();
    assert!(gateway.wait().success());
    let log = gateway.stdout();

    let requests = lines(&gateway);

    // Who cannot connect says why.
    let elsewhere = TestFolder::new().unwrap();
    let failed = Program::run(&["gateway", "migrate"], &env, elsewhere.path());
    assert!(
        failed.code == Some(1) && failed.stderr.contains("is unavailable"),
        "{failed:?}"
    );
    let all = [
        log.as_str(),
        &program,
        &failed.stdout,
        &failed.stderr,
        &migrated.stdout,
        &migrated.stderr,
    ];
    for text in all {
        for line in text.lines() {
            assert!(!line.contains("secret-"), "{line}");
        }
    }
    assert!(requests.len() >= 10, "{}", requests.len());
    let (log, announced): (Vec<&str>, Vec<&str>) =
        log.lines().partition(|line| line.starts_with('{'));
    assert!(log.len() > requests.len(), "trace says more than that");
    for line in log {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
    assert_eq!(announced.len(), 1, "{announced:?}");
}

/// A gateway whose standard output nobody reads on.
struct Unread {
    child: Child,
    _stdout: BufReader<ChildStdout>,
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// When standard output takes nothing any more, requests are served as before, and the lost lines are counted.
#[test]
fn g13_a_full_log_loses_lines_and_no_requests() {
    let folder = TestFolder::new().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_bastide"))
        .args(["gateway", "--access-log", "json", "--workers", "1"])
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .env_clear()
        .env("ADMIN_API_KEY", ADMIN_KEY)
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut announced = String::new();
    while addresses(&announced).is_none() {
        assert!(stdout.read_line(&mut announced).unwrap() > 0, "{announced}");
    }
    let (public, admin) = addresses(&announced).unwrap();
    let _gateway = Unread {
        child,
        _stdout: stdout,
    };
    let dropped = || {
        let metrics = Client::connect(admin)
            .call(&Request::get("/metrics"))
            .expect(200)
            .text();
        let line = metrics
            .lines()
            .find(|line| line.starts_with("gateway_log_lines_dropped_total "))
            .expect("the counter is there from the start");
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!(dropped() < 1.0);
    // More than the pipe, the writer and the worker's buffer hold together.
    let request = Request::get(&format!("/{}", "x".repeat(6_000)));
    let mut client = Client::connect(public);
    for _ in 0..600 {
        client.call(&request).expect(401);
    }
    assert!(dropped() >= 1.0);
}
