//! What every way of a call has in common beyond verdicts.

use bastide_context::{Cx, Public};
use bastide_rpc::{HttpOptions, LimitRule, Method, Problem, Service};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::connections::Client;
use crate::support::{App, Nothing, app_of, post, request};

/// A method that takes nothing by `()`, one that does by an object, and one that may be called once an hour.
fn app() -> App {
    let public = |name| Method::named(name).public("for tests");
    let unit = Method::named("unit").post("/unit").public("for tests");
    let once = public("once").limit(LimitRule::parse("1/h").unwrap());
    app_of(HttpOptions::default(), |_, _| {
        let service = Service::new("alike", "1.0.0").unwrap();
        vec![
            service
                .method(unit.handler(|_: Cx<Public>, (): ()| async { Ok::<_, Problem>(1) }))
                .method(public("object").handler(|_, _: Nothing| async { Ok::<_, Problem>(2) }))
                .method(once.handler(|_, (): ()| async { Ok::<_, Problem>(3) })),
        ]
    })
}

#[tokio::test]
async fn s14_nothing_to_say_is_said_alike_whichever_way() {
    for (method, output) in [("alike/unit", 1), ("alike/object", 2)] {
        // Left out, or one of these.
        for input in [None, Some(Value::Null), Some(json!({}))] {
            let app = app();
            let body = input
                .as_ref()
                .map_or_else(Bytes::new, |input| input.to_string().into());
            let alone = app.send(request(
                "POST",
                &format!("/rpc/{method}"),
                None,
                body.clone(),
            ));
            assert_eq!(alone.await.json, output, "{method} {input:?}");
            if method == "alike/unit" {
                let by_path = app.send(request("POST", "/unit", None, body)).await;
                assert_eq!(by_path.json, output, "{input:?}");
            }
            let (mut item, mut frame) =
                (json!({"method": method}), json!({"id": 1, "call": method}));
            if let Some(input) = &input {
                item["input"] = input.clone();
                frame["input"] = input.clone();
            }
            let reply = app.send(post("/rpc", None, &json!([item]))).await;
            assert_eq!(reply.json[0]["output"], output, "{method} {input:?}");
            let mut client = Client::open(app.entry, None).await;
            client.say(frame).await;
            assert_eq!(client.hear().await["output"], output, "{method} {input:?}");
        }
    }
}

#[tokio::test]
async fn s11_when_to_come_back_is_said_whichever_way() {
    let app = app();
    app.rpc("alike/once", None, Value::Null).await;
    let alone = app.rpc("alike/once", None, Value::Null).await;
    let seconds = alone.json["retryAfter"].as_u64().unwrap();
    assert!((3_500..=3_700).contains(&seconds), "{seconds}");
    assert_eq!(alone.field("retry-after"), seconds.to_string());
    let batch = app
        .send(post("/rpc", None, &json!([{"method": "alike/once"}])))
        .await;
    let of_item = batch.json[0]["problem"]["retryAfter"].as_u64().unwrap();
    let mut client = Client::open(app.entry, None).await;
    client.call(1, "alike/once", Value::Null).await;
    let of_frame = client.hear().await["problem"]["retryAfter"]
        .as_u64()
        .unwrap();
    for other in [of_item, of_frame] {
        assert!((3_500..=3_700).contains(&other), "{other}");
    }
}
