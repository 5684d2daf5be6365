//! A route for every rule, each under the policy of the method that it is beside.

use std::time::Duration;

use bastide_auth::Policy;
use bastide_context::Cx;
use bastide_rpc::{LimitRule, Problem, RawRequest, RawResponse, Route, Service};

use crate::support::{Find, Ran};

pub(crate) fn own(ran: &Ran) -> Service {
    let (find_ran, remove_ran, slow_ran) = (ran.clone(), ran.clone(), ran.clone());
    let read_ran = ran.clone();
    Service::new("own", "1.0.0")
        .unwrap()
        .route(
            Route::get("/own/find")
                .policy(Policy::identified())
                .limit(LimitRule::parse("5/min").unwrap())
                .handler(move |_: Cx, request: RawRequest| {
                    let ran = find_ran.clone();
                    async move {
                        assert_ne!(request.head.query(), "panic", "this one panics");
                        if request.head.query() == "refuse" {
                            return Err(Problem::new(400, "refused", "as asked"));
                        }
                        ran.count();
                        Ok(RawResponse::empty().status(http::StatusCode::OK))
                    }
                }),
        )
        .route(
            Route::post("/own/find")
                .policy(Policy::identified())
                .handler(move |_: Cx, request: RawRequest| {
                    let ran = read_ran.clone();
                    async move {
                        let found: Find = request.json().await?;
                        ran.count();
                        RawResponse::json(&found.id)
                    }
                }),
        )
        .route(
            Route::delete("/own/remove")
                .policy(Policy::any_role(&["admin"]))
                .handler(move |_: Cx, _: RawRequest| {
                    remove_ran.count();
                    async { Ok::<_, Problem>(RawResponse::empty().status(http::StatusCode::OK)) }
                }),
        )
        .route(
            Route::post("/own/slow")
                .policy(Policy::identified())
                .handler(move |_: Cx, _: RawRequest| {
                    let ran = slow_ran.clone();
                    async move {
                        ran.begin();
                        tokio::time::sleep(Duration::from_secs(3_600)).await;
                        ran.count();
                        Ok::<_, Problem>(RawResponse::empty())
                    }
                }),
        )
}

#[tokio::test]
async fn s16_a_route_that_panics_fails_alone_and_is_limited_as_a_method_is() {
    let app = crate::support::app();
    let token = app.ada().await;
    let reply = app.get("/own/find?panic", Some(&token)).await;
    assert_eq!(reply.verdict(), (500, "internal".to_owned()));
    assert_eq!(reply.field("x-ratelimit-remaining"), "4");
    let reply = app.get("/own/find", Some(&token)).await;
    assert_eq!(
        (reply.status, reply.field("x-ratelimit-remaining")),
        (200, "3")
    );
}
