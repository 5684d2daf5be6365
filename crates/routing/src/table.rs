//! The route table: built once, read without locks or allocation.
//!
//! # Precedence
//! Of the routes that serve the request's host, path **and** method, the first by:
//! 1. host: the exact name, then the wildcard with the longest suffix, then routes without a host;
//! 2. path: exact without parameters; then paths with parameters; then the longest prefix; then expressions. Paths with
//!    parameters compare segment by segment from the left: a literal segment before a parameter before the end of a
//!    prefix; ending with the request's path, a whole path before a prefix;
//! 3. priority, higher first;
//! 4. method: `HEAD` before `GET` (for a `HEAD` request), a method before `*`;
//! 5. age, older first; then the order given.
//!
//! The method is a filter before it is a preference: `POST /a/b` goes to a `POST` prefix `/a` though an exact `GET`
//! route `/a/b` exists. 405 is the answer only where no route at all serves the method on that path.

use crate::bucket::Bucket;
use crate::index::{Index, Kind, Owner};
use crate::matched::{Lookup, Match, Parameters, RequestLine};
use crate::method::{Allow, Method, MethodFilter};
use crate::segments::Scratch;
use crate::trie::{NONE, Node, Walk};
use std::sync::Arc;

/// Routes in the form that lookups need. Made by [`RouteTable::build`](crate::RouteTable::build).
///
/// A table of few routes takes one or two kilobytes, so each tenant can have its own. Regular expressions cost more;
/// see [`RouteTable::memory`].
#[derive(Debug, Default)]
pub struct RouteTable {
    /// Exact paths and prefixes.
    pub(crate) paths: Index<Group>,
    /// Leads of expressions, runs of the trie, hosts.
    pub(crate) index: Index<u32>,
    /// The rest of groups that have more than one route.
    pub(crate) candidates: Box<[Candidate]>,
    pub(crate) nodes: Box<[Node]>,
    pub(crate) buckets: Box<[Bucket]>,
    /// The first stands for routes without a host.
    pub(crate) scopes: Box<[Scope]>,
    pub(crate) routes: u32,
    /// How many segments of a path lookups have to know.
    pub(crate) deepest: u8,
    pub(crate) has_hosts: bool,
    pub(crate) has_wildcard_hosts: bool,
}

/// Routes that differ by method alone, best first. The first stands in the group itself, as most have no other, which
/// saves a lookup a line of memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) first: Candidate,
    /// Where the others begin.
    pub(crate) rest: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) route: u32,
    pub(crate) methods: MethodFilter,
    pub(crate) last: bool,
}

/// The routes of one host pattern. Bit `n` of a mask says that texts of `n` segments exist.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    pub(crate) prefixes: u64,
    pub(crate) leads: u64,
    /// The root of the trie.
    pub(crate) root: u32,
    pub(crate) has_exact: bool,
}

impl Scope {
    pub(crate) const EMPTY: Self = Self {
        prefixes: 0,
        leads: 0,
        root: NONE,
        has_exact: false,
    };
}

impl RouteTable {
    /// The best route for a request.
    pub fn lookup(&self, request: &RequestLine<'_>, scratch: &mut Scratch) -> Lookup {
        let mut allow = Allow::NONE;
        match self.search(request, scratch, &mut allow) {
            Some(found) => Lookup::Found(found),
            None => refusal(allow),
        }
    }

    /// Looks in several tables, the first that serves the request wins: a tenant's own table, then the platform's.
    ///
    /// Tables are not mixed: a tenant's prefix `/` takes everything from the platform, on purpose. Where none serves the
    /// request, `Allow` names the methods of all.
    pub fn lookup_in<'t>(
        tables: impl IntoIterator<Item = &'t Self>,
        request: &RequestLine<'_>,
        scratch: &mut Scratch,
    ) -> Lookup {
        let mut allow = Allow::NONE;
        for table in tables {
            if let Some(found) = table.search(request, scratch, &mut allow) {
                return Lookup::Found(found);
            }
        }
        refusal(allow)
    }

    /// How many routes it holds.
    pub const fn len(&self) -> usize {
        self.routes as usize
    }

    /// Whether it holds no route.
    pub const fn is_empty(&self) -> bool {
        self.routes == 0
    }

    /// The heap it takes, in bytes. Not counted are automata too large to be built ahead, which grow with use: at most
    /// 512 KiB for each thread and literal beginning with such expressions.
    pub fn memory(&self) -> usize {
        let mut engines: Vec<_> = self.buckets.iter().map(|bucket| &bucket.engine).collect();
        engines.sort_unstable_by_key(|engine| Arc::as_ptr(engine));
        engines.dedup_by_key(|engine| Arc::as_ptr(engine));
        self.paths.memory()
            + self.index.memory()
            + size_of_val(&*self.candidates)
            + size_of_val(&*self.nodes)
            + size_of_val(&*self.scopes)
            + size_of_val(&*self.buckets)
            + self.buckets.iter().map(Bucket::memory).sum::<usize>()
            + engines
                .into_iter()
                .map(|engine| engine.memory())
                .sum::<usize>()
    }

    fn search(
        &self,
        request: &RequestLine<'_>,
        scratch: &mut Scratch,
        allow: &mut Allow,
    ) -> Option<Match> {
        scratch
            .ends
            .find(request.path.path(), usize::from(self.deepest));
        if self.has_hosts && !request.host.is_empty() {
            let host = request.host.as_bytes();
            let exact = self.index.get(Owner::new(Kind::Host, 0), host);
            let dots = memchr::memchr_iter(b'.', if self.has_wildcard_hosts { host } else { b"" });
            let below = dots.filter_map(|dot| {
                self.index
                    .get(Owner::new(Kind::BelowHost, 0), &host[dot + 1..])
            });
            for scope in exact.into_iter().chain(below) {
                if let Some(found) = self.search_scope(scope, request, scratch, allow) {
                    return Some(found);
                }
            }
        }
        self.search_scope(0, request, scratch, allow)
    }

    fn search_scope(
        &self,
        id: u32,
        request: &RequestLine<'_>,
        scratch: &mut Scratch,
        allow: &mut Allow,
    ) -> Option<Match> {
        let scope = self.scopes.get(id as usize)?;
        let (path, method) = (request.path.path(), request.method);
        let plain = |route, prefix_len| Match {
            route,
            prefix_len,
            parameters: Parameters::default(),
        };

        if scope.has_exact
            && let Some(group) = self.paths.get(Owner::new(Kind::Exact, id), path.as_bytes())
            && let Some(route) = self.serve(group, method, allow)
        {
            return Some(plain(route, 0));
        }
        if scope.root != NONE {
            let mut walk = Walk {
                nodes: &self.nodes,
                index: &self.index,
                path,
                ends: &scratch.ends,
                serve: |group| self.serve(group, method, allow),
                parameters: Parameters::default(),
            };
            if let Some((route, prefix_len)) = walk.descend(scope.root, 0) {
                return Some(Match {
                    route,
                    prefix_len,
                    parameters: walk.parameters,
                });
            }
        }
        for (_, end) in scratch.ends.reached(scope.prefixes) {
            if let Some(group) = self
                .paths
                .get(Owner::new(Kind::Prefix, id), &path.as_bytes()[..end])
                && let Some(route) = self.serve(group, method, allow)
            {
                return Some(plain(route, end));
            }
        }
        let mut best = None;
        let mut limit = u32::MAX;
        for (_, end) in scratch.ends.reached(scope.leads) {
            if let Some(bucket) = self
                .index
                .get(Owner::new(Kind::Lead, id), &path.as_bytes()[..end])
                && let Some(found) = self.buckets[bucket as usize].search(
                    &path[end..],
                    method,
                    limit,
                    &mut scratch.matches,
                    allow,
                )
            {
                limit = found.rank;
                best = Some(plain(found.route, 0));
            }
        }
        best
    }

    fn serve(&self, group: Group, method: Method, allow: &mut Allow) -> Option<u32> {
        let mut candidate = group.first;
        let mut next = group.rest as usize;
        loop {
            if candidate.methods.accepts(method) {
                return Some(candidate.route);
            }
            *allow |= Allow::from(candidate.methods);
            if candidate.last {
                return None;
            }
            candidate = self.candidates[next];
            next += 1;
        }
    }
}

fn refusal(allow: Allow) -> Lookup {
    if allow.is_empty() {
        Lookup::NotFound
    } else {
        Lookup::MethodNotAllowed(allow)
    }
}
