//! What several test files need.
#![allow(dead_code, reason = "no single test file uses all of it")]

use bastide_http1::{
    BodyDecoder, BodyError, Limits, Method, RequestError, RequestHead, ResponseBody, ResponseError,
    ResponseHead, Step,
};

/// Reads a request head that must be there whole; the head and what it took.
pub(crate) fn request(input: &[u8]) -> Result<(RequestHead, usize), RequestError> {
    let mut head = RequestHead::new();
    let consumed = head.parse(input, &Limits::default())?;
    Ok((head, consumed.expect("a complete head")))
}

/// The code of the error that `input` is refused with.
pub(crate) fn request_code(input: &[u8]) -> &'static str {
    match RequestHead::new().parse(input, &Limits::default()) {
        Ok(Some(_)) => "accepted",
        Ok(None) => "incomplete",
        Err(error) => error.code(),
    }
}

/// Reads a response to `GET` that must be there whole.
pub(crate) fn response(input: &[u8]) -> Result<(ResponseHead, usize), ResponseError> {
    response_to(Method::Get, input)
}

pub(crate) fn response_to(
    method: Method,
    input: &[u8],
) -> Result<(ResponseHead, usize), ResponseError> {
    let mut head = ResponseHead::new();
    let consumed = head.parse(input, &Limits::default(), method)?;
    Ok((head, consumed.expect("a complete head")))
}

pub(crate) fn response_code(input: &[u8]) -> &'static str {
    match ResponseHead::new().parse(input, &Limits::default(), Method::Get) {
        Ok(Some(_)) => "accepted",
        Ok(None) => "incomplete",
        Err(error) => error.code(),
    }
}

/// A body as far as `input` reaches: its data, what it took, whether it is done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) data: Vec<u8>,
    pub(crate) consumed: usize,
    pub(crate) done: bool,
    pub(crate) trailers: Vec<(Vec<u8>, Vec<u8>)>,
}

pub(crate) fn body(framing: ResponseBody, input: &[u8]) -> Result<Body, BodyError> {
    body_in_pieces(framing, &[input])
}

/// Reads a body that comes in pieces, as a connection would: what was not consumed is kept.
pub(crate) fn body_in_pieces(framing: ResponseBody, pieces: &[&[u8]]) -> Result<Body, BodyError> {
    let mut decoder = BodyDecoder::new(framing, &Limits::default());
    let mut body = Body {
        data: Vec::new(),
        consumed: 0,
        done: false,
        trailers: Vec::new(),
    };
    let mut buffer = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let (consumed, more) = match decoder.decode(&buffer)? {
                Step::Data { consumed, data } => {
                    assert!(!data.is_empty() && data.end <= consumed);
                    body.data.extend_from_slice(&buffer[data]);
                    (consumed, true)
                }
                Step::More { consumed } => {
                    assert_eq!(consumed, buffer.len(), "More uses everything up");
                    (consumed, false)
                }
                Step::Done { consumed } => (consumed, false),
            };
            body.consumed += consumed;
            buffer.drain(..consumed);
            if !more {
                break;
            }
        }
    }
    body.done = decoder.is_done();
    body.trailers = decoder
        .trailers()
        .iter()
        .map(|(name, value)| (name.to_vec(), value.to_vec()))
        .collect();
    Ok(body)
}

pub(crate) fn body_code(input: &[u8]) -> &'static str {
    match body(ResponseBody::Chunked, input) {
        Ok(body) if body.done => "accepted",
        Ok(_) => "incomplete",
        Err(error) => error.code(),
    }
}

/// Compares each row's code with what `of` says, and reports every row that differs.
pub(crate) fn check(rows: &[(&str, &[u8], &str)], of: fn(&[u8]) -> &'static str) {
    let wrong: Vec<_> = rows
        .iter()
        .filter(|(_, input, code)| of(input) != *code)
        .map(|(name, input, code)| format!("{name}: {} instead of {code}", of(input)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a server makes of the bytes of a connection: each complete request as `METHOD target body`, then
/// `refused CODE` or `incomplete` unless the input ended between requests.
pub(crate) fn serve(pieces: &[&[u8]]) -> Vec<String> {
    serve_within(Limits::default(), pieces)
}

pub(crate) fn serve_within(limits: Limits, pieces: &[&[u8]]) -> Vec<String> {
    let mut head = RequestHead::new();
    let mut decoder = BodyDecoder::new(ResponseBody::None, &limits);
    let mut in_body = false;
    let mut data = Vec::new();
    let mut buffer = Vec::new();
    let mut events = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            if in_body {
                let (consumed, more) = match decoder.decode(&buffer) {
                    Ok(Step::Data {
                        consumed,
                        data: range,
                    }) => {
                        data.extend_from_slice(&buffer[range]);
                        (consumed, true)
                    }
                    Ok(Step::More { consumed }) => (consumed, false),
                    Ok(Step::Done { consumed }) => {
                        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
                        let (method, target) = (text(head.method()), text(head.target()));
                        events.push(format!("{method} {target} {}", text(&data)));
                        data.clear();
                        in_body = false;
                        // What follows a tunnel or a last request is no request.
                        if !head.keep_alive() || head.method_kind() == Method::Connect {
                            return events;
                        }
                        (consumed, true)
                    }
                    Err(error) => {
                        events.push(format!("refused {}", error.code()));
                        return events;
                    }
                };
                buffer.drain(..consumed);
                if !more {
                    break;
                }
            } else {
                match head.parse(&buffer, &limits) {
                    Ok(Some(consumed)) => {
                        buffer.drain(..consumed);
                        decoder.reset(head.body());
                        in_body = true;
                    }
                    Ok(None) => break,
                    Err(error) => {
                        events.push(format!("refused {}", error.code()));
                        return events;
                    }
                }
            }
        }
    }
    if in_body || !buffer.is_empty() {
        events.push("incomplete".to_owned());
    }
    events
}

/// What a client makes of the bytes that answer one request and of the end of the connection behind
/// them: each informational status, then `STATUS body` or `refused CODE`, then whether bytes are left.
pub(crate) fn fetch(method: Method, pieces: &[&[u8]]) -> Vec<String> {
    let limits = Limits::default();
    let mut head = ResponseHead::new();
    let mut decoder = BodyDecoder::new(ResponseBody::None, &limits);
    let mut in_body = false;
    let mut data = Vec::new();
    let mut buffer = Vec::new();
    let mut events = Vec::new();
    let refused = |code| format!("refused {code}");
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while !in_body {
            match head.parse(&buffer, &limits, method) {
                Ok(Some(consumed)) => {
                    buffer.drain(..consumed);
                    if head.is_informational() {
                        events.push(head.status().to_string());
                        continue;
                    }
                    decoder.reset(head.body());
                    in_body = true;
                }
                Ok(None) => break,
                Err(error) => {
                    events.push(refused(error.code()));
                    return events;
                }
            }
        }
        if !in_body {
            continue;
        }
        loop {
            let (consumed, more) = match decoder.decode(&buffer) {
                Ok(Step::Data {
                    consumed,
                    data: range,
                }) => {
                    data.extend_from_slice(&buffer[range]);
                    (consumed, true)
                }
                Ok(Step::More { consumed } | Step::Done { consumed }) => (consumed, false),
                Err(error) => {
                    events.push(refused(error.code()));
                    return events;
                }
            };
            buffer.drain(..consumed);
            if !more {
                break;
            }
        }
    }
    if !in_body {
        events.push("incomplete".to_owned());
        return events;
    }
    match decoder.end_of_input() {
        Ok(()) => events.push(format!("{} {}", head.status(), data.escape_ascii())),
        Err(error) => events.push(refused(error.code())),
    }
    if !buffer.is_empty() {
        events.push("bytes left".to_owned());
    }
    events
}
