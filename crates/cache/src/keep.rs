//! How one value is kept.

use std::time::Duration;

use crate::tag::Tag;

/// How long a value is kept, and what it depends on.
///
/// ```
/// # use std::time::Duration;
/// # use bastide_cache::{Keep, Tag};
/// # use bastide_auth::TenantId;
/// # let acme = TenantId::parse("acme").unwrap();
/// let keep = Keep::lasting(Duration::from_secs(60))
///     .tag(Tag::for_tenant(&acme, "user:7"))
///     .absent(Duration::from_secs(5));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Keep {
    pub(crate) ttl: Option<Duration>,
    pub(crate) absent: Option<Duration>,
    pub(crate) tags: Vec<Tag>,
}

impl Keep {
    /// As long as the cache's options say.
    pub fn new() -> Self {
        Self::default()
    }

    /// For this long, if the cache's options allow it: they are the ceiling. Zero: the value is not kept, but still
    /// computed once for those who ask at the same time.
    pub fn lasting(ttl: Duration) -> Self {
        Self {
            ttl: Some(ttl),
            ..Self::default()
        }
    }

    /// The value goes when the tag is invalidated. Who asks for a key names the same tags each time; a value kept under
    /// other tags is not served.
    pub fn tag(mut self, tag: Tag) -> Self {
        self.tags.push(tag);
        self
    }

    /// As [`Keep::tag`], for several.
    pub fn tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        self.tags.extend(tags);
        self
    }

    /// Keeps for this long that there is nothing: a value that is `null` in JSON, as `None`. Without this it is not kept.
    pub fn absent(mut self, ttl: Duration) -> Self {
        self.absent = Some(ttl);
        self
    }
}
