//! Regular expressions of a table, tried only where their literal beginning fits.
//!
//! Expressions that begin with the same whole literal segments stand in one [`Bucket`], found by that beginning and
//! searched in one pass over the rest of the path, however many it holds. So `/users/\d+` is tried only for paths below
//! `/users`, and the cost of a lookup does not grow with expressions elsewhere.

use crate::ConfigError;
use crate::expression::{Expression, SIZE_LIMIT, compile};
use crate::method::{Allow, Method, MethodFilter};
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::{Anchored, Input, MatchKind, PatternSet, meta};
use regex_syntax::hir::Hir;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// Up to which size a bucket's automaton is built ahead, in bytes. Larger ones are built as requests need them.
const AHEAD_LIMIT: usize = 16 * 1024;
/// How much of a bucket's automaton is kept where it is built as needed, in bytes.
const CACHE_LIMIT: usize = 512 * 1024;

/// A route in a bucket. `rank` orders all expressions of a scope, best first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranked {
    pub(crate) rank: u32,
    pub(crate) route: u32,
    pub(crate) methods: MethodFilter,
}

/// Expressions with one literal beginning.
///
/// Aligned so that it never straddles two cache lines: where it holds one expression, as most do, a lookup reads one.
#[derive(Debug)]
#[repr(align(32))]
pub(crate) struct Bucket {
    pub(crate) engine: Arc<Engine>,
    /// By rank; the position is the expression's number in `engine`.
    routes: SmallVec<[Ranked; 1]>,
}

/// Finds all expressions that match, in one pass.
#[derive(Debug)]
pub(crate) enum Engine {
    /// The usual one: small, read-only, the same for all threads.
    Ahead(Box<dense::DFA<Vec<u32>>>),
    /// For expressions whose automaton might be large: parts of it are built while searching, and kept.
    AsNeeded(Box<meta::Regex>),
}

/// Builds buckets. Those whose expressions differ by their lead alone (`/users/\d+`, `/orders/\d+`) share an engine.
#[derive(Default)]
pub(crate) struct BucketBuilder {
    engines: HashMap<Vec<String>, Arc<Engine>>,
}

impl BucketBuilder {
    /// `members` come by rank.
    pub(crate) fn build(
        &mut self,
        members: &[(Ranked, &Expression)],
    ) -> Result<Bucket, ConfigError> {
        let rests: Vec<&Hir> = members
            .iter()
            .map(|(_, expression)| &expression.rest)
            .collect();
        let engine = match self
            .engines
            .entry(rests.iter().map(ToString::to_string).collect())
        {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(place) => Arc::clone(place.insert(Arc::new(Engine::build(&rests)?))),
        };
        Ok(Bucket {
            engine,
            routes: members.iter().map(|(route, _)| *route).collect(),
        })
    }
}

impl Bucket {
    /// The best route for `method` and `rest`, the path behind the literal beginning, that ranks before `limit`.
    pub(crate) fn search(
        &self,
        rest: &str,
        method: Method,
        limit: u32,
        matches: &mut PatternSet,
        allow: &mut Allow,
    ) -> Option<Ranked> {
        if matches.capacity() < self.routes.len() {
            *matches = PatternSet::new(self.routes.len().next_power_of_two());
        }
        self.engine.search(rest, matches);
        matches
            .iter()
            .map(|number| self.routes[number.as_usize()])
            .take_while(|route| route.rank < limit)
            .find_map(|route| serve(route, method, allow))
    }

    /// Without the engine.
    pub(crate) fn memory(&self) -> usize {
        if self.routes.spilled() {
            size_of_val(&*self.routes)
        } else {
            0
        }
    }
}

impl Engine {
    fn build(expressions: &[&Hir]) -> Result<Self, ConfigError> {
        let size_limit = SIZE_LIMIT.saturating_mul(expressions.len());
        Self::ahead(expressions, size_limit)
            .or_else(|| Self::as_needed(expressions, size_limit))
            .ok_or(ConfigError::TooMany {
                unit: "regular expressions with one literal beginning",
                limit: expressions.len() - 1,
            })
    }

    fn ahead(expressions: &[&Hir], size_limit: usize) -> Option<Self> {
        let config = dense::Config::new()
            .match_kind(MatchKind::All)
            .start_kind(StartKind::Anchored)
            .accelerate(false)
            .dfa_size_limit(Some(AHEAD_LIMIT))
            .determinize_size_limit(Some(AHEAD_LIMIT * 8));
        let nfa = compile(expressions, size_limit).ok()?;
        let dfa = dense::Builder::new()
            .configure(config)
            .build_from_nfa(&nfa)
            .ok()?;
        Some(Self::Ahead(Box::new(dfa)))
    }

    fn as_needed(expressions: &[&Hir], size_limit: usize) -> Option<Self> {
        let config = meta::Config::new()
            .match_kind(MatchKind::All)
            .utf8_empty(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(size_limit))
            .hybrid_cache_capacity(CACHE_LIMIT)
            .dfa(false)
            .onepass(false)
            .backtrack(false)
            .auto_prefilter(false);
        let regex = meta::Builder::new()
            .configure(config)
            .build_many_from_hir(expressions)
            .ok()?;
        Some(Self::AsNeeded(Box::new(regex)))
    }

    /// Puts the numbers of the expressions that match all of `text` into `matches`.
    fn search(&self, text: &str, matches: &mut PatternSet) {
        matches.clear();
        let input = Input::new(text).anchored(Anchored::Yes);
        match self {
            Self::Ahead(dfa) => dfa
                .try_which_overlapping_matches(&input, matches)
                .expect("an automaton without Unicode word boundaries gives up on no text"),
            Self::AsNeeded(regex) => regex.which_overlapping_matches(&input, matches),
        }
    }

    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::Ahead(dfa) => size_of_val(&**dfa) + dfa.memory_usage(),
            Self::AsNeeded(regex) => size_of_val(&**regex) + regex.memory_usage(),
        }
    }
}

fn serve(route: Ranked, method: Method, allow: &mut Allow) -> Option<Ranked> {
    if route.methods.accepts(method) {
        return Some(route);
    }
    *allow |= Allow::from(route.methods);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_half_a_line_of_memory() {
        assert_eq!(size_of::<Bucket>(), 32);
    }

    #[test]
    fn both_engines_find_the_same() {
        let patterns = [
            "/a/.*",
            "/[ab]",
            "/a/(b|)",
            ".*",
            "/a/b/[a-z]+",
            "/(a|b)/.*x",
            r"/a\b/.*",
            "^/a$",
            "(?m)^/b$",
            "",
        ];
        let expressions: Vec<Expression> = patterns
            .map(|pattern| Expression::parse(pattern).unwrap())
            .into();
        let rests: Vec<&Hir> = expressions
            .iter()
            .map(|expression| &expression.rest)
            .collect();
        let ahead = Engine::ahead(&rests, SIZE_LIMIT).unwrap();
        let as_needed = Engine::as_needed(&rests, SIZE_LIMIT).unwrap();
        let mut found = [PatternSet::new(rests.len()), PatternSet::new(rests.len())];
        for text in [
            "", "/", "/a", "/a/", "/a/b", "/b/b/x", "/b", "/xyz", "/a/b/c", "/b/",
        ] {
            ahead.search(text, &mut found[0]);
            as_needed.search(text, &mut found[1]);
            assert_eq!(found[0], found[1], "{text}");
        }
    }

    #[test]
    fn a_large_automaton_is_built_as_needed_and_takes_linear_time() {
        let expression = Expression::parse("/x/[ab]*a[ab]{14}").unwrap();
        let member = Ranked {
            rank: 0,
            route: 7,
            methods: MethodFilter::Any,
        };
        let bucket = BucketBuilder::default()
            .build(&[(member, &expression)])
            .unwrap();
        assert!(matches!(*bucket.engine, Engine::AsNeeded(_)));
        let (mut matches, mut allow) = (PatternSet::new(0), Allow::NONE);
        let mut served = |rest: &str| {
            bucket
                .search(rest, Method::Get, 1, &mut matches, &mut allow)
                .map(|r| r.route)
        };
        assert_eq!(
            served(&format!("/{}a{}", "b".repeat(20_000), "b".repeat(14))),
            Some(7)
        );
        assert_eq!(served(&format!("/{}", "b".repeat(20_000))), None);
    }
}
