//! A 5xx that comes again and again: an outage, or a series that the backend cannot digest and that would hold up the lane
//! for ever.
//!
//! The batch is taken apart. A series that stands alone is given up only when it was answered so many times, and each time
//! the backend had taken something else since the time before; nothing is ever lost to an outage in which one request gets
//! through now and then. What else it takes are other lanes' batches, or the other fragments, which go first; when there is
//! none left that was not tried since the backend took something, one that it took is sent once more before each attempt.

use super::Nanos;
use super::batch::Batch;
use super::machine::{Lane, note};
use super::outcome::{Answer, Effects, How, Verdict};
use super::rules::{OnRejected, Partial};

/// Identical suspicious answers after which a batch is taken apart, and a single series given up.
const PATIENCE: u32 = 8;
/// The same for a fragment of a doubted batch.
const PROBE_PATIENCE: u32 = 2;
/// The same for a request of faults: being refused is what they are sent for. Their sender knows how to wait for evidence
/// that the backend is alive; here they would keep away the good samples that bring it.
const FAULT_PATIENCE: u32 = 4;

impl Lane {
    /// Another lane's batch was delivered: the backend is not away.
    pub(crate) fn elsewhere(&mut self) {
        self.successes += 1;
    }

    /// Looks at an answer that asks for the same batch again; gives it back if it is sent again.
    pub(super) fn suspect(
        &mut self,
        mut batch: Batch,
        status: Option<u16>,
        maybe: bool,
        why: &str,
        effects: &mut Effects,
    ) -> Option<Batch> {
        let (Some(status), false) = (status, self.rules.on_rejected == OnRejected::Fail) else {
            batch.suspect = Default::default();
            return Some(batch);
        };
        batch.maybe_stored |= maybe;
        let again = batch.suspect.0 == why;
        let taken = again && self.successes != batch.since;
        let single = !batch.fault && batch.series() < 2 && batch.samples() < 2;
        if !again {
            batch.suspect = (why.to_owned(), 0);
        }
        if single || !again {
            batch.since = self.successes;
        }
        batch.suspect.1 += u32::from(taken || !single || !again);
        if batch.fault {
            return self.suspect_fault(batch, status, taken, effects);
        }
        // Who bounds the attempts has said what happens to a batch that stays stuck.
        let bounded = self.rules.max_attempts.is_some();
        if bounded || (!batch.once && self.rules.partial != Partial::Atomic) {
            return Some(batch);
        }
        if single {
            if batch.suspect.1 < PATIENCE {
                // What waits deserves to be tried whenever the backend took something.
                let tried = self.work.iter().all(|other| self.tried(other));
                return Some(self.look_around(batch, tried));
            }
            note(&batch, status, "poison", why, effects);
            let verdict = Verdict::Rejected { status, text: why.to_owned() };
            self.settle(&batch, &How::Rejected("poison".into()), Some(&verdict), effects);
            self.asking = self.witness.is_some() && self.work.front().is_some_and(|next| self.tried(next));
            return None;
        }
        if batch.suspect.1 < if batch.probing { PROBE_PATIENCE } else { PATIENCE } {
            return Some(batch);
        }
        // While one fragment waits for a sign of life the others are asked for one as they are, before there are more of them.
        if !taken && !batch.waits && self.work.iter().any(|other| other.waits) {
            let tried = self.work.iter().all(|other| other.waits);
            return Some(self.look_around(batch, tried));
        }
        let Some((mut left, mut right)) = batch.halve() else { return Some(batch) };
        (left.probing, right.probing) = (true, true);
        if batch.waits {
            // It looks like an outage: the backend is not asked more often than before.
            (left.delay, right.delay) = (batch.delay, batch.delay);
        }
        self.divide(&batch, (left, right), effects);
        effects.repeated = if maybe { effects.again } else { 0 };
        None
    }

    fn suspect_fault(&mut self, batch: Batch, status: u16, taken: bool, effects: &mut Effects) -> Option<Batch> {
        if batch.suspect.1 < FAULT_PATIENCE {
            return Some(batch);
        }
        let text = batch.suspect.0.clone();
        if taken {
            self.refuse(&batch, status, text, effects);
        } else {
            note(&batch, status, "undecided", &text, effects);
            let verdict = Verdict::Undecided { text };
            self.settle(&batch, &How::Rejected("undecided".into()), Some(&verdict), effects);
        }
        None
    }

    /// Whether it waits, and the backend took nothing since it was answered.
    fn tried(&self, batch: &Batch) -> bool {
        batch.waits && batch.since == self.successes
    }

    /// Before a fragment is sent again something else is, so that the answer tells an outage from poison: the others, unless
    /// all were `tried`.
    fn look_around(&mut self, mut batch: Batch, tried: bool) -> Batch {
        let others = !tried || self.witness.is_none();
        // Not past a sample of the same series.
        batch.waits = others && batch.once && !self.work.iter().any(|other| other.shares(&batch));
        self.asking = !batch.waits && self.witness.is_some();
        batch
    }

    /// What the backend took before was answered now.
    pub(super) fn heard(&mut self, now: Nanos, answer: &Answer) -> Effects {
        let samples = self.witness.as_ref().map_or(0, Batch::samples);
        let maybe = match answer {
            Answer::Delivered => {
                self.successes += 1;
                true
            }
            Answer::Retry { after, maybe_processed, .. } => {
                // As long as before it: an outage is not asked twice as often because of what is sent once more.
                let delay = self.work.front().map_or(0, |batch| batch.delay);
                self.not_before = now.saturating_add(self.rules.backoff.wait(delay, *after));
                *maybe_processed
            }
            // It proves nothing any more.
            Answer::Rejected { .. } | Answer::TooLarge { .. } | Answer::Fatal { .. } => {
                self.witness = None;
                self.rules.partial != Partial::Atomic
            }
        };
        Effects { again: samples, repeated: if maybe { samples } else { 0 }, ..Effects::default() }
    }
}
