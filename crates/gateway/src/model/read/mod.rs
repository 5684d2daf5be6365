//! Validating readers: JSON from the Admin API or a declarative file in, model values or *all* of their mistakes
//! out.
//!
//! One set of readers serves creation, change and file, so that no way in accepts what another refuses. A change
//! is a merge patch ([`merge()`]) over the object's own JSON, read again as a whole.
//!
//! Every reader refuses unknown keys, bounds every length, and goes on after a mistake. What a reader returns is
//! a draft: its [`Stamp`] (id, times, version) is the caller's to set.

mod limit;
mod merge;
mod object;
mod read_only;
mod resilience;
mod route;
mod syntax;
mod tenant;
mod transform;
mod upstream;

#[cfg(test)]
mod tests;

pub use limit::{rate_limit, tier_name, tiers};
pub use merge::{merge, merge_with_limit};
pub use object::{Object, Stamp};
pub use read_only::read_only;
pub use route::{Owner, route};
pub use tenant::{KeySettings, MIN_KEY_CHARS, api_key, key, tenant};

pub(crate) use object::in_microseconds;
pub(crate) use syntax::{timestamp, uuid};
