//! The tag of a state of something that routes read and change.

use std::fmt::Display;

use http::{HeaderMap, HeaderValue, header};

use super::conditions::{Comparison, Validators, names};

/// What tells one state of an object from another (RFC 9110, section 8.8.3), made of its version: what `ETag` says, and what the
/// conditions of requests name. It is strong: equal tags mean equal states.
///
/// ```
/// use bastide_rpc::EntityTag;
/// use http::{HeaderMap, HeaderValue, header};
/// let tag = EntityTag::of_version(7);
/// let mut fields = HeaderMap::new();
/// assert!(tag.is_expected(&fields), "nothing is asked for");
/// fields.insert(header::IF_MATCH, HeaderValue::from_static("\"6\""));
/// assert!(!tag.is_expected(&fields), "somebody else was quicker");
/// ```
#[derive(Debug, Clone)]
pub struct EntityTag(String);

impl EntityTag {
    /// The tag of this version, a number or a text without quotes.
    pub fn of_version(version: impl Display) -> Self {
        Self(format!("\"{version}\""))
    }

    /// Whether a change of this state is what the request asks for: no if its `If-Match` names others alone. Without that field
    /// nothing was expected.
    pub fn is_expected(&self, fields: &HeaderMap) -> bool {
        !fields.contains_key(header::IF_MATCH)
            || names(
                fields,
                &header::IF_MATCH,
                &self.validators(),
                Comparison::Strong,
            )
    }

    /// Whether the client has this state already, by its `If-None-Match`: a read is answered with 304.
    pub fn is_known(&self, fields: &HeaderMap) -> bool {
        names(
            fields,
            &header::IF_NONE_MATCH,
            &self.validators(),
            Comparison::Weak,
        )
    }

    /// The tag with its quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For `ETag`.
    ///
    /// # Panics
    /// If the version has characters that no header field may have.
    pub fn to_value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("a version of plain characters")
    }

    fn validators(&self) -> Validators {
        Validators {
            tag: Some(self.0.clone()),
            modified: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_expects_the_strong_tag_and_a_read_knows_either() {
        let tag = EntityTag::of_version(3);
        let of = |name, value: &'static str| {
            HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
        };
        for (value, expected, known) in [
            ("\"3\"", true, true),
            ("W/\"3\"", false, true),
            ("\"2\", \"3\"", true, true),
            ("*", true, true),
            ("\"2\"", false, false),
            ("3", false, false),
        ] {
            let (change, read) = (
                of(header::IF_MATCH, value),
                of(header::IF_NONE_MATCH, value),
            );
            assert_eq!(tag.is_expected(&change), expected, "{value}");
            assert_eq!(tag.is_known(&read), known, "{value}");
        }
        assert!(tag.is_expected(&HeaderMap::new()) && !tag.is_known(&HeaderMap::new()));
        assert_eq!(tag.to_value(), tag.as_str());
    }
}
