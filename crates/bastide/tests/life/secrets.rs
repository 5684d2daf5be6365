//! What is secret appears nowhere, whatever happens and however much is said.

use std::io::Write as _;
use std::net::TcpListener;

use bastide_testkit::until;
use rustix::process::Signal;
use serde_json::json;

use crate::harness::scene::{KEY, ROLE_PASSWORD, ada, note_wanted, token, with_sessions};
use crate::harness::{Connection, PATIENCE, Plan, Program, call, get};

const USERS_PASSWORD: &str = "6-password-of-a-user";
const SERVICE_KEY: &str = "7-service-key-of-a-trusted-program";
const REDIS_PASSWORD: &str = "8-password-of-the-store";
const FORGED: &str = "9-forged-token.that-is.none";

/// Everything that a program, its commands and its answers have said.
#[derive(Default)]
struct Said(Vec<(String, String)>);

impl Said {
    fn add(&mut self, place: &str, text: impl Into<String>) {
        self.0.push((place.to_owned(), text.into()));
    }

    fn output_of(&mut self, place: &str, program: Program) {
        program.signal(Signal::TERM);
        let ended = program.ended();
        // What is searched has to be there.
        let shown = ["ready", "as authors may show it"];
        assert!(
            shown.iter().all(|text| ended.stdout.contains(text)),
            "{ended:?}"
        );
        self.add(place, ended.stdout);
        self.add(place, ended.stderr);
    }

    fn run(&mut self, place: &str, plan: &Plan, arguments: &[&str]) {
        let ended = plan.run(arguments);
        assert!(
            !ended.stdout.is_empty() || !ended.stderr.is_empty(),
            "{place}"
        );
        self.add(place, ended.stdout);
        self.add(place, ended.stderr);
    }

    fn call(&mut self, program: &Program, method: &str, token: &str, input: &str) -> u16 {
        let answer = call(program.address(), method, token, input).unwrap();
        self.add(method, answer.head);
        self.add(method, answer.body);
        answer.status
    }

    #[track_caller]
    fn has_none_of(&self, secrets: &[&str]) {
        for secret in secrets {
            for (place, text) in &self.0 {
                let line = text.lines().find(|line| line.contains(secret));
                assert!(line.is_none(), "{place} has {secret}: {line:?}");
            }
        }
    }
}

#[test]
fn s02_no_secret_is_said_by_log_metrics_commands_or_errors() {
    let (mut postgres, mut redis, plan) = with_sessions();
    let key = json!([{"name": "billing", "key": SERVICE_KEY, "tenant": "any"}]);
    std::fs::create_dir(plan.folder().join("config")).unwrap();
    let file = json!({"auth": {"service_keys": key}}).to_string();
    std::fs::write(plan.folder().join("config/default.json"), file).unwrap();
    let mut said = Said::default();
    for (level, format) in [("debug", "json"), ("trace", "pretty")] {
        let plan = plan.clone_with("LOG_LEVEL", level);
        let json_plan = plan.clone_with("PROBE_LOG__FORMAT", "json");
        let program = json_plan.ready();
        let user = ada(USERS_PASSWORD).to_string();
        said.call(&program, "auth@1.0.0/register", "", &user);
        let tokens = call(program.address(), "auth@1.0.0/login", "", &user).unwrap();
        assert_eq!(tokens.status, 200, "{tokens:?}");
        let text = |name: &str| tokens.json()[name].as_str().unwrap().to_owned();
        let (access, refresh) = (text("access_token"), text("refresh_token"));
        let password = json!({"password": USERS_PASSWORD}).to_string();
        let sign = "work@1.0.0/sign";
        assert_eq!(said.call(&program, sign, &access, &password), 200);
        assert_eq!(said.call(&program, sign, FORGED, &password), 401);
        assert_eq!(said.call(&program, sign, SERVICE_KEY, &password), 401);
        // Not what the method wants, in several ways.
        let wrong = json!({"password": {"is": USERS_PASSWORD}}).to_string();
        assert_eq!(said.call(&program, sign, &access, &wrong), 400);
        let wrong = ada(USERS_PASSWORD).to_string();
        said.call(&program, "auth@1.0.0/logout", &access, &wrong);
        said.call(
            &program,
            "auth@1.0.0/login",
            "",
            &json!({"password": [USERS_PASSWORD]}).to_string(),
        );
        said.call(
            &program,
            "auth@1.0.0/refresh",
            "",
            &json!({"refresh_token": format!("{refresh}x")}).to_string(),
        );
        let mut broken = Connection::open(program.address()).unwrap();
        broken
            .send_raw(
                format!("GET /{FORGED} HTTP/1.1\r\nAuthorization {access}\r\n\r\n").as_bytes(),
            )
            .unwrap();
        said.add("a broken request", format!("{:?}", broken.receive()));
        postgres.stop();
        assert_eq!(
            said.call(&program, "notes@1.0.0/look", &access, &note_wanted(1)),
            503
        );
        assert!(until(PATIENCE, || get(program.ops(), "/readyz")
            .unwrap()
            .status
            == 503));
        redis.kill();
        assert_eq!(said.call(&program, sign, &access, &password), 503);
        for path in ["/metrics", "/readyz", "/healthz"] {
            said.add(path, get(program.ops(), path).unwrap().body);
        }
        said.add(
            "/openapi.json",
            get(program.address(), "/openapi.json").unwrap().body,
        );
        postgres.restart().unwrap();
        redis.restart().unwrap();
        said.output_of("the log", program);
        for arguments in [
            &["config"][..],
            &["describe"],
            &["routes"],
            &["routes", "--json"],
            &["openapi"],
            &["db", "status"],
        ] {
            said.run(&arguments.join(" "), &plan, arguments);
        }
        // For people: the same in another form, and the ways in which a start fails.
        let plan = plan.clone_with("PROBE_LOG__FORMAT", format);
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        said.run("a taken port", &plan.clone_with("PORT", &port), &[]);
        let wrong = format!(
            "postgres://app:{USERS_PASSWORD}@127.0.0.1:{}/nowhere",
            postgres.port()
        );
        said.run("no database", &plan.clone_with("DATABASE_URL", &wrong), &[]);
        let wrong = format!(
            "postgres://nobody:{USERS_PASSWORD}@127.0.0.1:{}/postgres",
            postgres.port()
        );
        said.run("no role", &plan.clone_with("DATABASE_URL", &wrong), &[]);
        let wrong = format!("postgres://app:{USERS_PASSWORD}@127.0.0.1:port/postgres");
        said.run("no URL", &plan.clone_with("DATABASE_URL", &wrong), &[]);
        let wrong = format!("mysql://app:{USERS_PASSWORD}@127.0.0.1/postgres");
        said.run("no Postgres", &plan.clone_with("DATABASE_URL", &wrong), &[]);
        let wrong = format!("redis://:{REDIS_PASSWORD}@127.0.0.1:99999");
        said.run("no store's URL", &plan.clone_with("REDIS_URL", &wrong), &[]);
        said.run(
            "an unknown key",
            &plan.clone_with("PROBE_AUTH__SECERT", USERS_PASSWORD),
            &[],
        );
        said.run(
            "a short key",
            &plan.clone_with("PROBE_AUTH__SECRET", &USERS_PASSWORD[..8]),
            &[],
        );
        let secrets = [
            ROLE_PASSWORD,
            KEY,
            USERS_PASSWORD,
            SERVICE_KEY,
            REDIS_PASSWORD,
            FORGED,
            &access,
            &refresh,
        ];
        said.has_none_of(&secrets);
    }
}

#[test]
fn s02_the_log_for_people_has_no_secret_either() {
    let plan = Plan::new()
        .with("LOG_LEVEL", "trace")
        .with("PROBE_AUTH__SECRET", KEY);
    let token = token(&plan);
    let plan = plan.with("PROBE_LOG__FORMAT", "pretty").with("PORT", "0");
    let socket = plan.folder().join("socket");
    let program = plan
        .with("PROBE_HTTP__SOCKET", socket.display().to_string())
        .start();
    assert!(until(PATIENCE, || std::os::unix::net::UnixStream::connect(
        &socket
    )
    .is_ok()));
    let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    let input = json!({"password": USERS_PASSWORD}).to_string();
    let request = format!(
        "POST /rpc/work@1.0.0/sign HTTP/1.1\r\nHost: probe\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{input}",
        input.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(until(PATIENCE, || program.stdout().contains("signing")));
    let mut said = Said::default();
    said.output_of("the log", program);
    said.has_none_of(&[KEY, USERS_PASSWORD, &token]);
}
