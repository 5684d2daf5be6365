//! Path rewrite by a regular expression with groups.

use crate::expression::parse;
use crate::path::canonical;
use crate::{ConfigError, PathError, RewriteError};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Input, meta};

/// How many groups an expression may have, the whole match included.
const MAX_GROUPS: usize = 16;
/// How large the automaton of an expression may be, in bytes.
const SIZE_LIMIT: usize = 256 * 1024;
/// How much the lazily built automaton may hold, in bytes.
const CACHE_LIMIT: usize = 512 * 1024;

/// A path rewrite: where the expression first matches, the match is replaced. It sees the path alone, in canonical
/// form, without query.
///
/// The replacement knows `$1` to `$15` (two digits are read as one group where there is such a group, as in
/// ECMAScript), `${1}`, `${name}`, `$<name>`, `$&` for the whole match, and `$$` for a dollar sign.
///
/// The expression is ASCII, takes linear time and is not anchored by itself.
#[derive(Debug)]
pub struct PathRewrite {
    expression: meta::Regex,
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Group(usize),
}

/// Buffers of [`PathRewrite::apply`]; keep one per connection or thread.
#[derive(Debug, Default)]
pub struct RewriteScratch {
    made: String,
    canonical: String,
}

impl PathRewrite {
    /// Compiles a rewrite.
    ///
    /// # Errors
    /// [`ConfigError::Regex`] for the expression; [`ConfigError::Replacement`] for a group that does not exist, and for
    /// text that no path may hold.
    pub fn new(pattern: &str, replacement: &str) -> Result<Self, ConfigError> {
        let error = |problem: String| ConfigError::Regex {
            pattern: pattern.to_owned(),
            problem,
        };
        let config = meta::Config::new()
            .utf8_empty(false)
            .which_captures(WhichCaptures::All)
            .nfa_size_limit(Some(SIZE_LIMIT))
            .onepass_size_limit(Some(SIZE_LIMIT))
            .hybrid_cache_capacity(CACHE_LIMIT);
        let expression = meta::Builder::new()
            .configure(config)
            .build_from_hir(&parse(pattern)?)
            .map_err(|cause| match cause.size_limit() {
                Some(_) => {
                    error("its automaton is too large; shorten its repetitions and classes".into())
                }
                None => error(cause.to_string()),
            })?;
        if expression.captures_len() > MAX_GROUPS {
            return Err(error(format!("has more than {} groups", MAX_GROUPS - 1)));
        }
        let parts = Replacement {
            text: replacement,
            expression: &expression,
        }
        .read()?;
        Ok(Self { expression, parts })
    }

    /// The rewritten path; `path` itself where the expression does not match. An empty result is `/` (RFC 3986 section
    /// 6.2.3).
    ///
    /// # Errors
    /// [`RewriteError`] where the result is not acceptable as a request path, for instance because the pieces make a
    /// dot segment. The gateway answers 500 and sends nothing.
    pub fn apply<'a>(
        &self,
        path: &'a str,
        scratch: &'a mut RewriteScratch,
    ) -> Result<&'a str, RewriteError> {
        let mut slots: [Option<NonMaxUsize>; MAX_GROUPS * 2] = [None; MAX_GROUPS * 2];
        let used = self.expression.captures_len() * 2;
        if self
            .expression
            .search_slots(&Input::new(path), &mut slots[..used])
            .is_none()
        {
            return Ok(path);
        }
        let group = |number: usize| match (slots[number * 2], slots[number * 2 + 1]) {
            (Some(start), Some(end)) => start.get()..end.get(),
            _ => 0..0,
        };
        let whole = group(0);
        let made = &mut scratch.made;
        made.clear();
        made.push_str(&path[..whole.start]);
        for part in &self.parts {
            match part {
                Part::Text(text) => made.push_str(text),
                Part::Group(number) => made.push_str(&path[group(*number)]),
            }
        }
        made.push_str(&path[whole.end..]);
        if made.is_empty() {
            return Ok("/");
        }
        Ok(canonical(scratch.made.as_bytes(), &mut scratch.canonical)?.path())
    }
}

/// A replacement being read.
struct Replacement<'a> {
    text: &'a str,
    expression: &'a meta::Regex,
}

impl Replacement<'_> {
    fn error(&self, problem: String) -> ConfigError {
        ConfigError::Replacement {
            replacement: self.text.to_owned(),
            problem,
        }
    }

    fn read(&self) -> Result<Box<[Part]>, ConfigError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = self.text;
        while let Some(dollar) = rest.find('$') {
            literal.push_str(&rest[..dollar]);
            let behind = &rest[dollar + 1..];
            if let Some(after) = behind.strip_prefix('$') {
                literal.push('$');
                rest = after;
                continue;
            }
            let (group, after) = self.reference(behind)?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal).into()));
            }
            parts.push(Part::Group(group));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        for part in &parts {
            self.check_text(part)?;
        }
        Ok(parts.into())
    }

    /// The group that `behind`, the text after a `$`, refers to, and what follows the reference.
    fn reference<'t>(&self, behind: &'t str) -> Result<(usize, &'t str), ConfigError> {
        if let Some(after) = behind.strip_prefix('&') {
            return Ok((0, after));
        }
        for (open, close) in [('{', '}'), ('<', '>')] {
            if let Some(inner) = behind.strip_prefix(open) {
                let (name, after) = inner
                    .split_once(close)
                    .ok_or_else(|| self.error(format!("`${open}` has no `{close}` behind it")))?;
                return Ok((self.named(name)?, after));
            }
        }
        let digits = behind
            .bytes()
            .take(2)
            .take_while(u8::is_ascii_digit)
            .count();
        for len in (1..=digits).rev() {
            let number: usize = behind[..len].parse().unwrap_or(usize::MAX);
            if (1..self.expression.captures_len()).contains(&number) {
                return Ok((number, &behind[len..]));
            }
        }
        Err(self.error(match digits {
            0 => "a `$` must be followed by a group's number or `{name}`; write a dollar sign as `$$`".into(),
            _ => format!("the expression has no group {}", &behind[..digits]),
        }))
    }

    fn named(&self, name: &str) -> Result<usize, ConfigError> {
        let groups = self.expression.group_info();
        let number = match name.parse::<usize>() {
            Ok(number) => (number < self.expression.captures_len()).then_some(number),
            Err(_) => groups.to_index(regex_automata::PatternID::ZERO, name),
        };
        number.ok_or_else(|| self.error(format!("the expression has no group `{name}`")))
    }

    /// Whatever the groups hold, this text would spoil the path.
    fn check_text(&self, part: &Part) -> Result<(), ConfigError> {
        let Part::Text(text) = part else {
            return Ok(());
        };
        let refused = text.bytes().find_map(|byte| match byte {
            b'?' => Some("`?`; the rewrite works on the path alone".to_owned()),
            b'#' => Some(format!("`#`: {}", PathError::Fragment)),
            b'\\' => Some(format!("`\\`: {}", PathError::Backslash)),
            0..=b' ' | 0x7f => Some("a space or control character; percent-encode it".to_owned()),
            _ => None,
        });
        match refused {
            Some(what) => Err(self.error(format!("it holds {what}"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(pattern: &str, replacement: &str, path: &str) -> Result<String, RewriteError> {
        let mut scratch = RewriteScratch::default();
        PathRewrite::new(pattern, replacement)
            .unwrap()
            .apply(path, &mut scratch)
            .map(str::to_owned)
    }

    #[test]
    fn the_first_match_is_replaced() {
        for (pattern, replacement, path, expected) in [
            ("^/api", "", "/api/users", "/users"),
            ("^/api", "", "/api", "/"),
            ("^/v1/(.*)$", "/v2/$1", "/v1/a/b", "/v2/a/b"),
            ("a", "b", "/a/a", "/b/a"),
            ("^/x", "/y", "/z", "/z"),
            (
                r"^/(?<user>\w+)/(?P<post>\d+)",
                "/p/${post}/u/$<user>",
                "/ann/7/x",
                "/p/7/u/ann/x",
            ),
            ("^/(a)", "/$1b", "/a", "/ab"),
            ("^/(a)", "/$11", "/a", "/a1"),
            ("^/(a)(x)?", "/[${1}$2]", "/a", "/%5Ba%5D"),
            ("b", "<$&$$>", "/abc", "/a%3Cb$%3Ec"),
            ("%2F", "/", "/a%2Fb", "/a/b"),
            ("z", "%c3%A9", "/z", "/%C3%A9"),
            ("/-(e)", "/%2$1", "/-e-/", "/.-/"),
        ] {
            let found = rewritten(pattern, replacement, path);
            assert_eq!(found.as_deref(), Ok(expected), "{pattern} -> {replacement}");
        }
    }

    #[test]
    fn a_result_that_no_request_may_have_is_an_error() {
        for (pattern, replacement, path, reason) in [
            ("x", "", "/x./a", PathError::DotSegment),
            ("/-(e)", "/%2$1", "/-e/", PathError::DotSegment),
            ("-(x)", "%$1", "/-x/", PathError::BadPercent),
            ("x*", "-", "/ab", PathError::NotAbsolute),
            ("y", "%2e.", "/y/a", PathError::DotSegment),
            ("^/", "", "/a", PathError::NotAbsolute),
            ("c", "%00", "/c", PathError::Control),
        ] {
            let found = rewritten(pattern, replacement, path);
            assert_eq!(
                found,
                Err(RewriteError { reason }),
                "{pattern} -> {replacement}"
            );
        }
    }

    #[test]
    fn a_bad_rewrite_says_what_is_wrong() {
        let problem = |pattern: &str, replacement: &str| {
            PathRewrite::new(pattern, replacement)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            problem("/a", "/$1"),
            "replacement `/$1`: the expression has no group 1"
        );
        assert_eq!(
            problem("/(?<x>a)", "/${y}"),
            "replacement `/${y}`: the expression has no group `y`"
        );
        assert_eq!(
            problem("/a", "/${y"),
            "replacement `/${y`: `${` has no `}` behind it"
        );
        assert!(problem("/a", "/$").contains("write a dollar sign as `$$`"));
        assert!(problem("/a", "/b?c=d").contains("path alone"));
        assert!(problem("/(a", "/b").contains("unclosed group at character 2"));
        assert!(problem(&"(a)".repeat(16), "/").contains("more than 15 groups"));
        assert!(problem("([a-z]{1,1000}){100}", "/").contains("too large"));
    }
}
