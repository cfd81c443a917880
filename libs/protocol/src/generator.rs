//! What a generator serves about itself.

use std::collections::BTreeMap;

use ledger::{Exception, FaultAccount, GeneratorAccount};
use serde::{Deserialize, Serialize};

use crate::CpuUse;

/// How far a generator is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state", content = "reason")]
pub enum GeneratorState {
    /// Fetching its plan, computing its lanes, looking for the target.
    Preparing(String),
    /// Waits for t0.
    Ready,
    Running,
    /// The account is final.
    Done,
    /// It ended before its schedule did, and neither by the conductor's word nor by the target's doing: a signal, or a breakdown of
    /// its own. The account is final; where samples are missing in it, the exceptions say that they are not complete.
    Stopped(String),
    /// It cannot go on for what it was told or what the target did; the text says why and what to do.
    Failed(String),
}

impl GeneratorState {
    /// Whether the account does not change any more.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Done | Self::Stopped(_) | Self::Failed(_))
    }
}

/// `GET /account` at a generator. Everything not named by an exception was acknowledged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GeneratorReport {
    pub index: u32,
    pub incarnation: String,
    pub state: GeneratorState,
    /// Of the map that holds. Lanes of the whole target: `replicas × lanes` of the sink, or connections.
    pub replicas: u32,
    pub lanes: u32,
    pub account: GeneratorAccount,
    /// Requests with an outcome, however often each was sent.
    pub requests: u64,
    /// Requests sent, each repetition counted; of these, without a 2xx; and repetitions alone.
    pub attempts: u64,
    pub failed_attempts: u64,
    pub retries: u64,
    pub stages: Vec<StageProgress>,
    /// By position in the document's faults.
    pub faults: Vec<FaultCount>,
    /// The maps of the target that it sent by, the first to the last; at least one once it is ready.
    #[serde(default)]
    pub epochs: Vec<SentEpoch>,
    /// Coalesced; in order of epoch, lane and request.
    pub exceptions: Vec<Exception>,
    /// True when the list above is not complete: it hit its bound, or a lane broke down.
    pub exceptions_truncated: bool,
    /// Share of wall time in which every lane with due samples was busy waiting for the target, 0 to 1.
    pub lanes_busy_share: f64,
    /// Requests that left late while their lane was idle (later than 10 ms): the generator's own lateness.
    pub late_requests: u64,
    /// From the intended time of a request to its acknowledgement, the longest of all, warm-up included: nanoseconds.
    #[serde(default)]
    pub lag_ns: u64,
    /// Seconds by which the last lane lags behind the schedule now.
    pub backlog_seconds: f64,
    /// Last transport error or refusal in words, for the live view and the verdict's reasons.
    pub last_error: Option<String>,
    pub cpu: CpuUse,
}

/// A map of the target that a generator sent by, and how it was left. Times in ns since t0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SentEpoch {
    /// Number of the sink's map when it was taken up; 0 without a sink. A later map of the same shape is no epoch of its own.
    pub epoch: u64,
    /// Workers; 1 without a sink.
    pub replicas: u32,
    /// Lanes of each worker.
    pub lanes: u16,
    /// When requests were first made by it.
    pub from_ns: u64,
    /// From the first refusal of a request that had to wait for this map to the first acknowledgement under it; `None` while
    /// there is none, and in the first map.
    pub pause_ns: Option<u64>,
    /// For each lane of all workers, the first sample that it did not settle. Empty in the map that holds.
    pub cuts: Vec<ledger::Position>,
}

/// One stage as this generator saw it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StageProgress {
    /// Samples due in the stage.
    pub due: u64,
    /// Of these, acknowledged (or definitely refused) by the stage's end + 1 s.
    pub in_time: u64,
}

/// What became of the samples drawn for one of the document's faults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FaultCount {
    pub account: FaultAccount,
    /// Refused samples by HTTP status.
    pub statuses: BTreeMap<u16, u64>,
    /// Up to ten answers against the expectation, in words: series and answer.
    pub examples: Vec<String>,
}
