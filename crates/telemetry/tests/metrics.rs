//! What a scraper sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bastide_telemetry::metrics::{
    Buckets, Exposition, Histogram, LATENCY, LocalCounter, LocalGauge, LocalHistogram, OTHER,
    Registry,
};

fn prometheus(registry: &Registry) -> String {
    registry.render(Exposition::Prometheus)
}

#[test]
fn a_series_is_the_sum_over_its_workers() {
    let registry = Registry::new();
    let family = registry.family::<LocalCounter>("requests", "Requests", &["route", "status"], 10);
    let workers = [family.shard(), family.shard()];
    workers[0].series(&["r1", "200"]).add(2);
    workers[1].series(&["r1", "200"]).add(3);
    workers[1].series(&["r1", "500"]).add(1);
    assert_eq!(
        prometheus(&registry),
        "# HELP requests_total Requests\n\
         # TYPE requests_total counter\n\
         requests_total{route=\"r1\",status=\"200\"} 5\n\
         requests_total{route=\"r1\",status=\"500\"} 1\n"
    );
    assert_eq!(family.total(&["r1", "200"]), Some(5));
    assert_eq!(family.total(&["r2", "200"]), None);
}

#[test]
fn one_worker_gets_one_cell() {
    let registry = Registry::new();
    let shard = registry
        .family::<LocalGauge>("open", "Open", &["a"], 10)
        .shard();
    assert!(Arc::ptr_eq(&shard.series(&["x"]), &shard.series(&["x"])));
    shard.series(&["x"]).add(3);
    shard.series(&["x"]).add(-4);
    assert!(prometheus(&registry).ends_with("# TYPE open gauge\nopen{a=\"x\"} -1\n"));
}

#[test]
fn histograms_are_cumulative_and_in_seconds() {
    let registry = Registry::new();
    const BOUNDS: Buckets = Buckets::new(&[1_000_000, 2_500_000_000], 1e9);
    let family = registry.family_with::<LocalHistogram>(
        "took_seconds",
        "Time taken",
        &["route"],
        10,
        BOUNDS,
    );
    let series = family.shard().series(&["r"]);
    series.observe_time(Duration::from_millis(1));
    series.observe_time(Duration::from_millis(2));
    series.observe_time(Duration::from_secs(3));
    assert_eq!(
        prometheus(&registry),
        "# HELP took_seconds Time taken\n\
         # TYPE took_seconds histogram\n\
         took_seconds_sum{route=\"r\"} 3.003\n\
         took_seconds_count{route=\"r\"} 3\n\
         took_seconds_bucket{le=\"0.001\",route=\"r\"} 1\n\
         took_seconds_bucket{le=\"2.5\",route=\"r\"} 2\n\
         took_seconds_bucket{le=\"+Inf\",route=\"r\"} 3\n"
    );
}

#[test]
fn a_full_family_counts_under_other_and_says_so() {
    let registry = Registry::new();
    let family = registry.family::<LocalCounter>("calls", "Calls", &["tenant", "route"], 2);
    registry.add_own_metrics();
    let worker = family.shard();
    for tenant in ["a", "b", "c", "d", "a"] {
        worker.series(&[tenant, "r"]).add(1);
    }
    assert_eq!(family.total(&["a", "r"]), Some(2));
    assert_eq!(family.total(&[OTHER, OTHER]), Some(2));
    assert_eq!(family.len(), 3);
    let text = prometheus(&registry);
    for line in [
        "bastide_metric_series{family=\"calls\"} 3.0\n",
        "bastide_metric_series_limit{family=\"calls\"} 2.0\n",
        "bastide_metric_series_refused_total{family=\"calls\"} 2.0\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    // Room that became free is used again.
    family.retain(|values| &*values[0] != "a");
    worker.series(&["e", "r"]).add(1);
    assert_eq!(family.total(&["e", "r"]), Some(1));
}

#[test]
fn ten_thousand_reloads_leave_no_series_behind() {
    let registry = Registry::new();
    let family = registry.family::<LocalCounter>("calls", "Calls", &["route"], 1_000);
    let worker = family.shard();
    for reload in 0..10_000 {
        let routes = [format!("{reload}-a"), format!("{reload}-b")];
        for route in &routes {
            worker.series(&[route]).add(1);
        }
        family.retain(|values| routes.iter().any(|route| **route == *values[0]));
    }
    assert_eq!(family.len(), 2);
    assert_eq!(family.total(&[OTHER]), None, "the limit was never reached");
}

#[test]
fn removing_visits_every_series_of_a_large_family() {
    let registry = Registry::new();
    let family = registry.family::<LocalCounter>("calls", "Calls", &["route"], 10_000);
    let worker = family.shard();
    for route in 0..3_000 {
        worker.series(&[&route.to_string()]).add(1);
    }
    assert_eq!(prometheus(&registry).lines().count(), 3_002);
    family.retain(|values| values[0].ends_with('7'));
    assert_eq!(family.len(), 300);
}

#[test]
fn label_values_are_escaped() {
    let registry = Registry::new();
    let family = registry.family::<LocalCounter>("calls", "Calls", &["route"], 10);
    family.shard().series(&["a\"b\\c\nd"]).add(1);
    assert!(prometheus(&registry).contains("calls_total{route=\"a\\\"b\\\\c\\nd\"} 1\n"));
}

#[test]
fn open_metrics_has_its_own_names_and_end() {
    let registry = Registry::new();
    registry.counter("events", "Events").add(7);
    registry.gauge("level", "Level").set(-2);
    registry
        .histogram("size_bytes", "Size", Buckets::new(&[10], 1.0))
        .observe(11);
    assert_eq!(
        registry.render(Exposition::OpenMetrics),
        "# HELP events Events\n# TYPE events counter\nevents_total 7\n\
         # HELP level Level\n# TYPE level gauge\nlevel -2\n\
         # HELP size_bytes Size\n# TYPE size_bytes histogram\nsize_bytes_sum 11.0\nsize_bytes_count 1\n\
         size_bytes_bucket{le=\"10.0\"} 0\nsize_bytes_bucket{le=\"+Inf\"} 1\n\
         # EOF\n"
    );
}

#[test]
fn the_accept_field_chooses_the_format() {
    use Exposition::{OpenMetrics, Prometheus};
    for (accept, expected) in [
        (None, Prometheus),
        (Some("*/*"), Prometheus),
        (Some("text/plain;version=0.0.4"), Prometheus),
        (
            Some("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3"),
            OpenMetrics,
        ),
        (Some("application/openmetrics-text;q=0, */*"), Prometheus),
    ] {
        assert_eq!(Exposition::for_accept(accept), expected, "{accept:?}");
    }
    assert_eq!(
        Prometheus.content_type(),
        "text/plain; version=0.0.4; charset=utf-8"
    );
}

#[test]
fn values_can_be_looked_up_when_scraped() {
    let registry = Registry::new();
    registry.gauges("healthy", "Health of endpoints", &["endpoint"], |emit| {
        emit(&["a:1"], 1.0);
        emit(&["b:2"], 0.0);
    });
    assert!(
        prometheus(&registry)
            .ends_with("healthy{endpoint=\"a:1\"} 1.0\nhealthy{endpoint=\"b:2\"} 0.0\n")
    );
}

#[test]
#[cfg(target_os = "linux")]
fn the_process_is_measured() {
    let registry = Registry::new();
    registry.add_process_metrics();
    let text = prometheus(&registry);
    let value = |name: &str| -> f64 {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        line.and_then(|line| line.rsplit(' ').next())
            .and_then(|value| value.parse().ok())
            .unwrap_or(-1.0)
    };
    assert!(value("process_resident_memory_bytes") > 1e6, "{text}");
    assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
    assert!(value("process_cpu_seconds_total") >= 0.0);
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_max_fds") >= value("process_open_fds"));
    assert!(value("process_threads") >= 1.0);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    assert!((now - value("process_start_time_seconds")).abs() < 3600.0);
}

#[test]
#[should_panic(expected = "the metric `a` is registered twice")]
fn names_are_unique() {
    let registry = Registry::new();
    registry.gauge("a", "A");
    registry.counter("a", "A");
}

/// No update may be lost while scrapes and removals go on.
#[test]
fn workers_count_exactly_while_they_are_scraped() {
    const UPDATES: u64 = 200_000;
    let registry = Registry::new();
    let counters = registry.family::<LocalCounter>("calls", "Calls", &["route"], 5_000);
    let times = registry.family::<LocalHistogram>("took_seconds", "Time", &["route"], 5_000);
    let shared = registry.histogram("all_seconds", "Time", LATENCY);
    let done = Arc::new(AtomicBool::new(false));

    thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let (counters, times, shared) =
                    (counters.shard(), times.shard(), Arc::clone(&shared));
                scope.spawn(move || {
                    let (counter, time) = (counters.series(&["r"]), times.series(&["r"]));
                    for update in 0..UPDATES {
                        counter.add(1);
                        time.observe(update);
                        Histogram::observe(&shared, update);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            let mut last = 0;
            while !done.load(Ordering::Relaxed) {
                let text = registry.render(Exposition::Prometheus);
                counters.retain(|_| true);
                let line = text
                    .lines()
                    .find_map(|line| line.strip_prefix("calls_total{route=\"r\"} "));
                let now: u64 = line.map_or(0, |line| line.parse().unwrap());
                assert!(now >= last, "a counter went back from {last} to {now}");
                last = now;
            }
        });
        for worker in workers {
            worker.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(counters.total(&["r"]), Some(2 * UPDATES));
    let text = prometheus(&registry);
    assert!(text.contains(&format!(
        "took_seconds_count{{route=\"r\"}} {}\n",
        2 * UPDATES
    )));
    assert!(text.contains(&format!("all_seconds_count {}\n", 2 * UPDATES)));
}
