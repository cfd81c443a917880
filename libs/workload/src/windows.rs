//! The lanes of a churned group: every generation of a series has its own labels and so its own lane.
//!
//! Time is cut into windows of an eighth of a lifetime. The lists of a window hold every (series, generation) that has a
//! sample or a stale marker in it. All lanes of a generator share them; at most [`KEPT`] windows live at once, whatever the
//! length of the run. A lane that lags behind these computes its own window again.

use std::sync::{Arc, Mutex, PoisonError};

use crate::group::Group;
use crate::labels::Pieces;
use crate::lane_plan::{LaneLists, hash_of, own_series};
use crate::workload::churn_base;
use crate::{LaneMap, Place, Workload};

/// Windows kept for lanes that come later.
const KEPT: usize = 2;
/// Shortest window: a request, open for 100 ms at most, touches two at most.
const SHORTEST_NS: u64 = 1_000_000_000;

/// The lists of one window of time.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) lists: LaneLists,
}

#[derive(Debug, Default)]
struct Shared {
    /// The last generation computed of each own series, and its hash: most live on in the next window.
    known: Vec<(u32, u32, u32)>,
    recent: Vec<Arc<Window>>,
}

#[derive(Debug)]
pub(crate) struct Windows {
    group: u16,
    index: u32,
    generators: u32,
    length_ns: u64,
    shared: Mutex<Shared>,
}

impl Windows {
    pub(crate) fn new(group: &Group, number: u16, index: u32, generators: u32) -> Self {
        let life = group.churn.as_ref().map_or(0, crate::churn::ChurnRule::life);
        let length_ns = (life / 8).max(SHORTEST_NS);
        Self { group: number, index, generators, length_ns, shared: Mutex::default() }
    }

    /// The same for another map: no window yet, but the hashes that are known.
    pub(crate) fn renewed(&self) -> Self {
        let known = self.shared.lock().unwrap_or_else(PoisonError::into_inner).known.clone();
        let shared = Mutex::new(Shared { known, recent: Vec::new() });
        let &Self { group, index, generators, length_ns, .. } = self;
        Self { group, index, generators, length_ns, shared }
    }

    /// The window that holds an instant.
    pub(crate) fn at(&self, workload: &Workload, map: &LaneMap, due_ns: u64) -> Arc<Window> {
        let start_ns = due_ns / self.length_ns * self.length_ns;
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = shared.recent.iter().find(|w| w.start_ns == start_ns) {
            return Arc::clone(found);
        }
        let window = Arc::new(self.compute(workload, map, start_ns, &mut shared.known));
        if shared.recent.len() >= KEPT {
            // The oldest goes; a lane that needs an older one than all does not displace what the others use.
            let oldest = shared.recent.iter().enumerate().min_by_key(|(_, w)| w.start_ns).map(|(i, w)| (i, w.start_ns));
            match oldest {
                Some((at, start)) if start < start_ns => shared.recent[at] = Arc::clone(&window),
                _ => {}
            }
        } else {
            shared.recent.push(Arc::clone(&window));
        }
        window
    }

    fn compute(&self, workload: &Workload, map: &LaneMap, start_ns: u64, known: &mut Vec<(u32, u32, u32)>) -> Window {
        let group = &workload.groups[usize::from(self.group)];
        let end_ns = start_ns.saturating_add(self.length_ns);
        let own = own_series(group, self.index, self.generators);
        known.resize(own, (u32::MAX, 0, 0));
        let mut pieces = Pieces::new();
        let mut block = Vec::with_capacity(512);
        let capacity = own + own / 4;
        let (mut bases, mut generations, mut hashes) =
            (Vec::with_capacity(capacity), Vec::with_capacity(capacity), Vec::with_capacity(capacity));
        let Some(churn) = &group.churn else {
            return Window { start_ns, end_ns, lists: LaneLists::default() };
        };
        let mut position = 0;
        for target in (self.index..group.targets).step_by(self.generators as usize) {
            let first_base = group.first + target * group.per_target;
            let slots = position..position + group.per_target as usize;
            position = slots.end;
            let (from, to) =
                (workload.samples_before(first_base, start_ns), workload.samples_before(first_base, end_ns));
            if from == to {
                continue;
            }
            let due = |k: u32| workload.schedule.time_of(group.virtual_ns(target, k)).unwrap_or(u64::MAX);
            let earliest = due(if churn.stale_markers { from.saturating_sub(1) } else { from });
            let last = due(to - 1);
            for (index, slot) in (0..group.per_target).zip(slots) {
                let leader = churn_base(group, target, index);
                let (mut generation, newest) = (churn.generation(leader, earliest), churn.generation(leader, last));
                loop {
                    let (known_generation, high, low) = known[slot];
                    let hash = if known_generation == generation {
                        u64::from(high) << 32 | u64::from(low)
                    } else {
                        let place = Place { group: self.group, target, index };
                        hash_of(workload, &mut pieces, place, generation, &mut block)
                    };
                    known[slot] = (generation, (hash >> 32) as u32, hash as u32);
                    bases.push(first_base + index);
                    generations.push(generation);
                    hashes.push(hash);
                    if generation >= newest {
                        break;
                    }
                    // The next generation that has a sample: lifetimes shorter than a scrape interval pass unseen.
                    let k = workload.samples_before(first_base, churn.lifetime(leader, generation).1);
                    generation = churn.generation(leader, due(k));
                }
            }
        }
        Window { start_ns, end_ns, lists: LaneLists::new(map, &bases, &generations, &hashes) }
    }
}
