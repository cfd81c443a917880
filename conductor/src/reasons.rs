//! What a run's course and the parts' accounts say about it, in words for the verdict.

use report::verdict::{Outside, generators_own};

use crate::drive::{Course, End};
use crate::gather::Gatherer;
use protocol::ConductorPlan;

/// What the end of the course means for the verdict.
pub(crate) fn tell_end(
    plan: &ConductorPlan,
    course: &Course,
    gatherer: &Gatherer,
    saturated: bool,
    outside: &mut Outside,
) {
    let acknowledged = gatherer.account().acknowledged;
    if acknowledged == 0 {
        outside.cause = cause(&course.end, course.t0.is_some(), gatherer.trouble());
    }
    match &course.end {
        End::Completed | End::NeverReady(_) => {}
        End::Backlog => outside.inconclusive.push(
            "the backlog was not worked off in time after the schedule's end: the rest is counted as skipped or unresolved".into(),
        ),
        End::Interrupted => outside.inconclusive.push("interrupted: this is a partial report".into()),
        End::Lost(part) => outside.inconclusive.push(format!("a part was lost for good: {part}")),
        End::Fatal(_) if acknowledged == 0 => {}
        End::Fatal(why) => outside.failures.push(format!("the run could not go on: {why}")),
        End::Deadline => outside.inconclusive.push("the deadline passed before the run was over".into()),
        End::Threshold(metric, what) if saturated && generators_own(*metric) => {
            outside.inconclusive.push(format!("aborted: {what}, but the generator was saturated"));
        }
        End::Threshold(_, what) => outside.failures.push(format!("aborted: {what}")),
    }
    if course.t0.is_some() && !course.complete && course.end == End::Completed {
        outside.inconclusive.push("a generator's report could not be taken".into());
    }
    if course.t0.is_some() && !matches!(course.end, End::Lost(_)) {
        let reports = gatherer.generator_lives.iter().filter_map(|life| life.report.as_ref());
        outside.inconclusive.extend(reports.filter(|report| !report.state.is_final()).map(|report| {
            let index = report.index;
            format!("generator {index} did not close its account: what it had in flight or had still to send is in no figure")
        }));
    }
    if plan.ack_policy == Some(api::AckPolicy::Buffered) {
        match course.left_buffered {
            Ok(0) => {}
            Ok(samples) => outside.inconclusive.push(format!(
                "sink-workers still held {samples} acknowledged samples when their time was up: raise spec.drainTimeout or look at the backend"
            )),
            Err(ordinal) => outside.inconclusive.push(format!(
                "sink-worker {ordinal} did not say what it still holds: acknowledged samples in it are neither stored nor lost; see its log"
            )),
        }
    }
}

/// Why not one sample was acknowledged; `trouble` is the last that anybody had with the target.
fn cause(end: &End, begun: bool, trouble: Option<String>) -> Option<String> {
    match (end, trouble) {
        (End::NeverReady(what), _) => Some(format!("not ready in time, so nothing was sent: {what}")),
        (End::Fatal(why), _) => Some(format!("refused before the first acknowledgement: {why}")),
        (End::Lost(_), _) => None,
        _ if !begun => None,
        (_, Some(why)) => Some(format!("not one sample was acknowledged: {why}")),
        (End::Interrupted, None) => None,
        (_, None) => Some("not one sample was acknowledged: the target never answered".into()),
    }
}

/// Under Buffered a worker answers before the backend does: what it then could not deliver, it had promised.
pub(crate) fn workers_kept_their_word(plan: &ConductorPlan, gatherer: &Gatherer, outside: &mut Outside) {
    if plan.ack_policy != Some(api::AckPolicy::Buffered) {
        return;
    }
    let accounts = || gatherer.worker_lives.values().map(|life| &life.report.account);
    let revoked: u64 = accounts().map(|account| account.revoked).sum();
    let ambiguous: u64 = accounts().map(|account| account.ambiguous).sum();
    if revoked > 0 {
        outside.failures.push(format!(
            "sink-workers acknowledged {revoked} samples that the backend then refused or that they dropped"
        ));
    }
    if ambiguous > 0 && !plan.reads_store() {
        outside.inconclusive.push(format!("nobody can say what the backend kept of {ambiguous} acknowledged samples"));
    }
}

/// A hop whose figures do not add up, or are not all there, proves nothing.
pub(crate) fn accounts_balance(gatherer: &Gatherer, outside: &mut Outside) {
    for report in gatherer.generator_lives.iter().filter_map(|life| life.report.as_ref()) {
        if let Err(imbalance) = report.account.balance() {
            outside.inconclusive.push(imbalance.to_string());
        }
        if report.exceptions_truncated {
            outside.inconclusive.push(format!(
                "generator {} does not name all samples without an acknowledgement: of the rest nobody can say what became of them",
                report.index
            ));
        }
    }
    for life in gatherer.worker_lives.values() {
        if let Err(imbalance) = life.report.account.balance() {
            outside.inconclusive.push(imbalance.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use api::{LatencyKind, Percentile, ThresholdMetric};
    use ledger::WorkerAccount;

    use super::*;
    use crate::gather::{GeneratorLife, WorkerLife};

    fn plan() -> ConductorPlan {
        let test: api::LoadTestSpec =
            serde_json::from_str(r#"{"target": {"sinkRef": {"name": "sink"}}, "workload": [], "stages": []}"#).unwrap();
        ConductorPlan {
            name: "test".into(),
            run: "run".into(),
            document: String::new(),
            command: String::new(),
            test,
            profile: Some(api::Profile::Strict),
            target: protocol::Target::Sink { workers: Vec::new() },
            target_text: String::new(),
            ack_policy: Some(api::AckPolicy::Buffered),
            lanes: 1,
            batch_samples: 1,
            generators: Vec::new(),
            workers: Vec::new(),
            receivers: Vec::new(),
            read_back: None,
            ready_timeout: std::time::Duration::ZERO,
            drain_timeout: std::time::Duration::ZERO,
        }
    }

    fn gatherer() -> Gatherer {
        Gatherer::new(std::sync::Arc::default(), "r", &[], &[], &[]).unwrap()
    }

    /// What a generator says besides its account and exceptions.
    fn generator(account: &str, truncated: bool) -> GeneratorLife {
        let report = format!(
            r#"{{"index": 0, "incarnation": "g", "state": {{"state": "done"}}, "replicas": 1, "lanes": 1,
            "account": {account}, "requests": 0, "attempts": 0, "failedAttempts": 0, "retries": 0, "stages": [], "faults": [],
            "exceptions": [], "exceptionsTruncated": {truncated}, "lanesBusyShare": 0, "lateRequests": 0, "backlogSeconds": 0,
            "lastError": null, "cpu": {{"cpuSeconds": 0, "runQueueSeconds": 0, "wallSeconds": 0, "rssBytes": 0}}}}"#
        );
        GeneratorLife { report: Some(serde_json::from_str(&report).unwrap()), ..GeneratorLife::default() }
    }

    #[test]
    fn what_workers_promised_and_lost_does_not_hide_behind_what_they_never_took() {
        let mut gatherer = gatherer();
        // Far more was refused than was lost: requests that no worker can read.
        gatherer.generator_lives.push(generator(r#"{"generated": 500, "refused": {"status_400": 500}}"#, false));
        let account = WorkerAccount { accepted: 126, revoked: 126, ..WorkerAccount::default() };
        let account = WorkerAccount { rejected: [("status_400".to_owned(), 126)].into(), ..account };
        let cpu = serde_json::from_str(r#"{"cpuSeconds": 0, "runQueueSeconds": 0, "wallSeconds": 0, "rssBytes": 0}"#);
        let report = protocol::WorkerReport {
            ordinal: 0,
            epoch: 1,
            drained: None,
            run: None,
            account,
            closed: false,
            fatal: None,
            unreachable: None,
            last_error: None,
            stalls: Vec::new(),
            cpu: cpu.unwrap(),
        };
        gatherer
            .worker_lives
            .insert((0, "w".into()), WorkerLife { report, histograms: None, first_seen: 0, last_asked: 0 });
        let mut outside = Outside::default();
        workers_kept_their_word(&plan(), &gatherer, &mut outside);
        assert!(outside.failures.len() == 1 && outside.failures[0].contains("126 samples"), "{outside:?}");
        let mut outside = Outside::default();
        let delivered = ConductorPlan { ack_policy: Some(api::AckPolicy::Delivered), ..plan() };
        workers_kept_their_word(&delivered, &gatherer, &mut outside);
        assert_eq!(outside, Outside::default());
    }

    #[test]
    fn a_worker_that_does_not_say_what_it_holds_leaves_the_run_open() {
        let worker = ["http://127.0.0.1:9".to_owned()];
        let silent = Gatherer::new(std::sync::Arc::default(), "r", &[], &worker, &[]).unwrap();
        assert_eq!((silent.buffered(), gatherer().buffered()), (Err(0), Ok(0)));
        for (left_buffered, told) in
            [(silent.buffered(), "sink-worker 0 did not say"), (Ok(7), "still held 7"), (Ok(0), "")]
        {
            let course = Course { t0: Some(1), complete: true, left_buffered, ..Course::under_way(None) };
            let mut outside = Outside::default();
            tell_end(&plan(), &course, &silent, false, &mut outside);
            assert_eq!(outside.inconclusive.len(), usize::from(!told.is_empty()), "{outside:?}");
            assert!(outside.inconclusive.iter().all(|reason| reason.contains(told)), "{outside:?}");
            let mut outside = Outside::default();
            let delivered = ConductorPlan { ack_policy: Some(api::AckPolicy::Delivered), ..plan() };
            tell_end(&delivered, &course, &silent, false, &mut outside);
            assert_eq!(outside.inconclusive, [""; 0]);
        }
    }

    #[test]
    fn a_list_of_exceptions_that_is_not_complete_proves_nothing() {
        for truncated in [true, false] {
            let mut gatherer = gatherer();
            gatherer.generator_lives.push(generator("{}", truncated));
            let mut outside = Outside::default();
            accounts_balance(&gatherer, &mut outside);
            assert_eq!(outside.inconclusive.len(), usize::from(truncated), "{outside:?}");
            assert!(outside.failures.is_empty());
        }
    }

    #[test]
    fn a_saturated_generator_aborts_without_blame_for_its_own_latencies() {
        let p99 = ThresholdMetric::Latency(LatencyKind::Response, Percentile::P99);
        for (metric, saturated, fails) in
            [(p99, true, false), (p99, false, true), (ThresholdMetric::DropsTotal, true, true)]
        {
            let course = Course { end: End::Threshold(metric, "missed".into()), ..Course::under_way(Some(1)) };
            let mut outside = Outside::default();
            tell_end(&plan(), &course, &gatherer(), saturated, &mut outside);
            assert_eq!((outside.failures.len(), outside.inconclusive.len()), if fails { (1, 0) } else { (0, 1) });
        }
    }

    #[test]
    fn what_kept_everything_from_being_acknowledged_is_told_with_its_cause() {
        let trouble = || Some("sink-worker 0: http://127.0.0.1:9: Connection refused".to_owned());
        for end in [
            End::Completed,
            End::Backlog,
            End::Interrupted,
            End::Deadline,
            End::Threshold(ThresholdMetric::DropsTotal, "drops".into()),
        ] {
            let told = cause(&end, true, trouble()).unwrap();
            assert!(told.contains("Connection refused"), "{end:?}: {told}");
            assert_eq!(cause(&end, false, trouble()), None, "nothing was sent yet: {end:?}");
        }
        assert!(cause(&End::Fatal("401 Unauthorized".into()), true, trouble()).unwrap().ends_with("401 Unauthorized"));
        assert!(cause(&End::NeverReady("receiver 0".into()), false, None).unwrap().ends_with("receiver 0"));
        assert_eq!(cause(&End::Interrupted, true, None), None, "it only just began");
        assert!(cause(&End::Completed, true, None).is_some());
    }
}
