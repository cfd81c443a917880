//! One series of a differing slot: every sample it should hold against what the store holds.

use std::collections::BTreeMap;
use std::ops::Range;

use workload::SeriesId;

use super::Settlement;
use super::replay::Fate;
use crate::{FindingName, SeriesSeen};

impl Settlement {
    /// Settles the series of some of the differing slots. `seen` is what all stores hold of them; series that no store has
    /// seen are left out. Every slot of [`Self::slots`] has to be settled once.
    pub fn settle_series(&mut self, slots: &[u16], seen: &[SeriesSeen]) {
        let mut by_base: BTreeMap<u32, Vec<&SeriesSeen>> = BTreeMap::new();
        for series in seen {
            by_base.entry(series.base).or_default().push(series);
        }
        for &slot in slots {
            let from = self.members.partition_point(|(of, _)| *of < slot);
            let to = self.members.partition_point(|(of, _)| *of <= slot);
            for at in from..to {
                let (_, id) = self.members[at];
                let stores = by_base.get(&id.base).map(Vec::as_slice).unwrap_or_default();
                let mut union = SeriesSeen::default();
                for store in stores {
                    union.merge(store);
                }
                self.settle_one(id, slot, &union);
                if stores.len() > 1 {
                    self.settle_shared(id, slot, stores);
                }
            }
        }
    }

    /// Samples that more than one store holds arrived more than once.
    fn settle_shared(&mut self, id: SeriesId, slot: u16, stores: &[&SeriesSeen]) {
        let held = |k: u32| stores.iter().filter(|store| store.holds(k)).count() as u64;
        let again: Vec<(u32, u64)> =
            self.samples(id).map(|k| (k, held(k).saturating_sub(1))).filter(|(_, again)| *again > 0).collect();
        for (k, again) in again {
            if self.truth.replaced(id.base, k).is_none() {
                self.shared += again;
                self.named -= i128::from(again);
                self.explain_duplicates(id, slot, k, again);
            }
        }
        let markers = stores.iter().filter(|store| store.stale.contains(&id.generation)).count() as u64;
        self.shared += markers.saturating_sub(1);
        self.named -= i128::from(markers.saturating_sub(1));
    }

    /// The samples of a series that were ever due.
    fn samples(&self, id: SeriesId) -> Range<u32> {
        let Range { start, end } = self.truth.samples(id);
        start..end.min(self.carriers.sent(id.base)).max(start)
    }

    fn settle_one(&mut self, id: SeriesId, slot: u16, seen: &SeriesSeen) {
        let samples = self.samples(id);
        for missing in missing(seen, &samples) {
            for k in missing {
                if self.truth.replaced(id.base, k).is_some() {
                    continue;
                }
                let fate = self.fate(id.base, k);
                if seen.altered.iter().any(|&(at, _)| at == k) {
                    // Named as altered; it was acknowledged and its right value is not stored.
                    self.named += i128::from(fate.is_none());
                } else if let Some(fate) = fate {
                    self.not_stored(id, k, false, fate);
                } else {
                    self.lost(id, k, false, slot);
                }
            }
        }
        let stored: Vec<(u32, Fate)> = self
            .fates
            .of(id.base)
            .iter()
            .flat_map(|run| (run.from.max(samples.start)..run.to.min(samples.end)).map(|k| (k, run.fate)))
            .filter(|(k, _)| seen.holds(*k))
            .collect();
        for (k, fate) in stored {
            self.stored_anyway(id, k, false, fate);
        }
        self.settle_stale(id, slot, seen);
        for (from, to) in clipped(&seen.duplicates, &samples) {
            for k in from..to {
                self.explain_duplicates(id, slot, k, 1);
            }
        }
        for (from, to) in clipped(&seen.late, &samples) {
            let explained = (from..to).filter(|&k| self.fate(id.base, k) == Some(Fate::Unresolved)).count();
            self.late_explained += explained as u64;
        }
    }

    fn settle_stale(&mut self, id: SeriesId, slot: u16, seen: &SeriesSeen) {
        let sent = self.carriers.sent(id.base);
        let Some(k) = self.run.workload.stale_k(id).filter(|k| *k < sent) else { return };
        let again = clipped(&seen.duplicates, &(k..k + 1)).next().is_some();
        if again {
            self.explain_duplicates(id, slot, k, 1);
        }
        match (self.fates.stale(id), seen.stale.contains(&id.generation)) {
            (None, true) => {}
            (None, false) => self.lost(id, k, true, slot),
            (Some(fate), false) => self.not_stored(id, k, true, fate),
            (Some(fate), true) => self.stored_anyway(id, k, true, fate),
        }
    }

    /// The fate of a sample that was not acknowledged.
    fn fate(&self, base: u32, k: u32) -> Option<Fate> {
        let runs = self.fates.of(base);
        let at = runs.partition_point(|run| run.from <= k).checked_sub(1)?;
        runs.get(at).filter(|run| k < run.to).map(|run| run.fate)
    }

    /// Sets repetitions of a sample against what was sent again, and what kills and pauses of its lane's worker may have doubled.
    fn explain_duplicates(&mut self, id: SeriesId, slot: u16, k: u32, count: u64) {
        let at = self.truth.timestamp_ms(id.base, k).unwrap_or_default();
        self.explain_again(id, slot, k, &[at], count);
    }

    /// The same of a sample that came with one of these timestamps, in milliseconds.
    pub(super) fn explain_again(&mut self, id: SeriesId, slot: u16, k: u32, times: &[i64], count: u64) {
        let due_ns = self.run.workload.due_ns(id.base, k).unwrap_or_default();
        let again = self.again.take(self.carriers.lanes(id, slot), times, count);
        let room = u64::from(self.context.samples_per_batch.max(self.run.samples_per_request));
        let (carrier, due) = (self.carriers.of(id, k, slot), self.run.t0_ns.saturating_add(due_ns));
        let doubled = self.doubled.take(&self.context, &self.carriers, room, carrier, due, count - again);
        self.duplicates_named += count;
        self.duplicates_explained += again + doubled;
    }

    /// Names a sample that was acknowledged and is not stored, or keeps it until all that are missing from its lane are known.
    fn lost(&mut self, id: SeriesId, k: u32, stale: bool, slot: u16) {
        self.named += 1;
        let carrier = self.carriers.of(id, k, slot);
        let generator = carrier.generator;
        let (name, detail) = if self.truncated.get(generator as usize) == Some(&true) {
            (
                FindingName::Unproven,
                format!("not stored; generator {generator} has too many exceptions to say whether it was acknowledged"),
            )
        } else if self.carriers.ends(&self.context, carrier).next().is_some() {
            let due = self.run.workload.due_ns(id.base, k).unwrap_or_default();
            self.missing.add(carrier, id, k, stale, due);
            return;
        } else {
            (FindingName::SilentLoss, "acknowledged, not stored".into())
        };
        self.name_gone(name, id, k, stale, detail);
    }

    /// Names a sample that is stored though it was not acknowledged.
    fn stored_anyway(&mut self, id: SeriesId, k: u32, stale: bool, fate: Fate) {
        self.named -= 1;
        let (name, explained, detail) = match fate {
            // The receiver kept the good samples of a request that it refused for a fault: as it may.
            Fate::RefusedWithFault(_) | Fate::RefusedKeeping(_) => return,
            Fate::Unresolved => (FindingName::StoredUnacknowledged, true, "the answer was lost".to_owned()),
            Fate::Refused(status) => (FindingName::WronglyRefused, false, format!("answered {status}, but stored")),
            // Account and store contradict each other, and no target makes up right values: the account proves nothing.
            Fate::Skipped | Fate::Cut => {
                (FindingName::Unproven, false, "never sent by the generator's account, but stored".to_owned())
            }
        };
        let truth = &self.truth;
        self.examples.add(name, explained, || truth.scheduled(id, k, stale, detail));
    }
}

/// The parts of `samples` that were not seen, ascending.
fn missing(seen: &SeriesSeen, samples: &Range<u32>) -> Vec<Range<u32>> {
    let tail = seen.next_k.clamp(samples.start, samples.end)..samples.end;
    clipped(&seen.gaps, samples).map(|(from, to)| from..to).chain([tail]).collect()
}

/// Runs, cut to a range.
fn clipped(runs: &[(u32, u32)], samples: &Range<u32>) -> impl Iterator<Item = (u32, u32)> {
    let (start, end) = (samples.start, samples.end);
    runs.iter().map(move |&(from, to)| (from.max(start), to.min(end))).filter(|(from, to)| from < to)
}
