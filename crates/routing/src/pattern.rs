//! The paths that routes may name, read and checked when configuration is read.

use crate::expression::Expression;
use crate::path::canonical;
use crate::{ConfigError, MAX_PARAMETERS, PathError};
use std::borrow::Cow;

/// The longest configured path, in bytes.
const MAX_LEN: usize = 1024;
/// The most segments of a configured path: depths are kept as bits of a `u64`.
pub(crate) const MAX_SEGMENTS: usize = 63;

/// How a route's path is compared with a request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathKind {
    /// The whole path, trailing slash included.
    Exact,
    /// The path or its beginning, by whole segments: `/api` is a prefix of `/api` and `/api/x`, not of `/apiv2`. A
    /// trailing slash of the pattern means nothing (`/api/` is `/api`), and `/` is a prefix of every path.
    Prefix,
    /// A regular expression over the whole canonical path, anchored at both ends.
    Regex,
}

/// A checked path of a route.
///
/// Exact and prefix paths may hold parameters, `{name}`, each in place of one whole segment that is not empty. They
/// are brought to the canonical form of request paths, so `/café` and `/caf%C3%A9` are one path. Regular expressions are
/// matched against the canonical form and have to be written for it (`%20`, `%2F`, upper-case); they know ASCII only and
/// take linear time.
#[derive(Clone, Debug)]
pub struct PathPattern {
    pub(crate) shape: Shape,
}

#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// No parameter. A prefix has no trailing slash: `/` is empty.
    Literal {
        whole: bool,
        path: Box<str>,
    },
    /// At least one parameter.
    Segments {
        whole: bool,
        segments: Box<[Segment]>,
    },
    Expression(Expression),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(Box<str>),
    Parameter(Box<str>),
}

impl PathPattern {
    /// Reads `text` as a path of the given kind.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the part at fault: a path that no accepted request can have, a brace or star that
    /// is no parameter, more than 63 segments, 8 parameters or 1024 bytes, or an invalid or oversized expression.
    pub fn parse(kind: PathKind, text: &str) -> Result<Self, ConfigError> {
        within(text, "bytes", text.len(), MAX_LEN)?;
        let whole = match kind {
            PathKind::Regex => {
                return Ok(Self {
                    shape: Shape::Expression(Expression::parse(text)?),
                });
            }
            PathKind::Exact => true,
            PathKind::Prefix => false,
        };
        let unreachable = |reason| ConfigError::Unreachable {
            path: text.to_owned(),
            reason,
        };
        let inner = text
            .strip_prefix('/')
            .ok_or_else(|| unreachable(PathError::NotAbsolute))?;
        if text.contains('?') {
            return Err(ConfigError::Query {
                path: text.to_owned(),
            });
        }
        let raw = inner
            .split('/')
            .map(|segment| read_segment(text, segment))
            .collect::<Result<Vec<_>, _>>()?;
        let mut segments = canonical_segments(&raw).map_err(unreachable)?;
        if !whole && matches!(segments.last(), Some(Segment::Literal(last)) if last.is_empty()) {
            segments.pop();
        }
        within(text, "segments", segments.len(), MAX_SEGMENTS)?;
        check_parameters(text, &segments)?;
        let shape = if segments
            .iter()
            .any(|segment| matches!(segment, Segment::Parameter(_)))
        {
            Shape::Segments {
                whole,
                segments: segments.into(),
            }
        } else {
            Shape::Literal {
                whole,
                path: join_literals(&segments),
            }
        };
        Ok(Self { shape })
    }

    /// What `text` matches, as a text: paths of one kind that have it in common match the same requests, however they
    /// are spelled and whatever their parameters are called. Expressions are compared as they are written.
    ///
    /// # Errors
    /// Those of [`PathPattern::parse`].
    pub fn form(kind: PathKind, text: &str) -> Result<Cow<'_, str>, ConfigError> {
        let is_plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_');
        let has_form = match kind {
            PathKind::Regex => true,
            PathKind::Exact => text.bytes().all(is_plain),
            PathKind::Prefix => text.bytes().all(is_plain) && !text.ends_with('/'),
        };
        if has_form {
            return Ok(Cow::Borrowed(text));
        }
        Ok(match Self::parse(kind, text)?.shape {
            Shape::Literal { path, .. } => Cow::Owned(path.into()),
            // No canonical path holds a brace.
            Shape::Segments { segments, .. } => Cow::Owned(
                segments
                    .iter()
                    .flat_map(|segment| match segment {
                        Segment::Literal(text) => ["/", text],
                        Segment::Parameter(_) => ["/", "{}"],
                    })
                    .collect(),
            ),
            Shape::Expression(_) => Cow::Borrowed(text),
        })
    }

    /// The names of the parameters from left to right, in the order of a match's [`Parameters`](crate::Parameters).
    pub fn parameter_names(&self) -> impl Iterator<Item = &str> {
        let segments: &[Segment] = match &self.shape {
            Shape::Segments { segments, .. } => segments,
            Shape::Literal { .. } | Shape::Expression(_) => &[],
        };
        segments.iter().filter_map(|segment| match segment {
            Segment::Parameter(name) => Some(&**name),
            Segment::Literal(_) => None,
        })
    }
}

fn within(path: &str, unit: &'static str, found: usize, limit: usize) -> Result<(), ConfigError> {
    if found <= limit {
        return Ok(());
    }
    let path = path.chars().take(80).collect();
    Err(ConfigError::TooLong {
        path,
        unit,
        found,
        limit,
    })
}

fn read_segment(path: &str, segment: &str) -> Result<Segment, ConfigError> {
    let wrong = |problem| {
        Err(ConfigError::Segment {
            path: path.to_owned(),
            segment: segment.to_owned(),
            problem,
        })
    };
    if matches!(segment, "*" | "**") {
        return wrong(
            "a star is no wildcard here; use the path kind `prefix`, or a parameter such as `{name}`",
        );
    }
    if !segment.contains(['{', '}']) {
        return Ok(Segment::Literal(segment.into()));
    }
    let Some(name) = segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    else {
        return wrong(
            "a parameter is a whole segment, such as `{name}`; write literal braces as `%7B` and `%7D`",
        );
    };
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return wrong("a parameter's name takes letters, digits and `_`, and starts with no digit");
    }
    Ok(Segment::Parameter(name.into()))
}

/// Brings the literal segments to canonical form, as parts of the whole path: no segment is canonical alone.
fn canonical_segments(raw: &[Segment]) -> Result<Vec<Segment>, PathError> {
    let stand_in = raw
        .iter()
        .fold(String::new(), |path, segment| match segment {
            Segment::Literal(text) => path + "/" + text,
            Segment::Parameter(_) => path + "/x",
        });
    let mut scratch = String::new();
    let path = canonical(stand_in.as_bytes(), &mut scratch)?.path();
    // The canonical form neither makes nor removes a raw slash.
    Ok(path[1..]
        .split('/')
        .zip(raw)
        .map(|(text, raw)| match raw {
            Segment::Literal(_) => Segment::Literal(text.into()),
            Segment::Parameter(name) => Segment::Parameter(name.clone()),
        })
        .collect())
}

fn check_parameters(path: &str, segments: &[Segment]) -> Result<(), ConfigError> {
    let mut names: Vec<&str> = Vec::new();
    for segment in segments {
        let Segment::Parameter(name) = segment else {
            continue;
        };
        if names.contains(&&**name) {
            return Err(ConfigError::Segment {
                path: path.to_owned(),
                segment: format!("{{{name}}}"),
                problem: "the name is used twice; give each parameter its own",
            });
        }
        names.push(name);
    }
    within(path, "parameters", names.len(), MAX_PARAMETERS)
}

fn join_literals(segments: &[Segment]) -> Box<str> {
    let mut path = String::new();
    for segment in segments {
        if let Segment::Literal(text) = segment {
            path.push('/');
            path.push_str(text);
        }
    }
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(kind: PathKind, text: &str) -> String {
        match PathPattern::parse(kind, text).unwrap().shape {
            Shape::Literal { path, .. } => path.into(),
            other => panic!("{text} became {other:?}"),
        }
    }

    #[test]
    fn literal_paths_come_to_canonical_form() {
        assert_eq!(
            literal(PathKind::Exact, "/a%2fb/%7e/caf\u{e9}/"),
            "/a%2Fb/~/caf%C3%A9/"
        );
        assert_eq!(literal(PathKind::Exact, "/"), "/");
        assert_eq!(literal(PathKind::Prefix, "/"), "");
        assert_eq!(literal(PathKind::Prefix, "/api/"), "/api");
        assert_eq!(literal(PathKind::Prefix, "/api//"), "/api/");
    }

    #[test]
    fn one_form_for_every_spelling() {
        let form = |kind, text| PathPattern::form(kind, text).unwrap().into_owned();
        for (kind, one, other) in [
            (PathKind::Exact, "/a/{x}/b", "/a/{y}/b"),
            (PathKind::Exact, "/%71q", "/qq"),
            (PathKind::Exact, "/caf\u{e9}", "/caf%c3%a9"),
            (PathKind::Prefix, "/api/", "/api"),
            (PathKind::Prefix, "/%61pi/{x}/", "/api/{y}"),
        ] {
            assert_eq!(form(kind, one), form(kind, other), "{one} and {other}");
        }
        for (kind, one, other) in [
            (PathKind::Exact, "/a/{x}", "/a/x"),
            (PathKind::Exact, "/a/{x}", "/a/%7Bx%7D"),
            (PathKind::Exact, "/a/{x}", "/a/%7B%7D"),
            (PathKind::Exact, "/api/", "/api"),
            (PathKind::Exact, "/a%2Fb", "/a/b"),
            (PathKind::Prefix, "/api//", "/api"),
            (PathKind::Regex, "/a.*", "/a.+"),
        ] {
            assert_ne!(form(kind, one), form(kind, other), "{one} and {other}");
        }
        assert_eq!(form(PathKind::Prefix, "/"), "");
    }

    #[test]
    fn parameters_are_whole_segments() {
        let pattern = PathPattern::parse(PathKind::Exact, "/u/{id}/p/{post_2}").unwrap();
        assert_eq!(
            pattern.parameter_names().collect::<Vec<_>>(),
            ["id", "post_2"]
        );
        for wrong in [
            "/a{id}", "/{id}b", "/{}", "/{1a}", "/{a-b}", "/{*rest}", "/{a", "/a}", "/{a}/{a}",
            "/api/*", "/**",
        ] {
            let error = PathPattern::parse(PathKind::Exact, wrong).unwrap_err();
            assert!(
                matches!(error, ConfigError::Segment { .. }),
                "{wrong}: {error}"
            );
        }
    }

    #[test]
    fn what_no_request_can_have_is_an_error() {
        for wrong in [
            "", "api", "/a/../b", "/%2e", "/a\\b", "/a b", "/%zz", "/a#b", "/%00",
        ] {
            let error = PathPattern::parse(PathKind::Prefix, wrong).unwrap_err();
            assert!(
                matches!(error, ConfigError::Unreachable { .. }),
                "{wrong}: {error}"
            );
        }
        assert!(matches!(
            PathPattern::parse(PathKind::Exact, "/a?b=c"),
            Err(ConfigError::Query { .. })
        ));
    }

    #[test]
    fn limits_name_what_exceeds_them() {
        let error = |text: &str| {
            PathPattern::parse(PathKind::Exact, text)
                .unwrap_err()
                .to_string()
        };
        assert!(error(&"/a".repeat(64)).ends_with("has 64 segments; at most 63 are allowed"));
        assert!(
            error(&format!("/{}", "a".repeat(1024)))
                .ends_with("has 1025 bytes; at most 1024 are allowed")
        );
        let nine = ('a'..='i').fold(String::new(), |path, name| format!("{path}/{{{name}}}"));
        assert!(error(&nine).ends_with("has 9 parameters; at most 8 are allowed"));
    }
}
