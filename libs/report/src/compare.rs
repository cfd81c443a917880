//! Two runs side by side.

use std::fmt::Write as _;

use crate::format;
use crate::summary::Summary;

/// One figure of two runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Delta {
    /// Such as `response.p99`.
    pub metric: String,
    /// Milliseconds for latencies, otherwise a count or samples a second; none when a run has no such figure.
    pub before: Option<f64>,
    pub after: Option<f64>,
    /// The figure is a latency.
    pub is_latency: bool,
    /// More is worse (latencies, drops, findings); otherwise more is better.
    pub more_is_worse: bool,
}

impl Delta {
    /// The change as a fraction of the first run's figure; none when there is nothing to relate it to.
    pub fn change(&self) -> Option<f64> {
        let (before, after) = (self.before?, self.after?);
        if before == 0.0 {
            return (after == 0.0).then_some(0.0);
        }
        Some((after - before) / before)
    }
}

/// The figures in which two runs can be compared: rate, latencies, drops, findings and CPU.
pub fn compare(before: &Summary, after: &Summary) -> Vec<Delta> {
    let a = figures(before);
    let b = figures(after);
    let mut out: Vec<Delta> = a
        .iter()
        .map(|(metric, value, latency, worse)| Delta {
            metric: metric.clone(),
            before: Some(*value),
            after: b.iter().find(|other| other.0 == *metric).map(|other| other.1),
            is_latency: *latency,
            more_is_worse: *worse,
        })
        .collect();
    for (metric, value, latency, worse) in b {
        if !a.iter().any(|other| other.0 == metric) {
            out.push(Delta { metric, before: None, after: Some(value), is_latency: latency, more_is_worse: worse });
        }
    }
    out
}

fn figures(summary: &Summary) -> Vec<(String, f64, bool, bool)> {
    let mut out = Vec::new();
    if let Some(rate) = summary.shown_rate() {
        out.push(("rate.achieved".to_owned(), rate, false, false));
    }
    for (name, latency) in summary.latency.iter() {
        let p = &latency.points;
        for (point, ms) in [("p50", p.p50), ("p90", p.p90), ("p99", p.p99), ("p999", p.p999), ("max", p.max)] {
            out.push((format!("{name}.{point}"), ms, true, true));
        }
    }
    out.push(("drops.total".to_owned(), summary.drops.total as f64, false, true));
    for finding in &summary.findings {
        out.push((format!("finding.{}", finding.name), finding.count as f64, false, true));
    }
    let mut roles: Vec<(String, f64)> = Vec::new();
    for process in &summary.cpu {
        match roles.iter_mut().find(|(role, _)| *role == process.role) {
            Some((_, cores)) => *cores += process.cores,
            None => roles.push((process.role.clone(), process.cores)),
        }
    }
    out.extend(roles.into_iter().map(|(role, cores)| (format!("cores.{role}"), cores, false, true)));
    out
}

/// The comparison as a plain table.
pub fn render_comparison(before: &Summary, after: &Summary) -> String {
    let show = |delta: &Delta, value: Option<f64>| match value {
        None => "–".to_owned(),
        Some(ms) if delta.is_latency => format::short_ms(ms),
        Some(value) => format::short(value),
    };
    let mut out = format!(
        "{:<28}{:>14}{:>14}{:>10}\n{:<28}{:>14}{:>14}\n",
        "",
        "before",
        "after",
        "change",
        "verdict",
        before.verdict.as_str(),
        after.verdict.as_str()
    );
    for delta in compare(before, after) {
        let change = delta.change().map_or_else(String::new, |c| format!("{:+.1} %", c * 100.0));
        let worse = delta.change().is_some_and(|c| c.abs() >= 0.05 && (c > 0.0) == delta.more_is_worse);
        let mark = if worse { "  worse" } else { "" };
        let metric: String = delta.metric.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        let _ = writeln!(
            out,
            "{metric:<28}{:>14}{:>14}{change:>10}{mark}",
            show(&delta, delta.before),
            show(&delta, delta.after)
        );
    }
    out
}
