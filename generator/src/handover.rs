//! What a lane leaves when it stops for another map, and what the new lanes begin with.

use std::collections::BTreeMap;

use faults::FaultIndex;
use workload::{LaneMap, Position, RequestPlan, Scheduled};

use crate::doubts::Doubts;

/// How a lane ended.
pub(crate) struct Ended {
    pub(crate) lane: u32,
    /// The first sample that it did not settle.
    pub(crate) cut: Position,
    /// It stopped for another map, with samples left.
    pub(crate) stopped: bool,
    pub(crate) leftovers: Vec<Leftover>,
    pub(crate) doubts: Doubts,
    /// See [`Inherited::sent_until`].
    pub(crate) sent_until: Option<u64>,
    /// Why it could not go on.
    pub(crate) failed: Option<anyhow::Error>,
}

/// What a lane begins with.
#[derive(Default)]
pub(crate) struct Inherited {
    pub(crate) leftovers: Vec<Leftover>,
    /// Due times of good requests without acknowledgement.
    pub(crate) doubts: Doubts,
    /// When the last good sample was due that the target may have taken under an earlier map and that has no answer yet.
    pub(crate) sent_until: Option<u64>,
    /// When the latest good request left that the backend is known to have, ns since t0.
    pub(crate) good: u64,
}

/// A request of a lane under one of the maps: what outcomes are booked under.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) step: u32,
    pub(crate) lane: u32,
    pub(crate) request: RequestPlan,
}

/// Faults that were drawn from a settled request and have no answer yet. They are sent before anything newer of their series.
pub(crate) struct Leftover {
    pub(crate) fault: FaultIndex,
    pub(crate) samples: Vec<(FaultIndex, Scheduled)>,
    pub(crate) origin: Origin,
    /// The target may have taken them already.
    pub(crate) repeated: bool,
}

impl Leftover {
    /// The parts that belong to the lanes of a map.
    pub(crate) fn split(self, map: &LaneMap) -> BTreeMap<u16, Self> {
        let Self { fault, origin, repeated, .. } = self;
        let mut parts: BTreeMap<u16, Self> = BTreeMap::new();
        for sample in self.samples {
            let lane = map.lane_of(sample.1.hash);
            let part = parts.entry(lane).or_insert(Self { fault, samples: Vec::new(), origin, repeated });
            part.samples.push(sample);
        }
        parts
    }
}

/// In the order in which each series' own have to be sent.
pub(crate) fn oldest_first(leftovers: &mut [Leftover]) {
    leftovers.sort_by_key(|one| (one.origin.step, one.origin.request.index));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_handed_on_as_they_were_drawn() {
        let left = |step, index| {
            let request = RequestPlan { index, intended_ns: 0, first_due_ns: 0, last_due_ns: 0, samples: 1, stage: 0 };
            let origin = Origin { step, lane: 0, request };
            Leftover { fault: 0, samples: Vec::new(), origin, repeated: false }
        };
        // An inherited one, one of the request that the lane was at, and one that waited for that request.
        let mut leftovers = vec![left(0, 70), left(1, 9), left(1, 8)];
        oldest_first(&mut leftovers);
        let order: Vec<_> = leftovers.iter().map(|l| (l.origin.step, l.origin.request.index)).collect();
        assert_eq!(order, [(0, 70), (1, 8), (1, 9)]);
    }
}
