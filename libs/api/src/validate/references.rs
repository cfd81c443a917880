//! References between documents, and the rules between a test and what it refers to.

use crate::bundle::{Bundle, Object};
use crate::problem::Problem;
use crate::{Count, LoadTestSpec};

/// References that point to nothing in the bundle, and rules between documents. On one machine everything has to be in the files.
pub fn check_references(bundle: &Bundle) -> Vec<Problem> {
    let mut problems = Vec::new();
    for sink in &bundle.sinks {
        if let Some(to) = &sink.spec.backend.receiver_ref {
            receiver(bundle, sink, &to.name, "spec.backend.receiverRef.name", &mut problems);
        }
    }
    for from in &bundle.receivers {
        if let Some(to) = from.spec.forward_to.as_ref().and_then(|endpoint| endpoint.receiver_ref.as_ref()) {
            let field = "spec.forwardTo.receiverRef.name";
            receiver(bundle, from, &to.name, field, &mut problems);
            if to.name == from.name {
                problems.push(from.source.problem(field, "a receiver cannot forward to itself: name another one"));
            }
        }
    }
    for test in &bundle.load_tests {
        load_test(bundle, test, &mut problems);
    }
    problems
}

fn load_test(bundle: &Bundle, test: &Object<LoadTestSpec>, problems: &mut Vec<Problem>) {
    let target = &test.spec.target;
    if let Some(to) = &target.receiver_ref {
        receiver(bundle, test, &to.name, "spec.target.receiverRef.name", problems);
    }
    if let Some(to) = target.endpoint.as_ref().and_then(|endpoint| endpoint.receiver_ref.as_ref()) {
        receiver(bundle, test, &to.name, "spec.target.endpoint.receiverRef.name", problems);
    }
    let Some(to) = &target.sink_ref else { return };
    let Some(sink) = bundle.sink(&test.namespace, &to.name) else {
        let known = bundle.sinks.iter().filter(|o| o.namespace == test.namespace).map(|o| o.name.as_str());
        problems.push(
            test.source
                .problem("spec.target.sinkRef.name", missing("RemoteWriteSink", &to.name, &test.namespace, known)),
        );
        return;
    };
    for (i, step) in test.spec.chaos.iter().enumerate() {
        if let Some(worker) = step.sink_worker.filter(|worker| *worker >= sink.spec.replicas) {
            let last = sink.spec.replicas.saturating_sub(1);
            let message = format!(
                "worker {worker} does not exist: sink {} has {} replicas, write 0 to {last}",
                sink.name, sink.spec.replicas
            );
            problems.push(test.source.problem(format!("spec.chaos[{i}].sinkWorker"), message));
        }
    }
    let (request, buffer) = (u64::from(test.spec.generator.samples_per_request), sink.spec.buffer.max_samples);
    if request > buffer.0 {
        let message = format!(
            "{} samples never fit into the buffer of sink {}, {buffer}: write at most that",
            Count(request),
            sink.name
        );
        problems.push(test.source.problem("spec.generator.samplesPerRequest", message));
    }
}

fn receiver<S>(bundle: &Bundle, from: &Object<S>, name: &str, field: &str, problems: &mut Vec<Problem>) {
    if bundle.receiver(&from.namespace, name).is_none() {
        let known = bundle.receivers.iter().filter(|o| o.namespace == from.namespace).map(|o| o.name.as_str());
        problems.push(from.source.problem(field, missing("RemoteWriteReceiver", name, &from.namespace, known)));
    }
}

fn missing<'a>(kind: &str, name: &str, namespace: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.take(16).collect();
    let hint = if known.is_empty() {
        format!("the files hold no {kind} of that namespace")
    } else {
        format!("there are {}", known.join(", "))
    };
    format!("no {kind} {name:?} in namespace {namespace}: {hint}")
}
