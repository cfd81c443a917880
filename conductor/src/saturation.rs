//! What held a run back: the generators themselves, or the target's concurrency.

use api::Threshold;
use report::Summary;
use report::verdict::generators_own;

use crate::gather::Gatherer;

/// Share of the wall time that a generator's threads may wait for a processor.
const STARVED: f64 = 0.10;
/// Share of a generator's requests that may leave late through its own fault.
const LATE: f64 = 0.01;

/// Was the generator the limit, or the target's concurrency, or neither?
pub(crate) fn saturation(summary: &mut Summary, thresholds: &[Threshold], gatherer: &Gatherer) {
    let missed = summary.stages.iter().any(|stage| !stage.reached && !stage.warm_up);
    // One that leaves late reaches its rate all the same, and misses what is measured from the instant that was meant.
    let felt = missed
        || report::thresholds::evaluate(thresholds, summary)
            .iter()
            .any(|threshold| threshold.proven && !threshold.ok && generators_own(threshold.metric));
    let mut limits = Vec::new();
    for report in gatherer.generator_lives.iter().filter_map(|life| life.report.as_ref()) {
        let requests = report.requests.max(1);
        let late = report.late_requests as f64 / requests as f64;
        let waited =
            if report.cpu.wall_seconds > 0.0 { report.cpu.run_queue_seconds / report.cpu.wall_seconds } else { 0.0 };
        let own = [
            (late > LATE).then(|| format!("{:.1} % of its requests left late although their lane was idle: give it more processors or raise spec.generator.parallelism", late * 100.0)),
            (waited > STARVED).then(|| format!("its threads waited for a processor for {:.0} % of the time: the machine was the limit", waited * 100.0)),
        ];
        for why in own.into_iter().flatten().filter(|_| felt) {
            summary.generator_saturated = true;
            limits.push(format!("generator {}: {why}", report.index));
        }
        // Busy lanes are no limit where nothing came back at all.
        if missed && report.lanes_busy_share > 0.9 && !summary.generator_saturated && summary.samples.acknowledged > 0 {
            limits.push(format!(
                "concurrency: the lanes were busy {:.0} % of the time; a target sustains at most lanes × samplesPerRequest ÷ round trip ({} lanes here)",
                report.lanes_busy_share * 100.0,
                report.lanes
            ));
        }
        if missed && let Some(error) = &report.last_error {
            limits.push(format!("last trouble of generator {}: {error}", report.index));
        }
    }
    if !limits.is_empty() {
        summary.limit = Some(limits.join("; "));
    }
}

#[cfg(test)]
mod tests {
    use measure::Percentiles;
    use report::verdict::{Outside, settle};
    use report::{Latency, StageResult, Verdict};

    use super::*;
    use crate::gather::GeneratorLife;

    fn generator(late: u64, waited: f64) -> GeneratorLife {
        let report = format!(
            r#"{{"index": 0, "incarnation": "g", "state": {{"state": "done"}}, "replicas": 1, "lanes": 1, "account": {{}},
            "requests": 1000, "attempts": 1000, "failedAttempts": 0, "retries": 0, "stages": [], "faults": [], "exceptions": [],
            "exceptionsTruncated": false, "lanesBusyShare": 0, "lateRequests": {late}, "backlogSeconds": 0, "lastError": null,
            "cpu": {{"cpuSeconds": 1, "runQueueSeconds": {waited}, "wallSeconds": 10, "rssBytes": 0}}}}"#
        );
        GeneratorLife { report: Some(serde_json::from_str(&report).unwrap()), ..GeneratorLife::default() }
    }

    /// All stages reached their rate: only the percentile tells.
    #[test]
    fn a_generator_that_is_late_blames_no_target_for_a_percentile() {
        for (late, waited, p99, max, verdict) in [
            (20, 0.0, 300.0, "250ms", Verdict::Inconclusive),
            (0, 2.0, 300.0, "250ms", Verdict::Inconclusive),
            (0, 0.0, 300.0, "250ms", Verdict::Failed),
            (20, 2.0, 200.0, "250ms", Verdict::Passed),
        ] {
            let mut gatherer = Gatherer::new(std::sync::Arc::default(), "r", &[], &[], &[]).unwrap();
            gatherer.generator_lives.push(generator(late, waited));
            let threshold = format!(r#"{{"metric": "response.p99", "max": "{max}"}}"#);
            let thresholds: [Threshold; 1] = [serde_json::from_str(&threshold).unwrap()];
            let stage =
                StageResult { r#for: 10.0, due: 1000, acknowledged_in_time: 1000, reached: true, ..Default::default() };
            let mut summary = Summary { stages: vec![stage], ..Summary::default() };
            let points = Percentiles { p99, count: 1000, ..Percentiles::default() };
            summary.latency.response = Some(Latency { points, ..Latency::default() });
            saturation(&mut summary, &thresholds, &gatherer);
            settle(&mut summary, &thresholds, &Outside::default());
            assert_eq!(summary.verdict, verdict, "late {late}, waited {waited}: {:?}", summary.reasons);
        }
    }
}
