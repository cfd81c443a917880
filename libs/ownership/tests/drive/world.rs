//! Every interleaving of a level-triggered engine with three workers: each write fails, is carried out with its answer lost, or is
//! repeated; the engine's look may be old by one change; workers crash, edits come, clocks run out.

use std::collections::{BTreeSet, HashSet, VecDeque};

use floodmark_ownership::drive::{Next, Notes, View, step};
use floodmark_ownership::{By, ControlDocument, Phase};

pub(crate) const WORKERS: usize = 3;
/// Long enough to tell from no time at all.
pub(crate) const TIMEOUT: u64 = 100;

pub(crate) type Document = (u64, Phase, u32, u32);

#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
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
pub(crate) enum Write {
    Workers(u32),
    Publish { document: Document, notes: Notes, revision: u8 },
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) document: Document,
    pub(crate) notes: Notes,
    pub(crate) revision: u8,
    pub(crate) wanted: u32,
    pub(crate) generation: u8,
    /// Workers that the set is to have; pods follow in steps of their own.
    pub(crate) set: u32,
    /// Pods from this ordinal on never come up.
    pub(crate) nodes: usize,
    pub(crate) workers: [Worker; WORKERS],
    pub(crate) todo: VecDeque<Write>,
    pub(crate) late: bool,
    pub(crate) edits: u8,
    pub(crate) faults: u8,
    pub(crate) worker_crashes: u8,
    pub(crate) timeouts: u8,
}

pub(crate) fn full((epoch, phase, from, to): Document) -> ControlDocument {
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
    pub(crate) fn new(replicas: u32) -> Self {
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

pub(crate) fn explore(start: World) -> usize {
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
