//! How long the database took, as the methods saw it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bastide_cache::Cache;

/// Statements and the time from asking for one to its answer, waiting for a connection included.
#[derive(Debug, Clone, Default)]
pub(crate) struct DatabaseTime(Arc<Sums>);

#[derive(Debug, Default)]
struct Sums {
    statements: AtomicU64,
    micros: AtomicU64,
}

impl DatabaseTime {
    pub(crate) async fn of<T>(&self, statement: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let answer = statement.await;
        let micros = begun.elapsed().as_micros() as u64;
        self.0.statements.fetch_add(1, Ordering::Relaxed);
        self.0.micros.fetch_add(micros, Ordering::Relaxed);
        answer
    }

    /// Names and numbers, for the benchmark to read.
    pub(crate) fn text(&self, cache: &Cache) -> String {
        let counts = cache.counters();
        format!(
            "statements {} micros {} hits {} misses {} ",
            self.0.statements.load(Ordering::Relaxed),
            self.0.micros.load(Ordering::Relaxed),
            counts.hits_l1.get() + counts.hits_l2.get(),
            counts.misses.get(),
        )
    }
}
