//! Regular expressions of routes, checked: linear time, ASCII, limited in size, split into a literal beginning and the
//! rest.

use crate::pattern::MAX_SEGMENTS;
use crate::{ConfigError, PathError};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_syntax::hir::{Hir, HirKind, Look};

/// How large the automaton of one expression may be, in bytes.
pub(crate) const SIZE_LIMIT: usize = 256 * 1024;
/// How deep groups and repetitions may nest.
const NEST_LIMIT: u32 = 64;

/// A checked expression.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    /// The whole segments every match begins with, and a slash behind them: `/users` for `/users/\d+`.
    pub(crate) lead: Box<str>,
    /// What comes behind the lead, anchored at both ends.
    pub(crate) rest: Hir,
}

impl Expression {
    pub(crate) fn parse(pattern: &str) -> Result<Self, ConfigError> {
        let error = |problem: String| ConfigError::Regex {
            pattern: pattern.to_owned(),
            problem,
        };
        let hir = parse(pattern)?;
        let (literal, behind) = split_literal(&hir);
        if literal.first().is_some_and(|&byte| byte != b'/') {
            let reason = PathError::NotAbsolute;
            return Err(ConfigError::Unreachable {
                path: pattern.to_owned(),
                reason,
            });
        }
        let lead = whole_segments(&literal);
        let mut rest = vec![Hir::look(Look::Start), Hir::literal(&literal[lead.len()..])];
        rest.extend_from_slice(behind);
        rest.push(Hir::look(Look::End));
        let rest = Hir::concat(rest);
        compile(&[&rest], SIZE_LIMIT).map_err(|cause| match cause.size_limit() {
            Some(limit) => error(format!(
                "its automaton needs more than {} KiB; shorten its repetitions and classes",
                limit / 1024
            )),
            None => error(cause.to_string()),
        })?;
        Ok(Self { lead, rest })
    }
}

/// Parses an expression over canonical paths.
pub(crate) fn parse(pattern: &str) -> Result<Hir, ConfigError> {
    let error = |problem: String| ConfigError::Regex {
        pattern: pattern.to_owned(),
        problem,
    };
    if !pattern.is_ascii() {
        return Err(error(
            "canonical paths are ASCII; write other characters percent-encoded, such as `%C3%A9`"
                .into(),
        ));
    }
    regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .nest_limit(NEST_LIMIT)
        .build()
        .parse(pattern)
        .map_err(|cause| match cause {
            regex_syntax::Error::Parse(e) => error(format!(
                "{} at character {}",
                e.kind(),
                e.span().start.offset + 1
            )),
            regex_syntax::Error::Translate(e) => error(format!(
                "{} at character {}",
                e.kind(),
                e.span().start.offset + 1
            )),
            other => error(other.to_string()),
        })
}

/// The literal text an expression begins with, and the parts behind it.
fn split_literal(hir: &Hir) -> (Vec<u8>, &[Hir]) {
    let mut parts = match hir.kind() {
        HirKind::Concat(parts) => parts.as_slice(),
        _ => std::slice::from_ref(hir),
    };
    let mut literal = Vec::new();
    while let Some((part, behind)) = parts.split_first() {
        match part.kind() {
            HirKind::Look(Look::Start) if literal.is_empty() => {}
            HirKind::Literal(text) => literal.extend_from_slice(&text.0),
            _ => break,
        }
        parts = behind;
    }
    (literal, parts)
}

/// The part of a path's literal beginning that ends before its last slash.
fn whole_segments(literal: &[u8]) -> Box<str> {
    let slash = memchr::memchr_iter(b'/', literal)
        .take(MAX_SEGMENTS + 1)
        .last()
        .unwrap_or(0);
    std::str::from_utf8(&literal[..slash])
        .unwrap_or_default()
        .into()
}

pub(crate) fn compile(
    expressions: &[&Hir],
    size_limit: usize,
) -> Result<NFA, Box<thompson::BuildError>> {
    let config = thompson::Config::new()
        .nfa_size_limit(Some(size_limit))
        .which_captures(WhichCaptures::None);
    thompson::Compiler::new()
        .configure(config)
        .build_many_from_hir(expressions)
        .map_err(Box::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_literal_beginning_is_whole_segments() {
        for (pattern, lead) in [
            (r"/users/\d+", "/users"),
            (r"^/v1/users/[a-z]+/x$", "/v1/users"),
            ("/users?", ""),
            ("/users", ""),
            ("(/a|/b)/c", ""),
            ("/a/(b|c)", "/a"),
            ("(?i)/users/x", ""),
            (".*", ""),
        ] {
            assert_eq!(
                &*Expression::parse(pattern).unwrap().lead,
                lead,
                "{pattern}"
            );
        }
    }

    #[test]
    fn a_bad_expression_is_named_with_its_place() {
        let problem = |pattern: &str| Expression::parse(pattern).unwrap_err().to_string();
        assert_eq!(
            problem("/a(b"),
            "regular expression `/a(b`: unclosed group at character 3"
        );
        assert_eq!(
            problem("/a)|(b"),
            "regular expression `/a)|(b`: unopened group at character 3"
        );
        assert!(
            problem(r"/(?=a)").contains("look-around"),
            "{}",
            problem(r"/(?=a)")
        );
        assert!(
            problem(r"/(a)\1").contains("backreferences"),
            "{}",
            problem(r"/(a)\1")
        );
        assert!(problem("/(([a-z]{100}){100}){10}").contains("needs more than 256 KiB"));
        assert!(problem("/caf\u{e9}").contains("percent-encoded"));
        assert!(problem("users/.*").contains("must start with `/`"));
    }
}
