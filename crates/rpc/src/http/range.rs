//! Which bytes of a content a `Range` field asks for (RFC 9110, section 14). No clock, no file.

/// The bytes from `first` to `last`, both among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Span {
    pub(super) fn len(self) -> u64 {
        self.last - self.first + 1
    }
}

/// What to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of it: nothing else was asked for, or nothing that makes sense.
    Whole,
    /// These parts, one at least, in the order in which they were asked for.
    Parts(Vec<Span>),
    /// There are no such bytes: 416.
    Nothing,
}

/// More parts than this are not worth it for anybody but who wants to make work.
const MOST_PARTS: usize = 16;

/// Reads the field for a content of this many bytes.
pub(super) fn read(field: &str, length: u64) -> Asked {
    let Some((unit, set)) = field.split_once('=') else {
        return Asked::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") || length == 0 {
        return Asked::Whole;
    }
    let mut parts = Vec::new();
    let mut asked = 0;
    for one in set.split(',').map(str::trim).filter(|one| !one.is_empty()) {
        asked += 1;
        match span(one, length) {
            One::There(span) => parts.push(span),
            One::NotThere => {}
            One::Malformed => return Asked::Whole,
        }
        if asked > MOST_PARTS {
            return Asked::Whole;
        }
    }
    match (asked, parts.is_empty()) {
        (0, _) => Asked::Whole,
        (_, true) => Asked::Nothing,
        _ if overlap(&parts) => Asked::Whole,
        _ => Asked::Parts(parts),
    }
}

/// One of the ranges in a field.
enum One {
    There(Span),
    /// None of its bytes is there.
    NotThere,
    Malformed,
}

fn span(text: &str, length: u64) -> One {
    let Some((first, last)) = text.split_once('-') else {
        return One::Malformed;
    };
    let (first, last) = (number(first.trim()), number(last.trim()));
    match (first, last) {
        (Number::None, Number::Of(0)) => One::NotThere,
        (Number::None, Number::Of(suffix)) => One::There(Span {
            first: length.saturating_sub(suffix),
            last: length - 1,
        }),
        (Number::Of(first), Number::Of(last)) if last < first => One::Malformed,
        (Number::Of(first), _) if first >= length && !matches!(last, Number::Malformed) => {
            One::NotThere
        }
        (Number::Of(first), Number::Of(last)) => One::There(Span {
            first,
            last: last.min(length - 1),
        }),
        (Number::Of(first), Number::None) => One::There(Span {
            first,
            last: length - 1,
        }),
        _ => One::Malformed,
    }
}

#[derive(Clone, Copy)]
enum Number {
    Of(u64),
    None,
    Malformed,
}

/// Digits alone; one that is too large to be counted is larger than any content.
fn number(text: &str) -> Number {
    if text.is_empty() {
        Number::None
    } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
        Number::Of(text.parse().unwrap_or(u64::MAX))
    } else {
        Number::Malformed
    }
}

/// Who asks for the same bytes twice could have them multiplied.
fn overlap(parts: &[Span]) -> bool {
    let mut sorted = parts.to_vec();
    sorted.sort_unstable_by_key(|span| span.first);
    sorted.windows(2).any(|pair| pair[1].first <= pair[0].last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(spans: &[(u64, u64)]) -> Asked {
        let spans = spans.iter().map(|&(first, last)| Span { first, last });
        Asked::Parts(spans.collect())
    }

    #[test]
    fn s16_ranges_are_read_as_the_standard_has_them() {
        for (field, asked) in [
            ("bytes=0-0", parts(&[(0, 0)])),
            ("bytes=0-499", parts(&[(0, 499)])),
            ("bytes=500-", parts(&[(500, 999)])),
            ("bytes=-500", parts(&[(500, 999)])),
            ("bytes=-2000", parts(&[(0, 999)])),
            ("bytes=990-2000", parts(&[(990, 999)])),
            ("BYTES = 1-2", parts(&[(1, 2)])),
            ("bytes=0-0,-1", parts(&[(0, 0), (999, 999)])),
            (
                "bytes=500-600, ,2000-,601-999",
                parts(&[(500, 600), (601, 999)]),
            ),
            ("bytes=99999999999999999999-", Asked::Nothing),
            ("bytes=0-99999999999999999999", parts(&[(0, 999)])),
            ("bytes=1000-", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=1000-1001,-0", Asked::Nothing),
            ("bytes=2-1", Asked::Whole),
            ("bytes=0-1,5-4", Asked::Whole),
            ("bytes=0-10,10-20", Asked::Whole),
            ("bytes=0-,0-", Asked::Whole),
            ("bytes=", Asked::Whole),
            ("bytes=,", Asked::Whole),
            ("bytes", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("bytes=--1", Asked::Whole),
            ("items=0-1", Asked::Whole),
            ("", Asked::Whole),
        ] {
            assert_eq!(read(field, 1_000), asked, "{field}");
        }
        assert_eq!(read("bytes=0-", 0), Asked::Whole);
        let many: Vec<_> = (0..17)
            .map(|number| format!("{0}-{0}", number * 2))
            .collect();
        assert_eq!(
            read(&format!("bytes={}", many.join(",")), 1_000),
            Asked::Whole
        );
        assert!(matches!(
            read(&format!("bytes={}", many[1..].join(",")), 1_000),
            Asked::Parts(_)
        ));
    }

    /// What a range means, said in another way: byte by byte.
    fn is_asked(ranges: &[(Option<u16>, Option<u16>)], byte: u64, length: u64) -> bool {
        ranges.iter().any(|range| match *range {
            (Some(first), Some(last)) => (u64::from(first)..=u64::from(last)).contains(&byte),
            (Some(first), None) => byte >= u64::from(first),
            (None, Some(suffix)) => byte + u64::from(suffix) >= length,
            (None, None) => unreachable!("not made"),
        })
    }

    fn range() -> impl Strategy<Value = (Option<u16>, Option<u16>)> {
        prop_oneof![
            (0..200_u16, 0..200_u16)
                .prop_map(|(one, other)| (Some(one.min(other)), Some(one.max(other)))),
            (0..200_u16).prop_map(|first| (Some(first), None)),
            (0..200_u16).prop_map(|suffix| (None, Some(suffix))),
        ]
    }

    proptest! {
        #[test]
        fn s16_the_bytes_that_were_asked_for_are_sent(
            ranges in proptest::collection::vec(range(), 1..6),
            length in 1..150_u64,
        ) {
            let text = |bound: Option<u16>| bound.map(|bound| bound.to_string()).unwrap_or_default();
            let texts: Vec<_> = ranges.iter().map(|(first, last)| format!("{}-{}", text(*first), text(*last))).collect();
            let asked: Vec<u64> = (0..length).filter(|byte| is_asked(&ranges, *byte, length)).collect();
            match read(&format!("bytes={}", texts.join(",")), length) {
                Asked::Nothing => prop_assert!(asked.is_empty()),
                // Two of them overlap.
                Asked::Whole => prop_assert!(ranges.len() > 1 && !asked.is_empty()),
                Asked::Parts(parts) => {
                    prop_assert!(parts.len() <= ranges.len());
                    let mut sent: Vec<u64> = parts.iter().flat_map(|part| part.first..=part.last).collect();
                    prop_assert_eq!(parts.iter().map(|part| part.len()).sum::<u64>(), sent.len() as u64);
                    sent.sort_unstable();
                    prop_assert_eq!(sent, asked);
                }
            }
        }

        #[test]
        fn s16_no_text_gives_bytes_that_are_not_there(text in "(bytes)?=?[-0-9, ]{0,40}|\\PC{0,40}", length in 0..u64::MAX) {
            if let Asked::Parts(parts) = read(&text, length) {
                prop_assert!(!parts.is_empty() && parts.len() <= MOST_PARTS);
                prop_assert!(parts.iter().all(|part| part.first <= part.last && part.last < length));
            }
        }
    }
}
