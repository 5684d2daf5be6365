//! Cells that a worker has used before, by a key that is quicker to compare than label values.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;

/// Finding a cell in its family takes a lock and the label values as text; here it takes a look-up.
pub(super) struct Kept<K, V>(RefCell<HashMap<K, V, foldhash::fast::RandomState>>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<K: Eq + Hash, V> Kept<K, V> {
    /// Shows `count` what is kept under the key; `find` finds it the first time.
    pub(super) fn with(&self, key: K, find: impl FnOnce() -> V, count: impl FnOnce(&V)) {
        count(self.0.borrow_mut().entry(key).or_insert_with(find));
    }

    /// Lets go of everything; what is still in use comes back by itself.
    pub(super) fn forget(&self) {
        self.0.borrow_mut().clear();
    }
}
