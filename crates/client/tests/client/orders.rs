//! A service whose methods show every shape that Rust types give to JSON.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bastide_auth::{
    Claims, Clock, ClockHandle, Issuer, Keys, Policy, ServiceKey, ServiceKeys, SigningKey,
    TenantChoice, Verifier,
};
use bastide_client::Client;
use bastide_config::Secret;
use bastide_context::{Cx, Public};
use bastide_rpc::{
    ApiError, Declared, Dispatcher, HttpEntry, HttpOptions, LimitRule, Method, Problem, Registry,
    Server, Service, openapi,
};
use bastide_telemetry::metrics;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) const SERVICE_KEY: &str = "sk_0123456789abcdef0123456789abcdef";

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Order {
    pub(crate) id: u64,
    /// For the kitchen. /* not for guests */
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    pub(crate) lines: Vec<Line>,
    pub(crate) state: State,
    pub(crate) payment: Payment,
    pub(crate) labels: BTreeMap<String, String>,
    /// The order that this one is a part of.
    #[serde(default)]
    pub(crate) parent: Option<Box<Order>>,
    pub(crate) made_at: Timestamp,
    #[serde(rename = "type")]
    pub(crate) kind: Option<Kind>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) count: u32,
    pub(crate) price: f64,
    #[serde(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Place {
    pub(crate) table: u8,
    /// Left and right of the window.
    pub(crate) seat: (i32, bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    Open,
    InTheKitchen,
    /// Also what was sent back.
    Closed,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "by", rename_all = "camelCase")]
pub(crate) enum Payment {
    Nobody,
    Card { last_digits: String },
    Split(Shares),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Shares {
    pub(crate) among: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Kind {
    Regular,
    Table(u8),
    Delivery { street: String },
}

/// A word or a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Term {
    Number(i64),
    Word(String),
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Search {
    #[serde(default)]
    pub(crate) terms: Vec<Term>,
    #[serde(default, rename = "page-size")]
    pub(crate) page_size: Option<u32>,
}

/// Some of many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) total: usize,
    /// Whatever else there is to say.
    pub(crate) extra: Value,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Id {
    pub(crate) id: u64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Empty {}

pub(crate) enum OrderError {
    NotFound,
    Closed,
}

impl ApiError for OrderError {
    const DECLARED: &'static [Declared] = &[
        Declared {
            status: 404,
            code: "order_not_found",
        },
        Declared {
            status: 409,
            code: "order_closed",
        },
    ];

    fn into_problem(self) -> Problem {
        match self {
            Self::NotFound => Problem::new(404, "order_not_found", "there is no such order"),
            Self::Closed => Problem::new(409, "order_closed", "open it before it is changed"),
        }
    }
}

pub(crate) fn order(id: u64) -> Order {
    let line = Line {
        what: "soup".to_owned(),
        count: 2,
        price: 7.5,
        place: Place {
            table: 4,
            seat: (-1, true),
        },
    };
    let whole = Order {
        id,
        note: None,
        lines: vec![line],
        state: State::InTheKitchen,
        payment: Payment::Split(Shares { among: 3 }),
        labels: BTreeMap::from([("colour".to_owned(), "red".to_owned())]),
        parent: None,
        made_at: Timestamp::from_second(1_800_000_000).unwrap(),
        kind: Some(Kind::Table(4)),
    };
    Order {
        parent: Some(Box::new(Order {
            id: id + 1,
            payment: Payment::Nobody,
            kind: Some(Kind::Regular),
            ..whole.clone()
        })),
        ..whole
    }
}

pub(crate) fn orders() -> Service {
    Service::new("orders", "1.2.0")
        .unwrap()
        .method(
            Method::named("find")
                .describe("One order by its id.")
                .get("/orders/{id}")
                .policy(Policy::identified())
                .handler(|_: Cx, Id { id }: Id| async move {
                    match id {
                        404 => Err(OrderError::NotFound),
                        409 => Err(OrderError::Closed),
                        _ => Ok(order(id)),
                    }
                }),
        )
        .method(
            Method::named("put")
                .policy(Policy::identified())
                .handler(|_: Cx, order: Order| async move { Ok::<_, OrderError>(order) }),
        )
        .method(
            Method::named("search")
                .get("/orders")
                .public("the menu hangs outside")
                .handler(|_: Cx<Public>, search: Search| async move {
                    let extra = serde_json::to_value(&search).unwrap();
                    Ok::<_, Problem>(Page {
                        items: vec![order(1)],
                        total: 1,
                        extra,
                    })
                }),
        )
        .method(
            Method::named("call-ids")
                .public("it tells callers of themselves")
                .handler(|cx: Cx<Public>, _: Empty| async move {
                    let call = cx.call();
                    let trace = call.trace().trace().to_string();
                    let left = call.remaining().unwrap().unwrap();
                    Ok::<_, Problem>((
                        call.request_id().to_string(),
                        trace,
                        left.as_millis() as u64,
                    ))
                }),
        )
        .method(
            Method::named("who")
                .policy_without_tenant(Policy::identified())
                .handler(|cx: Cx<bastide_context::Known>, (): ()| async move {
                    Ok::<_, Problem>(cx.actor().map(str::to_owned))
                }),
        )
        .method(Method::named("slow").public("everybody waits").handler(
            |_: Cx<Public>, _: Empty| async move {
                std::future::pending::<()>().await;
                Ok::<_, Problem>(())
            },
        ))
        .method(
            Method::named("rare")
                .public("once is enough")
                .limit(LimitRule::parse("1/min").unwrap())
                .handler(|_: Cx<Public>, _: Empty| async move { Ok::<_, Problem>(()) }),
        )
}

/// The service with somebody who signs tokens for it.
pub(crate) struct App {
    pub(crate) entry: HttpEntry,
    pub(crate) time: ClockHandle,
    pub(crate) issuer: Issuer,
}

pub(crate) fn app() -> App {
    let secret = Secret::new("a secret of at least thirty-two bytes");
    let (clock, time) = Clock::controlled(Timestamp::from_second(1_800_000_000).unwrap());
    let key = ServiceKey::new("billing", &Secret::new(SERVICE_KEY)).unwrap();
    let registry = Registry::new([orders()]).unwrap();
    let dispatcher = Dispatcher::new(registry, &metrics::Registry::new(), None)
        .unwrap()
        .verifier(Verifier::new(Keys::hs256(&secret).unwrap()).clock(clock.clone()))
        .service_keys(ServiceKeys::new([key.tenant(TenantChoice::Named)]).unwrap())
        .timeout(Duration::from_secs(10));
    App {
        entry: HttpEntry::new(Arc::new(dispatcher), HttpOptions::default())
            .described("Orders", "1.2.0"),
        time,
        issuer: Issuer::new(SigningKey::hs256(&secret).unwrap()).clock(clock),
    }
}

pub(crate) fn token(issuer: &Issuer) -> Secret {
    issuer.sign(&Claims::new("ada").tenant("acme")).unwrap()
}

/// A server of the service, and a client of it with a token.
pub(crate) async fn served() -> (Server, Client, App) {
    let app = app();
    let entry = self::app().entry;
    let mut server = Server::new(entry);
    let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let client = Client::new(&format!("http://{address}")).unwrap();
    let client = client.bearer(token(&app.issuer));
    (server, client, app)
}

/// The service's description, with a method that answers with a stream.
pub(crate) fn document() -> Value {
    let mut document = openapi(&Registry::new([orders()]).unwrap(), "Orders", "1.2.0");
    let mut watch = document["paths"]["/rpc/orders@1.2.0/find"].clone();
    let operation = &mut watch["post"];
    operation["operationId"] = "orders@1.2.0/watch".into();
    operation["description"] = "Orders as they change.".into();
    let item = json!({"schema": {"$ref": "#/components/schemas/Id"}});
    operation["responses"]["200"]["content"] = json!({"text/event-stream": item});
    document["paths"]["/rpc/orders@1.2.0/watch"] = watch;
    document
}
