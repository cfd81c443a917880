//! What a run looks like from outside while it goes on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use protocol::RunPhase;

/// How long something is waited for before anybody is told: parts need a moment to come up.
const PATIENCE: Duration = Duration::from_secs(3);

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
    pub drops_by_reason: BTreeMap<String, u64>,
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
            drops_by_reason: BTreeMap::new(),
            backlog_seconds: 0.0,
            trouble: None,
        }
    }
}

/// Holds back what is waited for until it has been so for a while.
#[derive(Debug, Default)]
pub(crate) struct Held {
    since: Option<(String, Instant)>,
}

impl Held {
    pub(crate) fn tell(&mut self, waiting: String, phase: RunPhase, progress: &(dyn Fn(Progress) + Send + Sync)) {
        if self.persisted(&waiting, Instant::now()) {
            progress(Progress { waiting_for: Some(waiting), ..Progress::new(phase) });
        }
    }

    fn persisted(&mut self, waiting: &str, now: Instant) -> bool {
        // A count that moves makes it no other thing.
        let kind: String = waiting.chars().filter(|letter| !letter.is_ascii_digit()).collect();
        match &self.since {
            Some((known, since)) if *known == kind => now.duration_since(*since) >= PATIENCE,
            _ => {
                self.since = Some((kind, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_told_once_it_persisted() {
        let mut held = Held::default();
        let start = Instant::now();
        let mut at = |seconds: u64, text: &str| held.persisted(text, start + Duration::from_secs(seconds));
        assert!(!at(0, "generator 0: 10 % made"));
        assert!(!at(2, "generator 0: 20 % made"));
        assert!(at(3, "generator 0: 30 % made"));
        assert!(!at(4, "receiver 0: connection refused"), "something else is waited for now");
        assert!(at(7, "receiver 0: connection refused"));
    }
}
