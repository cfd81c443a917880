//! What flowed in each second, for the live view and the report's charts.

use api::Fault;
use measure::names;
use workload::Workload;

use crate::gather::Gatherer;

/// Totals at one moment of the run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Point {
    /// Nanoseconds since t0.
    pub(crate) at_ns: u64,
    pub(crate) acknowledged: u64,
    pub(crate) drops: u64,
}

/// Totals about twice a second.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rates {
    pub(crate) points: Vec<Point>,
}

impl Rates {
    pub(crate) fn sample(&mut self, at_ns: u64, gatherer: &Gatherer, faults: &[Fault]) {
        let drops = gatherer.drops_by_reason(faults, false).into_values().sum();
        self.points.push(Point { at_ns, acknowledged: gatherer.account().acknowledged, drops });
    }

    /// Acknowledged samples a second over about the last second.
    pub(crate) fn now(&self) -> f64 {
        let Some(last) = self.points.last() else { return 0.0 };
        let from = self.points.iter().rev().find(|point| point.at_ns + 900_000_000 <= last.at_ns);
        let from = from.copied().unwrap_or_default();
        let seconds = last.at_ns.saturating_sub(from.at_ns) as f64 / 1e9;
        if seconds > 0.0 { last.acknowledged.saturating_sub(from.acknowledged) as f64 / seconds } else { 0.0 }
    }

    pub(crate) fn drops_now(&self) -> u64 {
        self.points.last().map_or(0, |point| point.drops)
    }

    /// Samples due a second around a moment.
    pub(crate) fn target_now(workload: &Workload, now_ns: u64) -> f64 {
        let to = now_ns.min(workload.duration_ns());
        let from = to.saturating_sub(1_000_000_000);
        workload.mean_due(from, to) * 1e9 / to.saturating_sub(from).max(1) as f64
    }

    /// The 99th percentile of `response` over the last few finished seconds.
    pub(crate) fn recent_p99_ms(gatherer: &Gatherer) -> Option<f64> {
        let mut recent: Option<hdr::Sum> = None;
        for set in gatherer.generator_lives.iter().filter_map(|life| life.histograms.as_ref()) {
            for interval in set.newest(names::RESPONSE, 3).ok()? {
                recent = Some(hdr::add(recent, &interval.histogram));
            }
        }
        recent.map(|sum| hdr::p99_ms(&sum))
    }
}

mod hdr {
    use hdrhistogram::Histogram;

    pub(super) type Sum = Histogram<u64>;

    pub(super) fn add(sum: Option<Sum>, more: &Sum) -> Sum {
        match sum {
            None => more.clone(),
            Some(mut sum) => {
                // Both have the bounds of every interval, so nothing can be out of range.
                let _ = sum.add(more);
                sum
            }
        }
    }

    pub(super) fn p99_ms(sum: &Sum) -> f64 {
        sum.value_at_quantile(0.99) as f64 / 1000.0
    }
}
