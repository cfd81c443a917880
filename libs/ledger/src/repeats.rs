//! What was sent again after an attempt that may have got through: which lane, samples of which time, and how many.

use serde::{Deserialize, Serialize};

/// Entries that one account keeps; beyond, a lane's nearest ones become one.
const MAX_REPEATS: usize = 4096;

/// Samples of one lane that went out again, each time counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repeat {
    /// Which of a generator's maps it was, from 0; a worker's lanes have no maps.
    #[serde(default, skip_serializing_if = "is_first")]
    pub epoch: u32,
    /// Lane of the whole target under that map, or lane of one worker.
    pub lane: u32,
    /// The oldest and the newest timestamp among them, milliseconds.
    pub from_ms: i64,
    pub to_ms: i64,
    pub samples: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_first(epoch: &u32) -> bool {
    *epoch == 0
}

/// Repeats by lane and time, those that touch joined, in bounded memory: with many, times grow coarser, numbers never.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Repeats(Vec<Repeat>);

impl Repeats {
    /// Adds samples that were sent again.
    pub fn add(&mut self, repeat: Repeat) {
        self.add_within(repeat, MAX_REPEATS);
    }

    fn add_within(&mut self, mut repeat: Repeat, limit: usize) {
        let lane = (repeat.epoch, repeat.lane);
        let start = self.0.partition_point(|one| ((one.epoch, one.lane), one.to_ms) < (lane, repeat.from_ms));
        let touching = |one: &&Repeat| (one.epoch, one.lane) == lane && one.from_ms <= repeat.to_ms;
        let end = start + self.0[start..].iter().take_while(touching).count();
        for one in self.0.drain(start..end) {
            repeat = joined(repeat, one);
        }
        self.0.insert(start, repeat);
        if self.0.len() > limit {
            self.coarsen(lane);
        }
    }

    /// Joins the two entries of a lane with the least time between them.
    fn coarsen(&mut self, lane: (u32, u32)) {
        let gap = |at: &usize| match (self.0.get(*at), self.0.get(at + 1)) {
            (Some(one), Some(next)) if (next.epoch, next.lane) == lane => next.from_ms.saturating_sub(one.to_ms),
            _ => i64::MAX,
        };
        let of_lane = |at: &usize| self.0.get(*at).is_some_and(|one| (one.epoch, one.lane) == lane);
        let nearest =
            (0..self.0.len().saturating_sub(1)).filter(of_lane).filter(|at| of_lane(&(at + 1))).min_by_key(gap);
        if let Some(at) = nearest {
            let next = self.0.remove(at + 1);
            self.0[at] = joined(self.0[at], next);
        }
    }

    /// By map, lane and time; none of a lane touches another.
    pub fn iter(&self) -> impl Iterator<Item = &Repeat> {
        self.0.iter()
    }

    /// Adds another account's.
    pub fn merge(&mut self, other: &Self) {
        for repeat in &other.0 {
            self.add(*repeat);
        }
    }

    /// Samples in all, each time counted.
    pub fn samples(&self) -> u64 {
        self.0.iter().fold(0, |sum, one| sum.saturating_add(one.samples))
    }
}

fn joined(one: Repeat, other: Repeat) -> Repeat {
    Repeat {
        from_ms: one.from_ms.min(other.from_ms),
        to_ms: one.to_ms.max(other.to_ms),
        samples: one.samples.saturating_add(other.samples),
        ..one
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn repeat(lane: u32, from_ms: i64, to_ms: i64, samples: u64) -> Repeat {
        Repeat { epoch: 0, lane, from_ms, to_ms, samples }
    }

    proptest! {
        /// However few entries there is room for: each stays covered, nothing is forgotten, no two of a lane touch.
        #[test]
        fn covers_all_and_keeps_the_numbers(
            all in proptest::collection::vec((0_u32..3, 0_i64..300, 0_i64..9, 1_u64..9), 1..80), limit in 1_usize..60,
        ) {
            let mut repeats = Repeats::default();
            for &(lane, from, length, samples) in &all {
                repeats.add_within(repeat(lane, from, from + length, samples), limit);
            }
            prop_assert_eq!(repeats.samples(), all.iter().map(|one| one.3).sum::<u64>());
            for &(lane, from, length, samples) in &all {
                let holds = |one: &&Repeat| one.lane == lane && one.from_ms <= from && from + length <= one.to_ms;
                prop_assert!(repeats.iter().any(|one| holds(&one) && one.samples >= samples));
            }
            for two in repeats.0.windows(2) {
                prop_assert!((two[0].lane, two[0].to_ms) < (two[1].lane, two[1].from_ms));
            }
            prop_assert!(repeats.0.len() <= limit + 3);
        }
    }

    #[test]
    fn the_nearest_are_joined_first() {
        let mut repeats = Repeats::default();
        for from in [0, 100, 110, 300] {
            repeats.add_within(repeat(1, from, from + 1, 1), 3);
        }
        let spans: Vec<_> = repeats.iter().map(|one| (one.from_ms, one.to_ms, one.samples)).collect();
        assert_eq!(spans, [(0, 1, 1), (100, 111, 2), (300, 301, 1)]);
    }
}
