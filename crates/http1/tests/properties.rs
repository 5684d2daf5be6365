//! Properties over generated input: cuts do not matter, nothing panics or loops, what is written is
//! read back, and what is accepted is written again with the same meaning.

#![allow(
    clippy::unwrap_used,
    reason = "a test may panic in its own functions, too"
)]

mod support;

use bastide_http1::{
    BodyDecoder, BodyEncoder, Limits, Method, RequestBody, RequestHead, ResponseBody, ResponseHead,
    Step, copy_field, end_head, write_chunked, write_length, write_request_line, write_status_line,
};
use proptest::prelude::*;
use support::{body_in_pieces, fetch, serve, serve_within};

/// Pieces that heads and bodies are made of, sound and unsound, so that random rows of them come near
/// every rule.
const REQUEST_PIECES: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n",
    "POST /b?c HTTP/1.1\r\nHost: b:80\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n",
    "GET http://a/b HTTP/1.1\r\nHost: c\r\n",
    "PUT /d HTTP/1.0\r\n",
    "GET ",
    " HTTP/1.1",
    "Host: a\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive, x-a\r\n",
    "Expect: 100-continue\r\n",
    "X-A: b\r\n",
    "X-B:\t \r\n",
    "X_C: \u{e9}\r\n",
    "\r\n",
    "\r\n\r\n",
    "hello",
    "5\r\nhello\r\n",
    "3;a=\"b\"\r\nabc\r\n",
    "0\r\n\r\n",
    "0\r\nX: y\r\n\r\n",
    "\r",
    "\n",
    " ",
    ":",
    "\0",
];

const RESPONSE_PIECES: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 200\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 304 \r\n",
    "HTTP/1.1 ",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "X: y\r\n",
    "\r\n",
    "hello",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "\r",
    "\n",
    " ",
];

fn rows(pieces: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        12 => prop::sample::select(pieces).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    let start = prop::sample::select(&pieces[..5]).prop_map(|piece| piece.as_bytes().to_vec());
    (start, prop::collection::vec(piece, 0..12)).prop_map(|(start, rest)| {
        let mut bytes = start;
        bytes.extend(rest.into_iter().flatten());
        // Both readings get to see the end of the last line.
        bytes.extend_from_slice(b"\r\n");
        bytes
    })
}

/// Cuts `bytes` at these places, given as fractions of its length.
fn cut<'a>(bytes: &'a [u8], places: &[f64]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = places
        .iter()
        .map(|place| (place * bytes.len() as f64) as usize)
        .collect();
    places.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for place in places.into_iter().chain([bytes.len()]) {
        pieces.push(&bytes[from..place]);
        from = place;
    }
    pieces
}

fn places() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(0.0..1.0, 0..6)
}

fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9!#$%&'*+.^`|~-]{1,12}"
}

/// Names without meaning to the codec, so that any may stand beside any.
fn fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let value = prop::collection::vec(prop_oneof![Just(b'\t'), 0x20..0x7fu8, 0x80..=0xffu8], 0..40)
        .prop_map(|value| value.trim_ascii().to_vec());
    prop::collection::vec((token().prop_map(|name| format!("q-{name}")), value), 0..10)
}

fn data() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..6)
}

proptest! {
    #[test]
    fn cuts_do_not_matter_for_requests(bytes in rows(REQUEST_PIECES), places in places()) {
        let whole = serve(&[&bytes]);
        prop_assert_eq!(&whole, &serve(&cut(&bytes, &places)));
        prop_assert_eq!(&whole, &serve(&bytes.chunks(1).collect::<Vec<_>>()));
    }

    /// Not a byte later, or a client that waits for its answer would wait for ever.
    #[test]
    fn a_head_is_found_as_soon_as_it_is_there(bytes in rows(REQUEST_PIECES), places in places()) {
        let limits = Limits::default();
        let mut head = RequestHead::new();
        let mut come = 0;
        for piece in cut(&bytes, &places) {
            come += piece.len();
            let found = head.parse(&bytes[..come], &limits);
            let fresh = RequestHead::new().parse(&bytes[..come], &limits);
            if let Ok(fresh) = fresh {
                prop_assert_eq!(found, Ok(fresh));
            }
            if found != Ok(None) {
                break;
            }
        }
    }

    #[test]
    fn cuts_do_not_matter_at_the_limits(
        bytes in rows(REQUEST_PIECES),
        places in places(),
        head_bytes in 0..100usize,
        fields in 0..4usize,
        small in 0..12usize,
    ) {
        let limits = Limits {
            head_bytes,
            fields,
            target_bytes: small,
            chunk_line_bytes: small,
            chunk_extension_bytes: small,
            trailer_bytes: small,
        };
        let whole = serve_within(limits, &[&bytes]);
        prop_assert_eq!(&whole, &serve_within(limits, &cut(&bytes, &places)));
        prop_assert_eq!(&whole, &serve_within(limits, &bytes.chunks(1).collect::<Vec<_>>()));
    }

    #[test]
    fn cuts_do_not_matter_for_responses(bytes in rows(RESPONSE_PIECES), places in places(), head: bool) {
        let method = if head { Method::Head } else { Method::Get };
        let whole = fetch(method, &[&bytes]);
        prop_assert_eq!(&whole, &fetch(method, &cut(&bytes, &places)));
        prop_assert_eq!(&whole, &fetch(method, &bytes.chunks(1).collect::<Vec<_>>()));
    }

    #[test]
    fn arbitrary_bytes_neither_panic_nor_loop(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let limits = Limits { head_bytes: 200, target_bytes: 20, ..Limits::default() };
        if let Ok(Some(consumed)) = RequestHead::new().parse(&bytes, &limits) {
            prop_assert!(consumed <= bytes.len());
        }
        if let Ok(Some(consumed)) = ResponseHead::new().parse(&bytes, &limits, Method::Get) {
            prop_assert!(consumed <= bytes.len());
        }
        for framing in [ResponseBody::Chunked, ResponseBody::Length(100), ResponseBody::UntilClose] {
            let mut decoder = BodyDecoder::new(framing, &limits);
            let mut rest = &bytes[..];
            while let Ok(Step::Data { consumed, data }) = decoder.decode(rest) {
                prop_assert!(!data.is_empty() && data.end <= consumed && consumed <= rest.len());
                rest = &rest[consumed..];
            }
        }
    }

    /// A caller that breaks the rule of growing input gets nonsense, but no panic.
    #[test]
    fn changed_input_does_not_panic(pieces in prop::collection::vec(rows(REQUEST_PIECES), 1..5), limit in 0..100usize) {
        let mut request = RequestHead::new();
        let mut response = ResponseHead::new();
        for (i, piece) in pieces.iter().enumerate() {
            let limits = Limits { head_bytes: if i % 2 == 0 { 4096 } else { limit }, ..Limits::default() };
            let end = piece.len() * (i + 1) / (i + 2);
            let _ = request.parse(&piece[..end], &limits);
            let _ = response.parse(&piece[..end], &limits, Method::Get);
        }
    }

    #[test]
    fn written_requests_are_read_back(
        method in "[A-Z]{1,10}",
        path in "/[a-zA-Z0-9/%._~!$&'()*+,;=:@?-]{0,40}",
        fields in fields(),
        data in data(),
        chunked: bool,
        trailers in fields(),
        places in places(),
    ) {
        prop_assume!(method != "CONNECT");
        let length = data.iter().map(Vec::len).sum::<usize>() as u64;
        let framing = if chunked { RequestBody::Chunked } else { RequestBody::Length(length) };
        let mut out = Vec::new();
        write_request_line(&mut out, method.as_bytes(), path.as_bytes()).unwrap();
        copy_field(&mut out, b"host", b"a");
        for (name, value) in &fields {
            copy_field(&mut out, name.as_bytes(), value);
        }
        if chunked { write_chunked(&mut out) } else { write_length(&mut out, length) }
        end_head(&mut out);
        let head_len = out.len();
        write_body(framing.into(), &data, &trailers, &mut out);

        let mut head = RequestHead::new();
        prop_assert_eq!(head.parse(&out, &Limits::default()), Ok(Some(head_len)));
        prop_assert_eq!(head.method(), method.as_bytes());
        prop_assert_eq!(head.path_and_query(), path.as_bytes());
        prop_assert_eq!(head.body(), framing);
        for (field, (name, value)) in head.fields()[1..].iter().zip(&fields) {
            prop_assert_eq!((head.name(field), head.value(field)), (name.as_bytes(), &value[..]));
        }
        let body = body_in_pieces(framing.into(), &cut(&out[head_len..], &places)).unwrap();
        prop_assert!(body.done);
        prop_assert_eq!(body.consumed, out.len() - head_len);
        prop_assert_eq!(body.data, data.concat());
        if chunked {
            let sent: Vec<_> = trailers.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect();
            prop_assert_eq!(body.trailers, sent);
        }
    }

    #[test]
    fn written_responses_are_read_back(
        status in 200..=999u16,
        reason in "[ -~]{0,20}",
        fields in fields(),
        data in data(),
        framing in 0..3usize,
    ) {
        prop_assume!(!matches!(status, 204 | 304));
        let length = data.iter().map(Vec::len).sum::<usize>() as u64;
        let framing = [ResponseBody::Chunked, ResponseBody::Length(length), ResponseBody::UntilClose][framing];
        let mut out = Vec::new();
        write_status_line(&mut out, status, reason.as_bytes()).unwrap();
        for (name, value) in &fields {
            copy_field(&mut out, name.as_bytes(), value);
        }
        match framing {
            ResponseBody::Chunked => write_chunked(&mut out),
            ResponseBody::Length(length) => write_length(&mut out, length),
            _ => {}
        }
        end_head(&mut out);
        write_body(framing, &data, &[], &mut out);
        let expected = format!("{status} {}", data.concat().escape_ascii());
        prop_assert_eq!(fetch(Method::Get, &[&out]), [expected]);
    }

    /// What a gateway does: read, drop what is hop-by-hop, write again. The next reader must see the same
    /// request.
    #[test]
    fn what_is_accepted_keeps_its_meaning_when_forwarded(bytes in rows(REQUEST_PIECES)) {
        let limits = Limits::default();
        let mut first = RequestHead::new();
        if !matches!(first.parse(&bytes, &limits), Ok(Some(_))) {
            return Ok(());
        }
        let mut out = Vec::new();
        write_request_line(&mut out, first.method(), first.path_and_query()).unwrap();
        for field in first.fields().iter().filter(|field| !field.hop) {
            copy_field(&mut out, first.name(field), first.value(field));
        }
        if first.host().is_none() {
            copy_field(&mut out, b"host", b"default");
        }
        if first.body() == RequestBody::Chunked {
            write_chunked(&mut out);
        }
        end_head(&mut out);
        let mut second = RequestHead::new();
        prop_assert_eq!(second.parse(&out, &limits), Ok(Some(out.len())));
        prop_assert_eq!(second.body(), first.body());
        prop_assert_eq!(second.host(), first.host().or(Some(b"default")));
        prop_assert_eq!(second.path_and_query(), first.path_and_query());
        prop_assert!(second.fields().iter().all(|field| !field.hop || field.known == bastide_http1::Known::TransferEncoding));
    }
}

fn write_body(
    framing: ResponseBody,
    data: &[Vec<u8>],
    trailers: &[(String, Vec<u8>)],
    out: &mut Vec<u8>,
) {
    let mut encoder = BodyEncoder::new(framing);
    for (i, piece) in data.iter().enumerate() {
        if i % 2 == 0 {
            encoder.encode(piece, out).unwrap();
        } else {
            encoder.begin(piece.len(), out).unwrap();
            out.extend_from_slice(piece);
            encoder.end(out).unwrap();
        }
    }
    let trailers = trailers
        .iter()
        .map(|(name, value)| (name.as_bytes(), &value[..]));
    encoder.finish(trailers, out).unwrap();
}
