//! Injected faults: what generators heard and the store holds, against the verdict that each should have.

use std::collections::BTreeMap;
use std::sync::Arc;

use faults::Expect;
use workload::{LanePlan, LaneWalk};

use super::{GeneratorSide, Settlement};
use crate::{Example, Exception, FaultAccount, FindingName, MAX_EXAMPLES, Outcome};

impl Settlement {
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
            let stored = seen.map_or(0, |seen| seen.stored);
            if verdict == Expect::Stored && seen.is_some() {
                // It should have been accepted, it was, and yet nobody holds it.
                self.examples.count(FindingName::SilentLoss, heard.acknowledged.saturating_sub(stored), 0);
            }
            let (name, count) = match verdict {
                Expect::Refused => (FindingName::WronglyAccepted, heard.acknowledged.max(stored)),
                Expect::AcceptedNotStored if stored > 0 => (FindingName::WronglyAccepted, stored),
                Expect::Stored | Expect::AcceptedNotStored => (FindingName::WronglyRefused, heard.refused),
                Expect::Any => continue,
            };
            if count > 0 {
                let wanted = name == FindingName::WronglyRefused;
                let examples = self.fault_examples(generators, index as u32, wanted);
                self.examples.count(name, count, 0);
                self.examples.witness(name, &examples);
            }
        }
    }

    /// The first samples drawn for a fault that were refused, or that were acknowledged.
    fn fault_examples(&self, generators: &[GeneratorSide], fault: u32, refused: bool) -> Vec<Example> {
        let mut examples = Vec::new();
        for side in generators {
            let plan =
                LanePlan::new(Arc::clone(&self.run.workload), self.run.lanes.clone(), side.index, self.run.generators);
            let mixed = !self.run.faults.own(fault);
            let name = self.run.faults.fault(fault).map_or("a fault", |fault| fault.name());
            let mut by_lane: BTreeMap<u32, Vec<&Exception>> = BTreeMap::new();
            for exception in side.exceptions.iter().filter(|e| e.fault == (!mixed).then_some(fault)) {
                by_lane.entry(exception.lane).or_default().push(exception);
            }
            for lane in 0..plan.lanes() {
                let exceptions = by_lane.remove(&lane).unwrap_or_default();
                let mut walk = LaneWalk::new(&plan, lane);
                while let Some(request) = walk.next(self.run.samples_per_request) {
                    let at = |e: &&&Exception| e.from_request <= request.index && request.index <= e.to_request;
                    let status = match exceptions.iter().find(at).map(|e| e.outcome) {
                        Some(Outcome::Refused { status }) if refused => Some(status),
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
                        return examples;
                    }
                }
            }
        }
        examples
    }
}
