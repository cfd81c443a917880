//! What a run looks like from outside while it goes on, for an engine that is not in the conductor's process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::RunPhase;

/// `GET /progress` at the conductor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgressDoc {
    pub run: String,
    pub phase: RunPhase,
    /// What is waited for, in words, in phases that wait.
    pub waiting_for: Option<String>,
    /// Nanoseconds since the Unix epoch.
    pub t0: Option<u64>,
    /// Index of the stage, and how many there are.
    pub stage: usize,
    pub stages: usize,
    /// Samples a second: due now, and acknowledged over the last second.
    pub target_rate: f64,
    pub rate: f64,
    /// Of the last seconds, in milliseconds.
    pub response_p99_ms: Option<f64>,
    pub generated: u64,
    pub acknowledged: u64,
    pub refused: u64,
    pub drops: u64,
    pub drops_by_reason: BTreeMap<String, u64>,
    /// Last trouble in words.
    pub trouble: Option<String>,
    /// [`crate::EngineReport::seq`] that was read last.
    pub engine_seq: u64,
    /// `Passed`, `Failed` or `Inconclusive`, once the results are written; the summary is at `/summary` then.
    pub verdict: Option<String>,
    pub reasons: Vec<String>,
}
