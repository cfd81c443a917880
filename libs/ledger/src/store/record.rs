//! What a sample, once classified and judged by the store's profile, does to the tables.

use remote_write::Label;
use workload::RUN_LABEL;

use super::{Observation, SeriesRef, Store};
use crate::truth::stranger;
use crate::{FaultRepeat, FindingName, digest};

/// Samples of faults that are named when they are stored again.
const MAX_FAULT_REPEATS: usize = 10_000;

impl Store {
    /// Counts a sample as classified; `kept` says whether the store's profile accepted it.
    #[inline]
    pub fn record(&mut self, series: SeriesRef, timestamp_ms: i64, bits: u64, observation: Observation, kept: bool) {
        if let Observation::New { k } = observation
            && kept
            && self.next_k.get(series.base as usize) == Some(&k)
        {
            self.next_k[series.base as usize] = k + 1;
            self.counters.series += u64::from(k == 0);
            self.distinct.add(series.slot(), digest(series.hash, timestamp_ms, bits));
        } else {
            self.record_odd(series, timestamp_ms, bits, observation, kept);
        }
    }

    /// Classifies a sample, keeps it whatever it is, and says what it was.
    pub fn observe(&mut self, series: SeriesRef, timestamp_ms: i64, bits: u64) -> Observation {
        let observation = self.classify(series, timestamp_ms, bits);
        self.record(series, timestamp_ms, bits, observation, true);
        observation
    }

    /// The series with these labels, in whatever order: what a read-back holds. None: none of the run's.
    pub fn find<'a>(&mut self, labels: impl Iterator<Item = Label<'a>> + Clone) -> Option<SeriesRef> {
        let hash = remote_write::canonical::hash_labels(labels.clone(), &mut self.scratch);
        self.lookup(hash, None).or_else(|| self.introduce(hash, labels))
    }

    /// Whether labels name this run, be they those of one of its series or not.
    pub fn claims<'a>(&self, mut labels: impl Iterator<Item = Label<'a>>) -> bool {
        labels.any(|label| label.name == RUN_LABEL.as_bytes() && label.value == self.truth.workload.run())
    }

    /// Counts a sample whose labels are those of no good series: an injected fault, broken on purpose, or, if they name the
    /// run all the same, a sample that nobody made. None: of somebody else, and not counted.
    pub fn observe_other<'a>(
        &mut self,
        labels: impl Iterator<Item = Label<'a>> + Clone,
        timestamp_ms: i64,
        bits: u64,
        kept: bool,
    ) -> Option<Observation> {
        let truth = &self.truth;
        if let Some((index, id, k)) = truth.faults.identify_literal(labels.clone(), truth.t0_ns, timestamp_ms, bits) {
            self.record_fault(index, id.base, k, kept);
            return Some(Observation::Fault { index, base: id.base, k });
        }
        if !self.claims(labels.clone()) {
            return None;
        }
        self.counters.unexpected += 1;
        self.examples.add(FindingName::Unexpected, false, || stranger(labels, timestamp_ms, bits));
        Some(Observation::Unexpected)
    }

    fn record_fault(&mut self, fault: u32, base: u32, k: u32, kept: bool) {
        let at = fault as usize;
        let Some((seen, injected)) = self.faults.get_mut(at).zip(self.injected.get_mut(at)) else { return };
        if !kept {
            seen.refused += 1;
        } else if injected.find(base, k).is_some() {
            seen.repeated += 1;
            if self.fault_repeats.len() < MAX_FAULT_REPEATS {
                self.fault_repeats.push(FaultRepeat { fault, base, k });
            }
        } else if injected.insert(base, k, k + 1) {
            seen.stored += 1;
        } else {
            seen.untold += 1;
        }
    }

    #[cold]
    #[inline(never)]
    fn record_odd(&mut self, series: SeriesRef, timestamp_ms: i64, bits: u64, observation: Observation, kept: bool) {
        match observation {
            Observation::New { k } => {
                if !kept {
                    self.counters.refused += 1;
                    return;
                }
                self.reach(series, k);
                self.forget_gap(series.base, k);
                self.distinct.add(series.slot(), digest(series.hash, timestamp_ms, bits));
            }
            Observation::Late { k } => self.record_late(series, timestamp_ms, bits, k, kept),
            Observation::Duplicate { k } => self.record_again(series, timestamp_ms, bits, k),
            Observation::Altered { k } => self.record_altered(series, timestamp_ms, bits, k, kept),
            Observation::Fault { index, base, k } => {
                self.record_fault(index, base, k, kept);
                self.remember_newest(series, timestamp_ms, bits, observation, kept);
            }
            Observation::Stale { k, again } => self.record_stale(series, timestamp_ms, bits, (k, again), kept),
            Observation::Unexpected => {
                self.counters.unexpected += 1;
                let truth = &self.truth;
                self.examples.add(FindingName::Unexpected, false, || {
                    truth.example(series.id(), timestamp_ms, bits, "the workload makes no such sample".into())
                });
                self.remember_newest(series, timestamp_ms, bits, observation, kept);
            }
        }
    }

    fn record_again(&mut self, series: SeriesRef, timestamp_ms: i64, bits: u64, k: u32) {
        self.again.add(series.slot(), digest(series.hash, timestamp_ms, bits));
        let room = self.doubled.insert(series.base, k, k + 1);
        self.counters.overflow += u64::from(!room);
        let truth = &self.truth;
        self.examples.add(FindingName::Duplicated, false, || {
            truth.example(series.id(), timestamp_ms, bits, format!("sample {k} arrived again"))
        });
    }

    fn record_late(&mut self, series: SeriesRef, timestamp_ms: i64, bits: u64, k: u32, kept: bool) {
        self.counters.late += 1;
        let room = self.late.insert(series.base, k, k + 1);
        self.counters.overflow += u64::from(!room);
        let wanted = self.examples.wants(FindingName::Reordered);
        let newest = if wanted { self.newest_k(series).filter(|newest| *newest > k) } else { None };
        let truth = &self.truth;
        self.examples.add(FindingName::Reordered, false, || {
            truth.example(
                series.id(),
                timestamp_ms,
                bits,
                match newest {
                    Some(newest) => format!("sample {k} arrived after sample {newest}"),
                    None => format!("sample {k} arrived after its series had ended or was seen altered"),
                },
            )
        });
        if kept {
            self.reach(series, k);
            self.forget_gap(series.base, k);
            self.distinct.add(series.slot(), digest(series.hash, timestamp_ms, bits));
        } else {
            self.counters.refused += 1;
        }
    }

    /// An altered sample was seen, but the right one still is missing: it lies in a gap, and the order moves on.
    fn record_altered(&mut self, series: SeriesRef, timestamp_ms: i64, bits: u64, k: u32, kept: bool) {
        self.counters.altered += 1;
        if kept {
            if k >= self.next_k[series.base as usize] {
                self.reach(series, k);
                let room = self.gaps.insert(series.base, k, k + 1);
                self.counters.overflow += u64::from(!room);
            }
            if self.altered.len() < self.limits.facts {
                self.altered.insert((series.base, k), bits);
            } else {
                self.counters.overflow += 1;
            }
        }
        let truth = &self.truth;
        self.examples.add(FindingName::Altered, false, || {
            let right = f64::from_bits(truth.bits(series.id(), k));
            truth.example(series.id(), timestamp_ms, bits, format!("sample {k} was sent as {right}"))
        });
    }

    fn record_stale(&mut self, series: SeriesRef, timestamp_ms: i64, bits: u64, (k, again): (u32, bool), kept: bool) {
        if again {
            self.record_again(series, timestamp_ms, bits, k);
            return;
        }
        if !kept {
            self.counters.refused += 1;
            return;
        }
        if let Some(life) = self.lives.get_mut(series.base as usize)
            && life.generation == series.generation
        {
            life.ended = true;
        }
        if self.stale.len() < self.limits.facts {
            self.stale.insert((series.base, series.generation));
        } else {
            self.counters.overflow += 1;
        }
        self.distinct.add(series.slot(), digest(series.hash, timestamp_ms, bits));
    }

    /// Moves the newest sample on to `k`; what lies between becomes a gap, unless faults took the place of all of it.
    fn reach(&mut self, series: SeriesRef, k: u32) {
        let Some(next) = self.next_k.get_mut(series.base as usize) else { return };
        if k < *next {
            return;
        }
        let from = std::mem::replace(next, k + 1);
        self.counters.series += u64::from(from == 0);
        let missing = (from..k).any(|k| self.truth.replaced(series.base, k).is_none());
        if missing && !self.gaps.insert(series.base, from, k) {
            self.counters.overflow += 1;
        }
    }

    fn forget_gap(&mut self, base: u32, k: u32) {
        if self.gaps.remove(base, k) == Some(false) {
            self.counters.overflow += 1;
        }
    }

    /// Remembers a kept sample that no schedule knows if it is the newest of its series: the next good one may be older.
    fn remember_newest(
        &mut self,
        series: SeriesRef,
        timestamp_ms: i64,
        bits: u64,
        observation: Observation,
        kept: bool,
    ) {
        if kept && self.order(series, timestamp_ms, bits, observation) == super::Order::Newer {
            if self.ahead.len() < self.limits.facts || self.ahead.contains_key(&series.hash) {
                self.ahead.insert(series.hash, (timestamp_ms, bits));
            } else {
                self.counters.overflow += 1;
            }
        }
    }
}
