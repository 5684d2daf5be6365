//! The path that goes upstream: the upstream URL's own path, then what remains of the request's.
//!
//! Segments are joined as text and never resolved: both sides are canonical, the seam is always one `/`, so no dot
//! segment can come about and the result is canonical again.

use crate::path::canonical;
use crate::{CanonicalPath, ConfigError, PathError};

/// The path of an upstream's URL, checked and in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BasePath {
    /// Without its trailing slash; empty for `/`.
    trimmed: Box<str>,
    trailing_slash: bool,
}

impl BasePath {
    /// Reads the path of an upstream URL; an empty one is `/`.
    ///
    /// # Errors
    /// [`ConfigError::Query`] for a path with `?`, [`ConfigError::Unreachable`] for one that could not be forwarded.
    pub fn parse(path: &str) -> Result<Self, ConfigError> {
        let mut scratch = String::new();
        let target = if path.is_empty() { "/" } else { path };
        let found = canonical(target.as_bytes(), &mut scratch).map_err(|reason| {
            ConfigError::Unreachable {
                path: path.to_owned(),
                reason,
            }
        })?;
        if found.query().is_some() {
            return Err(ConfigError::Query {
                path: path.to_owned(),
            });
        }
        let trimmed = found.path().strip_suffix('/');
        Ok(Self {
            trimmed: trimmed.unwrap_or(found.path()).into(),
            trailing_slash: trimmed.is_some(),
        })
    }

    /// This path with `rest` behind it. `rest` is empty or starts with `/`; its own slashes, double ones too, stay.
    ///
    /// With an empty `rest` the path is as it was configured (`/v1`, `/v1/`, `/`). `out` is written only where both
    /// sides have something.
    pub fn join<'a>(&'a self, rest: &'a str, out: &'a mut String) -> &'a str {
        if self.trimmed.is_empty() {
            return if rest.is_empty() { "/" } else { rest };
        }
        if rest.is_empty() && !self.trailing_slash {
            return &self.trimmed;
        }
        out.clear();
        out.push_str(&self.trimmed);
        out.push_str(if rest.is_empty() { "/" } else { rest });
        out
    }
}

/// The path to forward for a matched route: the upstream's own path, then the request's, without its first `prefix_len`
/// bytes where `strip` is set. The query goes along apart, untouched.
///
/// `prefix_len` is that of the [`Match`](crate::Match): 0 for exact and regex routes, whose path is forwarded whole.
pub fn forward_path<'a>(
    base: &'a BasePath,
    path: CanonicalPath<'a>,
    prefix_len: usize,
    strip: bool,
    out: &'a mut String,
) -> &'a str {
    let rest = if strip {
        path.path().get(prefix_len..).unwrap_or_default()
    } else {
        path.path()
    };
    base.join(rest, out)
}

impl From<PathError> for crate::RewriteError {
    fn from(reason: PathError) -> Self {
        Self { reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(base: &str, path: &str, prefix_len: usize, strip: bool) -> String {
        let base = BasePath::parse(base).unwrap();
        let (mut scratch, mut out) = (String::new(), String::new());
        let path = canonical(path.as_bytes(), &mut scratch).unwrap();
        forward_path(&base, path, prefix_len, strip, &mut out).to_owned()
    }

    #[test]
    fn slashes_are_neither_doubled_nor_lost() {
        for (base, path, prefix_len, expected) in [
            ("", "/api/x", 4, "/x"),
            ("/", "/api/x", 4, "/x"),
            ("/", "/api", 4, "/"),
            ("", "/api/", 4, "/"),
            ("/v1", "/api/x", 4, "/v1/x"),
            ("/v1/", "/api/x", 4, "/v1/x"),
            ("/v1", "/api", 4, "/v1"),
            ("/v1/", "/api", 4, "/v1/"),
            ("/v1", "/api/", 4, "/v1/"),
            ("/v1", "/api//x", 4, "/v1//x"),
            ("/v1//", "/api/x", 4, "/v1//x"),
            ("/v1", "/x", 0, "/v1/x"),
            ("/v1", "/", 0, "/v1/"),
        ] {
            assert_eq!(
                forwarded(base, path, prefix_len, true),
                expected,
                "{base} {path}"
            );
        }
        assert_eq!(forwarded("/v1", "/api/x", 4, false), "/v1/api/x");
        assert_eq!(forwarded("/a%2fb", "/x%2f%2Ey", 0, true), "/a%2Fb/x%2F.y");
    }

    #[test]
    fn a_base_is_checked_when_configured() {
        assert!(matches!(
            BasePath::parse("/a?b"),
            Err(ConfigError::Query { .. })
        ));
        for wrong in ["a", "/../a", "/a b", "/%2e%2e"] {
            assert!(
                matches!(BasePath::parse(wrong), Err(ConfigError::Unreachable { .. })),
                "{wrong}"
            );
        }
    }
}
