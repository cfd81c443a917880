//! The operator of `manifests/namespaced`: a Role in place of a `ClusterRole`.

use std::time::Duration;

use crate::documents::all;
use crate::node::{Cluster, until};

const NAMESPACE: &str = "floodmark-system";

pub fn operator(cluster: &Cluster) {
    if !cluster.is_own() {
        return crate::shared::skip("an operator for one namespace", "it would take the place of this cluster's own");
    }
    let operator = ["-n", NAMESPACE, "deployment/floodmark-operator"];
    cluster.kubectl(&["delete", "-k", "manifests/base", "--ignore-not-found", "--wait"]);
    cluster.kubectl(&["apply", "--server-side", "-k", "crds"]);
    cluster.kubectl(&["create", "namespace", NAMESPACE]);
    cluster.kubectl(&["apply", "--server-side", "-k", "manifests/namespaced"]);
    cluster.kubectl(&[&["set", "image"][..], &operator, &["operator=docker.io/library/floodmark:0.1.0"]].concat());
    cluster.kubectl(&[&["rollout", "status", "--timeout=90s"][..], &operator].concat());
    cluster.apply(NAMESPACE, &all(2, "", "  stages: [{for: 4s, rate: 1k}]\n  deadline: 2m"));
    cluster.passed(NAMESPACE, "lt/test");
    // Elsewhere nobody looks.
    cluster.namespace("elsewhere");
    cluster.apply("elsewhere", &all(1, "", "  stages: [{for: 4s, rate: 1k}]\n  deadline: 2m"));
    let account = "system:serviceaccount:floodmark-system:floodmark-operator";
    let may = |verb: &str, what: &str, namespace: &str| {
        let output = cluster.run("kubectl", &["auth", "can-i", verb, what, "-n", namespace, "--as", account], "");
        String::from_utf8_lossy(&output.stdout).trim() == "yes"
    };
    assert!(may("create", "statefulsets", NAMESPACE) && !may("create", "statefulsets", "elsewhere"));
    assert!(!may("get", "secrets", NAMESPACE) && !may("create", "pods/exec", NAMESPACE));
    assert!(cluster.get("elsewhere", "statefulset", "sink-sink").is_none());
    cluster.kubectl(&["delete", "-k", "manifests/namespaced", "--ignore-not-found", "--wait=false"]);
    until("it is gone", Duration::from_secs(60), || {
        cluster.get(NAMESPACE, "deployment", "floodmark-operator").is_none().then_some(())
    });
    assert!(cluster.get(NAMESPACE, "lt", "test").is_some(), "the namespace and its objects are the user's");
}
