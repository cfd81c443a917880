//! The numbers of sinks, and the answers of receivers.

use super::common::{RECEIVER, SINK, read};
use super::expect_all;

#[test]
fn a_sink_s_numbers_fit_together() {
    expect_all(
        SINK,
        &[
            ("replicas: 0", "spec.replicas: 0 is out of range: write a number from 1 to 256"),
            ("replicas: 257", "spec.replicas: 257 is out of range"),
            ("replicas: -1", "spec.replicas: -1 is out of range"),
            ("lanes: 0", "spec.lanes: 0 is out of range"),
            ("batching: {maxSamples: 0}", "spec.batching.maxSamples: 0 is out of range"),
            ("batching: {maxSamples: -1}", "spec.batching.maxSamples: \"-1\" is not a count"),
            (
                "batching: {maxDelay: 11s}",
                "spec.batching.maxDelay: 11s is out of range: write a duration from 0s to 10s",
            ),
            (
                "batching: {maxSamples: 3k}\n  buffer: {maxSamples: 2k}",
                "spec.batching.maxSamples: 3k is more than buffer.maxSamples, 2k",
            ),
            ("buffer: {maxBytes: 1Ki}", "spec.buffer.maxBytes: 1Ki is out of range: write a size from 1Mi to 64Ti"),
            ("retry: {initialDelay: 0s}", "spec.retry.initialDelay: 0s is out of range"),
            ("retry: {initialDelay: 2s, maxDelay: 1s}", "spec.retry.maxDelay: 1s is less than initialDelay, 2s"),
            ("retry: {maxAttempts: 0}", "spec.retry.maxAttempts: 0 is out of range"),
            ("retry: {onExhausted: Retry}", "spec.retry.onExhausted: \"Retry\" is not one of Fail, Discard"),
            ("ownership: {by: Series, labels: [job]}", "spec.ownership.labels: is only used with by: Labels"),
            (
                "onRejected: {action: DropBatch, maxExtraRequests: 5}",
                "spec.onRejected.maxExtraRequests: is only used with action Isolate",
            ),
            ("drainTimeout: 0s", "spec.drainTimeout: 0s is out of range"),
            ("pod: {bogus: 1}", "spec.pod.bogus: there is no such field"),
        ],
    );
    assert!(read(&format!("{SINK}  retry: {{initialDelay: 1s, maxDelay: 1s}}\n")).is_ok());
    assert!(read(&format!("{SINK}  batching: {{maxSamples: 2k}}\n  buffer: {{maxSamples: 2k}}\n")).is_ok());
}

#[test]
fn answers_take_what_their_type_uses() {
    expect_all(
        RECEIVER,
        &[
            ("answers: [{type: Hang, status: 500}]", "spec.answers[0].status: is not used with Hang"),
            (
                "answers: [{type: Redirect, status: 200}]",
                "spec.answers[0].status: 200 does not go with Redirect: write a status from 300 to 399",
            ),
            ("answers: [{type: StatusCode, status: 600}]", "spec.answers[0].status: 600 is out of range"),
            ("answers: [{type: RetryAfter}]", "spec.answers[0].retryAfter: is missing"),
            ("answers: [{type: StatusCode, period: 1s}]", "spec.answers[0].period: is not used with StatusCode"),
            (
                "answers: [{type: StatusCode, every: 2, share: 1%}]",
                "spec.answers[0]: every and share exclude each other",
            ),
            ("answers: [{type: StatusCode, share: 0%}]", "spec.answers[0].share: 0% is never"),
            ("answers: [{type: StatusCode, for: 0s}]", "spec.answers[0].for: 0s is out of range"),
            ("answers: [{type: LargeErrorBody, bodySize: 1Gi}]", "spec.answers[0].bodySize: 1Gi is out of range"),
            ("maxSeries: 0", "spec.maxSeries: 0 is out of range"),
        ],
    );
}
