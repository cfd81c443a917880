//! Who carried a sample: the generator, the map that held when its lane had it, and the lane.

use std::sync::Arc;

use workload::{LaneChain, LaneMap, LanePlan, LaneWalk, Position, SeriesId, Workload};

use super::{Context, Disturbance, GeneratorSide, Run};
use crate::Exception;

/// How far a move may lie from the disturbance of a worker that it is held to belong to, or a due time from the end of the
/// accounts: clocks, and requests in flight.
const SLACK_NS: u64 = 1_000_000_000;

/// The change of one generator from one map of the target to the next.
#[derive(Clone, Debug)]
pub struct Move {
    /// The map from then on.
    pub lanes: LaneMap,
    /// Of this map.
    pub lanes_per_worker: u32,
    /// When requests were first made by it, Unix nanoseconds.
    pub at_unix_ns: u64,
    /// For each lane of the map before, the first sample that it did not settle.
    pub cuts: Vec<Position>,
}

/// A lane of one generator, under one of its maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Carrier {
    pub(super) generator: u32,
    /// Number of the map, from 0.
    pub(super) epoch: u32,
    pub(super) lane: u16,
}

/// A lane that a sample may have gone through.
#[derive(Clone, Copy)]
pub(super) struct Passed {
    pub(super) generator: u32,
    pub(super) epoch: u32,
    /// Of the whole target.
    pub(super) lane: u32,
    /// The worker, and which of its lanes; None without workers.
    pub(super) worker: Option<(u32, u32)>,
}

/// When a map held, Unix nanoseconds, and how many lanes each worker had.
struct Held {
    lanes_per_worker: u32,
    from: u64,
    to: u64,
}

struct Chain {
    lanes: Arc<LaneChain>,
    held: Vec<Held>,
}

/// The maps of all generators.
pub(super) struct Carriers {
    workload: Arc<Workload>,
    generators: u32,
    chains: Vec<Chain>,
    /// Nothing that is due then or later was sent, ns since t0.
    end_ns: u64,
}

impl Carriers {
    pub(super) fn new(run: &Run, context: &Context, sides: &[GeneratorSide]) -> Self {
        let chain = |index: u32| {
            let side = sides.iter().find(|side| side.index == index);
            let first = side.and_then(|side| side.first.clone());
            let (first, lanes_per_worker) = first.unwrap_or_else(|| (run.lanes.clone(), context.lanes_per_worker));
            let mut lanes = LaneChain::new(first);
            let mut held = vec![Held { lanes_per_worker, from: 0, to: u64::MAX }];
            for one in side.into_iter().flat_map(|side| &side.moves) {
                lanes.push(one.lanes.clone(), one.cuts.clone());
                if let Some(last) = held.last_mut() {
                    last.to = one.at_unix_ns;
                }
                held.push(Held { lanes_per_worker: one.lanes_per_worker, from: one.at_unix_ns, to: u64::MAX });
            }
            Chain { lanes: Arc::new(lanes), held }
        };
        let generators = run.generators.max(1);
        let end_ns = run.ended_ns.saturating_add(SLACK_NS).saturating_sub(run.t0_ns);
        Self { workload: Arc::clone(&run.workload), generators, chains: (0..generators).map(chain).collect(), end_ns }
    }

    /// How many samples of a base were ever due: those of a run that ended early are never walked to the end of its schedule.
    pub(super) fn sent(&self, base: u32) -> u32 {
        self.workload.samples_before(base, self.end_ns)
    }

    /// Who carried sample `k` of a series of this slot, or its stale marker sent as `k`.
    pub(super) fn of(&self, id: SeriesId, k: u32, slot: u16) -> Carrier {
        let Some(place) = self.workload.place(id.base) else { return Carrier { generator: 0, epoch: 0, lane: 0 } };
        let generator = place.target % self.generators;
        let lanes = &self.chains[generator as usize].lanes;
        let (epoch, lane) = if lanes.steps() == 1 {
            (0, lanes.map(0).lane_of_slot(slot))
        } else {
            let due_ns = self.workload.due_ns(id.base, k).unwrap_or(u64::MAX);
            let SeriesId { base, generation } = id;
            lanes.locate(slot, Position { due_ns, group: place.group, k, base, generation })
        };
        Carrier { generator, epoch: epoch as u32, lane }
    }

    /// The lanes that a sample of a series may have gone through, whatever the map: its generator, and the lane under each map.
    pub(super) fn lanes(&self, id: SeriesId, slot: u16) -> impl Iterator<Item = Passed> + use<'_> {
        let generator = self.workload.place(id.base).map_or(0, |place| place.target % self.generators);
        let chain = &self.chains[generator as usize];
        chain.held.iter().enumerate().map(move |(epoch, held)| {
            let lane = u32::from(chain.lanes.map(epoch).lane_of_slot(slot));
            let worker = lane.checked_div(held.lanes_per_worker).map(|ordinal| (ordinal, lane % held.lanes_per_worker));
            Passed { generator, epoch: epoch as u32, lane, worker }
        })
    }

    /// The carrier that a generator's exception is of.
    pub(super) fn of_exception(generator: u32, exception: &Exception) -> Carrier {
        let lane = u16::try_from(exception.lane).unwrap_or(u16::MAX);
        Carrier { generator, epoch: exception.epoch, lane }
    }

    /// The worker of a carrier; `None` without workers between generator and store.
    fn worker(&self, carrier: Carrier) -> Option<(u32, &Held)> {
        let held = self.chains.get(carrier.generator as usize)?.held.get(carrier.epoch as usize)?;
        Some((u32::from(carrier.lane).checked_div(held.lanes_per_worker)?, held))
    }

    /// Whether a disturbance was one of the carrier's worker, while its map held.
    pub(super) fn disturbed(&self, carrier: Carrier, disturbance: &Disturbance) -> bool {
        self.worker(carrier).is_some_and(|(worker, held)| {
            worker == disturbance.worker
                && disturbance.from_unix_ns <= held.to.saturating_add(SLACK_NS)
                && disturbance.to_unix_ns >= held.from.saturating_sub(SLACK_NS)
        })
    }

    /// The ends of workers that may have taken acknowledged samples of a carrier, by their positions.
    pub(super) fn ends<'a>(
        &'a self,
        context: &'a Context,
        carrier: Carrier,
    ) -> impl Iterator<Item = (usize, &'a Disturbance)> + 'a {
        let ends = context.ends().enumerate();
        ends.filter(move |(_, end)| context.buffered && self.disturbed(carrier, end))
    }

    /// The lanes of a generator, map after map.
    pub(super) fn plans(&self, generator: u32) -> Plans {
        let lanes = self.chains.get(generator as usize).map(|chain| Arc::clone(&chain.lanes));
        let (workload, generators) = (Arc::clone(&self.workload), self.generators);
        let end = Position { due_ns: self.end_ns, ..Position::START };
        Plans { lanes, workload, generator, generators, end, next: 0, plan: None }
    }
}

/// One plan after the other: each is made from the one before.
pub(super) struct Plans {
    lanes: Option<Arc<LaneChain>>,
    workload: Arc<Workload>,
    generator: u32,
    generators: u32,
    /// Where everything ends.
    end: Position,
    next: usize,
    plan: Option<LanePlan>,
}

impl Plans {
    /// Turns to the next map: its number and its lanes.
    pub(super) fn turn(&mut self) -> Option<(u32, u32)> {
        let lanes = self.lanes.as_ref().filter(|lanes| self.next < lanes.steps())?;
        let first = || {
            let map = lanes.map(0).clone();
            LanePlan::new(Arc::clone(&self.workload), map, self.generator, self.generators)
        };
        let plan = self.plan.as_ref().map_or_else(first, |before| before.resume(lanes, self.next));
        self.next += 1;
        Some(((self.next - 1) as u32, self.plan.insert(plan).lanes()))
    }

    /// A lane of the map turned to last, up to its cut or the end.
    pub(super) fn walk(&self, lane: u32) -> Option<LaneWalk<'_>> {
        let (plan, lanes) = self.plan.as_ref().zip(self.lanes.as_ref())?;
        Some(LaneWalk::new(plan, lane).until(lanes.cut(self.next - 1, lane).min(self.end)))
    }
}
