//! Services, and the registry in which calls find their methods.

use std::collections::HashMap;

use semver::Version;

use crate::caching::Cached;
use crate::method::Method;
use crate::rest::{Members, Rest};

/// Methods under one name and version.
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    version: Version,
    methods: Vec<Method>,
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
    /// Two methods at one path.
    #[error(
        "`{entry}` wants {verb} {path}, which cannot be told apart from a path of another method: {why}"
    )]
    Path {
        /// The method.
        entry: String,
        /// The HTTP method.
        verb: String,
        /// The path.
        path: &'static str,
        /// What the router says.
        why: String,
    },
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
        })
    }

    /// With one more method.
    pub fn method(mut self, method: Method) -> Self {
        self.methods.push(method);
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

/// Every method of a process. It does not change once it is made.
#[derive(Debug, Default)]
pub struct Registry {
    entries: Vec<Entry>,
    /// By `users@1.0.0/find`, `users@1.0/find`, `users@1/find` and `users/find`: each the latest that fits.
    by_name: HashMap<Box<str>, usize>,
    by_path: HashMap<http::Method, matchit::Router<usize>>,
}

impl Registry {
    /// These services; two versions of one may stand side by side.
    pub fn new(services: impl IntoIterator<Item = Service>) -> Result<Self, RegistryError> {
        let mut registry = Self::default();
        for service in services {
            for method in service.methods {
                registry.add(service.name, &service.version, method)?;
            }
        }
        Ok(registry)
    }

    /// All methods, in the order in which they were given.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The method of this name: `users@1.0.0/find`. A shorter version, or none, means the latest that begins so; one
    /// before its release is found by its full version alone.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.by_name.get(name).map(|number| &self.entries[*number])
    }

    /// The method at this path, and the texts of the path's members as they stand. `Err`: the HTTP methods that are there.
    pub(crate) fn find_path<'a>(
        &'a self,
        verb: &http::Method,
        path: &'a str,
    ) -> Result<(&'a Entry, matchit::Params<'a, 'a>), Vec<&'a http::Method>> {
        // What answers GET answers HEAD.
        let of = |verb: &http::Method| {
            let found = self.by_path.get(verb)?.at(path).ok()?;
            Some((&self.entries[*found.value], found.params))
        };
        let as_get = (*verb == http::Method::HEAD).then_some(http::Method::GET);
        of(as_get.as_ref().unwrap_or(verb)).ok_or_else(|| {
            let others = self
                .by_path
                .iter()
                .filter(|(_, router)| router.at(path).is_ok());
            let mut others: Vec<_> = others.map(|(verb, _)| verb).collect();
            others.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
            others
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
            let router = self.by_path.entry(rest.verb().clone()).or_default();
            router
                .insert(rest.path(), number)
                .map_err(|error| RegistryError::Path {
                    entry: full_name.clone(),
                    verb: rest.verb().to_string(),
                    path: rest.path(),
                    why: error.to_string(),
                })?;
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
