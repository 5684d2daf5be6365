//! What a lookup is asked, and what it answers.

use crate::{Allow, CanonicalPath, Method};
use std::ops::Range;

/// How many parameters one path may hold.
pub const MAX_PARAMETERS: usize = 8;

/// The parts of a request that routes differ by.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// As [`canonical_host`](crate::canonical_host) gives it; empty where the request names none.
    pub host: &'a str,
    /// The request's method.
    pub method: Method,
    /// The request's path.
    pub path: CanonicalPath<'a>,
}

/// The answer of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The best route of those that serve the path and the method.
    Found(Match),
    /// Routes serve the path, none of them the method: 405 with this `Allow`.
    MethodNotAllowed(Allow),
    /// No route serves the path: 404.
    NotFound,
}

/// A route that serves a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// The number the route was given when the table was built.
    pub route: u32,
    /// How many bytes of the path a prefix route covers, always up to a `/` or the end. 0 for the prefix `/`, and for
    /// exact and regex routes, from which nothing is ever stripped.
    pub prefix_len: usize,
    /// The values of the path's parameters.
    pub parameters: Parameters,
}

/// The places of parameter values in the canonical path, from left to right. Holds no allocation.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Parameters {
    spans: [(u32, u32); MAX_PARAMETERS],
    len: u8,
}

impl Parameters {
    pub(crate) fn push(&mut self, start: u32, end: u32) {
        self.spans[usize::from(self.len)] = (start, end);
        self.len += 1;
    }

    pub(crate) fn pop(&mut self) {
        self.len -= 1;
    }

    /// The spans of the values, each of one whole segment.
    pub fn spans(&self) -> impl ExactSizeIterator<Item = Range<usize>> {
        self.spans[..usize::from(self.len)]
            .iter()
            .map(|&(start, end)| start as usize..end as usize)
    }

    /// The values, still percent-encoded. `path` is the path of the lookup.
    pub fn values<'p>(&self, path: CanonicalPath<'p>) -> impl ExactSizeIterator<Item = &'p str> {
        self.spans().map(move |span| &path.path()[span])
    }
}

impl std::fmt::Debug for Parameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.spans()).finish()
    }
}
