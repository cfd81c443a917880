//! The three documents of Floodmark: what a user may ask for.
//!
//! Knows the types of `floodmark.dev/v1alpha1`, their defaults and bounds, how YAML becomes them with the line and column
//! of every mistake, which capabilities are not there yet, and the custom resource definitions generated from all that.
//! Refuses to know files, networks, clocks and clusters: it turns text into documents and reads no secret.
//! Refuses to know how anything is carried out: roles get plain plan structs made from these documents elsewhere.
//!
//! [`load`] is the whole way from text to a checked [`Bundle`]; it reports every problem, not the first.

#![allow(clippy::doc_markdown, reason = "the descriptions of fields become plain text in the definitions")]

mod bundle;
mod cel;
#[cfg(test)]
mod cel_tests;
mod crd;
#[cfg(test)]
mod crd_tests;
mod endpoint;
mod fault_type;
mod load_test;
mod load_test_parts;
mod parse;
mod pod;
mod problem;
mod receiver;
pub mod scalar;
mod schema;
mod sink;
mod status;
mod threshold;
mod unavailable;
mod validate;
mod yaml;

pub use bundle::{API_VERSION, Bundle, Object, Source};
pub use crd::crds;
pub use endpoint::{
    Authorization, BasicAuth, Endpoint, Header, HeaderSource, PartialWrites, Protocol, Ref, SecretKey,
    SecretOrConfigMap, ServerTlsConfig, Sigv4, TlsConfig,
};
pub use load_test::{
    Churn, ChurnMode, ConductorSpec, GeneratorSpec, LabelsSpec, LoadTestSpec, Overload, OverloadPolicy, Stage,
    TargetRef, ValueKind, WorkloadGroup,
};
pub use load_test_parts::{
    ChaosAction, ChaosStep, DelaySpec, Depth, Distribution, Fault, FaultType, FutureTimestampParams, OutOfOrderParams,
    Placement, Pushgateway, ReadBack, Results,
};
pub use parse::{MAX_FILE_BYTES, MAX_FILES, load, load_without_references};
pub use pod::{Free, PodTemplate};
pub use problem::{Problem, Problems};
pub use receiver::{Answer, AnswerType, Profile, RemoteWriteReceiverSpec};
pub use scalar::{Bytes, Count, Duration, Share};
pub use sink::{
    AckPolicy, Batching, Buffer, DeadLetter, OnExhausted, OnRejected, OwnershipBy, OwnershipSpec, RejectedAction,
    RemoteWriteSinkSpec, Retry, Storage, Validation,
};
pub use status::{
    Condition, ConditionStatus, LatencyStatus, LatencySummary, LoadTestStatus, OwnershipStatus,
    RemoteWriteReceiverStatus, RemoteWriteSinkStatus, SamplesStatus,
};
pub use threshold::{LatencyKind, LedgerCount, Limit, LimitValue, Percentile, Threshold, ThresholdMetric, Unit};
pub use unavailable::fault_available;
pub use validate::{FieldProblem, check_load_test, check_receiver, check_references, check_sink, local_warnings};
pub use yaml::write as to_yaml;
