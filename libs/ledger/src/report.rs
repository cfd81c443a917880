//! What a store says about what arrived, in a form that travels.

use serde::{Deserialize, Serialize};

use crate::{Finding, SlotTable};

/// Numbers of a store. Samples unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoreCounters {
    /// Good samples of this run: `arrivals = distinct + duplicates`.
    pub arrivals: u64,
    pub distinct: u64,
    pub duplicates: u64,
    /// Of the distinct ones: stored after a newer sample of the series.
    pub late: u64,
    /// Good, but refused by the store's profile (too late, too far ahead): not stored, not in the tables.
    pub refused: u64,
    /// At a scheduled timestamp with another value.
    pub altered: u64,
    /// Naming this run, but never made by the workload: in one of its series, or under labels that none of them has.
    pub unexpected: u64,
    /// Series of this run of which a sample was seen.
    pub series: u64,
    /// Series of others that are tracked.
    pub foreign_series: u64,
    /// Samples of series of others.
    pub foreign_samples: u64,
    /// Of those: older than the newest of their series.
    pub foreign_late: u64,
    /// Of those: the newest of their series again, with the same value.
    pub foreign_duplicates: u64,
    /// Of those: the newest timestamp of their series with another value.
    pub foreign_conflicts: u64,
    /// Of those: of series that found no room, and so not checked.
    pub foreign_overflow: u64,
    /// Facts (gaps, late, doubled or altered samples) that found no room: counted, but can no longer be named.
    pub overflow: u64,
}

impl StoreCounters {
    /// Adds another store's numbers.
    pub fn merge(&mut self, other: &Self) {
        let pairs = [
            (&mut self.arrivals, other.arrivals),
            (&mut self.distinct, other.distinct),
            (&mut self.duplicates, other.duplicates),
            (&mut self.late, other.late),
            (&mut self.refused, other.refused),
            (&mut self.altered, other.altered),
            (&mut self.unexpected, other.unexpected),
            (&mut self.series, other.series),
            (&mut self.foreign_series, other.foreign_series),
            (&mut self.foreign_samples, other.foreign_samples),
            (&mut self.foreign_late, other.foreign_late),
            (&mut self.foreign_duplicates, other.foreign_duplicates),
            (&mut self.foreign_conflicts, other.foreign_conflicts),
            (&mut self.foreign_overflow, other.foreign_overflow),
            (&mut self.overflow, other.overflow),
        ];
        for (mine, theirs) in pairs {
            *mine = mine.saturating_add(theirs);
        }
    }
}

/// What a store saw of one injected fault (same order as the test's `faults`), in samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FaultSeen {
    /// Each once.
    pub stored: u64,
    /// Stored again.
    pub repeated: u64,
    /// Stored when the memory of those before was full: for the first time or again.
    pub untold: u64,
    /// Seen and refused by the store's profile.
    pub refused: u64,
}

/// A sample of an injected fault that was stored again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRepeat {
    /// Index of the fault in the test.
    pub fault: u32,
    /// The good sample whose place it took.
    pub base: u32,
    pub k: u32,
}

/// All that a store says at once. About 700 KB of JSON, whatever the number of series.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoreReport {
    /// Names the life of a process that holds the store in memory: with another one, what was stored before is gone.
    pub incarnation: String,
    /// The t0 that the store reckoned with; 0 when it never learnt one (then every sample of the run counts as unexpected).
    pub t0_ns: u64,
    /// Good samples as they arrived, duplicates included.
    pub arrivals: SlotTable,
    /// Good samples, each once.
    pub distinct: SlotTable,
    pub counters: StoreCounters,
    pub faults: Vec<FaultSeen>,
    /// Which of the faults' samples were stored again, not all of them when there are very many.
    pub fault_repeats: Vec<FaultRepeat>,
    /// What the store saw by itself (Duplicated, Reordered, Altered, Unexpected), with examples.
    pub findings: Vec<Finding>,
}

/// What a store holds of one series: every scheduled sample before `next_k` but for the gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SeriesSeen {
    /// Index of the series in the workload.
    pub base: u32,
    /// One past the newest sample that was seen.
    pub next_k: u32,
    /// Ranges `[from, to)` of samples never seen (samples replaced by an injected fault may lie within).
    pub gaps: Vec<(u32, u32)>,
    /// Samples seen with another value: (k, bits). Each lies in a gap unless the right one came too.
    pub altered: Vec<(u32, u64)>,
    /// Ranges `[from, to)` of samples stored after a newer one of their series.
    pub late: Vec<(u32, u32)>,
    /// Ranges `[from, to)` of samples that arrived more than once.
    pub duplicates: Vec<(u32, u32)>,
    /// Stale markers seen, by the generation that they end.
    pub stale: Vec<u32>,
}

impl SeriesSeen {
    /// Whether sample `k` was seen with its right value.
    pub fn holds(&self, k: u32) -> bool {
        k < self.next_k && !self.gaps.iter().any(|&(from, to)| from <= k && k < to)
    }

    /// Adds what another store holds of the same series: a sample is seen when either saw it.
    pub fn merge(&mut self, other: &Self) {
        let end = self.next_k.max(other.next_k);
        let missing = |seen: &Self| {
            let tail = (seen.next_k < end).then_some((seen.next_k, end));
            seen.gaps.iter().copied().chain(tail).collect::<Vec<_>>()
        };
        let (mine, theirs) = (missing(self), missing(other));
        let common = mine.iter().flat_map(|&(a, b)| theirs.iter().map(move |&(c, d)| (a.max(c), b.min(d))));
        self.gaps = common.filter(|(from, to)| from < to).collect();
        self.next_k = end;
        self.altered.extend_from_slice(&other.altered);
        self.late.extend_from_slice(&other.late);
        self.duplicates.extend_from_slice(&other.duplicates);
        self.stale.extend_from_slice(&other.stale);
    }
}

impl StoreReport {
    /// Adds the report of another store of the same run. The t0 and the incarnation stay this one's.
    pub fn merge(&mut self, other: &Self) {
        self.arrivals.merge(&other.arrivals);
        self.distinct.merge(&other.distinct);
        self.counters.merge(&other.counters);
        self.faults.resize(self.faults.len().max(other.faults.len()), FaultSeen::default());
        for (mine, theirs) in self.faults.iter_mut().zip(&other.faults) {
            mine.stored = mine.stored.saturating_add(theirs.stored);
            mine.repeated = mine.repeated.saturating_add(theirs.repeated);
            mine.untold = mine.untold.saturating_add(theirs.untold);
            mine.refused = mine.refused.saturating_add(theirs.refused);
        }
        self.fault_repeats.extend_from_slice(&other.fault_repeats);
        self.findings.extend_from_slice(&other.findings);
    }
}
