//! A stream as server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use std::time::Duration;

use bastide_telemetry::ids::RequestId;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::time::sleep;

use super::answer::Broken;
use super::drain::{self, Notice};
use crate::problem::Problem;
use crate::stream::Items;

/// Readers drop a comment; what stands between takes it for a sign of life.
const COMMENT: &[u8] = b":\n\n";

struct Events {
    /// `None`: the last event was given.
    items: Option<Items>,
    request_id: RequestId,
    keep_alive: Duration,
    notice: Notice,
    given: u64,
}

/// Each item as an event with a running number as its id, then `end`, or `problem` with its document. While nothing comes, a
/// comment from time to time. An item is made only when the connection has room for it.
pub(super) fn events(
    items: Items,
    request_id: RequestId,
    keep_alive: Duration,
    notice: Notice,
) -> UnsyncBoxBody<Bytes, Broken> {
    let events = Events {
        items: Some(items),
        request_id,
        keep_alive: keep_alive.max(Duration::from_millis(1)),
        notice,
        given: 0,
    };
    let frames = stream::unfold(events, async |mut events| {
        let event = events.next().await?;
        Some((Ok(Frame::data(event)), events))
    });
    StreamBody::new(frames).boxed_unsync()
}

impl Events {
    async fn next(&mut self) -> Option<Bytes> {
        let items = self.items.as_mut()?;
        let item = tokio::select! {
            biased;
            () = self.notice.draining() => Some(Err(drain::problem())),
            item = items.next() => item,
            () = sleep(self.keep_alive) => return Some(Bytes::from_static(COMMENT)),
        };
        Some(match item {
            Some(Ok(json)) => {
                self.given += 1;
                event(&format!("id: {}\n", self.given), &json)
            }
            Some(Err(problem)) => self.last("problem", &self.document(&problem)),
            // Browsers pass over an event without data.
            None => self.last("end", b"{}"),
        })
    }

    fn last(&mut self, kind: &str, json: &[u8]) -> Bytes {
        self.items = None;
        event(&format!("event: {kind}\n"), json)
    }

    fn document(&self, problem: &Problem) -> Vec<u8> {
        problem.to_json(self.request_id.to_text().as_str())
    }
}

/// A line break can stand in JSON, between its parts; in an event it begins another line of data.
fn event(head: &str, json: &[u8]) -> Bytes {
    let mut event = Vec::with_capacity(head.len() + json.len() + 8);
    event.extend_from_slice(head.as_bytes());
    for line in json.split(|byte| matches!(byte, b'\n' | b'\r')) {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line);
        event.push(b'\n');
    }
    event.push(b'\n');
    event.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_not_ended_by_a_line_break_in_its_data() {
        assert_eq!(event("id: 1\n", b"{}"), "id: 1\ndata: {}\n\n");
        assert_eq!(
            event("", b"{\n\"a\":1}\r"),
            "data: {\ndata: \"a\":1}\ndata: \n\n"
        );
    }
}
