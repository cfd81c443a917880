//! The one pair of bounds and the two resolutions, so that any two histograms of a run can be added.

use hdrhistogram::Histogram;

/// Lowest value, in microseconds. Anything shorter counts as this.
pub const LOWEST_US: u64 = 1;
/// Highest value, in microseconds (one hour). Anything longer is recorded as this and counted as over range.
pub const HIGHEST_US: u64 = 3_600_000_000;
/// Significant decimal digits of the histogram of a whole run.
pub const TOTAL_DIGITS: u8 = 3;
/// Significant decimal digits of the histogram of one interval.
pub const INTERVAL_DIGITS: u8 = 2;
/// Closed intervals a distribution keeps. Beyond it the oldest neighbours are joined, so a run of any length fits.
pub const MAX_INTERVALS: usize = 1800;

/// Nanoseconds as whole microseconds, rounded up: a latency is never understated, and never zero.
pub fn micros(nanos: u64) -> u64 {
    nanos.div_ceil(1000).max(LOWEST_US)
}

#[expect(clippy::expect_used, reason = "the bounds are constants of this file and a test creates both")]
fn with_digits(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(LOWEST_US, HIGHEST_US, digits).expect("constant bounds are valid")
}

/// An empty histogram for a whole run.
pub(crate) fn total() -> Histogram<u64> {
    with_digits(TOTAL_DIGITS)
}

/// An empty histogram for one interval.
pub(crate) fn interval() -> Histogram<u64> {
    with_digits(INTERVAL_DIGITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_resolutions_hold_the_bounds() {
        for (mut h, digits) in [(total(), TOTAL_DIGITS), (interval(), INTERVAL_DIGITS)] {
            assert_eq!(h.sigfig(), digits);
            h.record(LOWEST_US).unwrap();
            h.record(HIGHEST_US).unwrap();
            let top = h.value_at_quantile(1.0);
            assert!((HIGHEST_US..HIGHEST_US / 100 * 102).contains(&top));
        }
    }

    #[test]
    fn microseconds_round_up_and_are_never_zero() {
        assert_eq!([0, 1, 999, 1000, 1001, 2000].map(micros), [1, 1, 1, 1, 2, 2]);
        assert_eq!(micros(u64::MAX), u64::MAX / 1000 + 1);
    }
}
