//! Scales, ticks and paths. A drawing is a square of 1000 units that the page stretches to the plot; text stays outside of it.

use std::fmt::Write as _;

/// The side of the square.
pub(crate) const SIDE: f64 = 1000.0;

/// From values to units, upwards: low values are at the bottom.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scale {
    Linear { high: f64, step: f64 },
    Log { low: f64, high: f64 },
}

impl Scale {
    /// From zero to the nearest round number above `max`, in three to six steps.
    pub(crate) fn from_zero(max: f64) -> Self {
        let max = if max.is_finite() { max.max(1e-9) } else { 1.0 };
        let base = 10f64.powf((max / 3.0).log10().floor() - 1.0);
        let steps = [2.0, 2.5, 5.0, 10.0, 20.0, 25.0, 50.0, 100.0].map(|step| step * base);
        let high = |step: f64| (max / step - 1e-9).ceil() * step;
        let fits = |step: &f64| (2.5..6.5).contains(&(high(*step) / step));
        let step = steps.into_iter().filter(fits).min_by(|a, b| high(*a).total_cmp(&high(*b)).then(b.total_cmp(a)));
        let step = step.unwrap_or(max / 3.0);
        Self::Linear { high: high(step), step }
    }

    /// Whole decades, or 1-2-5 steps when there is less than one and a half.
    pub(crate) fn log(min: f64, max: f64) -> Self {
        let (min, max) = (min.max(1e-3), max.max(1e-3));
        let down = |v: f64| step125(v, false);
        let up = |v: f64| step125(v, true);
        let (low, mut high) = (down(min), up(max));
        if high <= low {
            high = up(low * 1.5);
        }
        Self::Log { low, high }
    }

    /// 0 at the low end, 1 at the high one.
    pub(crate) fn part(self, value: f64) -> f64 {
        let part = match self {
            Self::Linear { high, .. } => value / high,
            Self::Log { low, high } => (value.max(low) / low).ln() / (high / low).ln(),
        };
        if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Values for grid lines and their labels.
    pub(crate) fn ticks(self) -> Vec<f64> {
        match self {
            Self::Linear { high, step } => {
                let count = (high / step).round() as usize;
                (0..=count.min(12)).map(|index| step * index as f64).collect()
            }
            Self::Log { low, high } => {
                let decades = (high / low).log10();
                let mantissas: &[f64] = if decades > 2.6 { &[1.0] } else { &[1.0, 2.0, 5.0] };
                let mut out = Vec::new();
                let mut base = 10f64.powf(low.log10().floor());
                while base <= high * 1.001 && out.len() < 24 {
                    out.extend(mantissas.iter().map(|m| m * base).filter(|v| *v >= low * 0.999 && *v <= high * 1.001));
                    base *= 10.0;
                }
                out
            }
        }
    }
}

fn step125(value: f64, up: bool) -> f64 {
    let base = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let mantissa = value / base;
    let found = if up {
        steps.into_iter().find(|step| mantissa <= step * 1.000_001)
    } else {
        steps.into_iter().rev().find(|step| *step <= mantissa * 1.000_001)
    };
    base * found.unwrap_or(1.0)
}

/// Round steps of time for an axis of `seconds`.
pub(crate) fn time_ticks(seconds: f64) -> Vec<f64> {
    const STEPS: [f64; 16] =
        [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 21_600.0, 86_400.0];
    let step = STEPS.into_iter().find(|step| seconds / step <= 8.0).unwrap_or(seconds / 4.0);
    let count = (seconds / step + 1e-9).floor() as usize;
    (0..=count.min(10)).map(|index| step * index as f64).collect()
}

/// A line through points of parts (0 to 1, up); a missing value interrupts it.
pub(crate) fn line(points: impl Iterator<Item = (f64, Option<f64>)>) -> String {
    let mut out = String::new();
    let mut pen = 'M';
    for (x, y) in points {
        match y {
            None => pen = 'M',
            Some(y) => {
                let _ = write!(out, "{pen}{} {}", unit(x), unit(1.0 - y));
                pen = 'L';
            }
        }
    }
    out
}

/// A part as units, to a tenth.
pub(crate) fn unit(part: f64) -> f64 {
    (clamped(part) * SIDE * 10.0).round() / 10.0
}

/// A part as a percentage for CSS, to a hundredth.
pub(crate) fn percent(part: f64) -> f64 {
    (clamped(part) * 10_000.0).round() / 100.0
}

fn clamped(part: f64) -> f64 {
    if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) }
}

/// Moves labels (parts, up) apart until neighbours are `gap` away from each other; order is kept.
pub(crate) fn spread(wanted: &[f64], gap: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let mut out = wanted.to_vec();
    let mut floor = 0.0;
    for index in &order {
        out[*index] = out[*index].max(floor);
        floor = out[*index] + gap;
    }
    let mut ceiling = 1.0;
    for index in order.iter().rev() {
        out[*index] = out[*index].min(ceiling);
        ceiling = out[*index] - gap;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_hold_their_values_and_label_both_ends() {
        for max in [1_003_000.0, 1.0, 7.0, 1e-6, 999.0, 12_500.0, 3e12] {
            let scale = Scale::from_zero(max);
            let ticks = scale.ticks();
            let top = ticks[ticks.len() - 1];
            assert!((4..=7).contains(&ticks.len()), "{max} {ticks:?}");
            assert!(ticks[0] == 0.0 && top >= max * 0.999 && top <= max * 1.5, "{max} {ticks:?}");
        }
        for (min, max) in [(0.04, 5000.0), (1.2, 4.9), (3.0, 3.0), (0.0, 0.0)] {
            let scale = Scale::log(min, max);
            let ticks = scale.ticks();
            assert!((2..=16).contains(&ticks.len()), "{min} {max} {ticks:?}");
            assert!(scale.part(min) >= 0.0 && scale.part(max) <= 1.0);
            assert!(scale.part(max) >= scale.part(min));
        }
    }

    #[test]
    fn odd_values_draw_nothing_odd() {
        let scale = Scale::from_zero(0.0);
        for value in [f64::NAN, f64::INFINITY, -1.0] {
            assert!((0.0..=1.0).contains(&scale.part(value)));
        }
        assert_eq!(line([(0.0, Some(0.0)), (0.5, None), (1.0, Some(1.0))].into_iter()), "M0 1000M1000 0");
    }

    #[test]
    fn labels_move_apart() {
        let out = spread(&[0.99, 1.0, 0.5], 0.1);
        assert!((out[1] - out[0]).abs() >= 0.0999 && out.iter().all(|y| (0.0..=1.0).contains(y)));
        assert!((out[2] - 0.5).abs() < 1e-9);
    }
}
