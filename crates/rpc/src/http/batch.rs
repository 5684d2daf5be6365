//! Several calls in one request: each is one like any other, with a verdict of its own.

use bastide_context::Call;
use bastide_telemetry::log::CALLS;
use bytes::Bytes;
use futures_util::future::ready;
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tracing::Instrument as _;

use super::HttpEntry;
use super::answer::Answer;
use super::head::Head;
use crate::dispatch::{Invocation, Outcome};
use crate::input;
use crate::problem::Problem;
use crate::stream::Output;

/// `{"method": "users@1.0.0/find", "input": {..}}`; an `id` of the caller's comes back with the answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    #[serde(default)]
    id: Option<Box<RawValue>>,
    method: String,
    #[serde(default, deserialize_with = "input::as_it_stands")]
    input: Option<Box<RawValue>>,
}

/// `status` is what the call alone would have been answered with; then `output`, or the problem.
#[derive(Serialize)]
struct Answered {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Box<RawValue>>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Box<RawValue>>,
}

/// The answers in the order of the calls. All of them share the request's deadline and its id; their lines in the log have
/// their place, from 0, as `item`.
pub(super) async fn answer(
    entry: &HttpEntry,
    body: &[u8],
    head: &Head,
    call: &Call,
) -> Result<Answer, Problem> {
    let items: Vec<Item> = input::read(body)?;
    let max = entry.options.max_batch;
    if items.is_empty() || items.len() > max {
        let detail = format!("a batch has 1 to {max} calls, this one has {}", items.len());
        return Err(Problem::new(400, "batch_size", detail));
    }
    let answers = stream::iter(items).enumerate().map(|(number, item)| {
        let span = tracing::error_span!(target: CALLS, "item", item = number);
        one(entry, item, head, call).instrument(span)
    });
    let answers: Vec<_> = answers
        .buffered(entry.options.batch_concurrency.max(1))
        .collect()
        .await;
    let json = serde_json::to_vec(&answers).expect("it was put together of JSON");
    Ok(Answer::json(json.into()))
}

async fn one(entry: &HttpEntry, item: Item, head: &Head, call: &Call) -> Answered {
    let Item { id, method, input } = item;
    let result = match entry.dispatcher.registry().find(&method) {
        None => Err(Problem::new(
            404,
            "method_not_found",
            "no method of this name",
        )),
        Some(found) if found.method().is_stream() => Err(stream_in_batch()),
        Some(found) => {
            let invocation = Invocation {
                entry: found,
                input: ready(Ok(input.map_or_else(Bytes::new, |input| {
                    String::from(Box::<str>::from(input)).into()
                }))),
                credentials: &head.credentials,
                call: call.sibling(),
                peer: head.peer,
            };
            let Outcome { result, quota: _ } = entry.dispatcher.dispatch(invocation).await;
            result.and_then(|output| match output {
                Output::Whole(json) => Ok(json),
                Output::Stream(_) => Err(stream_in_batch()),
            })
        }
    };
    let raw = |bytes: Bytes| {
        let text = String::from_utf8(bytes.into()).ok();
        text.and_then(|text| RawValue::from_string(text).ok())
    };
    match result {
        Ok(output) => Answered {
            id,
            status: 200,
            output: raw(output),
            problem: None,
        },
        Err(problem) => Answered {
            id,
            status: problem.status(),
            output: None,
            problem: raw(problem.to_json(call.request_id().to_text().as_str()).into()),
        },
    }
}

fn stream_in_batch() -> Problem {
    Problem::new(
        400,
        "stream_in_batch",
        "the method gives a stream, for which an answer of a batch has no room; call it by itself",
    )
}
