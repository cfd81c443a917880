//! What a store tells: the report of everything, and what it holds of single series.

use super::Store;
use crate::{SeriesSeen, SlotTable, StoreCounters, StoreReport};

impl Store {
    /// Good samples, each once.
    pub fn distinct(&self) -> &SlotTable {
        &self.distinct
    }

    /// Good samples as they arrived, duplicates included.
    pub fn arrivals(&self) -> SlotTable {
        let mut table = self.distinct.clone();
        table.merge(&self.again);
        table
    }

    /// The numbers so far.
    pub fn counters(&self) -> StoreCounters {
        let (distinct, duplicates) = (self.distinct.total().count, self.again.total().count);
        StoreCounters { arrivals: distinct + duplicates, distinct, duplicates, ..self.counters }
    }

    /// Nanoseconds since the Unix epoch at which the schedule starts.
    pub fn t0_ns(&self) -> u64 {
        self.truth.t0_ns
    }

    /// Everything at once, to travel.
    pub fn report(&self) -> StoreReport {
        StoreReport {
            incarnation: String::new(),
            t0_ns: self.truth.t0_ns,
            arrivals: self.arrivals(),
            distinct: self.distinct.clone(),
            counters: self.counters(),
            faults: self.faults.clone(),
            fault_repeats: self.fault_repeats.clone(),
            findings: self.examples.clone().into_findings(),
        }
    }

    /// Series of the run that the store holds.
    pub fn series(&self) -> u64 {
        self.counters.series
    }

    /// What is held of one series.
    pub fn seen(&self, base: u32) -> SeriesSeen {
        SeriesSeen {
            base,
            next_k: self.next_k.get(base as usize).copied().unwrap_or(0),
            gaps: self.gaps.of(base).collect(),
            altered: self.altered.range((base, 0)..=(base, u32::MAX)).map(|(&(_, k), &bits)| (k, bits)).collect(),
            late: self.late.of(base).collect(),
            duplicates: self.doubled.of(base).collect(),
            stale: self.stale.range((base, 0)..=(base, u32::MAX)).map(|&(_, generation)| generation).collect(),
        }
    }

    /// What is held of the series that have, or with churn had, one of these slots. Series never seen are left out.
    pub fn seen_in(&self, slots: &[u16]) -> Vec<SeriesSeen> {
        let mut wanted = vec![false; crate::SLOTS];
        for &slot in slots {
            wanted[usize::from(slot) % crate::SLOTS] = true;
        }
        let now = (0..).zip(&self.hashes).filter(|(_, hash)| wanted[usize::from(remote_write::slot_of(**hash))]);
        let before = slots.iter().flat_map(|&slot| self.former.of(slot, &self.truth.workload, &self.lives));
        let mut bases: Vec<u32> = now.map(|(base, _)| base).chain(before).collect();
        bases.retain(|base| self.hashes.get(*base as usize).is_some_and(|hash| *hash != 0));
        bases.sort_unstable();
        bases.dedup();
        bases.into_iter().map(|base| self.seen(base)).collect()
    }
}
