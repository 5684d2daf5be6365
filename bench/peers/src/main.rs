//! The same calls as `bench/service` answers, by axum and by hyper alone: what they cost where nothing is done but the work.
//!
//! `bench-peers axum PORT` and `bench-peers hyper PORT`, with `DATABASE_URL` for the first and `SECRET` for its tokens.
#![forbid(unsafe_code)]

mod by_hand;
mod database;
mod plain;

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use axum::serve::ListenerExt as _;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Deserialize)]
struct Name {
    name: String,
}

#[derive(Serialize)]
struct Greeting {
    greeting: String,
}

impl Greeting {
    fn of(name: &Name) -> Self {
        Self {
            greeting: format!("hello {}", name.name),
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, port] = arguments.as_slice() else {
        return Err("expected a kind and a port".into());
    };
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    match kind.as_str() {
        "hyper" => plain::serve(listener).await,
        "axum" => {
            let mut router = Router::new().route(
                "/hello",
                post(|input: axum::Json<Name>| async move { axum::Json(Greeting::of(&input)) }),
            );
            if let Ok(secret) = std::env::var("SECRET") {
                let state = Arc::new(by_hand::State::new(&secret));
                let routes = Router::new().route("/greet", post(by_hand::greet));
                router = router.merge(routes.with_state(state));
            }
            if let Ok(url) = std::env::var("DATABASE_URL") {
                router = router.merge(database::routes(&url)?);
            }
            let listener = listener.tap_io(|stream| {
                if let Err(error) = stream.set_nodelay(true) {
                    eprintln!("{error}");
                }
            });
            Ok(axum::serve(listener, router).await?)
        }
        other => Err(format!("`{other}` is neither `axum` nor `hyper`").into()),
    }
}
