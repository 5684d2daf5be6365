//! Requests that a library would not send. Each gets 400 or an error of its stream, the upstream sees nothing of it, and the
//! connection goes on where the fault was one request's.

use crate::frames::*;
use crate::harness::{Backend, Gateway, Options, Upstream};
use crate::scene::Scene;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Answered with this status.
    Answered(u16),
    /// `RST_STREAM` with this code.
    Reset(u32),
    /// The whole connection was ended, with this code.
    Ended(u32),
}

/// Sends one request over a connection of its own: its fields, and its body if it has one.
fn send(scene: &Scene, fields: &[(&[u8], &[u8])], body: Option<&[u8]>) -> Fate {
    let mut wire = Wire::connect(scene.gateway.public, &[]);
    // The gateway may have ended the connection before all is out.
    wire.send_headers(1, body.is_none(), &block(fields)).ok();
    if let Some(body) = body {
        wire.send(DATA, END_STREAM, 1, body).ok();
    }
    fate(&wire.wait_for_stream(1))
}

#[track_caller]
fn fate(frames: &[Frame]) -> Fate {
    let status = frames
        .iter()
        .filter(|frame| frame.kind == HEADERS)
        .find_map(|frame| status(&frame.payload));
    let last = frames.last().expect("the gateway answers in time");
    match last.kind {
        RST_STREAM if status.is_none() => Fate::Reset(last.code()),
        GOAWAY if status.is_none() => Fate::Ended(last.code()),
        _ => Fate::Answered(status.unwrap_or_else(|| panic!("no status in {frames:?}"))),
    }
}

/// An ordinary request with these changes: a name that is there is replaced, an empty value takes it away, the rest is added.
fn altered<'a>(key: &'a str, changes: &[(&'a str, &'a str)]) -> Vec<(&'a [u8], &'a [u8])> {
    let mut fields = vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "gateway.test"),
        ("x-api-key", key),
    ];
    for change in changes {
        match fields.iter().position(|(name, _)| *name == change.0) {
            Some(at) if change.1.is_empty() => drop(fields.remove(at)),
            Some(at) => fields[at] = *change,
            None => fields.push(*change),
        }
    }
    fields
        .into_iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect()
}

fn scene() -> (Scene, Upstream) {
    let upstream = Upstream::named("fine");
    let scene = Scene::before(&upstream);
    (scene, upstream)
}

/// Fails unless every fault is refused in one of the ways that are allowed, and the upstream saw none.
#[track_caller]
fn assert_refused(scene: &Scene, upstream: &Upstream, name: &str, fate: Fate) {
    let is_refused = matches!(
        fate,
        Fate::Answered(400 | 405) | Fate::Reset(PROTOCOL_ERROR) | Fate::Ended(PROTOCOL_ERROR)
    );
    assert!(is_refused, "{name}: {fate:?}");
    assert_eq!(upstream.count(), 0, "{name}: {:?}", upstream.requests());
    let key = &scene.tenant.key;
    let fine = send(scene, &altered(key, &[]), None);
    assert_eq!(fine, Fate::Answered(200), "after {name}");
    upstream.forget();
}

#[test]
fn an_ambiguous_target_is_refused() {
    let (scene, upstream) = scene();
    let key = scene.tenant.key.clone();
    for path in [
        "/a/../b",
        "/a/./b",
        "/..",
        "/a/%2e%2e/b",
        "/a/.%2E/b",
        "/a%2f..%2fb",
        "/a%5cb",
        "/a\\b",
        "/a%00b",
        "/a\0b",
        "/%",
        "/%zz",
        "a",
        "*",
        "http://other.test/",
        "//a/..",
        "/a b",
        "/a\tb",
        "/a\r\nb",
        "/a\x7fb",
        "/caf\u{e9}",
        "?a=b",
        "/a?b c",
        "/a?b\0c",
        "/;/../a",
    ] {
        let fate = send(&scene, &altered(&key, &[(":path", path)]), None);
        assert_refused(&scene, &upstream, &format!(":path {path:?}"), fate);
    }
}

#[test]
fn pseudo_fields_stand_once_first_and_are_known() {
    let (scene, upstream) = scene();
    let key = scene.tenant.key.clone();
    let base = altered(&key, &[]);
    let with = |more: &[(&'static str, &'static str)]| {
        let mut fields = base.clone();
        fields.extend(
            more.iter()
                .map(|(name, value)| (name.as_bytes(), value.as_bytes())),
        );
        fields
    };
    let without = |name: &'static str| altered(&key, &[(name, "")]);
    let mut late = base.clone();
    late.rotate_left(1);
    for (name, fields) in [
        ("two paths", with(&[(":path", "/other")])),
        ("two methods", with(&[(":method", "POST")])),
        ("two schemes", with(&[(":scheme", "https")])),
        ("two authorities", with(&[(":authority", "gateway.test")])),
        ("a status", with(&[(":status", "200")])),
        ("an unknown one", with(&[(":unknown", "x")])),
        ("one after a field", late),
        ("no method", without(":method")),
        ("no path", without(":path")),
        ("no scheme", without(":scheme")),
        ("no authority and no host", without(":authority")),
        ("an odd scheme", altered(&key, &[(":scheme", "ht tp")])),
        (
            "a method of two words",
            altered(&key, &[(":method", "GET /other HTTP/1.1\r\nx:")]),
        ),
        (
            "a method with a space",
            altered(&key, &[(":method", "GE T")]),
        ),
        (
            "a user in the authority",
            altered(&key, &[(":authority", "user@gateway.test")]),
        ),
        (
            "a password in it",
            altered(&key, &[(":authority", "user:secret@gateway.test")]),
        ),
        (
            "a path in it",
            altered(&key, &[(":authority", "gateway.test/other")]),
        ),
        (
            "a line end in it",
            altered(&key, &[(":authority", "gateway.test\r\nx: y")]),
        ),
        ("another host", with(&[("host", "other.test")])),
        ("two hosts and no authority", {
            let mut fields = without(":authority");
            fields.extend([(&b"host"[..], &b"a.test"[..]), (b"host", b"b.test")]);
            fields
        }),
    ] {
        let fate = send(&scene, &fields, None);
        assert_refused(&scene, &upstream, name, fate);
    }
    // A host alone, and one that agrees, are fine.
    let mut fields = without(":authority");
    fields.push((b"host", b"gateway.test"));
    assert_eq!(send(&scene, &fields, None), Fate::Answered(200));
    assert_eq!(
        send(&scene, &with(&[("host", "gateway.test")]), None),
        Fate::Answered(200)
    );
}

#[test]
fn fields_that_belong_to_http1_or_split_a_message_are_refused() {
    let (scene, upstream) = scene();
    let key = scene.tenant.key.clone();
    for (name, value) in [
        ("connection", "close"),
        ("connection", "x-api-key"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
        ("http2-settings", "AAMAAABk"),
        ("X-Upper", "x"),
        ("x-line", "a\r\nx-other: b"),
        ("x-line", "a\nb"),
        ("x-line", "a\rb"),
        ("x-nul", "a\0b"),
        ("x-bad\r\nname", "x"),
        ("x bad", "x"),
        ("x:bad", "x"),
        ("content-length", "1"),
        ("content-length", "-1"),
        ("content-length", "1, 1"),
        ("content-length", "0x0"),
        ("expect", "200-ok"),
    ] {
        if name == "http2-settings" {
            // It means something in HTTP/1.1 alone, beside `upgrade`; here it is an ordinary field.
            continue;
        }
        let mut fields = altered(&key, &[]);
        fields.push((name.as_bytes(), value.as_bytes()));
        let fate = send(&scene, &fields, None);
        let is_expectation = name == "expect" && fate == Fate::Answered(417);
        if !is_expectation {
            assert_refused(&scene, &upstream, &format!("{name}: {value:?}"), fate);
        }
    }
    let mut fields = altered(&key, &[]);
    fields.push((b"", b"x"));
    let fate = send(&scene, &fields, None);
    assert_refused(&scene, &upstream, "a field without a name", fate);
}

#[test]
fn a_body_of_another_length_than_announced_is_refused() {
    let (scene, upstream) = scene();
    let key = scene.tenant.key.clone();
    for (length, body) in [
        ("5", &b"123"[..]),
        ("3", b"12345"),
        ("18446744073709551616", b"1"),
        ("0", b"1"),
    ] {
        let fields = altered(&key, &[(":method", "POST"), ("content-length", length)]);
        let fate = send(&scene, &fields, Some(body));
        assert!(
            matches!(fate, Fate::Answered(400) | Fate::Reset(PROTOCOL_ERROR)),
            "{length}: {fate:?}"
        );
        // Its head may have gone up. An upstream that took it for whole got just what was announced.
        for seen in upstream.requests() {
            assert_eq!((length, seen.body.len()), ("0", 0), "{seen:?}");
        }
    }
}

#[test]
fn no_way_of_connect_reaches_an_upstream() {
    let (scene, upstream) = scene();
    let key = scene.tenant.key.clone();
    let plain = altered(
        &key,
        &[(":method", "CONNECT"), (":path", ""), (":scheme", "")],
    );
    let whole = altered(&key, &[(":method", "CONNECT")]);
    let mut extended = whole.clone();
    extended.insert(1, (b":protocol", b"websocket"));
    let mut elsewhere = altered(&key, &[]);
    elsewhere.insert(1, (b":protocol", b"websocket"));
    for (name, fields) in [
        ("plain", plain),
        ("with a path", whole),
        ("extended", extended),
        ("a protocol for GET", elsewhere),
    ] {
        for body in [None, Some(&b"GET / HTTP/1.1\r\n\r\n"[..])] {
            let fate = send(&scene, &fields, body);
            assert_refused(&scene, &upstream, name, fate);
        }
    }
    let fate = send(&scene, &altered(&key, &[(":method", "TRACE")]), None);
    assert_refused(&scene, &upstream, "TRACE", fate);
}

#[test]
fn a_fault_of_one_request_leaves_the_others_on_its_connection_alone() {
    let (scene, upstream) = scene();
    let key = scene.tenant.key.clone();
    let mut wire = Wire::connect(scene.gateway.public, &[]);
    let bad: [&[(&str, &str)]; 5] = [
        &[(":path", "/a/../b")],
        &[(":method", "HEAD"), (":path", "/a/../b")],
        &[("te", "gzip")],
        &[(":method", "CONNECT")],
        &[("content-length", "7")],
    ];
    for (number, changes) in bad.into_iter().enumerate() {
        let stream = 4 * number as u32 + 1;
        wire.send_headers(stream, true, &block(&altered(&key, changes)))
            .unwrap();
        let refused = fate(&wire.wait_for_stream(stream));
        assert!(
            matches!(
                refused,
                Fate::Answered(400 | 405) | Fate::Reset(PROTOCOL_ERROR)
            ),
            "{changes:?}: {refused:?}"
        );
        wire.send_headers(stream + 2, true, &block(&altered(&key, &[])))
            .unwrap();
        assert_eq!(fate(&wire.wait_for_stream(stream + 2)), Fate::Answered(200));
    }
    assert_eq!(upstream.count(), 5);
}

#[test]
fn a_fragment_is_nothing_that_an_upstream_sees() {
    let (scene, upstream) = scene();
    let key = scene.tenant.key.clone();
    let fate = send(&scene, &altered(&key, &[(":path", "/a#b")]), None);
    assert!(
        matches!(
            fate,
            Fate::Answered(200 | 400) | Fate::Reset(PROTOCOL_ERROR)
        ),
        "{fate:?}"
    );
    for request in upstream.requests() {
        assert_eq!(request.target, "/a");
    }
}

#[test]
fn the_preface_must_be_whole_and_come_in_time() {
    let gateway = Gateway::start(Options::new(Backend::Embedded));
    for wrong in [
        &b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"[..],
        b"PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PRI * HTTP/2.1\r\n\r\n",
    ] {
        let mut wire = Wire::bare(gateway.public);
        wire.send_bytes(wrong).unwrap();
        // Either it is refused as HTTP/1.1 or the connection is ended; what counts is that it is over.
        while wire.read().is_some() {}
    }
    let mut half = Wire::bare(gateway.public);
    half.send_bytes(&PREFACE[..20]).unwrap();
    let begun = std::time::Instant::now();
    half.set_patience(std::time::Duration::from_secs(30));
    while half.read().is_some() {}
    let took = begun.elapsed();
    assert!(took < std::time::Duration::from_secs(15), "{took:?}");
}

/// The gateway could not read it to the end and answers as to anybody, but a response to HEAD is its head.
#[test]
fn a_refused_head_request_is_answered_by_a_head_alone() {
    let (scene, _upstream) = scene();
    let key = scene.tenant.key.clone();
    let mut wire = Wire::connect(scene.gateway.public, &[]);
    let bad = altered(&key, &[(":method", "HEAD"), (":path", "/caf\u{e9}")]);
    wire.send_headers(1, true, &block(&bad)).unwrap();
    wire.wait(|frame| frame.stream == 1 && frame.ends_stream())
        .expect("an answer");
    wire.send_headers(3, true, &block(&altered(&key, &[])))
        .unwrap();
    let next = wire.wait(|frame| frame.stream == 1 || frame.ends_stream());
    assert_eq!(next.expect("an answer").stream, 3);
}
