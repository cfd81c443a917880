//! Metrics of the generator, named after those of Prometheus' own sender where they mean the same. Updated once a request.

use telemetry::{Counter, Gauge, Histogram, Registry};

pub(crate) struct Metrics {
    registry: Registry,
    /// Samples in attempts, each repetition counted.
    pub(crate) samples: Counter,
    pub(crate) retried: Counter,
    pub(crate) bytes: Counter,
    pub(crate) duration: Histogram,
    pub(crate) lanes: Gauge,
    pub(crate) highest_sent: Gauge,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        Self {
            samples: registry.counter(
                "prometheus_remote_storage_samples_total",
                "Samples sent, each repetition counted.",
                &[],
            ),
            retried: registry.counter(
                "prometheus_remote_storage_samples_retried_total",
                "Samples sent again after a retryable answer or none.",
                &[],
            ),
            bytes: registry.counter("prometheus_remote_storage_bytes_total", "Compressed bytes sent.", &[]),
            duration: registry.histogram(
                "prometheus_remote_storage_sent_batch_duration_seconds",
                "From sent to answered, once an attempt.",
                &[],
                &bounds,
            ),
            lanes: registry.gauge(
                "prometheus_remote_storage_shards",
                "Lanes: connections with one request in flight.",
                &[],
            ),
            highest_sent: registry.gauge(
                "prometheus_remote_storage_queue_highest_sent_timestamp_seconds",
                "Highest timestamp acknowledged.",
                &[],
            ),
            registry: registry.clone(),
        }
    }

    /// Samples with a final outcome: `acknowledged`, `refused`, `skipped` or `unresolved`.
    pub(crate) fn outcome(&self, outcome: &str, samples: u64) {
        self.registry
            .counter("floodmark_generator_samples_total", "Samples by final outcome.", &[("outcome", outcome)])
            .add(samples);
    }

    /// Samples refused for good or never sent.
    pub(crate) fn lost(&self, reason: &str, refused: bool, samples: u64) {
        let (name, help) = if refused {
            ("prometheus_remote_storage_samples_failed_total", "Samples refused for good, by reason.")
        } else {
            ("prometheus_remote_storage_samples_dropped_total", "Samples never sent, by reason.")
        };
        self.registry.counter(name, help, &[("reason", reason)]).add(samples);
    }
}
