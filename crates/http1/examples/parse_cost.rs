//! Prints what reading and writing heads costs: `cargo run --release -p bastide-http1 --example parse_cost`.
//!
//! The reference is httparse, which only splits lines: it neither finds the framing nor refuses what
//! this crate refuses. Each figure is the best of several rounds, as machines are shared.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::hint::black_box;
use std::time::Instant;

use bastide_http1::{
    BodyDecoder, Known, Limits, Method, RequestHead, ResponseBody, ResponseHead, Step, copy_field,
    end_head, write_request_line,
};

const REQUEST: &[u8] = b"GET /api/v1/orders/8f14e45f?limit=20&sort=-created HTTP/1.1\r\n\
    Host: api.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: application/json, text/plain, */*\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    X-API-Key: gk_live_0123456789ab_0123456789abcdef0123456789abcdef0123456789a_abcdef\r\n\
    X-Request-Id: 7b0c6d0e-6f0f-4b8a-9a57-1f0f4f1f2e3d\r\n\
    Cache-Control: no-cache\r\n\
    Connection: keep-alive\r\n\r\n";

const SMALL_REQUEST: &[u8] =
    b"GET /small HTTP/1.1\r\nHost: localhost:3000\r\nX-API-Key: abcdef0123456789\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: nginx\r\n\
    Date: Tue, 18 Nov 2025 12:00:00 GMT\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 27\r\n\
    Connection: keep-alive\r\n\
    Keep-Alive: timeout=5\r\n\r\n";

const CHUNKED: &[u8] = b"400\r\n";

fn main() {
    let limits = Limits::default();
    let mut head = RequestHead::new();
    measure("request, 8 fields", || {
        head.parse(black_box(REQUEST), &limits).expect("valid");
        black_box(head.find(Known::XApiKey));
    });
    measure("request, 2 fields", || {
        head.parse(black_box(SMALL_REQUEST), &limits)
            .expect("valid");
    });
    measure("httparse, the same 8 fields, lines only", || {
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut fields);
        black_box(request.parse(black_box(REQUEST)).expect("valid"));
    });
    let mut response = ResponseHead::new();
    measure("response, 6 fields", || {
        response
            .parse(black_box(RESPONSE), &limits, Method::Get)
            .expect("valid");
    });

    let mut long = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    long.resize(31 * 1024, b'x');
    long.extend_from_slice(b"\r\n\r\n");
    let mut fed = 0;
    measure(
        "one more byte of a head of 31 KiB that comes byte by byte",
        || {
            fed = fed % long.len() + 1;
            black_box(head.parse(&long[..fed], &limits).expect("valid"));
        },
    );

    head.clear();
    head.parse(REQUEST, &limits).expect("valid");
    let mut out = Vec::new();
    measure("write the request, 8 fields", || {
        out.clear();
        write_request_line(&mut out, head.method(), head.path_and_query()).expect("valid");
        for field in head.fields().iter().filter(|field| !field.hop) {
            copy_field(&mut out, head.name(field), head.value(field));
        }
        end_head(&mut out);
        black_box(&out);
    });

    let mut body = CHUNKED.to_vec();
    body.resize(body.len() + 1024, b'x');
    body.extend_from_slice(b"\r\n0\r\n\r\n");
    let mut decoder = BodyDecoder::new(ResponseBody::Chunked, &limits);
    measure("decode one chunk of 1 KiB and the end", || {
        decoder.reset(ResponseBody::Chunked);
        let mut input = black_box(&body[..]);
        while let Step::Data { consumed, .. } = decoder.decode(input).expect("valid") {
            input = &input[consumed..];
        }
    });
}

fn measure(name: &str, mut work: impl FnMut()) {
    const CALLS: u32 = 200_000;
    let best = (0..15)
        .map(|_| {
            let start = Instant::now();
            (0..CALLS).for_each(|_| work());
            start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
        })
        .fold(f64::INFINITY, f64::min);
    println!("{best:7.1} ns  {name}");
}
