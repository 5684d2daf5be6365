//! Routes in, table out.

use crate::ConfigError;
use crate::bucket::{BucketBuilder, Ranked};
use crate::expression::Expression;
use crate::host::HostPattern;
use crate::index::{IndexBuilder, Kind, Owner};
use crate::method::MethodFilter;
use crate::pattern::{PathPattern, Segment, Shape};
use crate::table::{Candidate, Group, RouteTable, Scope};
use crate::trie::{NONE, Node};
use std::cmp::Reverse;

/// One route as configured.
#[derive(Clone, Debug)]
pub struct Route {
    /// The number a match gives back: an index into the caller's own list.
    pub route: u32,
    /// The hosts it answers for; `None`: every host.
    pub host: Option<HostPattern>,
    /// The methods it serves.
    pub methods: MethodFilter,
    /// The paths it serves.
    pub path: PathPattern,
    /// Decides between routes whose host and path are equally specific: higher first. 0 by default.
    pub priority: i32,
    /// Decides after priority and method: lower first. A creation time, in any unit.
    pub age: u64,
}

impl RouteTable {
    /// Builds the table of `routes`. Takes about a microsecond a route, and tens for a regular expression.
    ///
    /// # Errors
    /// [`ConfigError::TooMany`] where an index would overflow, beyond any number of routes in practice.
    pub fn build(routes: &[Route]) -> Result<Self, ConfigError> {
        let mut order: Vec<&Route> = routes.iter().collect();
        order.sort_by_key(|route| (Reverse(route.priority), route.methods.breadth(), route.age));
        let mut builder = Builder {
            scopes: vec![Scope::EMPTY],
            ..Builder::default()
        };
        for (rank, route) in order.into_iter().enumerate() {
            builder.add(rank as u32, route);
        }
        builder.finish(routes.len())
    }
}

/// Routes arrive best first, so that each group is in order as it grows.
#[derive(Default)]
struct Builder<'a> {
    paths: IndexBuilder,
    index: IndexBuilder,
    groups: Vec<Vec<Candidate>>,
    nodes: Vec<Node<u32>>,
    buckets: Vec<Vec<(Ranked, &'a Expression)>>,
    scopes: Vec<Scope>,
    deepest: usize,
    has_hosts: bool,
    has_wildcard_hosts: bool,
}

impl<'a> Builder<'a> {
    fn add(&mut self, rank: u32, route: &'a Route) {
        let scope = self.scope(route.host.as_ref());
        let candidate = Candidate {
            route: route.route,
            methods: route.methods,
            last: false,
        };
        match &route.path.shape {
            Shape::Literal { whole: true, path } => {
                self.scopes[scope as usize].has_exact = true;
                self.add_literal(Owner::new(Kind::Exact, scope), path, candidate);
            }
            Shape::Literal { whole: false, path } => {
                let depth = self.deepen(segments_of(path));
                self.scopes[scope as usize].prefixes |= 1 << depth;
                self.add_literal(Owner::new(Kind::Prefix, scope), path, candidate);
            }
            Shape::Segments { whole, segments } => {
                self.deepen(segments.len());
                self.add_segments(scope, *whole, segments, candidate);
            }
            Shape::Expression(expression) => {
                let depth = self.deepen(segments_of(&expression.lead));
                self.scopes[scope as usize].leads |= 1 << depth;
                let ranked = Ranked {
                    rank,
                    route: route.route,
                    methods: route.methods,
                };
                self.add_expression(scope, expression, ranked);
            }
        }
    }

    fn deepen(&mut self, depth: usize) -> usize {
        self.deepest = self.deepest.max(depth);
        depth
    }

    fn scope(&mut self, host: Option<&HostPattern>) -> u32 {
        let (kind, name) = match host {
            None => return 0,
            Some(HostPattern::Exact(name)) => (Kind::Host, name),
            Some(HostPattern::Below(name)) => (Kind::BelowHost, name),
        };
        self.has_hosts = true;
        self.has_wildcard_hosts |= matches!(kind, Kind::BelowHost);
        let scopes = &mut self.scopes;
        self.index
            .get_or_insert(Owner::new(kind, 0), name, || push(scopes, Scope::EMPTY))
    }

    fn add_literal(&mut self, owner: Owner, path: &str, candidate: Candidate) {
        let groups = &mut self.groups;
        let group = self
            .paths
            .get_or_insert(owner, path, || push(groups, Vec::new()));
        self.groups[group as usize].push(candidate);
    }

    fn add_segments(
        &mut self,
        scope: u32,
        whole: bool,
        segments: &'a [Segment],
        candidate: Candidate,
    ) {
        let root = &mut self.scopes[scope as usize].root;
        if *root == NONE {
            *root = push(&mut self.nodes, Node::EMPTY);
        }
        let mut node = *root;
        let is_run = |one: &Segment, next: &Segment| {
            matches!((one, next), (Segment::Literal(_), Segment::Literal(_)))
        };
        for part in segments.chunk_by(is_run) {
            node = self.child(node, part);
        }
        let end = &mut self.nodes[node as usize];
        let group = if whole {
            &mut end.whole
        } else {
            &mut end.prefix
        };
        let groups = &mut self.groups;
        let group = *group.get_or_insert_with(|| push(groups, Vec::new()));
        self.groups[group as usize].push(candidate);
    }

    /// The child behind a run of literal segments or one parameter.
    fn child(&mut self, node: u32, part: &'a [Segment]) -> u32 {
        let literal = |segment: &'a Segment| match segment {
            Segment::Literal(text) => Some(&**text),
            Segment::Parameter(_) => None,
        };
        let nodes = &mut self.nodes;
        let Some(run) = part.iter().map(literal).collect::<Option<Vec<_>>>() else {
            if nodes[node as usize].parameter == NONE {
                let child = push(nodes, Node::EMPTY);
                nodes[node as usize].parameter = child;
            }
            return nodes[node as usize].parameter;
        };
        nodes[node as usize].runs |= 1 << run.len();
        let owner = Owner::new(Kind::Run, node);
        self.index
            .get_or_insert(owner, &run.join("/"), || push(nodes, Node::EMPTY))
    }

    fn add_expression(&mut self, scope: u32, expression: &'a Expression, ranked: Ranked) {
        let buckets = &mut self.buckets;
        let owner = Owner::new(Kind::Lead, scope);
        let bucket = self
            .index
            .get_or_insert(owner, &expression.lead, || push(buckets, Vec::new()));
        self.buckets[bucket as usize].push((ranked, expression));
    }

    fn finish(self, routes: usize) -> Result<RouteTable, ConfigError> {
        let numbered = self.nodes.len().max(self.scopes.len()).max(routes);
        if numbered >= Owner::LIMIT {
            return Err(ConfigError::TooMany {
                unit: "routes and segments",
                limit: Owner::LIMIT,
            });
        }
        let (groups, candidates) = place_groups(self.groups);
        let place = |group: u32| groups[group as usize];
        let mut engines = BucketBuilder::default();
        let buckets = self
            .buckets
            .iter()
            .map(|members| engines.build(members))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(RouteTable {
            paths: self.paths.finish(place)?,
            index: self.index.finish(|number| number)?,
            candidates,
            nodes: self.nodes.into_iter().map(|node| node.map(place)).collect(),
            buckets: buckets.into(),
            scopes: self.scopes.into(),
            routes: routes as u32,
            deepest: self.deepest as u8,
            has_hosts: self.has_hosts,
            has_wildcard_hosts: self.has_wildcard_hosts,
        })
    }
}

/// Lays what the groups do not hold themselves end to end.
fn place_groups(groups: Vec<Vec<Candidate>>) -> (Vec<Group>, Box<[Candidate]>) {
    let mut candidates = Vec::new();
    let place = |mut group: Vec<Candidate>| {
        group.last_mut().expect("a group is made for a route").last = true;
        let rest = candidates.len() as u32;
        candidates.extend_from_slice(&group[1..]);
        Group {
            first: group[0],
            rest,
        }
    };
    let groups = groups.into_iter().map(place).collect();
    (groups, candidates.into())
}

fn segments_of(path: &str) -> usize {
    memchr::memchr_iter(b'/', path.as_bytes()).count()
}

/// Appends `value` and gives its number, which [`Builder::finish`] bounds.
fn push<T>(list: &mut Vec<T>, value: T) -> u32 {
    list.push(value);
    (list.len() - 1) as u32
}
