//! Values as a pure function of (series, k). All are integers below 2^47, so that every backend returns them exactly and
//! the numbers above stay free for marking injected faults.

use crate::mix::{below, mix, mix2};
use crate::shape::Kind;

/// Samples between two fixed points of a gauge's walk.
const LATTICE: u64 = 16;

/// The value of sample `k`. `key` identifies the series and its generation (of a histogram: the family).
pub(crate) fn value(kind: Kind, key: u64, k: u32) -> f64 {
    let n = u64::from(k);
    let integer = match kind {
        Kind::Constant => below(key, 1_000_000),
        Kind::Counter | Kind::Count => counter(key, n),
        Kind::Gauge => gauge(key, n),
        Kind::Sine => sine(key, n),
        Kind::Sparse => {
            let draw = mix2(key, n);
            if draw.trailing_zeros() >= 6 { 1 + below(draw, 1000) } else { 0 }
        }
        Kind::Bucket { share } => counter(key, n) * share / 1024,
        // A mean between 1 and 64 ms: rises exactly when the count does.
        Kind::Sum => counter(key, n) * (1 + (key >> 58)),
    };
    integer as f64
}

/// Rises in every sample: a fixed step, and a jitter smaller than the step.
fn counter(key: u64, k: u64) -> u64 {
    let start = key >> 44;
    let step = 1 + (key & 0xff);
    start + k * step + below(mix(key.wrapping_add(k.wrapping_mul(0x9e37_79b9_7f4a_7c15))), step)
}

/// A bounded walk: straight lines between seeded fixed points, and a little noise.
fn gauge(key: u64, k: u64) -> u64 {
    let (cell, at) = (k / LATTICE, k % LATTICE);
    let from = below(mix2(key, cell), 900_000);
    let to = below(mix2(key, cell + 1), 900_000);
    let noise = below(mix2(!key, k), 1000);
    (from * (LATTICE - at) + to * at) / LATTICE + noise
}

/// Around 500 000, amplitude 400 000, period 60 to 315 samples. Bhaskara's rational approximation in integers: libm's sine
/// differs between machines.
fn sine(key: u64, k: u64) -> u64 {
    const HALF: u64 = 1 << 12;
    let period = 60 + (key & 0xff);
    let angle = (k + (key >> 32)) % period * (2 * HALF) / period;
    let x = angle % HALF;
    let arc = x * (HALF - x);
    let height = 400_000 * 16 * arc / (5 * HALF * HALF - 4 * arc);
    if angle < HALF { 500_000 + height } else { 500_000 - height }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KINDS: [Kind; 9] = [
        Kind::Counter,
        Kind::Gauge,
        Kind::Sine,
        Kind::Sparse,
        Kind::Constant,
        Kind::Sum,
        Kind::Count,
        Kind::Bucket { share: 61 },
        Kind::Bucket { share: 1024 },
    ];

    proptest! {
        #[test]
        fn values_are_exact_integers_below_the_marks(key: u64, k: u32) {
            for kind in KINDS {
                let v = value(kind, key, k);
                prop_assert!(v >= 0.0 && v < (1u64 << 47) as f64 && v.fract() == 0.0, "{:?} {}", kind, v);
            }
        }

        #[test]
        fn counters_and_histograms_rise(key: u64, k in 0u32..u32::MAX) {
            prop_assert!(value(Kind::Counter, key, k) < value(Kind::Counter, key, k + 1));
            for kind in [Kind::Sum, Kind::Count, Kind::Bucket { share: 61 }] {
                prop_assert!(value(kind, key, k) <= value(kind, key, k + 1));
            }
            let buckets: Vec<f64> = [61, 142, 1003, 1024].iter().map(|&share| value(Kind::Bucket { share }, key, k)).collect();
            prop_assert!(buckets.windows(2).all(|w| w[0] <= w[1]));
            prop_assert_eq!(buckets[3].to_bits(), value(Kind::Count, key, k).to_bits());
        }

        #[test]
        fn gauges_are_bounded_walks(key: u64, k in 0u32..1_000_000) {
            let step = (value(Kind::Gauge, key, k) - value(Kind::Gauge, key, k + 1)).abs();
            prop_assert!(step <= 900_000.0 / 16.0 + 1001.0);
        }
    }

    #[test]
    fn sparse_is_mostly_zero_but_not_always() {
        let spikes = (0..10_000).filter(|&k| value(Kind::Sparse, 7, k) > 0.0).count();
        assert!((80..250).contains(&spikes), "{spikes}");
    }

    #[test]
    fn the_sine_covers_its_range() {
        let values: Vec<f64> = (0..400).map(|k| value(Kind::Sine, 3, k)).collect();
        let (low, high) = values.iter().fold((f64::MAX, 0.0f64), |(l, h), &v| (l.min(v), h.max(v)));
        assert!(low < 110_000.0 && high > 890_000.0, "{low} {high}");
    }
}
