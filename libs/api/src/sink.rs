//! RemoteWriteSink: workers that own series by ordinal and forward them in order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cel;
use crate::endpoint::Endpoint;
use crate::pod::PodTemplate;
use crate::scalar::{Bytes, Count, Duration};

/// What a sink is asked to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::sink()))]
pub struct RemoteWriteSinkSpec {
    /// The number of workers, 1 to 256. Default 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 256))]
    pub replicas: u32,
    /// Where the samples go.
    pub backend: Endpoint,
    /// Which worker sends which series. Default: by all labels.
    #[serde(default)]
    pub ownership: OwnershipSpec,
    /// When a batch is closed.
    #[serde(default)]
    pub batching: Batching,
    /// How much one worker holds at most.
    #[serde(default)]
    pub buffer: Buffer,
    /// Requests in flight a worker, each for series of its own, 1 to 64. Default 4.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 64))]
    pub lanes: u16,
    /// When a sender's request is acknowledged. Default Delivered.
    #[serde(default)]
    pub ack_policy: AckPolicy,
    /// How an answer that may be retried is retried.
    #[serde(default)]
    pub retry: Retry,
    /// What happens to a batch that the backend refuses for good.
    #[serde(default)]
    pub on_rejected: OnRejected,
    /// Whether workers check samples before sending. Default Disabled.
    #[serde(default)]
    pub validation: Validation,
    /// The volume of each worker; only with ackPolicy Durable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// How long a reshard waits for the buffers to empty. Default 2m.
    #[serde(default = "two_minutes")]
    pub drain_timeout: Duration,
    /// What the workers' pods get; only meaningful in a cluster.
    #[serde(default, skip_serializing_if = "PodTemplate::is_empty")]
    pub pod: PodTemplate,
}

fn one() -> u32 {
    1
}

fn four() -> u16 {
    4
}

fn two_minutes() -> Duration {
    Duration::from_secs(120)
}

/// What decides the owner of a series.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::ownership()))]
pub struct OwnershipSpec {
    /// Series, or Labels. Default Series.
    pub by: OwnershipBy,
    /// With `by: Labels`: the label names that count; series that agree on them stay together. 1 to 16.
    #[schemars(length(max = 16), inner(length(min = 1, max = 256)))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// What decides the owner of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum OwnershipBy {
    /// All labels.
    #[default]
    Series,
    /// The named labels only: keeps a target's series together.
    Labels,
}

/// How samples are put together into requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::batching()))]
pub struct Batching {
    /// Samples in one request at most, 1 to 1M: smaller requests are put together, larger ones are split. Default 2k.
    pub max_samples: Count,
    /// How long samples wait in a lane that is free until a request is full, 0s to 10s. Default 0s: a lane that is free sends
    /// what it has, which is what came in behind the request before. Only third-party senders' requests wait, and with
    /// ackPolicy Buffered generators' requests of up to half of maxSamples.
    pub max_delay: Duration,
}

impl Default for Batching {
    fn default() -> Self {
        Self { max_samples: Count(2000), max_delay: Duration::default() }
    }
}

/// How much one worker holds at most; admission is all or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Buffer {
    /// Samples in the buffer. Default 1M.
    pub max_samples: Count,
    /// Bytes in the buffer. Default 256Mi.
    pub max_bytes: Bytes,
}

impl Default for Buffer {
    fn default() -> Self {
        Self { max_samples: Count(1_000_000), max_bytes: Bytes(256 << 20) }
    }
}

/// When a sender's request is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum AckPolicy {
    /// After the backend's 2xx.
    #[default]
    Delivered,
    /// After the worker's write-ahead log is on disk.
    Durable,
    /// When it is in the worker's memory: a killed worker loses it.
    Buffered,
}

/// How an answer that may be retried is retried: the same batch, in order, after a doubling delay with jitter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::retry()))]
pub struct Retry {
    /// The delay before the first retry. Default 30ms.
    pub initial_delay: Duration,
    /// The delay that doubling stops at. Default 5s.
    pub max_delay: Duration,
    /// The longest Retry-After that is honoured. Default 1m.
    pub max_retry_after: Duration,
    /// Attempts in all, the first one included. Left out: for ever.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// What happens after the last attempt. Default Fail.
    pub on_exhausted: OnExhausted,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            initial_delay: Duration::from_millis(30),
            max_delay: Duration::from_secs(5),
            max_retry_after: Duration::from_secs(60),
            max_attempts: None,
            on_exhausted: OnExhausted::Fail,
        }
    }
}

/// What happens after the last attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum OnExhausted {
    /// The worker fails visibly and holds what it has.
    #[default]
    Fail,
    /// The batch is dropped and counted.
    Discard,
}

/// What happens to a batch that the backend refuses for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::on_rejected(OnRejected::DEFAULT_EXTRA_REQUESTS)))]
pub struct OnRejected {
    /// Isolate, DropBatch or Fail. Default Isolate.
    pub action: RejectedAction,
    /// With Isolate: requests that splitting one batch may cost. Default 64.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_extra_requests: u32,
    /// With Isolate or DropBatch: where refused samples are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<DeadLetter>,
}

impl OnRejected {
    /// The budget of extra requests when nothing is said.
    pub const DEFAULT_EXTRA_REQUESTS: u32 = 64;
}

impl Default for OnRejected {
    fn default() -> Self {
        Self { action: RejectedAction::Isolate, max_extra_requests: Self::DEFAULT_EXTRA_REQUESTS, dead_letter: None }
    }
}

/// What happens to a batch that the backend refuses for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum RejectedAction {
    /// Split it until the bad samples stand alone; keep the good ones.
    #[default]
    Isolate,
    /// Drop and count the whole batch.
    DropBatch,
    /// The worker fails visibly.
    Fail,
}

/// Where refused samples are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DeadLetter {
    /// The size at which the oldest are dropped. Default 64Mi.
    pub max_bytes: Bytes,
}

impl Default for DeadLetter {
    fn default() -> Self {
        Self { max_bytes: Bytes(64 << 20) }
    }
}

/// Whether workers check samples before sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Validation {
    /// They send what they get.
    #[default]
    Disabled,
    /// They count what breaks a rule and send it.
    Count,
    /// They drop and count what breaks a rule.
    Drop,
}

/// The volume of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storage {
    /// The size of the volume. Default 10Gi.
    #[serde(default = "ten_gi")]
    pub size: Bytes,
    /// The storage class. Default: the cluster's.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
}

fn ten_gi() -> Bytes {
    Bytes(10 << 30)
}
