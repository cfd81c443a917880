//! Two operators in the cluster: the one that leads goes while a test runs.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::documents;
use crate::load::{complete, flows};
use crate::node::{Cluster, until};

const SYSTEM: &str = "floodmark-system";
/// How soon the other one leads.
const LIMIT: Duration = Duration::from_secs(20);

pub fn replaced(cluster: &Cluster) {
    if !cluster.is_own() {
        return crate::shared::skip("a leader that goes is replaced", "it would end this cluster's own operator");
    }
    scale(cluster, 2);
    cluster.namespace("leader");
    let test = "  stages: [{for: 30s, rate: 1k}]\n  deadline: 3m";
    cluster.apply("leader", &documents::all(2, "", test));
    flows(cluster, "leader", 1);
    let before = children(cluster);
    let leader = holder(cluster).expect("somebody leads");
    cluster.kubectl(&["-n", SYSTEM, "delete", "pod", &leader, "--grace-period=0", "--force"]);
    let gone = Instant::now();
    until("the other one leads", LIMIT, || holder(cluster).filter(|now| *now != leader));
    println!("led again after {:.1} s", gone.elapsed().as_secs_f64());
    complete(&cluster.passed("leader", "lt/test"));
    assert_eq!(children(cluster), before, "nothing was made a second time");
    scale(cluster, 1);
}

fn scale(cluster: &Cluster, replicas: u32) {
    let operator = ["-n", SYSTEM, "deployment/floodmark-operator"];
    let replicas = format!("--replicas={replicas}");
    cluster.kubectl(&[&["scale", &replicas][..], &operator].concat());
    cluster.kubectl(&[&["rollout", "status", "--timeout=90s"][..], &operator].concat());
}

fn holder(cluster: &Cluster) -> Option<String> {
    let lease = cluster.get(SYSTEM, "lease", "floodmark-operator")?;
    lease["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty()).map(str::to_owned)
}

/// What stays until the test is deleted, by identity.
fn children(cluster: &Cluster) -> Vec<Value> {
    let all = [("statefulset", "sink-sink"), ("statefulset", "store-receiver"), ("job", "test-conductor")];
    all.map(|(kind, name)| cluster.get("leader", kind, name).unwrap()["metadata"]["uid"].clone()).to_vec()
}
