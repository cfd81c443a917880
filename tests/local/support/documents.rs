//! Documents for tests, put together from pieces.

/// A strict receiver named `store`, with more lines of its spec (two spaces indented).
pub fn receiver(more: &str) -> String {
    format!(
        "apiVersion: floodmark.dev/v1alpha1\nkind: RemoteWriteReceiver\nmetadata: {{name: store}}\nspec:\n  profile: Strict\n{more}\n---\n"
    )
}

/// A sink named `sink`, with more lines of its spec.
pub fn sink(replicas: u32, lanes: u16, backend: &str, more: &str) -> String {
    format!(
        "apiVersion: floodmark.dev/v1alpha1\nkind: RemoteWriteSink\nmetadata: {{name: sink}}\nspec:\n  replicas: {replicas}\n  lanes: {lanes}\n  backend: {backend}\n{more}\n---\n"
    )
}

/// A load test towards `sink`, with the lines of its spec from `workload` on.
pub fn load_test(more: &str) -> String {
    load_test_of("{sinkRef: {name: sink}}", more)
}

/// A load test towards any target.
pub fn load_test_of(target: &str, more: &str) -> String {
    format!(
        "apiVersion: floodmark.dev/v1alpha1\nkind: LoadTest\nmetadata: {{name: test}}\nspec:\n  target: {target}\n  seed: 7\n{more}\n"
    )
}

pub const TO_STORE: &str = "{receiverRef: {name: store}}";
