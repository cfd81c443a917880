//! The verdict: what fails a run, what leaves it open, and the reasons in words.

use api::ThresholdMetric;

use crate::format;
use crate::summary::{FaultResult, Finding, Summary, ThresholdResult, Verdict};
use crate::thresholds;

/// What the summary itself does not show: a lost generator, a target that never came up, accounts that do not balance, an abort.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outside {
    /// Why nothing was acknowledged at all: leaves the run open and comes before everything that follows from it.
    pub cause: Option<String>,
    /// Reasons that fail the run.
    pub failures: Vec<String>,
    /// Reasons that leave it open.
    pub inconclusive: Vec<String>,
    /// What has to be told and decides nothing; comes last.
    pub notes: Vec<String>,
}

/// A verdict with its reasons, the decisive ones first. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub verdict: Verdict,
    pub reasons: Vec<String>,
}

/// Findings that fail a run by themselves, and what they mean. Duplicates and losses count only as far as nothing explains them.
pub(crate) const FAILING: [(&str, &str); 8] = [
    ("SilentLoss", "were acknowledged and are not stored"),
    ("AckedLoss", "were acknowledged and then lost with a killed worker"),
    ("Altered", "are stored with another value than was sent"),
    ("Reordered", "arrived after a newer sample of their series"),
    ("Duplicated", "arrived more than once, and nothing explains it"),
    ("WronglyAccepted", "had to be refused and were accepted"),
    ("WronglyRefused", "had to be accepted and were refused"),
    ("Unexpected", "name this run and were never made by its workload"),
];

/// Measures the thresholds, decides, and fills in both.
pub fn settle(summary: &mut Summary, thresholds: &[api::Threshold], outside: &Outside) {
    summary.tidy();
    summary.thresholds = thresholds::evaluate(thresholds, summary);
    let decision = decide(summary, outside);
    summary.verdict = decision.verdict;
    summary.reasons = decision.reasons;
}

/// Decides on a summary whose thresholds are measured. A failure is a failure even when something else stays open; only what an
/// overloaded generator could have caused itself (latencies, the rate) is left open then.
pub fn decide(summary: &Summary, outside: &Outside) -> Decision {
    let mut failures = outside.failures.clone();
    let mut open = outside.inconclusive.clone();

    for finding in &summary.findings {
        if let Some(reason) = failing(finding, summary) {
            failures.push(reason);
        }
    }
    open.extend(unsettled(summary));
    open.extend(summary.faults.iter().filter_map(unclear));
    for threshold in &summary.thresholds {
        let blurred = summary.generator_saturated && generators_own(threshold.metric);
        match (threshold.ok, threshold.proven) {
            (false, true) if blurred => open.push(format!("{}, but the generator was saturated", missed(threshold))),
            (false, true) => failures.push(missed(threshold)),
            (_, false) => {
                open.push(format!("{} ({}) is unproven: {}", threshold.metric, threshold.bound, threshold.note));
            }
            (true, true) => {}
        }
    }
    let limit = summary
        .limit
        .as_deref()
        .filter(|_| outside.cause.is_none())
        .map_or(String::new(), |limit| format!("; the limit was: {limit}"));
    if summary.generator_saturated {
        open.push(format!(
            "the generator was saturated, so rate and latencies tell about it and not about the target{limit}"
        ));
    } else if !replaced(summary, |metric| metric == ThresholdMetric::RateAchieved) {
        open.extend(summary.stages.iter().filter(|stage| !stage.reached && !stage.warm_up && !stage.cut).map(
            |stage| {
                format!(
                    "stage {} did not reach its rate: {} of {} due samples were acknowledged in time{limit}",
                    stage.index,
                    format::count(stage.acknowledged_in_time),
                    format::count(stage.due),
                )
            },
        ));
    }

    let verdict = match (failures.is_empty(), open.is_empty() && outside.cause.is_none()) {
        (false, _) => Verdict::Failed,
        (true, false) => Verdict::Inconclusive,
        (true, true) => Verdict::Passed,
    };
    let mut reasons: Vec<String> = outside.cause.iter().cloned().chain(failures).chain(open).collect();
    if reasons.is_empty() {
        reasons.push(passed(summary));
    }
    reasons.extend(outside.notes.iter().cloned());
    Decision { verdict, reasons }
}

/// What an overloaded generator can miss through its own doing.
pub fn generators_own(metric: ThresholdMetric) -> bool {
    matches!(metric, ThresholdMetric::Latency(..) | ThresholdMetric::RateAchieved)
}

/// Whether a finding is held against the run, by its own rule or by the threshold that replaces it.
pub(crate) fn counts_against(finding: &Finding, summary: &Summary) -> bool {
    let own = |t: &&ThresholdResult| matches!(t.metric, ThresholdMetric::Ledger(count) if thresholds::finding_name(count) == finding.name);
    let missed = summary.thresholds.iter().filter(own).any(|t| !t.ok && t.proven);
    missed || failing(finding, summary).is_some()
}

fn failing(finding: &Finding, summary: &Summary) -> Option<String> {
    let (name, meaning) = FAILING.iter().find(|(name, _)| *name == finding.name)?;
    let own = |metric| matches!(metric, ThresholdMetric::Ledger(count) if thresholds::finding_name(count) == *name);
    let expected = *name == "AckedLoss" && summary.ack_policy.as_deref() == Some("Buffered");
    let count = finding.unexplained();
    if count == 0 || expected || replaced(summary, own) {
        return None;
    }
    Some(format!("{name}: {} samples {meaning}", format::count(count)))
}

/// Why a look into the store proved nothing about some samples.
pub(crate) fn unsettled(summary: &Summary) -> Option<String> {
    let source = &summary.coverage.as_ref()?.source;
    let count = summary.finding("Unproven").map_or(0, Finding::unexplained);
    (count > 0).then(|| {
        format!(
            "Unproven: of {} samples accounts and store ({source}) do not tell whether they are lost",
            format::count(count)
        )
    })
}

/// Why a fault says nothing of the target though it was sent.
fn unclear(fault: &FaultResult) -> Option<String> {
    let clear = fault.refused.saturating_add(fault.accepted).saturating_add(fault.store_refused.unwrap_or(0));
    (fault.expected == "Refused" && fault.sent > 0 && clear == 0).then(|| {
        format!(
            "not one of {} samples of {} had a clear verdict: the good samples that they follow upon may not be stored, or the answers were lost",
            format::count(fault.sent),
            fault.r#type
        )
    })
}

fn replaced(summary: &Summary, own: impl Fn(ThresholdMetric) -> bool) -> bool {
    summary.thresholds.iter().any(|threshold| own(threshold.metric))
}

fn missed(threshold: &ThresholdResult) -> String {
    format!("{} is {}, the bound is {}", threshold.metric, threshold.text, threshold.bound)
}

fn passed(summary: &Summary) -> String {
    let thresholds = match summary.thresholds.len() {
        0 => String::new(),
        1 => "the threshold holds; ".to_owned(),
        many => format!("all {many} thresholds hold; "),
    };
    let acknowledged = format::count(summary.samples.acknowledged);
    let lost = lost(summary);
    let rest = match (&summary.coverage, thresholds::unproven("SilentLoss", summary)) {
        (Some(coverage), None) if coverage.share < 1.0 => format!(
            "{acknowledged} samples were acknowledged; of the {} that were read back, {}",
            format::percent(coverage.share),
            if lost.is_empty() { "every one is accounted for".to_owned() } else { format!("{lost} are not stored") },
        ),
        (Some(_), None) if lost.is_empty() => {
            format!("every one of {acknowledged} acknowledged samples is accounted for in the store")
        }
        (Some(_), None) => format!("of {acknowledged} acknowledged samples {lost} are not stored, as the test allows"),
        _ => format!(
            "{acknowledged} samples were acknowledged; whether they are stored is unproven, and no threshold asks"
        ),
    };
    format!("{thresholds}{rest}")
}

/// Losses in words; empty when there are none.
fn lost(summary: &Summary) -> String {
    let parts = ["SilentLoss", "AckedLoss"].into_iter().filter_map(|name| {
        let count = summary.finding(name)?.count;
        (count > 0).then(|| format!("{} ({name})", format::count(count)))
    });
    parts.collect::<Vec<_>>().join(" and ")
}
