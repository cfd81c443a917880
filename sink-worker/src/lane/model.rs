//! Senders, worker and store as one small world that is broken at every step: no loss, no reordering, no false promise.
//!
//! The store commits atomically and answers as Prometheus does: it looks at what is committed, rolls a whole request
//! back with 400 for one sample that is older, takes the newest sample again with 204, and silently loses samples of one
//! request that are not newer than another in it. A run is a list of choices; all lists up to a number of faults are run.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use ledger::WorkerAccount;
use ownership::{By, ControlDocument, Phase};
use remote_write::{Sample, Snappy, canonical, v1};

use super::*;
use crate::admit::{Decoder, Map, SplitRules};
use crate::gate::{Gate, Key, Offer, Ticket};
use crate::idempotency::RequestId;

type Id = (u64, i64);

#[derive(Clone, Default)]
struct Slip(Rc<RefCell<Option<Verdict>>>);

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
}

/// Choices of a run: given ones first, then always the first; counts up like an odometer.
struct Choices {
    script: Vec<(usize, usize)>,
    at: usize,
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

    fn next(&mut self) -> bool {
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
fn body(samples: &[(u8, i64)]) -> (Vec<u8>, Vec<Id>) {
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

struct Sender {
    generator: bool,
    requests: Vec<(Vec<u8>, Vec<Id>)>,
    at: usize,
    waits: Option<Vec<Slip>>,
}

#[derive(Default)]
struct Store {
    newest: HashMap<u64, i64>,
    stored: HashSet<Id>,
}

impl Store {
    fn write(&mut self, body: &[u8]) -> u16 {
        let mut snappy = Snappy::new();
        let plain = snappy.decompress(body, MAX_DECODED).unwrap();
        let mut scratch = canonical::Scratch::new();
        let mut samples = Vec::new();
        for series in v1::walk(plain) {
            let series = series.unwrap();
            let hash = series.canonical_hash(&mut scratch);
            samples.extend(series.samples().map(|sample| (hash, sample.timestamp)));
        }
        assert!(!samples.is_empty(), "nothing to send is not sent");
        let older = |&(hash, time): &Id| self.newest.get(&hash).is_some_and(|&newest| time < newest);
        if samples.iter().any(older) {
            return 400;
        }
        for (hash, time) in samples {
            let newest = self.newest.entry(hash).or_insert(i64::MIN);
            assert!(time > *newest || self.stored.contains(&(hash, time)), "silently lost by the store");
            *newest = time;
            self.stored.insert((hash, time));
        }
        204
    }
}

struct World<'a> {
    choices: &'a mut Choices,
    faults: u32,
    rules: Rules,
    map: Arc<Map>,
    senders: Vec<Sender>,
    gate: Gate<Slip>,
    lane: Lane,
    slips: BTreeMap<u64, (u64, Slip)>,
    account: WorkerAccount,
    /// To the store: the body, and whether the worker still waits for its answer.
    flight: Option<Vec<u8>>,
    answer: Option<u16>,
    ghosts: Vec<Vec<u8>>,
    store: Store,
    now: Nanos,
    crashed: bool,
    trace: Vec<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
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

    fn run(&mut self, interleave: bool) {
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
            let pure = decoder.pure(body, &self.map, false).unwrap();
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
                intended_us: None,
                newest: 0,
                bytes: 1,
            }]
        } else {
            let split = decoder.split(body, &self.map, false, SplitRules { once: true, max_samples: self.rules.max_samples, most: 100 }).unwrap();
            let offer = |share: crate::admit::Share| Offer {
                lane: share.lane,
                key: Key::Bytes(share.key),
                alone: false,
                once: share.sliced.once,
                fault: false,
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
                        assert!(repeats && self.crashed && stored, "refused without need: {repeats} {} {stored} {:?}", self.crashed, self.trace);
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

type Requests<'a> = &'a [&'a [(u8, i64)]];

fn explore(senders: &[(bool, Requests<'_>)], faults: u32, interleave: bool, limit: u64, rejected: OnRejected) -> u64 {
    let document = ControlDocument {
        sink_uid: "s".into(),
        epoch: 1,
        phase: Phase::Stable,
        from: 1,
        to: 1,
        by: By::Series,
        lanes: 1,
        addresses: vec!["127.0.0.1:1".into()],
        chaos: vec![],
    };
    let map = Arc::new(Map::new(&document, 0));
    let rules = Rules {
        max_samples: 4,
        once: true,
        backoff: Backoff { initial: 1, max: 8, max_retry_after: 8 },
        max_attempts: None,
        on_exhausted: OnExhausted::Fail,
        on_rejected: rejected,
        partial: Partial::Unknown,
    };
    let mut choices = Choices { script: Vec::new(), at: 0 };
    let mut runs = 0;
    loop {
        let mut world = World {
            faults,
            rules,
            senders: senders
                .iter()
                .map(|(generator, requests)| Sender {
                    generator: *generator,
                    requests: requests.iter().map(|samples| body(samples)).collect(),
                    at: 0,
                    waits: None,
                })
                .collect(),
            gate: Gate::new(map.clone(), 1000, 1 << 20),
            map: map.clone(),
            lane: Lane::new(rules, 1),
            slips: BTreeMap::new(),
            account: WorkerAccount::default(),
            flight: None,
            answer: None,
            ghosts: Vec::new(),
            store: Store::default(),
            now: 0,
            crashed: false,
            trace: Vec::new(),
            choices: &mut choices,
        };
        world.run(interleave);
        runs += 1;
        if !choices.next() || runs == limit {
            return runs;
        }
    }
}

const DROP: OnRejected = OnRejected::DropBatch;
const ISOLATE: OnRejected = OnRejected::Isolate { max_extra: 8 };

#[test]
fn a_generator_loses_nothing_whatever_breaks() {
    let requests: Requests<'_> = &[&[(0, 1), (1, 1)], &[(0, 2), (1, 2)], &[(0, 3), (2, 3)]];
    for (rejected, faults, of) in [(DROP, 2, 3), (ISOLATE, 2, 3), (DROP, 3, 2)] {
        let runs = explore(&[(true, &requests[..of])], faults, true, 3_000_000, rejected);
        assert!((1_000..3_000_000).contains(&runs), "{runs}");
    }
}

#[test]
fn a_third_party_with_several_samples_a_series_loses_nothing() {
    let requests: Requests<'_> = &[&[(0, 1), (1, 1), (0, 2), (0, 3), (1, 2)], &[(0, 4), (1, 4), (1, 5)]];
    for rejected in [DROP, ISOLATE] {
        let runs = explore(&[(false, requests)], 2, true, 1_000_000, rejected);
        assert!((1_000..1_000_000).contains(&runs), "{runs}");
    }
}

#[test]
fn senders_that_share_a_lane_do_not_harm_each_other() {
    let one: Requests<'_> = &[&[(0, 1)], &[(0, 2), (0, 3)]];
    let two: Requests<'_> = &[&[(1, 1), (2, 1)], &[(1, 2)]];
    let three: Requests<'_> = &[&[(3, 1)]];
    for rejected in [DROP, ISOLATE] {
        let runs = explore(&[(false, one), (false, two), (true, three)], 1, true, 50_000, rejected);
        assert!(runs > 1_000, "{runs}");
        let runs = explore(&[(false, one), (false, two), (true, three)], 2, false, 50_000, rejected);
        assert!(runs > 1_000, "{runs}");
    }
}
