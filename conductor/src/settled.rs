//! What the settlement came to, as the summary tells it.

use ledger::{FindingName, Settled};
use measure::DropSummary;
use report::Summary;

pub(crate) fn put(summary: &mut Summary, settled: Settled) {
    let Settled { findings, gaps, unjudged } = settled;
    for (fault, unjudged) in summary.faults.iter_mut().zip(unjudged) {
        fault.accepted = fault.accepted.saturating_sub(unjudged);
        fault.indeterminate = fault.indeterminate.saturating_add(unjudged);
    }
    let gaps = gaps.into_iter().map(|(cause, lengths)| (cause.to_owned(), DropSummary::exactly(&lengths)));
    summary.drops.gaps = gaps.collect();
    summary.findings = findings
        .iter()
        .map(|finding| report::Finding {
            name: finding.name.to_string(),
            count: finding.count,
            explained: finding.explained,
            examples: finding
                .examples
                .iter()
                .map(|example| report::Example {
                    series: example.series.clone(),
                    timestamp_ms: example.timestamp_ms,
                    value: example.value.clone(),
                    detail: example.detail.clone(),
                })
                .collect(),
        })
        .collect();
    if let Some(unproven) = findings.iter().find(|finding| finding.name == FindingName::Unproven)
        && let Some(coverage) = &mut summary.coverage
    {
        coverage.unproven.extend(["SilentLoss".to_owned(), "AckedLoss".to_owned()]);
        coverage.detail = format!("{} samples could not be settled", unproven.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_upon_a_lost_sample_is_open() {
        let fault = |accepted, indeterminate| report::FaultResult {
            sent: 9,
            refused: 2,
            accepted,
            indeterminate,
            ..report::FaultResult::default()
        };
        let mut summary = Summary { faults: vec![fault(6, 1), fault(7, 0)], ..Summary::default() };
        put(&mut summary, Settled { findings: Vec::new(), gaps: ledger::Gaps::new(), unjudged: vec![4, 0] });
        assert_eq!(summary.faults, [fault(2, 5), fault(7, 0)]);
    }
}
