//! Accepted faults that follow upon a good sample which was acknowledged and went down with its worker: the backend never had
//! what makes them faults, and was right to take them. Which good samples are missing is known at the end only.

use std::collections::BTreeMap;

use faults::needs_good_before;
use remote_write::slot_of;
use workload::{LaneWalk, Scheduled};

use super::carrier::{Carrier, Carriers};
use super::kills::Span;
use super::verdicts::wrongly_accepted;
use super::{GeneratorSide, Settlement};
use crate::{Example, Exception, FaultAccount, FindingName};

/// A fault of which more was accepted than should have been.
pub(super) struct PutOff {
    fault: u32,
    heard: FaultAccount,
    examples: Vec<Example>,
    /// Its requests that were not acknowledged.
    exceptions: BTreeMap<Carrier, Vec<Exception>>,
}

impl Settlement {
    /// Whether a worker may have taken with it what samples of this fault follow upon.
    pub(super) fn may_follow_lost(&self, fault: u32) -> bool {
        let lossy = self.context.buffered && self.context.ends().next().is_some();
        lossy && self.run.faults.fault(fault).is_some_and(needs_good_before)
    }

    pub(super) fn put_off(&mut self, generators: &[GeneratorSide], fault: u32, heard: FaultAccount) {
        let mut exceptions: BTreeMap<Carrier, Vec<Exception>> = BTreeMap::new();
        let carried_by = self.run.faults.own(fault).then_some(fault);
        for side in generators {
            for exception in side.exceptions.iter().filter(|e| e.fault == carried_by) {
                exceptions.entry(Carriers::of_exception(side.index, exception)).or_default().push(*exception);
            }
        }
        for exceptions in exceptions.values_mut() {
            exceptions.sort_unstable_by_key(|e| e.from_request);
        }
        let examples = self.fault_examples(generators, fault, false);
        self.put_off.push(PutOff { fault, heard, examples, exceptions });
    }

    /// Judges what was put off; how many samples of each fault have no verdict.
    pub(super) fn judge_put_off(&mut self) -> Vec<u64> {
        let mut unjudged = vec![0; self.run.expect.len()];
        for PutOff { fault, mut heard, examples, exceptions } in std::mem::take(&mut self.put_off) {
            let at = fault as usize;
            unjudged[at] = self.following_lost(fault, &exceptions).min(heard.acknowledged);
            heard.acknowledged -= unjudged[at];
            heard.indeterminate = heard.indeterminate.saturating_add(unjudged[at]);
            let wrong = wrongly_accepted(self.run.expect[at], &heard, self.store.faults.get(at));
            self.examples.count(FindingName::WronglyAccepted, wrong, 0);
            if wrong > 0 {
                self.examples.witness(FindingName::WronglyAccepted, &examples);
            }
        }
        unjudged
    }

    /// Acknowledged samples of a fault whose good predecessor is missing, or may be where nobody looked.
    fn following_lost(&self, fault: u32, exceptions: &BTreeMap<Carrier, Vec<Exception>>) -> u64 {
        let Some(span) = self.lost_span() else { return 0 };
        let mut count = 0;
        for generator in 0..self.run.generators {
            let mut plans = self.carriers.plans(generator);
            while let Some((epoch, lanes)) = plans.turn() {
                for lane in 0..lanes {
                    let carrier = Carrier { generator, epoch, lane: u16::try_from(lane).unwrap_or(u16::MAX) };
                    let exceptions = exceptions.get(&carrier).map_or(&[][..], Vec::as_slice);
                    if let Some(walk) = plans.walk(lane) {
                        count += self.following_lost_in(walk, exceptions, fault, span);
                    }
                }
            }
        }
        count
    }

    fn following_lost_in(&self, mut walk: LaneWalk<'_>, exceptions: &[Exception], fault: u32, span: Span) -> u64 {
        let mut left = exceptions.iter().peekable();
        let mut count = 0;
        while let Some(request) = walk.next(self.run.samples_per_request) {
            while left.next_if(|e| e.to_request < request.index).is_some() {}
            if self.run.workload.predecessors_from(request.first_due_ns) > span.last {
                break;
            }
            if request.last_due_ns < span.first || left.peek().is_some_and(|e| self.excepts(e, &walk, &request)) {
                continue;
            }
            walk.for_each(&request, |sample| {
                let drawn = || self.truth.drawn(sample.id, sample.k, sample.due_ns) == Some(fault);
                count += u64::from(!sample.stale && self.follows_lost(&sample) && drawn());
            });
        }
        count
    }

    /// When lost good samples may be due.
    fn lost_span(&self) -> Option<Span> {
        if !self.context.unread {
            return self.missing.span();
        }
        let last = self.context.ends().map(|end| end.last_before().saturating_sub(self.run.t0_ns)).max()?;
        Some(Span { first: 0, last })
    }

    fn follows_lost(&self, sample: &Scheduled) -> bool {
        let Some(k) = sample.k.checked_sub(1) else { return false };
        if !self.context.unread {
            return self.missing.holds_sample(sample.id.base, k);
        }
        let due = self.run.workload.due_ns(sample.id.base, k).unwrap_or(u64::MAX);
        let carrier = self.carriers.of(sample.id, k, slot_of(sample.hash));
        let mut ends = self.carriers.ends(&self.context, carrier);
        ends.any(|(_, end)| self.run.t0_ns.saturating_add(due) <= end.last_before())
    }
}
