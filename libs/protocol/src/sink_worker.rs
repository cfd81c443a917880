//! What a sink-worker is told, and what it serves about itself.

use ledger::WorkerAccount;
use serde::{Deserialize, Serialize};

use crate::CpuUse;

/// The fixed part of a worker's configuration. What may change while it runs is `ownership::ControlDocument`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkWorkerPlan {
    /// Name of the sink.
    pub name: String,
    /// The backend, its Secrets resolved to files.
    pub backend: floodmark_http::client::Endpoint,
    pub protocol: api::Protocol,
    pub partial_writes: api::PartialWrites,
    pub batching: api::Batching,
    pub buffer: api::Buffer,
    pub ack_policy: api::AckPolicy,
    pub retry: api::Retry,
    pub on_rejected: api::OnRejected,
    pub drain_timeout: api::Duration,
}

/// `GET /ownership`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnershipDoc {
    pub sink_uid: String,
    pub epoch: u64,
    pub replicas: u32,
    pub lanes: u16,
    /// What decides the owner; a worker of an older version does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ownership::By>,
    /// Base addresses by ordinal.
    pub addresses: Vec<String>,
}

/// `GET /account` at a sink-worker: of this incarnation, since the run began that the control document names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerReport {
    pub ordinal: u32,
    pub epoch: u64,
    /// Epoch of the draining control document that is obeyed, once nothing that was taken in is left to send.
    #[serde(default)]
    pub drained: Option<u64>,
    /// The run whose account this is; none before the first.
    #[serde(default)]
    pub run: Option<String>,
    pub account: WorkerAccount,
    /// It was told to end and holds nothing any more: the account is final.
    #[serde(default)]
    pub closed: bool,
    /// Why the worker can never go on (401, 403, 404, 415, `onExhausted: Fail`), with the answer's text.
    pub fatal: Option<String>,
    /// Why the worker has not reached its backend yet, and is not ready.
    #[serde(default)]
    pub unreachable: Option<String>,
    /// Last retryable trouble in words.
    pub last_error: Option<String>,
    /// Times at which the process noticed that it had been stopped or starved for longer than 1 s, Unix milliseconds.
    pub stalls: Vec<u64>,
    pub cpu: CpuUse,
}
