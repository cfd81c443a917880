//! The run's time: nanoseconds since t0, from a clock that never goes back.

use telemetry::Anchor;
use tokio::time::Instant;

/// One for the whole process: under every map lanes go by the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    anchor: Anchor,
    t0: u64,
}

impl Clock {
    pub(crate) fn new(t0: u64) -> Self {
        Self { anchor: Anchor::now(), t0 }
    }

    /// Unix nanoseconds.
    pub(crate) fn t0(&self) -> u64 {
        self.t0
    }

    /// Since t0; 0 before.
    pub(crate) fn now(&self) -> u64 {
        self.anchor.unix_ns().saturating_sub(self.t0)
    }

    /// The moment that lies `ns` after t0; a moment gone by is as good as now.
    pub(crate) fn at(&self, ns: u64) -> Instant {
        self.anchor.at(self.t0.saturating_add(ns))
    }

    /// Unix microseconds of the moment that lies `ns` after t0.
    pub(crate) fn unix_us(&self, ns: u64) -> u64 {
        self.t0.saturating_add(ns) / 1000
    }
}
