//! The cells that hold numbers.
//!
//! `Local*` cells have one writer. They are atomic only so that the scraping thread may read them; an update is a load and
//! a store, which on every common processor costs what it costs on a plain integer. With two writers updates
//! get lost, so a cell comes from a [`Shard`](super::Shard), which one worker owns. The others have any number of writers.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// What a family can hold: it is made empty, added up with its kin when scraped, and encoded.
pub trait Cell: fmt::Debug + Send + Sync + Sized + 'static {
    /// What all cells of a family have in common.
    type Layout: Clone + fmt::Debug + Send + Sync + 'static;
    /// The total over the cells of one series.
    type Total: Default;

    /// The Prometheus type.
    const KIND: MetricType;

    /// A cell that has counted nothing.
    fn empty(layout: &Self::Layout) -> Self;
    /// Adds what this cell has counted to a total.
    fn add_to(&self, total: &mut Self::Total);
    /// Writes a total.
    fn encode(
        total: &Self::Total,
        layout: &Self::Layout,
        encoder: &mut MetricEncoder<'_>,
    ) -> fmt::Result;
}

macro_rules! counter {
    ($name:ident, $doc:literal, $add:expr) => {
        #[doc = $doc]
        #[derive(Debug, Default)]
        pub struct $name(AtomicU64);

        impl $name {
            /// Counts `count` more; past 2^64 it begins at 0 again.
            #[inline]
            pub fn add(&self, count: u64) {
                let add: fn(&AtomicU64, u64) = $add;
                add(&self.0, count);
            }

            /// What was counted so far.
            #[inline]
            pub fn get(&self) -> u64 {
                self.0.load(Relaxed)
            }
        }

        impl Cell for $name {
            type Layout = ();
            type Total = u64;

            const KIND: MetricType = MetricType::Counter;

            fn empty((): &()) -> Self {
                Self::default()
            }

            fn add_to(&self, total: &mut u64) {
                *total = total.wrapping_add(self.get());
            }

            fn encode(total: &u64, (): &(), encoder: &mut MetricEncoder<'_>) -> fmt::Result {
                encoder.encode_counter::<NoLabelSet, u64, f64>(total, None)
            }
        }
    };
}

counter!(
    Counter,
    "A count that only grows, with any number of writers.",
    shared_add
);
counter!(
    LocalCounter,
    "A count that only grows, with one writer.",
    local_add
);

macro_rules! gauge {
    ($name:ident, $doc:literal, $add:expr) => {
        #[doc = $doc]
        #[derive(Debug, Default)]
        pub struct $name(AtomicI64);

        impl $name {
            /// Adds to the value; a negative number takes away.
            #[inline]
            pub fn add(&self, change: i64) {
                let add: fn(&AtomicI64, i64) = $add;
                add(&self.0, change);
            }

            /// Replaces the value.
            #[inline]
            pub fn set(&self, value: i64) {
                self.0.store(value, Relaxed);
            }

            /// The value.
            #[inline]
            pub fn get(&self) -> i64 {
                self.0.load(Relaxed)
            }
        }

        impl Cell for $name {
            type Layout = ();
            type Total = i64;

            const KIND: MetricType = MetricType::Gauge;

            fn empty((): &()) -> Self {
                Self::default()
            }

            fn add_to(&self, total: &mut i64) {
                *total = total.wrapping_add(self.get());
            }

            fn encode(total: &i64, (): &(), encoder: &mut MetricEncoder<'_>) -> fmt::Result {
                encoder.encode_gauge(total)
            }
        }
    };
}

gauge!(
    Gauge,
    "A value that goes up and down, with any number of writers.",
    |cell, change| {
        cell.fetch_add(change, Relaxed);
    }
);
gauge!(
    LocalGauge,
    "A value that goes up and down, with one writer; a series shows the sum over all workers.",
    |cell, change| cell.store(cell.load(Relaxed).wrapping_add(change), Relaxed)
);

/// Most bounds a histogram can have, the implied one at infinity not counted.
pub const MAX_BOUNDS: usize = 15;

/// The bounds of a histogram: whole numbers in a small unit, and how many of that unit make one of the unit shown.
#[derive(Clone, Copy, Debug)]
pub struct Buckets {
    bounds: &'static [u64],
    per_unit: f64,
}

/// Times in nanoseconds, shown in seconds: 1, 5, 10, 25, 50, 100, 250, 500 ms, 1, 2.5, 5, 10 s.
pub const LATENCY: Buckets = Buckets::new(
    &[
        1_000_000,
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        100_000_000,
        250_000_000,
        500_000_000,
        1_000_000_000,
        2_500_000_000,
        5_000_000_000,
        10_000_000_000,
    ],
    1e9,
);

/// Sizes in bytes: 256 B, then four times as much each, to 1 GiB.
pub const BYTES: Buckets = Buckets::new(
    &[
        1 << 8,
        1 << 10,
        1 << 12,
        1 << 14,
        1 << 16,
        1 << 18,
        1 << 20,
        1 << 22,
        1 << 24,
        1 << 26,
        1 << 28,
        1 << 30,
    ],
    1.0,
);

impl Buckets {
    /// Bounds in ascending order, each belonging to the bucket below it, and how many of their unit make the unit shown.
    ///
    /// # Panics
    /// If there are more than [`MAX_BOUNDS`], or they do not ascend. In a `const` that is an error of compilation.
    pub const fn new(bounds: &'static [u64], per_unit: f64) -> Self {
        assert!(bounds.len() <= MAX_BOUNDS, "too many bounds");
        let mut next = 1;
        while next < bounds.len() {
            assert!(bounds[next - 1] < bounds[next], "bounds must ascend");
            next += 1;
        }
        Self { bounds, per_unit }
    }

    fn index(&self, value: u64) -> usize {
        // Most values fall into the first buckets, where a straight scan beats a binary search.
        self.bounds
            .iter()
            .position(|bound| value <= *bound)
            .unwrap_or(self.bounds.len())
    }
}

impl Default for Buckets {
    fn default() -> Self {
        LATENCY
    }
}

/// The counts of a histogram's buckets and the sum of its values.
#[derive(Debug, Default)]
pub struct Distribution {
    counts: [u64; MAX_BOUNDS + 1],
    sum: u64,
}

macro_rules! histogram {
    ($name:ident, $doc:literal, $add:expr) => {
        #[doc = $doc]
        #[derive(Debug)]
        pub struct $name {
            buckets: Buckets,
            counts: [AtomicU64; MAX_BOUNDS + 1],
            sum: AtomicU64,
        }

        impl $name {
            /// Counts a value in the unit of the bounds.
            #[inline]
            pub fn observe(&self, value: u64) {
                let add: fn(&AtomicU64, u64) = $add;
                add(&self.counts[self.buckets.index(value)], 1);
                add(&self.sum, value);
            }

            /// Counts a time, for bounds in nanoseconds.
            #[inline]
            pub fn observe_time(&self, time: Duration) {
                self.observe(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
            }
        }

        impl Cell for $name {
            type Layout = Buckets;
            type Total = Distribution;

            const KIND: MetricType = MetricType::Histogram;

            fn empty(buckets: &Buckets) -> Self {
                Self {
                    buckets: *buckets,
                    counts: Default::default(),
                    sum: AtomicU64::new(0),
                }
            }

            fn add_to(&self, total: &mut Distribution) {
                for (sum, count) in total.counts.iter_mut().zip(&self.counts) {
                    *sum = sum.wrapping_add(count.load(Relaxed));
                }
                total.sum = total.sum.wrapping_add(self.sum.load(Relaxed));
            }

            fn encode(
                total: &Distribution,
                buckets: &Buckets,
                encoder: &mut MetricEncoder<'_>,
            ) -> fmt::Result {
                encode_distribution(total, buckets, encoder)
            }
        }
    };
}

histogram!(
    Histogram,
    "A distribution of values, with any number of writers.",
    shared_add
);
histogram!(
    LocalHistogram,
    "A distribution of values, with one writer.",
    local_add
);

fn encode_distribution(
    total: &Distribution,
    buckets: &Buckets,
    encoder: &mut MetricEncoder<'_>,
) -> fmt::Result {
    let bounds = buckets
        .bounds
        .iter()
        .map(|bound| *bound as f64 / buckets.per_unit);
    let rows: Vec<(f64, u64)> = bounds.chain([f64::INFINITY]).zip(total.counts).collect();
    // From the buckets, so that it agrees with them even if an update came in between.
    let count = rows.iter().map(|(_, count)| count).sum();
    encoder.encode_histogram::<NoLabelSet>(total.sum as f64 / buckets.per_unit, count, &rows, None)
}

#[inline]
fn shared_add(cell: &AtomicU64, count: u64) {
    cell.fetch_add(count, Relaxed);
}

#[inline]
fn local_add(cell: &AtomicU64, count: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(count), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        assert_eq!(LATENCY.index(0), 0);
        assert_eq!(LATENCY.index(1_000_000), 0);
        assert_eq!(LATENCY.index(1_000_001), 1);
        assert_eq!(LATENCY.index(u64::MAX), 12);
    }

    #[test]
    fn cells_add_up() {
        let (a, b) = (LocalCounter::default(), LocalCounter::default());
        a.add(2);
        b.add(3);
        let mut total = 0;
        a.add_to(&mut total);
        b.add_to(&mut total);
        assert_eq!(total, 5);

        let histogram = LocalHistogram::empty(&LATENCY);
        histogram.observe_time(Duration::from_millis(3));
        histogram.observe_time(Duration::from_mins(1));
        let mut total = Distribution::default();
        histogram.add_to(&mut total);
        assert_eq!(
            (total.counts[1], total.counts[12], total.sum),
            (1, 1, 60_003_000_000)
        );
    }
}
