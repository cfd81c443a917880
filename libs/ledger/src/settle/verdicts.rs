//! Injected faults: what generators heard and the store holds, against the verdict that each should have.

use std::collections::BTreeMap;
use std::sync::Arc;

use faults::{Expect, FaultScratch, Materialised};
use remote_write::slot_of;
use workload::{LaneWalk, SeriesId};

use super::{GeneratorSide, Settlement};
use crate::{Example, Exception, FaultAccount, FaultRepeat, FaultSeen, FindingName, MAX_EXAMPLES, Outcome};

/// How many samples of a fault went against the verdict that it should have had: accepted or refused, wrongly.
/// `account` is what generators heard, `seen` what the store holds, None when nobody looked. Where nobody can tell which samples
/// are meant, the least number that explains both.
pub fn wrong(expect: Expect, account: &FaultAccount, seen: Option<&FaultSeen>) -> u64 {
    let clear = account.sent.saturating_sub(account.indeterminate);
    let wrong = wrongly_accepted(expect, account, seen).saturating_add(wrongly_refused(expect, account));
    wrong.min(clear)
}

/// What is stored may include all that have no verdict: a sample whose good predecessor never arrived is no fault, and one
/// that was never answered may have been kept.
pub(super) fn wrongly_accepted(expect: Expect, account: &FaultAccount, seen: Option<&FaultSeen>) -> u64 {
    let kept = seen.map_or(0, |seen| seen.stored).saturating_sub(account.indeterminate);
    match expect {
        Expect::Refused => {
            // All that were acknowledged, and what is stored beyond as many: answered with a refusal, and kept.
            account.acknowledged.saturating_add(kept.saturating_sub(account.acknowledged))
        }
        Expect::AcceptedNotStored => kept,
        Expect::Stored | Expect::Any => 0,
    }
}

fn wrongly_refused(expect: Expect, account: &FaultAccount) -> u64 {
    match expect {
        Expect::Stored | Expect::AcceptedNotStored => account.refused,
        Expect::Refused | Expect::Any => 0,
    }
}

impl Settlement {
    /// Samples of faults that were stored again: how many, with a few as witnesses.
    pub(super) fn judge_fault_repeats(&mut self) -> u64 {
        let (workload, plan) = (Arc::clone(&self.run.workload), Arc::clone(&self.run.faults));
        let mut scratch = (FaultScratch::default(), Vec::new());
        for FaultRepeat { fault, base, k } in std::mem::take(&mut self.store.fault_repeats) {
            let id = SeriesId { base, generation: workload.generation_at(base, k) };
            let slot = slot_of(workload.series_hash(id, &mut scratch.1));
            let Some(scheduled) = self.truth.timestamp_ms(base, k) else { continue };
            // A generator reckons with the sample that it replaced, a worker with its own timestamp.
            let at = match plan.materialise(fault, id, k, self.run.t0_ns, &mut scratch.0) {
                Some(Materialised::Sample(sample) | Materialised::InBrokenRequest(sample)) => sample.timestamp,
                _ => scheduled,
            };
            self.explain_again(id, slot, k, &[scheduled, at], 1);
            let name = plan.fault(fault).map_or("a fault", |fault| fault.name());
            let example =
                || self.truth.scheduled(id, k, false, format!("{name} in place of this sample: stored again"));
            if self.examples.wants(FindingName::Duplicated) {
                let example = example();
                self.examples.witness(FindingName::Duplicated, &[example]);
            }
        }
        self.store.faults.iter().fold(0, |sum, seen| sum.saturating_add(seen.repeated))
    }

    pub(super) fn judge_faults(&mut self, generators: &[GeneratorSide]) {
        let verdicts = self.run.expect.clone();
        for (index, verdict) in verdicts.into_iter().enumerate() {
            let mut heard = FaultAccount::default();
            for side in generators {
                if let Some(account) = side.faults.get(index) {
                    heard.merge(account);
                }
            }
            let seen = self.store.faults.get(index);
            if verdict == Expect::Stored
                && let Some(seen) = seen
            {
                // It should have been accepted, it was, and yet nobody holds it.
                let most = heard.acknowledged.saturating_sub(seen.stored);
                let least = most.saturating_sub(seen.untold);
                self.examples.count(FindingName::SilentLoss, least, 0);
                self.examples.count(FindingName::Unproven, most - least, 0);
            }
            let wrongs = [
                (FindingName::WronglyAccepted, wrongly_accepted(verdict, &heard, seen)),
                (FindingName::WronglyRefused, wrongly_refused(verdict, &heard)),
            ];
            for (name, count) in wrongs.into_iter().filter(|(_, count)| *count > 0) {
                if name == FindingName::WronglyAccepted && self.may_follow_lost(index as u32) {
                    self.put_off(generators, index as u32, heard);
                    continue;
                }
                let examples = self.fault_examples(generators, index as u32, name == FindingName::WronglyRefused);
                self.examples.count(name, count, 0);
                self.examples.witness(name, &examples);
            }
        }
    }

    /// The first samples drawn for a fault that were refused, or that were acknowledged.
    pub(super) fn fault_examples(&self, generators: &[GeneratorSide], fault: u32, refused: bool) -> Vec<Example> {
        let mut examples = Vec::new();
        let mixed = !self.run.faults.own(fault);
        for side in generators {
            let mut by_lane: BTreeMap<(u32, u32), Vec<&Exception>> = BTreeMap::new();
            for exception in side.exceptions.iter().filter(|e| e.fault == (!mixed).then_some(fault)) {
                by_lane.entry((exception.epoch, exception.lane)).or_default().push(exception);
            }
            let mut plans = self.carriers.plans(side.index);
            while let Some((epoch, lanes)) = plans.turn() {
                for lane in 0..lanes {
                    let exceptions = by_lane.remove(&(epoch, lane)).unwrap_or_default();
                    let Some(walk) = plans.walk(lane) else { continue };
                    self.fault_examples_of(walk, &exceptions, fault, refused, &mut examples);
                    if examples.len() >= MAX_EXAMPLES {
                        return examples;
                    }
                }
            }
        }
        examples
    }

    /// The same of one lane.
    fn fault_examples_of(
        &self,
        mut walk: LaneWalk<'_>,
        exceptions: &[&Exception],
        fault: u32,
        refused: bool,
        examples: &mut Vec<Example>,
    ) {
        let name = self.run.faults.fault(fault).map_or("a fault", |fault| fault.name());
        while let Some(request) = walk.next(self.run.samples_per_request) {
            let at = |e: &&&Exception| self.excepts(e, &walk, &request);
            let status = match exceptions.iter().find(at).map(|e| e.outcome) {
                Some(Outcome::Refused { status } | Outcome::FaultsRefused { status }) if refused => Some(status),
                None if !refused => None,
                _ => continue,
            };
            walk.for_each(&request, |sample| {
                let drawn = || self.truth.drawn(sample.id, sample.k, sample.due_ns);
                if examples.len() < MAX_EXAMPLES && !sample.stale && drawn() == Some(fault) {
                    let heard = status.map_or("acknowledged".to_owned(), |status| format!("answered {status}"));
                    let detail = format!("{name} in place of this sample: {heard}");
                    examples.push(self.truth.scheduled(sample.id, sample.k, false, detail));
                }
            });
            if examples.len() >= MAX_EXAMPLES {
                return;
            }
        }
    }
}
