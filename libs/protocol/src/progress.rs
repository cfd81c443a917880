//! What a run looks like from outside while it goes on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::RunPhase;

/// A snapshot, about twice a second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    pub phase: RunPhase,
    /// What is waited for, in words, in phases that wait.
    pub waiting_for: Option<String>,
    /// Seconds since t0, and the length of the schedule.
    #[serde(default)]
    pub elapsed: f64,
    #[serde(default)]
    pub duration: f64,
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
    /// Refused good and faulty samples.
    pub refused: u64,
    /// Samples that workers dropped or had rejected, and that generators skipped.
    pub drops: u64,
    pub drops_by_reason: BTreeMap<String, u64>,
    /// Seconds by which the slowest lane lags.
    #[serde(default)]
    pub backlog_seconds: f64,
    /// Last trouble in words.
    pub trouble: Option<String>,
}

impl Progress {
    /// Nothing but the phase is known.
    pub fn new(phase: RunPhase) -> Self {
        Self {
            phase,
            waiting_for: None,
            elapsed: 0.0,
            duration: 0.0,
            stage: 0,
            stages: 0,
            target_rate: 0.0,
            rate: 0.0,
            response_p99_ms: None,
            generated: 0,
            acknowledged: 0,
            refused: 0,
            drops: 0,
            drops_by_reason: BTreeMap::new(),
            backlog_seconds: 0.0,
            trouble: None,
        }
    }
}

/// `GET /progress` at the conductor, for an engine that is not in its process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgressDoc {
    pub run: String,
    /// Nanoseconds since the Unix epoch.
    pub t0: Option<u64>,
    #[serde(flatten)]
    pub now: Progress,
    /// [`crate::EngineReport::seq`] that was read last.
    pub engine_seq: u64,
    /// `Passed`, `Failed` or `Inconclusive`, once the results are written; the summary is at `/summary` then.
    pub verdict: Option<String>,
    pub reasons: Vec<String>,
}
