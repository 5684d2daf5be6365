//! What a call costs without sockets: requests are handed to the entry one after the other.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bastide_rpc::HttpEntry;
use http::Request;
use http_body_util::BodyExt as _;

use crate::Failure;

const ROUNDS: usize = 40;

/// Prints nanoseconds a call for each method, or for this one only, the best of many rounds: what disturbs only adds.
#[expect(clippy::print_stdout, reason = "it is what was asked for")]
pub(crate) async fn print(
    entry: &HttpEntry,
    token: &str,
    calls: u32,
    only: Option<&str>,
) -> Result<(), Failure> {
    let methods = [("hello", None), ("greet", Some(token))];
    let is_wanted = |method: &str| only.is_none_or(|only| only == method);
    for (method, token) in methods.into_iter().filter(|(name, _)| is_wanted(name)) {
        let mut best = Duration::MAX;
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            for _ in 0..calls {
                call(entry, method, token).await?;
            }
            best = best.min(begun.elapsed() / calls);
        }
        println!("{method} {}", best.as_nanos());
    }
    Ok(())
}

async fn call(entry: &HttpEntry, method: &str, token: Option<&str>) -> Result<(), Failure> {
    let mut request = Request::post(format!("/rpc/bench/{method}"))
        .header("host", "127.0.0.1")
        .header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(r#"{"name":"Ada"}"#.to_owned())?;
    let peer = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let response = entry.answer(request, peer).await;
    if !response.status().is_success() {
        return Err(format!("{method} gave {}", response.status()).into());
    }
    response.into_body().collect().await?;
    Ok(())
}
