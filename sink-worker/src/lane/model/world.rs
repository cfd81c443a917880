//! The world of the model: senders, one worker with one lane, the store, and what can happen between them.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use ledger::WorkerAccount;
use remote_write::{Sample, Snappy, canonical, v1};

use super::super::*;
use super::store::{Id, Store};
use crate::admit::{Decoder, Map, SplitRules};
use crate::gate::{Gate, Key, Offer, Ticket};
use crate::idempotency::RequestId;

#[derive(Clone, Default)]
pub(super) struct Slip(Rc<RefCell<Option<Verdict>>>);

impl Ticket for Slip {
    fn issue() -> Self {
        Self::default()
    }
    fn serves(&self) -> bool {
        matches!(*self.0.borrow(), None | Some(Verdict::Delivered))
    }
    fn open(&self) -> bool {
        self.0.borrow().is_none()
    }
    fn undecided(&self) -> bool {
        matches!(*self.0.borrow(), Some(Verdict::Undecided { .. }))
    }
}

/// Choices of a run: given ones first, then always the first; counts up like an odometer.
pub(super) struct Choices {
    pub(super) script: Vec<(usize, usize)>,
    pub(super) at: usize,
}

impl Choices {
    fn choose(&mut self, of: usize) -> usize {
        if self.at == self.script.len() {
            self.script.push((0, of));
        }
        let (chosen, width) = self.script[self.at];
        assert_eq!(width, of, "a run must be a function of its choices");
        self.at += 1;
        chosen
    }

    pub(super) fn next(&mut self) -> bool {
        self.script.truncate(self.at);
        self.at = 0;
        while let Some((chosen, of)) = self.script.pop() {
            if chosen + 1 < of {
                self.script.push((chosen + 1, of));
                return true;
            }
        }
        false
    }
}

/// Series by number and time, as one body.
pub(super) fn body(samples: &[(u8, i64)]) -> (Vec<u8>, Vec<Id>) {
    let mut encoder = v1::Encoder::new();
    let mut ids = Vec::new();
    for (series, time) in samples {
        let mut block = Vec::new();
        canonical::push_label(&mut block, b"__name__", &[b'a' + series]);
        encoder.series(&block, &[Sample { timestamp: *time, value: 1.0 }]);
        ids.push((canonical::hash_block(&block), *time));
    }
    (Snappy::new().compress(encoder.body()).to_vec(), ids)
}

pub(super) struct Sender {
    pub(super) generator: bool,
    pub(super) requests: Vec<(Vec<u8>, Vec<Id>)>,
    pub(super) at: usize,
    pub(super) waits: Option<Vec<Slip>>,
}

pub(super) struct World<'a> {
    pub(super) choices: &'a mut Choices,
    pub(super) faults: u32,
    pub(super) rules: Rules,
    pub(super) map: Arc<Map>,
    pub(super) senders: Vec<Sender>,
    pub(super) gate: Gate<Slip>,
    pub(super) lane: Lane,
    pub(super) slips: BTreeMap<u64, (u64, Slip)>,
    pub(super) account: WorkerAccount,
    /// To the store: the body, and whether the worker still waits for its answer.
    pub(super) flight: Option<Vec<u8>>,
    pub(super) answer: Option<u16>,
    pub(super) ghosts: Vec<Vec<u8>>,
    pub(super) store: Store,
    pub(super) now: Nanos,
    pub(super) crashed: bool,
    pub(super) trace: Vec<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Event {
    Send(usize),
    Transmit,
    Process,
    Answer,
    // From here on each costs a fault.
    Ghost,
    Crash,
    CrashLeavingGhost,
    LoseRequest,
    DelayRequest,
    LoseAnswer,
    Unavailable,
    CommitThenError,
    Impatient(usize),
}

impl World<'_> {
    fn events(&self) -> (Vec<Event>, usize) {
        let mut events = Vec::new();
        if self.answer.is_some() {
            events.push(Event::Answer);
        }
        if self.flight.is_some() {
            events.push(Event::Process);
        }
        let waiting = self.flight.is_some() || self.answer.is_some();
        if !waiting && self.lane.held() > 0 {
            events.push(Event::Transmit);
        }
        for (at, sender) in self.senders.iter().enumerate() {
            if sender.waits.is_none() && sender.at < sender.requests.len() {
                events.push(Event::Send(at));
            }
        }
        let free = events.len();
        if !self.ghosts.is_empty() {
            events.push(Event::Ghost);
        }
        if self.faults > 0 && free > 0 {
            events.push(Event::Crash);
            if self.flight.is_some() {
                events.extend([Event::CrashLeavingGhost, Event::LoseRequest, Event::DelayRequest]);
                events.extend([Event::Unavailable, Event::CommitThenError]);
            }
            if self.answer.is_some() {
                events.push(Event::LoseAnswer);
            }
            for (at, sender) in self.senders.iter().enumerate() {
                if sender.waits.is_some() {
                    events.push(Event::Impatient(at));
                }
            }
        }
        (events, free)
    }

    pub(super) fn run(&mut self, interleave: bool) {
        for _ in 0..400 {
            let (events, free) = self.events();
            if free == 0 {
                break;
            }
            // Without interleaving only the first of the harmless events is looked at, but every fault.
            let skip = if interleave { 0 } else { free - 1 };
            let chosen = self.choices.choose(events.len() - skip);
            let at = if chosen == 0 { 0 } else { chosen + skip };
            let event = events[at];
            if at >= free && event != Event::Ghost {
                self.faults -= 1;
            }
            self.trace.push(event);
            self.happen(event);
            self.check();
        }
        for sender in &self.senders {
            assert_eq!(sender.at, sender.requests.len(), "every request is settled in the end");
            for (_, ids) in &sender.requests {
                assert!(ids.iter().all(|id| self.store.stored.contains(id)), "a sample was lost");
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Send(at) => self.request(at),
            Event::Transmit => {
                // Long enough for every backoff, and for a slow sender to repeat itself in time.
                self.now += 60_000_000_000;
                assert_eq!(self.lane.step(self.now), Step::Send);
                let batch = self.lane.begin().unwrap();
                self.flight = Some(batch.body(&mut Snappy::new(), &mut Vec::new()).to_vec());
            }
            Event::Process => {
                let body = self.flight.take().unwrap();
                self.answer = Some(self.store.write(&body));
            }
            Event::Answer => {
                let answer = match self.answer.take().unwrap() {
                    204 => Answer::Delivered,
                    status => Answer::Rejected { status, text: "out of order sample".into() },
                };
                self.answered(answer);
            }
            Event::Ghost => {
                let body = self.ghosts.remove(0);
                self.store.write(&body);
            }
            Event::Crash | Event::CrashLeavingGhost => {
                let flight = self.flight.take();
                if event == Event::CrashLeavingGhost {
                    self.ghosts.extend(flight);
                }
                self.answer = None;
                self.restart();
            }
            Event::LoseRequest | Event::DelayRequest => {
                let body = self.flight.take();
                if event == Event::DelayRequest {
                    self.ghosts.extend(body);
                }
                self.lost();
            }
            Event::LoseAnswer => {
                self.answer = None;
                self.lost();
            }
            Event::Unavailable => {
                self.flight = None;
                self.answered(Answer::Retry { after: None, maybe_processed: true, suspect: None, why: "503".into() });
            }
            Event::CommitThenError => {
                let body = self.flight.take().unwrap();
                self.store.write(&body);
                self.answered(Answer::Retry { after: None, maybe_processed: true, suspect: None, why: "500".into() });
            }
            Event::Impatient(at) => self.senders[at].waits = None,
        }
        self.tell();
    }

    fn lost(&mut self) {
        self.answered(Answer::Retry { after: None, maybe_processed: true, suspect: None, why: "timeout".into() });
    }

    fn request(&mut self, at: usize) {
        let sender = &self.senders[at];
        let (body, _) = &sender.requests[sender.at];
        let mut decoder = Decoder::default();
        let offers = if sender.generator {
            let pure = decoder.pure(body, &self.map, false, 100).unwrap();
            let text = format!("g{at}/1/0/{}", sender.at);
            vec![Offer {
                lane: pure.lane.unwrap(),
                key: Key::Request(RequestId::parse(&text, None).unwrap()),
                slices: VecDeque::from([Payload::Original {
                    body: body.clone().into(),
                    series: pure.series,
                    samples: pure.samples,
                }]),
                alone: true,
                once: true,
                fault: false,
                promised: false,
                intended_us: None,
                newest: 0,
                bytes: 1,
            }]
        } else {
            let split = decoder
                .split(
                    body,
                    &self.map,
                    false,
                    SplitRules { once: true, max_samples: self.rules.max_samples, most: 100, max_bytes: 1 << 20 },
                )
                .unwrap();
            let offer = |share: crate::admit::Share| Offer {
                lane: share.lane,
                key: Key::Bytes(share.key),
                alone: false,
                once: share.sliced.once,
                fault: false,
                promised: false,
                intended_us: None,
                newest: 0,
                bytes: share.sliced.bytes,
                slices: share.sliced.slices,
            };
            split.own.into_iter().map(offer).collect()
        };
        let (tickets, admitted) = self.gate.admit(1, offers, self.now).unwrap();
        for one in admitted {
            self.account.accepted += one.part.samples();
            self.account.buffered += one.part.samples();
            self.slips.insert(one.part.id, (one.bytes, one.ticket));
            self.lane.push(one.part);
        }
        self.senders[at].waits = Some(tickets);
    }

    fn answered(&mut self, answer: Answer) {
        let effects = self.lane.answered(self.now, answer);
        for (how, samples) in effects.settled {
            crate::account::count(&mut self.account, &how, samples);
            self.gate.settled(samples);
        }
        for (part, verdict) in effects.finished {
            let (bytes, slip) = self.slips.remove(&part).unwrap();
            self.gate.finished(bytes);
            *slip.0.borrow_mut() = Some(verdict);
        }
        assert_eq!(effects.halted, None);
    }

    /// Answers reach the senders.
    fn tell(&mut self) {
        for sender in &mut self.senders {
            let Some(slips) = &sender.waits else { continue };
            let verdicts: Vec<_> = slips.iter().filter_map(|slip| slip.0.borrow().clone()).collect();
            if verdicts.len() < slips.len() {
                continue;
            }
            let (_, ids) = &sender.requests[sender.at];
            let stored = ids.iter().all(|id| self.store.stored.contains(id));
            for verdict in verdicts {
                match verdict {
                    Verdict::Delivered => assert!(stored, "acknowledged but not stored"),
                    Verdict::Rejected { .. } => {
                        let series: HashSet<_> = ids.iter().map(|id| id.0).collect();
                        let repeats = series.len() < ids.len();
                        assert!(
                            repeats && self.crashed && stored,
                            "refused without need: {repeats} {} {stored} {:?}",
                            self.crashed,
                            self.trace
                        );
                    }
                    other => panic!("{other:?}"),
                }
            }
            sender.waits = None;
            sender.at += 1;
        }
    }

    fn restart(&mut self) {
        self.crashed = true;
        self.gate = Gate::new(self.map.clone(), 1000, 1 << 20);
        self.lane = Lane::new(self.rules, 1);
        self.slips.clear();
        self.account = WorkerAccount::default();
        for sender in &mut self.senders {
            sender.waits = None;
        }
    }

    fn check(&self) {
        self.account.balance().unwrap();
        assert_eq!(self.account.buffered, self.lane.held());
        assert_eq!(self.gate.held().0, self.lane.held());
        assert_eq!(self.gate.is_empty(), self.lane.open().next().is_none());
        if self.gate.is_empty() {
            assert_eq!(self.gate.held(), (0, 0));
        }
    }
}
