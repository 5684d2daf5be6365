//! The settings over RPC: the same rules, for those whom the policy admits.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

mod support;

use std::sync::Arc;

use bastide_auth::Policy;
use bastide_config::Secret;
use bastide_context::Call;
use bastide_rpc::{Credentials, Dispatcher, Invocation, Output, Registry};
use bastide_telemetry::metrics;
use serde_json::{Value, json};

use support::{Fixture, MAX_UPLOAD, token};

const ADMINS: Policy = Policy::any_role(&["platform-admin"]);

struct App {
    dispatcher: Arc<Dispatcher>,
    admin: Credentials,
}

impl App {
    /// The status and the code of the problem, or 200 and the output.
    async fn call(&self, method: &str, credentials: &Credentials, input: Value) -> (u16, Value) {
        let name = format!("settings@1.0.0/{method}");
        let invocation = Invocation {
            entry: self.dispatcher.registry().find(&name).unwrap(),
            input: async { Ok(input.to_string().into()) },
            credentials,
            call: Call::new(),
            peer: None,
        };
        match self.dispatcher.dispatch(invocation).await.result {
            Ok(Output::Whole(output)) => (200, serde_json::from_slice(&output).unwrap()),
            Ok(Output::Stream(_)) => panic!("no method gives a stream"),
            Err(problem) => (problem.status(), problem.code().into()),
        }
    }

    async fn admin(&self, method: &str, input: Value) -> (u16, Value) {
        self.call(method, &self.admin, input).await
    }
}

fn bearer(token: Secret) -> Credentials {
    Credentials::Bearer(token)
}

#[tokio::test]
async fn s17_an_admin_lists_changes_and_looks_back() {
    let settings = Fixture::sqlite().settings().await;
    let (token, verifier) = token("ada", "platform-admin");
    let registry = Registry::new([settings.service(ADMINS).unwrap()]).unwrap();
    let dispatcher = Dispatcher::new(registry, &metrics::Registry::new(), None).unwrap();
    let app = App {
        dispatcher: Arc::new(dispatcher.verifier(verifier)),
        admin: bearer(token),
    };
    let set = |value: Value, version: Option<u64>| json!({"key": "uploads.max_mb", "value": value, "expectedVersion": version});

    let (status, changed) = app.admin("set", set(json!(200), Some(0))).await;
    assert_eq!(
        (status, &changed["value"], &changed["version"]),
        (200, &json!(200), &json!(1))
    );
    assert_eq!(settings.get(&MAX_UPLOAD), 200);
    assert_eq!(
        app.admin("get", json!({"key": "uploads.max_mb"})).await.1,
        changed
    );
    assert_eq!(
        app.admin("set", set(json!(300), Some(0))).await,
        (409, json!("setting_stale"))
    );
    assert_eq!(
        app.admin("set", set(json!(0), None)).await,
        (400, json!("validation_failed"))
    );
    assert_eq!(
        app.admin("get", json!({"key": "x"})).await,
        (404, json!("setting_unknown"))
    );
    assert_eq!(
        app.admin("set", json!({"key": "beta", "value": true, "force": 1}))
            .await
            .0,
        400
    );
    let (status, reset) = app.admin("reset", json!({"key": "uploads.max_mb"})).await;
    assert_eq!(
        (status, &reset["isSet"], &reset["value"]),
        (200, &json!(false), &json!(100))
    );

    let (_, list) = app.admin("list", json!({})).await;
    assert_eq!(list.as_array().unwrap().len(), support::ALL.len());
    assert_eq!(list[0]["description"], "The largest upload, in megabytes.");
    let (_, history) = app
        .admin("history", json!({"key": "uploads.max_mb", "limit": 1}))
        .await;
    assert_eq!(history.as_array().unwrap().len(), 1);
    assert_eq!(
        (
            &history[0]["actor"],
            &history[0]["before"],
            &history[0]["after"]
        ),
        (&json!("ada"), &json!(200), &Value::Null)
    );
}

#[tokio::test]
async fn s17_nobody_else_is_let_in() {
    let settings = Fixture::sqlite().settings().await;
    let (user, verifier) = token("eve", "admin");
    let registry = Registry::new([settings.service(ADMINS).unwrap()]).unwrap();
    let dispatcher = Dispatcher::new(registry, &metrics::Registry::new(), None).unwrap();
    let app = App {
        dispatcher: Arc::new(dispatcher.verifier(verifier)),
        admin: Credentials::None,
    };
    let user = bearer(user);
    for (method, input) in [
        ("list", json!({})),
        ("get", json!({"key": "beta"})),
        ("set", json!({"key": "beta", "value": true})),
        ("reset", json!({"key": "beta"})),
        ("history", json!({"key": "beta"})),
    ] {
        let stranger = app.admin(method, input.clone()).await;
        assert_eq!(stranger.0, 401, "{method}");
        let refused = app.call(method, &user, input).await;
        assert_eq!(refused, (403, json!("role_required")), "{method}");
    }
    assert!(!settings.get(&support::BETA));
}
