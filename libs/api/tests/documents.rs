//! Whole documents: what is read, which defaults hold, and what mistakes say.

#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    clippy::wildcard_imports,
    reason = "texts of tests are small"
)]

mod common;

use common::{FULL, RECEIVER, SINK, TEST, problems, read};
use floodmark_api::*;

#[test]
fn the_design_s_documents_are_read() {
    let bundle = read(FULL).unwrap_or_else(|problems| panic!("{problems}"));
    let sink = &bundle.sinks[0];
    assert_eq!((sink.name.as_str(), sink.namespace.as_str(), sink.source.line), ("sink", "default", 2));
    assert_eq!(sink.labels["team"], "a");
    assert_eq!(sink.spec.replicas, 3);
    assert_eq!(sink.spec.buffer, Buffer { max_samples: Count(1_000_000), max_bytes: Bytes(268_435_456) });
    assert_eq!(sink.spec.retry.max_attempts, Some(10));
    assert_eq!(sink.spec.retry.initial_delay, Duration::from_millis(30));
    assert_eq!(sink.spec.pod.resources.as_ref().unwrap()["requests"]["cpu"], "500m");
    assert_eq!(sink.spec.backend.headers[1].value_from.as_ref().unwrap().secret.key, "write");
    let receiver = &bundle.receivers[0].spec;
    assert_eq!(receiver.answers[0].status, Some(503));
    assert_eq!(receiver.answers[1].share, Some(Share(0.01)));
    let test = &bundle.load_tests[0].spec;
    assert_eq!(
        test.stages[1],
        Stage { r#for: Duration::from_secs(120), rate: Some(Count(1_000_000)), ramp: true, warm_up: false }
    );
    assert_eq!(test.faults[0].share, Share(0.01));
    assert_eq!(test.chaos[1].r#for, Some(Duration::from_secs(10)));
    assert_eq!(test.thresholds[0].metric, ThresholdMetric::Latency(LatencyKind::Response, Percentile::P99));
    assert_eq!(test.thresholds[0].max_value().unwrap(), Some(LimitValue::Duration(Duration::from_millis(250))));
    assert_eq!(test.thresholds[4].max_value().unwrap(), Some(LimitValue::Share(Share(0.01))));
}

#[test]
fn defaults_are_those_of_the_design() {
    let bundle = read(&format!("{SINK}---\n{TEST}---\n{RECEIVER}")).unwrap();
    let sink = &bundle.sinks[0].spec;
    assert_eq!((sink.replicas, sink.lanes, sink.ack_policy), (1, 4, AckPolicy::Delivered));
    assert_eq!(sink.batching, Batching { max_samples: Count(2000), max_delay: Duration::default() });
    assert_eq!(sink.retry.on_exhausted, OnExhausted::Fail);
    assert_eq!(sink.retry.max_attempts, None);
    assert_eq!(sink.on_rejected.action, RejectedAction::Isolate);
    assert_eq!(sink.drain_timeout, Duration::from_secs(120));
    assert_eq!(sink.backend.partial_writes, PartialWrites::Unknown);
    let test = &bundle.load_tests[0].spec;
    assert_eq!((test.seed, test.generator.parallelism, test.generator.samples_per_request), (42, 1, 2000));
    assert_eq!(test.generator.direct_connections(), 4);
    assert_eq!(test.workload[0].labels, LabelsSpec { count: 8, value_length: 12 });
    assert_eq!(test.effective_deadline(), std::time::Duration::from_secs(630));
    assert_eq!(bundle.receivers[0].spec, RemoteWriteReceiverSpec::default());
}

#[test]
fn what_is_written_out_reads_back_the_same() {
    let bundle = read(FULL).unwrap();
    let json = serde_json::to_value(&bundle.sinks[0].spec).unwrap();
    assert_eq!(serde_json::from_value::<RemoteWriteSinkSpec>(json).unwrap(), bundle.sinks[0].spec);
    let json = serde_json::to_value(&bundle.load_tests[0].spec).unwrap();
    assert_eq!(serde_json::from_value::<LoadTestSpec>(json).unwrap(), bundle.load_tests[0].spec);
    let json = serde_json::to_value(&bundle.receivers[0].spec).unwrap();
    assert_eq!(serde_json::from_value::<RemoteWriteReceiverSpec>(json).unwrap(), bundle.receivers[0].spec);
}

#[test]
fn a_mistake_says_file_line_column_field_and_fix() {
    let text = TEST.replace("{for: 30s}", "{for: 30s, rate: \"1X\"}");
    assert_eq!(
        problems(&text),
        "file.yaml:8:29: spec.stages[0].rate: \"1X\" is not a count: write a whole number with an optional suffix k, M, G or T"
    );
}

#[test]
fn every_mistake_is_reported_in_the_order_of_the_text() {
    let text = "apiVersion: floodmark.dev/v1
kind: RemoteWriteSink
metadata: {name: Sink, nmespace: x}
spec:
  replicas: 1k
  backend: {url: \"ftp://h/\", protcol: \"1.0\", requestTimeout: 5}
  ackPolicy: Deliverd
  retry: {initialDelay: 10s, maxDelay: 1s}
  lanes: 65
---
apiVersion: floodmark.dev/v1alpha1
kind: LoadTest
metadata: {name: t}
spec:
  stages: []
";
    let report = problems(text);
    let expected = [
        "file.yaml:1:13: apiVersion: is not known: write floodmark.dev/v1alpha1",
        "file.yaml:3:18: metadata.name: \"Sink\" is not a name",
        "file.yaml:3:24: metadata.nmespace: there is no such field: did you mean namespace?",
        "file.yaml:5:13: spec.replicas: the text \"1k\" was found: write a whole number",
        "file.yaml:6:18: spec.backend.url: \"ftp://h/\" is not a URL of http or https",
        "file.yaml:6:30: spec.backend.protcol: there is no such field: did you mean protocol?",
        "file.yaml:6:62: spec.backend.requestTimeout: \"5\" is not a duration: the unit is missing",
        "file.yaml:7:14: spec.ackPolicy: \"Deliverd\" is not one of Delivered, Durable, Buffered: did you mean Delivered?",
        "file.yaml:8:40: spec.retry.maxDelay: 1s is less than initialDelay, 10s",
        "file.yaml:9:10: spec.lanes: 65 is out of range: write a number from 1 to 64",
        "file.yaml:15:3: spec.target: is missing (Where the generators send)",
        "file.yaml:15:3: spec.workload: is missing",
        "file.yaml:15:11: spec.stages: has 0 entries: at least 1 is needed",
    ];
    let lines: Vec<&str> = report.lines().collect();
    for (line, start) in lines.iter().zip(expected) {
        assert!(line.starts_with(start), "\n{line}\nshould start with\n{start}\n\n{report}");
    }
    assert_eq!(lines.len(), expected.len(), "{report}");
}

#[test]
fn several_files_are_one_bundle_and_problems_name_their_file() {
    let files = [
        ("a.yaml".to_owned(), SINK.to_owned()),
        ("b.yaml".to_owned(), TEST.replace("endpoint: {url: \"http://p:9090/api/v1/write\"}", "sinkRef: {name: sink}")),
    ];
    assert_eq!(load(&files).unwrap().load_tests.len(), 1);
    let files = [files[1].clone(), ("c.yaml".to_owned(), SINK.replace("name: sink", "name: sinc"))];
    let report = load(&files).unwrap_err().to_string();
    assert_eq!(
        report,
        "b.yaml:5:28: spec.target.sinkRef.name: no RemoteWriteSink \"sink\" in namespace default: there are sinc"
    );
    assert!(load_without_references(&files).is_ok());
}

#[test]
fn an_object_is_given_once() {
    let report = problems(&format!("{SINK}---\n{SINK}"));
    assert_eq!(
        report,
        "file.yaml:9:18: metadata.name: RemoteWriteSink \"sink\" is given twice (first at file.yaml:3:18): rename one or remove it"
    );
    let files: Vec<(String, String)> = ["a", "b", "c"].map(|name| (format!("{name}.yaml"), SINK.to_owned())).into();
    let report = load(&files).unwrap_err();
    for (line, file) in report.to_string().lines().zip(["b", "c"]) {
        assert!(line.starts_with(&format!("{file}.yaml:3:18: ")) && line.contains("(first at a.yaml:3:18)"), "{line}");
        assert!(line.ends_with("; validate --each takes every file for itself"), "{line}");
    }
    assert_eq!(report.closing(), "2 problems in 2 files");
}

#[test]
fn only_objects_of_one_name_are_told_apart_by_their_namespaces() {
    let of = |name: &str, namespace: &str| {
        SINK.replace("metadata: {name: sink}", &format!("metadata: {{name: {name}, namespace: {namespace}}}"))
    };
    let bundle = read(&[of("one", "a"), of("one", "b"), of("other", "b")].join("---\n")).unwrap();
    let names: Vec<String> = bundle.sinks.iter().map(|sink| sink.name_among(&bundle.sinks)).collect();
    assert_eq!(names, ["a.one", "b.one", "other"]);
}

#[test]
fn envelopes_are_checked() {
    for (text, expected) in [
        ("", "file.yaml: the file holds no document"),
        ("# nothing\n---\n", "file.yaml: the file holds no document"),
        ("[1]", "file.yaml:1:1: a document is a map"),
        ("kind: LoadTset", "kind: \"LoadTset\" is not a kind of Floodmark: did you mean LoadTest?"),
        ("kind: Secret", "--secret NAME/KEY=PATH"),
        ("kind: List", "--- between them"),
        ("a: b", "kind: is missing"),
        ("a: [", "file.yaml:"),
        ("kind: LoadTest\nkind: LoadTest", "file.yaml:2:1: kind: is given twice (first on line 1)"),
        ("kind: LoadTest\nmetadata: {name: x}", "spec: is missing"),
        ("kind: LoadTest\nspec: {}", "metadata: is missing"),
        ("kind: RemoteWriteSink\nspce: {}", "spce: there is no such field: did you mean spec?"),
        ("kind: RemoteWriteSink\nmetadata: {name: on}", "metadata.name: on is not read as a text"),
    ] {
        let report = problems(text);
        assert!(report.contains(expected), "{text:?}: {report}");
    }
}

#[test]
fn a_receiver_needs_no_spec_and_server_fields_are_left_alone() {
    let text = "apiVersion: floodmark.dev/v1alpha1
kind: RemoteWriteReceiver
metadata: {name: r, uid: 5, resourceVersion: \"7\", creationTimestamp: null}
status: {anything: [1]}
";
    assert_eq!(read(text).unwrap().receivers[0].spec, RemoteWriteReceiverSpec::default());
}

#[test]
fn texts_that_kubectl_reads_otherwise_need_quotes() {
    let header = |value: &str| SINK.replace("write\"}", &format!("write\", headers: [{{name: A, value: {value}}}]}}"));
    assert!(problems(&header("yes")).contains("spec.backend.headers[0].value: yes is a boolean for kubectl"));
    assert!(problems(&header("5")).contains("5 is not read as a text: write \"5\", in quotes"));
    assert!(problems(&header("true")).contains("true is not read as a text"));
    assert!(problems(&header("!!binary aGk=")).contains("has no meaning here"));
    assert!(read(&header("\"yes\"")).is_ok());
    assert!(read(&header("!!str 5")).is_ok());
    assert!(problems(&SINK.replace("write\"}", "write\", protocol: 1.0}")).contains("write \"1.0\", in quotes"));
    assert!(
        problems(&SINK.replace("spec:", "spec:\n  replicas: \"3\"")).contains("write a whole number without quotes")
    );
}

#[test]
fn numbers_that_kubectl_reads_otherwise_are_refused() {
    let seed = |value: &str| TEST.replace("spec:", &format!("spec:\n  seed: {value}"));
    for octal in ["017", "1_000"] {
        assert!(problems(&seed(octal)).contains(&format!("spec.seed: {octal} is another number for kubectl")));
    }
    assert!(problems(&TEST.replace("30s}", "30s, rate: 0100}")).contains("0100 is another number for kubectl"));
    let batch = |delay: &str| SINK.replace("spec:", &format!("spec:\n  batching: {{maxDelay: {delay}}}"));
    assert!(
        problems(&batch("0"))
            .contains("spec.batching.maxDelay: 0 is a number, which kubectl is refused here: write 0s")
    );
    assert!(read(&batch("\"0\"")).is_ok() && read(&batch("0s")).is_ok());
    assert!(read(&seed("17")).is_ok() && read(&TEST.replace("30s}", "30s, rate: \"100\"}")).is_ok());
}

#[test]
fn anchors_are_followed_within_bounds() {
    let text = TEST.replace("stages: [{for: 30s}]", "stages: [&s {for: 30s, rate: 1k}, *s]");
    assert_eq!(read(&text).unwrap().load_tests[0].spec.stages.len(), 2);
    assert!(problems("a: &a [*a]").contains("file.yaml:1:8:"), "{}", problems("a: &a [*a]"));
    assert!(problems(&TEST.replace("stages:", "<<: {seed: 1}\n  stages:")).contains("merge keys are not read"));
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for i in 1..12 {
        let before = vec![format!("*a{}", i - 1); 10].join(",");
        bomb.push_str(&format!("a{i}: &a{i} [{before}]\n"));
    }
    assert!(problems(&bomb).contains("aliases counted as what they stand for"));
    // Few values, but each of them is half a file.
    let long = format!("a: &a {}\nb: [{}]", "x".repeat(500_000), "*a,".repeat(90_000));
    assert!(problems(&long).contains("aliases counted as what they stand for"));
}

#[test]
fn too_much_is_refused() {
    assert!(problems(&"a".repeat(MAX_FILE_BYTES + 1)).contains("1048576 are allowed"));
    assert!(problems(&"[".repeat(10_000)).starts_with("file.yaml:1:"));
    assert!(problems(&format!("{}1", "- ".repeat(1000))).contains("nested deeper than 64"));
    let pod = format!("spec:\n  pod: {{affinity: {{? {} : [{}]}}}}", "x".repeat(500_000), "x,".repeat(90_000));
    assert!(problems(&SINK.replace("spec:", &pod)).contains("affinity: the name of a field has 500000 bytes"));
    let labels: String = (0..300).map(|i| format!("l{i}: x,")).collect();
    assert!(
        problems(&SINK.replace("{name: sink}", &format!("{{name: sink, labels: {{{labels}}}}}")))
            .contains("256 are allowed")
    );
    let stages = "{for: 1s},".repeat(257);
    assert!(problems(&TEST.replace("{for: 30s}", &stages)).contains("spec.stages: has 257 entries: 256 are allowed"));
    let unknown: String = (0..500).map(|i| format!("  zz{i}: 1\n")).collect();
    let report = read(&format!("{SINK}{unknown}")).unwrap_err();
    assert_eq!((report.to_string().lines().count(), report.total), (200, 500));
    assert_eq!(report.closing(), "500 problems in 1 file, of which the first 200 are shown");
}

#[test]
fn fields_without_a_meaning_on_one_machine_are_named() {
    let warnings: Vec<String> =
        local_warnings(&read(FULL).unwrap()).iter().map(|warning| warning.field.clone()).collect();
    assert_eq!(
        warnings,
        [
            "spec.pod.serviceAccountName",
            "spec.pod.resources",
            "spec.pod.tolerations",
            "spec.pod.labels",
            "spec.results.ttlAfterFinished",
            "spec.results.keepOnFailure",
        ]
    );
    let warnings = local_warnings(&read(&format!("{TEST}  suspend: true\n")).unwrap());
    assert_eq!(warnings[0].to_string(), "file.yaml:9:12: spec.suspend: has no meaning on one machine: the test is run");
}

/// Texts as large as a file may be, each made to be slow: all have to be answered at once.
#[test]
fn no_text_takes_long() {
    let start = std::time::Instant::now();
    for piece in [
        "[", "{", "- ", "? ", "&a ", "!", "a: ", "a:\n", "\"", "'", "|\n", "a: b\n", "- a\n", ",", "*a ", "%", "---\n",
        "#", "\t", "[a,", "{a: ", "a b ", "\\", "\n", "é",
    ] {
        let _ = read(&piece.repeat(MAX_FILE_BYTES / piece.len()));
        let _ = read(&format!("{SINK}  x: {}", piece.repeat(MAX_FILE_BYTES / piece.len() - SINK.len())));
    }
    let many: String = (0..60_000).map(|i| format!("a{i}: 1\n")).collect();
    let _ = read(&many);
    let _ = read(&format!("{SINK}{}", (0..40_000).map(|i| format!("  z{i}: 1\n")).collect::<String>()));
    assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn the_guide_names_every_metric_of_thresholds() {
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/running.md")).unwrap();
    for metric in ThresholdMetric::all() {
        let name = metric.to_string();
        let named = match metric {
            // Percentiles are named once for all.
            ThresholdMetric::Latency(kind, point) => {
                guide.contains(&format!("`{}.P`", kind.name())) && guide.contains(&format!("`{}`", point.name()))
            }
            _ => guide.contains(&format!("`{name}`")),
        };
        assert!(named, "{name}");
    }
}
