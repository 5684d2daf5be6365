//! Names of limits.

use std::fmt;
use std::sync::Arc;

/// What a limit is about: a scope (`tenant`, `key`, `route`) and an id within it. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LimitKey(Arc<str>);

impl LimitKey {
    /// The limit of the thing called `id` among those of one `scope`. The id is a configured one, never client input
    /// of unbounded length. Braces become parentheses, because Redis Cluster reads them as a hash tag.
    pub fn new(scope: &str, id: &str) -> Self {
        Self(
            format!("{scope}/{id}")
                .replace('{', "(")
                .replace('}', ")")
                .into(),
        )
    }

    /// `scope/id`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
