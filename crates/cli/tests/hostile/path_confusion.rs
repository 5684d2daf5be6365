//! Paths that mean one thing to the gateway and another to the upstream: refused, or passed on as they stand, and never out
//! of what the route opens.

use serde_json::json;

use crate::harness::{Answer, Gateway, TenantKey, Upstream};
use crate::raw;
use crate::scene::one_worker;

/// A gateway that opens `/public` of a tenant to `/base` of an upstream.
struct Walls {
    gateway: Gateway,
    upstream: Upstream,
    tenant: TenantKey,
}

impl Walls {
    fn new() -> Self {
        let gateway = Gateway::start(one_worker());
        let upstream = Upstream::start(|request| Answer::text(&request.target));
        let tenant = gateway.tenant("acme");
        gateway.route(json!({
            "tenantId": tenant.id, "method": "*", "path": "/public", "pathType": "prefix",
            "upstreams": [{ "url": format!("{}/base", upstream.url()) }],
        }));
        Self {
            gateway,
            upstream,
            tenant,
        }
    }

    /// Sends a target as it stands. The status and what the upstream was asked for.
    fn ask(&self, target: &[u8]) -> (u16, Option<String>) {
        self.upstream.forget();
        let mut bytes = b"GET ".to_vec();
        bytes.extend_from_slice(target);
        let rest = format!(
            " HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nConnection: close\r\n\r\n",
            self.tenant.key
        );
        bytes.extend_from_slice(rest.as_bytes());
        let (answer, _) = raw::exchange(self.gateway.public, &bytes, raw::PATIENCE);
        let status = raw::statuses(&answer).first().copied().unwrap_or_default();
        let mut seen = self.upstream.requests();
        assert!(seen.len() < 2, "{seen:?}");
        (status, seen.pop().map(|request| request.target))
    }
}

/// Where a path leads for a server that decodes once, takes `\` for `/`, cuts `;` parameters and resolves dots.
fn resolved(target: &str) -> String {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let mut decoded = Vec::new();
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let mut digit = || {
            bytes
                .next()
                .map(char::from)
                .and_then(|digit| digit.to_digit(16))
        };
        match byte {
            b'%' => {
                let (Some(high), Some(low)) = (digit(), digit()) else {
                    return "/invalid".to_owned();
                };
                decoded.push((high * 16 + low) as u8);
            }
            other => decoded.push(other),
        }
    }
    let decoded = String::from_utf8_lossy(&decoded).replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

fn is_inside(target: &str) -> bool {
    let resolved = resolved(target);
    resolved == "/base" || resolved.starts_with("/base/")
}

#[test]
fn the_judge_of_these_tests_knows_the_ways_out() {
    for outside in [
        "/base/../secret",
        "/base/%2e%2e/secret",
        "/base/..%2fsecret",
        "/base/..%5csecret",
        "/base/..;/secret",
    ] {
        assert!(!is_inside(outside), "{outside}");
    }
    for inside in [
        "/base",
        "/base/a",
        "/base/%252e%252e/a",
        "/base/...",
        "/base//a",
        "/base/a;v=1",
        "/base/a%2fb",
    ] {
        assert!(is_inside(inside), "{inside}");
    }
}

#[test]
fn dot_segments_are_refused_however_they_are_written() {
    let walls = Walls::new();
    let mut wrong = Vec::new();
    for target in [
        "/public/../secret",
        "/public/./a",
        "/public/..",
        "/public/.",
        "/../public",
        "/public/a/../../../secret",
        "/public/%2e%2e/secret",
        "/public/%2E%2E/secret",
        "/public/.%2e/secret",
        "/public/%2e./secret",
        "/public/%2e/a",
        "/public/a/%2e%2e",
        "/public/..?x=1",
        "/public/%2e%2e?x=1",
        "/public/..#a",
        "/public\\..\\secret",
        "/public/..\\secret",
        "/public/..%5csecret",
        "/public%5c..%5csecret",
        "/public/%5c../secret",
        "/public/a%00b",
        "/public/%00",
        "/public/..%00/secret",
        "/public/a%0d%0aX:%20y",
        "/public/a%0ab",
        "/public/%7f",
        "/public/%c0%ae%c0%ae/secret",
        "/public/%e0%80%ae%e0%80%ae/secret",
        "/public/%c0%af..%c0%afsecret",
        "/public/%ff",
        "/public/%ed%a0%80",
        "/public/%",
        "/public/%2",
        "/public/%zz",
        "/public/%u002e%u002e/secret",
        "/public/a#/../secret",
        "/public#",
        "http://a/public/../secret",
        "http://a/public/%2e%2e/secret",
    ] {
        let (status, seen) = walls.ask(target.as_bytes());
        if (status, &seen) != (400, &None) {
            wrong.push(format!("{target}: {status}, upstream saw {seen:?}"));
        }
    }
    for raw in [
        &b"/public/\xc0\xae\xc0\xae/secret"[..],
        b"/public/\xff",
        b"/public/a\x01b",
        b"/public/caf\xc3\xa9",
    ] {
        let (status, seen) = walls.ask(raw);
        if (status, &seen) != (400, &None) {
            wrong.push(format!("{raw:?}: {status}, upstream saw {seen:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_leads_out_of_the_base_path() {
    let walls = Walls::new();
    let dots = [
        "..",
        "%2e%2e",
        ".%2e",
        "%2E.",
        "%252e%252e",
        "..;",
        "..;x=y",
        "..%3b",
        "%2e%2e;",
        "..%20",
        "...",
        "..%09",
        ".%00.",
    ];
    let slashes = [
        "/",
        "//",
        "%2f",
        "%2F",
        "%5c",
        "\\",
        "%252f",
        "/./",
        "/;/",
        "%c0%af",
        "%ef%bc%8f",
    ];
    let mut wrong = Vec::new();
    for dot in dots {
        for slash in slashes {
            for target in [
                format!("/public/{dot}{slash}secret"),
                format!("/public{slash}{dot}{slash}secret"),
                format!("/public/a{slash}{dot}{slash}{dot}{slash}secret"),
                format!("/public{slash}{dot}"),
                format!("/{dot}{slash}public"),
                format!("/secret{slash}{dot}{slash}public/x"),
            ] {
                let (status, seen) = walls.ask(target.as_bytes());
                match (status, seen) {
                    (400 | 404, None) => {}
                    (200, Some(seen)) if is_inside(&seen) => {}
                    (status, seen) => {
                        wrong.push(format!("{target}: {status}, upstream saw {seen:?}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} ways out: {wrong:#?}", wrong.len());
}

#[test]
fn what_is_not_refused_is_passed_on_as_it_stands() {
    let walls = Walls::new();
    for (target, expected) in [
        ("/public", "/base"),
        ("/public/", "/base/"),
        ("/public/a", "/base/a"),
        ("/public/a/", "/base/a/"),
        ("/public//a", "/base//a"),
        ("/public/a//b", "/base/a//b"),
        ("/public/a%2Fb", "/base/a%2Fb"),
        // Hexadecimal digits may change their case, and nothing else (RFC 3986 section 6.2.2.1).
        ("/public/a%2fb", "/base/a%2Fb"),
        ("/public/caf%C3%A9", "/base/caf%C3%A9"),
        ("/public/a%20b", "/base/a%20b"),
        ("/public/%2561", "/base/%2561"),
        ("/public/...", "/base/..."),
        ("/public/..a", "/base/..a"),
        ("/public/a..", "/base/a.."),
        ("/public/a;v=1", "/base/a;v=1"),
        ("/public/a?", "/base/a?"),
        ("/public/a?b=c?d=e", "/base/a?b=c?d=e"),
        ("/public/a?x=/../y", "/base/a?x=/../y"),
        ("/public/a?x=%2e%2e%2f%00", "/base/a?x=%2e%2e%2f%00"),
        ("/public?x", "/base?x"),
        ("http://b/public/a?q", "/base/a?q"),
    ] {
        let (status, seen) = walls.ask(target.as_bytes());
        assert_eq!((status, seen.as_deref()), (200, Some(expected)), "{target}");
    }
}

#[test]
fn a_prefix_ends_at_a_segment() {
    let walls = Walls::new();
    for target in [
        "/publica",
        "/publi",
        "/public%2f",
        "/public%2fa",
        "/public;x",
        "/Public",
        "/PUBLIC/a",
        "//public",
        "//public/a",
        "/x//public",
        "/public%20",
        "/public.",
        "/public%3f",
    ] {
        let (status, seen) = walls.ask(target.as_bytes());
        assert_eq!((status, seen), (404, None), "{target}");
    }
    // An unreserved character is the same one encoded: what is matched is also what is passed on.
    let (status, seen) = walls.ask(b"/%70ublic/a");
    assert!(
        matches!(
            (status, seen.as_deref()),
            (404, None) | (200, Some("/base/a"))
        ),
        "{status} {seen:?}"
    );
}

#[test]
fn a_rewrite_cannot_lead_out_either() {
    let gateway = Gateway::start(one_worker());
    let upstream = Upstream::start(|request| Answer::text(&request.target));
    let tenant = gateway.tenant("acme");
    gateway.route(json!({
        "tenantId": tenant.id, "method": "*", "path": "/files", "pathType": "prefix", "stripPrefix": false,
        "upstreams": [{ "url": format!("{}/base", upstream.url()) }],
        "transform": { "request": { "pathRewrite": { "pattern": "^/base/files/(.*)$", "replacement": "/base/$1" } } },
    }));
    let walls = Walls {
        gateway,
        upstream,
        tenant,
    };
    for target in [
        "/files/a/b",
        "/files//a",
        "/files/.%2e/secret",
        "/files/..;/secret",
        "/files/%2fsecret",
        "/files//..%2fsecret",
    ] {
        match walls.ask(target.as_bytes()) {
            (400 | 404 | 500, None) => {}
            (200, Some(seen)) => assert!(is_inside(&seen), "{target} became {seen}"),
            other => panic!("{target}: {other:?}"),
        }
    }
}
