//! An ownership map as two tables: owner and lane of a series cost one look-up each.

use std::fmt;

use ownership::{By, ControlDocument, OwnershipMap, key_hash};
use remote_write::canonical::Scratch;
use remote_write::{slot_of, v1::Series};

/// Not this worker's.
const FOREIGN: u16 = u16::MAX;

/// One epoch, seen from one worker.
pub(crate) struct Map {
    /// The map and its epoch.
    pub(crate) ownership: OwnershipMap,
    /// This worker.
    pub(crate) ordinal: u32,
    lane: Box<[u16]>,
    owner: Box<[u32]>,
}

impl Map {
    /// Tables for the map that holds in `document`.
    pub(crate) fn new(document: &ControlDocument, ordinal: u32) -> Self {
        let map = document.map();
        let owner = map.owners();
        let lane = (0..).zip(&owner).map(|(slot, &owner)| if owner == ordinal { map.lane(slot) } else { FOREIGN });
        Self { lane: lane.collect(), owner, ordinal, ownership: map }
    }

    /// Lane of an ownership slot here, if it is this worker's.
    #[inline]
    pub(crate) fn lane(&self, slot: u16) -> Option<u16> {
        self.lane.get(usize::from(slot)).copied().filter(|&lane| lane != FOREIGN)
    }

    /// Owner of an ownership slot.
    pub(crate) fn owner(&self, slot: u16) -> u32 {
        self.owner.get(usize::from(slot)).copied().unwrap_or(0)
    }

    /// Ownership slot of a series with this canonical hash.
    #[inline]
    pub(crate) fn slot(&self, series: &Series<'_>, hash: u64, scratch: &mut Scratch) -> u16 {
        match &self.ownership.by {
            By::Series => slot_of(hash),
            by @ By::Labels(_) => slot_of(key_hash(series.labels(), by, scratch)),
        }
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("ownership", &self.ownership)
            .field("ordinal", &self.ordinal)
            .finish_non_exhaustive()
    }
}
