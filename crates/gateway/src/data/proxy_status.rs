//! What stands in `Proxy-Status` (RFC 9209) of an upstream's response.
//!
//! Each intermediary adds a member of its own, named after itself, so the gateway's name in a response that it forwards is not
//! the gateway's word: another gateway of the name made it, or the upstream made it up. Such a member goes on under another
//! name; only what this gateway says is said by `bastide`.

use super::request_head::PSEUDONYM;

/// By what a member is called that came in the gateway's name.
const BEHIND: &[u8] = b"upstream-bastide";

/// The field's value as it may go on. `None` where it is no list of members that ends (RFC 9651 has those ignored), so that its
/// rest cannot be told from what follows.
pub(crate) fn forwarded(value: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len() + BEHIND.len());
    for (number, member) in members(value)?.into_iter().enumerate() {
        if number > 0 {
            out.extend_from_slice(b", ");
        }
        let end = member.iter().position(|byte| *byte == b';');
        let (name, parameters) = member.split_at(end.unwrap_or(member.len()));
        if is_ours(name.trim_ascii()) {
            out.extend_from_slice(BEHIND);
        } else {
            out.extend_from_slice(name);
        }
        out.extend_from_slice(parameters);
    }
    Some(out)
}

/// Whether readers could take it for the gateway's name, as a token or as a string, with escapes or in other letters.
fn is_ours(name: &[u8]) -> bool {
    let bare = name.iter().filter(|byte| !matches!(byte, b'"' | b'\\'));
    bare.map(u8::to_ascii_lowercase).eq(PSEUDONYM.bytes())
}

/// The list's members, split at commas outside of strings.
fn members(value: &[u8]) -> Option<Vec<&[u8]>> {
    let mut members = Vec::new();
    let (mut start, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, byte) in value.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => {
                members.push(value[start..at].trim_ascii());
                start = at + 1;
            }
            _ => {}
        }
    }
    members.push(value[start..].trim_ascii());
    (!is_quoted).then_some(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_members_in_our_name_get_another() {
        for (value, wanted) in [
            ("cdn; error=dns_error", "cdn; error=dns_error"),
            (
                "bastide; error=dns_error",
                "upstream-bastide; error=dns_error",
            ),
            ("bastide", "upstream-bastide"),
            (
                "\"bastide\"; received-status=200",
                "upstream-bastide; received-status=200",
            ),
            ("\"ba\\stide\"", "upstream-bastide"),
            ("Bastide ;error=x", "upstream-bastide;error=x"),
            (
                "bastide-2, a; details=\"x, bastide\",bastide;b",
                "bastide-2, a; details=\"x, bastide\", upstream-bastide;b",
            ),
            (
                "a; details=\"\\\", bastide\"",
                "a; details=\"\\\", bastide\"",
            ),
        ] {
            let out = forwarded(value.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), wanted, "{value}");
        }
    }

    #[test]
    fn a_list_that_does_not_end_is_none() {
        assert_eq!(forwarded(b"a; details=\"x"), None);
        assert_eq!(forwarded(b"x\", bastide; error=dns_error"), None);
        assert_eq!(forwarded(b"a; details=\"x\\\""), None);
    }
}
