//! Seeded delays. Logarithm and exponential are made of additions, multiplications and divisions only: those of libm differ
//! between machines, and the ledger must compute the very millisecond that the generator sent.

use api::{DelaySpec, Distribution};

/// Longest delay drawn from an open-ended distribution, as validation has it.
const MAX_MS: f64 = 86_400_000.0;

/// A distribution in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Delay {
    Constant(f64),
    Uniform { min: f64, max: f64 },
    Exponential { mean: f64, max: f64 },
    Pareto { min: f64, shape: f64, max: f64 },
}

impl Delay {
    /// `None` with the reason when the document leaves out what the distribution needs.
    pub(crate) fn new(spec: &DelaySpec) -> Result<Self, &'static str> {
        let ms = |d: Option<api::Duration>| d.map(|d| d.as_nanos() as f64 / 1e6);
        let cap = ms(spec.max).unwrap_or(MAX_MS).min(MAX_MS);
        match spec.distribution {
            Distribution::Constant => Ok(Self::Constant(ms(spec.mean).ok_or("Constant needs `mean`")?)),
            Distribution::Uniform => {
                let (min, max) = (ms(spec.min).unwrap_or(0.0), ms(spec.max).ok_or("Uniform needs `max`")?);
                if min > max { Err("Uniform needs `min` up to `max`") } else { Ok(Self::Uniform { min, max }) }
            }
            Distribution::Exponential => {
                Ok(Self::Exponential { mean: ms(spec.mean).ok_or("Exponential needs `mean`")?, max: cap })
            }
            Distribution::Pareto => {
                let min = ms(spec.min).filter(|m| *m > 0.0).ok_or("Pareto needs `min` above 0")?;
                let shape = spec.pareto_shape();
                if shape > 0.0 {
                    Ok(Self::Pareto { min, shape, max: cap })
                } else {
                    Err("Pareto needs `shape` above 0")
                }
            }
        }
    }

    /// Whole milliseconds, at least 1, from 64 uniform bits.
    pub(crate) fn draw_ms(self, bits: u64) -> i64 {
        // In (0, 1]: 53 bits, never 0.
        let u = ((bits >> 11) + 1) as f64 / (1u64 << 53) as f64;
        let ms = match self {
            Self::Constant(ms) => ms,
            Self::Uniform { min, max } => min + (max - min) * (1.0 - u),
            Self::Exponential { mean, max } => (-mean * ln(u)).min(max),
            Self::Pareto { min, shape, max } => {
                // Above 60 the power is far beyond any cap.
                let exponent = (-ln(u) / shape).min(60.0);
                (min * exp(exponent)).min(max)
            }
        };
        (ms.round() as i64).max(1)
    }
}

/// Natural logarithm of a normal number above 0.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // ln m = 2 atanh((m - 1) / (m + 1)), |s| ≤ 0.172: twelve terms reach full precision.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let mut sum = 0.0;
    for term in (0..12).rev() {
        sum = sum * square + 1.0 / f64::from(2 * term + 1);
    }
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * s * sum
}

/// e to the power of a number between 0 and 60.
fn exp(x: f64) -> f64 {
    let whole = (x / std::f64::consts::LN_2).floor();
    let rest = x - whole * std::f64::consts::LN_2;
    let mut sum = 1.0;
    for term in (1..20).rev() {
        sum = 1.0 + rest / f64::from(term) * sum;
    }
    sum * f64::from_bits(((whole as u64) + 1023) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spec(
        distribution: Distribution,
        mean: Option<u64>,
        min: Option<u64>,
        max: Option<u64>,
        shape: Option<f64>,
    ) -> DelaySpec {
        let ms = |v: Option<u64>| v.map(|m| api::Duration(std::time::Duration::from_millis(m)));
        DelaySpec { distribution, mean: ms(mean), min: ms(min), max: ms(max), shape }
    }

    fn draws(delay: Delay) -> Vec<f64> {
        let mut bits = 1u64;
        (0..20_000)
            .map(|_| {
                bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                delay.draw_ms(bits ^ (bits << 32)) as f64
            })
            .collect()
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn distributions_have_their_means_and_bounds() {
        let exponential = draws(Delay::new(&spec(Distribution::Exponential, Some(5000), None, None, None)).unwrap());
        assert!((mean(&exponential) - 5000.0).abs() < 150.0, "{}", mean(&exponential));
        let uniform = draws(Delay::new(&spec(Distribution::Uniform, None, Some(100), Some(300), None)).unwrap());
        assert!((mean(&uniform) - 200.0).abs() < 3.0);
        assert!(uniform.iter().all(|d| (100.0..=300.0).contains(d)));
        let pareto = draws(Delay::new(&spec(Distribution::Pareto, None, Some(100), None, Some(3.0))).unwrap());
        assert!((mean(&pareto) - 150.0).abs() < 5.0, "{}", mean(&pareto));
        assert!(pareto.iter().all(|d| *d >= 100.0));
        let capped = draws(Delay::new(&spec(Distribution::Pareto, None, Some(100), Some(400), Some(0.1))).unwrap());
        assert!(capped.iter().all(|d| *d <= 400.0));
        let constant = draws(Delay::new(&spec(Distribution::Constant, Some(7), None, None, None)).unwrap());
        assert!(constant.iter().all(|d| (*d - 7.0).abs() < f64::EPSILON));
    }

    #[test]
    fn what_a_distribution_needs_is_asked_for() {
        assert!(Delay::new(&spec(Distribution::Constant, None, None, None, None)).is_err());
        assert!(Delay::new(&spec(Distribution::Uniform, None, Some(2), Some(1), None)).is_err());
        assert!(Delay::new(&spec(Distribution::Pareto, None, None, None, None)).is_err());
    }

    proptest! {
        #[test]
        fn functions_agree_with_libm(u in 1e-16f64..=1.0, x in 0f64..60.0) {
            prop_assert!((ln(u) - u.ln()).abs() <= 1e-13 * u.ln().abs() + 1e-15);
            prop_assert!((exp(x) / x.exp() - 1.0).abs() < 1e-12);
        }
    }
}
