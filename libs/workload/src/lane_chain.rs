//! From one map of the lanes to the next while a run goes on: which lane of which map carries which sample.
//!
//! Every lane of every map walks its samples in the one order of [`Position`]. So a lane that stops is told by a single
//! position, its cut: what lies before it is settled, the rest is not. A series goes on under the next map behind the
//! highest cut that its slot has met. That is all the state there is: 24 bytes a slot, whatever the length of the chain.

use std::sync::Arc;

use remote_write::{SLOTS, slot_of};
use serde::{Deserialize, Serialize};

use crate::LaneMap;

/// A place in the order of all samples of a run: by due time, then group, then scrape, then series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// When the sample is due, ns since t0.
    pub due_ns: u64,
    pub group: u16,
    /// Number of the sample of its base; of a stale marker the k that it is sent with.
    pub k: u32,
    pub base: u32,
    pub generation: u32,
}

impl Position {
    /// Before every sample.
    pub const START: Self = Self { due_ns: 0, group: 0, k: 0, base: 0, generation: 0 };
    /// Behind every sample.
    pub const END: Self = Self { due_ns: u64::MAX, group: u16::MAX, k: u32::MAX, base: u32::MAX, generation: u32::MAX };
}

/// Where the series of each slot go on under a map: what lies before was settled under earlier ones.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Floors {
    slots: Box<[Position]>,
    /// Due times of the lowest and the highest floor in each lane of the map.
    lanes: Vec<(u64, u64)>,
}

impl Floors {
    /// The floors under `map`: those of the map before, raised to the cuts of its lanes.
    fn raise(before: Option<&Self>, old: &LaneMap, cuts: &[Position], map: &LaneMap) -> Self {
        let mut lanes = vec![(u64::MAX, 0); map.lanes() as usize];
        let slots = (0..SLOTS as u16).map(|slot| {
            let was = before.map_or(Position::START, |floors| floors.slots[usize::from(slot)]);
            let cut = cuts.get(usize::from(old.lane_of_slot(slot))).copied().unwrap_or_default();
            let floor = was.max(cut);
            if let Some((low, high)) = lanes.get_mut(usize::from(map.lane_of_slot(slot))) {
                (*low, *high) = (floor.due_ns.min(*low), floor.due_ns.max(*high));
            }
            floor
        });
        Self { slots: slots.collect(), lanes }
    }

    /// Whether the sample of a series was settled under an earlier map.
    #[inline]
    pub(crate) fn settled(&self, series_hash: u64, position: Position) -> bool {
        position < self.slots[usize::from(slot_of(series_hash))]
    }

    /// Before which due time nothing of a lane is left, and after which all of it is.
    pub(crate) fn bounds(&self, lane: u32) -> (u64, u64) {
        self.lanes.get(lane as usize).copied().unwrap_or_default()
    }
}

#[derive(Debug, Clone)]
struct Step {
    map: LaneMap,
    floors: Option<Arc<Floors>>,
    /// Of its lanes, once the next map holds.
    cuts: Vec<Position>,
}

/// The maps that one generator has sent by, from the first to the last, and where each lane was cut in between.
#[derive(Debug, Clone)]
pub struct LaneChain(Vec<Step>);

impl LaneChain {
    /// One map, from the start of the run.
    pub fn new(map: LaneMap) -> Self {
        Self(vec![Step { map, floors: None, cuts: Vec::new() }])
    }

    /// The map that holds from now on. `cuts`: for each lane of the map before, the first sample that it has not settled;
    /// a lane that never had one may say [`Position::START`].
    pub fn push(&mut self, map: LaneMap, cuts: Vec<Position>) {
        let floors = self.0.last_mut().map(|last| {
            let floors = Floors::raise(last.floors.as_deref(), &last.map, &cuts, &map);
            last.cuts = cuts;
            Arc::new(floors)
        });
        self.0.push(Step { map, floors, cuts: Vec::new() });
    }

    /// Maps so far; at least 1.
    pub fn steps(&self) -> usize {
        self.0.len()
    }

    /// A map, by number from 0; the last one beyond.
    pub fn map(&self, step: usize) -> &LaneMap {
        &self.step(step).map
    }

    /// Where a lane was cut: [`Position::END`] under the last map.
    pub fn cut(&self, step: usize, lane: u32) -> Position {
        if step + 1 >= self.0.len() {
            return Position::END;
        }
        self.step(step).cuts.get(lane as usize).copied().unwrap_or_default()
    }

    /// The map and the lane that carry a sample of a slot.
    pub fn locate(&self, slot: u16, position: Position) -> (usize, u16) {
        let floor = |step: &Step| step.floors.as_ref().map_or(Position::START, |f| f.slots[usize::from(slot)]);
        let step = self.0.iter().rposition(|step| floor(step) <= position).unwrap_or(0);
        (step, self.map(step).lane_of_slot(slot))
    }

    pub(crate) fn floors(&self, step: usize) -> Option<&Arc<Floors>> {
        self.step(step).floors.as_ref()
    }

    fn step(&self, step: usize) -> &Step {
        // There is always one.
        &self.0[step.min(self.0.len() - 1)]
    }
}
