//! Bodies, rule by rule (RFC 9112 sections 6 and 7), in both directions.

mod support;

use bastide_http1::{
    BodyDecoder, BodyEncoder, BodyError, EncodeError, Limits, RequestBody, ResponseBody, Step,
};
use support::{body, body_code, check};

#[test]
fn bodies_end_where_the_framing_says() {
    let whole = body(ResponseBody::None, b"GET /").unwrap();
    assert_eq!((whole.data.len(), whole.consumed, whole.done), (0, 0, true));
    let whole = body(ResponseBody::Length(0), b"GET /").unwrap();
    assert_eq!((whole.consumed, whole.done), (0, true));
    let whole = body(ResponseBody::Length(3), b"abcGET /").unwrap();
    assert_eq!(
        (&whole.data[..], whole.consumed, whole.done),
        (&b"abc"[..], 3, true)
    );
    let part = body(ResponseBody::Length(5), b"abc").unwrap();
    assert_eq!((part.consumed, part.done), (3, false));
    let whole = body(
        ResponseBody::Chunked,
        b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nGET /",
    )
    .unwrap();
    assert_eq!(
        (&whole.data[..], whole.consumed, whole.done),
        (&b"abcde"[..], 24, true)
    );
    let part = body(ResponseBody::UntilClose, b"abc").unwrap();
    assert_eq!((&part.data[..], part.done), (&b"abc"[..], false));
}

#[test]
fn the_end_of_the_connection_ends_only_what_has_no_other_end() {
    let ended = |framing: ResponseBody, input: &[u8]| {
        let mut decoder = BodyDecoder::new(framing, &Limits::default());
        let mut rest = input;
        while let Step::Data { consumed, .. } = decoder.decode(rest).unwrap() {
            rest = &rest[consumed..];
        }
        (decoder.end_of_input(), decoder.is_done())
    };
    let truncated = (Err(BodyError::Truncated), false);
    assert_eq!(ended(ResponseBody::UntilClose, b"abc"), (Ok(()), true));
    assert_eq!(ended(ResponseBody::None, b""), (Ok(()), true));
    assert_eq!(ended(ResponseBody::Length(3), b"abc"), (Ok(()), true));
    assert_eq!(ended(ResponseBody::Length(4), b"abc"), truncated);
    for input in [
        &b""[..],
        b"3",
        b"3\r\nabc",
        b"3\r\nabc\r\n",
        b"0\r\n",
        b"0\r\nX: y\r\n",
    ] {
        assert_eq!(ended(ResponseBody::Chunked, input), truncated, "{input:?}");
    }
}

#[rustfmt::skip]
#[test]
fn chunk_rules() {
    check(
        &[
            ("9112-7.1 last chunk", b"0\r\n\r\n", "accepted"),
            ("9112-7.1 last chunk of several zeros", b"000\r\n\r\n", "accepted"),
            ("9112-7.1 upper and lower case", b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "accepted"),
            ("9112-7.1 no size", b"\r\n\r\n", "invalid_chunk_size"),
            ("9112-7.1 leading space", b" 5\r\nhello\r\n0\r\n\r\n", "invalid_chunk_size"),
            ("9112-7.1 trailing space", b"5 \r\nhello\r\n0\r\n\r\n", "invalid_chunk_extension"),
            ("9112-7.1 sign", b"+5\r\nhello\r\n0\r\n\r\n", "invalid_chunk_size"),
            ("9112-7.1 minus", b"-0x0\r\n\r\n", "invalid_chunk_size"),
            ("9112-7.1 prefix", b"0x5\r\nhello\r\n0\r\n\r\n", "invalid_chunk_size"),
            ("9112-7.1 underscore", b"1_0\r\n", "invalid_chunk_size"),
            ("9112-7.1 comma", b"5,5\r\n", "invalid_chunk_size"),
            ("9112-7.1 not hex", b"G\r\n", "invalid_chunk_size"),
            ("9112-7.1 17 digits", b"00000000000000005\r\n", "invalid_chunk_size"),
            ("9112-7.1 overflow", b"10000000000000000\r\n", "invalid_chunk_size"),
            ("9112-7.1 negative if signed", b"FFFFFFFFFFFFFFFF\r\n", "invalid_chunk_size"),
            ("9112-7.1 bare LF after the size", b"5\nhello\r\n0\r\n\r\n", "invalid_chunk_size"),
            ("9112-7.1 bare CR after the size", b"5\rhello\r\n0\r\n\r\n", "invalid_chunk_end"),
            ("9112-7.1 two CR after the size", b"5\r\r\nhello\r\n0\r\n\r\n", "invalid_chunk_end"),
            ("9112-7.1 bare LF after the data", b"5\r\nhello\n0\r\n\r\n", "invalid_chunk_end"),
            ("9112-7.1 bare CR after the data", b"5\r\nhello\r0\r\n\r\n", "invalid_chunk_end"),
            ("9112-7.1 data too long", b"5\r\nhello!!\r\n0\r\n\r\n", "invalid_chunk_end"),
            ("9112-7.1 data too short", b"5\r\nhell\r\n0\r\n\r\n", "invalid_chunk_end"),
            ("9112-7.1 no end of data", b"5\r\nhello0\r\n\r\n", "invalid_chunk_end"),
            ("9112-7.1 extra CRLF before the end", b"5\r\nhello\r\n\r\n0\r\n\r\n", "invalid_chunk_size"),
            ("9112-7.1 NUL", b"5\0\r\nhello\r\n0\r\n\r\n", "invalid_chunk_size"),
            ("9112-7.1.1 empty extension", b"5;\r\nhello\r\n0\r\n\r\n", "invalid_chunk_extension"),
            ("9112-7.1.1 bare LF in an extension", b"5;a\nhello\r\n0\r\n\r\n", "invalid_chunk_extension"),
            ("9112-7.1.1 bare CR in an extension", b"5;a\rX\r\nhello\r\n0\r\n\r\n", "invalid_chunk_end"),
            ("9112-7.1.1 CR in a quoted extension", b"5;a=\"\r\nX\"\r\nhello\r\n0\r\n\r\n", "invalid_chunk_extension"),
            ("9112-7.1.1 LF in a quoted extension", b"5;a=\"\nX\"\r\nhello\r\n0\r\n\r\n", "invalid_chunk_extension"),
            ("9112-7.1.1 not a token", b"5;bad[=x\r\nhello\r\n0\r\n\r\n", "invalid_chunk_extension"),
            ("9112-7.1.1 extension on the last chunk", b"0;a=b\r\n\r\n", "accepted"),
            ("9112-7.1.2 bare LF ends the trailers", b"0\r\n\n", "bare_lf"),
            ("9112-7.1.2 CR and another byte end the trailers", b"0\r\n\rX\n", "bare_cr"),
            ("9112-7.1.2 two bytes for the last CRLF", b"0\r\nX:POST / HTTP/1.1\r\n\r\n", "accepted"),
            ("9112-7.1.2 no CRLF after the last chunk", b"0\r\nXX", "incomplete"),
            ("9112-7.1.2 no colon", b"0\r\nX\r\n\r\n", "missing_colon"),
            ("9112-7.1.2 folded", b"0\r\nX: a\r\n b\r\n\r\n", "folded_field"),
            ("9112-7.1.2 space before the colon", b"0\r\nX : a\r\n\r\n", "space_before_colon"),
            ("9112-7.1.2 empty name", b"0\r\n: a\r\n\r\n", "empty_field_name"),
            ("9112-7.1.2 NUL", b"0\r\nX: \0\r\n\r\n", "invalid_field_value"),
            ("9112-7.1.2 alias", b"0\r\nContent_Length: 5\r\n\r\n", "framing_alias"),
        ],
        body_code,
    );
}

#[test]
fn forbidden_trailers_are_dropped() {
    let input = "0\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nAuthorization: x\r\n\
        X-API-Key: x\r\nX_Api_Key: x\r\nCookie: x\r\nSet-Cookie: x\r\nContent-Type: x\r\nContent-Encoding: x\r\n\
        Connection: x\r\nTE: x\r\nTrailer: x\r\nX-Forwarded-For: x\r\nCache-Control: x\r\nMax-Forwards: 1\r\n\
        Grpc-Status:  0 \r\nETag: \"x\"\r\nX-Checksum: abc\r\n\r\nnext";
    let body = body(ResponseBody::Chunked, input.as_bytes()).unwrap();
    assert_eq!((body.consumed, body.done), (input.len() - 4, true));
    let kept: Vec<_> = body
        .trailers
        .iter()
        .map(|(name, value)| {
            (
                str::from_utf8(name).unwrap(),
                str::from_utf8(value).unwrap(),
            )
        })
        .collect();
    assert_eq!(
        kept,
        [
            ("Grpc-Status", "0"),
            ("ETag", "\"x\""),
            ("X-Checksum", "abc")
        ]
    );
}

#[test]
fn everything_around_the_data_is_bounded() {
    let trailer = format!("0\r\nX: {}", "a".repeat(8 * 1024));
    assert_eq!(body_code(trailer.as_bytes()), "trailers_too_large");
    let trailers = format!("0\r\n{}", "X: a\r\n".repeat(101));
    assert_eq!(body_code(trailers.as_bytes()), "trailers_too_large");
    let extension = format!("5;{}", "a".repeat(255));
    assert_eq!(body_code(extension.as_bytes()), "chunk_line_too_long");
    let extensions = format!("1;{}\r\na\r\n", "x".repeat(200)).repeat(90);
    assert_eq!(body_code(extensions.as_bytes()), "chunk_line_too_long");
}

#[test]
fn a_failed_body_stays_failed() {
    let mut decoder = BodyDecoder::new(RequestBody::Chunked, &Limits::default());
    assert_eq!(decoder.decode(b"x"), Err(BodyError::InvalidChunkSize));
    assert_eq!(decoder.decode(b""), Err(BodyError::InvalidChunkSize));
    assert_eq!(
        decoder.decode(b"0\r\n\r\n"),
        Err(BodyError::InvalidChunkSize)
    );
    assert_eq!(decoder.end_of_input(), Err(BodyError::InvalidChunkSize));
    assert!(!decoder.is_done());
    decoder.reset(RequestBody::Length(1));
    assert_eq!(decoder.remaining(), Some(1));
    assert_eq!(
        decoder.decode(b"ab"),
        Ok(Step::Data {
            consumed: 1,
            data: 0..1
        })
    );
    assert_eq!((decoder.is_done(), decoder.remaining()), (true, Some(0)));
    assert_eq!(decoder.decode(b"b"), Ok(Step::Done { consumed: 0 }));
}

const NO_TRAILERS: [(&[u8], &[u8]); 0] = [];

#[test]
fn chunks_are_written_with_their_size_and_end() {
    let mut out = Vec::new();
    let mut encoder = BodyEncoder::new(ResponseBody::Chunked);
    encoder.encode(b"hello", &mut out).unwrap();
    encoder.encode(b"", &mut out).unwrap();
    encoder.begin(0x1a2b, &mut out).unwrap();
    assert_eq!(out, b"5\r\nhello\r\n1a2b\r\n");
    assert_eq!(encoder.begin(1, &mut out), Err(EncodeError::OutOfOrder));
    assert_eq!(
        encoder.finish(NO_TRAILERS, &mut out),
        Err(EncodeError::OutOfOrder)
    );
    out.clear();
    encoder.end(&mut out).unwrap();
    assert_eq!((encoder.is_finished(), encoder.remaining()), (false, None));
    let trailers = [
        (&b"grpc-status"[..], &b"0"[..]),
        (b"content-length", b"5"),
        (b"x_api_key", b"k"),
    ];
    encoder.finish(trailers, &mut out).unwrap();
    assert_eq!(out, b"\r\n0\r\ngrpc-status: 0\r\n\r\n");
    assert!(encoder.is_finished());
    for result in [
        encoder.begin(1, &mut out),
        encoder.end(&mut out),
        encoder.encode(b"", &mut out),
        encoder.finish(NO_TRAILERS, &mut out),
    ] {
        assert_eq!(result, Err(EncodeError::OutOfOrder));
    }
}

#[test]
fn a_length_is_kept_exactly() {
    let mut out = Vec::new();
    let mut encoder = BodyEncoder::new(RequestBody::Length(5));
    encoder.encode(b"hel", &mut out).unwrap();
    assert_eq!(
        encoder.finish(NO_TRAILERS, &mut out),
        Err(EncodeError::Underrun)
    );
    assert_eq!(encoder.encode(b"lo!", &mut out), Err(EncodeError::Overrun));
    assert_eq!(encoder.remaining(), Some(2));
    encoder.encode(b"lo", &mut out).unwrap();
    encoder
        .finish([(&b"x"[..], &b"dropped"[..])], &mut out)
        .unwrap();
    assert_eq!(out, b"hello");
    assert_eq!(
        BodyEncoder::new(ResponseBody::None).encode(b"x", &mut out),
        Err(EncodeError::Overrun)
    );
    let mut encoder = BodyEncoder::new(ResponseBody::UntilClose);
    encoder.encode(b" world", &mut out).unwrap();
    encoder.finish(NO_TRAILERS, &mut out).unwrap();
    assert_eq!(out, b"hello world");
}

#[test]
fn a_bad_trailer_leaves_the_body_open_and_nothing_written() {
    let mut out = Vec::new();
    let mut encoder = BodyEncoder::new(ResponseBody::Chunked);
    let bad = [(&b"ok"[..], &b"1"[..]), (b"x", b"a\r\n\r\nGET / HTTP/1.1")];
    assert_eq!(
        encoder.finish(bad, &mut out),
        Err(EncodeError::InvalidValue)
    );
    let bad = [(&b"x\r\ny"[..], &b"1"[..])];
    assert_eq!(encoder.finish(bad, &mut out), Err(EncodeError::InvalidName));
    assert!(out.is_empty() && !encoder.is_finished());
    encoder.finish(NO_TRAILERS, &mut out).unwrap();
    assert_eq!(out, b"0\r\n\r\n");
}
