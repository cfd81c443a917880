//! Bounded sets of samples, kept as runs: (series, from) to the end of the run.

use std::collections::BTreeMap;

/// Samples of series as half-open runs `[from, to)`. At most `limit` runs; what finds no room is refused and counted by the caller.
pub(super) struct Runs {
    runs: BTreeMap<(u32, u32), u32>,
    limit: usize,
}

impl Runs {
    pub(super) fn new(limit: usize) -> Self {
        Self { runs: BTreeMap::new(), limit }
    }

    /// The run that holds `k`.
    pub(super) fn find(&self, base: u32, k: u32) -> Option<(u32, u32)> {
        let (&(of, from), &to) = self.runs.range(..=(base, k)).next_back()?;
        (of == base && k < to).then_some((from, to))
    }

    /// The runs of one series, ascending.
    pub(super) fn of(&self, base: u32) -> impl Iterator<Item = (u32, u32)> {
        self.runs.range((base, 0)..=(base, u32::MAX)).map(|(&(_, from), &to)| (from, to))
    }

    /// Adds `[from, to)`, joined with the runs it touches. False when there was no room.
    pub(super) fn insert(&mut self, base: u32, from: u32, to: u32) -> bool {
        let (mut from, mut to) = (from, to);
        while let Some((&(of, start), &end)) = self.runs.range(..=(base, to)).next_back() {
            if of != base || end < from {
                break;
            }
            from = from.min(start);
            to = to.max(end);
            self.runs.remove(&(base, start));
        }
        if self.runs.len() >= self.limit {
            return false;
        }
        self.runs.insert((base, from), to);
        true
    }

    /// Takes one sample out. None when it was not in; false when the rest of a split run found no room and is forgotten.
    pub(super) fn remove(&mut self, base: u32, k: u32) -> Option<bool> {
        let (from, to) = self.find(base, k)?;
        self.runs.remove(&(base, from));
        if from < k {
            self.runs.insert((base, from), k);
        }
        if k + 1 == to {
            return Some(true);
        }
        let room = self.runs.len() < self.limit;
        if room {
            self.runs.insert((base, k + 1), to);
        }
        Some(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Runs behave as the set of their samples, whatever is added and taken out.
        #[test]
        fn is_a_set(steps in proptest::collection::vec((0_u32..3, 0_u32..40, 1_u32..6, any::<bool>()), 1..200)) {
            let mut runs = Runs::new(usize::MAX);
            let mut model: BTreeSet<(u32, u32)> = BTreeSet::new();
            for (base, k, len, add) in steps {
                if add {
                    prop_assert!(runs.insert(base, k, k + len));
                    model.extend((k..k + len).map(|k| (base, k)));
                } else {
                    prop_assert_eq!(runs.remove(base, k), model.remove(&(base, k)).then_some(true));
                }
                for base in 0..3 {
                    let listed: Vec<u32> = runs.of(base).flat_map(|(from, to)| from..to).collect();
                    let expected: Vec<u32> = model.iter().filter(|(of, _)| *of == base).map(|(_, k)| *k).collect();
                    prop_assert_eq!(listed, expected);
                    for k in 0..48 {
                        prop_assert_eq!(runs.find(base, k).is_some(), model.contains(&(base, k)));
                    }
                }
            }
        }
    }

    #[test]
    fn stays_within_its_limit() {
        let mut runs = Runs::new(2);
        assert!(runs.insert(1, 0, 1));
        assert!(runs.insert(1, 4, 9));
        assert!(!runs.insert(2, 0, 1));
        assert!(runs.insert(1, 9, 10), "growing a run needs no room");
        assert_eq!(runs.remove(1, 6), Some(false), "the rest of the split run has no room");
        assert_eq!(runs.of(1).collect::<Vec<_>>(), [(0, 1), (4, 6)]);
    }
}
