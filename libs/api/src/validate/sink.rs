//! The rules of a sink.

use super::{DAY, FieldProblem, HOUR, MAX_BATCH_DELAY, MAX_CONNECTIONS, MILLISECOND, Rules, endpoint, too_connected};
use crate::{
    AckPolicy, Bytes, Count, Duration, OnRejected, OwnershipBy, RejectedAction, RemoteWriteSinkSpec, unavailable,
};

/// All that is wrong with a sink, what is not available yet included; references are not looked up.
pub fn check_sink(spec: &RemoteWriteSinkSpec) -> Vec<FieldProblem> {
    let mut rules = Rules::default();
    rules.need((1..=256).contains(&spec.replicas), || "spec.replicas".into(), || out_of(spec.replicas, 1, 256));
    rules.need((1..=64).contains(&spec.lanes), || "spec.lanes".into(), || out_of(spec.lanes.into(), 1, 64));
    let connections = spec.replicas.saturating_mul(spec.lanes.into());
    rules.agree(
        spec.backend.receiver_ref.is_none() || connections <= MAX_CONNECTIONS,
        || "spec.lanes".into(),
        &["replicas", "spec.backend"],
        || {
            let (replicas, lanes) = (spec.replicas, spec.lanes);
            let all = too_connected("replicas * lanes");
            format!("{replicas} workers with {lanes} lanes open {connections} connections to the receiver: {all}")
        },
    );
    endpoint::check(&mut rules, &spec.backend, "spec.backend");
    ownership(&mut rules, spec);
    buffers(&mut rules, spec);
    retry(&mut rules, spec);
    let on = &spec.on_rejected;
    rules.agree(
        on.action == RejectedAction::Isolate || on.max_extra_requests == OnRejected::DEFAULT_EXTRA_REQUESTS,
        || "spec.onRejected.maxExtraRequests".into(),
        &["action"],
        || "is only used with action Isolate: remove it".into(),
    );
    rules.agree(
        !(on.action == RejectedAction::Fail && on.dead_letter.is_some()),
        || "spec.onRejected.deadLetter".into(),
        &["action"],
        || "is not used with action Fail: remove it".into(),
    );
    if let Some(dead_letter) = &on.dead_letter {
        size(&mut rules, dead_letter.max_bytes, "spec.onRejected.deadLetter.maxBytes");
    }
    if let Some(storage) = &spec.storage {
        size(&mut rules, storage.size, "spec.storage.size");
    }
    let durable = spec.ack_policy == AckPolicy::Durable;
    rules.agree(
        durable == spec.storage.is_some(),
        || "spec.storage".into(),
        &["ackPolicy"],
        || {
            let text = if durable {
                "ackPolicy Durable needs storage: write {size: 10Gi}"
            } else {
                "is only used with ackPolicy Durable: remove it"
            };
            text.into()
        },
    );
    rules.between(spec.drain_timeout, MILLISECOND, DAY, || "spec.drainTimeout".into());
    unavailable::sink(spec, &mut rules.0);
    rules.found()
}

fn out_of(value: u32, min: u32, max: u32) -> String {
    format!("{value} is out of range: write a number from {min} to {max}")
}

fn size(rules: &mut Rules, value: Bytes, field: &str) {
    const MIN: Bytes = Bytes(1 << 20);
    const MAX: Bytes = Bytes(64 << 40);
    rules.need(
        (MIN..=MAX).contains(&value),
        || field.into(),
        || format!("{value} is out of range: write a size from {MIN} to {MAX}"),
    );
}

fn ownership(rules: &mut Rules, spec: &RemoteWriteSinkSpec) {
    let labels = &spec.ownership.labels;
    match spec.ownership.by {
        OwnershipBy::Series => rules.agree(
            labels.is_empty(),
            || "spec.ownership.labels".into(),
            &["by"],
            || "is only used with by: Labels: remove it, or write by: Labels".into(),
        ),
        OwnershipBy::Labels => rules.agree(
            !labels.is_empty(),
            || "spec.ownership.labels".into(),
            &["by"],
            || "by: Labels needs label names: write labels: [job, instance]".into(),
        ),
    }
    for (i, label) in labels.iter().enumerate() {
        rules.need(
            !labels[..i].contains(label),
            || format!("spec.ownership.labels[{i}]"),
            || format!("{label} is given twice: remove one"),
        );
    }
}

fn buffers(rules: &mut Rules, spec: &RemoteWriteSinkSpec) {
    const MAX: Count = Count(1_000_000);
    let (batch, buffer) = (spec.batching.max_samples, spec.buffer.max_samples);
    rules.need(
        (1..=MAX.0).contains(&batch.0),
        || "spec.batching.maxSamples".into(),
        || format!("{batch} is out of range: write a count from 1 to {MAX}"),
    );
    rules.agree(
        batch <= buffer,
        || "spec.batching.maxSamples".into(),
        &["spec.buffer.maxSamples"],
        || format!("{batch} is more than buffer.maxSamples, {buffer}: a batch has to fit into the buffer"),
    );
    rules.need(
        (1..=10_000_000_000).contains(&buffer.0),
        || "spec.buffer.maxSamples".into(),
        || format!("{buffer} is out of range: write a count from 1 to 10G"),
    );
    rules.between(spec.batching.max_delay, Duration::default(), MAX_BATCH_DELAY, || "spec.batching.maxDelay".into());
    size(rules, spec.buffer.max_bytes, "spec.buffer.maxBytes");
}

fn retry(rules: &mut Rules, spec: &RemoteWriteSinkSpec) {
    let retry = &spec.retry;
    rules.between(retry.initial_delay, MILLISECOND, HOUR, || "spec.retry.initialDelay".into());
    rules.between(retry.max_delay, MILLISECOND, HOUR, || "spec.retry.maxDelay".into());
    rules.agree(
        retry.max_delay >= retry.initial_delay,
        || "spec.retry.maxDelay".into(),
        &["initialDelay"],
        || format!("{} is less than initialDelay, {}: write at least that", retry.max_delay, retry.initial_delay),
    );
    rules.between(retry.max_retry_after, MILLISECOND, DAY, || "spec.retry.maxRetryAfter".into());
    if let Some(attempts) = retry.max_attempts {
        rules.need(
            (1..=1_000_000).contains(&attempts),
            || "spec.retry.maxAttempts".into(),
            || format!("{attempts} is out of range: write a number from 1 to 1000000, or remove it for no limit"),
        );
    }
}
