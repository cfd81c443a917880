//! What the settlement came to, as the summary tells it.

use ledger::{FindingName, Settled};
use measure::DropSummary;
use report::Summary;

pub(crate) fn put(summary: &mut Summary, settled: Settled) {
    let Settled { findings, gaps } = settled;
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
