//! One mistake, one problem: nothing is said that only follows from what could not be read.

use super::common::{FULL, RECEIVER, SINK, TEST, problems, read};

/// A receiver, a sink that sends to it and a test of that sink: the three that refer to each other.
fn chain(receiver: &str, sink: &str, test: &str) -> String {
    format!(
        "{}---\n{}---\n{}",
        RECEIVER.replace("  profile: Strict\n", receiver),
        SINK.replace("  backend: {url: \"http://p:9090/api/v1/write\"}\n", sink),
        TEST.replace("endpoint: {url: \"http://p:9090/api/v1/write\"}", "sinkRef: {name: sink}") + test
    )
}

const PROFILE: &str = "  profile: Strict\n";
const BACKEND: &str = "  backend: {receiverRef: {name: receiver}}\n  replicas: 3\n";
const CHAOS: &str = "  chaos: [{at: 1s, action: Kill, sinkWorker: 2}]\n";

#[track_caller]
fn only(text: &str, expected: &str) {
    let report = problems(text);
    assert!(report.contains(expected), "{report}\n{expected}");
    assert_eq!(report.lines().count(), 1, "{report}");
}

#[test]
fn the_chain_itself_is_right() {
    assert!(read(&chain(PROFILE, BACKEND, CHAOS)).is_ok());
}

#[test]
fn what_could_not_be_read_exists_all_the_same() {
    for receiver in ["  profile: Strictt\n", "  answers: [{type: Nope}]\n", "  answers: [{}]\n", "  profil: Strict\n"] {
        let report = problems(&chain(receiver, BACKEND, CHAOS));
        assert!(!report.contains("no RemoteWriteReceiver"), "{report}");
    }
    let right = chain(PROFILE, BACKEND, CHAOS);
    only(&right.replace("name: receiver}\nspec", "name: Receiver}\nspec"), "metadata.name: \"Receiver\" is not a name");
    only(&right.replace("kind: RemoteWriteReceiver", "kind: RemoteWriteReciever"), "did you mean RemoteWriteReceiver?");
    only(&right.replace("{name: sink}\nspec", "{name: sink, namespace: A}\nspec"), "metadata.namespace: \"A\" is not");
    only(&format!("{}---\na: [\n", right.replace("name: receiver}\nspec", "name: other}\nspec")), "file.yaml:");
    // The missing ones are still missed.
    only(&right.replace("name: receiver}\nspec", "name: other}\nspec"), "no RemoteWriteReceiver \"receiver\"");
}

#[test]
fn nothing_is_concluded_from_a_default_that_nobody_wanted() {
    only(&chain(PROFILE, &BACKEND.replace("replicas", "replcias"), CHAOS), "spec.replcias: there is no such field");
    only(&chain(PROFILE, &BACKEND.replace("replicas: 3", "replicas: 300"), CHAOS), "spec.replicas: 300 is out of");
    let buffer = |buffer: &str| chain(PROFILE, &format!("{BACKEND}  buffer: {buffer}\n"), CHAOS);
    only(&buffer("{maxSamples: 0}"), "spec.buffer.maxSamples: 0 is out of range");
    only(&buffer("{maxSample: 1k}"), "spec.buffer.maxSample: there is no such field");
    let sink = |fields: &str| format!("{SINK}{fields}");
    only(&sink("  retry: {initalDelay: 1ms, maxDelay: 20ms}\n"), "spec.retry.initalDelay: there is no such");
    only(&sink("  retry: {initialDelay: 1x, maxDelay: 20ms}\n"), "spec.retry.initialDelay: \"1x\" is not");
    only(
        &sink("  onRejected: {acton: Isolate, maxExtraRequests: 5, action: Fial}\n").replace("acton: Isolate, ", ""),
        "spec.onRejected.action",
    );
    only(&SINK.replace("url:", "ulr:"), "spec.backend.ulr: there is no such field");
    only(&SINK.replace("url:", "address:"), "spec.backend.address: there is no such field");
    only(&TEST.replace("seriesPerTarget", "seriesPerTraget"), "spec.workload[0].seriesPerTraget: there is no such");
    only(&TEST.replace("seriesPerTarget: 100", "seriesPerTarget: 5, metrcs: 5"), "spec.workload[0].metrcs: there");
    only(
        &TEST.replace("for: 30s", "for: 0s").replace("stages:", "chaos: []\n  deadline: 1m\n  stages:"),
        "spec.stages[0].for: 0s",
    );
}

#[test]
fn a_misspelt_time_is_the_only_mistake_of_a_pause() {
    let text = chain(PROFILE, BACKEND, "  chaos: [{at: 1s, action: Pause, fro: 1s, sinkWorker: 0}]\n");
    only(&text, "spec.chaos[0].fro: there is no such field: did you mean for?");
    let text = chain(PROFILE, BACKEND, "  chaos: [{at: 1s, action: Pause, seconds: 1, sinkWorker: 0}]\n");
    only(&text, "spec.chaos[0].seconds: there is no such field");
}

#[test]
fn other_mistakes_of_the_same_object_are_still_reported() {
    let report = problems(&FULL.replace("replicas: 3", "replcias: 3").replace("deadline: 10m", "deadline: 1s"));
    assert!(report.contains("spec.replcias") && report.contains("spec.deadline: 1s has to be more"), "{report}");
    assert_eq!(report.lines().count(), 2, "{report}");
    // What is missing and was not misspelt.
    let report = problems(&TEST.replace("seriesPerTarget: 100", "colour: 5"));
    assert!(
        report.contains("workload[0].colour") && report.contains("workload[0].seriesPerTarget: is missing"),
        "{report}"
    );
}
