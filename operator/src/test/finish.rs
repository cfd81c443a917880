//! The status of a test: while it runs from the conductor's progress, in the end from its summary.

use std::collections::BTreeMap;

use api::{LatencyStatus, LatencySummary, LoadTestStatus, SamplesStatus};
use jiff::Timestamp;
use protocol::ProgressDoc;
use report::{Latency, Summary, Verdict};

use crate::observe::Trouble;
use crate::status::conditions::{Say, time};

/// Reasons in a status, and the longest of them in characters.
const MAX_REASONS: usize = 32;
const MAX_REASON: usize = 1024;
/// Troubles of parts among them.
const MAX_CAUSES: usize = 4;
const MAX_DROP_REASONS: usize = 64;

/// What the conductor says while it goes on.
pub(crate) fn follow(status: &mut LoadTestStatus, progress: &ProgressDoc) {
    let Some(t0) = progress.t0 else { return };
    let now = &progress.now;
    status.start_time = Timestamp::from_nanosecond(i128::from(t0)).ok().map(time);
    status.stage = u32::try_from(now.stage).ok();
    status.rate = Some(now.rate.max(0.0).round() as u64);
    status.drops = Some(now.drops);
    status.drops_by_reason = few(now.drops_by_reason.clone());
    let samples = status.samples.get_or_insert_default();
    samples.generated = now.generated;
    samples.acknowledged = now.acknowledged;
    samples.refused = now.refused;
    if let Some(ms) = now.response_p99_ms {
        let response = status.latency.get_or_insert_default().response.get_or_insert_default();
        response.p99 = duration(ms, false);
    }
}

/// What a run came to. Nothing proven may be the fault of parts in trouble: the conductor only sees that they do not answer.
pub(crate) fn conclude(status: &mut LoadTestStatus, summary: &Summary, troubles: &[Trouble]) {
    status.verdict = Some(summary.verdict.as_str().to_owned());
    let troubles = troubles.iter().filter(|_| summary.verdict == Verdict::Inconclusive);
    let causes = troubles.take(MAX_CAUSES).map(|trouble| format!("{}: {}", trouble.reason.as_str(), trouble.text()));
    let reasons = causes.chain(summary.reasons.iter().cloned());
    status.reasons = reasons.take(MAX_REASONS).map(|text| short(&text, MAX_REASON)).collect();
    if !summary.start_time.is_empty() {
        status.start_time = Some(summary.start_time.clone());
    }
    status.rate = summary.rate_achieved().map(|rate| rate.round() as u64);
    status.drops = Some(summary.drops.total);
    let by_reason = summary.drops.by_reason.iter().map(|(reason, drop)| (reason.clone(), drop.samples)).collect();
    status.drops_by_reason = few(by_reason);
    let count = |name: &str| summary.finding(name).map_or(0, |finding| finding.count);
    let samples = &summary.samples;
    status.samples = Some(SamplesStatus {
        generated: samples.generated,
        acknowledged: samples.acknowledged,
        refused: samples.refused.values().sum(),
        skipped: samples.skipped.values().sum(),
        unresolved: samples.unresolved,
        delivered: summary.workers.iter().map(|worker| worker.delivered).sum(),
        stored: samples.stored.unwrap_or_default(),
        duplicates: samples.duplicates.unwrap_or_default(),
        lost: count("SilentLoss") + count("AckedLoss"),
    });
    status.latency = Some(LatencyStatus {
        response: summary.latency.response.as_ref().map(latency),
        service: summary.latency.service.as_ref().map(latency),
        delivery: summary.latency.delivery.as_ref().map(latency),
    });
}

/// `Passed`, and what else the summary says of the run.
pub(crate) fn conditions(summary: &Summary) -> Vec<Say> {
    let why = summary.reasons.first().map_or_else(String::new, |text| short(text, MAX_REASON));
    let passed = match summary.verdict {
        Verdict::Passed => Say::yes("Passed", "Passed", why),
        Verdict::Failed => Say::no("Passed", failed(summary), why),
        Verdict::Inconclusive if summary.interrupted => Say::unknown("Passed", "Interrupted", why),
        Verdict::Inconclusive if summary.generator_saturated => Say::unknown("Passed", "GeneratorSaturated", why),
        Verdict::Inconclusive => Say::unknown("Passed", "Inconclusive", why),
    };
    let missed = summary.stages.iter().find(|stage| !stage.reached && !stage.warm_up);
    let reached = match missed {
        Some(stage) if stage.cut => {
            Say::unknown("TargetRateReached", "Interrupted", format!("stage {} was cut off", stage.index))
        }
        None => Say::yes("TargetRateReached", "Reached", "99 % of what was due was acknowledged in time"),
        Some(stage) => {
            let (got, due) = (stage.acknowledged_in_time, stage.due);
            let text = format!("stage {}: {got} of {due} due samples were acknowledged in time", stage.index);
            Say::no("TargetRateReached", "Missed", text)
        }
    };
    let limit = summary.limit.clone().unwrap_or_default();
    let saturated = if summary.generator_saturated {
        Say::yes("GeneratorSaturated", "Saturated", limit)
    } else {
        Say::no("GeneratorSaturated", "NotSaturated", limit)
    };
    vec![passed, reached, saturated]
}

/// The name of the first finding that the reasons begin with, or of what else failed it.
fn failed(summary: &Summary) -> String {
    let finding = summary
        .findings
        .iter()
        .find(|finding| summary.reasons.iter().any(|reason| reason.starts_with(&format!("{}:", finding.name))));
    let missed = summary.thresholds.iter().any(|threshold| !threshold.ok && threshold.proven);
    match finding {
        Some(finding) => finding.name.clone(),
        None if missed => "ThresholdMissed".to_owned(),
        None => "Failed".to_owned(),
    }
}

fn few(mut by_reason: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    while by_reason.len() > MAX_DROP_REASONS {
        by_reason.pop_last();
    }
    by_reason
}

fn short(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

fn latency(latency: &Latency) -> LatencySummary {
    let points = &latency.points;
    let over = points.over_range > 0;
    LatencySummary {
        p50: duration(points.p50, false),
        p99: duration(points.p99, over && points.p99 >= points.max),
        p999: duration(points.p999, over && points.p999 >= points.max),
        max: duration(points.max, over),
    }
}

/// Three digits and a unit: `1.23ms`, `45.6ms`, `2.05s`.
fn duration(ms: f64, over: bool) -> String {
    let (value, unit) = match ms {
        ms if ms < 1.0 => (ms * 1000.0, "us"),
        ms if ms < 1000.0 => (ms, "ms"),
        ms => (ms / 1000.0, "s"),
    };
    let digits = match value {
        value if value < 10.0 => 2,
        value if value < 100.0 => 1,
        _ => 0,
    };
    format!("{}{value:.digits$}{unit}", if over { ">=" } else { "" })
}

#[cfg(test)]
mod tests {
    use api::ConditionStatus;

    use super::*;

    #[test]
    fn durations_have_three_digits() {
        let cases = [(0.0123, "12.3us"), (1.234, "1.23ms"), (45.67, "45.7ms"), (456.7, "457ms"), (2050.0, "2.05s")];
        for (ms, text) in cases {
            assert_eq!(duration(ms, false), text);
        }
        assert_eq!(duration(3_600_000.0, true), ">=3600s");
    }

    #[test]
    fn a_failure_is_named_by_what_was_found() {
        let mut summary = Summary { verdict: Verdict::Failed, ..Summary::default() };
        summary.reasons = vec!["SilentLoss: 3 samples were acknowledged and are not stored".to_owned()];
        summary.findings = vec![report::Finding { name: "SilentLoss".to_owned(), count: 3, ..Default::default() }];
        let passed = &conditions(&summary)[0];
        assert_eq!(
            (passed.kind, passed.status, passed.reason.as_str()),
            ("Passed", ConditionStatus::False, "SilentLoss")
        );
        let mut status = LoadTestStatus::default();
        let trouble = || Trouble {
            part: "sink-worker 0".to_owned(),
            reason: crate::observe::Reason::Unschedulable,
            words: "Insufficient cpu".to_owned(),
            terminal: false,
        };
        conclude(&mut status, &summary, &[trouble()]);
        assert_eq!(status.reasons, summary.reasons, "what failed did not fail for that");
        assert_eq!((status.verdict.as_deref(), status.samples.unwrap().lost), (Some("Failed"), 3));
        summary.findings.clear();
        assert_eq!(conditions(&summary)[0].reason, "Failed");
        summary.verdict = Verdict::Inconclusive;
        let mut status = LoadTestStatus::default();
        conclude(&mut status, &summary, &[trouble()]);
        assert_eq!(status.reasons[0], "Unschedulable: sink-worker 0: Insufficient cpu");
        summary.generator_saturated = true;
        summary.stages = vec![report::StageResult { due: 9, ..Default::default() }];
        let said: Vec<_> = conditions(&summary).iter().map(|say| (say.kind, say.status)).collect();
        let expected = [
            ("Passed", ConditionStatus::Unknown),
            ("TargetRateReached", ConditionStatus::False),
            ("GeneratorSaturated", ConditionStatus::True),
        ];
        assert_eq!(said, expected);
    }
}
