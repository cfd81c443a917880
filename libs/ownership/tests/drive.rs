//! Every interleaving of a level-triggered engine with three workers: each write fails, is carried out with its answer lost, or is
//! repeated; the engine's look may be old by one change; workers crash, edits come, clocks run out.

use std::collections::{BTreeSet, HashSet, VecDeque};

use floodmark_ownership::drive::{Failed, Next, Notes, Told, View, step};
use floodmark_ownership::{By, ControlDocument, Phase};

const WORKERS: usize = 3;
/// Long enough to tell from no time at all.
const TIMEOUT: u64 = 100;

type Document = (u64, Phase, u32, u32);

#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Worker {
    up: bool,
    view: Option<Document>,
    /// Workers of the map by which its unsent samples were accepted. Kept over a crash, as a WAL does.
    buffer: Option<u32>,
    /// What it says in its report: the epoch that it has drained.
    drained: Option<u64>,
}

/// What the engine has read and not yet acted on.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Look {
    document: Document,
    notes: Notes,
    revision: u8,
    wanted: u32,
    generation: u8,
    ready: u32,
    known: u32,
    drained: BTreeSet<(u32, u64)>,
}

/// The writes that a look led to, still to be carried out.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Write {
    Workers(u32),
    Publish { document: Document, notes: Notes, revision: u8 },
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    document: Document,
    notes: Notes,
    revision: u8,
    wanted: u32,
    generation: u8,
    /// Workers that the set is to have; pods follow in steps of their own.
    set: u32,
    /// Pods from this ordinal on never come up.
    nodes: usize,
    workers: [Worker; WORKERS],
    todo: VecDeque<Write>,
    late: bool,
    edits: u8,
    faults: u8,
    worker_crashes: u8,
    timeouts: u8,
}

fn full((epoch, phase, from, to): Document) -> ControlDocument {
    ControlDocument {
        sink_uid: "sink".to_owned(),
        epoch,
        phase,
        from,
        to,
        by: By::Series,
        lanes: 1,
        addresses: (0..from.max(to)).map(|ordinal| format!("w{ordinal}:1")).collect(),
        chaos: Vec::new(),
        run: None,
    }
}

impl World {
    fn new(replicas: u32) -> Self {
        let worker = |i| Worker { up: i < replicas as usize, ..Worker::default() };
        Self {
            document: (1, Phase::Stable, replicas, replicas),
            notes: Notes::default(),
            revision: 0,
            wanted: replicas,
            generation: 1,
            set: replicas,
            nodes: WORKERS,
            workers: std::array::from_fn(worker),
            todo: VecDeque::new(),
            late: false,
            edits: 1,
            faults: 1,
            worker_crashes: 1,
            timeouts: 1,
        }
    }

    /// Of ordinals in a row: they are up and have seen the document's epoch.
    fn ready(&self) -> u32 {
        let epoch = self.document.0;
        let ready = |worker: &&Worker| worker.up && worker.view.is_some_and(|view| view.0 == epoch);
        self.workers.iter().take_while(ready).count() as u32
    }

    /// The same, where those without a process count too.
    fn known(&self) -> u32 {
        let epoch = self.document.0;
        let known = |worker: &&Worker| !worker.up || worker.view.is_some_and(|view| view.0 == epoch);
        self.workers.iter().take(self.document.2 as usize).take_while(known).count() as u32
    }

    fn look(&self) -> Look {
        let reports = self.workers.iter().zip(0..).filter(|(worker, _)| worker.up);
        let absent = self.workers.iter().zip(0..).filter(|(worker, _)| !worker.up).map(|(_, i)| (i, self.document.0));
        let absent = absent.filter(|_| self.document.1 == Phase::Draining);
        Look {
            document: self.document,
            notes: self.notes,
            revision: self.revision,
            wanted: self.wanted,
            generation: self.generation,
            ready: self.ready(),
            known: self.known(),
            drained: reports.filter_map(|(worker, i)| Some((i, worker.drained?))).chain(absent).collect(),
        }
    }

    fn next_of(look: &Look, late: bool) -> Next {
        let view = View {
            wanted: look.wanted,
            generation: look.generation.into(),
            ready: look.ready,
            known: look.known,
            drained: look.drained.clone(),
        };
        // Drains begin at 0, so that worlds do not differ by their clocks.
        let now = if late { TIMEOUT } else { 0 };
        step(&full(look.document), &look.notes, &view, now, TIMEOUT, &|ordinal| format!("w{ordinal}:1"))
    }

    /// The engine looks, as it does after every start, and knows its next writes.
    fn decide(&self) -> Self {
        let look = self.look();
        let next = Self::next_of(&look, self.late);
        let mut world = self.clone();
        world.todo.clear();
        if next.workers != self.set {
            world.todo.push_back(Write::Workers(next.workers));
        }
        if let Some((document, mut notes)) = next.publish {
            assert_eq!(document.validate(), Ok(()));
            assert_eq!(document.supersedes(&full(self.document)), Ok(()));
            notes.draining_since = notes.draining_since.map(|_| 0);
            notes.last_pause = None;
            let document = (document.epoch, document.phase, document.from, document.to);
            world.todo.push_back(Write::Publish { document, notes, revision: look.revision });
        }
        world
    }

    fn carry_out(&mut self, write: &Write) -> bool {
        match *write {
            Write::Workers(count) => {
                self.set = count;
                true
            }
            Write::Publish { document, notes, revision } => {
                if revision != self.revision {
                    return false;
                }
                self.document = document;
                self.notes = notes;
                self.late = false;
                self.revision += 1;
                true
            }
        }
    }

    /// The next write done; or, while there are faults left: not done, done without an answer, done twice. After the first two the
    /// engine starts anew with a look, as after a crash.
    fn write(&self) -> Vec<Self> {
        let mut done = self.clone();
        let Some(write) = done.todo.pop_front() else { return Vec::new() };
        let accepted = done.carry_out(&write);
        if !accepted {
            done.todo.clear();
        }
        let mut worlds = vec![done.clone()];
        if self.faults > 0 {
            let crashed = |world: &Self| Self { todo: VecDeque::new(), faults: self.faults - 1, ..world.clone() };
            worlds.push(crashed(self));
            worlds.push(crashed(&done));
            let mut twice = Self { faults: self.faults - 1, ..done };
            if !twice.carry_out(&write) {
                twice.todo.clear();
            }
            worlds.push(twice);
        }
        worlds
    }

    fn next(&self) -> Vec<Self> {
        let mut worlds = self.write();
        if self.todo.is_empty() {
            worlds.push(self.decide());
        }
        if self.edits > 0 {
            for wanted in (1..=WORKERS as u32).filter(|wanted| *wanted != self.wanted) {
                let generation = self.generation + 1;
                worlds.push(Self { wanted, generation, edits: self.edits - 1, ..self.clone() });
            }
        }
        if self.timeouts > 0 && self.document.1 == Phase::Draining {
            worlds.push(Self { late: true, timeouts: self.timeouts - 1, ..self.clone() });
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
        if worker.up != self.has_pod(i) {
            push(&|world| world.pod(i));
        }
        if !worker.up {
            return worlds;
        }
        if worker.view != Some(self.document) {
            push(&|world| world.see(i));
        }
        if worker.buffer.is_some() {
            push(&|world| world.workers[i].buffer = None);
        }
        match worker.view {
            Some((_, Phase::Stable, from, _)) if (i as u32) < from => push(&|world| {
                let buffer = &mut world.workers[i].buffer;
                assert!(buffer.is_none_or(|map| map == from), "samples of two maps in one worker");
                *buffer = Some(from);
            }),
            Some((epoch, Phase::Draining, ..)) if worker.buffer.is_none() => {
                push(&|world| world.workers[i].drained = Some(epoch));
            }
            _ => {}
        }
        if self.worker_crashes > 0 {
            push(&|world| {
                world.worker_crashes -= 1;
                let worker = &mut world.workers[i];
                (worker.view, worker.drained) = (None, None);
            });
            // Its pod with all that it held; the set's controller makes another one.
            push(&|world| {
                world.worker_crashes -= 1;
                world.workers[i] = Worker::default();
            });
        }
        worlds
    }

    fn has_pod(&self, i: usize) -> bool {
        (i as u32) < self.set && i < self.nodes
    }

    /// The set's controller starts or removes a pod.
    fn pod(&mut self, i: usize) {
        let up = self.has_pod(i);
        let worker = &mut self.workers[i];
        if !up {
            assert_eq!(worker.buffer, None, "worker {i} is removed with samples left");
        }
        *worker = Worker { up, buffer: worker.buffer, ..Worker::default() };
    }

    fn see(&mut self, i: usize) {
        self.workers[i].view = Some(self.document);
        // The word is about the document that is obeyed.
        if self.document.1 == Phase::Stable {
            self.workers[i].drained = None;
        }
    }

    fn check(&self) {
        let maps: BTreeSet<u32> = self.workers.iter().filter_map(|worker| worker.buffer).collect();
        assert!(maps.len() <= 1, "samples of maps of {maps:?} workers are sent at once");
        let (_, phase, from, to) = self.document;
        let needed = if phase == Phase::Draining { from.max(to) } else { from };
        assert!(self.set >= needed, "{} workers for {:?}", self.set, self.document);
    }

    /// Nothing fails any more and no clock runs out: the sink must come to what is wanted, and then write nothing.
    fn settle(mut self) {
        self.faults = 0;
        for _ in 0..12 {
            for i in 0..WORKERS {
                self.pod(i);
                if self.workers[i].up {
                    self.see(i);
                    self.workers[i].buffer = None;
                    if let (epoch, Phase::Draining, ..) = self.document {
                        self.workers[i].drained = Some(epoch);
                    }
                }
            }
            while !self.todo.is_empty() {
                let Some(world) = self.write().into_iter().next() else { break };
                self = world;
            }
            self = self.decide();
        }
        assert!(self.todo.is_empty(), "a settled sink is written");
        assert_eq!(self.document.1, Phase::Stable);
        let given_up = self.notes.failed.is_some_and(|failed| failed.generation == u64::from(self.generation));
        assert!(given_up || self.document.2 == self.wanted, "neither reached nor given up");
        assert_eq!(self.set, self.document.2, "workers nobody wants are left");
    }
}

fn explore(start: World) -> usize {
    let mut seen = HashSet::new();
    let mut todo = VecDeque::from([start]);
    while let Some(world) = todo.pop_front() {
        if world.document.0 > 4 || seen.contains(&world) {
            continue;
        }
        world.check();
        if seen.len() % 8 == 0 {
            world.clone().settle();
        }
        todo.extend(world.next());
        seen.insert(world);
    }
    seen.len()
}

#[test]
fn any_single_failure_of_any_write_converges_and_keeps_one_sender_a_slot() {
    for replicas in 1..=WORKERS as u32 {
        let seen = explore(World::new(replicas));
        assert!(seen > 1000, "only {seen} worlds");
    }
}

#[test]
fn workers_that_never_come_up_keep_nobody_from_going_on_without_them() {
    let mut start = World { nodes: 2, ..World::new(WORKERS as u32) };
    start.workers[2] = Worker::default();
    let seen = explore(start);
    assert!(seen > 1000, "only {seen} worlds");
}

#[test]
fn edits_in_the_middle_of_a_drain_converge() {
    let seen = explore(World { edits: 2, faults: 0, worker_crashes: 0, ..World::new(2) });
    assert!(seen > 1000, "only {seen} worlds");
}

fn view(wanted: u32, ready: u32, drained: &[(u32, u64)]) -> View {
    View { wanted, generation: 1, ready, known: ready, drained: drained.iter().copied().collect() }
}

fn go(document: &ControlDocument, notes: &Notes, view: &View, now: u64) -> Next {
    step(document, notes, view, now, TIMEOUT, &|ordinal| format!("new-{ordinal}:1"))
}

#[test]
fn scale_out_starts_workers_first_and_measures_the_pause() {
    let (stable, notes) = (full((1, Phase::Stable, 2, 2)), Notes::default());
    let next = go(&stable, &notes, &view(3, 2, &[]), 1000);
    assert_eq!((next.workers, next.publish, next.look_again), (3, None, None));
    let next = go(&stable, &notes, &view(3, 3, &[]), 1000);
    let (draining, notes) = next.publish.unwrap();
    assert_eq!((draining.phase, draining.from, draining.to, draining.epoch), (Phase::Draining, 2, 3, 1));
    assert_eq!(draining.addresses, ["w0:1", "w1:1", "new-2:1"]);
    assert_eq!((notes.draining_since, next.look_again), (Some(1000), Some(0)));
    assert_eq!(next.told, [Told::Draining { from: 2, to: 3 }]);
    let next = go(&draining, &notes, &view(3, 3, &[(0, 1)]), 1030);
    assert_eq!((next.publish, next.look_again), (None, Some(70)));
    let next = go(&draining, &notes, &view(3, 3, &[(0, 1), (1, 1)]), 1040);
    let (stable, notes) = next.publish.unwrap();
    assert_eq!((stable.phase, stable.epoch, stable.to, stable.addresses.len()), (Phase::Stable, 2, 3, 3));
    assert_eq!(notes, Notes { draining_since: None, failed: None, last_pause: Some(40) });
    assert_eq!(next.told, [Told::Resharded { from: 2, to: 3, pause_ms: 40 }]);
    let next = go(&stable, &notes, &view(3, 3, &[]), 1050);
    assert_eq!((next.workers, next.publish, next.look_again), (3, None, None));
}

#[test]
fn scale_in_keeps_the_workers_until_the_new_map_is_written() {
    let draining = full((1, Phase::Draining, 3, 1));
    let notes = Notes { draining_since: Some(0), ..Notes::default() };
    let drained = [(0, 1), (1, 1), (2, 1)];
    let next = go(&draining, &notes, &view(1, 3, &drained), 10);
    assert_eq!(next.workers, 3, "the write may fail yet");
    let (stable, notes) = next.publish.unwrap();
    assert_eq!((stable.epoch, stable.from, stable.addresses.len()), (2, 1, 1));
    assert_eq!(go(&stable, &notes, &view(1, 3, &[]), 11).workers, 1);
}

#[test]
fn a_scale_in_begins_once_every_owner_is_known_to_be_there_or_gone() {
    let (stable, notes) = (full((1, Phase::Stable, 3, 3)), Notes::default());
    let next = go(&stable, &notes, &view(2, 2, &[]), 0);
    assert_eq!((next.workers, next.publish, next.look_again), (3, None, None), "the others go on accepting");
    let gone = View { known: 3, ..view(2, 2, &[]) };
    let (draining, notes) = go(&stable, &notes, &gone, 0).publish.unwrap();
    assert_eq!((draining.phase, draining.from, draining.to), (Phase::Draining, 3, 2));
    let gone = View { known: 3, ..view(2, 2, &[(0, 1), (1, 1), (2, 1)]) };
    let (stable, _) = go(&draining, &notes, &gone, 10).publish.unwrap();
    assert_eq!((stable.phase, stable.epoch, stable.to), (Phase::Stable, 2, 2));
    // A scale-out needs its workers themselves.
    let gone = View { known: 2, ..view(3, 1, &[]) };
    assert_eq!(go(&stable, &notes, &gone, 20).publish, None);
}

#[test]
fn a_drain_that_takes_too_long_is_given_up_until_somebody_edits() {
    let draining = full((1, Phase::Draining, 2, 3));
    let notes = Notes { draining_since: Some(1000), ..Notes::default() };
    let next = go(&draining, &notes, &view(3, 3, &[(0, 1)]), 1100);
    let (stable, notes) = next.publish.unwrap();
    assert_eq!((stable.epoch, stable.phase, stable.to), (2, Phase::Stable, 2));
    assert_eq!(notes.failed, Some(Failed { to: 3, generation: 1, waiting_for: 1 }));
    assert_eq!(next.told, [Told::DrainTimedOut { to: 3, waiting_for: 1, pause_ms: 100 }]);
    // Crash or not: it is not tried again, and the workers that were started for it go.
    let next = go(&stable, &notes, &view(3, 3, &[]), 5000);
    assert_eq!((next.workers, next.publish), (2, None));
    let edited = View { generation: 2, ..view(3, 2, &[]) };
    assert_eq!(go(&stable, &notes, &edited, 5000).workers, 3);
    // All drained at the last moment: the drain has ended, whatever the clock says.
    let next = go(&draining, &Notes { draining_since: Some(0), ..notes }, &view(3, 3, &[(0, 1), (1, 1)]), 9000);
    assert_eq!(next.publish.unwrap().0.to, 3);
}

#[test]
fn wanting_the_old_number_again_ends_the_drain() {
    let draining = full((4, Phase::Draining, 3, 2));
    let notes = Notes { draining_since: Some(0), ..Notes::default() };
    let next = go(&draining, &notes, &view(3, 3, &[]), 20);
    assert_eq!(next.publish.as_ref().unwrap().0.epoch, 5);
    assert_eq!(next.told, [Told::CalledOff { replicas: 3, pause_ms: 20 }]);
}

#[test]
fn what_else_the_document_says_is_kept() {
    let run = floodmark_ownership::RunRef {
        id: "0123abcd".to_owned(),
        uid: "u".to_owned(),
        load_test: "t".to_owned(),
        conductor: "http://c:1".to_owned(),
    };
    let stable = ControlDocument { run: Some(run.clone()), lanes: 7, ..full((1, Phase::Stable, 3, 3)) };
    let (next, _) = go(&stable, &Notes::default(), &view(1, 3, &[]), 0).publish.unwrap();
    assert_eq!((next.run, next.lanes, next.sink_uid), (Some(run), 7, stable.sink_uid));
}
