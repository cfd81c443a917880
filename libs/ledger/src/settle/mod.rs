//! The settlement: what generators say against what a store holds, and a name for every difference.
//!
//! Equal tables end it at once. Where slots differ, the caller fetches what the store holds of their series
//! ([`Settlement::slots`], [`Settlement::settle_series`], in portions of any size) and the workload is replayed for them.

mod again;
mod carrier;
mod explain;
mod gaps;
mod kills;
mod replay;
mod series;
mod unjudged;
mod verdicts;

use std::collections::BTreeMap;
use std::sync::Arc;

use faults::{Expect, FaultPlan};
use remote_write::slot_of;
use workload::{LaneMap, SeriesId, Workload};

pub use carrier::Move;
pub use explain::{Context, Disturbance, Seen};
pub use gaps::Gaps;
pub use verdicts::wrong;

use crate::truth::Truth;
use crate::{Examples, Exception, FaultAccount, Finding, FindingName, Repeats, SlotTable, StoreReport};
use again::Again;
use carrier::{Carrier, Carriers};
use explain::Doubled;
use gaps::Holes;
use kills::Missing;
use replay::Fates;
use unjudged::PutOff;

/// What was meant to be sent, as all parts computed it.
#[derive(Clone)]
pub struct Run {
    pub workload: Arc<Workload>,
    pub faults: Arc<FaultPlan>,
    /// The verdict that each fault of the test should have, in their order.
    pub expect: Vec<Expect>,
    /// Start of the schedule, Unix nanoseconds.
    pub t0_ns: u64,
    /// When the generators had closed their accounts, Unix nanoseconds: nothing that is due later was ever sent.
    pub ended_ns: u64,
    /// Which slot goes through which lane; a generator may say otherwise of itself.
    pub lanes: LaneMap,
    /// Generators in all.
    pub generators: u32,
    pub samples_per_request: u32,
    /// Whether a receiver that refuses a request for a fault in it stores the good samples beside it, and somebody looked.
    pub keeps_good: bool,
}

/// What one generator says.
#[derive(Clone, Debug, Default)]
pub struct GeneratorSide {
    /// Which of the generators.
    pub index: u32,
    /// Digests of the acknowledged good samples.
    pub acknowledged: SlotTable,
    /// The map that it began with, and how many lanes each worker had in it. None: the run's.
    pub first: Option<(LaneMap, u32)>,
    /// How it followed the target from one map to the next, in order.
    pub moves: Vec<Move>,
    pub exceptions: Vec<Exception>,
    /// Whether the list of exceptions is incomplete.
    pub truncated: bool,
    /// By position in the test's faults.
    pub faults: Vec<FaultAccount>,
    /// What it sent again and the target, or the worker that it went to, cannot have known again.
    pub repeats: Repeats,
}

/// A settlement under way. See the module's text.
pub struct Settlement {
    truth: Truth,
    run: Run,
    carriers: Carriers,
    context: Context,
    store: StoreReport,
    /// Whether exceptions of the generator with this index are incomplete.
    truncated: Vec<bool>,
    slots: Vec<u16>,
    /// Series and generations of the differing slots, by slot.
    members: Vec<(u16, SeriesId)>,
    fates: Fates,
    missing: Missing,
    /// Of lanes whose killed workers may explain losses: good requests that were not acknowledged.
    exceptions: BTreeMap<Carrier, Vec<Exception>>,
    /// Acknowledged less stored, good samples: what the named differences must add up to.
    net: i128,
    named: i128,
    /// Samples that more than one store holds, less one each.
    shared: u64,
    /// Repetitions of which the sample is known, and those of them that something explains.
    duplicates_named: u64,
    duplicates_explained: u64,
    again: Again,
    doubled: Doubled,
    late_explained: u64,
    /// Faults that are judged when it is known what workers took with them.
    put_off: Vec<PutOff>,
    examples: Examples,
    holes: Holes,
}

/// What a settlement comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The worst first.
    pub findings: Vec<Finding>,
    pub gaps: Gaps,
    /// By position in the test's faults: samples that were acknowledged after a good one that a worker took with it. Without
    /// that one they are no fault, so they have no verdict.
    pub unjudged: Vec<u64>,
}

impl Settlement {
    /// Compares tables and accounts. `store` holds the reports of all stores, added up ([`StoreReport::merge`]).
    pub fn new(run: Run, generators: &[GeneratorSide], store: StoreReport, context: Context) -> Self {
        let truth = Truth::new(Arc::clone(&run.workload), Arc::clone(&run.faults), run.t0_ns);
        let mut acknowledged = SlotTable::new();
        let mut truncated = vec![false; run.generators as usize];
        for side in generators {
            acknowledged.merge(&side.acknowledged);
            if let Some(entry) = truncated.get_mut(side.index as usize) {
                *entry = side.truncated;
            }
        }
        let (sent, stored) = (acknowledged.total().count, store.distinct.total().count);
        let mut settlement = Self {
            truth,
            carriers: Carriers::new(&run, &context, generators),
            again: Again::new(&context, generators),
            context,
            truncated,
            slots: Vec::new(),
            members: Vec::new(),
            fates: Fates::default(),
            missing: Missing::default(),
            exceptions: BTreeMap::new(),
            net: i128::from(sent) - i128::from(stored),
            named: 0,
            shared: 0,
            duplicates_named: 0,
            duplicates_explained: 0,
            doubled: Doubled::default(),
            late_explained: 0,
            put_off: Vec::new(),
            examples: Examples::default(),
            holes: Holes::default(),
            store,
            run,
        };
        if settlement.store.t0_ns != settlement.run.t0_ns {
            // The store never learnt this run's schedule: it recognised nothing, which proves nothing.
            settlement.examples.count(FindingName::Unproven, sent, 0);
            settlement.named = settlement.net;
            return settlement;
        }
        let mut differs = vec![false; crate::SLOTS];
        for slot in acknowledged
            .diff(&settlement.store.distinct)
            .into_iter()
            .chain(settlement.store.distinct.diff(&settlement.store.arrivals))
        {
            differs[usize::from(slot)] = true;
        }
        settlement.keep_exceptions(generators);
        settlement.replay(generators, &differs);
        settlement.judge_faults(generators);
        settlement.slots = (0..crate::SLOTS as u16).filter(|slot| differs[usize::from(*slot)]).collect();
        if !settlement.slots.is_empty() {
            settlement.gather(&differs);
        }
        settlement
    }

    fn keep_exceptions(&mut self, generators: &[GeneratorSide]) {
        for side in generators {
            for exception in side.exceptions.iter().filter(|e| e.fault.is_none()) {
                let carrier = Carriers::of_exception(side.index, exception);
                if self.carriers.ends(&self.context, carrier).next().is_some() {
                    self.exceptions.entry(carrier).or_default().push(*exception);
                }
            }
        }
        for exceptions in self.exceptions.values_mut() {
            exceptions.sort_unstable_by_key(|e| e.from_request);
        }
    }

    /// The slots that differ: what the store holds of their series has to be given to [`Self::settle_series`].
    /// Empty after a clean run.
    pub fn slots(&self) -> &[u16] {
        &self.slots
    }

    /// Every series, by generation, of the differing slots.
    fn gather(&mut self, differs: &[bool]) {
        let workload = &self.run.workload;
        let mut scratch = Vec::new();
        for base in 0..workload.series() {
            let newest = self.carriers.sent(base).checked_sub(1).map_or(0, |k| workload.generation_at(base, k));
            for generation in 0..=newest {
                let id = SeriesId { base, generation };
                let slot = slot_of(workload.series_hash(id, &mut scratch));
                if differs[usize::from(slot)] {
                    self.members.push((slot, id));
                }
            }
        }
        self.members.sort_unstable();
    }

    /// The end of it: what is left is named.
    pub fn finish(mut self) -> Settled {
        self.missing.sort();
        let unjudged = self.judge_put_off();
        self.settle_missing();
        let counters = self.store.counters;
        let faults = self.judge_fault_repeats();
        let duplicates = counters.duplicates.saturating_add(self.shared).saturating_add(faults);
        // What came a third time has no name of its own, and nothing has once the store is full.
        let unnamed = duplicates.saturating_sub(self.duplicates_named).min(self.again.left(counters.overflow > 0));
        self.examples.count(FindingName::Duplicated, duplicates, self.duplicates_explained.saturating_add(unnamed));
        self.examples.count(FindingName::Reordered, counters.late, self.late_explained.min(counters.late));
        self.examples.count(FindingName::Altered, counters.altered, 0);
        self.examples.count(FindingName::Unexpected, counters.unexpected, 0);
        for finding in &self.store.findings {
            self.examples.witness(finding.name, &finding.examples);
        }
        // What the series do not add up to was forgotten by a full store, or is a defect of ours: it proves nothing.
        let open = u64::try_from((self.net - self.named).unsigned_abs()).unwrap_or(u64::MAX);
        self.examples.count(FindingName::Unproven, open, 0);
        Settled { findings: self.examples.into_findings(), gaps: self.holes.finish(), unjudged }
    }
}
