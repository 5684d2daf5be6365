//! A program in a test: its callers, its clock, its settings, its start and its end.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bastide::prelude::*;
use bastide::testing::{TestApp, TestAppBuilder};
use serde_json::{Value, json};

use crate::notes::{self, Folder, KEPT, Note, PROGRAM};

async fn a_note(app: &TestApp, tenant: &str) -> Note {
    let writer = app.as_tenant(tenant).role("writer");
    let input = json!({"name": tenant});
    let folder: Folder = writer.call("notes/create_folder", input).await.unwrap();
    let input = json!({"folder_id": folder.id, "text": "hello"});
    writer.call("notes@1.0.0/write", input).await.unwrap()
}

async fn callers_are_told_apart(builder: TestAppBuilder) {
    let app = builder.service_key("import", &["writer"]);
    let app = app.start(notes::main).await.unwrap();
    let note = a_note(&app, "acme").await;
    let find = json!({"id": note.id});
    let found: Option<Note> = app.acme().call("notes/find", &find).await.unwrap();
    assert_eq!(found.as_ref(), Some(&note));
    let found: Option<Note> = app.globex().call("notes/find", &find).await.unwrap();
    assert_eq!(found, None);

    let refused = app.acme().call::<u64>("notes/count", json!({})).await;
    assert_eq!(refused.unwrap_err(), "role_required");
    let auditor = app.acme().user("ada").role("auditor");
    assert_eq!(auditor.call::<u64>("notes/count", json!({})).await, Ok(1));
    for nobody in [app.as_stranger(), app.with_token("not a token")] {
        let refused = nobody.call::<Value>("notes/find", &find).await;
        assert_eq!(refused.unwrap_err().status, 401);
    }
    let refused = app.as_user("ada").call::<Value>("notes/find", &find).await;
    assert_eq!(refused.unwrap_err(), "tenant_required");

    let service = app.service("testing", "acme");
    let found: Option<Note> = service.call("notes/find", &find).await.unwrap();
    assert_eq!(found, Some(note));
    let refused = service
        .call::<Value>("notes/create_folder", json!({"name": "x"}))
        .await;
    assert_eq!(refused.unwrap_err(), "role_required");
    let import = app.service("import", "globex");
    let made = import
        .call::<Folder>("notes/create_folder", json!({"name": "x"}))
        .await;
    assert_eq!(made.unwrap().name, "x");

    // The operator's endpoints and own paths are there as in production.
    let reply = app.acme().get("/notes?search=hel").await;
    assert_eq!(
        (reply.status, reply.json()[0]["text"].clone()),
        (200, json!("hello"))
    );
    assert_eq!(app.as_stranger().get("/readyz").await.status, 200);
    assert_eq!(
        app.acme().get("/nothing").await.refusal().unwrap().status,
        404
    );
    app.stop().await.unwrap();
}

#[tokio::test]
async fn s21_callers_are_told_apart_on_embedded_stores() {
    callers_are_told_apart(TestApp::builder()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s21_callers_are_told_apart_on_servers() {
    callers_are_told_apart(TestApp::builder().postgres().redis()).await;
}

#[tokio::test]
async fn s21_the_test_moves_the_clock_of_tokens_and_of_kept_outputs() {
    let app = TestApp::start(notes::main).await.unwrap();
    let note = a_note(&app, "acme").await;
    let find = json!({"id": note.id});
    let token = app.acme().token().await;
    let holder = app.with_token(token);
    let found = async || holder.call::<Option<Note>>("notes/find", &find).await;
    assert_eq!(found().await, Ok(Some(note.clone())));

    let writer = app.acme().role("writer");
    writer.call::<()>("notes/remove", &find).await.unwrap();
    assert_eq!(found().await, Ok(Some(note)), "it is kept");
    app.advance(KEPT);
    assert_eq!(found().await, Ok(None), "for a minute");
    let before = app.now();
    app.advance(Duration::from_mins(20));
    assert_eq!(app.now(), before + Duration::from_mins(20));
    assert_eq!(
        found().await.unwrap_err().status,
        401,
        "the token's time is over"
    );
    let anew = app.acme().call::<Option<Note>>("notes/find", &find).await;
    assert_eq!(anew, Ok(None), "a new token is of the time now");
}

#[tokio::test]
async fn s21_sessions_and_binding_are_checked_as_configured() {
    let folder = bastide_testkit::TestFolder::new().unwrap();
    fs::create_dir(folder.path().join("config")).unwrap();
    let text = "[auth]\nissuer = \"https://auth.example\"\naudience = \"notes\"\njwks_url = \"https://auth.example/keys\"\n\
                binding_secret = \"a secret of at least thirty-two bytes\"\nsessions = {enabled = true}\n";
    fs::write(folder.path().join("config/default.toml"), text).unwrap();
    let app = TestApp::builder().folder(folder.path());
    let app = app.start(notes::main).await.unwrap();
    let listed = app.acme().call::<Vec<Note>>("notes/list", json!({})).await;
    assert_eq!(listed, Ok(Vec::new()));
}

#[tokio::test]
async fn s21_settings_are_the_tests_own() {
    let limited = TestApp::builder().set("rate_limit.default", "1/min");
    let limited = limited.set("http.openapi", "false");
    let app = limited.start(clock_program).await.unwrap();
    assert_eq!(app.as_stranger().get("/openapi.json").await.status, 404);
    assert!(
        app.acme()
            .call::<String>("clock/now", json!({}))
            .await
            .is_ok()
    );
    let refused = app.acme().call::<String>("clock/now", json!({})).await;
    assert_eq!(refused.unwrap_err(), "rate_limited");

    for (name, reason) in [
        ("database.url", "`postgres()`"),
        ("store.url", "`redis()`"),
        ("auth.secret", "the kit's key"),
        ("cache.l1.ttl", "the clock's sake"),
    ] {
        let refused = TestApp::builder().set(name, "x").start(notes::main).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(reason), "{error}");
    }
    let refused = TestApp::builder().set("rate_limit.defualt", "1/min");
    let error = refused.start(notes::main).await.unwrap_err().to_string();
    assert!(error.contains("DEFUALT"), "{error}");
}

/// With a service that tells the program's time.
fn clock_program() -> ExitCode {
    bastide::launch(PROGRAM, async |app| {
        let time = Time(app.clock());
        app.service(time).run().await
    })
}

struct Time(bastide::auth::Clock);

#[service(name = "clock", version = "1.0.0")]
impl Time {
    /// What time it is.
    #[rpc(auth)]
    async fn now(&self, _cx: &Cx) -> Result<String, Problem> {
        Ok(self.0.now().to_string())
    }
}

#[tokio::test]
async fn s21_the_programs_own_code_has_the_tests_clock() {
    let app = TestApp::builder().set("rate_limit.enabled", "false");
    let app = app.start(clock_program).await.unwrap();
    app.advance(Duration::from_hours(1_000));
    let told: String = app.acme().call("clock/now", json!({})).await.unwrap();
    assert_eq!(told, app.now().to_string());
}

#[tokio::test]
async fn s21_a_socket_answers_the_same() {
    let app = TestApp::builder()
        .listen()
        .start(notes::main)
        .await
        .unwrap();
    let address = app.url().replace("http://", "");
    let token = app.acme().token().await;
    let exchange = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let request = format!(
            "GET /notes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = tokio::task::spawn_blocking(exchange).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("[]"), "{answer}");
}

#[tokio::test]
async fn s21_hooks_run_and_what_goes_wrong_is_told() {
    let steps = Arc::new(AtomicU32::new(0));
    let seen = steps.clone();
    let program = move || {
        let (first, last) = (seen.clone(), seen.clone());
        bastide::launch(PROGRAM, async |app| {
            app.warm_up("first", async move || {
                first.store(1, Ordering::SeqCst);
                Ok::<_, std::io::Error>(())
            })
            .wind_down("last", async move || {
                last.store(2, Ordering::SeqCst);
                Err(std::io::Error::other("the buffer is gone"))
            })
            .run()
            .await
        })
    };
    let app = TestApp::start(program).await.unwrap();
    assert_eq!(steps.load(Ordering::SeqCst), 1);
    let ended = format!("{:#}", app.stop().await.unwrap_err());
    assert_eq!(ended, "winding down: last: the buffer is gone");
    assert_eq!(steps.load(Ordering::SeqCst), 2);

    let failing = || {
        bastide::launch(PROGRAM, async |app| {
            app.warm_up("model", async || {
                Err(std::io::Error::other("there is none"))
            })
            .run()
            .await
        })
    };
    let error = format!("{:#}", TestApp::start(failing).await.unwrap_err());
    assert_eq!(error, "warming up: model: there is none");
    let early = || bastide::launch(PROGRAM, async |_| Ok::<_, std::io::Error>(()));
    let error = TestApp::start(early).await.unwrap_err().to_string();
    assert!(error.contains("`app.run().await`"), "{error}");
    let other = TestApp::start(|| ExitCode::SUCCESS).await;
    let error = other.unwrap_err().to_string();
    assert!(error.contains("never came to `bastide::launch`"), "{error}");
}

#[test]
fn s21_a_build_of_a_program_has_nothing_of_the_kit() {
    let tree = |edges: &str| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["tree", "--offline", "-p", "quickstart", "--edges", edges]);
        let output = cargo.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!tree("normal,build").contains("bastide-testkit"));
    assert!(tree("normal,build,dev").contains("bastide-testkit"));
}

#[test]
fn s21_no_variable_of_the_process_leads_a_test_elsewhere() {
    let mut again = Command::new(std::env::current_exe().unwrap());
    let test = "test_app::s21_callers_are_told_apart_on_embedded_stores";
    again
        .args(["--exact", test])
        .env("BASTIDE_ENV", "production");
    for name in ["DATABASE_URL", "NOTES_DATABASE__URL", "REDIS_URL"] {
        again.env(name, "postgres://nobody@127.0.0.1:1/nothing");
    }
    let output = again.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}
