//! A registry of counters, gauges and histograms in Prometheus' text format 0.0.4.

/// A set of metrics. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Registry {}

/// Counts up.
#[derive(Clone, Default)]
pub struct Counter {}
impl Counter {
    pub fn inc(&self) {}
    pub fn add(&self, _n: u64) {}
    pub fn get(&self) -> u64 {
        0
    }
}

/// Goes up and down.
#[derive(Clone, Default)]
pub struct Gauge {}
impl Gauge {
    pub fn set(&self, _value: f64) {}
    pub fn add(&self, _delta: f64) {}
    pub fn get(&self) -> f64 {
        0.0
    }
}

/// Counts observations in buckets.
#[derive(Clone, Default)]
pub struct Histogram {}
impl Histogram {
    pub fn observe(&self, _value: f64) {}
}

impl Registry {
    pub fn new() -> Self {
        Self::default()
    }
    pub fn counter(&self, _name: &str, _help: &str, _labels: &[(&str, &str)]) -> Counter {
        todo!()
    }
    pub fn gauge(&self, _name: &str, _help: &str, _labels: &[(&str, &str)]) -> Gauge {
        todo!()
    }
    pub fn histogram(&self, _name: &str, _help: &str, _labels: &[(&str, &str)], _bounds: &[f64]) -> Histogram {
        todo!()
    }
    /// A counter whose value is asked for at each scrape (seconds of CPU, say).
    pub fn counter_fn(&self, _name: &str, _help: &str, _labels: &[(&str, &str)], _read: impl Fn() -> f64 + Send + Sync + 'static) {}
    /// A gauge whose value is asked for at each scrape.
    pub fn gauge_fn(&self, _name: &str, _help: &str, _labels: &[(&str, &str)], _read: impl Fn() -> f64 + Send + Sync + 'static) {}
    pub fn render(&self) -> String {
        todo!()
    }
}
