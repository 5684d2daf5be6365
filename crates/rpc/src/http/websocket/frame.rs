//! What is said over a WebSocket: JSON in text frames.
//!
//! A client sends `{"id":1,"call":"users@1.0.0/find","input":{..},"timeoutMs":500}`, `{"id":1,"cancel":true}` or
//! `{"authenticate":{"token":".."}}`. Each call is answered under its id: by `{"id":1,"status":200,"output":..}`, by
//! `{"id":1,"item":..}` for each item of a stream and `{"id":1,"end":true}` after them, or by
//! `{"id":1,"status":403,"problem":{..}}`, which is the last in any case. A problem without an id is one of a frame.

use std::time::Duration;

use bastide_config::Secret;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Message;

use crate::input;
use crate::problem::Problem;

/// What a client wants.
#[derive(Debug)]
pub(super) enum Request {
    Call {
        id: u64,
        method: String,
        input: Bytes,
        timeout: Option<Duration>,
    },
    Cancel(u64),
    Authenticate(Secret),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Frame {
    id: Option<u64>,
    call: Option<String>,
    #[serde(default, deserialize_with = "input::as_it_stands")]
    input: Option<Box<RawValue>>,
    timeout_ms: Option<u64>,
    cancel: Option<bool>,
    authenticate: Option<Authenticate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Authenticate {
    token: String,
}

impl Request {
    pub(super) fn read(text: &str) -> Result<Self, Problem> {
        let frame: Frame =
            serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
        match frame {
            Frame {
                id: Some(id),
                call: Some(method),
                input,
                timeout_ms,
                cancel: None,
                authenticate: None,
            } => {
                let input = input.map_or_else(Bytes::new, |input| {
                    String::from(Box::<str>::from(input)).into()
                });
                let timeout = timeout_ms.map(Duration::from_millis);
                Ok(Self::Call {
                    id,
                    method,
                    input,
                    timeout,
                })
            }
            Frame {
                id: Some(id),
                call: None,
                input: None,
                timeout_ms: None,
                cancel: Some(true),
                authenticate: None,
            } => Ok(Self::Cancel(id)),
            Frame {
                id: None,
                call: None,
                input: None,
                timeout_ms: None,
                cancel: None,
                authenticate: Some(Authenticate { token }),
            } => Ok(Self::Authenticate(Secret::new(token))),
            _ => Err(malformed(
                "a frame has `id` and `call`, or `id` and `\"cancel\":true`, or `authenticate`"
                    .to_owned(),
            )),
        }
    }
}

fn malformed(detail: String) -> Problem {
    Problem::new(400, "malformed_frame", detail)
}

pub(super) fn output(id: u64, json: &[u8]) -> Message {
    text(format!(r#"{{"id":{id},"status":200,"output":"#), json)
}

pub(super) fn item(id: u64, json: &[u8]) -> Message {
    text(format!(r#"{{"id":{id},"item":"#), json)
}

pub(super) fn end(id: u64) -> Message {
    Message::text(format!(r#"{{"id":{id},"end":true}}"#))
}

/// Without an id where it is not about a call.
pub(super) fn problem(id: Option<u64>, problem: &Problem, request_id: &str) -> Message {
    let id = id.map_or_else(String::new, |id| format!(r#""id":{id},"#));
    let status = problem.status();
    text(
        format!(r#"{{{id}"status":{status},"problem":"#),
        &problem.to_json(request_id),
    )
}

fn text(mut head: String, json: &[u8]) -> Message {
    head.push_str(&String::from_utf8_lossy(json));
    head.push('}');
    Message::text(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_asks_for_one_thing() {
        let call = r#"{"id":1,"call":"users/find","input":{"id":7},"timeoutMs":500}"#;
        let Ok(Request::Call {
            id: 1,
            method,
            input,
            timeout,
        }) = Request::read(call)
        else {
            panic!("it is a call");
        };
        assert_eq!(
            (method.as_str(), &input[..]),
            ("users/find", &br#"{"id":7}"#[..])
        );
        assert_eq!(timeout, Some(Duration::from_millis(500)));
        let cancel = Request::read(r#"{"id":1,"cancel":true}"#);
        assert!(matches!(cancel, Ok(Request::Cancel(1))));
        let authenticate = Request::read(r#"{"authenticate":{"token":"x"}}"#);
        assert!(matches!(authenticate, Ok(Request::Authenticate(_))));
        for bad in [
            "",
            "[]",
            "{}",
            "{",
            r#"{"id":1}"#,
            r#"{"call":"users/find"}"#,
            r#"{"id":-1,"call":"users/find"}"#,
            r#"{"id":"1","call":"users/find"}"#,
            r#"{"id":1,"id":2,"call":"users/find"}"#,
            r#"{"id":1,"call":"users/find","cancel":true}"#,
            r#"{"id":1,"cancel":false}"#,
            r#"{"id":1,"cancel":true,"input":{}}"#,
            r#"{"id":1,"call":"users/find","identity":{"roles":["admin"]}}"#,
            r#"{"id":1,"authenticate":{"token":"x"}}"#,
            r#"{"authenticate":{}}"#,
            r#"{"id":1,"call":"users/find"} {}"#,
        ] {
            assert_eq!(
                Request::read(bad).unwrap_err().code(),
                "malformed_frame",
                "{bad}"
            );
        }
    }

    #[test]
    fn an_answer_stands_under_its_id() {
        let text = |message: Message| message.into_text().unwrap().to_string();
        assert_eq!(
            text(output(7, b"[1]")),
            r#"{"id":7,"status":200,"output":[1]}"#
        );
        assert_eq!(text(item(7, b"1")), r#"{"id":7,"item":1}"#);
        assert_eq!(text(end(7)), r#"{"id":7,"end":true}"#);
        let gone = Problem::new(404, "gone", "it is gone");
        let under = |id| text(problem(id, &gone, "x"));
        assert!(under(Some(7)).starts_with(r#"{"id":7,"status":404,"problem":{"type""#));
        assert!(under(None).starts_with(r#"{"status":404,"problem":{"#));
        assert!(serde_json::from_str::<serde_json::Value>(&under(None)).is_ok());
    }
}
