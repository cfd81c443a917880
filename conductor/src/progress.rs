//! What a run looks like from outside while it goes on.

use protocol::RunPhase;

/// A snapshot, about twice a second.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    pub phase: RunPhase,
    /// What is waited for, in words, in phases that wait.
    pub waiting_for: Option<String>,
    /// Seconds since t0, and the length of the schedule.
    pub elapsed: f64,
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
    /// Seconds by which the slowest lane lags.
    pub backlog_seconds: f64,
    /// Last trouble in words.
    pub trouble: Option<String>,
}

impl Progress {
    pub(crate) fn new(phase: RunPhase) -> Self {
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
            backlog_seconds: 0.0,
            trouble: None,
        }
    }
}
