//! Warnings that cannot flood.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Lets `burst` events through in each window of `per`, and says how many it held back before.
pub struct Limiter {
    burst: u64,
    per_ns: u64,
    /// Number of the window that `taken` counts in, plus one; 0 before the first event.
    window: AtomicU64,
    taken: AtomicU64,
    suppressed: AtomicU64,
}

impl Limiter {
    /// For a `static`: one place in the code, one limiter. A `burst` of 0 counts as 1, a `per` of 0 as a nanosecond.
    pub const fn new(burst: u32, per: Duration) -> Self {
        let per_ns = per.as_nanos() as u64;
        Self {
            burst: if burst == 0 { 1 } else { burst as u64 },
            per_ns: if per_ns == 0 { 1 } else { per_ns },
            window: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        }
    }

    /// `Some(suppressed since the last one let through)`, or `None` to hold this one back.
    pub fn allow(&self) -> Option<u64> {
        static START: OnceLock<Instant> = OnceLock::new();
        self.allow_at(START.get_or_init(Instant::now).elapsed())
    }

    fn allow_at(&self, now: Duration) -> Option<u64> {
        let window = now.as_nanos() as u64 / self.per_ns + 1;
        let last = self.window.swap(window, Relaxed);
        if last != window {
            // Two threads may both open the window: one event more, which no reader minds.
            self.taken.store(0, Relaxed);
        }
        if self.taken.fetch_add(1, Relaxed) < self.burst {
            Some(self.suppressed.swap(0, Relaxed))
        } else {
            self.suppressed.fetch_add(1, Relaxed);
            None
        }
    }
}

/// `warn_limited!(LIMITER, field = value, "text")`: a `tracing::warn!` with the field `suppressed`, when the limiter lets it.
#[macro_export]
macro_rules! warn_limited {
    ($limiter:expr, $($arg:tt)+) => {
        if let Some(suppressed) = $limiter.allow() {
            $crate::__tracing::warn!(suppressed, $($arg)+);
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_becomes_a_burst_a_window_and_nothing_is_forgotten() {
        let limiter = Limiter::new(3, Duration::from_secs(10));
        let (mut let_through, mut told) = (0, 0);
        for ms in 0..25_000 {
            if let Some(suppressed) = limiter.allow_at(Duration::from_millis(ms)) {
                let_through += 1;
                told += suppressed;
            }
        }
        assert_eq!(let_through, 9, "three windows of three");
        assert_eq!(let_through + told + limiter.suppressed.load(Relaxed), 25_000);
        assert_eq!(told, 2 * (10_000 - 3));
    }

    #[test]
    fn the_macro_takes_fields_and_text() {
        static LIMITER: Limiter = Limiter::new(1, Duration::from_hours(1));
        for status in [500, 503] {
            crate::warn_limited!(LIMITER, status, reason = "server_error", "dropped {} samples", 3);
        }
        assert_eq!(LIMITER.suppressed.load(Relaxed), 1);
    }
}
