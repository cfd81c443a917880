//! Thresholds, measured against a summary: is the value within its bound, and is that proven?

use api::{LatencyKind, LedgerCount, Percentile, Threshold, ThresholdMetric, Unit};

use crate::format;
use crate::summary::{Latency, Summary, ThresholdResult};

/// Findings that only a look into the store can rule out.
const NEEDS_STORE: [&str; 6] =
    ["SilentLoss", "AckedLoss", "StoredUnacknowledged", "Duplicated", "Reordered", "Altered"];

/// Measures every threshold, in order.
pub fn evaluate(thresholds: &[Threshold], summary: &Summary) -> Vec<ThresholdResult> {
    thresholds.iter().map(|threshold| one(threshold, summary)).collect()
}

/// A value and why it may not be the whole truth. What is unknown can only be larger.
struct Measured {
    value: Option<f64>,
    doubt: Option<String>,
}

fn one(threshold: &Threshold, summary: &Summary) -> ThresholdResult {
    let metric = threshold.metric;
    let (max, min, problem) = match (threshold.max_value(), threshold.min_value()) {
        (Ok(max), Ok(min)) => (max.map(api::LimitValue::as_f64), min.map(api::LimitValue::as_f64), None),
        (Err(error), _) | (_, Err(error)) => (None, None, Some(error.to_string())),
    };
    let measured = measure(metric, max, summary);
    let above = |value: f64| max.is_some_and(|max| value > max);
    let below = |value: f64| min.is_some_and(|min| value < min);
    let (ok, proven, note) = match (measured.value, problem) {
        (_, Some(problem)) => (false, false, problem),
        (None, None) => (false, false, measured.doubt.unwrap_or_else(|| "it was not measured".to_owned())),
        // More of what is unknown cannot bring a value back under its bound.
        (Some(value), None) if above(value) => (false, true, String::new()),
        (Some(value), None) => {
            let proven = measured.doubt.is_none() || (max.is_none() && !below(value));
            let note = if proven { None } else { measured.doubt };
            (!below(value), proven, note.unwrap_or_default())
        }
    };
    let mut bound = Vec::new();
    bound.extend(threshold.min.as_ref().map(|min| format!("≥ {min}")));
    bound.extend(threshold.max.as_ref().map(|max| format!("≤ {max}")));
    ThresholdResult {
        metric,
        bound: bound.join(", "),
        value: measured.value,
        text: measured.value.map_or_else(|| "–".to_owned(), |value| text(metric, value)),
        ok,
        proven,
        note,
        abort_on_fail: threshold.abort_on_fail,
    }
}

fn measure(metric: ThresholdMetric, max: Option<f64>, summary: &Summary) -> Measured {
    let exact = |value: f64| Measured { value: Some(value), doubt: None };
    match metric {
        ThresholdMetric::Latency(kind, point) => latency(kind, point, max, summary),
        ThresholdMetric::RateAchieved => Measured { value: summary.rate_achieved(), doubt: None },
        ThresholdMetric::DropsTotal => exact(summary.drops.total as f64),
        ThresholdMetric::DropsRequests => exact(summary.drops.requests as f64),
        ThresholdMetric::RetriesTotal => {
            let workers = summary.workers.iter().fold(0u64, |sum, w| sum.saturating_add(w.retries));
            exact(summary.requests.retries.saturating_add(workers) as f64)
        }
        ThresholdMetric::ErrorsShare => Measured {
            value: (summary.requests.attempts > 0)
                .then(|| summary.requests.failed as f64 / summary.requests.attempts as f64),
            doubt: None,
        },
        ThresholdMetric::Ledger(count) => ledger(count, summary),
    }
}

fn latency(kind: LatencyKind, point: Percentile, max: Option<f64>, summary: &Summary) -> Measured {
    let all = &summary.latency;
    let measured = match kind {
        LatencyKind::Response => &all.response,
        LatencyKind::Service => &all.service,
        LatencyKind::Delivery => &all.delivery,
        LatencyKind::Queued => &all.queued,
        LatencyKind::Late => &all.late,
    };
    let Some(latency) = measured.as_ref().filter(|latency| latency.points.count > 0) else {
        return Measured { value: None, doubt: Some(format!("nothing was measured as {}", kind.name())) };
    };
    let p = &latency.points;
    let ms = match point {
        Percentile::P50 => p.p50,
        Percentile::P90 => p.p90,
        Percentile::P95 => p.p95,
        Percentile::P99 => p.p99,
        Percentile::P999 => p.p999,
        Percentile::Max => p.max,
    };
    let over = format::at_least(ms, p.over_range).then(|| "the value lies above the range of one hour".to_owned());
    let censored = max
        .filter(|max| p.censored > 0 && !holds_with_censored(latency, point.quantile(), max * 1000.0))
        .map(|_| format!("{} values were cut off before their end, and would decide it", format::count(p.censored)));
    Measured { value: Some((ms * 1000.0).round() / 1_000_000.0), doubt: over.or(censored) }
}

/// Values that were cut off are longer in truth. Even if all of them lie under the bound now and belong above it, does the
/// percentile stay within?
fn holds_with_censored(latency: &Latency, quantile: f64, bound_ms: f64) -> bool {
    let within = latency.curve.iter().filter(|(_, ms)| *ms <= bound_ms).map(|(at, _)| *at).fold(0.0, f64::max);
    within - latency.points.censored as f64 / latency.points.count as f64 >= quantile
}

fn ledger(count: LedgerCount, summary: &Summary) -> Measured {
    let samples = &summary.samples;
    let exact = |value: u64| Measured { value: Some(value as f64), doubt: None };
    match count {
        LedgerCount::Skipped => exact(Summary::sum(&samples.skipped)),
        LedgerCount::Refused => exact(Summary::sum(&samples.refused)),
        LedgerCount::Unresolved => exact(samples.unresolved),
        other => {
            let name = finding_name(other);
            let value = summary.finding(name).map_or(0, |finding| finding.count);
            Measured { value: Some(value as f64), doubt: unproven(name, summary) }
        }
    }
}

/// Why a finding cannot be ruled out; none: its count is all there is.
pub(crate) fn unproven(name: &str, summary: &Summary) -> Option<String> {
    let lost = matches!(name, "SilentLoss" | "AckedLoss");
    let open = summary.finding("Unproven").map_or(0, |finding| finding.count);
    if lost && open > 0 {
        return Some(format!(
            "of {} acknowledged samples nobody could say whether they are stored",
            format::count(open)
        ));
    }
    if !NEEDS_STORE.contains(&name) {
        return None;
    }
    let Some(coverage) = &summary.coverage else {
        let unread = summary.unread.as_deref();
        return Some(
            unread.unwrap_or("nothing was read back from the store; set readBack or use a receiver").to_owned(),
        );
    };
    coverage
        .unproven
        .iter()
        .any(|one| one == name)
        .then(|| format!("{} does not show it; a RemoteWriteReceiver as the target does", coverage.source))
}

/// The ledger's name of what a metric counts.
pub(crate) const fn finding_name(count: LedgerCount) -> &'static str {
    match count {
        LedgerCount::SilentLoss => "SilentLoss",
        LedgerCount::AckedLoss => "AckedLoss",
        LedgerCount::StoredUnacknowledged => "StoredUnacknowledged",
        LedgerCount::Duplicated => "Duplicated",
        LedgerCount::Reordered => "Reordered",
        LedgerCount::Altered => "Altered",
        LedgerCount::WronglyAccepted => "WronglyAccepted",
        LedgerCount::WronglyRefused => "WronglyRefused",
        LedgerCount::Collateral => "Collateral",
        LedgerCount::Unresolved => "Unresolved",
        LedgerCount::Skipped => "Skipped",
        LedgerCount::Refused => "Refused",
    }
}

fn text(metric: ThresholdMetric, value: f64) -> String {
    match metric.unit() {
        Unit::Duration => format::ms((value * 1_000_000.0).round() / 1000.0, false),
        Unit::Count => format::number(value),
        Unit::Rate => format!("{} /s", format::number((value * 10.0).round() / 10.0)),
        Unit::Share => format::percent(value),
    }
}
