//! What is waited for, told in time.

use std::time::{Duration, Instant};

use protocol::{Progress, RunPhase};

/// How long something is waited for before anybody is told: parts need a moment to come up.
const PATIENCE: Duration = Duration::from_secs(3);

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
