//! What holds for every accepted path (SPEC row G18).

use bastide_routing::{BasePath, PathRewrite, RewriteScratch, canonical, forward_path};
use proptest::prelude::*;

/// Pieces that confusing paths are made of, and any byte.
fn target() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"/",
        b"/",
        b".",
        b"..",
        b"%2e",
        b"%2E",
        b"%25",
        b"%252e",
        b"%2",
        b"%2f",
        b"%2F",
        b"%5c",
        b";",
        b"%3b",
        b"a",
        b"A",
        b"%41",
        b"%7e",
        b"%c3%a9",
        b"%c3",
        b"\xc3\xa9",
        b"%00",
        b"?",
        b"#",
        b" ",
        b"{",
        b"|",
        b"5",
        b"2",
        b"%",
        b"%32",
        b"%65",
        b"e",
        b"+",
        b":",
    ];
    let piece = prop_oneof![
        9 => prop::sample::select(pieces).prop_map(<[u8]>::to_vec),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| {
        let mut target = vec![b'/'];
        target.extend(pieces.concat());
        target
    })
}

fn decode_once(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < path.len() {
        let digits = path
            .get(at + 1..at + 3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if path[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(path[at]);
                at += 1;
            }
        }
    }
    out
}

fn has_dot_segment(path: &[u8]) -> bool {
    path.split(|byte| matches!(byte, b'/' | b'\\'))
        .map(|segment| {
            segment
                .split(|byte| matches!(byte, b';' | b'?' | b'#'))
                .next()
                .unwrap_or_default()
        })
        .any(|name| matches!(name, b"." | b".."))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn the_canonical_form_is_its_own(target in target()) {
        let (mut first, mut second) = (String::new(), String::new());
        if let Ok(found) = canonical(&target, &mut first) {
            let again = canonical(found.path().as_bytes(), &mut second).unwrap();
            prop_assert_eq!(again.path(), found.path());
            prop_assert_eq!(again.query(), None);
        }
    }

    #[test]
    fn no_round_of_decoding_brings_out_a_dot_segment(target in target()) {
        let mut scratch = String::new();
        if let Ok(found) = canonical(&target, &mut scratch) {
            let mut path = found.path().as_bytes().to_vec();
            loop {
                prop_assert!(!has_dot_segment(&path), "{}", String::from_utf8_lossy(&path));
                let next = decode_once(&path);
                if next == path {
                    break;
                }
                path = next;
            }
        }
    }

    #[test]
    fn the_canonical_form_means_what_was_sent(target in target()) {
        let mut scratch = String::new();
        if let Ok(found) = canonical(&target, &mut scratch) {
            let sent = target.split(|&byte| byte == b'?').next().unwrap();
            prop_assert_eq!(decode_once(found.path().as_bytes()), decode_once(sent));
            prop_assert_eq!(
                found.path().matches('/').count(),
                memchr::memchr_iter(b'/', sent).count(),
                "separators came or went"
            );
        }
    }

    #[test]
    fn the_canonical_form_is_what_rfc_3986_allows(target in target()) {
        let mut scratch = String::new();
        if let Ok(found) = canonical(&target, &mut scratch) {
            let mut rest = found.path();
            while let Some(character) = rest.chars().next() {
                if character == '%' {
                    let digits = &rest[1..3];
                    let byte = u8::from_str_radix(digits, 16).unwrap();
                    prop_assert_eq!(digits, format!("{byte:02X}"));
                    prop_assert!(!(byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)));
                    rest = &rest[3..];
                } else {
                    prop_assert!(character.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/".contains(character));
                    rest = &rest[1..];
                }
            }
        }
    }

    #[test]
    fn what_is_matched_is_what_is_forwarded(target in target(), base in target()) {
        let (mut scratch, mut out, mut check) = (String::new(), String::new(), String::new());
        let Ok(found) = canonical(&target, &mut scratch) else { return Ok(()) };
        let root = BasePath::parse("/").unwrap();
        prop_assert_eq!(forward_path(&root, found, 0, true, &mut out), found.path());

        let Some(base) = std::str::from_utf8(&base).ok().and_then(|base| BasePath::parse(base).ok()) else {
            return Ok(());
        };
        for (at, _) in found.path().match_indices('/').chain([(found.path().len(), "")]) {
            let forwarded = forward_path(&base, found, at, true, &mut out);
            prop_assert!(forwarded.ends_with(&found.path()[at..]));
            prop_assert_eq!(canonical(forwarded.as_bytes(), &mut check).unwrap().path(), forwarded);
        }
    }

    #[test]
    fn a_rewrite_gives_a_canonical_path_or_an_error(
        target in target(),
        pattern in prop::sample::select(vec!["^/[^/]*", "[a-z]", "/(.)", "%(..)", "/", "(.*)/"]),
        replacement in prop::sample::select(vec!["", "/", ".", "%2", "$&$&", "/{}", "\u{e9}"]),
    ) {
        let (mut scratch, mut rewritten, mut check) = (String::new(), RewriteScratch::default(), String::new());
        let Ok(found) = canonical(&target, &mut scratch) else { return Ok(()) };
        let rewrite = PathRewrite::new(pattern, replacement).unwrap();
        if let Ok(path) = rewrite.apply(found.path(), &mut rewritten) {
            prop_assert_eq!(canonical(path.as_bytes(), &mut check).unwrap().path(), path);
        }
    }
}
