//! How long to wait before the same batch is sent again.

use super::Nanos;

/// The waiting rule of one lane. Delays double from `initial`, never shrink while a batch is retried, and stay flat at `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// Before the first retry.
    pub(crate) initial: Nanos,
    /// The largest own delay.
    pub(crate) max: Nanos,
    /// The most that a `Retry-After` can order.
    pub(crate) max_retry_after: Nanos,
}

impl Backoff {
    /// The delay before retry number `retry` (1 is the first) after one of `previous`.
    ///
    /// `random` spreads it over the upper tenth, so that lanes which failed together do not come back together.
    pub(crate) fn delay(&self, retry: u32, previous: Nanos, random: u64) -> Nanos {
        let doublings = retry.saturating_sub(1).min(63);
        let full = self.initial.checked_mul(1 << doublings).map_or(self.max, |delay| delay.min(self.max));
        let spread = full / 10;
        let jittered = full - if spread == 0 { 0 } else { random % (spread + 1) };
        jittered.max(previous)
    }

    /// [`Self::delay`], or what the backend ordered, whichever is longer.
    pub(crate) fn wait(&self, delay: Nanos, retry_after: Option<Nanos>) -> Nanos {
        delay.max(retry_after.unwrap_or(0).min(self.max_retry_after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Backoff = Backoff { initial: 30_000_000, max: 5_000_000_000, max_retry_after: 60_000_000_000 };

    #[test]
    fn a_thousand_retries_are_monotonic_then_flat() {
        let mut previous = 0;
        let mut random = 1_u64;
        for retry in 1..=1000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let delay = RULE.delay(retry, previous, random);
            assert!(delay >= previous, "retry {retry}: {delay} after {previous}");
            assert!(delay <= RULE.max);
            assert!(retry < 10 || delay >= RULE.max / 10 * 9, "retry {retry}: {delay}");
            previous = delay;
        }
    }

    #[test]
    fn the_first_delays_double_within_a_tenth() {
        for (retry, full) in [(1, 30), (2, 60), (3, 120), (8, 3840), (9, 5000), (200, 5000)] {
            for random in [0, 17, u64::MAX] {
                let ms = RULE.delay(retry, 0, random) / 1_000_000;
                assert!(ms <= full && ms >= full * 9 / 10 - 1, "{retry}: {ms}");
            }
        }
        let constant = Backoff { initial: 7, max: 7, ..RULE };
        assert_eq!(constant.delay(40, 0, 0), 7);
    }

    #[test]
    fn an_order_to_wait_is_honoured_and_capped() {
        assert_eq!(RULE.wait(5, Some(7)), 7);
        assert_eq!(RULE.wait(9, Some(7)), 9);
        assert_eq!(RULE.wait(9, None), 9);
        assert_eq!(RULE.wait(9, Some(u64::MAX)), RULE.max_retry_after);
    }
}
