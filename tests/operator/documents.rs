//! Documents of the scenarios: a receiver `store`, a sink `sink` towards it, tests of that sink.

pub(crate) fn targets(replicas: u32) -> String {
    format!(
        "apiVersion: floodmark.dev/v1alpha1\nkind: RemoteWriteReceiver\nmetadata: {{name: store}}\nspec: {{}}\n---\n\
         apiVersion: floodmark.dev/v1alpha1\nkind: RemoteWriteSink\nmetadata: {{name: sink}}\nspec:\n  replicas: {replicas}\n  \
         backend: {{receiverRef: {{name: store}}}}\n"
    )
}

/// Ten series for a second, with more lines of its spec, two spaces indented.
pub(crate) fn test(name: &str, more: &str) -> String {
    format!(
        "apiVersion: floodmark.dev/v1alpha1\nkind: LoadTest\nmetadata: {{name: {name}}}\nspec:\n  \
         target: {{sinkRef: {{name: sink}}}}\n  workload: [{{name: a, targets: 1, seriesPerTarget: 10}}]\n  \
         stages: [{{for: 1s}}]\n{more}"
    )
}
