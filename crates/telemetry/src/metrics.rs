//! Prometheus metrics for code that counts a million times a second and is scraped every few seconds.
//!
//! The scraping thread does all the work: each worker owns its cells ([`LocalCounter`], [`LocalHistogram`]; one writer,
//! plain loads and stores, no locked instruction, no cache line shared with another core), and [`Registry::render`] adds
//! them up. The registry holds a family's lock only to copy a few hundred pointers at a time.

mod cell;
mod family;
mod process;
mod system;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry as Encoder;

pub use cell::{
    BYTES, Buckets, Cell, Counter, Gauge, Histogram, LATENCY, LocalCounter, LocalGauge,
    LocalHistogram, MAX_BOUNDS,
};
pub use family::{Family, OTHER, Shard};

/// A text format that a scraper can ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus text format 0.0.4.
    #[default]
    Prometheus,
    /// `OpenMetrics` 1.0.
    OpenMetrics,
}

impl Exposition {
    /// The format for an `Accept` field: `OpenMetrics` where it is named, else the Prometheus text format.
    pub fn for_accept(accept: Option<&str>) -> Self {
        let wanted = accept.unwrap_or_default().split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts
                .next()
                .is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
            named && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        });
        if wanted {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// The value of the `Content-Type` field.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// All metrics of a process. Clones are the same registry.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    state: Arc<Mutex<State>>,
    // Apart from `state`, which is locked while collectors run.
    sizes: Arc<Mutex<Vec<Arc<dyn family::Size>>>>,
}

#[derive(Debug, Default)]
struct State {
    encoder: Encoder,
    names: BTreeSet<&'static str>,
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// A family of series with these label names and at most `limit` series, [`OTHER`] not counted.
    ///
    /// Counters are named without `_total`, times in `_seconds`, sizes in `_bytes`.
    ///
    /// # Panics
    /// If the name is taken: two parts of a program must not mean different things by one name.
    pub fn family<C: Cell>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        limit: usize,
    ) -> Family<C>
    where
        C::Layout: Default,
    {
        self.family_with(name, help, labels, limit, C::Layout::default())
    }

    /// As [`Registry::family`] for histograms with bounds of their own.
    pub fn family_with<C: Cell>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        limit: usize,
        layout: C::Layout,
    ) -> Family<C> {
        let family = Family::<C>::new(name, help, labels, limit, layout);
        self.claim(name)
            .encoder
            .register_collector(family.collector());
        if !labels.is_empty() {
            locked(&self.sizes).push(family.size());
        }
        family
    }

    /// One counter for the whole process, for what happens seldom.
    pub fn counter(&self, name: &'static str, help: &'static str) -> Arc<Counter> {
        self.family::<Counter>(name, help, &[], 1)
            .shard()
            .series(&[])
    }

    /// One gauge for the whole process.
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Arc<Gauge> {
        self.family::<Gauge>(name, help, &[], 1).shard().series(&[])
    }

    /// One histogram for the whole process.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        buckets: Buckets,
    ) -> Arc<Histogram> {
        self.family_with::<Histogram>(name, help, &[], 1, buckets)
            .shard()
            .series(&[])
    }

    /// Gauges whose values are looked up when scraped: `read` calls its argument once for each series with the label values
    /// and the value. It runs on the scraping thread and must not block.
    pub fn gauges<F>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        read: F,
    ) where
        F: Fn(&mut dyn FnMut(&[&str], f64)) + Send + Sync + 'static,
    {
        let reader = Reader {
            name,
            help,
            labels,
            kind: MetricType::Gauge,
            read,
        };
        self.claim(name)
            .encoder
            .register_collector(Box::new(reader));
    }

    /// As [`Registry::gauges`] for values that only grow.
    pub fn counters<F>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        read: F,
    ) where
        F: Fn(&mut dyn FnMut(&[&str], f64)) + Send + Sync + 'static,
    {
        let reader = Reader {
            name,
            help,
            labels,
            kind: MetricType::Counter,
            read,
        };
        self.claim(name)
            .encoder
            .register_collector(Box::new(reader));
    }

    /// Adds the process's memory, CPU time, open files and start time (Linux; elsewhere nothing), under the names that all
    /// Prometheus clients use.
    pub fn add_process_metrics(&self) {
        process::register(self);
    }

    /// Adds the machine's memory, load and CPU time (Linux; elsewhere nothing).
    pub fn add_system_metrics(&self) {
        system::register(self);
    }

    /// Adds the size and limit of every family, and how often a series was refused for the limit.
    pub fn add_own_metrics(&self) {
        let own = |pick: fn(&dyn family::Size) -> f64| {
            let sizes = Arc::clone(&self.sizes);
            move |emit: &mut dyn FnMut(&[&str], f64)| {
                for size in locked(&sizes).iter() {
                    emit(&[size.name()], pick(size.as_ref()));
                }
            }
        };
        self.gauges(
            "bastide_metric_series",
            "Series in use by family",
            &["family"],
            own(|size| size.series() as f64),
        );
        self.gauges(
            "bastide_metric_series_limit",
            "Most series a family may have",
            &["family"],
            own(|size| size.limit() as f64),
        );
        self.counters(
            "bastide_metric_series_refused",
            "Series counted under `other` because the family was full",
            &["family"],
            own(|size| size.refused() as f64),
        );
    }

    /// All metrics as text.
    pub fn render(&self, exposition: Exposition) -> String {
        let mut text = String::with_capacity(16 << 10);
        prometheus_client::encoding::text::encode(&mut text, &locked(&self.state).encoder)
            .expect("writing to a string does not fail");
        match exposition {
            Exposition::OpenMetrics => text,
            Exposition::Prometheus => prometheus_text(&text),
        }
    }

    fn claim(&self, name: &'static str) -> MutexGuard<'_, State> {
        let mut state = locked(&self.state);
        assert!(
            state.names.insert(name),
            "the metric `{name}` is registered twice"
        );
        state
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the locks here guard is whole between any two statements, so a panic elsewhere spoils nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `OpenMetrics` names a counter `x` and its sample `x_total`; format 0.0.4 names both `x_total`, and knows neither units nor an
/// end mark.
fn prometheus_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + 1024);
    let mut held_help: Option<(&str, &str)> = None;
    for line in open_metrics.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            held_help = help.split_once(' ');
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "unknown" => ("", "untyped"),
                _ => ("", kind),
            };
            if let Some((_, help)) = held_help.take().filter(|(helped, _)| *helped == name) {
                text.extend(["# HELP ", name, suffix, " ", help, "\n"]);
            }
            text.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with("# ") {
            text.extend([line, "\n"]);
        }
    }
    text
}

/// Series whose values are looked up when scraped.
struct Reader<F> {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    kind: MetricType,
    read: F,
}

impl<F> fmt::Debug for Reader<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<F> Collector for Reader<F>
where
    F: Fn(&mut dyn FnMut(&[&str], f64)) + Send + Sync + 'static,
{
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, self.kind)?;
        let mut outcome = Ok(());
        (self.read)(&mut |values, value| {
            let encoded = family::LabelSet {
                names: self.labels,
                values,
            }
            .encode_into(&mut metric, |series| match self.kind {
                MetricType::Counter => series.encode_counter::<NoLabelSet, f64, f64>(&value, None),
                _ => series.encode_gauge(&value),
            });
            outcome = outcome.and(encoded);
        });
        outcome
    }
}
