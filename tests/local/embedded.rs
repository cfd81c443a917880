//! Everything from this repository: generator, sink-workers, strict receiver. Nothing has to be installed.

use std::time::{Duration, Instant};

use super::support::documents::{TO_STORE, load_test, load_test_of, receiver, sink};
use super::support::run::{Run, number};

const LIMIT: Duration = Duration::from_secs(120);

const SMALL: &str = "  workload:
    - {name: app, targets: 20, seriesPerTarget: 100, scrapeInterval: 1s, metrics: 20}
  stages:
    - {for: 6s}
  deadline: 60s";

#[test]
fn embedded_run_passes_and_leaves_complete_results() {
    let document = receiver("") + &sink(2, 2, TO_STORE, "") + &load_test(SMALL);
    let ended = Run::start(&document, &[]).end(LIMIT).expect_code(0);
    let summary = ended.summary();
    assert_eq!(summary["verdict"], "Passed");
    // 2000 series, one sample a second, for six seconds.
    assert_eq!(number(&summary, "/samples/generated"), 12_000);
    assert_eq!(number(&summary, "/samples/acknowledged"), 12_000);
    assert_eq!(number(&summary, "/samples/stored"), 12_000);
    assert_eq!(summary["findings"], serde_json::json!([]));
    for file in
        ["summary.json", "report.html", "junit.xml", "response.hlog", "response.hgrm", "service.hlog", "delivery.hlog"]
    {
        let path = ended.results().join(file);
        assert!(path.metadata().is_ok_and(|file| file.len() > 0), "{file} is missing or empty");
    }
}

#[test]
fn embedded_run_of_the_same_seed_generates_the_same_number_of_samples_on_two_generators() {
    let two = SMALL.replace("  deadline", "  generator: {parallelism: 2}\n  deadline");
    let document = receiver("") + &sink(2, 2, TO_STORE, "") + &load_test(&two);
    let summary = Run::start(&document, &[]).end(LIMIT).expect_code(0).summary();
    assert_eq!(number(&summary, "/samples/stored"), 12_000);
}

#[test]
fn a_kill_under_delivered_loses_nothing() {
    let more = "  workload:
    - {name: app, targets: 50, seriesPerTarget: 100, scrapeInterval: 1s, metrics: 20, values: Mixed}
  stages:
    - {for: 12s, rate: 20k}
  chaos:
    - {at: 3s, action: Kill, sinkWorker: 1}
    - {at: 6s, action: Pause, sinkWorker: 0, for: 1s}
    - {at: 8s, action: Terminate, sinkWorker: 2}
  deadline: 90s";
    let document = receiver("") + &sink(3, 2, TO_STORE, "") + &load_test(more);
    let summary = Run::start(&document, &[]).end(LIMIT).expect_code(0).summary();
    assert_eq!(summary["verdict"], "Passed");
    assert_eq!(number(&summary, "/samples/stored"), 240_000);
    for index in 0..3 {
        assert!(
            summary.pointer(&format!("/chaos/{index}/executedAt")).is_some_and(serde_json::Value::is_f64),
            "{}",
            summary["chaos"]
        );
        assert!(
            summary.pointer(&format!("/chaos/{index}/backAfter")).is_some_and(serde_json::Value::is_f64),
            "{}",
            summary["chaos"]
        );
    }
}

#[test]
fn every_injected_fault_is_refused_and_counted() {
    let more = "  workload:
    - {name: app, targets: 50, seriesPerTarget: 100, scrapeInterval: 1s, metrics: 20}
  stages:
    - {for: 10s, rate: 10k}
  faults:
    - {type: OutOfOrder, share: 2%, from: 2s, outOfOrder: {delay: {distribution: Pareto, min: 100ms}}}
    - {type: ConflictingDuplicate, share: 1%, from: 2s}
    - {type: FutureTimestamp, share: 0.5%, from: 2s}
    - {type: MissingMetricName, share: 0.5%}
    - {type: DuplicateLabel, share: 0.5%}
    - {type: InvalidLabelName, share: 0.5%}
    - {type: TruncatedProtobuf, share: 0.5%}
    - {type: CorruptSnappy, share: 0.5%}
  deadline: 60s";
    let document = receiver("") + &sink(3, 2, TO_STORE, "") + &load_test(more);
    let summary = Run::start(&document, &[]).end(LIMIT).expect_code(0).summary();
    let faults = summary["faults"].as_array().expect("faults");
    assert_eq!(faults.len(), 8);
    let mut refused = 0;
    for fault in faults {
        assert_eq!(fault["expected"], "Refused", "{fault}");
        assert_eq!(fault["wrong"], 0, "{fault}");
        assert_eq!(fault["sent"], fault["refused"], "{fault}");
        assert!(fault["sent"].as_u64() > Some(100), "{fault}");
        refused += fault["refused"].as_u64().unwrap_or_default();
    }
    let stored = number(&summary, "/samples/stored");
    assert_eq!(stored + refused, 100_000);
}

#[test]
fn faults_among_good_samples_are_told_apart() {
    let more = "  workload:
    - {name: app, targets: 20, seriesPerTarget: 100, scrapeInterval: 1s, metrics: 20}
  stages:
    - {for: 8s}
  faults:
    - {type: OutOfOrder, share: 1%, from: 2s, placement: Mixed, outOfOrder: {delay: {distribution: Constant, mean: 3s}}}
    - {type: MissingMetricName, share: 0.5%, placement: Mixed}
    - {type: DuplicateLabel, share: 0.5%, placement: Mixed}
  deadline: 60s";
    // A strict receiver answers 400 and keeps the good samples: nothing good is lost, nothing bad is stored.
    let document = receiver("") + &sink(1, 2, TO_STORE, "") + &load_test(more);
    let summary = Run::start(&document, &[]).end(LIMIT).expect_code(0).summary();
    for fault in summary["faults"].as_array().expect("faults") {
        assert_eq!(fault["wrong"], 0, "{fault}");
        assert!(fault["sent"].as_u64() > Some(50), "{fault}");
    }
    assert!(number(&summary, "/samples/stored") > 15_500, "{}", summary["samples"]);
}

#[test]
fn a_store_that_discards_silently_fails_the_run_by_name() {
    let answers = "  answers:\n    - {type: DiscardSilently, from: 3s, for: 500ms}";
    let document = receiver(answers) + &sink(1, 2, TO_STORE, "") + &load_test(SMALL);
    let summary = Run::start(&document, &[]).end(LIMIT).expect_code(1).summary();
    assert_eq!(summary["verdict"], "Failed");
    let loss = finding(&summary, "SilentLoss").unwrap_or_else(|| panic!("no SilentLoss in {}", summary["findings"]));
    let missing = number(&summary, "/samples/acknowledged") - number(&summary, "/samples/stored");
    assert_eq!(loss["count"].as_u64(), Some(missing));
    let examples = loss["examples"].as_array().expect("examples");
    assert!(!examples.is_empty() && examples.len() <= 10);
    assert!(examples[0]["series"].as_str().is_some_and(|series| series.contains("floodmark_run=")), "{}", examples[0]);
}

#[test]
fn lost_answers_are_repeated_and_explained() {
    let answers = "  answers:\n    - {type: CommitThenError, status: 500, from: 2s, every: 7, for: 3s}\n    - {type: CloseBeforeAnswer, from: 2s, every: 11, for: 3s}";
    let document = receiver(answers) + &sink(2, 2, TO_STORE, "") + &load_test(SMALL);
    let summary = Run::start(&document, &[]).end(LIMIT).expect_code(0).summary();
    assert_eq!(number(&summary, "/samples/stored"), 12_000);
    let duplicated = finding(&summary, "Duplicated").expect("repeated requests arrive twice");
    assert_eq!(duplicated["count"], duplicated["explained"], "{duplicated}");
}

/// A request may be taken several times before it gets its answer.
#[test]
fn answers_that_are_lost_again_and_again_are_explained() {
    let answers = "  answers:\n    - {type: CommitThenError, from: 2s, for: 3s}";
    let document = receiver(answers) + &sink(1, 2, TO_STORE, "") + &load_test(SMALL);
    let summary = Run::start(&document, &[]).end(LIMIT).expect_code(0).summary();
    let duplicated = finding(&summary, "Duplicated").expect("repeated requests arrive twice");
    assert_eq!(duplicated["count"], duplicated["explained"], "{duplicated}");
}

/// While the backend is away a buffering worker ends: killed in the warm-up behind its schedule, or asked to end and out of time.
#[test]
fn what_a_buffering_worker_held_at_its_end_is_explained() {
    let away = |length| format!("  answers:\n    - {{type: StatusCode, status: 503, from: 2s, for: {length}}}");
    let small = "  ackPolicy: Buffered\n  buffer: {maxSamples: 1000}\n  batching: {maxSamples: 200}";
    let cases = [
        (away("4s"), small, "[{for: 6s, warmUp: true}, {for: 6s}]", "{at: 5500ms, action: Kill, sinkWorker: 1}"),
        (
            away("7s"),
            "  ackPolicy: Buffered\n  drainTimeout: 1s",
            "[{for: 14s}]",
            "{at: 5s, action: Terminate, sinkWorker: 1}",
        ),
    ];
    for (answers, buffered, stages, step) in cases {
        let more = format!(
            "  workload:
    - {{name: app, targets: 10, seriesPerTarget: 50, scrapeInterval: 1s, metrics: 10}}
  generator: {{samplesPerRequest: 200}}
  stages: {stages}
  chaos: [{step}]
  deadline: 60s"
        );
        let document = receiver(&answers) + &sink(2, 2, TO_STORE, buffered) + &load_test(&more);
        let summary = Run::start(&document, &[]).end(LIMIT).expect_code(0).summary();
        let lost = finding(&summary, "AckedLoss").unwrap_or_else(|| panic!("{step}: {}", summary["findings"]));
        assert_eq!(lost["count"], lost["explained"], "{step}");
        assert!(finding(&summary, "SilentLoss").is_none(), "{step}: {}", summary["findings"]);
        assert_eq!(number(&summary, "/workers/1/accountsLost"), 1, "{step}");
    }
}

#[test]
fn a_store_that_refuses_good_samples_fails_the_run_even_if_it_keeps_them() {
    let answers = "  answers:\n    - {type: CommitThenError, status: 400, from: 2s, every: 5, for: 2s}";
    let document = receiver(answers) + &sink(1, 2, TO_STORE, "") + &load_test(SMALL);
    let summary = Run::start(&document, &[]).end(LIMIT).expect_code(1).summary();
    let refused = finding(&summary, "WronglyRefused").unwrap_or_else(|| panic!("not named: {}", summary["findings"]));
    assert!(refused["count"].as_u64() > Some(0));
}

/// A maximum that is passed ends the test; a minimum that is not reached yet does not.
#[test]
fn a_threshold_with_abort_on_fail_ends_the_test() {
    let thresholds = |more: &str| {
        format!(
            "  workload:
    - {{name: app, targets: 10, seriesPerTarget: 50, scrapeInterval: 1s, metrics: 10}}
  stages: [{{for: 12s}}]
  thresholds:
    - {{metric: rate.achieved, min: '400', max: 1M, abortOnFail: true}}{more}
  deadline: 60s"
        )
    };
    let sink = sink(1, 2, TO_STORE, "");
    let whole = Run::start(&(receiver("") + &sink + &load_test(&thresholds(""))), &[]).end(LIMIT).expect_code(0);
    assert_eq!(number(&whole.summary(), "/samples/generated"), 6000);

    let refuses = receiver("  answers:\n    - {type: StatusCode, status: 400, from: 2s}");
    let more = thresholds("\n    - {metric: errors.share, max: 10%, abortOnFail: true}");
    let cut = Run::start(&(refuses + &sink + &load_test(&more)), &[]).end(LIMIT).expect_code(1).summary();
    let reason = cut["reasons"][0].as_str().expect("a reason");
    assert!(reason.contains("aborted: errors.share is"), "{}", cut["reasons"]);
    assert!(cut["durationSeconds"].as_f64() < Some(9.0), "{}", cut["durationSeconds"]);
}

#[test]
fn faults_are_judged_under_buffered_too() {
    let more = SMALL.replace(
        "  deadline",
        "  faults:\n    - {type: DuplicateLabel, share: 2%}\n    - {type: OutOfOrder, share: 1%, from: 2s}\n  deadline",
    );
    let document = receiver("") + &sink(2, 2, TO_STORE, "  ackPolicy: Buffered") + &load_test(&more);
    let summary = Run::start(&document, &[]).end(LIMIT).expect_code(0).summary();
    for fault in summary["faults"].as_array().expect("faults") {
        assert_eq!(fault["wrong"], 0, "{fault}");
        assert_eq!(fault["sent"], fault["refused"], "{fault}");
    }
}

/// Starts the document, waits until it flows, and kills the first child whose command line holds `which`; gives how long the run
/// went on then.
fn killed_from_outside(document: &str, which: &str) -> (serde_json::Value, Duration) {
    let run = Run::start(document, &[]);
    super::support::wait_until("the run flows", Duration::from_secs(60), || {
        run.output().matches("running").count() >= 2
    });
    let children = run.children();
    let (pid, _) = children.iter().find(|(_, line)| line.contains(which)).expect("the child");
    let pid = rustix::process::Pid::from_raw(i32::try_from(*pid).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("SIGKILL");
    let killed = Instant::now();
    let summary = run.end(LIMIT).summary();
    (summary, killed.elapsed())
}

#[test]
fn a_worker_killed_from_outside_is_told_and_loses_nothing() {
    let document = receiver("") + &sink(2, 2, TO_STORE, "") + &load_test(&SMALL.replace("for: 6s", "for: 12s"));
    let (summary, _) = killed_from_outside(&document, "--ordinal 1");
    assert_eq!(summary["verdict"], "Passed", "{}", summary["reasons"]);
    assert_eq!(number(&summary, "/samples/stored"), 24_000);
    assert!(summary["chaos"].to_string().contains("killed by signal 9"), "{}", summary["chaos"]);
}

#[test]
fn a_lost_store_or_generator_proves_nothing() {
    // What comes after the loss of a store may still be wanted; without its generator a run is over.
    for (which, lasts, ends) in [("receiver --listen", "12s", 30), ("generator --listen", "40s", 10)] {
        let more = SMALL.replace("for: 6s", &format!("for: {lasts}"));
        let document = receiver("") + &sink(1, 2, TO_STORE, "") + &load_test(&more);
        let (summary, later) = killed_from_outside(&document, which);
        assert_eq!(summary["verdict"], "Inconclusive", "{which}: {}", summary["reasons"]);
        assert!(summary["reasons"].to_string().contains("killed by signal 9"), "{which}: {}", summary["reasons"]);
        assert!(later < Duration::from_secs(ends), "{which}: {later:?}");
    }
}

#[test]
fn without_a_sink_the_generator_sends_by_itself() {
    // 202 is a success like any other.
    let answers = "  answers:\n    - {type: StatusCode, status: 202, every: 2}";
    let document = receiver(answers) + &load_test_of("{receiverRef: {name: store}}", SMALL);
    let ended = Run::start(&document, &["--listen", "127.0.0.1:9400"]).end(LIMIT).expect_code(0);
    assert_eq!(number(&ended.summary(), "/samples/stored"), 12_000);
    assert!(ended.stderr.contains("--listen 127.0.0.1:9400 is not used"), "no worker listens: {}", ended.stderr);
}

/// A sink need not say again what the receiver's own document says.
#[test]
fn a_receiver_that_asks_for_credentials_gets_them_from_all_parts() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let secret = |key: &str| {
        let path = folder.path().join(key);
        std::fs::write(&path, key).expect("a file");
        format!("door/{key}={}", path.display())
    };
    let (user, password) = (secret("user"), secret("password"));
    let door = "  basicAuth: {username: {name: door, key: user}, password: {name: door, key: password}}";
    let document = receiver(door) + &sink(1, 2, TO_STORE, "") + &load_test(SMALL);
    let run = Run::start(&document, &["--secret", &user, "--secret", &password]);
    let summary = run.end(LIMIT).expect_code(0).summary();
    assert_eq!(number(&summary, "/samples/stored"), 12_000);
}

#[test]
fn churn_and_every_kind_of_value_are_recomputed_exactly() {
    let groups: String = ["Counter", "Gauge", "Sine", "Sparse", "Histogram", "Constant", "Mixed"]
        .iter()
        .map(|kind| {
            format!(
                "    - {{name: g-{}, targets: 5, seriesPerTarget: 60, scrapeInterval: 500ms, metrics: 5, values: {kind}, churn: {{every: 2s, share: 50%, mode: {}}}}}\n",
                kind.to_lowercase(),
                if *kind == "Sine" { "Spike" } else { "Gradual" }
            )
        })
        .collect();
    let more = format!(
        "  workload:\n{groups}  stages:\n    - {{for: 4s, ramp: true, rate: 4k}}\n    - {{for: 4s}}\n  deadline: 60s"
    );
    let document = receiver("") + &sink(2, 3, TO_STORE, "") + &load_test(&more);
    let summary = Run::start(&document, &[]).end(LIMIT).expect_code(0).summary();
    assert_eq!(summary["samples"]["acknowledged"], summary["samples"]["stored"]);
    assert_eq!(summary["findings"], serde_json::json!([]));
}

#[test]
fn a_missed_threshold_fails_and_is_named() {
    let more = SMALL.replace("  deadline", "  thresholds:\n    - {metric: errors.share, min: 50%}\n  deadline");
    let document = receiver("") + &sink(1, 1, TO_STORE, "") + &load_test(&more);
    let ended = Run::start(&document, &[]).end(LIMIT).expect_code(1);
    assert!(ended.stdout.contains("errors.share"), "{}", ended.stdout);
    let junit = std::fs::read_to_string(ended.results().join("junit.xml")).expect("junit.xml");
    assert!(junit.contains("<failure"), "{junit}");
}

pub fn finding<'a>(summary: &'a serde_json::Value, name: &str) -> Option<&'a serde_json::Value> {
    summary["findings"].as_array()?.iter().find(|finding| finding["name"] == name)
}
