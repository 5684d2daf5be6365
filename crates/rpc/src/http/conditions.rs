//! Whether a content is to be sent, or has not changed, or not as its asker thinks (RFC 9110, section 13). No clock, no file.

use std::time::{Duration, SystemTime};

use http::header::{self, HeaderName};
use http::{HeaderMap, Method as Verb};

/// What tells one state of a content from another.
#[derive(Debug, Clone, Default)]
pub(super) struct Validators {
    /// With its quotes: `"abc"`. It is strong: equal tags mean equal bytes.
    pub(super) tag: Option<String>,
    /// To the second, as fields have it.
    pub(super) modified: Option<SystemTime>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Send,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// In the order of section 13.2.2.
pub(super) fn judge(verb: &Verb, fields: &HeaderMap, validators: &Validators) -> Verdict {
    let is_read = matches!(*verb, Verb::GET | Verb::HEAD);
    if fields.contains_key(header::IF_MATCH) {
        if !names(fields, &header::IF_MATCH, validators, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if let (Some(since), Some(modified)) = (
        date(fields, &header::IF_UNMODIFIED_SINCE),
        validators.modified,
    ) && modified > since
    {
        return Verdict::Failed;
    }
    if fields.contains_key(header::IF_NONE_MATCH) {
        return match names(fields, &header::IF_NONE_MATCH, validators, Comparison::Weak) {
            false => Verdict::Send,
            true if is_read => Verdict::NotModified,
            true => Verdict::Failed,
        };
    }
    match (
        date(fields, &header::IF_MODIFIED_SINCE),
        validators.modified,
    ) {
        (Some(since), Some(modified)) if is_read && modified <= since => Verdict::NotModified,
        _ => Verdict::Send,
    }
}

/// Whether parts may be sent to who has the others of this state already (`If-Range`).
pub(super) fn allows_parts(fields: &HeaderMap, validators: &Validators, now: SystemTime) -> bool {
    let Some(field) = fields.get(header::IF_RANGE) else {
        return true;
    };
    let Ok(field) = field.to_str() else {
        return false;
    };
    if field.starts_with('"') || field.starts_with("W/") {
        return validators.tag.as_deref() == Some(field.trim());
    }
    // A time is as good as a tag once a second change within it would have another one.
    let is_past = |modified: SystemTime| {
        now.duration_since(modified)
            .is_ok_and(|age| age >= Duration::from_secs(1))
    };
    match (httpdate::parse_http_date(field), validators.modified) {
        (Ok(time), Some(modified)) => time == modified && is_past(modified),
        _ => false,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of tags, or `*`, names this state.
pub(super) fn names(
    fields: &HeaderMap,
    name: &HeaderName,
    validators: &Validators,
    comparison: Comparison,
) -> bool {
    let values = fields.get_all(name).iter();
    values.filter_map(|value| value.to_str().ok()).any(|value| {
        if value.trim() == "*" {
            return true;
        }
        let Some(tag) = &validators.tag else {
            return false;
        };
        tags(value).any(|(is_weak, one)| one == tag && (!is_weak || comparison == Comparison::Weak))
    })
}

/// Each tag with its quotes, and whether it is weak. Commas may stand within them.
fn tags(text: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        let (is_weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let end = quoted.strip_prefix('"')?.find('"')? + 2;
        let (tag, behind) = quoted.split_at(end);
        rest = behind;
        Some((is_weak, tag))
    })
}

/// A date that cannot be read is none.
fn date(fields: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let mut values = fields.get_all(name).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLIER: &str = "Sat, 01 Aug 2026 09:59:59 GMT";
    const MODIFIED: &str = "Sat, 01 Aug 2026 10:00:00 GMT";
    const LATER: &str = "Sat, 01 Aug 2026 10:00:01 GMT";

    fn validators() -> Validators {
        Validators {
            tag: Some("\"a,b\"".to_owned()),
            modified: httpdate::parse_http_date(MODIFIED).ok(),
        }
    }

    fn fields(list: &[(HeaderName, &str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in list {
            fields.append(name, value.parse().unwrap());
        }
        fields
    }

    #[test]
    fn s16_conditions_are_judged_in_their_order() {
        use Verdict::{Failed, NotModified, Send};
        use header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
        for (list, verdict) in [
            (&[][..], Send),
            (&[(IF_NONE_MATCH, "\"a,b\"")], NotModified),
            (&[(IF_NONE_MATCH, "W/\"a,b\"")], NotModified),
            (&[(IF_NONE_MATCH, "\"x\", W/\"y\" ,\"a,b\"")], NotModified),
            (
                &[(IF_NONE_MATCH, "\"x\""), (IF_NONE_MATCH, "\"a,b\"")],
                NotModified,
            ),
            (&[(IF_NONE_MATCH, "*")], NotModified),
            (&[(IF_NONE_MATCH, "\"a\"")], Send),
            (&[(IF_NONE_MATCH, "\"b\"")], Send),
            (&[(IF_NONE_MATCH, "a,b")], Send),
            (&[(IF_NONE_MATCH, "")], Send),
            // A tag says more than a time.
            (
                &[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, LATER)],
                Send,
            ),
            (&[(IF_MODIFIED_SINCE, MODIFIED)], NotModified),
            (&[(IF_MODIFIED_SINCE, LATER)], NotModified),
            (&[(IF_MODIFIED_SINCE, EARLIER)], Send),
            (&[(IF_MODIFIED_SINCE, "yesterday")], Send),
            (&[(IF_MATCH, "\"a,b\"")], Send),
            (&[(IF_MATCH, "*")], Send),
            (&[(IF_MATCH, "\"x\"")], Failed),
            (&[(IF_MATCH, "W/\"a,b\"")], Failed),
            (
                &[(IF_MATCH, "\"a,b\""), (IF_UNMODIFIED_SINCE, EARLIER)],
                Send,
            ),
            (&[(IF_MATCH, "\"x\""), (IF_NONE_MATCH, "\"a,b\"")], Failed),
            (&[(IF_UNMODIFIED_SINCE, EARLIER)], Failed),
            (&[(IF_UNMODIFIED_SINCE, MODIFIED)], Send),
        ] {
            assert_eq!(
                judge(&Verb::GET, &fields(list), &validators()),
                verdict,
                "{list:?}"
            );
        }
        let same = fields(&[(IF_NONE_MATCH, "*"), (IF_MODIFIED_SINCE, LATER)]);
        assert_eq!(judge(&Verb::POST, &same, &validators()), Failed);
        let since = fields(&[(IF_MODIFIED_SINCE, LATER)]);
        assert_eq!(judge(&Verb::POST, &since, &validators()), Send);
        assert_eq!(judge(&Verb::GET, &since, &Validators::default()), Send);
    }

    #[test]
    fn s16_parts_are_sent_to_who_has_parts_of_the_same() {
        let modified = validators().modified.unwrap();
        let now = modified + Duration::from_secs(60);
        for (field, allowed) in [
            ("\"a,b\"", true),
            ("\"x\"", false),
            ("W/\"a,b\"", false),
            (MODIFIED, true),
            (LATER, false),
            (EARLIER, false),
            ("never", false),
        ] {
            let fields = fields(&[(header::IF_RANGE, field)]);
            assert_eq!(
                allows_parts(&fields, &validators(), now),
                allowed,
                "{field}"
            );
        }
        assert!(allows_parts(&HeaderMap::new(), &validators(), now));
        let by_time = fields(&[(header::IF_RANGE, MODIFIED)]);
        assert!(!allows_parts(&by_time, &validators(), modified));
    }
}
