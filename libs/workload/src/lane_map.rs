//! Which lane of the whole target a slot goes through.

use remote_write::{SLOTS, slot_of};

/// Slot → global lane. A lane is one connection with one request in flight.
#[derive(Clone, PartialEq, Eq)]
pub struct LaneMap {
    lanes: u32,
    table: Vec<u16>,
}

impl LaneMap {
    /// A sink: `owner * lanes + slot % lanes`, the owner by the caller's rule. `replicas * lanes` must stay below 65536.
    pub fn sink(replicas: u32, lanes: u16, owner: impl Fn(u16) -> u32) -> Self {
        let per_worker = u32::from(lanes.max(1));
        let total = replicas.max(1).saturating_mul(per_worker).min(u32::from(u16::MAX));
        let table =
            (0..SLOTS as u16).map(|slot| ((owner(slot) * per_worker + u32::from(slot) % per_worker) % total) as u16);
        Self { lanes: total, table: table.collect() }
    }

    /// An endpoint without a sink: `slot % connections`.
    pub fn direct(connections: u32) -> Self {
        let lanes = connections.clamp(1, u32::from(u16::MAX));
        Self { lanes, table: (0..SLOTS as u32).map(|slot| (slot % lanes) as u16).collect() }
    }

    /// Lanes in all.
    pub fn lanes(&self) -> u32 {
        self.lanes
    }

    /// The lane of a slot.
    pub fn lane_of_slot(&self, slot: u16) -> u16 {
        self.table.get(usize::from(slot)).copied().unwrap_or(0)
    }

    /// The lane of a series.
    #[inline]
    pub fn lane_of(&self, series_hash: u64) -> u16 {
        self.lane_of_slot(slot_of(series_hash))
    }
}

impl std::fmt::Debug for LaneMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaneMap").field("lanes", &self.lanes).finish_non_exhaustive()
    }
}
