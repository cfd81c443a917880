//! Counters of the receiver. Updated once a request.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use measure::Recorder;
use telemetry::{Counter, Gauge, Registry};

/// Name under which the receiver publishes how long it took over requests.
pub(crate) const HANDLING: &str = "handling";

pub(crate) struct Metrics {
    registry: Registry,
    ordinal: String,
    requests: Mutex<BTreeMap<u16, Counter>>,
    pub(crate) samples: Counter,
    pub(crate) bytes: Counter,
    pub(crate) histograms: Counter,
    pub(crate) injected: Counter,
    pub(crate) series: Gauge,
    handling: Mutex<Recorder>,
}

impl Metrics {
    pub(crate) fn new(registry: Registry, ordinal: u32) -> Self {
        let ordinal = ordinal.to_string();
        let labels = [("ordinal", ordinal.as_str())];
        let counter = |name, help| registry.counter(name, help, &labels);
        Self {
            samples: counter("floodmark_receiver_samples_total", "Samples in decoded requests."),
            bytes: counter("floodmark_receiver_received_bytes_total", "Bytes of request bodies as they came."),
            histograms: counter(
                "floodmark_receiver_histogram_series_total",
                "Series with native histograms, which are not verified.",
            ),
            injected: counter("floodmark_receiver_injected_answers_total", "Answers that the schedule spoilt."),
            series: registry.gauge("floodmark_receiver_series", "Series that are tracked.", &labels),
            requests: Mutex::new(BTreeMap::new()),
            handling: Mutex::new(Recorder::new()),
            registry,
            ordinal,
        }
    }

    /// Counts an answered Remote-Write request. `at_ns` is the time since t0 (or the start).
    pub(crate) fn answered(&self, status: u16, at_ns: u64, took_ns: u64) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = requests.entry(status).or_insert_with(|| {
            let labels = [("code", &*status.to_string()), ("ordinal", self.ordinal.as_str())];
            self.registry.counter("floodmark_receiver_requests_total", "Answered Remote-Write requests.", &labels)
        });
        counter.inc();
        drop(requests);
        self.handling.lock().unwrap_or_else(PoisonError::into_inner).record_ns(at_ns, took_ns);
    }

    /// Counts refused samples.
    pub(crate) fn refused(&self, reason: &str, count: u64) {
        let labels = [("ordinal", self.ordinal.as_str()), ("reason", reason)];
        self.registry
            .counter("floodmark_receiver_refused_samples_total", "Samples refused by the profile.", &labels)
            .add(count);
    }

    /// What is served at `/histograms`.
    pub(crate) fn handling(&self) -> Result<measure::HistogramSet, measure::CodecError> {
        let snapshot = self.handling.lock().unwrap_or_else(PoisonError::into_inner).snapshot()?;
        let mut set = measure::HistogramSet::default();
        set.insert(HANDLING, &snapshot)?;
        Ok(set)
    }
}
