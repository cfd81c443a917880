//! The lane itself.

use std::collections::{HashMap, VecDeque};

use super::Nanos;
use super::batch::{Batch, Piece};
use super::merge::Merge;
use super::outcome::{Answer, DropNote, Effects, How, Verdict};
use super::part::{Part, Payload};
use super::rules::{OnExhausted, OnRejected, Partial, Rules, Step};

#[derive(Debug, Default)]
struct Open {
    /// Pieces in batches that are not settled.
    pieces: u32,
    /// Slices that are not in a batch yet.
    slices: u32,
    intended_us: Option<u64>,
    newest: i64,
    /// See [`Part::promised`].
    promised: bool,
    bad: Option<Verdict>,
}

/// See the module.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
pub(crate) struct Lane {
    pub(super) rules: Rules,
    queue: VecDeque<Part>,
    /// The front is sent next. Several only while a batch is taken apart.
    pub(super) work: VecDeque<Batch>,
    open: HashMap<u64, Open>,
    flight: bool,
    pub(super) not_before: Nanos,
    extra_left: u32,
    /// Batches that the backend is known to have taken, other lanes' too: only that it grows means something.
    pub(super) successes: u64,
    /// A series that the backend took of the batch that is looked through.
    pub(super) witness: Option<Batch>,
    /// It is sent next, or in flight.
    pub(super) asking: bool,
    halted: bool,
    more: bool,
    random: u64,
}

impl Lane {
    /// An empty lane. `seed` spreads the retries of different lanes.
    pub(crate) fn new(rules: Rules, seed: u64) -> Self {
        Self {
            rules,
            queue: VecDeque::new(),
            work: VecDeque::new(),
            open: HashMap::new(),
            flight: false,
            not_before: 0,
            extra_left: 0,
            successes: 0,
            witness: None,
            asking: false,
            halted: false,
            more: true,
            random: seed,
        }
    }

    /// Appends a part. Its id is not in use.
    pub(crate) fn push(&mut self, part: Part) {
        self.open.insert(
            part.id,
            Open {
                slices: part.slices.len() as u32,
                intended_us: part.intended_us,
                newest: part.newest,
                promised: part.promised,
                ..Open::default()
            },
        );
        self.queue.push_back(part);
    }

    /// What to do now. Forms the next batch when none is pending.
    pub(crate) fn step(&mut self, now: Nanos) -> Step {
        if self.halted {
            return Step::Halted;
        }
        if self.flight {
            return Step::Busy;
        }
        if self.work.is_empty() {
            if let Some(until) = self.company().filter(|until| now < *until) {
                return Step::Wait(until);
            }
            self.witness = None;
            match self.form() {
                Some(batch) => self.work.push_back(batch),
                None => return Step::Idle,
            }
        }
        if now < self.not_before {
            return Step::Wait(self.not_before);
        }
        Step::Send
    }

    /// Whether it will not send any more.
    pub(crate) fn is_halted(&self) -> bool {
        self.halted
    }

    /// Takes the pending batch into flight.
    pub(crate) fn begin(&mut self) -> Option<&mut Batch> {
        let batch = if self.asking { self.witness.as_mut() } else { self.work.front_mut() }?;
        batch.attempts += 1;
        self.flight = true;
        Some(batch)
    }

    /// Samples held.
    pub(crate) fn held(&self) -> u64 {
        let work: u64 = self.work.iter().map(Batch::samples).sum();
        work + self.queue.iter().map(Part::samples).sum::<u64>()
    }

    /// The batch in flight was answered.
    pub(crate) fn answered(&mut self, now: Nanos, answer: Answer) -> Effects {
        let mut effects = Effects::default();
        self.flight = false;
        self.not_before = 0;
        if std::mem::take(&mut self.asking) {
            return self.heard(now, &answer);
        }
        let Some(batch) = self.work.pop_front() else {
            return effects;
        };
        match answer {
            Answer::Delivered => {
                self.successes += 1;
                if batch.probing {
                    self.witness = batch.last_series();
                }
                for piece in &batch.pieces {
                    let open = self.open.get(&piece.part);
                    let intended = open.and_then(|open| open.intended_us);
                    effects.newest = effects.newest.max(open.map_or(0, |open| open.newest));
                    effects.delivered.push((intended, piece.payload.samples()));
                }
                self.settle(&batch, &How::Delivered, None, &mut effects);
            }
            Answer::Retry { after, maybe_processed, suspect, why } => {
                if let Some(batch) = self.suspect(batch, suspect, maybe_processed, &why, &mut effects) {
                    self.retry(now, batch, (after, maybe_processed, why), &mut effects);
                }
            }
            Answer::Rejected { status, text } => self.rejected(batch, status, text, &mut effects),
            Answer::TooLarge { text } => match batch.halve() {
                Some(halves) => self.divide(&batch, halves, &mut effects),
                None => self.refuse(&batch, 413, text, &mut effects),
            },
            Answer::Fatal { why } => self.halt(batch, why, &mut effects),
        }
        effects
    }

    /// Gives up everything: how many samples were never sent, and how many the backend may have.
    pub(crate) fn abandon(&mut self) -> (u64, u64) {
        let maybe = |batch: &&Batch| batch.maybe_stored;
        let mut ambiguous: u64 = self.work.iter().filter(maybe).map(Batch::samples).sum();
        if self.flight
            && !self.asking
            && let Some(batch) = self.work.front().filter(|batch| !batch.maybe_stored)
        {
            ambiguous += batch.samples();
        }
        let unsent = self.held() - ambiguous;
        self.queue.clear();
        self.work.clear();
        self.flight = false;
        self.open.clear();
        (unsent, ambiguous)
    }

    /// Parts that are not settled.
    #[cfg(test)]
    pub(crate) fn open(&self) -> impl Iterator<Item = u64> + '_ {
        self.open.keys().copied()
    }

    /// Whether more parts may come: otherwise what is held does not wait for them.
    pub(crate) fn expect_more(&mut self, more: bool) {
        self.more = more;
    }

    /// Until when what is queued may wait for more; `None` when it is enough for a batch, or nothing.
    fn company(&self) -> Option<Nanos> {
        let first = self.queue.front().filter(|_| self.more && self.rules.max_delay > 0)?;
        let mut samples = 0;
        for part in &self.queue {
            samples += part.samples();
            if part.alone || samples >= self.rules.max_samples {
                return None;
            }
        }
        Some(first.arrived.saturating_add(self.rules.max_delay))
    }

    fn form(&mut self) -> Option<Batch> {
        let first = self.queue.front_mut()?;
        if first.alone || first.slices.len() > 1 {
            let (id, once, fault) = (first.id, first.once, first.fault);
            let payload = first.slices.pop_front();
            if first.slices.is_empty() {
                self.queue.pop_front();
            }
            return payload.map(|payload| Batch::new(vec![self.piece(id, payload)], once, fault));
        }
        let mut merge = Merge::default();
        let mut pieces = Vec::new();
        while let Some(next) = self.queue.front() {
            let samples = merge.samples + next.samples();
            let fits = pieces.is_empty() || samples <= self.rules.max_samples;
            let more = self.queue.len() > 1 || !pieces.is_empty();
            if next.alone || next.slices.len() > 1 || !fits || (more && !merge.add(next, self.rules.once)) {
                break;
            }
            merge.samples = samples;
            merge.once &= next.once;
            let Some(part) = self.queue.pop_front() else { break };
            for payload in part.slices {
                pieces.push(self.piece(part.id, payload));
            }
        }
        let once = merge.once && !merge.repeats;
        (!pieces.is_empty()).then(|| Batch::new(pieces, once, false))
    }

    fn piece(&mut self, part: u64, payload: Payload) -> Piece {
        if let Some(open) = self.open.get_mut(&part) {
            open.slices -= 1;
            open.pieces += 1;
        }
        Piece { part, payload }
    }

    fn retry(
        &mut self,
        now: Nanos,
        mut batch: Batch,
        (after, maybe, why): (Option<Nanos>, bool, String),
        effects: &mut Effects,
    ) {
        batch.maybe_stored |= maybe;
        if self.rules.max_attempts.is_some_and(|most| batch.attempts >= most) {
            let why = format!("gave up after {} attempts, the last one: {why}", batch.attempts);
            match self.rules.on_exhausted {
                OnExhausted::Fail => self.halt(batch, why, effects),
                OnExhausted::Discard => {
                    note(&batch, 0, "retry_limit", &why, effects);
                    let verdict = Verdict::Discarded { text: why };
                    self.settle(&batch, &How::Dropped("retry_limit"), Some(&verdict), effects);
                }
            }
            return;
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        batch.delay = self.rules.backoff.delay(batch.attempts, batch.delay, self.random);
        self.not_before = now.saturating_add(self.rules.backoff.wait(batch.delay, after));
        effects.again = batch.samples();
        effects.repeated = if maybe { effects.again } else { 0 };
        if batch.waits { self.work.push_back(batch) } else { self.work.push_front(batch) }
    }

    fn rejected(&mut self, mut batch: Batch, status: u16, text: String, effects: &mut Effects) {
        let divisible = match self.rules.partial {
            Partial::Atomic => true,
            // What it kept would be there twice, and tells nothing new.
            Partial::KeepsGood => false,
            // What is sent again must not be able to spoil what the backend may have kept of it.
            Partial::Unknown => batch.once,
        };
        match self.rules.on_rejected {
            OnRejected::Fail => return self.halt(batch, format!("{status}: {text}"), effects),
            _ if batch.pieces.len() > 1 && divisible => {
                // Several requests share the batch: each stands for itself.
                if let Some(halves) = batch.halve() {
                    return self.divide_refused(&batch, halves, effects);
                }
            }
            OnRejected::Isolate { max_extra } if divisible && !batch.fault => {
                if let Some(halves) = batch.halve() {
                    if !batch.isolating {
                        self.extra_left = max_extra;
                    }
                    if self.extra_left >= 2 {
                        self.extra_left -= 2;
                        batch.isolating = true;
                        let (mut left, mut right) = halves;
                        (left.isolating, right.isolating) = (true, true);
                        return self.divide_refused(&batch, (left, right), effects);
                    }
                    if batch.isolating {
                        note(&batch, status, "collateral", &text, effects);
                        let verdict = Verdict::Rejected { status, text };
                        return self.settle(&batch, &How::Rejected("collateral".into()), Some(&verdict), effects);
                    }
                }
            }
            OnRejected::Isolate { .. } | OnRejected::DropBatch => {}
        }
        self.refuse(&batch, status, text, effects);
    }

    pub(super) fn refuse(&mut self, batch: &Batch, status: u16, text: String, effects: &mut Effects) {
        let kept_some =
            self.rules.partial == Partial::KeepsGood && batch.samples() > 1 && !batch.fault && status != 413;
        // A repeat of several samples a series is refused because of the first attempt, if that one got through.
        let own_doing = batch.maybe_stored && !batch.once;
        let (how, reason) = if kept_some || own_doing {
            (How::Ambiguous, "ambiguous".into())
        } else {
            let reason = format!("status_{status}");
            (How::Rejected(reason.clone().into()), reason)
        };
        note(batch, status, &reason, &text, effects);
        self.settle(batch, &how, Some(&Verdict::Rejected { status, text }), effects);
    }

    fn divide_refused(&mut self, batch: &Batch, halves: (Batch, Batch), effects: &mut Effects) {
        self.divide(batch, halves, effects);
        if self.rules.partial != Partial::Atomic {
            effects.repeated = effects.again;
        }
    }

    pub(super) fn divide(&mut self, batch: &Batch, (left, right): (Batch, Batch), effects: &mut Effects) {
        for piece in &batch.pieces {
            if let Some(open) = self.open.get_mut(&piece.part) {
                open.pieces -= 1;
            }
        }
        for piece in left.pieces.iter().chain(&right.pieces) {
            if let Some(open) = self.open.get_mut(&piece.part) {
                open.pieces += 1;
            }
        }
        effects.again = batch.samples();
        self.work.push_front(right);
        self.work.push_front(left);
    }

    fn halt(&mut self, batch: Batch, why: String, effects: &mut Effects) {
        self.halted = true;
        self.work.push_front(batch);
        effects.halted = Some(why);
    }

    pub(super) fn settle(&mut self, batch: &Batch, how: &How, bad: Option<&Verdict>, effects: &mut Effects) {
        effects.settled.push((how.clone(), batch.samples()));
        let given_up = matches!(how, How::Rejected(_) | How::Dropped(_));
        if batch.fault && matches!(how, How::Rejected(_)) {
            effects.faults += batch.samples();
        }
        for piece in &batch.pieces {
            let Some(open) = self.open.get_mut(&piece.part) else { continue };
            open.pieces -= 1;
            if given_up && open.promised {
                effects.revoked += piece.payload.samples();
            }
            if let Some(bad) = bad
                && !matches!(open.bad, Some(Verdict::Rejected { .. }))
            {
                open.bad = Some(bad.clone());
            }
            if open.pieces == 0 && open.slices == 0 {
                let verdict = self.open.remove(&piece.part).and_then(|open| open.bad);
                effects.finished.push((piece.part, verdict.unwrap_or(Verdict::Delivered)));
            }
        }
    }
}

pub(super) fn note(batch: &Batch, status: u16, reason: &str, text: &str, effects: &mut Effects) {
    effects.note = Some(DropNote {
        status,
        reason: reason.to_owned().into(),
        text: text.to_owned(),
        series: batch.series(),
        samples: batch.samples(),
    });
}
