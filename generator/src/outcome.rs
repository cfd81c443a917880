//! The books: where every sample went, how long it took, and which requests were not acknowledged. Written once a request.

use std::collections::BTreeMap;

use ledger::{Exception, GeneratorAccount, Outcome, Position, SlotTable};
use protocol::{FaultCount, SentEpoch, StageProgress};

use crate::handover::Origin;
use crate::recorded::Recorded;

/// Most exceptions kept; then the list says that it is not complete.
const MAX_EXCEPTIONS: usize = 50_000;
/// Examples of one fault.
const MAX_EXAMPLES: usize = 10;
/// A request that leaves an idle lane later than this left late by the generator's own fault.
const LATE_NS: u64 = 10_000_000;
/// After a stage's end an answer still counts for it this long.
const IN_TIME_NS: u64 = 1_000_000_000;

/// What a fault's samples were answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    Acknowledged,
    Refused(u16),
    /// Nothing, by the end.
    Unknown,
}

/// Whether and how an attempt is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measured {
    /// `censored`: it ended by the clock, not by an answer.
    Service { censored: bool },
    /// It belongs to a warm-up stage.
    Not,
}

/// The requests of one lane that were not acknowledged.
#[derive(Default)]
struct LaneExceptions {
    list: Vec<Exception>,
    /// Position of the entry that the next good request without acknowledgement continues; the same by fault.
    good: Option<usize>,
    faults: BTreeMap<u32, usize>,
}

/// Numbers, histograms and lists of one generator.
pub(crate) struct Books {
    pub(crate) account: GeneratorAccount,
    pub(crate) slots: SlotTable,
    pub(crate) requests: u64,
    pub(crate) attempts: u64,
    pub(crate) failed_attempts: u64,
    pub(crate) retries: u64,
    pub(crate) late_requests: u64,
    /// See [`protocol::GeneratorReport::lag_ns`].
    pub(crate) lag_ns: u64,
    /// Time that lanes waited for the target, summed over lanes.
    pub(crate) busy_ns: u64,
    pub(crate) stages: Vec<StageProgress>,
    /// End of each stage.
    pub(crate) stage_ends: Vec<u64>,
    pub(crate) faults: Vec<FaultCount>,
    pub(crate) last_error: Option<String>,
    pub(crate) truncated: bool,
    /// By map, then by lane.
    lanes: Vec<Vec<LaneExceptions>>,
    exceptions: usize,
    pub(crate) epochs: Vec<SentEpoch>,
    /// Under earlier maps: time, summed over lanes.
    pub(crate) lane_ns: u64,
    /// The first refusal of a request that waits for the next map.
    waiting_since: Option<u64>,
    /// The same, once that map holds and nothing was acknowledged yet.
    pause_from: Option<u64>,
    pub(crate) recorded: Recorded,
}

impl Books {
    pub(crate) fn new() -> Self {
        Self {
            account: GeneratorAccount::default(),
            slots: SlotTable::new(),
            requests: 0,
            attempts: 0,
            failed_attempts: 0,
            retries: 0,
            late_requests: 0,
            lag_ns: 0,
            busy_ns: 0,
            stages: Vec::new(),
            stage_ends: Vec::new(),
            faults: Vec::new(),
            last_error: None,
            truncated: false,
            lanes: Vec::new(),
            exceptions: 0,
            epochs: Vec::new(),
            lane_ns: 0,
            waiting_since: None,
            pause_from: None,
            recorded: Recorded::default(),
        }
    }

    /// Room for the run: stages with their ends and due samples, faults.
    pub(crate) fn prepare(&mut self, stages: &[(u64, u64)], faults: usize) {
        self.stages = stages.iter().map(|&(_, due)| StageProgress { due, in_time: 0 }).collect();
        self.stage_ends = stages.iter().map(|&(end, _)| end).collect();
        self.faults = vec![FaultCount::default(); faults];
    }

    /// A map holds from now on; the one before was left at these cuts.
    pub(crate) fn enter(&mut self, epoch: SentEpoch, lanes: u32, cuts: Vec<Position>) {
        if let (Some(last), Some(old)) = (self.epochs.last_mut(), self.lanes.last()) {
            self.lane_ns += epoch.from_ns.saturating_sub(last.from_ns) * old.len() as u64;
            last.cuts = cuts;
        }
        self.epochs.push(epoch);
        self.lanes.push((0..lanes).map(|_| LaneExceptions::default()).collect());
        self.pause_from = self.waiting_since.take();
    }

    /// A request that was refused at an instant first has to wait for the next map.
    pub(crate) fn waits(&mut self, since: u64) {
        self.waiting_since = Some(self.waiting_since.map_or(since, |known| known.min(since)));
    }

    /// A good request left: how long it was due while its lane was busy, and after its lane was free.
    pub(crate) fn left(&mut self, at: u64, queued_ns: u64, late_ns: u64) {
        self.recorded.queued.record_ns(at, queued_ns);
        self.recorded.late.record_ns(at, late_ns);
        self.late_requests += u64::from(late_ns > LATE_NS);
    }

    /// One attempt came to its end.
    pub(crate) fn attempt(&mut self, at: u64, took: u64, measured: Measured, succeeded: bool, repeated: bool) {
        self.attempts += 1;
        self.failed_attempts += u64::from(!succeeded);
        self.retries += u64::from(repeated);
        match measured {
            Measured::Service { censored: true } => self.recorded.service.record_censored_ns(at, took),
            Measured::Service { censored: false } => self.recorded.service.record_ns(at, took),
            Measured::Not => {}
        }
    }

    /// A good request was acknowledged.
    pub(crate) fn acknowledged(&mut self, at: u64, intended: u64, warm_up: bool, good: &[(u16, u64)]) {
        if let Some(from) = self.pause_from.take()
            && let Some(epoch) = self.epochs.last_mut()
        {
            epoch.pause_ns = Some(at.saturating_sub(from));
        }
        let took = at.saturating_sub(intended);
        self.lag_ns = self.lag_ns.max(took);
        if !warm_up {
            self.recorded.response.record_ns(at, took);
        }
        for &(slot, digest) in good {
            self.slots.add(slot, digest);
        }
    }

    /// A good request was still without its last answer when the run ended.
    pub(crate) fn cut_off(&mut self, at: u64, intended: u64, warm_up: bool) {
        if !warm_up {
            self.recorded.response.record_censored_ns(at, at.saturating_sub(intended));
        }
    }

    /// Books samples under their outcome; `None` is acknowledged.
    pub(crate) fn count(&mut self, samples: u64, outcome: Option<Outcome>, skip_reason: &str) {
        self.account.generated += samples;
        match outcome {
            None => self.account.acknowledged += samples,
            Some(Outcome::Refused { status } | Outcome::FaultsRefused { status }) => {
                *self.account.refused.entry(format!("status_{status}")).or_default() += samples;
            }
            Some(Outcome::Skipped) => *self.account.skipped.entry(skip_reason.to_owned()).or_default() += samples,
            Some(Outcome::Unresolved) => self.account.unresolved += samples,
        }
    }

    /// Samples of a stage that got their final answer.
    pub(crate) fn answered(&mut self, stage: u32, at: u64, samples: u64) {
        let stage = stage as usize;
        if let (Some(progress), Some(end)) = (self.stages.get_mut(stage), self.stage_ends.get(stage))
            && at <= end.saturating_add(IN_TIME_NS)
        {
            progress.in_time += samples;
        }
    }

    /// Samples that were never sent, as one event.
    pub(crate) fn dropped(&mut self, reason: &str, samples: u64) {
        self.recorded.drops.record(&format!("skipped_{reason}"), samples);
    }

    /// What became of a fault's samples, `doubtful` of which say nothing.
    pub(crate) fn fault(&mut self, fault: u32, outcome: Heard, samples: u64, doubtful: u64, example: Option<String>) {
        let Some(entry) = self.faults.get_mut(fault as usize) else { return };
        let doubtful = if matches!(outcome, Heard::Unknown) { samples } else { doubtful.min(samples) };
        let clear = samples - doubtful;
        entry.account.sent += samples;
        entry.account.indeterminate += doubtful;
        match outcome {
            Heard::Acknowledged => entry.account.acknowledged += clear,
            Heard::Refused(status) => {
                entry.account.refused += clear;
                entry.account.refused_in_doubt += doubtful;
                if clear > 0 {
                    *entry.statuses.entry(status).or_default() += clear;
                }
            }
            Heard::Unknown => {}
        }
        if let Some(example) = example.filter(|_| clear > 0 && entry.examples.len() < MAX_EXAMPLES) {
            entry.examples.push(example);
        }
    }

    /// The same of a good request; `faulty`: among its samples it carries a fault that has to be refused.
    pub(crate) fn except_good(&mut self, from: &Origin, faulty: bool, outcome: Option<Outcome>) {
        let outcome = match outcome {
            Some(Outcome::Refused { status }) if faulty => Some(Outcome::FaultsRefused { status }),
            None if !faulty && self.faults_refused(from) => return,
            other => other,
        };
        self.except(from, from.request.index, None, outcome);
    }

    /// Whether a lane's newest entry of good requests is one that others lie inside of.
    fn faults_refused(&self, of: &Origin) -> bool {
        let lane = self.lanes.get(of.step as usize).and_then(|lanes| lanes.get(of.lane as usize));
        let open = lane.and_then(|entries| entries.list.get(entries.good?));
        open.is_some_and(|entry| matches!(entry.outcome, Outcome::FaultsRefused { .. }))
    }

    /// Remembers what became of a request: `None` is acknowledged and only ends the entry before. Requests without a fault
    /// request of this kind may lie inside a fault's entry: there is nothing in them that it could be wrong about.
    /// `from` names the first request. What an earlier map left comes late, and never into an entry that begins behind it.
    pub(crate) fn except(&mut self, from: &Origin, to_request: u64, fault: Option<u32>, outcome: Option<Outcome>) {
        let &Origin { step: epoch, lane, request } = from;
        let lanes = self.lanes.get_mut(epoch as usize);
        let Some(entries) = lanes.and_then(|lanes| lanes.get_mut(lane as usize)) else { return };
        let Some(outcome) = outcome else {
            match fault {
                None => entries.good = None,
                Some(fault) => {
                    entries.faults.remove(&fault);
                }
            }
            return;
        };
        let open = match fault {
            None => entries.good,
            Some(fault) => entries.faults.get(&fault).copied(),
        };
        // What the lane's end cuts off is no part of what was skipped before it.
        if let Some(entry) = open
            .and_then(|at| entries.list.get_mut(at))
            .filter(|e| e.outcome == outcome && e.from_request <= request.index && to_request != u64::MAX)
        {
            entry.to_request = entry.to_request.max(to_request);
            return;
        }
        if self.exceptions >= MAX_EXCEPTIONS {
            self.truncated = true;
            return;
        }
        self.exceptions += 1;
        let at = entries.list.len();
        entries.list.push(Exception { lane, epoch, from_request: request.index, to_request, fault, outcome });
        match fault {
            None => entries.good = Some(at),
            Some(fault) => {
                entries.faults.insert(fault, at);
            }
        }
    }

    /// All exceptions, in order of map and lane.
    pub(crate) fn exceptions(&self) -> Vec<Exception> {
        let mut all = Vec::with_capacity(self.exceptions);
        all.extend(self.lanes.iter().flatten().flat_map(|lane| lane.list.iter().copied()));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use workload::RequestPlan;

    fn origin(index: u64) -> Origin {
        let request = RequestPlan { index, intended_ns: 0, first_due_ns: 0, last_due_ns: 0, samples: 1, stage: 0 };
        Origin { step: 0, lane: 0, request }
    }

    /// A fault of an old request may be refused behind one of a newer request.
    #[test]
    fn what_comes_late_takes_nothing_out_of_the_list() {
        let mut books = Books::new();
        books.enter(SentEpoch::default(), 1, Vec::new());
        let refused = Some(Outcome::Refused { status: 400 });
        for request in [5, 6, 7, 6, 3, 4] {
            books.except(&origin(request), request, Some(0), refused);
        }
        let ranges: Vec<_> = books.exceptions().iter().map(|e| (e.from_request, e.to_request)).collect();
        assert_eq!(ranges, [(5, 7), (3, 4)]);
    }

    /// One in two requests is refused for what it carries, as planned: that is one entry, and every deviation another.
    #[test]
    fn what_goes_as_planned_takes_no_room() {
        let mut books = Books::new();
        books.enter(SentEpoch::default(), 1, Vec::new());
        let refused = Some(Outcome::Refused { status: 400 });
        for request in 0..100_000 {
            let faulty = request % 2 == 1;
            books.except_good(&origin(request), faulty, refused.filter(|_| faulty));
        }
        assert_eq!((books.exceptions().len(), books.truncated), (1, false));
        for (request, faulty, outcome) in [
            (100_000, true, None),
            (100_001, true, refused),
            (100_002, false, refused),
            (100_003, false, None),
            (100_004, true, refused),
            (100_005, false, Some(Outcome::Skipped)),
        ] {
            books.except_good(&origin(request), faulty, outcome);
        }
        let entries: Vec<_> = books.exceptions().iter().map(|e| (e.from_request, e.to_request, e.outcome)).collect();
        let planned = Outcome::FaultsRefused { status: 400 };
        assert_eq!(
            entries,
            [
                (1, 99_999, planned),
                (100_001, 100_001, planned),
                (100_002, 100_002, Outcome::Refused { status: 400 }),
                (100_004, 100_004, planned),
                (100_005, 100_005, Outcome::Skipped),
            ]
        );
    }
}
