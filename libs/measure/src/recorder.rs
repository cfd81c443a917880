//! The recorder of one task: two array increments a value, no lock, no clock, no allocation but when a second ends.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::bounds::{self, HIGHEST_US, LOWEST_US, micros};
use crate::codec::CodecError;
use crate::distribution::Distribution;

/// Records values of one measure. `at_ns` is the time of the observation in nanoseconds since the run's start (t0): it chooses the
/// interval of one second. Give each task its own recorder and merge them.
#[derive(Debug, Clone)]
pub struct Recorder {
    closed: Distribution,
    open: Histogram<u64>,
    second: u64,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// An empty recorder; about 220 KiB, most of it untouched pages.
    pub fn new() -> Self {
        Self { closed: Distribution::new(), open: bounds::interval(), second: 0 }
    }

    /// Records one value of `value_ns` nanoseconds.
    pub fn record_ns(&mut self, at_ns: u64, value_ns: u64) {
        self.add(at_ns, micros(value_ns), 1);
    }

    /// Records `count` values of `value_ns` nanoseconds each, for measures that count samples.
    pub fn record_n_ns(&mut self, at_ns: u64, value_ns: u64, count: u64) {
        self.add(at_ns, micros(value_ns), count);
    }

    /// [`Self::record_ns`] for durations.
    pub fn record(&mut self, at: Duration, value: Duration) {
        self.record_ns(nanos(at), nanos(value));
    }

    /// [`Self::record_n_ns`] for durations.
    pub fn record_n(&mut self, at: Duration, value: Duration, count: u64) {
        self.record_n_ns(nanos(at), nanos(value), count);
    }

    /// Records a value that a timeout or the end of the run cut off at `elapsed_ns`, and counts it as censored.
    pub fn record_censored_ns(&mut self, at_ns: u64, elapsed_ns: u64) {
        self.record_censored_n_ns(at_ns, elapsed_ns, 1);
    }

    /// [`Self::record_censored_ns`] for `count` values at once.
    pub fn record_censored_n_ns(&mut self, at_ns: u64, elapsed_ns: u64, count: u64) {
        self.closed.censored = self.closed.censored.saturating_add(count);
        self.add(at_ns, micros(elapsed_ns), count);
    }

    /// Values recorded so far.
    pub fn count(&self) -> u64 {
        self.closed.count()
    }

    /// Everything recorded so far, the open second included; recording goes on.
    pub fn snapshot(&self) -> Result<Distribution, CodecError> {
        let mut all = self.closed.clone();
        all.intervals.add(self.second, &self.open)?;
        Ok(all)
    }

    /// Ends the recording.
    pub fn finish(mut self) -> Result<Distribution, CodecError> {
        self.closed.intervals.add(self.second, &self.open)?;
        Ok(self.closed)
    }

    fn add(&mut self, at_ns: u64, us: u64, count: u64) {
        let mut value = us.max(LOWEST_US);
        if value > HIGHEST_US {
            value = HIGHEST_US;
            self.closed.over_range = self.closed.over_range.saturating_add(count);
        }
        self.closed.max_us = self.closed.max_us.max(value);
        self.closed.total.saturating_record_n(value, count);
        let second = at_ns / 1_000_000_000;
        if second == self.second {
            self.open.saturating_record_n(value, count);
        } else {
            self.turn(second, value, count);
        }
    }

    /// The second changed. A value for an earlier one goes straight to its closed interval, so that the order of recording does not
    /// show in the result.
    #[cold]
    fn turn(&mut self, second: u64, value: u64, count: u64) {
        if second > self.second {
            // Encoding fails only for counts beyond 63 bits, which no run reaches; the total keeps them all the same.
            let _ = self.closed.intervals.add(self.second, &self.open);
            self.open.reset();
            self.second = second;
            self.open.saturating_record_n(value, count);
        } else {
            let mut late = bounds::interval();
            late.saturating_record_n(value, count);
            let _ = self.closed.intervals.add(second, &late);
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
