//! A registry of counters, gauges and histograms in Prometheus' text format 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Series of one family; one more is counted but not shown, so that a runaway label cannot fill the memory.
const MAX_SERIES: usize = 1000;

/// A set of metrics. Cheap to clone; all clones are one.
///
/// Asking twice for the same name and labels gives the same metric, so a series with a label that is only known later (a reason, say) can be
/// asked for when it happens: that costs a lock and a look-up, not for every request. A name that is not a metric name, or that was
/// registered as another type, gives a metric that works and is not shown; debug builds assert.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<BTreeMap<String, Family>>>);

struct Family {
    help: String,
    kind: &'static str,
    /// By their rendered labels: `a="b",c="d"`.
    series: BTreeMap<String, Metric>,
}

#[derive(Clone)]
enum Metric {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
    Read(Arc<dyn Fn() -> f64 + Send + Sync>),
}

/// Counts up.
#[derive(Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Goes up and down.
#[derive(Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Is now `value`.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    /// Is `delta` more (or less) than it was.
    pub fn add(&self, delta: f64) {
        add(&self.0, delta);
    }

    /// The value now.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

/// Counts observations in buckets.
#[derive(Clone)]
pub struct Histogram(Arc<Buckets>);

struct Buckets {
    bounds: Vec<f64>,
    /// One more than the bounds, not cumulative.
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: &[f64]) -> Self {
        let mut bounds: Vec<f64> = bounds.iter().copied().filter(|b| b.is_finite()).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Buckets { bounds, counts, sum: AtomicU64::new(0) }))
    }

    /// One observation.
    pub fn observe(&self, value: f64) {
        let bucket = self.0.bounds.partition_point(|&bound| bound < value);
        self.0.counts[bucket].fetch_add(1, Relaxed);
        add(&self.0.sum, value);
    }

    /// Observations so far.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|c| c.load(Relaxed)).sum()
    }
}

fn add(bits: &AtomicU64, delta: f64) {
    // The closure never refuses, so the update always succeeds.
    let _ = bits.fetch_update(Relaxed, Relaxed, |old| Some((f64::from_bits(old) + delta).to_bits()));
}

impl Registry {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// A counter; its name should end in `_total`.
    pub fn counter(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Counter {
        match self.register(name, help, "counter", labels, || Metric::Counter(Counter::default())) {
            Metric::Counter(counter) => counter,
            _ => Counter::default(),
        }
    }

    /// A gauge.
    pub fn gauge(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Gauge {
        match self.register(name, help, "gauge", labels, || Metric::Gauge(Gauge::default())) {
            Metric::Gauge(gauge) => gauge,
            _ => Gauge::default(),
        }
    }

    /// A histogram with these upper bounds, in the unit of the name (`_seconds`); `+Inf` is added.
    pub fn histogram(&self, name: &str, help: &str, labels: &[(&str, &str)], bounds: &[f64]) -> Histogram {
        match self.register(name, help, "histogram", labels, || Metric::Histogram(Histogram::new(bounds))) {
            Metric::Histogram(histogram) => histogram,
            _ => Histogram::new(bounds),
        }
    }

    /// A counter whose value is asked for at each scrape (seconds of CPU, say). `read` must not use this registry.
    pub fn counter_fn(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.register(name, help, "counter", labels, || Metric::Read(Arc::new(read)));
    }

    /// A gauge whose value is asked for at each scrape. `read` must not use this registry.
    pub fn gauge_fn(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.register(name, help, "gauge", labels, || Metric::Read(Arc::new(read)));
    }

    fn register(
        &self,
        name: &str,
        help: &str,
        kind: &'static str,
        labels: &[(&str, &str)],
        make: impl FnOnce() -> Metric,
    ) -> Metric {
        let valid = is_name(name, true) && labels.iter().all(|(label, _)| is_name(label, false) && *label != "le");
        debug_assert!(valid, "not a metric or label name: {name} {labels:?}");
        if !valid {
            return make();
        }
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let family = families.entry(name.to_owned()).or_insert_with(|| Family {
            help: help.to_owned(),
            kind,
            series: BTreeMap::new(),
        });
        debug_assert_eq!(family.kind, kind, "{name} is registered as another type");
        let key = render_labels(labels);
        if let Some(metric) = family.series.get(&key) {
            return metric.clone();
        }
        let metric = make();
        if family.kind == kind && family.series.len() < MAX_SERIES {
            family.series.insert(key, metric.clone());
        }
        metric
    }

    /// Everything in the text format, families and series in the order of their names.
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(8 << 10);
        let families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, family) in &*families {
            let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {}", family.kind);
            for (labels, metric) in &family.series {
                let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
                let _ = match metric {
                    Metric::Counter(counter) => writeln!(out, "{name}{braced} {}", counter.get()),
                    Metric::Gauge(gauge) => writeln!(out, "{name}{braced} {}", number(gauge.get())),
                    Metric::Read(read) => writeln!(out, "{name}{braced} {}", number(read())),
                    Metric::Histogram(histogram) => render_histogram(&mut out, name, labels, &braced, &histogram.0),
                };
            }
        }
        out
    }
}

fn render_histogram(out: &mut String, name: &str, labels: &str, braced: &str, buckets: &Buckets) -> std::fmt::Result {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut total = 0;
    let bounds = buckets.bounds.iter().copied().chain([f64::INFINITY]);
    for (bound, count) in bounds.zip(&buckets.counts) {
        total += count.load(Relaxed);
        writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{}\"}} {total}", number(bound))?;
    }
    let sum = number(f64::from_bits(buckets.sum.load(Relaxed)));
    writeln!(out, "{name}_sum{braced} {sum}\n{name}_count{braced} {total}")
}

fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}

fn is_name(name: &str, colons: bool) -> bool {
    let mut bytes = name.bytes();
    let first = |b: u8| b.is_ascii_alphabetic() || b == b'_' || (colons && b == b':');
    bytes.next().is_some_and(first) && bytes.all(|b| first(b) || b.is_ascii_digit())
}

fn render_labels(labels: &[(&str, &str)]) -> String {
    let mut sorted = labels.to_vec();
    sorted.sort_unstable();
    let rendered = sorted.iter().map(|(name, value)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    });
    rendered.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_what_the_format_asks_for() {
        let registry = Registry::new();
        registry.counter("b_total", "Counts\nin \\ lines.", &[("z", "1"), ("a", "q\"u\\o\n")]).add(7);
        registry.gauge("a", "Goes.", &[]).set(-0.5);
        registry.gauge_fn("c:x", "Asked.", &[], || f64::NAN);
        let histogram = registry.histogram("d_seconds", "Takes.", &[("k", "v")], &[1.0, 0.1]);
        for value in [0.05, 0.1, 0.5, 4.0] {
            histogram.observe(value);
        }
        let expected = r#"# HELP a Goes.
# TYPE a gauge
a -0.5
# HELP b_total Counts\nin \\ lines.
# TYPE b_total counter
b_total{a="q\"u\\o\n",z="1"} 7
# HELP c:x Asked.
# TYPE c:x gauge
c:x NaN
# HELP d_seconds Takes.
# TYPE d_seconds histogram
d_seconds_bucket{k="v",le="0.1"} 2
d_seconds_bucket{k="v",le="1"} 3
d_seconds_bucket{k="v",le="+Inf"} 4
d_seconds_sum{k="v"} 4.65
d_seconds_count{k="v"} 4
"#;
        assert_eq!(registry.render(), expected);
    }

    #[test]
    fn the_same_labels_in_any_order_are_one_metric_and_families_are_bounded() {
        let registry = Registry::new();
        registry.counter("a_total", "A.", &[("x", "1"), ("y", "2")]).inc();
        registry.clone().counter("a_total", "A.", &[("y", "2"), ("x", "1")]).inc();
        assert_eq!(registry.counter("a_total", "A.", &[("x", "1"), ("y", "2")]).get(), 2);
        for i in 0..2 * MAX_SERIES {
            registry.counter("many_total", "M.", &[("i", &i.to_string())]).inc();
        }
        assert_eq!(registry.render().lines().filter(|l| l.starts_with("many_total{")).count(), MAX_SERIES);
    }
}
