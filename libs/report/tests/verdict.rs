//! The rules of thresholds and verdict, one by one.
#![expect(clippy::unwrap_used, reason = "tests")]

use api::{LatencyKind, LedgerCount, Limit, Percentile, Threshold, ThresholdMetric};
use floodmark_report::verdict::{Outside, decide, settle};
use floodmark_report::{Coverage, FaultResult, Finding, Latency, StageResult, Summary, Verdict, thresholds};

fn threshold(metric: ThresholdMetric, max: Option<&str>, min: Option<&str>) -> Threshold {
    let limit = |text: &str| text.parse::<Limit>().unwrap();
    Threshold { metric, max: max.map(limit), min: min.map(limit), abort_on_fail: false }
}

fn finding(name: &str, count: u64, explained: u64) -> Finding {
    Finding { name: name.to_owned(), count, explained, ..Finding::default() }
}

/// A run with which nothing is wrong.
fn good() -> Summary {
    let mut summary = Summary::default();
    summary.samples.generated = 1000;
    summary.samples.acknowledged = 1000;
    summary.coverage =
        Some(Coverage { source: "receiver".into(), depth: "Full".into(), share: 1.0, ..Coverage::default() });
    summary.stages.push(StageResult {
        r#for: 10.0,
        due: 1000,
        acknowledged_in_time: 1000,
        reached: true,
        ..StageResult::default()
    });
    summary
}

fn verdict(summary: &Summary, thresholds: &[Threshold]) -> (Verdict, String) {
    let mut summary = summary.clone();
    settle(&mut summary, thresholds, &Outside::default());
    (summary.verdict, summary.reasons.join("\n"))
}

const LOSS: ThresholdMetric = ThresholdMetric::Ledger(LedgerCount::SilentLoss);

#[test]
fn a_good_run_passes_and_says_why() {
    let (verdict, reasons) = verdict(&good(), &[threshold(LOSS, Some("0"), None)]);
    assert_eq!(verdict, Verdict::Passed);
    assert!(reasons.contains("the threshold holds"), "{reasons}");
}

#[test]
fn findings_fail_by_themselves() {
    let failing = [
        "SilentLoss",
        "AckedLoss",
        "Altered",
        "Reordered",
        "Duplicated",
        "WronglyAccepted",
        "WronglyRefused",
        "Unexpected",
    ];
    for name in failing {
        let mut summary = good();
        summary.findings.push(finding(name, 3, 0));
        let (got, reasons) = verdict(&summary, &[]);
        assert_eq!(got, Verdict::Failed, "{name}");
        assert!(reasons.contains(name) && reasons.contains('3'), "{reasons}");
    }
    for name in ["Collateral", "StoredUnacknowledged", "Unresolved"] {
        let mut summary = good();
        summary.findings.push(finding(name, 3, 0));
        assert_eq!(verdict(&summary, &[]).0, Verdict::Passed, "{name}");
    }
}

#[test]
fn what_is_explained_does_not_fail() {
    let mut summary = good();
    summary.findings.push(finding("Duplicated", 500, 500));
    assert_eq!(verdict(&summary, &[]).0, Verdict::Passed);
    summary.findings.push(finding("AckedLoss", 7, 0));
    summary.ack_policy = Some("Buffered".into());
    assert_eq!(verdict(&summary, &[]).0, Verdict::Passed);
    summary.ack_policy = Some("Durable".into());
    assert_eq!(verdict(&summary, &[]).0, Verdict::Failed);
}

#[test]
fn a_threshold_on_a_finding_replaces_its_rule() {
    let mut summary = good();
    summary.findings.push(finding("SilentLoss", 3, 0));
    assert_eq!(verdict(&summary, &[threshold(LOSS, Some("5"), None)]).0, Verdict::Passed);
    assert_eq!(verdict(&summary, &[threshold(LOSS, Some("2"), None)]).0, Verdict::Failed);
    let other = ThresholdMetric::Ledger(LedgerCount::Reordered);
    assert_eq!(verdict(&summary, &[threshold(other, Some("5"), None)]).0, Verdict::Failed);
}

#[test]
fn unproven_loss_with_a_threshold_is_inconclusive() {
    let mut summary = good();
    summary.coverage = None;
    assert_eq!(verdict(&summary, &[]).0, Verdict::Passed, "nobody asked");
    let (got, reasons) = verdict(&summary, &[threshold(LOSS, Some("0"), None)]);
    assert_eq!(got, Verdict::Inconclusive);
    assert!(reasons.contains("nothing was read back"), "{reasons}");
    summary.findings.push(finding("SilentLoss", 1, 0));
    assert_eq!(verdict(&summary, &[threshold(LOSS, Some("0"), None)]).0, Verdict::Failed, "what is known suffices");

    let mut counts = good();
    counts.coverage.as_mut().unwrap().unproven = vec!["Altered".into()];
    let altered = ThresholdMetric::Ledger(LedgerCount::Altered);
    assert_eq!(verdict(&counts, &[threshold(altered, Some("0"), None)]).0, Verdict::Inconclusive);
    counts.findings.push(finding("Unproven", 10, 0));
    assert_eq!(verdict(&counts, &[threshold(LOSS, Some("0"), None)]).0, Verdict::Inconclusive);
}

#[test]
fn what_the_store_could_not_settle_leaves_the_run_open() {
    let mut summary = good();
    summary.findings.push(finding("Unproven", 10, 0));
    let (got, reasons) = verdict(&summary, &[]);
    assert_eq!(got, Verdict::Inconclusive);
    assert!(reasons.contains("10 samples") && reasons.contains("receiver"), "{reasons}");
    summary.findings.push(finding("SilentLoss", 1, 0));
    assert_eq!(verdict(&summary, &[]).0, Verdict::Failed, "what is known suffices");
    summary.findings.pop();
    summary.coverage = None;
    assert_eq!(verdict(&summary, &[]).0, Verdict::Passed, "nobody looked, and nobody asked");
}

#[test]
fn a_fault_without_one_clear_verdict_leaves_the_run_open() {
    let fault = |expected: &str, [refused, accepted, indeterminate]: [u64; 3], store_refused| {
        let mut summary = good();
        let sent = refused + accepted + indeterminate;
        let (r#type, expected) = ("OutOfOrder".to_owned(), expected.to_owned());
        summary.faults.push(FaultResult {
            r#type,
            expected,
            sent,
            refused,
            accepted,
            indeterminate,
            store_refused,
            ..FaultResult::default()
        });
        verdict(&summary, &[])
    };
    let (got, reasons) = fault("Refused", [0, 0, 74], Some(0));
    assert_eq!(got, Verdict::Inconclusive);
    assert!(reasons.contains("74 samples of OutOfOrder"), "{reasons}");
    assert_eq!(fault("Refused", [0, 0, 74], None).0, Verdict::Inconclusive);
    for clear in [
        fault("Refused", [1, 0, 73], None),
        fault("Refused", [0, 0, 74], Some(74)),
        fault("Refused", [0, 0, 0], None),
        fault("Any", [0, 0, 74], None),
    ] {
        assert_eq!(clear.0, Verdict::Passed, "{}", clear.1);
    }
}

#[test]
fn a_pass_says_no_more_than_is_true() {
    let all = "every one of";
    let mut summary = good();
    assert!(verdict(&summary, &[]).1.contains(all));
    summary.ack_policy = Some("Buffered".into());
    summary.findings.push(finding("AckedLoss", 7, 7));
    let (got, reasons) = verdict(&summary, &[]);
    assert_eq!(got, Verdict::Passed);
    assert!(!reasons.contains(all) && reasons.contains("7 (AckedLoss)"), "{reasons}");
    summary.findings.push(finding("SilentLoss", 3, 0));
    let (got, reasons) = verdict(&summary, &[threshold(LOSS, Some("5"), None)]);
    assert_eq!(got, Verdict::Passed);
    assert!(!reasons.contains(all) && reasons.contains("3 (SilentLoss) and 7 (AckedLoss)"), "{reasons}");
    summary.findings.clear();
    summary.coverage.as_mut().unwrap().share = 0.01;
    let (_, reasons) = verdict(&summary, &[]);
    assert!(!reasons.contains(all) && reasons.contains("1 %"), "{reasons}");
}

fn latency(p99: f64, censored: u64, within: f64) -> Latency {
    let mut latency = Latency::default();
    latency.points.count = 1000;
    latency.points.p99 = p99;
    latency.points.max = p99 * 2.0;
    latency.points.censored = censored;
    latency.curve = vec![(0.5, 1.0), (within, p99), (1.0, p99 * 2.0)];
    latency
}

#[test]
fn latencies_are_held_to_their_bounds() {
    let p99 = ThresholdMetric::Latency(LatencyKind::Response, Percentile::P99);
    let at = |latency: Option<Latency>, max: &str| {
        let mut summary = good();
        summary.latency.response = latency;
        verdict(&summary, &[threshold(p99, Some(max), None)]).0
    };
    assert_eq!(at(Some(latency(249.9, 0, 0.999)), "250ms"), Verdict::Passed);
    assert_eq!(at(Some(latency(250.0, 0, 0.999)), "250ms"), Verdict::Passed);
    assert_eq!(at(Some(latency(250.1, 0, 0.999)), "250ms"), Verdict::Failed);
    assert_eq!(at(None, "250ms"), Verdict::Inconclusive);
    // 1 % of the values were cut off: only 98.9 % are known to lie within.
    assert_eq!(at(Some(latency(200.0, 10, 0.999)), "250ms"), Verdict::Inconclusive);
    assert_eq!(at(Some(latency(200.0, 5, 0.999)), "250ms"), Verdict::Passed);
    assert_eq!(at(Some(latency(300.0, 10, 0.999)), "250ms"), Verdict::Failed);
}

#[test]
fn a_missed_rate_is_inconclusive_and_names_the_limit() {
    let mut summary = good();
    summary.stages[0].reached = false;
    summary.stages[0].acknowledged_in_time = 500;
    summary.limit = Some("all 12 lanes were busy".into());
    let (got, reasons) = verdict(&summary, &[]);
    assert_eq!(got, Verdict::Inconclusive);
    assert!(reasons.contains("stage 0") && reasons.contains("all 12 lanes were busy"), "{reasons}");

    let rate = threshold(ThresholdMetric::RateAchieved, None, Some("60"));
    assert_eq!(verdict(&summary, std::slice::from_ref(&rate)).0, Verdict::Failed, "the threshold takes its place");
    summary.stages[0].acknowledged_in_time = 700;
    assert_eq!(verdict(&summary, std::slice::from_ref(&rate)).0, Verdict::Passed);

    summary.generator_saturated = true;
    summary.stages[0].acknowledged_in_time = 500;
    assert_eq!(verdict(&summary, &[rate]).0, Verdict::Inconclusive, "a saturated generator blames nobody");
    summary.findings.push(finding("SilentLoss", 1, 0));
    assert_eq!(verdict(&summary, &[]).0, Verdict::Failed, "but a loss is a loss");

    let mut cut = good();
    cut.stages[0].reached = false;
    cut.stages[0].cut = true;
    assert_eq!(verdict(&cut, &[]).0, Verdict::Passed, "nobody knows what it would have come to");

    let mut warm = good();
    warm.stages[0].reached = false;
    warm.stages[0].warm_up = true;
    assert_eq!(verdict(&warm, &[]).0, Verdict::Passed);
}

#[test]
fn outside_reasons_come_first() {
    let mut outside = Outside { inconclusive: vec!["generator 1 was lost".into()], ..Outside::default() };
    assert_eq!(decide(&good(), &outside).verdict, Verdict::Inconclusive);
    outside.failures.push("the target answered 403".into());
    let decision = decide(&good(), &outside);
    assert_eq!(decision.verdict, Verdict::Failed);
    assert_eq!(decision.reasons[0], "the target answered 403");
}

#[test]
fn why_nothing_was_acknowledged_comes_before_all_that_follows_from_it() {
    let mut summary = good();
    summary.samples.acknowledged = 0;
    summary.stages[0].reached = false;
    summary.limit = Some("all 12 lanes were busy".into());
    summary.requests.attempts = 1;
    let rate = threshold(ThresholdMetric::RateAchieved, None, Some("2k"));
    let outside = Outside { cause: Some("Connection refused".into()), ..Outside::default() };
    settle(&mut summary, std::slice::from_ref(&rate), &outside);
    assert_eq!(summary.verdict, Verdict::Failed, "a missed threshold is missed all the same");
    assert_eq!(summary.reasons[0], "Connection refused");
    settle(&mut summary, &[], &outside);
    assert_eq!((summary.verdict, summary.reasons[0].as_str()), (Verdict::Inconclusive, "Connection refused"));
    assert!(!summary.reasons.join("\n").contains("lanes"), "{:?}", summary.reasons);
}

#[test]
fn an_interrupt_is_told_and_leaves_a_complete_verification_its_verdict() {
    let outside = Outside { notes: vec!["interrupted".into()], ..Outside::default() };
    let decision = decide(&good(), &outside);
    assert_eq!(decision.verdict, Verdict::Passed);
    assert_eq!(decision.reasons.len(), 2);
    assert_eq!(decision.reasons[1], "interrupted");
}

#[test]
fn a_store_that_was_not_reached_is_not_taken_for_one_that_was_not_named() {
    let mut summary = good();
    summary.coverage = None;
    summary.unread = Some("the run was interrupted before the store was read".into());
    let (got, reasons) = verdict(&summary, &[threshold(LOSS, Some("0"), None)]);
    assert_eq!(got, Verdict::Inconclusive);
    assert!(reasons.contains("interrupted before") && !reasons.contains("use a receiver"), "{reasons}");
}

#[test]
fn every_metric_can_be_measured() {
    let all: Vec<Threshold> = ThresholdMetric::all().map(|metric| threshold(metric, Some("0"), None)).collect();
    let mut summary = good();
    summary.samples.skipped.insert("backlog".into(), 4);
    summary.requests.attempts = 200;
    summary.requests.failed = 1;
    let results = thresholds::evaluate(&all, &summary);
    assert_eq!(results.len(), all.len());
    let of = |name: &str| results.iter().find(|r| r.metric.to_string() == name).unwrap();
    assert_eq!(of("ledger.skipped").value, Some(4.0));
    assert!(!of("ledger.skipped").ok);
    assert_eq!(of("errors.share").text, "0.5 %");
    assert_eq!(of("rate.achieved").value, Some(100.0));
}
