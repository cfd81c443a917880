//! Tests that run to their end, with what breaks on the way.

use std::time::Duration;

use hdrhistogram::Histogram;
use measure::HistogramSet;
use serde_json::Value;

use crate::documents;
use crate::node::{Cluster, condition, until};

fn number(summary: &Value, pointer: &str) -> u64 {
    summary.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {pointer} in {summary}"))
}

/// Everything that was generated came back acknowledged, and was stored once, in order.
pub fn complete(summary: &Value) {
    for figure in ["acknowledged", "stored"] {
        assert_eq!(number(summary, &format!("/samples/{figure}")), number(summary, "/samples/generated"), "{figure}");
    }
    for finding in summary["findings"].as_array().unwrap() {
        assert_eq!((finding["name"].as_str(), &finding["count"]), (Some("Duplicated"), &finding["explained"]));
    }
}

fn chaos<'a>(summary: &'a Value, words: &str) -> &'a Value {
    let entries = summary["chaos"].as_array().unwrap();
    let found = entries.iter().find(|entry| entry["action"].as_str().is_some_and(|action| action.contains(words)));
    found.unwrap_or_else(|| panic!("no {words} in {entries:?}"))
}

/// The very file that runs on one machine.
pub fn quickstart(cluster: &Cluster) {
    cluster.namespace("quickstart");
    cluster.kubectl(&["-n", "quickstart", "apply", "-f", "examples/quickstart.yaml"]);
    let summary = cluster.passed("quickstart", "lt/quickstart");
    assert_eq!(summary["verdict"], "Passed");
    assert_eq!(number(&summary, "/samples/stored"), number(&summary, "/samples/acknowledged"));
    assert!(number(&summary, "/samples/refused/status_400") > 0, "the faulty samples were refused");
    let kill = chaos(&summary, "Kill");
    assert!(kill["executedAt"].is_f64() && kill["backAfter"].is_f64(), "{kill}");
    let columns = cluster.kubectl(&["-n", "quickstart", "get", "lt", "quickstart"]);
    let (head, row) = columns.split_once('\n').unwrap();
    let head: Vec<&str> = head.split_whitespace().collect();
    let row: Vec<&str> = row.split_whitespace().collect();
    let of = |column: &str| row[head.iter().position(|name| *name == column).unwrap_or_else(|| panic!("{columns}"))];
    assert_eq!((of("PHASE"), of("VERDICT"), of("DROPS")), ("Finished", "Passed", "0"), "{columns}");
    assert!(of("RATE") != "0" && of("P99").ends_with('s'), "{columns}");
}

/// Waits until so many samples are acknowledged.
pub fn flows(cluster: &Cluster, namespace: &str, samples: u64) {
    until(&format!("{namespace}: {samples} samples are acknowledged"), Duration::from_secs(90), || {
        let status = &cluster.get(namespace, "lt", "test")?["status"];
        let enough = status["samples"]["acknowledged"].as_u64().is_some_and(|count| count >= samples);
        (enough && status["phase"] == "Running").then_some(())
    });
}

pub fn killed_and_deleted(cluster: &Cluster) {
    cluster.namespace("kills");
    let test = "  stages: [{for: 45s, rate: 10k}]
  chaos:
    - {at: 6s, action: Kill, sinkWorker: 1}
    - {at: 13s, action: Terminate, sinkWorker: 2}
  deadline: 4m";
    cluster.apply("kills", &documents::with_generators(2, 3, "", test));
    // By somebody who does not tell the test.
    flows(cluster, "kills", 180_000);
    cluster.kubectl(&["-n", "kills", "delete", "pod", "sink-sink-0"]);
    flows(cluster, "kills", 250_000);
    cluster.kubectl(&["-n", "kills", "delete", "pod", "sink-sink-1", "--grace-period=0", "--force"]);
    let summary = cluster.passed("kills", "lt/test");
    complete(&summary);
    assert_eq!(number(&summary, "/samples/generated"), 450_000);
    for words in ["Kill", "Terminate"] {
        let entry = chaos(&summary, words);
        assert!(entry["executedAt"].is_f64() && entry["backAfter"].is_f64(), "{entry}");
    }
}

pub fn scaled(cluster: &Cluster) {
    cluster.namespace("scale");
    let test = "  stages: [{for: 40s, rate: 10k}]
  chaos: [{at: 5s, action: Scale, replicas: 5}]
  deadline: 4m";
    cluster.apply("scale", &documents::with_generators(2, 3, "", test));
    let owners = |replicas: u64| {
        let sink = cluster.get("scale", "rws", "sink")?;
        let status = &sink["status"]["ownership"];
        (status["phase"] == "Stable" && status["toReplicas"] == replicas).then_some(())
    };
    until("five workers own the series", Duration::from_secs(90), || owners(5));
    cluster.kubectl(&["-n", "scale", "scale", "rws/sink", "--replicas=2"]);
    until("two workers own the series", Duration::from_secs(60), || owners(2));
    let running = cluster.get("scale", "lt", "test").unwrap();
    assert_eq!(running["status"]["phase"], "Running", "scaled while samples flow");
    let summary = cluster.passed("scale", "lt/test");
    complete(&summary);
    assert_eq!(number(&summary, "/samples/generated"), 400_000);
    for words in ["from 3 to 5 workers", "from 5 to 2 workers"] {
        let pause = chaos(&summary, words)["backAfter"].as_f64().unwrap();
        assert!(pause > 0.0 && pause < 30.0, "{pause} s");
        println!("{words}: nothing acknowledged for {pause:.2} s");
    }
}

/// The histograms of a run are the sum of its pods'.
pub fn merged(cluster: &Cluster) {
    cluster.namespace("merge");
    // Generators end as soon as their reports are taken: the warm-up at the end, which is in no histogram of theirs, keeps them until
    // its last target is due, 20 s after t0.
    let test =
        "  workload: [{name: app, targets: 40, seriesPerTarget: 100, scrapeInterval: 10m, metrics: 20, values: Mixed}]
  stages: [{for: 5s, rate: 10k}, {for: 30s, warmUp: true}]
  deadline: 2m";
    cluster.apply("merge", &documents::with_generators(2, 3, "", test));
    flows(cluster, "merge", 50_100);
    let job = "batch.kubernetes.io/job-name=test-generator";
    let pods = ["-n", "merge", "get", "pods", "-l", job, "-o", "jsonpath={.items[*].metadata.name}"];
    let generators = cluster.kubectl(&pods);
    let generators: Vec<String> = generators.split_whitespace().map(str::to_owned).collect();
    assert_eq!(generators.len(), 2);
    let response = sum(cluster, &generators, measure::names::RESPONSE);
    let summary = cluster.passed("merge", "lt/test");
    assert_eq!(number(&summary, "/samples/generated"), 50_200);
    let workers: Vec<String> = (0..3).map(|worker| format!("sink-sink-{worker}")).collect();
    same(&summary["latency"]["delivery"], &sum(cluster, &workers, measure::names::DELIVERY));
    same(&summary["latency"]["response"], &response);
    let test = cluster.get("merge", "lt", "test").unwrap();
    assert_eq!(condition(&test, "Passed").unwrap().0, "True");
}

/// What these pods say they measured, added.
fn sum(cluster: &Cluster, pods: &[String], what: &str) -> Histogram<u64> {
    let mut sum: Histogram<u64> = Histogram::new_with_bounds(1, 3_600_000_000, 3).unwrap();
    for pod in pods {
        let path = format!("/api/v1/namespaces/merge/pods/{pod}:9400/proxy/histograms");
        let set: HistogramSet = serde_json::from_str(&cluster.kubectl(&["get", "--raw", &path])).unwrap();
        let own = set.distribution(what).unwrap();
        assert!(!own.histogram().is_empty(), "{pod} measured nothing");
        sum.add(own.histogram()).unwrap();
    }
    sum
}

fn same(merged: &Value, sum: &Histogram<u64>) {
    assert_eq!(sum.len(), number(merged, "/count"));
    for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
        let (ours, theirs) = (merged[name].as_f64().unwrap(), sum.value_at_quantile(quantile) as f64 / 1000.0);
        // Three digits are all that a histogram has.
        assert!((ours - theirs).abs() <= theirs * 0.001, "{name}: {ours} ms of {theirs} ms");
    }
}
