//! Churn as a pure function: which generation of a base series lives at an instant.
//!
//! A base lives for `L = every / share` at a time and switches to its next generation at `phase + n·L`. Gradual: the phase is
//! uniform in (0, L], so `share` of the series switches during each `every`. Spike: the phase is a multiple of `every`, and L
//! is a whole number of them, so `share` of the series switches at once every `every`.

use crate::mix::{below, mix2};

/// Longest lifetime: some 146 years, so that the sum of two is still a time. A share that asks for more gets this.
const LONGEST: u64 = u64::MAX / 4;

#[derive(Debug, Clone)]
pub(crate) struct ChurnRule {
    /// Lifetime of a generation, ns.
    life: u64,
    /// Spike: distance of two spikes and how many of them a lifetime has.
    spike: Option<(u64, u64)>,
    pub(crate) stale_markers: bool,
    seed: u64,
}

impl ChurnRule {
    /// `None` when the numbers make no lifetime.
    pub(crate) fn new(every_ns: u64, share: f64, spike: bool, stale_markers: bool, seed: u64) -> Option<Self> {
        if !((1..=LONGEST).contains(&every_ns) && share > 0.0 && share <= 1.0) {
            return None;
        }
        Some(if spike {
            let spikes = ((1.0 / share).round() as u64).clamp(1, LONGEST / every_ns);
            Self { life: every_ns * spikes, spike: Some((every_ns, spikes)), stale_markers, seed }
        } else {
            Self { life: ((every_ns as f64 / share) as u64).min(LONGEST), spike: None, stale_markers, seed }
        })
    }

    pub(crate) fn life(&self) -> u64 {
        self.life
    }

    /// First switch of the base.
    pub(crate) fn phase(&self, base: u32) -> u64 {
        let draw = mix2(self.seed ^ 0x0063_6875_726e, u64::from(base));
        match self.spike {
            Some((every, spikes)) => (below(draw, spikes) + 1) * every,
            None => below(draw, self.life) + 1,
        }
    }

    /// The generation that lives at `t`.
    pub(crate) fn generation(&self, base: u32, t: u64) -> u32 {
        generation(self.phase(base), self.life, t)
    }

    /// The instants between which the generation lives: from (inclusive), to (exclusive).
    pub(crate) fn lifetime(&self, base: u32, generation: u32) -> (u64, u64) {
        let phase = self.phase(base);
        let end = phase.saturating_add(u64::from(generation).saturating_mul(self.life));
        (if generation == 0 { 0 } else { end - self.life }, end)
    }
}

/// How many switches happened up to and including `t`.
fn generation(phase: u64, life: u64, t: u64) -> u32 {
    if t < phase { 0 } else { u32::try_from((t - phase) / life + 1).unwrap_or(u32::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lifetimes_tile_time(every in 1u64..1_000_000, share in 0.01f64..1.0, spike: bool, base: u32, t in 0u64..100_000_000) {
            let rule = ChurnRule::new(every, share, spike, true, 9).unwrap();
            let g = rule.generation(base, t);
            let (from, to) = rule.lifetime(base, g);
            prop_assert!(from <= t && t < to);
            if g > 0 { prop_assert_eq!(rule.lifetime(base, g - 1).1, from); }
        }
    }

    #[test]
    fn the_least_share_is_a_long_life() {
        for spike in [false, true] {
            let rule = ChurnRule::new(720 * 3_600_000_000_000, f64::MIN_POSITIVE, spike, true, 1).unwrap();
            assert!(rule.life() > u64::MAX / 5 && rule.phase(7) <= rule.life());
            assert_eq!(rule.generation(7, rule.lifetime(7, 1).0), 1);
        }
        assert!(ChurnRule::new(0, 0.1, true, true, 1).is_none());
    }

    #[test]
    fn a_tenth_of_the_series_switches_in_every_period() {
        for spike in [false, true] {
            let rule = ChurnRule::new(1000, 0.1, spike, true, 1).unwrap();
            let switched = (0..10_000).filter(|&b| rule.generation(b, 4000) != rule.generation(b, 5000)).count();
            assert!((850..1150).contains(&switched), "{switched}");
        }
        let spike = ChurnRule::new(1000, 0.1, true, true, 1).unwrap();
        assert!((0..1000).all(|b| spike.generation(b, 4000) == spike.generation(b, 4999)));
    }
}
