//! Every interleaving of edits, drains, timeouts, late messages, crashes of workers and of the engine, within bounds.

use floodmark_ownership::Phase;
use floodmark_ownership::reshard::{Effect, Event, State};
use std::collections::{BTreeSet, HashSet};

const WORKERS: usize = 3;

/// What a control document says: epoch, phase, from, to.
type Document = (u64, Phase, u32, u32);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Worker {
    up: bool,
    view: Option<Document>,
    /// Workers of the map by which its unsent samples were accepted. Kept over a crash, as a WAL does.
    buffer: Option<u32>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    engine: State,
    document: Document,
    wanted: u32,
    workers: [Worker; WORKERS],
    /// Drain reports ever made. Each may arrive late, twice, or never.
    reports: BTreeSet<(u32, u64)>,
    edits: u8,
    timeouts: u8,
    engine_crashes: u8,
    worker_crashes: u8,
}

impl World {
    fn new(replicas: u32, edits: u8) -> Self {
        let document = (1, Phase::Stable, replicas, replicas);
        let (engine, _) = State::resume(1, Phase::Stable, replicas, replicas);
        let worker = |up| Worker { up, view: None, buffer: None };
        Self {
            engine,
            document,
            wanted: replicas,
            workers: std::array::from_fn(|i| worker((i as u32) < replicas)),
            reports: BTreeSet::new(),
            edits,
            timeouts: 1,
            engine_crashes: 1,
            worker_crashes: 1,
        }
    }

    fn ready(&self) -> u32 {
        self.workers.iter().take_while(|worker| worker.up).count() as u32
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Workers(count) => {
                for (i, worker) in self.workers.iter_mut().enumerate() {
                    let kept = (i as u32) < count;
                    if !kept {
                        assert_eq!(worker.buffer, None, "worker {i} is removed with samples left");
                        assert!(self.document.2 <= i as u32, "worker {i} is removed while it owns slots");
                    }
                    if worker.up != kept {
                        *worker = Worker { up: kept, view: None, buffer: worker.buffer };
                    }
                }
            }
            Effect::Publish { epoch, phase, from, to } => {
                let next = (epoch, phase, from, to);
                assert!((epoch, phase) > (self.document.0, self.document.1), "{next:?} is not newer");
                if epoch == self.document.0 {
                    assert_eq!(from, self.document.2, "the map changed within epoch {epoch}");
                }
                assert!(phase == Phase::Draining || from == to);
                self.document = next;
            }
            Effect::StartDrainTimer { .. } | Effect::Degraded { .. } | Effect::Settled => {}
        }
    }

    /// The worlds after an event: with all effects carried out, or with a crash before the rest of them.
    fn after(&self, event: Event) -> Vec<Self> {
        let (engine, effects) = self.engine.clone().on(event);
        let mut worlds = Vec::new();
        let mut world = Self { engine, ..self.clone() };
        for effect in effects {
            if self.engine_crashes > 0 {
                worlds.push(world.crashed());
            }
            world.carry_out(effect);
        }
        worlds.push(world);
        worlds
    }

    fn crashed(&self) -> Self {
        let (epoch, phase, from, to) = self.document;
        let (engine, effects) = State::resume(epoch, phase, from, to);
        let mut world = Self { engine, engine_crashes: self.engine_crashes - 1, ..self.clone() };
        for effect in effects {
            world.carry_out(effect);
        }
        world
    }

    fn next(&self) -> Vec<Self> {
        let mut worlds = Vec::new();
        let epoch = self.engine.epoch();
        if self.edits > 0 {
            for wanted in 1..=WORKERS as u32 {
                let world = Self { wanted, edits: self.edits - 1, ..self.clone() };
                worlds.extend(world.after(Event::Wanted(wanted)));
            }
        }
        worlds.extend(self.after(Event::Wanted(self.wanted)));
        worlds.extend(self.after(Event::Ready(self.ready())));
        worlds.extend(self.after(Event::Known(self.ready())));
        if self.timeouts > 0 {
            let world = Self { timeouts: self.timeouts - 1, ..self.clone() };
            for epoch in epoch.saturating_sub(1)..=epoch {
                worlds.extend(world.after(Event::DrainTimeout { epoch }));
            }
            worlds.extend(world.after(Event::Retry));
        }
        for &(ordinal, epoch) in &self.reports {
            worlds.extend(self.after(Event::Drained { ordinal, epoch }));
        }
        if self.engine_crashes > 0 {
            worlds.push(self.crashed());
        }
        for i in 0..WORKERS {
            worlds.extend(self.worker_steps(i));
        }
        worlds
    }

    fn worker_steps(&self, i: usize) -> Vec<Self> {
        let mut worlds = Vec::new();
        let mut push = |change: &dyn Fn(&mut Self)| {
            let mut world = self.clone();
            change(&mut world);
            worlds.push(world);
        };
        let worker = &self.workers[i];
        if !worker.up {
            return worlds;
        }
        push(&|world| world.workers[i].view = Some(world.document));
        if worker.buffer.is_some() {
            push(&|world| world.workers[i].buffer = None);
        }
        match worker.view {
            Some((_, Phase::Stable, from, _)) if (i as u32) < from => {
                push(&|world| {
                    let buffer = &mut world.workers[i].buffer;
                    assert!(buffer.is_none_or(|map| map == from), "samples of two maps in one worker");
                    *buffer = Some(from);
                });
            }
            Some((epoch, Phase::Draining, ..)) if worker.buffer.is_none() => {
                push(&|world| {
                    world.reports.insert((i as u32, epoch));
                });
            }
            _ => {}
        }
        if self.worker_crashes > 0 {
            push(&|world| {
                world.worker_crashes -= 1;
                world.workers[i].view = None;
            });
        }
        worlds
    }

    /// Samples wait to be sent by one map only, so each slot has one sender.
    fn check(&self) {
        let maps: BTreeSet<u32> = self.workers.iter().filter_map(|worker| worker.buffer).collect();
        assert!(maps.len() <= 1, "samples of maps of {maps:?} workers are sent at once");
    }

    /// Nothing fails any more: the sink must come to what is wanted.
    fn settle(mut self) {
        self.engine_crashes = 0;
        for _ in 0..12 {
            for i in 0..WORKERS {
                let document = self.document;
                let worker = &mut self.workers[i];
                if worker.up {
                    worker.view = Some(document);
                    worker.buffer = None;
                    if document.1 == Phase::Draining {
                        self.reports.insert((i as u32, document.0));
                    }
                }
            }
            let ready = self.ready();
            let mut events = vec![Event::Wanted(self.wanted), Event::Retry, Event::Ready(ready), Event::Known(ready)];
            events.extend(self.reports.iter().map(|&(ordinal, epoch)| Event::Drained { ordinal, epoch }));
            for event in events {
                if let Some(world) = self.after(event).pop() {
                    self = world;
                }
            }
        }
        assert_eq!(self.document.1, Phase::Stable);
        assert_eq!((self.document.2, self.document.3), (self.wanted, self.wanted));
        assert_eq!((self.engine.replicas(), self.engine.phase()), (self.wanted, Phase::Stable));
        assert_eq!(self.ready(), self.wanted, "workers nobody wants are left, or wanted ones are missing");
    }
}

fn explore(start: World, epochs: u64) -> usize {
    let mut seen = HashSet::new();
    let mut todo = vec![start];
    while let Some(world) = todo.pop() {
        if world.document.0 > epochs || !seen.insert(world.clone()) {
            continue;
        }
        world.check();
        if seen.len() % 16 == 1 {
            world.clone().settle();
        }
        todo.extend(world.next());
    }
    seen.len()
}

#[test]
fn one_sender_a_slot_through_one_edit_and_any_failure() {
    for replicas in 1..=WORKERS as u32 {
        let seen = explore(World::new(replicas, 1), 3);
        assert!(seen > 1000, "only {seen} worlds");
    }
}

#[test]
fn one_sender_a_slot_through_coalesced_edits() {
    let start = World { engine_crashes: 0, worker_crashes: 0, ..World::new(2, 2) };
    let seen = explore(start, 3);
    assert!(seen > 1000, "only {seen} worlds");
}

fn drive(state: State, events: &[Event]) -> (State, Vec<Effect>) {
    events.iter().fold((state, Vec::new()), |(state, mut all), &event| {
        let (state, effects) = state.on(event);
        all.extend(effects);
        (state, all)
    })
}

fn stable(epoch: u64, replicas: u32) -> Effect {
    Effect::Publish { epoch, phase: Phase::Stable, from: replicas, to: replicas }
}

fn draining(epoch: u64, from: u32, to: u32) -> Effect {
    Effect::Publish { epoch, phase: Phase::Draining, from, to }
}

#[test]
fn scale_out_starts_workers_then_drains() {
    let (state, effects) = State::resume(7, Phase::Stable, 2, 2);
    assert_eq!(effects, [Effect::Workers(2)]);
    let (state, effects) = drive(state, &[Event::Wanted(3), Event::Ready(2)]);
    assert_eq!(effects, [Effect::Workers(3)]);
    let (state, effects) = drive(state, &[Event::Ready(3)]);
    assert_eq!(effects, [draining(7, 2, 3), Effect::StartDrainTimer { epoch: 7 }]);
    // Late words, from another epoch or from one who owned nothing, count for nothing.
    let drained = |ordinal, epoch| Event::Drained { ordinal, epoch };
    let (state, effects) = drive(state, &[drained(0, 7), drained(1, 6), drained(2, 7), drained(0, 7)]);
    assert_eq!(effects, []);
    let (state, effects) = drive(state, &[drained(1, 7)]);
    assert_eq!(effects, [stable(8, 3), Effect::Workers(3), Effect::Settled]);
    assert_eq!((state.epoch(), state.replicas(), state.phase()), (8, 3, Phase::Stable));
}

#[test]
fn scale_in_drains_then_stops_workers() {
    let (state, _) = State::resume(1, Phase::Stable, 2, 2);
    // While an owner is not known to be there or gone, the others go on accepting.
    let (state, effects) = drive(state, &[Event::Ready(1), Event::Known(1), Event::Wanted(0)]);
    assert_eq!(effects, [Effect::Workers(2)]);
    let (state, effects) = drive(state, &[Event::Known(2)]);
    assert_eq!(effects, [draining(1, 2, 1), Effect::StartDrainTimer { epoch: 1 }]);
    let drained = [0, 1].map(|ordinal| Event::Drained { ordinal, epoch: 1 });
    let (_, effects) = drive(state, &drained);
    assert_eq!(effects, [stable(2, 1), Effect::Workers(1), Effect::Settled]);
}

#[test]
fn a_timeout_goes_back_and_is_not_tried_again_unasked() {
    let (state, _) = State::resume(1, Phase::Stable, 2, 2);
    let drained = Event::Drained { ordinal: 0, epoch: 1 };
    let (state, _) = drive(state, &[Event::Wanted(3), Event::Ready(3), drained]);
    let (state, effects) = drive(state, &[Event::DrainTimeout { epoch: 1 }]);
    let degraded = Effect::Degraded { to: 3, waiting_for: 1 };
    assert_eq!(effects, [stable(2, 2), Effect::Workers(2), degraded]);
    let again = [Event::Ready(2), Event::Wanted(3), Event::DrainTimeout { epoch: 1 }];
    let (state, effects) = drive(state, &again);
    assert_eq!(effects, []);
    let (state, effects) = drive(state, &[Event::Retry]);
    assert_eq!(effects, [Effect::Workers(3)]);
    let (_, effects) = drive(state, &[Event::Ready(3)]);
    assert_eq!(effects[0], draining(2, 2, 3));
}

#[test]
fn edits_during_a_drain_are_coalesced() {
    let (state, _) = State::resume(1, Phase::Stable, 3, 3);
    let edits = [Event::Known(3), Event::Wanted(2), Event::Wanted(1), Event::Wanted(2), Event::Wanted(1)];
    let (state, effects) = drive(state, &edits);
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::Publish { .. })).count(), 1);
    let drained = [0, 1, 2].map(|ordinal| Event::Drained { ordinal, epoch: 1 });
    let (_, effects) = drive(state, &drained);
    assert_eq!(effects[0], stable(2, 2));
    assert!(effects.contains(&draining(2, 2, 1)), "{effects:?}");
    // Wanting the old number again ends the drain at once.
    let (state, _) = State::resume(4, Phase::Draining, 3, 2);
    let (_, effects) = drive(state, &[Event::Wanted(3)]);
    assert_eq!(effects[0], stable(5, 3));
}
