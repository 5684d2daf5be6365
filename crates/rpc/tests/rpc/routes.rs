//! Routes of a service's own, over real sockets.

use std::convert::Infallible;
use std::time::Duration;

use bastide_auth::Policy;
use bastide_context::{Cx, Known, Public};
use bastide_rpc::{
    Dispatcher, HttpEntry, HttpOptions, Method, Problem, RawRequest, RawResponse, Registry, Route,
    Service, openapi,
};
use bastide_telemetry::metrics;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, Request, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::{Value, json};

use crate::sockets::{begin, send, serve, with};
use crate::support::{Found, Nothing, app_of};

const OPEN: &str = "for tests";

fn service() -> Service {
    Service::new("files", "1.0.0")
        .unwrap()
        .route(
            Route::post("/uploads/{name}")
                .describe("Counts the bytes of a file.")
                .public(OPEN)
                .handler(|_: Cx<Public>, request: RawRequest| async move {
                    let name = request.head.member("name").unwrap().to_owned();
                    let mut body = request.body.stream();
                    let mut length = 0;
                    while let Some(piece) = body.next().await {
                        length += piece?.len();
                    }
                    RawResponse::json(&json!({"name": name, "length": length}))
                }),
        )
        .route(
            Route::put("/small")
                .public(OPEN)
                .max_body(10)
                .handler(|_: Cx<Public>, request: RawRequest| async move {
                    // Whatever a handler makes of it: the server knows what became of the body.
                    let body = request.body.bytes(1_000).await;
                    body.map_err(|_| Problem::internal())?;
                    Ok::<_, Problem>(RawResponse::empty())
                }),
        )
        .route(
            Route::post("/orders")
                .public(OPEN)
                .handler(|_: Cx<Public>, request: RawRequest| async move {
                    let order: Vec<u32> = request.json().await?;
                    RawResponse::json(&order.len())
                }),
        )
        .route(
            Route::get("/head/{*rest}")
                .policy_without_tenant(Policy::identified())
                .handler(|cx: Cx<Known>, request: RawRequest| async move {
                    let head = request.head;
                    let fields: Vec<_> = head.fields().keys().map(header::HeaderName::as_str).collect();
                    let query: Vec<_> = head.query_members().collect();
                    let response = RawResponse::json(&json!({
                        "actor": cx.actor(), "verb": head.method().as_str(), "path": head.path(),
                        "rest": head.member("rest"), "none": head.member("none"), "query": query, "fields": fields,
                    }))?;
                    Ok::<_, Problem>(
                        response
                            .status(StatusCode::ACCEPTED)
                            .field(header::VARY, HeaderValue::from_static("accept"))
                            .field(header::CONTENT_LENGTH, HeaderValue::from_static("7"))
                            .field(
                                header::HeaderName::from_static("x-request-id"),
                                HeaderValue::from_static("mine"),
                            ),
                    )
                }),
        )
        .route(Route::get("/pieces").public(OPEN).handler(
            |_: Cx<Public>, _: RawRequest| async move {
                let pieces = stream::iter(0..3).then(|number| async move {
                    // Longer than the handler may take: a response goes on by itself.
                    tokio::time::sleep(Duration::from_millis(150)).await;
                    Ok::<_, Infallible>(Bytes::from(format!("{number};")))
                });
                Ok::<_, Problem>(RawResponse::stream("text/plain", pieces))
            },
        ))
        .route(Route::get("/broken").public(OPEN).handler(
            |_: Cx<Public>, _: RawRequest| async move {
                // Apart, so that the first half is on its way when the rest fails.
                let pieces = stream::iter([Ok(Bytes::from("half")), Err("the rest is gone")]);
                let pieces = pieces.then(|piece| async move {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    piece
                });
                Ok::<_, Problem>(RawResponse::stream("text/plain", pieces))
            },
        ))
        .route(
            Route::get("/slow")
                .public(OPEN)
                .within(Duration::from_millis(100))
                .handler(|_: Cx<Public>, _: RawRequest| std::future::pending::<Result<_, Problem>>()),
        )
        .route(
            Route::delete("/patient")
                .public(OPEN)
                .within(Duration::from_secs(60))
                .handler(|_: Cx<Public>, _: RawRequest| async move {
                    tokio::time::sleep(Duration::from_millis(400)).await;
                    Ok::<_, Problem>(RawResponse::empty())
                }),
        )
        .method(
            Method::named("orders")
                .get("/orders")
                .public(OPEN)
                .handler(|_, _: Nothing| async { Ok::<_, Problem>(7) }),
        )
}

fn entry(options: HttpOptions) -> HttpEntry {
    let registry = Registry::new([service()]).unwrap();
    let dispatcher = Dispatcher::new(registry, &metrics::Registry::new(), None).unwrap();
    // Short, to show which requests it is for.
    HttpEntry::new(
        dispatcher.timeout(Duration::from_millis(300)).into(),
        options,
    )
}

#[tokio::test]
async fn s16_a_route_reads_its_body_as_it_comes() {
    let (_server, address) = serve(entry(HttpOptions::default())).await;
    let answer = send(
        address,
        with("POST", "/uploads/a%2Fb%20c", &[], vec![7; 300_000]),
    )
    .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), json!({"name": "a/b c", "length": 300_000}));
    assert_eq!(answer.field("content-type"), "application/json");
    assert_eq!(answer.field("cache-control"), "no-store");
    assert_eq!(answer.field("x-request-id").len(), 32);
    // Without a length told beforehand.
    let pieces =
        stream::iter((0..10).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from("12345")))));
    let request = Request::post("/uploads/x")
        .body(StreamBody::new(pieces))
        .unwrap();
    assert_eq!(send(address, request).await.json()["length"], 50);
    let answer = send(address, with("POST", "/uploads/%ff", &[], "")).await;
    assert_eq!(answer.verdict(), (400, "malformed_path".to_owned()));
}

#[tokio::test]
async fn s15_a_body_over_its_limit_is_refused() {
    let (_server, address) = serve(entry(HttpOptions::default())).await;
    assert_eq!(
        send(address, with("PUT", "/small", &[], "0123456789"))
            .await
            .status,
        204
    );
    let answer = send(address, with("PUT", "/small", &[], "0123456789a")).await;
    assert_eq!(answer.verdict(), (413, "body_too_large".to_owned()));
    assert_eq!(answer.json()["detail"], "the body has more than 10 bytes");
    let pieces =
        stream::iter((0..3).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from("12345")))));
    let request = Request::put("/small")
        .body(StreamBody::new(pieces))
        .unwrap();
    assert_eq!(send(address, request).await.status, 413);
}

#[tokio::test]
async fn s15_who_sends_far_too_much_is_told_so_too() {
    let (_server, address) = serve(entry(HttpOptions::default())).await;
    for _ in 0..20 {
        let answer = send(address, with("PUT", "/small", &[], vec![7; 20 << 20])).await;
        assert_eq!(answer.verdict(), (413, "body_too_large".to_owned()));
    }
}

#[tokio::test]
async fn s15_a_body_that_stalls_is_given_up() {
    let options = HttpOptions {
        body_timeout: Duration::from_millis(100),
        ..HttpOptions::default()
    };
    let (_server, address) = serve(entry(options)).await;
    let first = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from("12345")))]);
    let body = StreamBody::new(first.chain(stream::pending()));
    let answer = send(address, Request::post("/uploads/x").body(body).unwrap()).await;
    assert_eq!(answer.verdict(), (408, "body_timeout".to_owned()));
}

#[tokio::test]
async fn s16_a_route_reads_json_as_a_method_does() {
    let (_server, address) = serve(entry(HttpOptions {
        max_body: 12,
        ..HttpOptions::default()
    }))
    .await;
    let json = &[("content-type", "application/json")][..];
    for (fields, body, verdict) in [
        (json, "[1,2]", (200, "")),
        (json, "[1,-2]", (400, "validation_failed")),
        (json, "[1,", (400, "malformed_body")),
        (json, "[1,2,3,4,5,6,7]", (413, "body_too_large")),
        (&[], "[1,2]", (415, "unsupported_media_type")),
    ] {
        let (status, code) = send(address, with("POST", "/orders", fields, body))
            .await
            .verdict();
        assert_eq!((status, code.as_str()), verdict, "{body}");
    }
}

#[tokio::test]
async fn s9_a_handler_sees_the_caller_and_not_its_credentials() {
    let app = app_of(HttpOptions::default(), |_, _| vec![service()]);
    let token = format!("Bearer {}", app.ada().await);
    let (_server, address) = serve(app.entry).await;
    let fields = [
        ("authorization", token.as_str()),
        ("proxy-authorization", "Basic eA=="),
        ("x-custom", "1"),
    ];
    let request = || with("GET", "/head/a/%2e%2e/b?x=1&y=a%20b", &fields, "");
    let answer = send(address, request()).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(
        answer.json(),
        json!({
            "actor": "ada", "verb": "GET", "path": "/head/a/%2e%2e/b", "rest": "a/../b", "none": null,
            "query": [["x", "1"], ["y", "a b"]], "fields": ["host", "x-custom"],
        })
    );
    // Of a field that is the server's, a route's is left out.
    assert_eq!(answer.field("vary"), "accept");
    assert_eq!(answer.fields.get_all("content-length").iter().count(), 1);
    assert_eq!(answer.fields.get_all("x-request-id").iter().count(), 1);
    assert_eq!(answer.field("x-request-id").len(), 32);
    let stranger = send(
        address,
        with("GET", "/head/x", &[("x-service-key", "x")], ""),
    )
    .await;
    assert_eq!(stranger.verdict(), (401, "service_key_invalid".to_owned()));

    let mut head = request();
    *head.method_mut() = http::Method::HEAD;
    let answer = send(address, head).await;
    assert_eq!((answer.status, answer.body.len()), (202, 0));
    assert!(answer.field("content-length").parse::<usize>().unwrap() > 100);
}

#[tokio::test]
async fn s16_the_time_of_a_route_is_its_own_and_ends_with_the_responses_beginning() {
    let (_server, address) = serve(entry(HttpOptions::default())).await;
    let answer = send(address, with("GET", "/slow", &[], "")).await;
    assert_eq!(answer.verdict(), (504, "deadline_passed".to_owned()));
    let answer = send(address, with("DELETE", "/patient", &[], "")).await;
    assert_eq!(answer.status, 204, "longer than the server gives calls");
    let hurried = [("x-request-timeout-ms", "50")];
    let answer = send(address, with("DELETE", "/patient", &hurried, "")).await;
    assert_eq!(answer.status, 504, "the caller may ask for less");
    let answer = send(address, with("GET", "/pieces", &[], "")).await;
    assert_eq!((answer.status, answer.text()), (200, "0;1;2;"));
}

#[tokio::test]
async fn s16_a_response_that_breaks_looks_broken() {
    let (_server, address) = serve(entry(HttpOptions::default())).await;
    let response = begin(address, with("GET", "/broken", &[], "")).await;
    assert_eq!(response.status(), 200);
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn s16_a_path_says_what_it_takes() {
    let (_server, address) = serve(entry(HttpOptions::default())).await;
    for (path, allowed) in [
        ("/orders", "GET, POST, HEAD, OPTIONS"),
        ("/uploads/x", "POST, OPTIONS"),
        ("/rpc/files/orders", "POST, OPTIONS"),
        ("/rpc", "POST, OPTIONS"),
    ] {
        let answer = send(address, with("OPTIONS", path, &[], "")).await;
        assert_eq!(
            (answer.status, answer.field("allow")),
            (204, allowed),
            "{path}"
        );
        let answer = send(address, with("PURGE", path, &[], "")).await;
        assert_eq!(
            (answer.status, answer.field("allow")),
            (405, allowed),
            "{path}"
        );
    }
    assert_eq!(
        send(address, with("OPTIONS", "/nothing", &[], ""))
            .await
            .status,
        404
    );
}

fn plain(route: bastide_rpc::RouteOutline) -> Route {
    route
        .public(OPEN)
        .handler(|_, _: RawRequest| async { Ok::<_, Problem>(RawResponse::empty()) })
}

#[test]
fn s16_routes_that_would_not_serve_stop_the_start() {
    let refused = |routes: Vec<Route>| {
        let service = routes.into_iter().fold(service(), Service::route);
        Registry::new([service]).unwrap_err().to_string()
    };
    let text = refused(vec![plain(Route::get("/orders"))]);
    assert!(
        text.starts_with("`GET /orders` wants GET /orders, which cannot be told apart"),
        "{text}"
    );
    let text = refused(vec![plain(Route::post("/uploads/{file}"))]);
    assert!(text.starts_with("`POST /uploads/{file}` wants"), "{text}");
    for path in ["/rpc", "/rpc/{*rest}", "/openapi.json"] {
        let text = refused(vec![plain(Route::get(path))]);
        let expected = format!(
            "`GET {path}` wants {path}, where the server answers itself; give it another path"
        );
        assert_eq!(text, expected);
    }
    let text = refused(vec![plain(Route::get("no/slash"))]);
    assert_eq!(
        text,
        "`GET no/slash` wants GET no/slash, which is no path; begin it with `/`"
    );
    assert!(Registry::new([service().route(plain(Route::get("/uploads/{name}")))]).is_ok());
}

#[test]
fn s10_routes_are_listed_with_their_policies() {
    let registry = Registry::new([service()]).unwrap();
    let listed: Vec<_> = registry.listed().map(|entry| entry.to_string()).collect();
    assert_eq!(
        listed[..4],
        [
            "POST /rpc/files@1.0.0/orders  public: for tests",
            "GET /orders  public: for tests",
            "POST /uploads/{name}  public: for tests",
            "PUT /small  public: for tests",
        ]
    );
    assert!(
        listed.contains(&"GET /head/{*rest}  any identity".to_owned()),
        "{listed:?}"
    );
    assert_eq!(listed.len(), 10);
}

#[test]
fn s16_routes_are_described() {
    let document = openapi(&Registry::new([service()]).unwrap(), "Example", "1.0.0");
    let upload = &document["paths"]["/uploads/{name}"]["post"];
    assert_eq!(
        upload["description"],
        "Counts the bytes of a file.\n\nPolicy: public: for tests."
    );
    assert_eq!(upload["operationId"], "POST /uploads/{name}");
    assert_eq!(upload["tags"], json!(["files@1.0.0"]));
    assert_eq!(
        upload["parameters"],
        json!([{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}}])
    );
    assert!(upload["requestBody"]["content"]["*/*"].is_object());
    assert_eq!(upload["security"], json!([]));
    assert_eq!(
        upload["responses"]["413"]["description"],
        "`body_too_large`"
    );
    assert_eq!(upload["responses"]["401"], Value::Null);
    let head = &document["paths"]["/head/{rest}"]["get"];
    assert_eq!(head["requestBody"], Value::Null);
    assert_eq!(
        head["security"],
        json!([{"bearer": []}, {"serviceKey": []}])
    );
    assert!(head["responses"]["403"].is_object());
    // Beside the method at the same path.
    let orders = document["paths"]["/orders"].as_object().unwrap();
    assert_eq!(orders.keys().collect::<Vec<_>>(), ["get", "post"]);
}

#[test]
fn s16_a_route_says_what_it_takes_and_gives() {
    let answer = |_: Cx<Public>, _: RawRequest| async { Ok::<_, Problem>(RawResponse::empty()) };
    let at = |path| Route::post(path).public("for tests");
    let service = Service::new("shapes", "1.0.0")
        .unwrap()
        .route(
            at("/table")
                .takes("text/csv")
                .gives("image/png")
                .handler(answer),
        )
        .route(
            at("/order")
                .takes_json::<Found>()
                .gives_json::<Found>()
                .handler(answer),
        );
    let document = openapi(&Registry::new([service]).unwrap(), "Example", "1.0.0");
    let body = |path: &str| document["paths"][path]["post"]["requestBody"]["content"].clone();
    let answer =
        |path: &str| document["paths"][path]["post"]["responses"]["2XX"]["content"].clone();
    assert_eq!(
        (body("/table"), answer("/table")),
        (json!({"text/csv": {}}), json!({"image/png": {}}))
    );
    let order = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Found"}}});
    assert_eq!((body("/order"), answer("/order")), (order.clone(), order));
    assert!(document["components"]["schemas"]["Found"].is_object());
}
