//! Addresses by which users are found.

use crate::error::AccountError;

/// An address in the one spelling that is stored and looked for: without spaces around it, in small letters. Whether mail
/// arrives there is not asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Email(String);

/// RFC 5321, 4.5.3.1.3, without the angle brackets.
const MAX_LEN: usize = 254;

impl Email {
    pub(crate) fn parse(text: &str) -> Result<Self, AccountError> {
        let text = text.trim().to_lowercase();
        let is_plain = |letter: char| !letter.is_whitespace() && !letter.is_control();
        let has_sides = text
            .rsplit_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
        if !has_sides || text.len() > MAX_LEN || !text.chars().all(is_plain) {
            return Err(AccountError::input(
                "email",
                format!(
                    "expected an address as `ada@example.org`, of at most {MAX_LEN} bytes, without spaces"
                ),
            ));
        }
        Ok(Self(text))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_one_spelling() {
        for (text, stored) in [
            ("ada@example.org", "ada@example.org"),
            ("  Ada@Example.ORG\n", "ada@example.org"),
            ("ÄDA@example.org", "äda@example.org"),
            ("\"a@b\"@c", "\"a@b\"@c"),
        ] {
            assert_eq!(Email::parse(text).unwrap().as_str(), stored);
        }
        let long = format!("{}@example.org", "a".repeat(MAX_LEN));
        for bad in ["", "ada", "@x", "x@", "a b@x", "a\u{0}@x", &long] {
            let error = Email::parse(bad).unwrap_err();
            assert_eq!(error.code(), "validation_failed", "{bad:?}");
        }
    }
}
