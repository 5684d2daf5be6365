//! Payload families by which gateways have been bypassed: each is refused, or has one reading (SPEC row G18).

use bastide_routing::PathError::{
    self, Backslash, BadPercent, Control, DotSegment, Fragment, NotAbsolute, NotUtf8, QueryControl,
    QueryNotUtf8,
};
use bastide_routing::canonical;

fn path(target: &[u8]) -> Result<String, PathError> {
    canonical(target, &mut String::new()).map(|found| found.path().to_owned())
}

#[track_caller]
fn refused(family: &str, targets: &[&str], error: PathError) {
    for target in targets {
        assert_eq!(path(target.as_bytes()), Err(error), "{family}: {target}");
    }
}

#[test]
fn dot_segments_raw_and_encoded() {
    refused(
        "Kong #6851, Envoy CVE-2019-9901, APISIX CVE-2021-43557, Gravitee PR 19120",
        &[
            "/operator/../admin",
            "/..",
            "/.",
            "/a/.",
            "/a/..",
            "/a/./b",
            "/../../a",
            "/a/..?q",
            "/a/.?q",
            "/%2e",
            "/%2E",
            "/%2e%2e/a",
            "/%2E%2e/a",
            "/.%2e/a",
            "/%2e./a",
            "/public/%2e%2e/secret",
        ],
        DotSegment,
    );
}

#[test]
fn dot_segments_with_path_parameters() {
    refused(
        "servlet containers that drop `;` and what follows",
        &[
            "/a/..;/b",
            "/..;x=y/b",
            "/.;/b",
            "/..;",
            "/%2e%2e;/b",
            "/..%3b/b",
            "/..%3Bx/b",
            "/.%2e%3b/b",
        ],
        DotSegment,
    );
}

#[test]
fn dot_segments_behind_encoded_separators() {
    refused(
        "Envoy CVE-2021-29492, KrakenD #290, #505, #563, #648",
        &[
            "/a%2F../b",
            "/a%2f..%2fb",
            "/..%2fb",
            "/..%2Fb",
            "/a%2f%2e%2e%2fb",
            "/a/..%2f",
            "/%2f..",
            "/a%2f./b",
        ],
        DotSegment,
    );
}

#[test]
fn dot_segments_encoded_more_than_once() {
    refused(
        "Traefik StripPrefix with %2e, servers that decode twice",
        &[
            "/%252e%252e/a",
            "/%252E%252e/a",
            "/.%252e/a",
            "/%25252e%25252e/a",
            "/a%252f..%252fb",
            "/..%252fb",
            "/..%255cb",
            "/%25%32%65%25%32%65/a",
            "/%25%32%65/a",
            "/..%253b/a",
            "/..%253fa",
            "/..%2523",
        ],
        DotSegment,
    );
}

#[test]
fn what_only_looks_like_dot_segments_is_served() {
    for (target, expected) in [
        ("/...", "/..."),
        ("/.well-known/acme", "/.well-known/acme"),
        ("/a..b/..c/d..", "/a..b/..c/d.."),
        ("/a;../b", "/a;../b"),
        ("/%2e%2e%2e/a", "/.../a"),
        ("/a?x=/../..", "/a"),
        ("/%252f", "/%252f"),
        ("/100%25/x", "/100%25/x"),
    ] {
        assert_eq!(path(target.as_bytes()).as_deref(), Ok(expected), "{target}");
    }
}

#[test]
fn nul_and_control_characters() {
    refused(
        "truncation and header injection",
        &[
            "/%00",
            "/a%00.html",
            "/a\0b",
            "/%0d%0aX:y",
            "/%0A",
            "/%1f",
            "/%7f",
            "/\x7f",
            "/a\tb",
            "/a b",
            "/%c2%80",
            "/%C2%9F",
            "/\u{85}",
        ],
        Control,
    );
    refused(
        "in the query",
        &["/a?b c", "/?\0", "/?a\tb", "/?\x7f"],
        QueryControl,
    );
}

#[test]
fn backslashes() {
    refused(
        "servers for which a backslash separates",
        &[
            "/a\\b",
            "/\\..\\b",
            "/a/..\\b",
            "/%5c",
            "/%5C..%5c",
            "/a%5Cb",
            "/\\\\host/share",
        ],
        Backslash,
    );
}

#[test]
fn bad_percent_encoding() {
    refused(
        "decoders disagree",
        &[
            "/%", "/%4", "/%zz", "/%4g", "/%%41", "/%u002e", "/a%2", "/%-1", "/% 1",
        ],
        BadPercent,
    );
}

#[test]
fn overlong_and_invalid_utf8() {
    refused(
        "overlong dot, slash and NUL; surrogates; truncation",
        &[
            "/%c0%ae%c0%ae/a",
            "/%c0%af",
            "/%e0%80%ae",
            "/%e0%80%af",
            "/%f0%80%80%ae",
            "/%c0%80",
            "/%ed%a0%80",
            "/%ff",
            "/%c3",
            "/%c3/%a9",
            "/%a9",
            "/%f4%90%80%80",
            "/%e2%82",
            "/%c3a",
        ],
        NotUtf8,
    );
    assert_eq!(path(b"/\xc0\xae\xc0\xae/a"), Err(NotUtf8));
    assert_eq!(path(b"/\xff"), Err(NotUtf8));
    assert_eq!(path(b"/a?\xff"), Err(QueryNotUtf8));
}

#[test]
fn fragments() {
    refused(
        "Envoy CVE-2021-32779",
        &["/a#b", "/#", "/public#/../admin", "/a?b#c", "/a%41#"],
        Fragment,
    );
    assert_eq!(path(b"/a%23b").as_deref(), Ok("/a%23b"));
}

#[test]
fn other_forms_of_target() {
    refused(
        "only origin-form has a path",
        &["", "*", "http://h/a", "h:443", "?a", "a/b", "%2Fa", "\\a"],
        NotAbsolute,
    );
}

#[test]
fn encoded_slashes_are_no_separators() {
    for (target, expected) in [
        ("/a%2Fb", "/a%2Fb"),
        ("/a%2fb", "/a%2Fb"),
        ("/%2f%2F", "/%2F%2F"),
        ("/a%252Fb", "/a%252Fb"),
    ] {
        assert_eq!(path(target.as_bytes()).as_deref(), Ok(expected), "{target}");
    }
}

#[test]
fn empty_segments_stay() {
    for target in ["//", "//a//b//", "/a//", "///"] {
        assert_eq!(
            path(target.as_bytes()).as_deref(),
            Ok(target),
            "Traefik #12666: {target}"
        );
    }
}

#[test]
fn one_resource_has_one_form() {
    for (targets, expected) in [
        (["/user/%41nn", "/user/A%6e%6E", "/user/Ann"], "/user/Ann"),
        (["/caf\u{e9}", "/caf%c3%a9", "/ca%66\u{e9}"], "/caf%C3%A9"),
        (["/%7eu", "/~u", "/%7Eu"], "/~u"),
        (["/a|b", "/a%7cb", "/%61%7Cb"], "/a%7Cb"),
        (["/{x}", "/%7bx%7d", "/%7Bx}"], "/%7Bx%7D"),
        (["/a%20b", "/%61%20b", "/a%20%62"], "/a%20b"),
    ] {
        for target in targets {
            assert_eq!(
                path(target.as_bytes()).as_deref(),
                Ok(expected),
                "Caddy CVE-2026-27587: {target}"
            );
        }
    }
    // Reserved characters mean something else when they are encoded.
    assert_eq!(path(b"/a%3Bb%3d%40%3f").as_deref(), Ok("/a%3Bb%3D%40%3F"));
}

#[test]
fn the_query_is_what_follows_the_first_question_mark_untouched() {
    let mut scratch = String::new();
    let query = |target: &'static str, scratch: &mut String| {
        canonical(target.as_bytes(), scratch)
            .unwrap()
            .query()
            .map(str::to_owned)
    };
    assert_eq!(query("/a", &mut scratch), None);
    assert_eq!(query("/a?", &mut scratch).as_deref(), Some(""));
    assert_eq!(
        query("/%41?a=%41&b=?/../%00%zz\\{\u{e9}", &mut scratch).as_deref(),
        Some("a=%41&b=?/../%00%zz\\{\u{e9}")
    );
}

#[test]
fn every_refusal_has_its_own_code() {
    let all = [
        NotAbsolute,
        DotSegment,
        Control,
        Backslash,
        BadPercent,
        NotUtf8,
        Fragment,
        QueryControl,
        QueryNotUtf8,
        PathError::BadHost,
    ];
    let mut codes: Vec<_> = all.iter().map(|error| error.code()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), all.len());
}
