//! Payload families of request smuggling and response splitting, as whole connections: what hides in
//! each must be refused, or stay the body of the request it belongs to.
//!
//! The families are those of public collections: the HTTP Garden's list of parser bugs, `Http11Probe`'s
//! cases, and the classic CL.TE, TE.CL, TE.TE, CL.0 and HTTP/1.0 desyncs.

mod support;

use bastide_http1::Method;
use support::{fetch, serve};

fn served(rows: &[(&str, &[u8], &[&str])]) {
    let wrong: Vec<_> = rows
        .iter()
        .filter(|(_, input, expected)| serve(&[input]) != *expected)
        .map(|(name, input, expected)| format!("{name}: {:?}, not {expected:?}", serve(&[input])))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
#[rustfmt::skip]
fn two_framings() {
    served(&[
        ("CL.TE", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", &["refused length_and_transfer_encoding"]),
        ("TE.CL", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n", &["refused length_and_transfer_encoding"]),
        ("CL.TE with length 0", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &["refused length_and_transfer_encoding"]),
        ("TE.TE, second unknown", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", &["refused repeated_transfer_encoding"]),
        ("TE.TE, first unknown", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &["refused repeated_transfer_encoding"]),
        ("TE.TE, twice the same", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-encoding: chunked\r\n\r\n1\r\nZ\r\n0\r\n\r\n", &["refused repeated_transfer_encoding"]),
        ("TE in HTTP/1.0", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &["refused transfer_encoding_in_http10"]),
        ("TE and CL in HTTP/1.0", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello", &["refused length_and_transfer_encoding"]),
        ("CL.CL", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 10\r\n\r\nhelloworld", &["refused repeated_content_length"]),
        ("CL.CL the same", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", &["refused repeated_content_length"]),
        ("CL.CL first empty", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\nContent-Length: 43\r\n\r\n", &["refused invalid_content_length"]),
        ("CL.CL far apart", b"POST / HTTP/1.1\r\nContent-Length: 0\r\nHost: a\r\nX: y\r\nCONTENT-LENGTH: 31\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n", &["refused repeated_content_length"]),
        ("nominated length", b"POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\nhello", &["POST / hello"]),
        ("alias of the coding", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello", &["refused framing_alias"]),
        ("alias of the length", b"POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\nhello", &["refused framing_alias"]),
    ]);
}

#[test]
#[rustfmt::skip]
fn disguised_transfer_encodings() {
    let of = |field: &str| serve(&[format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n0\r\n\r\n").as_bytes()]);
    for (field, code) in [
        ("Transfer-Encoding: xchunked", "invalid_transfer_encoding"),
        ("Transfer-Encoding: chunkedx", "invalid_transfer_encoding"),
        ("Transfer-Encoding: chunked, chunked", "invalid_transfer_encoding"),
        ("Transfer-Encoding: chunked, identity", "invalid_transfer_encoding"),
        ("Transfer-Encoding: identity", "invalid_transfer_encoding"),
        ("Transfer-Encoding: identity, chunked", "invalid_transfer_encoding"),
        ("Transfer-Encoding: ,chunked", "invalid_transfer_encoding"),
        ("Transfer-Encoding: , chunked", "invalid_transfer_encoding"),
        ("Transfer-Encoding: chunked,", "invalid_transfer_encoding"),
        ("Transfer-Encoding: chunked, gzip", "invalid_transfer_encoding"),
        ("Transfer-Encoding: chunked;ext=val", "invalid_transfer_encoding"),
        ("Transfer-Encoding: \"chunked\"", "invalid_transfer_encoding"),
        ("Transfer-Encoding: blegh", "invalid_transfer_encoding"),
        ("Transfer-Encoding:", "invalid_transfer_encoding"),
        ("Transfer-Encoding: chunk ed", "invalid_transfer_encoding"),
        ("Transfer-Encoding: \u{a0}chunked", "invalid_transfer_encoding"),
        ("Transfer-Encoding: gzip, chunked", "unsupported_transfer_coding"),
        ("Transfer-Encoding: \x0bchunked", "invalid_field_value"),
        ("Transfer-Encoding: \x0cchunked", "invalid_field_value"),
        ("Transfer-Encoding: chunked\0", "invalid_field_value"),
        ("Transfer-Encoding: chunked\x0b", "invalid_field_value"),
        ("Transfer-Encoding:\r\n chunked", "invalid_transfer_encoding"),
        ("Transfer-Encoding:\n chunked", "bare_lf"),
        ("Transfer-Encoding: chunked\rX", "bare_cr"),
        ("X: y\rTransfer-Encoding: chunked", "bare_cr"),
        ("X: y\nTransfer-Encoding: chunked", "bare_lf"),
        ("Transfer-Encoding : chunked", "space_before_colon"),
        ("Transfer-Encoding\t: chunked", "space_before_colon"),
        (" Transfer-Encoding: chunked", "folded_field"),
        ("Transfer-\r\nEncoding: chunked", "missing_colon"),
        ("Transfer-Encoding\u{b}: chunked", "invalid_field_name"),
        ("\u{feff}Transfer-Encoding: chunked", "invalid_field_name"),
    ] {
        // A folded line is only seen behind the line it folds; either refusal will do.
        let found = of(field);
        let expected = if field.contains("\r\n chunked") { "folded_field" } else { code };
        assert_eq!(found, [format!("refused {expected}")], "{field:?}");
    }
    for field in ["Transfer-Encoding: chunked", "TRANSFER-ENCODING:CHUNKED", "transfer-encoding: \t Chunked \t"] {
        assert_eq!(of(field), ["POST / "], "{field:?}");
    }
}

#[test]
fn disguised_lengths() {
    for value in [
        "+5",
        "-5",
        "-0",
        "0x5",
        "0o5",
        "05",
        "005",
        "00",
        "1_0",
        "1 0",
        "5 5",
        "5,5",
        "5, 5",
        "5, 10",
        "5;",
        "5.0",
        "5e0",
        "",
        ",",
        "\"5\"",
        "5a",
        "a5",
        "18446744073709551621",
        "9223372036854775808",
        "4294967296000000000000",
        "\u{ff15}",
    ] {
        let input = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {value}\r\n\r\nhello");
        assert_eq!(
            serve(&[input.as_bytes()]),
            ["refused invalid_content_length"],
            "{value:?}"
        );
    }
    for value in ["5", " 5", "  5  ", "\t5\t"] {
        let input = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:{value}\r\n\r\nhello");
        assert_eq!(serve(&[input.as_bytes()]), ["POST / hello"], "{value:?}");
    }
}

#[test]
#[rustfmt::skip]
fn chunked_bodies() {
    let of = |body: &str| serve(&[format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}").as_bytes()]);
    for (body, code) in [
        ("0_2e\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "invalid_chunk_size"),
        ("0x1\r\nZ\r\n0\r\n\r\n", "invalid_chunk_size"),
        ("-0x0\r\n\r\n", "invalid_chunk_size"),
        ("+0\r\n\r\n", "invalid_chunk_size"),
        ("           0\r\n\r\n", "invalid_chunk_size"),
        ("\r\n\r\n", "invalid_chunk_size"),
        ("INVALID!!!\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_chunk_size"),
        ("1these-bytes-never-get-validated\r\nZ\r\n0\r\n\r\n", "invalid_chunk_size"),
        ("Z\r\nZZ\r\nZZZ\r\n\r\n", "invalid_chunk_size"),
        ("5\r\r;ABCD\r\n34\r\nE\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n", "invalid_chunk_end"),
        ("2\r\r;a\r\n02\r\n41\r\n0\r\n\r\n", "invalid_chunk_end"),
        ("41;a=b\r\rXXXX", "invalid_chunk_end"),
        ("1\r0\n", "invalid_chunk_end"),
        ("5\n\rhello\r\n0\r\n\r\n", "invalid_chunk_size"),
        ("a\r\n0123456789\n0\r\n\r\n", "invalid_chunk_end"),
        ("17\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n\r\n\r\n0\r\n\r\n", "invalid_chunk_size"),
        ("5;\nhello\r\n0\r\n\r\n", "invalid_chunk_extension"),
        ("5;a=\"\nhello\r\n0\r\n\r\n", "invalid_chunk_extension"),
        ("5;a=\"\r\nhello\"\r\n0\r\n\r\n", "invalid_chunk_extension"),
        ("5;\0ext\r\nhello\r\n0\r\n\r\n", "invalid_chunk_extension"),
        ("5\u{a0}\r\nhello\r\n0\r\n\r\n", "invalid_chunk_size"),
        ("fffffffffffffff6\r\nhello\r\n0\r\n\r\n", "invalid_chunk_size"),
        ("100000000000000005\r\nhello\r\n0\r\n\r\n", "invalid_chunk_size"),
        ("0\r\n\n", "bare_lf"),
        ("0\n\n", "invalid_chunk_size"),
        ("0\r\nX: a\nGET /evil HTTP/1.1\r\n\r\n", "bare_lf"),
        ("0\r\nX: a\rY: b\r\n\r\n", "bare_cr"),
        ("0\r\nTransfer_Encoding: chunked\r\n\r\n", "framing_alias"),
    ] {
        assert_eq!(of(body), [format!("refused {code}")], "{body:?}");
    }
    // The next request is the one behind the body, whatever the trailers look like.
    for trailers in ["", "Content-Length: 50\r\n", "Transfer-Encoding: chunked\r\n", "Host: evil\r\n", "X:POST / HTTP/1.1\r\n"] {
        let body = format!("5\r\nhello\r\n0\r\n{trailers}\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(of(&body), ["POST / hello", "GET /2 "], "{trailers:?}");
    }
}

#[test]
#[rustfmt::skip]
fn requests_inside_requests() {
    served(&[
        ("a body that is a request", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 28\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", &[r"POST / GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"]),
        ("CL.0 on GET", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n1234567890GET /2 HTTP/1.1\r\nHost: a\r\n\r\n", &["GET / 1234567890", "GET /2 "]),
        ("CL.0 on HEAD", b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", &["HEAD / hello"]),
        ("CL.0 on OPTIONS", b"OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", &["OPTIONS * hello"]),
        ("POST without framing", b"POST / HTTP/1.1\r\nHost: a\r\n\r\nhello", &["POST / ", "incomplete"]),
        ("pipelined behind length 0", b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", &["POST /1 ", "GET /2 "]),
        ("an empty line between requests", b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", &["GET /1 ", "GET /2 "]),
        ("bytes behind the last request", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nInvalid\r\n\r\n", &["GET / "]),
        ("a byte behind chunks", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\0", &["POST / ", "refused invalid_method"]),
        ("HTTP/1.0 closes", b"GET /1 HTTP/1.0\r\n\r\nGET /2 HTTP/1.0\r\n\r\n", &["GET /1 "]),
        ("nothing after CONNECT is a request", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", &["CONNECT a:1 "]),
        ("a request in a field by LF", b"GET / HTTP/1.1\r\nHost: a\r\nX:\n\nGET / HTTP/1.1\r\n\r\n", &["refused bare_lf"]),
        ("a request in a field by NUL", b"GET / HTTP/1.1\r\nHost: a\r\nX: v\0\ralue\r\n\r\n", &["refused invalid_field_value"]),
        ("the head cut by an empty field", b"GET / HTTP/1.1\r\n:\r\nI: am chopped off\r\n\r\n", &["refused empty_field_name"]),
        ("the head cut by CR", b"GET / HTTP/1.1\r\nHost: a\r\n\rZGET /evil: HTTP/1.1\r\nHost: a\r\n\r\n", &["refused bare_cr"]),
        ("the head ended by LF alone", b"GET / HTTP/1.1\nHost: a\nConnection: close\n\n", &["refused bare_lf"]),
        ("a request line in the target", b"GET /\r\nX: HTTP/1.1\r\nHost: a\r\n\r\n", &["refused missing_version"]),
        ("h2c upgrade is seen", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", &["GET / "]),
        ("host of troubles", b"GET http://good/ HTTP/1.1\r\nHost: evil\r\nHost: good\r\n\r\n", &["refused repeated_host"]),
        ("host of troubles, blank", b"GET / HTTP/1.1\r\n Host: evil\r\nHost: good\r\n\r\n", &["refused folded_field"]),
        ("host with NUL", b"GET / HTTP/1.1\r\nHost: good\0.evil\r\n\r\n", &["refused invalid_field_value"]),
        ("binary", b"\x8f\x00\x01\xff\xfe\r\n\r\n", &["refused invalid_method"]),
    ]);
}

#[test]
#[rustfmt::skip]
fn responses() {
    for (name, method, input, expected) in [
        ("two framings", Method::Get, &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"[..], &["refused length_and_transfer_encoding"][..]),
        ("bytes behind the body", Method::Get, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", &["200 ok", "bytes left"]),
        ("bytes behind the chunks", Method::Get, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX", &["200 ", "bytes left"]),
        ("a body behind HEAD", Method::Head, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", &["200 ", "bytes left"]),
        ("a body behind 304", Method::Get, b"HTTP/1.1 304 x\r\nContent-Length: 2\r\n\r\nok", &["304 ", "bytes left"]),
        ("a body behind 204", Method::Get, b"HTTP/1.1 204 x\r\nContent-Length: 2\r\n\r\nok", &["204 ", "bytes left"]),
        ("bytes behind a switch", Method::Get, b"HTTP/1.1 101 x\r\n\r\nGET", &["101 ", "bytes left"]),
        ("half a length", Method::Get, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", &["refused truncated_body"]),
        ("half a chunk", Method::Get, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok", &["refused truncated_body"]),
        ("no last chunk", Method::Get, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", &["refused truncated_body"]),
        ("until close", Method::Get, b"HTTP/1.1 200 OK\r\n\r\nok", &["200 ok"]),
        ("informational first", Method::Get, b"HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &["100", "200 "]),
        ("only informational", Method::Get, b"HTTP/1.1 100 x\r\n\r\n", &["100", "incomplete"]),
        ("an informational body", Method::Get, b"HTTP/1.1 103 x\r\nContent-Length: 19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", &["refused unexpected_body"]),
        ("a split response", Method::Get, b"HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b\r\n\r\n", &["refused bare_lf"]),
        ("closed before the head", Method::Get, b"HTTP/1.1 200 OK\r\nX: a", &["incomplete"]),
        ("closed at once", Method::Get, b"", &["incomplete"]),
    ] {
        assert_eq!(fetch(method, &[input]), expected, "{name}");
    }
}
