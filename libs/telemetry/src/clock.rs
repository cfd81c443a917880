//! Unix time for those who compare their instants with each other: whoever sets the wall clock meanwhile moves none of them.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A moment of both clocks; from it on, time is counted by the one that never goes back.
#[derive(Debug, Clone, Copy)]
pub struct Anchor {
    instant: Instant,
    unix_ns: u64,
}

impl Anchor {
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::new(Instant::now(), nanos(since))
    }

    /// Nanoseconds since the Unix epoch, at an instant.
    pub fn new(instant: Instant, unix_ns: u64) -> Self {
        Self { instant, unix_ns }
    }

    /// Nanoseconds since the Unix epoch.
    pub fn unix_ns(&self) -> u64 {
        self.unix_ns.saturating_add(nanos(self.instant.elapsed()))
    }

    /// The moment of this Unix time; one before the anchor is as good as that.
    pub fn at(&self, unix_ns: u64) -> Instant {
        self.instant + Duration::from_nanos(unix_ns.saturating_sub(self.unix_ns))
    }
}

/// The clock of one run: the wall clock until it is started, and from then on what that said then, and the time since. Clones are
/// the same clock.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<OnceLock<Anchor>>);

impl Clock {
    /// The wall clock is not looked at any more. Nanoseconds since the Unix epoch.
    pub fn start(&self) -> u64 {
        self.0.get_or_init(Anchor::now).unix_ns()
    }

    pub fn unix_ns(&self) -> u64 {
        self.0.get().copied().unwrap_or_else(Anchor::now).unix_ns()
    }

    pub fn unix_ms(&self) -> u64 {
        self.unix_ns() / 1_000_000
    }
}

/// A clock that was started there.
impl From<Anchor> for Clock {
    fn from(anchor: Anchor) -> Self {
        Self(Arc::new(OnceLock::from(anchor)))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_started_does_not_follow_the_wall_clock() {
        const MINUTE: u64 = 60_000_000_000;
        let (wall, clock) = (Clock::default(), Clock::default());
        let started = clock.clone().start();
        assert!(clock.unix_ns() >= started && wall.unix_ns().abs_diff(started) < MINUTE / 2);
        // As after a step of the wall clock by an hour.
        let now = Anchor::now();
        let stepped = Clock::from(Anchor::new(now.instant, now.unix_ns - 60 * MINUTE));
        assert!(stepped.start().abs_diff(now.unix_ns - 60 * MINUTE) < MINUTE, "it is started once");
        assert_eq!(stepped.unix_ms() / 60_000, stepped.unix_ns() / MINUTE);
        assert!(now.at(now.unix_ns + MINUTE) - now.instant == Duration::from_mins(1) && now.at(1) == now.instant);
    }
}
