//! Metrics, named after Prometheus' own remote storage where they mean the same.

use telemetry::metrics::{Counter, Gauge, Histogram, Registry};

use crate::lane::How;

/// Registered once; updated by request, never by sample.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    /// Samples in requests to the backend, each attempt counted.
    pub(crate) sent: Counter,
    /// Samples sent again.
    pub(crate) retried: Counter,
    /// Samples held.
    pub(crate) pending: Gauge,
    /// Seconds an attempt took.
    pub(crate) duration: Histogram,
    /// Lanes.
    pub(crate) shards: Gauge,
    /// Compressed bytes sent.
    pub(crate) bytes: Counter,
    /// Seconds since the Unix epoch.
    pub(crate) highest: Gauge,
    /// The same, of what the backend took.
    pub(crate) highest_sent: Gauge,
    /// Requests with metadata alone.
    pub(crate) metadata: Counter,
    /// Repeats served from memory.
    pub(crate) repeats: Counter,
    failed: Counter,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

impl Metrics {
    /// Registers them.
    pub(crate) fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| registry.counter(name, help, &[]);
        let gauge = |name: &str, help: &str| registry.gauge(name, help, &[]);
        Self {
            sent: counter(
                "prometheus_remote_storage_samples_total",
                "Samples sent to the backend, each attempt counted.",
            ),
            failed: counter("prometheus_remote_storage_samples_failed_total", "Samples the backend refused for good."),
            retried: counter(
                "prometheus_remote_storage_samples_retried_total",
                "Samples sent again after an answer that allows it.",
            ),
            pending: gauge("prometheus_remote_storage_samples_pending", "Samples in the buffer or in flight."),
            duration: registry.histogram(
                "prometheus_remote_storage_sent_batch_duration_seconds",
                "Seconds from sending a batch to its answer.",
                &[],
                &SECONDS,
            ),
            shards: gauge("prometheus_remote_storage_shards", "Lanes: requests in flight at most."),
            bytes: counter("prometheus_remote_storage_bytes_total", "Compressed bytes sent to the backend."),
            highest: gauge(
                "prometheus_remote_storage_queue_highest_timestamp_seconds",
                "Highest sampled timestamp accepted.",
            ),
            highest_sent: gauge(
                "prometheus_remote_storage_queue_highest_sent_timestamp_seconds",
                "Highest sampled timestamp that the backend took.",
            ),
            metadata: counter(
                "floodmark_worker_metadata_requests_total",
                "Requests without series: acknowledged, not passed on.",
            ),
            repeats: counter(
                "floodmark_worker_repeats_total",
                "Parts of repeated requests that joined the first one or got its outcome.",
            ),
            registry: registry.clone(),
        }
    }

    /// Counts samples that left the buffer.
    pub(crate) fn outcome(&self, how: &How, samples: u64) {
        match how {
            How::Delivered => {}
            How::Rejected(reason) => {
                self.failed.add(samples);
                self.dropped(reason, samples);
            }
            How::Dropped(reason) => self.dropped(reason, samples),
            How::Ambiguous => self.dropped("ambiguous", samples),
        }
    }

    /// Counts a request by how it was answered. Once a request.
    pub(crate) fn answered(&self, status: u16) {
        let name = "floodmark_worker_requests_total";
        let status = status.to_string();
        self.registry.counter(name, "Remote-Write requests by answer.", &[("status", &status)]).inc();
    }

    fn dropped(&self, reason: &str, samples: u64) {
        let name = "prometheus_remote_storage_samples_dropped_total";
        self.registry.counter(name, "Samples given up, by reason.", &[("reason", reason)]).add(samples);
    }
}

/// Raises a gauge of milliseconds given, seconds shown.
pub(crate) fn raise(gauge: &Gauge, millis: i64) {
    let seconds = millis as f64 / 1e3;
    if seconds > gauge.get() {
        gauge.set(seconds);
    }
}
