//! Virtual time: the integral of the stages' speed, in integers, so that every machine gets the same schedule.
//!
//! `V(t) = ∫ rate / natural rate dt`, counted in 2⁻⁴⁸ ns. A sample that is due at the virtual time A is due at the first
//! nanosecond t with `V(t) ≥ A`. That makes due times exact, strictly increasing and at least 1 ms apart as long as the
//! speed lets V grow by no more than the smallest scrape interval in any millisecond, which [`Schedule::new`] enforces.

use crate::WorkloadError;

/// Fraction bits of virtual time.
const Q: u32 = 48;
/// One millisecond, the smallest distance of two samples of a series.
const MS: u64 = 1_000_000;
/// Longest run: keeps every product below 2¹²⁸.
const MAX_RUN_NS: u64 = 30 * 86_400 * 1_000_000_000;
/// Samples a second a series may have.
const MAX_SERIES_RATE: u64 = 1000;

/// One stage of the run on the time axis of the run (nanoseconds since t0).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StageWindow {
    pub start_ns: u64,
    /// Exclusive.
    pub end_ns: u64,
    pub warm_up: bool,
    /// Samples a second at the start of the stage.
    pub start_rate: f64,
    /// Samples a second at the end of the stage; differs from the start in a ramp.
    pub rate: f64,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    start: u64,
    end: u64,
    /// V at the start and the end.
    v_start: u128,
    v_end: u128,
    /// Speed at the start and the end, virtual 2⁻⁴⁸ ns per ns.
    f_start: u128,
    f_end: u128,
}

impl Segment {
    /// V at `start + dt`; monotone in `dt`, and `v_end` at the end.
    fn v(&self, dt: u64) -> u128 {
        let d = u128::from(self.end - self.start);
        let dt = u128::from(dt).min(d);
        if self.f_start <= self.f_end {
            // A product of two non-decreasing factors stays non-decreasing after each is rounded.
            let slope = (self.f_end - self.f_start) * dt / (2 * d);
            self.v_start + (self.f_start + slope) * dt
        } else {
            let left = d - dt;
            let slope = (self.f_start - self.f_end) * left / (2 * d);
            self.v_end - (self.f_end + slope) * left
        }
    }

    /// What the segment adds to V.
    fn length(f_start: u128, f_end: u128, d: u64) -> u128 {
        let d = u128::from(d);
        let (low, high) = (f_start.min(f_end), f_start.max(f_end));
        (low + (high - low) * d / (2 * d)) * d
    }

    /// The smallest dt with `v(dt) ≥ a`; the caller knows that `v_start < a ≤ v_end`.
    fn reach(&self, a: u128) -> u64 {
        let need = a - self.v_start;
        if self.f_start == self.f_end {
            return if self.f_start == 1 << Q {
                ((need + ((1 << Q) - 1)) >> Q) as u64
            } else {
                need.div_ceil(self.f_start) as u64
            };
        }
        let (mut low, mut high) = (0, self.end - self.start);
        // A guess by the quadratic formula, then exact bounds around it: rounding of the guess cannot matter.
        let d = high as f64;
        let (f0, f1, n) = (self.f_start as f64, self.f_end as f64, need as f64);
        let root = (f0 * f0 + 2.0 * n * (f1 - f0) / d).max(0.0).sqrt();
        let guess = (2.0 * n / (f0 + root).max(1.0)).clamp(0.0, d) as u64;
        let mut step = 64;
        while low + step < guess {
            let at = guess - step;
            if self.v(at) < a {
                low = at;
                break;
            }
            high = at;
            step *= 16;
        }
        step = 64;
        while guess + step < high {
            let at = guess + step;
            if self.v(at) >= a {
                high = at;
                break;
            }
            low = at;
            step *= 16;
        }
        // v(low) < a ≤ v(high)
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.v(middle) >= a {
                high = middle;
            } else {
                low = middle;
            }
        }
        high
    }
}

/// The stages, integrated.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    segments: Vec<Segment>,
    pub(crate) windows: Vec<StageWindow>,
    pub(crate) duration: u64,
    /// The slowest speed, to bound the real distance of two scrapes; 0 when a stage stands still.
    slowest: u128,
}

/// What the schedule needs to know of a group.
pub(crate) struct Pace<'a> {
    pub(crate) name: &'a str,
    pub(crate) series: u64,
    pub(crate) interval_ns: u64,
}

/// A stage in plain numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StageInput {
    pub(crate) length_ns: u64,
    pub(crate) rate: Option<u64>,
    pub(crate) ramp: bool,
    pub(crate) warm_up: bool,
}

impl Schedule {
    pub(crate) fn new(stages: &[StageInput], groups: &[Pace<'_>]) -> Result<Self, WorkloadError> {
        if stages.is_empty() {
            return Err(WorkloadError::NoStages);
        }
        let fastest = groups.iter().min_by_key(|g| g.interval_ns).ok_or(WorkloadError::NoGroups)?;
        // IEEE additions and divisions only: the same bits everywhere.
        let natural = groups.iter().fold(0.0, |sum, g| sum + g.series as f64 / (g.interval_ns as f64 / 1e9));
        let total = stages.iter().try_fold(0u64, |sum, s| sum.checked_add(s.length_ns)).unwrap_or(u64::MAX);
        if total > MAX_RUN_NS {
            return Err(WorkloadError::TooLong { seconds: total / 1_000_000_000 });
        }
        let longest = stages.iter().map(|s| s.length_ns).max().unwrap_or(0);
        // Below the exact limit by what the rounding of ramps may add within one millisecond.
        let slack = if stages.iter().any(|s| s.ramp) { 2 * u128::from(longest) } else { 0 };
        let cap = ((u128::from(fastest.interval_ns) << Q) - slack) / u128::from(MS);
        let mut segments: Vec<Segment> = Vec::with_capacity(stages.len());
        let mut windows = Vec::with_capacity(stages.len());
        let (mut start, mut v, mut f, mut rate_before) = (0u64, 0u128, 0u128, 0.0);
        for (index, stage) in stages.iter().enumerate() {
            if stage.length_ns < MS {
                return Err(WorkloadError::Stage { stage: index, problem: "`for` must be at least 1ms".into() });
            }
            let rate = stage.rate.map_or(natural, |r| r as f64);
            let speed = rate / natural;
            if speed * 1e9 / fastest.interval_ns as f64 > MAX_SERIES_RATE as f64 * (1.0 + 1e-12) {
                return Err(WorkloadError::TooFast { stage: index, rate: rate as u64, group: fastest.name.into() });
            }
            let f_end = ((speed * (1u64 << Q) as f64) as u128).min(cap);
            let f_start = if stage.ramp { f } else { f_end };
            let end = start + stage.length_ns;
            let v_end = v + Segment::length(f_start, f_end, stage.length_ns);
            segments.push(Segment { start, end, v_start: v, v_end, f_start, f_end });
            let start_rate = if stage.ramp { rate_before } else { rate };
            windows.push(StageWindow { start_ns: start, end_ns: end, warm_up: stage.warm_up, start_rate, rate });
            (start, v, f, rate_before) = (end, v_end, f_end, rate);
        }
        let slowest = segments.iter().map(|s| s.f_start.min(s.f_end)).min().unwrap_or(0);
        Ok(Self { segments, windows, duration: start, slowest })
    }

    /// Whole virtual nanoseconds passed at `t`: `A ≤ virtual_ns(t)` exactly when `V(t) ≥ A`.
    pub(crate) fn virtual_ns(&self, t: u64) -> u128 {
        let t = t.min(self.duration);
        let index = self.segments.partition_point(|s| s.end <= t).min(self.segments.len() - 1);
        let segment = &self.segments[index];
        segment.v(t - segment.start) >> Q
    }

    /// The first nanosecond at which V has reached `a` (whole virtual nanoseconds); `None` if the run ends before.
    pub(crate) fn time_of(&self, a: u128) -> Option<u64> {
        if a == 0 {
            return Some(0);
        }
        let a = a.checked_shl(Q).filter(|s| s >> Q == a)?;
        let index = if self.segments.len() == 1 { 0 } else { self.segments.partition_point(|s| s.v_end < a) };
        let segment = self.segments.get(index).filter(|s| s.v_end >= a)?;
        let t = segment.start + segment.reach(a);
        (t < self.duration).then_some(t)
    }

    /// The longest real time that `virtual_ns` can take; `None` when a stage stands still.
    pub(crate) fn longest(&self, virtual_ns: u64) -> Option<u64> {
        let time = (u128::from(virtual_ns) << Q).checked_div(self.slowest)?;
        u64::try_from(time).ok()?.checked_add(1)
    }

    /// The stage that holds the instant; the last one after the end.
    pub(crate) fn stage_at(&self, t: u64) -> usize {
        self.windows.partition_point(|w| w.end_ns <= t).min(self.windows.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    fn stage(length_ns: u64, rate: Option<u64>, ramp: bool) -> StageInput {
        StageInput { length_ns, rate, ramp, warm_up: false }
    }

    fn group(series: u64, interval_ns: u64) -> Pace<'static> {
        Pace { name: "g", series, interval_ns }
    }

    #[test]
    fn natural_speed_is_real_time() {
        let s = Schedule::new(&[stage(10 * S, None, false)], &[group(10, S)]).unwrap();
        assert_eq!(s.virtual_ns(3 * S), u128::from(3 * S));
        assert_eq!(s.time_of(u128::from(4 * S + 7)), Some(4 * S + 7));
        assert_eq!(s.time_of(u128::from(10 * S)), None);
    }

    #[test]
    fn ramps_integrate_to_the_triangle() {
        let s = Schedule::new(&[stage(10 * S, Some(20), true), stage(10 * S, Some(0), true)], &[group(10, S)]).unwrap();
        // 0 → 2 in 10 s and back: 10 s of virtual time each.
        assert_eq!(s.virtual_ns(10 * S), u128::from(10 * S));
        assert_eq!(s.virtual_ns(20 * S), u128::from(20 * S));
        let half = s.virtual_ns(5 * S);
        assert!(half.abs_diff(2_500_000_000) < 2, "{half}");
        assert_eq!(s.virtual_ns(15 * S), u128::from(20 * S) - half);
    }

    #[test]
    fn one_thousand_a_second_is_the_limit() {
        assert!(Schedule::new(&[stage(S, Some(10_000), true)], &[group(10, S)]).is_ok());
        let error = Schedule::new(&[stage(S, Some(10_011), false)], &[group(10, S)]).unwrap_err();
        assert!(matches!(error, WorkloadError::TooFast { .. }), "{error}");
    }

    proptest! {
        /// Independent oracle: the definition itself, `t` is the first nanosecond with V(t) ≥ A.
        #[test]
        fn time_of_is_the_first_instant(
            lengths in prop::collection::vec((1u64..5_000, prop::option::of(0u64..10_000), any::<bool>()), 1..5),
            interval_ms in 1u64..20_000, series in 1u64..50, part in 0u64..1_000_000,
        ) {
            let groups = [group(series, interval_ms * MS)];
            let stages: Vec<_> = lengths.iter().map(|&(ms, rate, ramp)| stage(ms * MS, rate.map(|r| r.min(series * 1000)), ramp)).collect();
            let Ok(s) = Schedule::new(&stages, &groups) else { return Ok(()) };
            let a = s.virtual_ns(s.duration) * u128::from(part) / 1_000_000;
            if let Some(t) = s.time_of(a) {
                prop_assert!(s.virtual_ns(t) >= a);
                prop_assert!(t == 0 || s.virtual_ns(t - 1) < a);
                if let Some(next) = s.time_of(a + u128::from(interval_ms * MS)) {
                    prop_assert!(next - t >= MS);
                }
            } else {
                prop_assert!(s.virtual_ns(s.duration - 1) < a);
            }
        }
    }
}
