//! Each rule between fields, and each capability that is not available yet: one spoiled document a line.

#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    clippy::wildcard_imports,
    reason = "texts of tests are small"
)]

mod common;

use common::{FULL, RECEIVER, SINK, TEST, problems, read};

/// Appends fields to a spec, expects exactly one problem, and that it starts with field and message.
fn expect(document: &str, fields: &str, expected: &str) {
    let report = problems(&format!("{document}  {fields}\n"));
    assert!(
        report.lines().any(|line| line.split_once(": ").is_some_and(|(_, rest)| rest.starts_with(expected))),
        "{fields}\n{report}\n{expected}"
    );
    assert_eq!(report.lines().count(), 1, "{fields}\n{report}");
}

fn expect_all(document: &str, cases: &[(&str, &str)]) {
    for (fields, expected) in cases {
        expect(document, fields, expected);
    }
}

const SINK_ONLY: &str = "apiVersion: floodmark.dev/v1alpha1
kind: RemoteWriteSink
metadata: {name: sink}
spec:
";

#[test]
fn a_backend_is_one_usable_address() {
    expect_all(
        SINK_ONLY,
        &[
            ("backend: {}", "spec.backend: exactly one of url, receiverRef is needed: none is given"),
            ("backend: {url: \" \"}", "spec.backend.url: the URL is blank"),
            ("backend: {url: \"\"}", "spec.backend.url: is empty"),
            ("backend: {url: \"http://h:x/\"}", "spec.backend.url: \"x\" is not a port"),
            ("backend: {url: \"http://h/\", requestTimeout: 0s}", "spec.backend.requestTimeout: 0s is out of range"),
            (
                "backend: {url: \"http://h/\", requestTimeout: -1s}",
                "spec.backend.requestTimeout: \"-1s\" is not a duration",
            ),
            ("backend: {url: \"http://h/\", userAgent: \" \"}", "spec.backend.userAgent: is blank"),
            ("backend: {url: \"http://h/\", tlsConfig: {}}", "spec.backend.tlsConfig: needs an https URL"),
            (
                "backend: {url: \"https://h/\", tlsConfig: {ca: {}}}",
                "spec.backend.tlsConfig.ca: exactly one of secret, configMap",
            ),
            (
                "backend: {url: \"https://h/\", tlsConfig: {keySecret: {name: a, key: b}}}",
                "spec.backend.tlsConfig: cert and keySecret belong together",
            ),
            (
                "backend: {url: \"http://h/\", authorization: {type: Basic, credentials: {name: a, key: b}}}",
                "spec.backend.authorization.type: Basic is not possible",
            ),
            (
                "backend: {url: \"http://h/\", authorization: {credentials: {name: A, key: b}}}",
                "spec.backend.authorization.credentials.name: \"A\" is not",
            ),
            (
                "backend: {url: \"http://h/\", authorization: {credentials: {name: a, key: ../b}}}",
                "spec.backend.authorization.credentials.key: \"../b\" is not",
            ),
            (
                "backend: {url: \"http://h/\", authorization: {credentials: {name: a, key: b}}, basicAuth: {username: {name: a, key: b}, password: {name: a, key: b}}}",
                "spec.backend: at most one of basicAuth, authorization, sigv4 is possible",
            ),
            ("backend: {receiverRef: {name: r}}", "spec.backend.receiverRef.name: no RemoteWriteReceiver \"r\""),
        ],
    );
}

#[test]
fn a_backend_has_one_address_only() {
    let both = "  backend: {url: \"http://h/\", receiverRef: {name: receiver}}\n";
    let report = problems(&format!("{SINK_ONLY}{both}---\n{RECEIVER}"));
    assert_eq!(
        report,
        "file.yaml:5:3: spec.backend: exactly one of url, receiverRef is needed: url and receiverRef are given, remove all but one"
    );
}

#[test]
fn headers_of_the_protocol_are_reserved() {
    let header = |header: &str| format!("backend: {{url: \"http://h/\", headers: [{header}]}}");
    for (text, expected) in [
        ("{name: content-ENCODING, value: x}", "spec.backend.headers[0].name: content-ENCODING is reserved"),
        ("{name: X-Prometheus-Remote-Write-Version, value: x}", "spec.backend.headers[0].name: X-Prometheus"),
        (
            "{name: User-Agent, value: x}",
            "spec.backend.headers[0].name: User-Agent is reserved (write it in userAgent)",
        ),
        ("{name: Floodmark-Epoch, value: x}", "spec.backend.headers[0].name: Floodmark-Epoch is reserved"),
        ("{name: \"a b\", value: x}", "spec.backend.headers[0].name: \"a b\" is not the name"),
        ("{name: a, value: \"x\\r\\ny: z\"}", "spec.backend.headers[0].value: has characters"),
        ("{name: a}", "spec.backend.headers[0]: exactly one of value, valueFrom"),
        ("{name: a, value: x}, {name: A, value: z}", "spec.backend.headers[1].name: A is given twice"),
    ] {
        expect(SINK_ONLY, &header(text), expected);
    }
}

#[test]
fn a_sink_s_numbers_fit_together() {
    expect_all(
        SINK,
        &[
            ("replicas: 0", "spec.replicas: 0 is out of range: write a number from 1 to 256"),
            ("replicas: 257", "spec.replicas: 257 is out of range"),
            ("replicas: -1", "spec.replicas: -1 is out of range"),
            ("lanes: 0", "spec.lanes: 0 is out of range"),
            ("batching: {maxSamples: 0}", "spec.batching.maxSamples: 0 is out of range"),
            ("batching: {maxSamples: -1}", "spec.batching.maxSamples: \"-1\" is not a count"),
            ("batching: {maxDelay: 0s}", "spec.batching.maxDelay: 0s is out of range"),
            (
                "batching: {maxSamples: 3k}\n  buffer: {maxSamples: 2k}",
                "spec.batching.maxSamples: 3k is more than buffer.maxSamples, 2k",
            ),
            ("buffer: {maxBytes: 1Ki}", "spec.buffer.maxBytes: 1Ki is out of range: write a size from 1Mi to 64Ti"),
            ("retry: {initialDelay: 0s}", "spec.retry.initialDelay: 0s is out of range"),
            ("retry: {initialDelay: 2s, maxDelay: 1s}", "spec.retry.maxDelay: 1s is less than initialDelay, 2s"),
            ("retry: {maxAttempts: 0}", "spec.retry.maxAttempts: 0 is out of range"),
            ("retry: {onExhausted: Retry}", "spec.retry.onExhausted: \"Retry\" is not one of Fail, Discard"),
            ("ownership: {by: Series, labels: [job]}", "spec.ownership.labels: is only used with by: Labels"),
            (
                "onRejected: {action: DropBatch, maxExtraRequests: 5}",
                "spec.onRejected.maxExtraRequests: is only used with action Isolate",
            ),
            ("drainTimeout: 0s", "spec.drainTimeout: 0s is out of range"),
            ("pod: {bogus: 1}", "spec.pod.bogus: there is no such field"),
        ],
    );
    assert!(read(&format!("{SINK}  retry: {{initialDelay: 1s, maxDelay: 1s}}\n")).is_ok());
    assert!(read(&format!("{SINK}  batching: {{maxSamples: 2k}}\n  buffer: {{maxSamples: 2k}}\n")).is_ok());
}

#[test]
fn answers_take_what_their_type_uses() {
    expect_all(
        RECEIVER,
        &[
            ("answers: [{type: Hang, status: 500}]", "spec.answers[0].status: is not used with Hang"),
            (
                "answers: [{type: Redirect, status: 200}]",
                "spec.answers[0].status: 200 does not go with Redirect: write a status from 300 to 399",
            ),
            ("answers: [{type: StatusCode, status: 600}]", "spec.answers[0].status: 600 is out of range"),
            ("answers: [{type: RetryAfter}]", "spec.answers[0].retryAfter: is missing"),
            ("answers: [{type: StatusCode, period: 1s}]", "spec.answers[0].period: is not used with StatusCode"),
            (
                "answers: [{type: StatusCode, every: 2, share: 1%}]",
                "spec.answers[0]: every and share exclude each other",
            ),
            ("answers: [{type: StatusCode, share: 0%}]", "spec.answers[0].share: 0% is never"),
            ("answers: [{type: StatusCode, for: 0s}]", "spec.answers[0].for: 0s is out of range"),
            ("answers: [{type: LargeErrorBody, bodySize: 1Gi}]", "spec.answers[0].bodySize: 1Gi is out of range"),
            ("maxSeries: 0", "spec.maxSeries: 0 is out of range"),
        ],
    );
}

#[test]
fn a_workload_is_bounded_and_well_named() {
    let group = |group: &str| TEST.replace("{name: app, targets: 10, seriesPerTarget: 100, scrapeInterval: 1s}", group);
    for (fields, expected) in [
        ("{name: app, targets: 0, seriesPerTarget: 100}", "spec.workload[0].targets: 0 is out of range"),
        ("{name: a b, targets: 1, seriesPerTarget: 100}", "spec.workload[0].name: \"a b\" is not a name of a group"),
        ("{name: app, targets: 1, seriesPerTarget: 5}", "spec.workload[0].metrics: 10 metric names for 5 series"),
        (
            "{name: app, targets: 1M, seriesPerTarget: 5}",
            "spec.workload[0].targets: the text \"1M\" was found: write a whole number",
        ),
        ("{name: app, targets: 1000000, seriesPerTarget: 101}", "spec.workload[0]: 101M series"),
        (
            "{name: app, targets: 1, seriesPerTarget: 100, scrapeInterval: 0s}",
            "spec.workload[0].scrapeInterval: 0s is out of range",
        ),
        (
            "{name: app, targets: 1, seriesPerTarget: 100, labels: {count: 4}}",
            "spec.workload[0].labels.count: 4 is out of range",
        ),
        (
            "{name: app, targets: 1, seriesPerTarget: 100, labels: {count: 41}}",
            "spec.workload[0].labels.count: 41 is out of range",
        ),
        (
            "{name: app, targets: 1, seriesPerTarget: 100, churn: {every: 1m, share: 0%}}",
            "spec.workload[0].churn.share: 0% is no churn",
        ),
        (
            "{name: app, targets: 1, seriesPerTarget: 100, churn: {every: 1m, share: 101%}}",
            "spec.workload[0].churn.share: \"101%\" is not a share",
        ),
        (
            "{name: app, targets: 1, seriesPerTarget: 100, values: Conter}",
            "spec.workload[0].values: \"Conter\" is not one of",
        ),
        (
            "{name: a, targets: 1, seriesPerTarget: 10}\n    - {name: a, targets: 1, seriesPerTarget: 10}",
            "spec.workload[1].name: a is given twice",
        ),
        (
            "{name: a, targets: 600000, seriesPerTarget: 100}\n    - {name: b, targets: 600000, seriesPerTarget: 100}",
            "spec.workload: 120M series",
        ),
    ] {
        let report = problems(&group(fields));
        assert!(report.contains(expected) && report.lines().count() == 1, "{fields}\n{report}\n{expected}");
    }
}

#[test]
fn stages_stay_below_a_sample_a_millisecond_and_series() {
    let stages = |stages: &str| TEST.replace("[{for: 30s}]", stages);
    // 1000 series: one million samples a second are 1000 a second each.
    assert!(read(&stages("[{for: 1s, rate: 999999}]")).is_ok());
    let report = problems(&stages("[{for: 1s}, {for: 1s, rate: 1000001}]"));
    assert!(
        report.contains("spec.stages[1].rate: 1000001 samples a second are 1000 a second for each series of group app"),
        "{report}"
    );
    for (text, expected) in [
        ("[]", "spec.stages: has 0 entries: at least 1"),
        ("[{for: 0s}]", "spec.stages[0].for: 0s is out of range"),
        ("[{for: 1s, rate: 0}]", "spec.stages[0].rate: 0 sends nothing"),
        ("[{for: 400h}, {for: 400h}]", "spec.stages: 800h in all is too long"),
        ("[{rate: 1}]", "spec.stages[0].for: is missing"),
        ("{for: 1s}", "spec.stages: a map was found: write a list"),
        ("[{for: 30s}]\n  deadline: 30s", "spec.deadline: 30s has to be more than all stages take, 30s"),
    ] {
        let report = problems(&stages(text));
        assert!(report.contains(expected) && report.lines().count() == 1, "{text}\n{report}\n{expected}");
    }
}

#[test]
fn rates_count_the_fastest_group() {
    let text = TEST.replace(
        "scrapeInterval: 1s}",
        "scrapeInterval: 1s}\n    - {name: fast, targets: 1, seriesPerTarget: 10, scrapeInterval: 10ms}",
    );
    // Natural: 1000 + 1000 a second; ten times that is 1000 a second for each fast series.
    assert!(read(&text.replace("{for: 30s}", "{for: 30s, rate: 19999}")).is_ok());
    let report = problems(&text.replace("{for: 30s}", "{for: 30s, rate: 20001}"));
    assert!(report.contains("each series of group fast") && report.contains("write at most 19999,"), "{report}");
}

#[test]
fn faults_and_chaos_take_what_they_use() {
    expect_all(
        TEST,
        &[
            ("faults: [{type: OutOfOrder, share: 26%}]", "spec.faults[0].share: 26% is too much"),
            ("faults: [{type: ConflictingDuplicate, share: 30%}]", "spec.faults[0].share: 30% is too much"),
            ("faults: [{type: DuplicateLabel, share: 0%}]", "spec.faults[0].share: 0% is never"),
            ("faults: [{type: DuplicateLabel, share: 0.5}]", "spec.faults[0].share: \"0.5\" is not a share"),
            (
                "faults: [{type: DuplicateLabel, share: 1%, from: 30s}]",
                "spec.faults[0].from: 30s is not before the end of the stages, 30s",
            ),
            (
                "faults: [{type: DuplicateLabel, share: 1%, outOfOrder: {}}]",
                "spec.faults[0].outOfOrder: is not used with DuplicateLabel",
            ),
            (
                "faults: [{type: OutOfOrder, share: 1%, outOfOrder: {delay: {distribution: Uniform, max: 1s}}}]",
                "spec.faults[0].outOfOrder.delay.min: Uniform needs it",
            ),
            (
                "faults: [{type: OutOfOrder, share: 1%, outOfOrder: {delay: {distribution: Uniform, min: 2s, max: 1s}}}]",
                "spec.faults[0].outOfOrder.delay.max: 1s is less than 2s",
            ),
            (
                "faults: [{type: OutOfOrder, share: 1%, outOfOrder: {delay: {distribution: Pareto, min: 2s, shape: 0}}}]",
                "spec.faults[0].outOfOrder.delay.shape: 0 is out of range",
            ),
            (
                "faults: [{type: OutOfOrdr, share: 1%}]",
                "spec.faults[0].type: \"OutOfOrdr\" is not known: did you mean OutOfOrder?",
            ),
            ("chaos: [{at: 1s, action: Kill, sinkWorker: 0}]", "spec.chaos: acts on the workers of a sink"),
            ("generator: {parallelism: 11}", "spec.generator.parallelism: 11 generators share 10 targets"),
            ("generator: {connections: 0}", "spec.generator.connections: 0 is out of range"),
            ("seed: -1", "spec.seed: -1 is out of range"),
            ("readBack: {}", "spec.readBack: exactly one of prometheus, victoriaMetrics is needed"),
            ("overload: {maxBacklog: 0s}", "spec.overload.maxBacklog: 0s is out of range"),
        ],
    );
}

#[test]
fn chaos_and_requests_fit_the_sink() {
    let chaos = "[{at: 45s, action: Kill, sinkWorker: 1}, {at: 50s, action: Pause, sinkWorker: 2, for: 10s}]";
    for (from, to, expected) in [
        (
            chaos,
            "[{at: 1s, action: Kill, sinkWorker: 3}]",
            "spec.chaos[0].sinkWorker: worker 3 does not exist: sink sink has 3 replicas, write 0 to 2",
        ),
        (chaos, "[{at: 1s, action: Kill}]", "spec.chaos[0].sinkWorker: Kill needs the ordinal"),
        (chaos, "[{at: 1s, action: Pause, sinkWorker: 0}]", "spec.chaos[0].for: Pause needs a time"),
        (chaos, "[{at: 1s, action: Kill, sinkWorker: 0, for: 1s}]", "spec.chaos[0].for: is not used with Kill"),
        (
            chaos,
            "[{at: 1s, action: Restart, sinkWorker: 0, replicas: 2}]",
            "spec.chaos[0].replicas: is not used with Restart",
        ),
        (
            chaos,
            "[{at: 150s, action: Kill, sinkWorker: 0}]",
            "spec.chaos[0].at: 2m30s is not before the end of the stages, 2m30s",
        ),
        (
            "samplesPerRequest: 2000",
            "samplesPerRequest: 2000, connections: 4",
            "spec.generator.connections: is not used with a sink",
        ),
        (
            "samplesPerRequest: 2000",
            "samplesPerRequest: 5000",
            "spec.generator.samplesPerRequest: 5k samples never fit",
        ),
        (
            "sinkRef: {name: sink}",
            "sinkRef: {name: sink}, receiverRef: {name: receiver}",
            "spec.target: exactly one of sinkRef, receiverRef, endpoint",
        ),
    ] {
        assert!(FULL.contains(from));
        let text = FULL.replace(from, to).replace("maxSamples: 1M", "maxSamples: 4k");
        let report = problems(&text);
        assert!(report.contains(expected) && report.lines().count() == 1, "{to}\n{report}\n{expected}");
    }
}

#[test]
fn thresholds_have_limits_of_their_unit() {
    expect_all(
        TEST,
        &[
            ("thresholds: [{metric: response.p99}]", "spec.thresholds[0]: needs max or min: write max with a duration"),
            (
                "thresholds: [{metric: response.p99, max: 250}]",
                "spec.thresholds[0].max: \"250\" is not a duration: response.p99 takes a duration",
            ),
            (
                "thresholds: [{metric: drops.total, max: 1s}]",
                "spec.thresholds[0].max: \"1s\" is not a count: drops.total takes a count",
            ),
            (
                "thresholds: [{metric: errors.share, max: 5}]",
                "spec.thresholds[0].max: \"5\" is not a share: errors.share takes a percentage",
            ),
            ("thresholds: [{metric: response.p99, max: banana}]", "spec.thresholds[0].max: \"banana\" is not a limit"),
            (
                "thresholds: [{metric: response.p98, max: 1s}]",
                "spec.thresholds[0].metric: \"response.p98\" is not known: did you mean response.p9",
            ),
            ("thresholds: [{metric: rate.achieved, min: 2k, max: 1k}]", "spec.thresholds[0].min: is more than max"),
        ],
    );
    let all: String = floodmark_api::ThresholdMetric::all()
        .map(|metric| {
            let limit = match metric.unit() {
                floodmark_api::Unit::Duration => "1s",
                floodmark_api::Unit::Count | floodmark_api::Unit::Rate => "1k",
                floodmark_api::Unit::Share => "1%",
            };
            format!("    - {{metric: {metric}, max: {limit}}}\n")
        })
        .collect();
    assert_eq!(all.lines().count(), 5 * 6 + 5 + 12);
    assert!(read(&format!("{TEST}  thresholds:\n{all}")).is_ok());
}

#[test]
fn what_is_not_available_yet_is_refused_by_name() {
    expect_all(
        SINK,
        &[
            ("ownership: {by: Labels, labels: [job]}", "spec.ownership.by: not available yet: ownership by Labels"),
            ("validation: Drop", "spec.validation: not available yet"),
            ("onRejected: {deadLetter: {}}", "spec.onRejected.deadLetter: not available yet"),
        ],
    );
    expect(
        SINK_ONLY,
        "backend: {url: \"http://h/\", protocol: \"2.0\"}",
        "spec.backend.protocol: not available yet: protocol \"2.0\"; write \"1.0\"",
    );
    expect(
        SINK_ONLY,
        "backend: {url: \"http://h/\", sigv4: {region: r}}",
        "spec.backend.sigv4: not available yet: sigv4",
    );
    let report = problems(&format!("{SINK}  ackPolicy: Durable\n  storage: {{size: 10Gi}}\n"));
    assert!(
        report.contains("spec.ackPolicy: not available yet") && report.contains("spec.storage: not available yet"),
        "{report}"
    );
    expect_all(
        &RECEIVER.replace("  profile: Strict\n", ""),
        &[
            ("profile: Mimir", "spec.profile: not available yet"),
            ("outOfOrderWindow: 5m", "spec.outOfOrderWindow: not available yet"),
            ("forwardTo: {url: \"http://h/\"}", "spec.forwardTo: not available yet"),
            ("answers: [{type: WrittenTooLow}]", "spec.answers[0].type: not available yet"),
            (
                "tlsConfig: {cert: {secret: {name: a, key: b}}, keySecret: {name: a, key: c}, clientCa: {secret: {name: a, key: d}}}",
                "spec.tlsConfig.clientCa: not available yet",
            ),
        ],
    );
    expect_all(
        TEST,
        &[
            ("readBack: {prometheus: {url: \"http://h/\"}, depth: Counts}", "spec.readBack.depth: not available yet"),
            (
                "readBack: {victoriaMetrics: {url: \"http://h/\", protocol: \"2.0\"}}",
                "spec.readBack.victoriaMetrics.protocol: not available yet",
            ),
            ("results: {pushgateway: {endpoint: {url: \"http://h/\"}}}", "spec.results.pushgateway: not available yet"),
            (
                "faults: [{type: Jitter, share: 1%}]",
                "spec.faults[0].type: not available yet: fault Jitter; available are OutOfOrder, ",
            ),
        ],
    );
    let scale = FULL.replace("action: Kill, sinkWorker: 1", "action: Scale, replicas: 5");
    assert!(problems(&scale).contains("spec.chaos[0].action: not available yet: action Scale"));
    let available =
        floodmark_api::FaultType::ALL.iter().filter(|fault| floodmark_api::fault_available(**fault)).count();
    assert_eq!((available, floodmark_api::FaultType::ALL.len()), (8, 43 + 26 + 16));
}
