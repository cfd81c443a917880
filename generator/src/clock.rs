//! The run's time: nanoseconds since t0, from a clock that never goes back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Anchored once to the wall clock, then monotone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// A moment of both clocks.
    instant: Instant,
    unix_ns: u64,
    t0: u64,
}

impl Clock {
    pub(crate) fn new(t0: u64) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { instant: Instant::now(), unix_ns: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX), t0 }
    }

    /// Since t0; 0 before.
    pub(crate) fn now(&self) -> u64 {
        let unix = self.unix_ns.saturating_add(u64::try_from(self.instant.elapsed().as_nanos()).unwrap_or(u64::MAX));
        unix.saturating_sub(self.t0)
    }

    /// The moment that lies `ns` after t0; a moment gone by is as good as now.
    pub(crate) fn at(&self, ns: u64) -> Instant {
        let unix = self.t0.saturating_add(ns);
        self.instant + Duration::from_nanos(unix.saturating_sub(self.unix_ns))
    }

    /// Unix microseconds of the moment that lies `ns` after t0.
    pub(crate) fn unix_us(&self, ns: u64) -> u64 {
        self.t0.saturating_add(ns) / 1000
    }
}
