//! What a test leaves behind: nothing, or what its document says.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::documents::{all, load_test};
use crate::node::{Cluster, until};

const LIMIT: Duration = Duration::from_secs(180);

/// Everything in the namespace but what each namespace has, and Events.
fn everything(cluster: &Cluster, namespace: &str) -> Vec<Value> {
    let kinds = cluster.kubectl(&["api-resources", "--namespaced", "--verbs=list", "-o", "name"]);
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
    let list = cluster.kubectl(&["-n", namespace, "get", &kinds.join(","), "-o", "json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    let own = |object: &&Value| {
        let name = (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
        !matches!(name, ("ConfigMap", "kube-root-ca.crt") | ("ServiceAccount", "default") | ("PodMetrics", _))
    };
    list["items"].as_array().unwrap().iter().filter(own).cloned().collect()
}

fn names(objects: &[Value]) -> BTreeSet<String> {
    let name = |object: &Value| {
        format!("{}/{}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
    };
    objects.iter().map(name).collect()
}

pub fn nothing_is_left(cluster: &Cluster) {
    let namespace = "clean-up";
    cluster.namespace(namespace);
    let short = "  stages: [{for: 4s, rate: 1k}]\n  deadline: 2m\n";
    cluster.apply(namespace, &all(2, "", &format!("{short}  results: {{ttlAfterFinished: 15s}}")));
    cluster.passed(namespace, "lt/test");
    let jobs = |name: &str| {
        let found = names(&everything(cluster, namespace));
        found.into_iter().filter(|object| object.contains(name) && !object.starts_with("LoadTest")).collect::<Vec<_>>()
    };
    until("the artifacts go with their time, the summary stays", LIMIT, || {
        (jobs("test-") == ["ConfigMap/test-summary"]).then_some(())
    });

    // One that fails keeps its generators for their logs.
    let fails = "  thresholds: [{metric: errors.share, min: 50%}]\n";
    cluster.apply(namespace, &load_test("fails", "sinkRef: {name: sink}", &format!("{short}{fails}")));
    assert_eq!(cluster.wait(namespace, "lt/fails").0, 1);
    until("its generator's pod is kept", LIMIT, || {
        jobs("fails-generator").iter().any(|object| object.starts_with("Pod/")).then_some(())
    });

    // Every child hangs on what it was made for.
    let roots = ["RemoteWriteSink", "RemoteWriteReceiver", "LoadTest"];
    for object in everything(cluster, namespace) {
        let owned = object["metadata"]["ownerReferences"].as_array().is_some_and(|owners| !owners.is_empty());
        let kind = object["kind"].as_str().unwrap();
        // The endpoints of a Service have its name, and go with it.
        assert!(owned || roots.contains(&kind) || kind == "Endpoints", "an orphan: {kind} {}", object["metadata"]);
    }

    // Deleted while it runs, together with what it tests.
    let long = "  stages: [{for: 60s, rate: 1k}]\n  deadline: 2m";
    cluster.apply(namespace, &load_test("cut", "sinkRef: {name: sink}", long));
    until("it runs", LIMIT, || (cluster.get(namespace, "lt", "cut")?["status"]["phase"] == "Running").then_some(()));
    cluster.kubectl(&["-n", namespace, "delete", "lt,rws,rwr", "--all", "--wait=false"]);
    until("nothing is left", LIMIT, || {
        let left = names(&everything(cluster, namespace));
        left.is_empty().then_some(())
    });
}
