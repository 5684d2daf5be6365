//! Families: one metric, one cell for each combination of label values and each worker.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabel, EncodeLabelSet, LabelSetEncoder, MetricEncoder,
};

use super::cell::Cell;
use super::locked;

/// The label value under which a full family counts what has no series of its own.
pub const OTHER: &str = "other";

/// How many series are copied while the lock is held: long enough to be quick, short enough not to be noticed.
const CHUNK: usize = 256;

type Values = Arc<[Box<str>]>;
type Cells<C> = Vec<(u32, Arc<C>)>;

/// A metric with labels. Clones are the same family.
#[derive(Debug)]
pub struct Family<C: Cell>(Arc<Inner<C>>);

#[derive(Debug)]
struct Inner<C: Cell> {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    limit: usize,
    layout: C::Layout,
    shards: AtomicU32,
    refused: AtomicU64,
    series: Mutex<BTreeMap<Values, Cells<C>>>,
}

impl<C: Cell> Clone for Family<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Cell> Family<C> {
    pub(super) fn new(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        limit: usize,
        layout: C::Layout,
    ) -> Self {
        Self(Arc::new(Inner {
            name,
            help,
            labels,
            limit,
            layout,
            shards: AtomicU32::new(0),
            refused: AtomicU64::new(0),
            series: Mutex::new(BTreeMap::new()),
        }))
    }

    /// A share of the family for one worker. Make one for each worker when it starts, not for each request or
    /// reload: what a shard has counted stays with the family after the shard is gone.
    pub fn shard(&self) -> Shard<C> {
        let number = self.0.shards.fetch_add(1, Relaxed);
        Shard {
            family: self.clone(),
            number,
        }
    }

    /// Forgets every series for whose label values `keep` says `false`, except [`OTHER`].
    ///
    /// Workers that still hold cells of such a series may go on writing to them; it is not seen any more. So change what the
    /// workers use first, then call this.
    pub fn retain(&self, mut keep: impl FnMut(&[Box<str>]) -> bool) {
        let mut gone = Vec::new();
        self.for_each(|values, _| {
            if !is_other(values) && !keep(values) {
                gone.push(Arc::clone(values));
            }
        });
        for values in gone {
            // Bound to a name, so that the cells are dropped after the lock.
            let _cells = locked(&self.0.series).remove(&values);
        }
    }

    /// How many series there are, [`OTHER`] included.
    pub fn len(&self) -> usize {
        locked(&self.0.series).len()
    }

    /// Whether nothing has been counted yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The total of one series over all workers.
    pub fn total(&self, values: &[&str]) -> Option<C::Total> {
        let cells = locked(&self.0.series).get(&*key(values))?.clone();
        Some(add_up(&cells))
    }

    /// Visits every series, holding the lock for a few hundred at a time only. A series that comes or goes meanwhile may be
    /// missed.
    fn for_each(&self, mut visit: impl FnMut(&Values, &Cells<C>)) {
        let mut last: Option<Values> = None;
        loop {
            let chunk: Vec<(Values, Cells<C>)> = {
                let series = locked(&self.0.series);
                let after = last.as_ref().map_or(Unbounded, Excluded);
                series
                    .range::<Values, _>((after, Unbounded))
                    .take(CHUNK)
                    .map(|(values, cells)| (Arc::clone(values), cells.clone()))
                    .collect()
            };
            for (values, cells) in &chunk {
                visit(values, cells);
            }
            match chunk.into_iter().next_back() {
                Some((values, _)) => last = Some(values),
                None => return,
            }
        }
    }

    pub(super) fn collector(&self) -> Box<dyn Collector> {
        Box::new(self.clone())
    }

    pub(super) fn size(&self) -> Arc<dyn Size> {
        Arc::new(self.clone())
    }
}

fn key(values: &[&str]) -> Box<[Box<str>]> {
    values.iter().map(|value| Box::from(*value)).collect()
}

fn is_other(values: &[Box<str>]) -> bool {
    values.iter().all(|value| &**value == OTHER)
}

fn add_up<C: Cell>(cells: &Cells<C>) -> C::Total {
    let mut total = C::Total::default();
    for (_, cell) in cells {
        cell.add_to(&mut total);
    }
    total
}

/// One worker's share of a family.
#[derive(Debug)]
pub struct Shard<C: Cell> {
    family: Family<C>,
    number: u32,
}

impl<C: Cell> Shard<C> {
    /// This worker's cell for these label values, made if there is none yet. It takes the family's lock: keep what it returns.
    ///
    /// Of a `Local*` cell only the worker that owns the shard may be a writer. When the family is full, the cell is the one of
    /// the series whose labels are all [`OTHER`].
    ///
    /// # Panics
    /// If there are not as many values as the family has labels.
    pub fn series(&self, values: &[&str]) -> Arc<C> {
        let inner = &*self.family.0;
        assert_eq!(
            values.len(),
            inner.labels.len(),
            "label values of the metric `{}`",
            inner.name
        );
        let key = key(values);
        let mut series = locked(&inner.series);
        let full = inner.limit + usize::from(series.contains_key(&*self.other()));
        let key: Values = if series.len() < full || series.contains_key(&*key) {
            key.into()
        } else {
            inner.refused.fetch_add(1, Relaxed);
            self.other().into()
        };
        let cells = series.entry(key).or_default();
        if let Some((_, cell)) = cells.iter().find(|(number, _)| *number == self.number) {
            return Arc::clone(cell);
        }
        let cell = Arc::new(C::empty(&inner.layout));
        cells.push((self.number, Arc::clone(&cell)));
        cell
    }

    fn other(&self) -> Box<[Box<str>]> {
        self.family
            .0
            .labels
            .iter()
            .map(|_| Box::from(OTHER))
            .collect()
    }
}

impl<C: Cell> Collector for Family<C> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let inner = &*self.0;
        let mut metric = encoder.encode_descriptor(inner.name, inner.help, None, C::KIND)?;
        let mut outcome = Ok(());
        self.for_each(|values, cells| {
            let total = add_up(cells);
            let labels = LabelSet {
                names: inner.labels,
                values,
            };
            let encoded = labels.encode_into(&mut metric, |series| {
                C::encode(&total, &inner.layout, series)
            });
            outcome = outcome.and(encoded);
        });
        outcome
    }
}

/// What the registry tells about a family itself.
pub(super) trait Size: fmt::Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn series(&self) -> usize;
    fn limit(&self) -> usize;
    fn refused(&self) -> u64;
}

impl<C: Cell> Size for Family<C> {
    fn name(&self) -> &'static str {
        self.0.name
    }

    fn series(&self) -> usize {
        self.len()
    }

    fn limit(&self) -> usize {
        self.0.limit
    }

    fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }
}

/// Names and values side by side, as the encoder wants them.
#[derive(Clone, Copy, Debug)]
pub(super) struct LabelSet<'a, V> {
    pub(super) names: &'a [&'static str],
    pub(super) values: &'a [V],
}

impl<V: AsRef<str>> LabelSet<'_, V> {
    /// Encodes one series of a metric. A metric without labels is not a family: its sample has no braces.
    pub(super) fn encode_into(
        &self,
        metric: &mut MetricEncoder<'_>,
        encode: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        if self.names.is_empty() {
            encode(metric)
        } else {
            encode(&mut metric.encode_family(self)?)
        }
    }
}

impl<V: AsRef<str>> EncodeLabelSet for LabelSet<'_, V> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (name, value) in self.names.iter().zip(self.values) {
            (*name, value.as_ref()).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}
