//! Each rule between fields, and each capability that is not available yet: one spoiled document a line.

#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    clippy::wildcard_imports,
    reason = "texts of tests are small"
)]

#[path = "../common/mod.rs"]
mod common;

mod breakage;
mod endpoint;
mod follow_on;
mod load;
mod sink;
mod unavailable;

use common::problems;

/// Appends fields to a spec, expects exactly one problem, and that it starts with field and message.
fn expect(document: &str, fields: &str, expected: &str) {
    let report = problems(&format!("{document}  {fields}\n"));
    assert!(
        report.lines().any(|line| line.split_once(": ").is_some_and(|(_, rest)| rest.starts_with(expected))),
        "{fields}\n{report}\n{expected}"
    );
    assert_eq!(report.lines().count(), 1, "{fields}\n{report}");
}

fn expect_all(document: &str, cases: &[(&str, &str)]) {
    for (fields, expected) in cases {
        expect(document, fields, expected);
    }
}

const SINK_ONLY: &str = "apiVersion: floodmark.dev/v1alpha1
kind: RemoteWriteSink
metadata: {name: sink}
spec:
";
