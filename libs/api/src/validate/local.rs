//! What a document says that means nothing on one machine.

use crate::bundle::{Bundle, Source};
use crate::problem::Problem;

/// The fields of a pod template; each that was written is named.
const POD: [&str; 12] = [
    "image",
    "imagePullPolicy",
    "imagePullSecrets",
    "serviceAccountName",
    "priorityClassName",
    "resources",
    "nodeSelector",
    "tolerations",
    "affinity",
    "topologySpreadConstraints",
    "securityContext",
    "terminationGracePeriodSeconds",
];

const NO_PODS: &str = "has no meaning on one machine, where there are no pods";

/// Warnings for fields that were written and have no meaning outside of a cluster; the documents are right all the same.
pub fn local_warnings(bundle: &Bundle) -> Vec<Problem> {
    let mut warnings = Vec::new();
    for sink in &bundle.sinks {
        pod(&sink.source, "spec.pod", &mut warnings);
        written(&sink.source, "spec.storage.storageClassName", "has no meaning on one machine", &mut warnings);
    }
    for receiver in &bundle.receivers {
        pod(&receiver.source, "spec.pod", &mut warnings);
    }
    for test in &bundle.load_tests {
        pod(&test.source, "spec.generator.pod", &mut warnings);
        written(&test.source, "spec.conductor.resources", NO_PODS, &mut warnings);
        let results = "has no meaning on one machine, where results are files";
        written(&test.source, "spec.results.ttlAfterFinished", results, &mut warnings);
        written(&test.source, "spec.results.keepOnFailure", results, &mut warnings);
        if test.spec.suspend {
            written(&test.source, "spec.suspend", "has no meaning on one machine: the test is run", &mut warnings);
        }
        if test.spec.abort {
            written(
                &test.source,
                "spec.abort",
                "has no meaning on one machine: interrupt the command instead",
                &mut warnings,
            );
        }
    }
    warnings
}

fn written(source: &Source, field: &str, why: &str, warnings: &mut Vec<Problem>) {
    if source.is_written(field) {
        warnings.push(source.problem(field, why));
    }
}

fn pod(source: &Source, path: &str, warnings: &mut Vec<Problem>) {
    for field in POD.iter().chain(&["labels", "annotations"]) {
        written(source, &format!("{path}.{field}"), NO_PODS, warnings);
    }
}
