//! Every way in times every rule: the verdicts are the same, and what is refused never reaches the method's code.

use std::time::Duration;

use bastide_auth::{Clock, SessionId};
use bastide_rpc::{HttpOptions, Server};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::connections::{Client, verdict};
use crate::sockets::send_over;
use crate::support::{App, NOW, Reply, SERVICE_KEY, app, app_of, item, post, request};
use crate::webhooks::{hooks, signed};

/// The ways in which a method is called.
#[derive(Debug, Clone, Copy)]
enum Way {
    Rpc,
    Batch,
    Path,
    /// A frame of a WebSocket.
    Socket,
    /// The method's twin that gives a stream, as server-sent events.
    Events,
    /// The same over a WebSocket.
    SocketEvents,
    /// A route under the same policy.
    Own,
    /// RPC over a Unix socket, a real one.
    Unix,
}

const WAYS: [Way; 8] = [
    Way::Rpc,
    Way::Batch,
    Way::Path,
    Way::Socket,
    Way::Events,
    Way::SocketEvents,
    Way::Own,
    Way::Unix,
];

/// A method, the one that gives a stream under the same rules, the input of both, where the method is found by a path of its
/// own, and the route that is like it.
struct Target {
    method: &'static str,
    stream: &'static str,
    input: Value,
    path: (&'static str, &'static str),
    own: (&'static str, &'static str),
}

fn find(id: &Value) -> Target {
    Target {
        method: "users@1.2.0/find",
        stream: "feeds@1.0.0/follow",
        input: json!({"id": id}),
        path: ("GET", "/users/7"),
        own: ("GET", "/own/find"),
    }
}

fn remove() -> Target {
    Target {
        method: "users@1.2.0/remove",
        stream: "feeds@1.0.0/audit",
        input: json!({"id": 7}),
        path: ("DELETE", "/users/7"),
        own: ("DELETE", "/own/remove"),
    }
}

fn slow() -> Target {
    Target {
        method: "users@1.2.0/slow",
        stream: "feeds@1.0.0/hesitate",
        input: json!({}),
        path: ("POST", "/users/slow"),
        own: ("POST", "/own/slow"),
    }
}

impl Way {
    /// The verdict, and how often code behind an entry ran.
    async fn call(self, app: App, target: &Target, token: Option<&str>) -> ((u16, String), u32) {
        let ran = app.ran.clone();
        let verdict = Box::pin(self.verdict(app, target, token)).await;
        (verdict, ran.get())
    }

    async fn verdict(self, app: App, target: &Target, token: Option<&str>) -> (u16, String) {
        let Target {
            method,
            stream,
            input,
            path: (verb, path),
            own,
        } = target;
        match self {
            Self::Rpc => app.rpc(method, token, input.clone()).await.verdict(),
            Self::Events => app.rpc(stream, token, input.clone()).await.verdict(),
            Self::Batch => {
                let batch = json!([item(method, input)]);
                let reply = app.send(post("/rpc", token, &batch)).await;
                assert_eq!(reply.status, 200, "{reply:?}");
                last_frame(&reply.json[0])
            }
            Self::Path => app
                .send(request(verb, path, token, bytes::Bytes::new()))
                .await
                .verdict(),
            Self::Own => {
                let body = match own.0 {
                    "POST" => input.to_string().into(),
                    _ => bytes::Bytes::new(),
                };
                app.send(request(own.0, own.1, token, body)).await.verdict()
            }
            Self::Unix => {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("app.sock");
                let mut server = Server::new(app.entry);
                server.listen_unix(&path).unwrap();
                let connection = UnixStream::connect(&path).await.unwrap();
                let request = post(&format!("/rpc/{method}"), token, input);
                send_over(connection, request).await.verdict()
            }
            Self::Socket => {
                let mut client = Client::open(app.entry, token).await;
                client.call(1, method, input.clone()).await;
                last_frame(&client.hear().await)
            }
            Self::SocketEvents => {
                let mut client = Client::open(app.entry, token).await;
                client.call(1, stream, input.clone()).await;
                let mut frame = client.hear().await;
                let mut items = 0;
                while !frame["item"].is_null() {
                    items += 1;
                    frame = client.hear().await;
                }
                if items > 0 {
                    assert_eq!((items, &frame), (2, &json!({"id": 1, "end": true})));
                    frame = json!({"status": 200});
                }
                last_frame(&frame)
            }
        }
    }
}

fn last_frame(frame: &Value) -> (u16, String) {
    let (_, status, code) = verdict(frame);
    (status as u16, code.to_owned())
}

/// Every way gives this verdict, and the code behind runs as often as the verdict says.
async fn every_way_gives(
    scene: impl AsyncFn() -> (App, Option<String>),
    target: Target,
    status: u16,
    code: &str,
) {
    for way in WAYS {
        let (app, token) = scene().await;
        let (verdict, ran) = way.call(app, &target, token.as_deref()).await;
        assert_eq!(verdict, (status, code.to_owned()), "{way:?}");
        assert_eq!(ran, u32::from(status == 200), "{way:?}");
    }
}

/// A fresh application, and a token made by it.
async fn with(token: impl AsyncFn(&App) -> Option<String>) -> (App, Option<String>) {
    let app = app();
    let token = token(&app).await;
    (app, token)
}

#[tokio::test]
async fn s10_who_may_is_let_in() {
    every_way_gives(
        async || with(async |app| Some(app.ada().await)).await,
        find(&json!(7)),
        200,
        "",
    )
    .await;
}

#[tokio::test]
async fn s10_no_token() {
    every_way_gives(
        async || with(async |_| None).await,
        find(&json!(7)),
        401,
        "token_missing",
    )
    .await;
}

#[tokio::test]
async fn s10_bad_token() {
    let scene = async || with(async |app| Some(format!("{}x", app.ada().await))).await;
    every_way_gives(scene, find(&json!(7)), 401, "token_invalid").await;
    let scene = async || with(async |_| Some("eyJhbGciOiJub25lIn0.e30.".to_owned())).await;
    every_way_gives(scene, find(&json!(7)), 401, "token_invalid").await;
}

#[tokio::test]
async fn s10_expired_token() {
    let scene = async || {
        with(async |app| {
            let token = app.ada().await;
            app.time.advance(Duration::from_mins(16));
            Some(token)
        })
        .await
    };
    every_way_gives(scene, find(&json!(7)), 401, "token_expired").await;
}

#[tokio::test]
async fn s10_revoked_session() {
    let scene = async || {
        with(async |app| {
            let token = app.ada().await;
            app.sessions
                .revoke(&SessionId::parse("s-ada").unwrap())
                .await
                .unwrap();
            Some(token)
        })
        .await
    };
    every_way_gives(scene, find(&json!(7)), 401, "session_revoked").await;
}

#[tokio::test]
async fn s10_wrong_binding() {
    let scene = async || {
        with(async |app| {
            app.ada().await;
            let id = SessionId::parse("s-ada").unwrap();
            // The session is refreshed: its active refresh token is another one.
            let bastide_auth::Found::Active(before) = app.sessions.find(&id).await.unwrap() else {
                panic!("the session is under way");
            };
            let token = app.ada().await;
            let mut after = before.clone();
            after.refresh = "r-2".to_owned();
            assert!(app.sessions.replace(&id, &before, &after).await.unwrap());
            Some(token)
        })
        .await
    };
    every_way_gives(scene, find(&json!(7)), 401, "token_superseded").await;
}

#[tokio::test]
async fn s10_wrong_role() {
    every_way_gives(
        async || with(async |app| Some(app.ada().await)).await,
        remove(),
        403,
        "role_required",
    )
    .await;
    let admin = async || {
        with(async |app| {
            Some(
                app.token("root", |claims| claims.tenant("acme").role("admin"))
                    .await,
            )
        })
        .await
    };
    every_way_gives(admin, remove(), 200, "").await;
}

#[tokio::test]
async fn s10_a_service_key() {
    let shows = |key: &str| {
        let key = key.to_owned();
        async move || with(async |_| Some(key.clone())).await
    };
    every_way_gives(shows(SERVICE_KEY), find(&json!(7)), 200, "").await;
    every_way_gives(shows(SERVICE_KEY), remove(), 403, "role_required").await;
    let wrong = format!("{SERVICE_KEY}x");
    let code = "service_key_invalid";
    every_way_gives(shows(&wrong), find(&json!(7)), 401, code).await;
}

#[tokio::test]
async fn s10_no_tenant() {
    let scene = async || with(async |app| Some(app.token("root", |claims| claims).await)).await;
    every_way_gives(scene, find(&json!(7)), 403, "tenant_required").await;
}

#[tokio::test]
async fn s10_another_tenants_session() {
    let scene = async || {
        with(async |app| {
            // The session is one for `acme`; a token that names another tenant is none of its.
            app.ada().await;
            Some(app.token("ada", |claims| claims.tenant("globex")).await)
        })
        .await
    };
    every_way_gives(scene, find(&json!(7)), 401, "token_invalid").await;
}

#[tokio::test]
async fn s11_over_the_limit() {
    let scene = async || {
        Box::pin(with(async |app| {
            let token = app.ada().await;
            for _ in 0..5 {
                // Refused by the method, and counted all the same.
                for method in ["users/find", "feeds/follow"] {
                    app.rpc(method, Some(&token), json!({"id": "x"})).await;
                }
                app.get("/own/find?refuse", Some(&token)).await;
            }
            Some(token)
        }))
        .await
    };
    Box::pin(every_way_gives(scene, find(&json!(7)), 429, "rate_limited")).await;
}

#[tokio::test]
async fn s14_bad_input() {
    for input in [
        json!({"id": -1}),
        json!({}),
        json!({"id": 1, "other": 1}),
        json!([]),
    ] {
        for way in WAYS.into_iter().filter(|way| !matches!(way, Way::Path)) {
            let app = app();
            let token = app.ada().await;
            let mut target = find(&json!(7));
            target.input = input.clone();
            target.own = ("POST", "/own/find");
            let (verdict, ran) = way.call(app, &target, Some(&token)).await;
            assert_eq!(verdict, (400, "validation_failed".to_owned()), "{way:?}");
            assert_eq!(ran, 0);
        }
    }
    for path in ["/users/-1", "/users/seven", "/users/1?other=1"] {
        let app = app();
        let token = app.ada().await;
        let mut target = find(&json!(7));
        target.path.1 = path;
        let (verdict, ran) = Way::Path.call(app, &target, Some(&token)).await;
        assert_eq!(verdict, (400, "validation_failed".to_owned()), "{path}");
        assert_eq!(ran, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn s14_past_the_deadline() {
    every_way_gives(
        async || with(async |app| Some(app.ada().await)).await,
        slow(),
        504,
        "deadline_passed",
    )
    .await;
}

/// Who signs an event has no session, no role and no tenant; every other rule stands for a webhook too.
#[tokio::test(start_paused = true)]
async fn s16_a_webhook_stands_by_the_rules_that_apply_to_it() {
    let (slow, hook) = ("/hooks/slow", "/hooks/stripe");
    for (rule, path, body, signature, status, code) in [
        ("let in", hook, "{}", signed("{}", NOW), 200, ""),
        (
            "no token",
            hook,
            "{}",
            String::new(),
            401,
            "signature_invalid",
        ),
        (
            "bad token",
            hook,
            "{}",
            signed("[]", NOW),
            401,
            "signature_invalid",
        ),
        (
            "expired",
            hook,
            "{}",
            signed("{}", NOW - 301),
            401,
            "signature_invalid",
        ),
        (
            "over the limit",
            hook,
            "{}",
            signed("{}", NOW),
            429,
            "rate_limited",
        ),
        (
            "bad input",
            hook,
            "{",
            signed("{", NOW),
            400,
            "malformed_body",
        ),
        (
            "past the deadline",
            slow,
            "{}",
            signed("{}", NOW),
            504,
            "deadline_passed",
        ),
    ] {
        let (clock, _time) = Clock::controlled(Timestamp::from_second(NOW).unwrap());
        let app = app_of(HttpOptions::default(), |ran, _| vec![hooks(ran, &clock)]);
        let ask = async |path: &str, body: &'static str, signature: &str| {
            let mut request = request("POST", path, None, body.into());
            if !signature.is_empty() {
                let signature = signature.parse().unwrap();
                request.headers_mut().insert("stripe-signature", signature);
            }
            app.send(request).await.verdict()
        };
        if status == 429 {
            for number in 1..=5 {
                ask(hook, "{", &signed("{", NOW + number)).await;
            }
        }
        let verdict = ask(path, body, &signature).await;
        assert_eq!(verdict, (status, code.to_owned()), "{rule}");
        assert_eq!(app.ran.get(), u32::from(status == 200), "{rule}");
    }
}

#[tokio::test]
async fn s9_an_identity_in_the_input_is_nobody() {
    // What let strangers in elsewhere: members of the body that looked like a verified context.
    let forged = json!({"userId": "root", "tenant": "acme", "roles": ["admin"]});
    let app = app();
    for body in [
        json!({"id": 7, "context": {"authContext": forged}}),
        json!({"id": 7, "identity": forged}),
        json!({"id": 7, "cx": forged}),
    ] {
        let reply = app.rpc("users/remove", None, body).await;
        assert_eq!(reply.verdict(), (401, "token_missing".to_owned()));
    }
    let reply: Reply = app
        .send(
            http::Request::post("/rpc/users/remove")
                .header("content-type", "application/json")
                .header("x-tenant-id", "acme")
                .header("x-user-id", "root")
                .header("x-roles", "admin")
                .body(http_body_util::Full::new(
                    json!({"id": 7}).to_string().into(),
                ))
                .unwrap(),
        )
        .await;
    assert_eq!(reply.verdict(), (401, "token_missing".to_owned()));
    assert_eq!(app.ran.get(), 0);
}
