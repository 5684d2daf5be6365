//! Requests in which two servers could see different requests: refused before anybody else sees them, and the connection
//! closed, as nothing behind them can be told apart.

use std::time::Duration;

use crate::harness::{Gateway, TenantKey};
use crate::raw::{self, End, Server, Tape, Taped, requests};
use crate::scene::{gateway_before, one_worker};

/// How long a connection that must be closed may stay open: longer than the gateway lingers for the client's sake.
const CLOSED_WITHIN: Duration = Duration::from_secs(6);

/// A gateway before an upstream whose tape shows every byte.
pub(crate) struct Trap {
    pub(crate) gateway: Gateway,
    pub(crate) tenant: TenantKey,
    pub(crate) tape: Tape,
    _server: Server,
}

impl Trap {
    #[track_caller]
    pub(crate) fn new() -> Self {
        let (server, tape) = raw::recorder();
        let (gateway, tenant) = gateway_before(one_worker(), &server.url());
        Self {
            gateway,
            tenant,
            tape,
            _server: server,
        }
    }

    /// `$H` stands for the lines with host and key.
    pub(crate) fn fill(&self, template: &[u8]) -> Vec<u8> {
        let lines = format!("Host: a\r\nX-API-Key: {}", self.tenant.key);
        let mut filled = Vec::new();
        let mut rest = template;
        while let Some(at) = raw::find(rest, b"$H") {
            filled.extend_from_slice(&rest[..at]);
            filled.extend_from_slice(lines.as_bytes());
            rest = &rest[at + 2..];
        }
        filled.extend_from_slice(rest);
        filled
    }

    /// Sends a payload; what the client and the upstream saw.
    pub(crate) fn spring(
        &self,
        template: &[u8],
        patience: Duration,
    ) -> (Vec<u16>, End, Vec<Taped>) {
        let (bytes, end) = raw::exchange(self.gateway.public, &self.fill(template), patience);
        let taped = self
            .tape
            .take()
            .iter()
            .flat_map(|bytes| requests(bytes))
            .collect();
        (raw::statuses(&bytes), end, taped)
    }

    /// Fails unless each payload is answered by its status alone, closed on, and never seen upstream.
    #[track_caller]
    pub(crate) fn assert_refused(&self, cases: &[(&str, u16, &[u8])]) {
        let mut wrong = Vec::new();
        for (name, status, payload) in cases {
            let (statuses, end, taped) = self.spring(payload, CLOSED_WITHIN);
            if statuses != [*status] || end != End::Closed || !taped.is_empty() {
                wrong.push(format!(
                    "{name}: {statuses:?}, not {status}; {end:?}; upstream saw {taped:?}"
                ));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

#[rustfmt::skip]
#[test]
fn two_framings_are_refused() {
    Trap::new().assert_refused(&[
        ("CL.TE", 400, b"POST / HTTP/1.1\r\n$H\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"),
        ("TE.CL", 400, b"POST / HTTP/1.1\r\n$H\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGPOST /evil HTTP/1.1\r\n\r\n0\r\n\r\n"),
        ("CL.TE with length 0", 400, b"POST / HTTP/1.1\r\n$H\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("CL.CL", 400, b"POST / HTTP/1.1\r\n$H\r\nContent-Length: 5\r\nContent-Length: 10\r\n\r\nhelloworld"),
        ("CL.CL the same", 400, b"POST / HTTP/1.1\r\n$H\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
        ("CL list", 400, b"POST / HTTP/1.1\r\n$H\r\nContent-Length: 5, 5\r\n\r\nhello"),
        ("CL.CL far apart", 400, b"POST / HTTP/1.1\r\nContent-Length: 0\r\n$H\r\nX: y\r\nCONTENT-LENGTH: 31\r\n\r\nGET /evil HTTP/1.1\r\n$H\r\n\r\n"),
        ("TE.TE, second unknown", 400, b"POST / HTTP/1.1\r\n$H\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n"),
        ("TE.TE, first unknown", 400, b"POST / HTTP/1.1\r\n$H\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("TE.TE, the same", 400, b"POST / HTTP/1.1\r\n$H\r\nTransfer-Encoding: chunked\r\nTransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("TE in HTTP/1.0", 400, b"POST / HTTP/1.0\r\n$H\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("TE in HTTP/1.0, kept alive", 400, b"POST / HTTP/1.0\r\n$H\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\n$H\r\n\r\n"),
        ("an alias of the length", 400, b"POST / HTTP/1.1\r\n$H\r\nContent_Length: 5\r\n\r\nhello"),
        ("an alias of the coding", 400, b"POST / HTTP/1.1\r\n$H\r\nTransfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello"),
    ]);
}

#[test]
fn disguised_lengths_are_refused() {
    let trap = Trap::new();
    for value in [
        "+5",
        "-5",
        "-0",
        "0x5",
        "05",
        "00",
        "1_0",
        "5 5",
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
        "\u{ff15}",
        "\u{b}5",
        "5\0",
    ] {
        let payload = format!(
            "POST / HTTP/1.1\r\n$H\r\nContent-Length: {value}\r\n\r\nhelloGET /evil HTTP/1.1\r\n$H\r\n\r\n"
        );
        trap.assert_refused(&[(value, 400, payload.as_bytes())]);
    }
}

#[test]
fn disguised_transfer_encodings_are_refused() {
    let trap = Trap::new();
    for (field, status) in [
        ("Transfer-Encoding: xchunked", 400),
        ("Transfer-Encoding: chunked, chunked", 400),
        ("Transfer-Encoding: chunked, identity", 400),
        ("Transfer-Encoding: identity", 400),
        ("Transfer-Encoding: identity, chunked", 400),
        ("Transfer-Encoding: ,chunked", 400),
        ("Transfer-Encoding: chunked,", 400),
        ("Transfer-Encoding: chunked;ext=val", 400),
        ("Transfer-Encoding: \"chunked\"", 400),
        ("Transfer-Encoding:", 400),
        ("Transfer-Encoding: chunk ed", 400),
        ("Transfer-Encoding: \u{a0}chunked", 400),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: \x0bchunked", 400),
        ("Transfer-Encoding: chunked\0", 400),
        ("Transfer-Encoding:\r\n chunked", 400),
        ("Transfer-Encoding:\n chunked", 400),
        ("Transfer-Encoding: chunked\rX", 400),
        ("X: y\rTransfer-Encoding: chunked", 400),
        ("X: y\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding : chunked", 400),
        ("Transfer-Encoding\t: chunked", 400),
        (" Transfer-Encoding: chunked", 400),
        ("Transfer-\r\nEncoding: chunked", 400),
        ("Transfer-Encoding\u{b}: chunked", 400),
        ("\u{feff}Transfer-Encoding: chunked", 400),
    ] {
        let payload = format!(
            "POST / HTTP/1.1\r\n$H\r\n{field}\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\n$H\r\n\r\n"
        );
        trap.assert_refused(&[(field, status, payload.as_bytes())]);
    }
}

#[rustfmt::skip]
#[test]
fn lines_that_are_not_lines_are_refused() {
    Trap::new().assert_refused(&[
        ("bare LF everywhere", 400, b"GET / HTTP/1.1\n$H\n\n"),
        ("bare LF ends the head", 400, b"GET / HTTP/1.1\r\n$H\r\n\n"),
        ("bare LF in a field", 400, b"GET / HTTP/1.1\r\n$H\nX: b\r\n\r\n"),
        ("bare CR in a value", 400, b"GET / HTTP/1.1\r\n$H\r\nX: a\rb\r\n\r\n"),
        ("bare CR before CRLF", 400, b"GET / HTTP/1.1\r\n$H\r\r\n\r\n"),
        ("the head cut by CR", 400, b"GET / HTTP/1.1\r\n$H\r\n\rZGET /evil: HTTP/1.1\r\n$H\r\n\r\n"),
        ("a folded field", 400, b"GET / HTTP/1.1\r\n$H\r\nX: a\r\n b\r\n\r\n"),
        ("a folded field by tab", 400, b"GET / HTTP/1.1\r\n$H\r\nX: a\r\n\tb\r\n\r\n"),
        ("a blank first line", 400, b"GET / HTTP/1.1\r\n X: a\r\n$H\r\n\r\n"),
        ("a space before the colon", 400, b"GET / HTTP/1.1\r\nX : a\r\n$H\r\n\r\n"),
        ("an empty name", 400, b"GET / HTTP/1.1\r\n: a\r\n$H\r\n\r\n"),
        ("no colon", 400, b"GET / HTTP/1.1\r\nX\r\n$H\r\n\r\n"),
        ("NUL in a name", 400, b"GET / HTTP/1.1\r\nX\0Y: a\r\n$H\r\n\r\n"),
        ("NUL in a value", 400, b"GET / HTTP/1.1\r\nX: a\0b\r\n$H\r\n\r\n"),
        ("NUL in the target", 400, b"GET /a\0b HTTP/1.1\r\n$H\r\n\r\n"),
        ("DEL in a value", 400, b"GET / HTTP/1.1\r\nX: \x7f\r\n$H\r\n\r\n"),
        ("a request in a value by LF", 400, b"GET / HTTP/1.1\r\n$H\r\nX: \n\nGET /evil HTTP/1.1\r\n\r\n"),
        ("two spaces in the line", 400, b"GET  / HTTP/1.1\r\n$H\r\n\r\n"),
        ("a tab in the line", 400, b"GET\t/ HTTP/1.1\r\n$H\r\n\r\n"),
        ("a space in the target", 400, b"GET /a b HTTP/1.1\r\n$H\r\n\r\n"),
        ("a word behind the version", 400, b"GET / HTTP/1.1 x\r\n$H\r\n\r\n"),
        ("a request line in the target", 400, b"GET /\r\nX: HTTP/1.1\r\n$H\r\n\r\n"),
        ("HTTP/0.9", 400, b"GET /\r\n\r\n"),
        ("HTTP/1.2", 505, b"GET / HTTP/1.2\r\n$H\r\n\r\n"),
        ("HTTP/2.0 by name", 505, b"GET / HTTP/2.0\r\n$H\r\n\r\n"),
        ("HTTP/01.1", 400, b"GET / HTTP/01.1\r\n$H\r\n\r\n"),
        ("lower case", 400, b"GET / http/1.1\r\n$H\r\n\r\n"),
        ("no method", 400, b" / HTTP/1.1\r\n$H\r\n\r\n"),
        ("a method that is none", 400, b"GE\"T / HTTP/1.1\r\n$H\r\n\r\n"),
        ("TLS", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("binary", 400, b"\x8f\x00\x01\xff\xfe\r\n\r\n"),
    ]);
}

#[rustfmt::skip]
#[test]
fn two_opinions_on_the_host_are_refused() {
    Trap::new().assert_refused(&[
        ("no host", 400, b"GET / HTTP/1.1\r\nX: a\r\n\r\n"),
        ("no host beside an absolute target", 400, b"GET http://a/ HTTP/1.1\r\n\r\n"),
        ("two hosts", 400, b"GET / HTTP/1.1\r\n$H\r\nHost: b\r\n\r\n"),
        ("two equal hosts", 400, b"GET / HTTP/1.1\r\n$H\r\nhost: a\r\n\r\n"),
        ("two hosts in HTTP/1.0", 400, b"GET / HTTP/1.0\r\n$H\r\nHost: a\r\n\r\n"),
        ("an empty host", 400, b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        ("a list of hosts", 400, b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
        ("a host with a path", 400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        ("a host with a user", 400, b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        ("a host with NUL", 400, b"GET / HTTP/1.1\r\nHost: a\0.evil\r\n\r\n"),
        ("a bad host beside an absolute target", 400, b"GET http://a/ HTTP/1.1\r\nHost: @\r\n\r\n"),
        ("another scheme", 400, b"GET ftp://a/ HTTP/1.1\r\n$H\r\n\r\n"),
        ("a user in the target", 400, b"GET http://u:p@a/ HTTP/1.1\r\n$H\r\n\r\n"),
    ]);
}

#[test]
fn what_is_too_large_is_refused() {
    let trap = Trap::new();
    let target = format!("GET /{} HTTP/1.1\r\n$H\r\n\r\n", "a".repeat(9000));
    let value = format!("GET / HTTP/1.1\r\n$H\r\nX: {}\r\n\r\n", "a".repeat(40_000));
    let endless = format!("GET / HTTP/1.1\r\n$H\r\nX: {}", "a".repeat(100_000));
    let fields = format!("GET / HTTP/1.1\r\n$H\r\n{}\r\n", "X: a\r\n".repeat(120));
    let options = format!(
        "GET / HTTP/1.1\r\n$H\r\nConnection: {}\r\n\r\n",
        "a,".repeat(10_000)
    );
    let method = format!("{} / HTTP/1.1\r\n$H\r\n\r\n", "A".repeat(1000));
    trap.assert_refused(&[
        ("the target", 414, target.as_bytes()),
        ("a value", 431, value.as_bytes()),
        ("a value without end", 431, endless.as_bytes()),
        ("the number of fields", 431, fields.as_bytes()),
        ("the number of connection options", 400, options.as_bytes()),
        ("the method", 400, method.as_bytes()),
        (
            "an expectation",
            417,
            b"POST / HTTP/1.1\r\n$H\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\nx",
        ),
        (
            "a list of expectations",
            417,
            b"POST / HTTP/1.1\r\n$H\r\nExpect: 100-continue, x\r\nContent-Length: 1\r\n\r\nx",
        ),
    ]);
}

#[test]
fn methods_and_upgrades_that_leave_the_protocol_never_reach_the_upstream() {
    let trap = Trap::new();
    for (name, status, payload) in [
        ("CONNECT", 405, &b"CONNECT a:443 HTTP/1.1\r\n$H\r\nConnection: close\r\n\r\n"[..]),
        ("CONNECT by path", 400, b"CONNECT / HTTP/1.1\r\n$H\r\nConnection: close\r\n\r\n"),
        ("TRACE", 405, b"TRACE / HTTP/1.1\r\n$H\r\nConnection: close\r\n\r\n"),
        ("h2c", 400, b"GET / HTTP/1.1\r\n$H\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"),
        ("h2c beside websocket", 400, b"GET / HTTP/1.1\r\n$H\r\nConnection: Upgrade, close\r\nUpgrade: websocket, h2c\r\n\r\n"),
        ("TLS", 400, b"GET / HTTP/1.1\r\n$H\r\nConnection: Upgrade, close\r\nUpgrade: TLS/1.2\r\n\r\n"),
        ("an asterisk", 400, b"GET * HTTP/1.1\r\n$H\r\nConnection: close\r\n\r\n"),
    ] {
        let (statuses, end, taped) = trap.spring(payload, CLOSED_WITHIN);
        assert_eq!((statuses, end, taped), (vec![status], End::Closed, vec![]), "{name}");
    }
}

#[test]
fn a_refused_connect_opens_no_way_for_what_follows() {
    let trap = Trap::new();
    let payload = b"CONNECT a:443 HTTP/1.1\r\n$H\r\n\r\nGET /evil HTTP/1.1\r\n\r\n";
    let (statuses, end, taped) = trap.spring(payload, CLOSED_WITHIN);
    assert_eq!(statuses.first(), Some(&405));
    assert!(
        statuses[1..].iter().all(|status| *status == 400),
        "{statuses:?}"
    );
    assert_eq!((end, taped), (End::Closed, vec![]));
}
