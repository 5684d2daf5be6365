//! Outputs that are kept, and what makes them void.

use std::time::Duration;

use bastide_auth::Identity;
use bastide_cache::{Cache, Keep, Key, Owner, Tag};
use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::problem::Problem;
use crate::rest::{Members, in_braces};

/// Which outputs of a method are kept, for whom and for how long.
///
/// ```
/// use std::time::Duration;
/// use bastide_rpc::Cached;
/// // Kept a minute for everybody of a tenant, or until `user:7` is invalidated where the input's `id` is 7.
/// let cached = Cached::lasting(Duration::from_secs(60)).tags(["user:{id}"]);
/// # drop(cached);
/// ```
#[derive(Debug, Clone)]
pub struct Cached {
    ttl: Duration,
    whose: Whose,
    tags: Vec<Template>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// What one user of a tenant is told is told to all.
    Tenants,
    /// Each caller has an output of its own.
    Callers,
}

impl Cached {
    /// For this long at most. All callers of a tenant share an output, so it must not depend on who asks.
    pub fn lasting(ttl: Duration) -> Self {
        Self {
            ttl,
            whose: Whose::Tenants,
            tags: Vec::new(),
        }
    }

    /// Each caller has outputs of its own, for methods whose output depends on who asks.
    pub fn for_each_caller(mut self) -> Self {
        self.whose = Whose::Callers;
        self
    }

    /// The output goes when one of these tags is invalidated; `{name}` is the input's member of that name.
    pub fn tags(mut self, tags: impl IntoIterator<Item = &'static str>) -> Self {
        self.tags = tags.into_iter().map(Template::new).collect();
        self
    }

    /// For how long at most.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    pub(crate) fn templates(&self) -> &[Template] {
        &self.tags
    }

    /// The output that is kept for this call, or that of the work.
    pub(crate) async fn output(
        &self,
        cache: &Cache,
        method: &str,
        identity: Option<&Identity>,
        input: &Value,
        work: impl Future<Output = Result<Bytes, Problem>>,
    ) -> Result<Bytes, Problem> {
        let tenant = identity.and_then(Identity::tenant);
        let owner = match (tenant, identity, self.whose) {
            (Some(tenant), Some(identity), Whose::Callers) => {
                Owner::Subject(tenant, identity.subject())
            }
            (Some(tenant), _, _) => Owner::Tenant(tenant),
            // At a public entry; what depends on a caller without a tenant is kept for nobody.
            (None, None, _) | (None, Some(_), Whose::Tenants) => Owner::Everybody,
            (None, Some(_), Whose::Callers) => return work.await,
        };
        let key = Key::of_json(owner, method, input);
        // Tags follow from the method, the tenant and the input, so from the key.
        if let Some(output) = cache.json_in_memory(&key) {
            return Ok(output);
        }
        let tags = self.tags.iter().map(|tag| tag.of(identity, input));
        let keep = Keep::lasting(self.ttl).tags(tags);
        let compute = async || {
            let output: Vec<u8> = work.await?.into();
            let text = String::from_utf8(output).ok();
            text.and_then(|text| RawValue::from_string(text).ok())
                .ok_or_else(Problem::internal)
        };
        let output: Box<RawValue> = cache.get_or_compute(&key, &keep, compute).await?;
        Ok(String::from(Box::<str>::from(output)).into())
    }
}

/// `user:{id}`: a tag in which members of the input stand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Template(&'static str);

impl Template {
    pub(crate) fn new(text: &'static str) -> Self {
        Self(text)
    }

    pub(crate) fn text(self) -> &'static str {
        self.0
    }

    /// The first member that the input does not have.
    pub(crate) fn unknown_member(self, members: &Members) -> Option<&'static str> {
        in_braces(self.0).find(|member| !members.has(member))
    }

    /// Of a tenant where one is known, so that no tenant makes another's outputs void.
    fn of(self, identity: Option<&Identity>, input: &Value) -> Tag {
        let mut text = String::with_capacity(self.0.len() + 16);
        let mut rest = self.0;
        while let Some((before, after)) = rest.split_once('{') {
            let (member, behind) = after.split_once('}').unwrap_or((after, ""));
            text.push_str(before);
            match &input[member] {
                Value::String(value) => text.push_str(value),
                value => text.push_str(&value.to_string()),
            }
            rest = behind;
        }
        text.push_str(rest);
        match identity.and_then(Identity::tenant) {
            Some(tenant) => Tag::for_tenant(tenant, &text),
            None => Tag::shared(&text),
        }
    }
}

/// What a method's call makes void. It does so when the call ends, however it ends: a call that failed or was given up may
/// have changed something first.
pub(crate) struct Invalidation {
    pending: Option<(Cache, Vec<Tag>)>,
}

impl Invalidation {
    pub(crate) fn new(
        cache: &Cache,
        templates: &[Template],
        identity: Option<&Identity>,
        input: &Value,
    ) -> Self {
        let tags: Vec<Tag> = templates
            .iter()
            .map(|tag| tag.of(identity, input))
            .collect();
        Self {
            pending: (!tags.is_empty()).then(|| (cache.clone(), tags)),
        }
    }

    /// Makes it void and returns when everybody can know.
    pub(crate) async fn carry_out(mut self) {
        if let Some((cache, tags)) = self.pending.take() {
            cache.invalidate(&tags).await;
        }
    }
}

impl Drop for Invalidation {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        if let (Some((cache, tags)), Ok(runtime)) = (self.pending.take(), runtime) {
            runtime.spawn(async move { cache.invalidate(&tags).await });
        }
    }
}
