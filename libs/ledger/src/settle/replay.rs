//! From exceptions, which name requests, to the samples in these requests: the lanes concerned are walked again.

use std::collections::BTreeMap;

use faults::Expect;
use remote_write::slot_of;
use workload::{LaneWalk, RequestPlan, Scheduled, SeriesId};

use super::gaps::SKIPPED;
use super::{GeneratorSide, Settlement};
use crate::{Exception, FindingName, Outcome};

/// What became of a good sample that was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its request was refused, and nothing in it was a reason to.
    Refused(u16),
    /// Its request was refused, as an injected fault in it demands or allows.
    RefusedWithFault(u16),
    /// The same, by a receiver that stores the good samples all the same.
    RefusedKeeping(u16),
    Skipped,
    /// Its lane had come to its end.
    Cut,
    Unresolved,
}

/// Whether a request has to be refused for a fault in it, or may be.
#[derive(Clone, Copy)]
struct Reasons {
    must: bool,
    may: bool,
}

/// Samples `[from, to)` of one series and their common fate.
#[derive(Clone, Copy, Debug)]
pub(super) struct FateRun {
    pub(super) base: u32,
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) fate: Fate,
}

/// The samples of differing slots that were not acknowledged.
#[derive(Default)]
pub(super) struct Fates {
    /// By base, then by sample, once sorted.
    runs: Vec<FateRun>,
    /// Position + 1 of the newest run of each base while the runs are collected.
    newest: Vec<u32>,
    stale: BTreeMap<SeriesId, Fate>,
}

impl Fates {
    fn add(&mut self, sample: &Scheduled, fate: Fate) {
        if sample.stale {
            self.stale.insert(sample.id, fate);
            return;
        }
        let Some(newest) = self.newest.get_mut(sample.id.base as usize) else { return };
        let last = newest.checked_sub(1).and_then(|at| self.runs.get_mut(at as usize));
        match last {
            Some(run) if run.to == sample.k && run.fate == fate => run.to += 1,
            _ => {
                self.runs.push(FateRun { base: sample.id.base, from: sample.k, to: sample.k + 1, fate });
                *newest = self.runs.len() as u32;
            }
        }
    }

    fn finish(&mut self) {
        self.newest = Vec::new();
        self.runs.sort_unstable_by_key(|run| (run.base, run.from));
    }

    /// The runs of one series, ascending.
    pub(super) fn of(&self, base: u32) -> &[FateRun] {
        let from = self.runs.partition_point(|run| run.base < base);
        let len = self.runs[from..].partition_point(|run| run.base == base);
        &self.runs[from..from + len]
    }

    /// The fate of the marker that ends a series; None: acknowledged.
    pub(super) fn stale(&self, id: SeriesId) -> Option<Fate> {
        self.stale.get(&id).copied()
    }
}

impl Settlement {
    /// Walks every lane that has exceptions among its good requests. Samples of slots that do not differ are settled here:
    /// they were not acknowledged, so they are not stored either. Those of differing slots are kept for later.
    pub(super) fn replay(&mut self, generators: &[GeneratorSide], differs: &[bool]) {
        for side in generators {
            let mut by_lane: BTreeMap<(u32, u32), Vec<Exception>> = BTreeMap::new();
            for exception in side.exceptions.iter().filter(|e| e.fault.is_none()) {
                by_lane.entry((exception.epoch, exception.lane)).or_default().push(*exception);
            }
            if by_lane.is_empty() {
                continue;
            }
            if self.fates.newest.is_empty() {
                self.fates.newest = vec![0; self.run.workload.series() as usize];
            }
            let mut plans = self.carriers.plans(side.index);
            while let Some((epoch, _)) = plans.turn() {
                for (&(_, lane), exceptions) in by_lane.range_mut((epoch, 0)..=(epoch, u32::MAX)) {
                    exceptions.sort_unstable_by_key(|e| e.from_request);
                    if let Some(walk) = plans.walk(lane) {
                        self.replay_lane(walk, exceptions, differs);
                    }
                }
            }
        }
        self.fates.finish();
    }

    fn replay_lane(&mut self, mut walk: LaneWalk<'_>, exceptions: &[Exception], differs: &[bool]) {
        let mut left = exceptions.iter().copied().peekable();
        while let Some(request) = walk.next(self.run.samples_per_request) {
            while left.next_if(|e| e.to_request < request.index).is_some() {}
            let Some(exception) = left.peek() else { return };
            if exception.from_request > request.index {
                continue;
            }
            let fate = match exception.outcome {
                Outcome::Refused { status } => self.refused(self.reasons(&walk, &request), status),
                Outcome::FaultsRefused { status } => {
                    let reasons = self.reasons(&walk, &request);
                    if !reasons.must {
                        continue;
                    }
                    self.refused(reasons, status)
                }
                Outcome::Skipped if exception.to_request == u64::MAX => Fate::Cut,
                Outcome::Skipped => Fate::Skipped,
                Outcome::Unresolved => Fate::Unresolved,
            };
            walk.for_each(&request, |sample| {
                if !sample.stale && self.truth.drawn(sample.id, sample.k, sample.due_ns).is_some() {
                    return;
                }
                if differs[usize::from(slot_of(sample.hash))] {
                    self.fates.add(&sample, fate);
                } else {
                    self.not_stored(sample.id, sample.k, sample.stale, fate);
                }
            });
        }
    }

    /// Whether an exception of this lane's good requests is one of this request.
    pub(super) fn excepts(&self, exception: &Exception, walk: &LaneWalk<'_>, request: &RequestPlan) -> bool {
        let within = exception.from_request <= request.index && request.index <= exception.to_request;
        let only_faulty = matches!(exception.outcome, Outcome::FaultsRefused { .. });
        within && (!only_faulty || self.reasons(walk, request).must)
    }

    /// What the faults that a request carries among its good samples are a reason for.
    fn reasons(&self, walk: &LaneWalk<'_>, request: &RequestPlan) -> Reasons {
        let (mut must, mut may) = (false, false);
        walk.for_each(request, |s| {
            let drawn = if s.stale { None } else { self.truth.drawn(s.id, s.k, s.due_ns) };
            if let Some(fault) = drawn.filter(|fault| !self.run.faults.own(*fault)) {
                match self.run.expect.get(fault as usize) {
                    Some(Expect::Refused) => must = true,
                    Some(Expect::Any) | None => may = true,
                    Some(Expect::Stored | Expect::AcceptedNotStored) => {}
                }
            }
        });
        Reasons { must, may }
    }

    /// The fate of the good samples of a refused request.
    fn refused(&self, reasons: Reasons, status: u16) -> Fate {
        match (reasons.must, reasons.may) {
            (false, false) => Fate::Refused(status),
            (true, false) if self.run.keeps_good => Fate::RefusedKeeping(status),
            _ => Fate::RefusedWithFault(status),
        }
    }

    /// Names a sample that was neither acknowledged nor stored.
    pub(super) fn not_stored(&mut self, id: SeriesId, k: u32, stale: bool, fate: Fate) {
        let (name, detail) = match fate {
            Fate::Refused(status) => (FindingName::WronglyRefused, format!("a good request was answered {status}")),
            Fate::RefusedWithFault(status) => {
                (FindingName::Collateral, format!("refused with {status} beside an injected fault"))
            }
            Fate::RefusedKeeping(status) => {
                let detail = format!("refused with {status} beside an injected fault, and not kept as it should be");
                (FindingName::WronglyRefused, detail)
            }
            Fate::Unresolved => {
                let stored = if self.context.unread { "nobody looked whether it is stored" } else { "not stored" };
                (FindingName::Unresolved, format!("never acknowledged, and {stored}"))
            }
            Fate::Skipped => {
                if !stale {
                    self.holes.add(SKIPPED, id, k);
                }
                return;
            }
            Fate::Cut => return,
        };
        self.name_gone(name, id, k, stale, detail);
    }

    /// Names a sample that is not stored.
    pub(super) fn name_gone(&mut self, name: FindingName, id: SeriesId, k: u32, stale: bool, detail: String) {
        let truth = &self.truth;
        self.examples.add(name, false, || truth.scheduled(id, k, stale, detail));
        if !stale {
            self.holes.add(name.as_str(), id, k);
        }
    }
}
