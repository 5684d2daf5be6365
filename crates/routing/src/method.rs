//! Request methods as routes see them, and the set that a 405 names in `Allow`.

use crate::ConfigError;
use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A request method. Names are case-sensitive (RFC 9110 section 9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// Any other method, which only a route for every method serves.
    Other,
}

impl Method {
    const NAMED: [(Self, &'static str); 7] = [
        (Self::Get, "GET"),
        (Self::Head, "HEAD"),
        (Self::Post, "POST"),
        (Self::Put, "PUT"),
        (Self::Patch, "PATCH"),
        (Self::Delete, "DELETE"),
        (Self::Options, "OPTIONS"),
    ];

    /// The method with this name.
    pub fn from_bytes(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"PATCH" => Self::Patch,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The methods a route serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MethodFilter {
    /// Every method (`*`).
    Any,
    /// This one; `GET` serves `HEAD` too.
    One(Method),
}

impl MethodFilter {
    /// Reads `*` or a method's upper-case name.
    ///
    /// # Errors
    /// [`ConfigError::Method`] for any other text.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        match (text, Method::from_bytes(text.as_bytes())) {
            ("*", _) => Ok(Self::Any),
            (_, Method::Other) => Err(ConfigError::Method {
                method: text.to_owned(),
            }),
            (_, method) => Ok(Self::One(method)),
        }
    }

    /// Whether a request with `method` is served.
    pub fn accepts(self, method: Method) -> bool {
        match self {
            Self::Any => true,
            Self::One(Method::Get) => matches!(method, Method::Get | Method::Head),
            Self::One(own) => own == method && own != Method::Other,
        }
    }

    /// Lower is preferred among routes that are equal otherwise: `HEAD` before the `GET` that also serves it, a
    /// method before `*`.
    pub(crate) fn breadth(self) -> u8 {
        match self {
            Self::One(Method::Head) => 0,
            Self::One(_) => 1,
            Self::Any => 2,
        }
    }
}

/// The methods that a path has routes for: the value of `Allow` in a 405 (RFC 9110 section 15.5.6).
///
/// `HEAD` is in it wherever `GET` is. `OPTIONS` is in it only where a route serves it: a CORS preflight is answered
/// before routes are looked up, by whoever holds the CORS policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allow(u8);

impl Allow {
    /// No method.
    pub const NONE: Self = Self(0);

    /// Whether no method is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `method` is in it.
    pub const fn contains(self, method: Method) -> bool {
        self.0 & method.bit() != 0
    }
}

impl From<MethodFilter> for Allow {
    fn from(filter: MethodFilter) -> Self {
        match filter {
            MethodFilter::Any => Method::NAMED
                .iter()
                .fold(Self::NONE, |set, (method, _)| Self(set.0 | method.bit())),
            MethodFilter::One(Method::Get) => Self(Method::Get.bit() | Method::Head.bit()),
            MethodFilter::One(method) => Self(method.bit()),
        }
    }
}

impl BitOr for Allow {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Allow {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The field value: `GET, HEAD, POST`.
impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (method, name) in Method::NAMED {
            if self.contains(method) {
                write!(f, "{separator}{name}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn get_serves_head_and_says_so() {
        let get = MethodFilter::parse("GET").unwrap();
        assert!(
            get.accepts(Method::Get) && get.accepts(Method::Head) && !get.accepts(Method::Post)
        );
        let post = MethodFilter::parse("POST").unwrap();
        assert_eq!(
            (Allow::from(get) | Allow::from(post)).to_string(),
            "GET, HEAD, POST"
        );
    }

    #[test]
    fn only_star_serves_what_has_no_name_here() {
        let other = Method::from_bytes(b"PROPFIND");
        assert!(MethodFilter::Any.accepts(other));
        assert!(!MethodFilter::One(Method::Other).accepts(other));
        for wrong in ["get", "", "PROPFIND", "**", "GET,POST"] {
            assert!(MethodFilter::parse(wrong).is_err(), "{wrong}");
        }
    }
}
