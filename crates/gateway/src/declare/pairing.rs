//! Finds out which existing object an entry of a document stands for.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use bastide_routing::PathPattern;
use uuid::Uuid;

use crate::model::read::Object;
use crate::model::{MethodRule, PathType, Route};

/// What a route matches by; its natural identity among the routes of its owner.
pub(crate) type Pattern<'r> = (&'r MethodRule, Option<&'r str>, PathType, Cow<'r, str>);

/// The natural identity of a route: the path not as it is spelled but as it is matched.
pub(crate) fn pattern(route: &Route) -> Pattern<'_> {
    let form = PathPattern::form(route.path_type.into(), &route.path);
    (
        &route.method,
        route.host.as_deref(),
        route.path_type,
        form.unwrap_or(Cow::Borrowed(&route.path)),
    )
}

/// Existing objects of one owner, and which of them entries have claimed.
pub(super) struct Candidates<'s, O> {
    /// Oldest first.
    objects: Vec<&'s Arc<O>>,
    claimed: Vec<bool>,
}

impl<'s, O: Object> Candidates<'s, O> {
    pub(super) fn new(mut objects: Vec<&'s Arc<O>>) -> Self {
        objects.sort_by_key(|object| object.stamp().id);
        let claimed = vec![false; objects.len()];
        Self { objects, claimed }
    }

    /// Pairs entries with objects in as many rounds as there are rules: an earlier rule decides before a later
    /// one is asked, for all entries. Within a round the older object goes to the earlier entry.
    pub(super) fn pair<E>(
        &mut self,
        entries: &[E],
        rules: &[&dyn Rule<'s, E, O>],
    ) -> Vec<Option<&'s Arc<O>>> {
        let mut pairs = vec![None; entries.len()];
        for rule in rules {
            rule.apply(self, entries, &mut pairs);
        }
        pairs
    }

    /// What no entry claimed.
    pub(super) fn unclaimed(self) -> impl Iterator<Item = &'s Arc<O>> {
        let Self { objects, claimed } = self;
        objects
            .into_iter()
            .zip(claimed)
            .filter(|(_, claimed)| !claimed)
            .map(|(object, _)| object)
    }
}

/// One way to recognise an object.
pub(super) trait Rule<'s, E, O> {
    fn apply(
        &self,
        candidates: &mut Candidates<'s, O>,
        entries: &[E],
        pairs: &mut [Option<&'s Arc<O>>],
    );
}

/// Entry and object agree on a value that both can be asked for. `None` agrees with nothing.
pub(super) struct By<F, G> {
    pub(super) entry: F,
    pub(super) object: G,
}

impl<'s, E, O, T, F, G> Rule<'s, E, O> for By<F, G>
where
    T: Eq + Hash,
    F: Fn(&E) -> Option<T>,
    G: Fn(&O) -> Option<T>,
{
    fn apply(
        &self,
        candidates: &mut Candidates<'s, O>,
        entries: &[E],
        pairs: &mut [Option<&'s Arc<O>>],
    ) {
        let mut free: HashMap<T, Vec<usize>> = HashMap::new();
        // Newest first, so that the oldest is popped first.
        for (index, object) in candidates.objects.iter().enumerate().rev() {
            if !candidates.claimed[index]
                && let Some(value) = (self.object)(object)
            {
                free.entry(value).or_default().push(index);
            }
        }
        for (entry, pair) in entries.iter().zip(pairs) {
            if pair.is_some() {
                continue;
            }
            let index = (self.entry)(entry).and_then(|value| free.get_mut(&value)?.pop());
            if let Some(index) = index {
                candidates.claimed[index] = true;
                *pair = Some(candidates.objects[index]);
            }
        }
    }
}

/// The id that an entry names.
pub(super) fn by_id<E, O: Object>(
    id: impl Fn(&E) -> Option<Uuid>,
) -> By<impl Fn(&E) -> Option<Uuid>, impl Fn(&O) -> Option<Uuid>> {
    By {
        entry: id,
        object: |object: &O| Some(object.stamp().id),
    }
}
