//! What one measure came to: the total, its intervals, what was censored and what was over range. Merges exactly.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::bounds::{self, HIGHEST_US};
use crate::codec::CodecError;
use crate::intervals::{Interval, Intervals};

/// A finished or merged measure, in microseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    pub(crate) total: Histogram<u64>,
    pub(crate) intervals: Intervals,
    pub(crate) censored: u64,
    pub(crate) over_range: u64,
    /// The exact largest value; the histogram knows only its bucket.
    pub(crate) max_us: u64,
}

/// One value read from a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Quantile {
    /// Microseconds.
    pub us: u64,
    /// The truth is this or more: print `>=`.
    pub at_least: bool,
}

impl Quantile {
    /// Milliseconds.
    pub fn ms(self) -> f64 {
        self.us as f64 / 1000.0
    }
}

impl std::fmt::Display for Quantile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.at_least { ">=" } else { "" };
        write!(f, "{sign}{}ms", self.ms())
    }
}

/// The usual points of a distribution, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
    /// Values recorded (requests, attempts or samples, as the measure says).
    pub count: u64,
    /// Of these, values cut off by a timeout or the end: the truth is longer.
    pub censored: u64,
    /// Of these, values above one hour: `max` and what reaches it read `>=`.
    pub over_range: u64,
}

impl Default for Distribution {
    fn default() -> Self {
        Self::new()
    }
}

impl Distribution {
    /// Nothing recorded.
    pub fn new() -> Self {
        Self { total: bounds::total(), intervals: Intervals::default(), censored: 0, over_range: 0, max_us: 0 }
    }

    /// Values recorded.
    pub fn count(&self) -> u64 {
        self.total.len()
    }

    pub fn is_empty(&self) -> bool {
        self.total.is_empty()
    }

    /// Values recorded at their elapsed time because a timeout or the end cut them off.
    pub fn censored(&self) -> u64 {
        self.censored
    }

    /// Values above the highest bound.
    pub fn over_range(&self) -> u64 {
        self.over_range
    }

    /// The histogram of the whole run: three digits, microseconds.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.total
    }

    /// The intervals in order of time; seconds in which nothing was recorded are left out.
    pub fn intervals(&self) -> impl Iterator<Item = Result<Interval, CodecError>> + '_ {
        self.intervals.iter()
    }

    /// The value at a quantile of 0 to 1; zero when nothing was recorded.
    pub fn quantile(&self, quantile: f64) -> Quantile {
        if self.is_empty() {
            return Quantile { us: 0, at_least: false };
        }
        let us = self.total.value_at_quantile(quantile.clamp(0.0, 1.0));
        if self.over_range > 0 && self.total.equivalent(us, HIGHEST_US) {
            return Quantile { us: HIGHEST_US, at_least: true };
        }
        // The upper edge of the last bucket lies above anything that was seen.
        Quantile { us: us.min(self.max_us), at_least: false }
    }

    /// The exact largest value.
    pub fn max(&self) -> Quantile {
        Quantile { us: self.max_us, at_least: self.over_range > 0 }
    }

    /// The points that reports show.
    pub fn percentiles(&self) -> Percentiles {
        Percentiles {
            p50: self.quantile(0.5).ms(),
            p90: self.quantile(0.9).ms(),
            p95: self.quantile(0.95).ms(),
            p99: self.quantile(0.99).ms(),
            p999: self.quantile(0.999).ms(),
            max: self.max().ms(),
            count: self.count(),
            censored: self.censored,
            over_range: self.over_range,
        }
    }

    /// `(quantile, value)` for drawing latency by percentile: denser towards 1, the last point is the maximum.
    pub fn curve(&self, ticks_per_half: u32) -> Vec<(f64, Quantile)> {
        let mut points: Vec<(f64, Quantile)> = Vec::new();
        for step in self.total.iter_quantiles(ticks_per_half) {
            let at = step.quantile_iterated_to();
            let point = (at, self.quantile(at));
            if points.last().is_none_or(|last| last.0 < at) {
                points.push(point);
            }
        }
        points
    }

    /// Adds another distribution: counts are added bucket by bucket, nothing is averaged.
    pub fn merge(&mut self, other: &Self) -> Result<(), CodecError> {
        self.total.add(&other.total).map_err(|_| CodecError::Corrupt)?;
        self.censored = self.censored.saturating_add(other.censored);
        self.over_range = self.over_range.saturating_add(other.over_range);
        self.max_us = self.max_us.max(other.max_us);
        self.intervals.merge(&other.intervals)
    }
}
