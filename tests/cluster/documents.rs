//! Documents of the scenarios, small enough for a node of two processors.

/// So that many fit beside each other.
const LITTLE: &str = "pod: {resources: {requests: {cpu: 10m, memory: 32Mi}}}";

/// A strict receiver `store`, a sink `sink` and a test `test`; more lines of each spec, two spaces indented.
pub fn all(replicas: u32, sink: &str, test: &str) -> String {
    with_generators(1, replicas, sink, test)
}

pub fn with_generators(generators: u32, replicas: u32, sink: &str, test: &str) -> String {
    format!(
        "{}---\n{}---\n{}",
        store(""),
        self::sink("sink", replicas, sink),
        flood("test", generators, "sinkRef: {name: sink}", test)
    )
}

pub fn store(more: &str) -> String {
    let pod = pod(more);
    format!(
        "apiVersion: floodmark.dev/v1alpha1\nkind: RemoteWriteReceiver\nmetadata: {{name: store}}\nspec:\n  profile: Strict\n{pod}{more}\n"
    )
}

pub fn sink(name: &str, replicas: u32, more: &str) -> String {
    let backend = if more.contains("backend:") { "" } else { "  backend: {receiverRef: {name: store}}\n" };
    let pod = pod(more);
    format!(
        "apiVersion: floodmark.dev/v1alpha1\nkind: RemoteWriteSink\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n  lanes: 2\n{backend}{pod}{more}\n"
    )
}

/// A test with one generator.
pub fn load_test(name: &str, target: &str, more: &str) -> String {
    flood(name, 1, target, more)
}

fn flood(name: &str, generators: u32, target: &str, more: &str) -> String {
    let workload = if more.contains("workload:") {
        ""
    } else {
        "  workload:\n    - {name: app, targets: 40, seriesPerTarget: 100, scrapeInterval: 1s, metrics: 20, values: Mixed}\n"
    };
    let generator = if more.contains("generator:") {
        String::new()
    } else {
        format!("  generator: {{parallelism: {generators}, {LITTLE}}}\n")
    };
    format!(
        "apiVersion: floodmark.dev/v1alpha1\nkind: LoadTest\nmetadata: {{name: {name}}}\nspec:\n  target: {{{target}}}\n  seed: 7\n{generator}{workload}{more}\n"
    )
}

fn pod(more: &str) -> String {
    if more.contains("pod:") { String::new() } else { format!("  {LITTLE}\n") }
}
