//! What the documents can say and Floodmark cannot do yet: one line each. Building a capability means deleting its line.

use crate::validate::FieldProblem;
use crate::{
    AckPolicy, AnswerType, Depth, Endpoint, FaultType, LoadTestSpec, OwnershipBy, Profile, Protocol,
    RemoteWriteReceiverSpec, RemoteWriteSinkSpec, Validation,
};

/// Faults that can be injected today.
const FAULTS: [FaultType; 8] = [
    FaultType::OutOfOrder,
    FaultType::ConflictingDuplicate,
    FaultType::FutureTimestamp,
    FaultType::MissingMetricName,
    FaultType::DuplicateLabel,
    FaultType::InvalidLabelName,
    FaultType::TruncatedProtobuf,
    FaultType::CorruptSnappy,
];

/// A field, whether the spec uses what is missing, and what to do instead.
type Rule<S> = (&'static str, fn(&S) -> bool, &'static str);

const ENDPOINT: &[Rule<Endpoint>] = &[
    (".protocol", |e| e.protocol == Protocol::V2, "protocol \"2.0\"; write \"1.0\""),
    (".sigv4", |e| e.sigv4.is_some(), "sigv4; use authorization or basicAuth, or a signing proxy"),
];

const SINK: &[Rule<RemoteWriteSinkSpec>] = &[
    ("spec.ownership.by", |s| s.ownership.by == OwnershipBy::Labels, "ownership by Labels; write Series"),
    ("spec.ackPolicy", |s| s.ack_policy == AckPolicy::Durable, "ackPolicy Durable; write Delivered or Buffered"),
    ("spec.storage", |s| s.storage.is_some(), "storage; remove it"),
    ("spec.onRejected.deadLetter", |s| s.on_rejected.dead_letter.is_some(), "deadLetter; remove it"),
    ("spec.validation", |s| s.validation != Validation::Disabled, "validation in the sink; write Disabled"),
];

const RECEIVER: &[Rule<RemoteWriteReceiverSpec>] = &[
    ("spec.profile", |r| r.profile != Profile::Strict, "profiles other than Strict; write Strict"),
    ("spec.outOfOrderWindow", |r| !r.out_of_order_window.is_zero(), "a window for samples out of order; write 0s"),
    ("spec.forwardTo", |r| r.forward_to.is_some(), "forwardTo; remove it"),
    (
        "spec.tlsConfig.clientCa",
        |r| r.tls_config.as_ref().is_some_and(|tls| tls.client_ca.is_some()),
        "client certificates; remove clientCa",
    ),
];

const LOAD_TEST: &[Rule<LoadTestSpec>] = &[
    (
        "spec.readBack.depth",
        |t| t.read_back.as_ref().is_some_and(|r| r.depth != Depth::Full),
        "depths other than Full; write Full",
    ),
    ("spec.results.pushgateway", |t| t.results.pushgateway.is_some(), "pushgateway; remove it"),
];

const ANSWERS: [AnswerType; 3] = [AnswerType::WrittenMissing, AnswerType::WrittenTooLow, AnswerType::WrittenTooHigh];

/// Can this fault be injected today?
pub fn fault_available(fault: FaultType) -> bool {
    FAULTS.contains(&fault)
}

fn apply<S>(rules: &[Rule<S>], spec: &S, prefix: &str, problems: &mut Vec<FieldProblem>) {
    for (field, used, what) in rules {
        if used(spec) {
            problems.push(FieldProblem::new(format!("{prefix}{field}"), format!("not available yet: {what}")));
        }
    }
}

pub(crate) fn sink(spec: &RemoteWriteSinkSpec, problems: &mut Vec<FieldProblem>) {
    apply(SINK, spec, "", problems);
    apply(ENDPOINT, &spec.backend, "spec.backend", problems);
}

pub(crate) fn receiver(spec: &RemoteWriteReceiverSpec, problems: &mut Vec<FieldProblem>) {
    apply(RECEIVER, spec, "", problems);
    for (i, answer) in spec.answers.iter().enumerate().filter(|(_, answer)| ANSWERS.contains(&answer.r#type)) {
        let message =
            format!("not available yet: answer {:?}, which belongs to protocol \"2.0\"; remove it", answer.r#type);
        problems.push(FieldProblem::new(format!("spec.answers[{i}].type"), message));
    }
}

pub(crate) fn load_test(spec: &LoadTestSpec, problems: &mut Vec<FieldProblem>) {
    apply(LOAD_TEST, spec, "", problems);
    if let Some(endpoint) = &spec.target.endpoint {
        apply(ENDPOINT, endpoint, "spec.target.endpoint", problems);
    }
    if let Some(read_back) = &spec.read_back {
        let stores = [("prometheus", &read_back.prometheus), ("victoriaMetrics", &read_back.victoria_metrics)];
        for (name, endpoint) in stores.into_iter().filter_map(|(name, e)| e.as_ref().map(|e| (name, e))) {
            apply(ENDPOINT, endpoint, &format!("spec.readBack.{name}"), problems);
        }
    }
    for (i, fault) in spec.faults.iter().enumerate().filter(|(_, fault)| !fault_available(fault.r#type)) {
        let names: Vec<&str> = FAULTS.iter().map(|fault| fault.name()).collect();
        let message = format!("not available yet: fault {}; available are {}", fault.r#type, names.join(", "));
        problems.push(FieldProblem::new(format!("spec.faults[{i}].type"), message));
    }
}
