//! Services, and the registry in which calls find their methods.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use foldhash::fast::RandomState;
use semver::Version;

use crate::access::Access;
use crate::caching::Cached;
use crate::limit::LimitTextError;
use crate::method::Method;
use crate::rest::{Members, Rest, any};
use crate::route::{Route, RouteEntry};

/// Methods and routes under one name and version.
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    version: Version,
    methods: Vec<Method>,
    routes: Vec<Route>,
}

/// Something in the services is wrong, found when they are put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The name has other characters.
    #[error(
        "{0:?} is no name for a service or method; use `a-z`, `0-9`, `_` and `-`, a letter first"
    )]
    Name(String),
    /// The version is no semantic version.
    #[error("{version:?} is no version for the service `{service}`; write it as `1.0.0`")]
    Version {
        /// The service.
        service: &'static str,
        /// What was given.
        version: String,
    },
    /// Two of one name and version.
    #[error("there are two of `{0}`; give one another name or version")]
    Twice(String),
    /// Two methods or routes at one path.
    #[error(
        "`{entry}` wants {verb} {path}, which cannot be told apart from a path of another entry: {why}"
    )]
    Path {
        /// The method or route.
        entry: String,
        /// The HTTP method.
        verb: String,
        /// The path.
        path: &'static str,
        /// What the router says.
        why: String,
    },
    /// A path that does not begin with a slash.
    #[error("`{entry}` wants {verb} {path}, which is no path; begin it with `/`")]
    NoPath {
        /// The method or route.
        entry: String,
        /// The HTTP method.
        verb: String,
        /// What was given.
        path: &'static str,
    },
    /// A path that the server answers at itself.
    #[error("`{entry}` wants {path}, where the server answers itself; give it another path")]
    Reserved {
        /// The method or route.
        entry: String,
        /// The path.
        path: &'static str,
    },
    /// A method's limit is none.
    #[error(transparent)]
    Limit(#[from] LimitTextError),
    /// A member in a tag that the input does not have.
    #[error("the tag {tag:?} of `{entry}` names `{member}`, which is no member of its input")]
    TagMember {
        /// The method.
        entry: String,
        /// The tag.
        tag: &'static str,
        /// The member.
        member: &'static str,
    },
    /// Outputs are to be kept, and there is nowhere to.
    #[error(
        "`{0}` keeps outputs or makes them void, and there is no cache; give the dispatcher one"
    )]
    NoCache(String),
    /// A member in the path that the input does not have.
    #[error("the path {path} of `{entry}` names `{member}`, which is no member of its input")]
    Member {
        /// The method.
        entry: String,
        /// The path.
        path: &'static str,
        /// The member.
        member: String,
    },
}

impl Service {
    /// A service of this name and semantic version, as `users` and `1.0.0`.
    pub fn new(name: &'static str, version: &str) -> Result<Self, RegistryError> {
        check_name(name)?;
        let version = Version::parse(version).map_err(|_| RegistryError::Version {
            service: name,
            version: version.to_owned(),
        })?;
        Ok(Self {
            name,
            version,
            methods: Vec::new(),
            routes: Vec::new(),
        })
    }

    /// With one more method.
    pub fn method(mut self, method: Method) -> Self {
        self.methods.push(method);
        self
    }

    /// Whether a method of it keeps outputs or makes them void, for which a cache is needed.
    pub fn needs_cache(&self) -> bool {
        let mut methods = self.methods.iter();
        methods.any(|method| method.cached().is_some() || method.invalidates().next().is_some())
    }

    /// With one more route.
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }
}

/// One method as a call finds it.
#[derive(Debug)]
pub struct Entry {
    service: &'static str,
    version: Version,
    method: Method,
    full_name: Box<str>,
    members: Members,
    number: usize,
}

impl Entry {
    /// The service's name.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// The service's version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// `users@1.0.0/find`.
    pub fn full_name(&self) -> &str {
        &self.full_name
    }

    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    /// Its place in the registry.
    pub(crate) fn number(&self) -> usize {
        self.number
    }
}

/// Every method and route of a process. It does not change once it is made.
#[derive(Debug, Default)]
pub struct Registry {
    entries: Vec<Entry>,
    routes: Vec<RouteEntry>,
    /// By `users@1.0.0/find`, `users@1.0/find`, `users@1/find` and `users/find`: each the latest that fits.
    by_name: HashMap<Box<str>, usize, RandomState>,
    by_path: Paths,
}

/// What is at a path, by its place in the registry.
#[derive(Debug, Clone, Copy)]
enum Place {
    Method(usize),
    Route(usize),
}

/// What is at a path.
pub(crate) enum AtPath<'a> {
    Method(&'a Entry),
    Route(&'a RouteEntry),
}

/// What is at a path for other HTTP methods than the request's.
pub(crate) struct OtherVerbs<'a> {
    /// In the order in which they were given.
    pub(crate) verbs: Vec<&'a http::Method>,
    /// Whether one of the entries is for everybody, so that the path is no secret.
    pub(crate) is_public: bool,
}

/// One way in, as it is listed: `POST /rpc/users@1.0.0/find  any identity; for a tenant`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<'a> {
    /// The HTTP method.
    pub verb: http::Method,
    /// The path.
    pub path: Cow<'a, str>,
    /// Who may enter.
    pub access: Access,
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}  {}", self.verb, self.path, self.access)
    }
}

impl Registry {
    /// These services; two versions of one may stand side by side.
    pub fn new(services: impl IntoIterator<Item = Service>) -> Result<Self, RegistryError> {
        let mut registry = Self::default();
        let mut routes = Vec::new();
        for service in services {
            for method in service.methods {
                registry.add(service.name, &service.version, method)?;
            }
            let Service { name, version, .. } = service;
            routes.extend(
                service
                    .routes
                    .into_iter()
                    .map(|route| (name, version.clone(), route)),
            );
        }
        // After all methods, so that numbers are of one row.
        for (service, version, route) in routes {
            registry.add_route(service, version, route)?;
        }
        Ok(registry)
    }

    /// All methods, in the order in which they were given.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All routes, in the order in which they were given.
    pub fn routes(&self) -> &[RouteEntry] {
        &self.routes
    }

    /// Every way in: each method by RPC and at its own path, then each route.
    pub fn listed(&self) -> impl Iterator<Item = Listed<'_>> {
        let methods = self.entries.iter().flat_map(|entry| {
            let access = *entry.method.access();
            let by_rpc = Listed {
                verb: http::Method::POST,
                path: format!("/rpc/{}", entry.full_name).into(),
                access,
            };
            let own = entry.method.rest().map(|rest| listed(rest, access));
            [Some(by_rpc), own].into_iter().flatten()
        });
        let routes = self.routes.iter();
        methods.chain(routes.map(|entry| listed(entry.route().rest(), *entry.route().access())))
    }

    /// The method of this name: `users@1.0.0/find`. A shorter version, or none, means the latest that begins so; one
    /// before its release is found by its full version alone.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.by_name.get(name).map(|number| &self.entries[*number])
    }

    /// What is at this path, and the texts of the path's members as they stand.
    pub(crate) fn find_path<'a>(
        &'a self,
        verb: &http::Method,
        path: &'a str,
    ) -> Result<(AtPath<'a>, matchit::Params<'a, 'a>), OtherVerbs<'a>> {
        // What answers GET answers HEAD.
        let of = |verb: &http::Method| {
            let found = self.by_path.0.get(verb)?.at(path).ok()?;
            let at_path = match *found.value {
                Place::Method(number) => AtPath::Method(&self.entries[number]),
                Place::Route(number) => AtPath::Route(&self.routes[number]),
            };
            Some((at_path, found.params))
        };
        let as_get = (*verb == http::Method::HEAD).then_some(http::Method::GET);
        let found = of(as_get.as_ref().unwrap_or(verb));
        found.or_else(|| of(&any())).ok_or_else(|| {
            let mut others: Vec<_> = self.others(path).collect();
            others.sort_unstable_by_key(|(number, ..)| *number);
            OtherVerbs {
                is_public: others.iter().any(|(.., access)| access.is_public()),
                verbs: others.into_iter().map(|(_, verb, _)| verb).collect(),
            }
        })
    }

    /// What is at a path, whatever the HTTP method.
    fn others<'a>(
        &'a self,
        path: &'a str,
    ) -> impl Iterator<Item = (usize, &'a http::Method, &'a Access)> {
        self.by_path.0.iter().filter_map(|(verb, router)| {
            let (number, access) = match *router.at(path).ok()?.value {
                Place::Method(number) => (number, self.entries[number].method.access()),
                Place::Route(number) => {
                    let entry = &self.routes[number];
                    (entry.number(), entry.route().access())
                }
            };
            Some((number, verb, access))
        })
    }

    fn add(
        &mut self,
        service: &'static str,
        version: &Version,
        method: Method,
    ) -> Result<(), RegistryError> {
        check_name(method.name())?;
        let number = self.entries.len();
        let full_name = format!("{service}@{version}/{}", method.name());
        if self.by_name.contains_key(full_name.as_str()) {
            return Err(RegistryError::Twice(full_name));
        }
        let members = Members::of(&method);
        let kept = method.cached().map_or(&[][..], Cached::templates);
        for tag in kept.iter().chain(method.invalidated()) {
            if let Some(member) = tag.unknown_member(&members) {
                let tag = tag.text();
                return Err(RegistryError::TagMember {
                    entry: full_name,
                    tag,
                    member,
                });
            }
        }
        if let Some(rest) = method.rest() {
            check_members(&full_name, rest, &members)?;
            self.by_path
                .place(&full_name, rest, Place::Method(number))?;
        }
        self.by_name.insert(full_name.as_str().into(), number);
        if version.pre.is_empty() {
            let Version { major, minor, .. } = version;
            for prefix in [
                service.to_owned(),
                format!("{service}@{major}"),
                format!("{service}@{major}.{minor}"),
            ] {
                let name = format!("{prefix}/{}", method.name());
                let latest = self
                    .by_name
                    .get(name.as_str())
                    .map(|known| &self.entries[*known].version);
                if latest.is_none_or(|latest| latest < version) {
                    self.by_name.insert(name.into(), number);
                }
            }
        }
        self.entries.push(Entry {
            service,
            version: version.clone(),
            method,
            full_name: full_name.into(),
            members,
            number,
        });
        Ok(())
    }

    fn add_route(
        &mut self,
        service: &'static str,
        version: Version,
        route: Route,
    ) -> Result<(), RegistryError> {
        let number = self.routes.len();
        let entry = RouteEntry::new(service, version, route, self.entries.len() + number);
        let rest = entry.route().rest();
        self.by_path
            .place(entry.full_name(), rest, Place::Route(number))?;
        self.routes.push(entry);
        Ok(())
    }
}

/// Every path, by HTTP method.
#[derive(Debug, Default)]
struct Paths(HashMap<http::Method, matchit::Router<Place>>);

impl Paths {
    /// A path where the server itself answers would never serve.
    fn place(&mut self, entry: &str, rest: &Rest, place: Place) -> Result<(), RegistryError> {
        let path = rest.path();
        if !path.starts_with('/') {
            return Err(RegistryError::NoPath {
                entry: entry.to_owned(),
                verb: rest.verb().to_string(),
                path,
            });
        }
        if path == "/rpc" || path.starts_with("/rpc/") || path == "/openapi.json" {
            return Err(RegistryError::Reserved {
                entry: entry.to_owned(),
                path,
            });
        }
        let router = self.0.entry(rest.verb().clone()).or_default();
        router
            .insert(path, place)
            .map_err(|error| RegistryError::Path {
                entry: entry.to_owned(),
                verb: rest.verb().to_string(),
                path,
                why: error.to_string(),
            })
    }
}

fn listed(rest: &Rest, access: Access) -> Listed<'static> {
    Listed {
        verb: rest.verb().clone(),
        path: rest.path().into(),
        access,
    }
}

fn check_name(name: &str) -> Result<(), RegistryError> {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    let begins = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase());
    if begins && name.len() <= 64 && name.bytes().all(fits) {
        Ok(())
    } else {
        Err(RegistryError::Name(name.to_owned()))
    }
}

/// A member that the input does not have would be a path that nobody can call.
fn check_members(entry: &str, rest: &Rest, members: &Members) -> Result<(), RegistryError> {
    for member in rest.members() {
        if !members.has(member) {
            return Err(RegistryError::Member {
                entry: entry.to_owned(),
                path: rest.path(),
                member: member.to_owned(),
            });
        }
    }
    Ok(())
}
