//! Owners and lanes of slots in one epoch.

use remote_write::{Label, SLOTS, Scratch, canonical, slot_of};
use serde::{Deserialize, Serialize};

/// Most workers a sink can have.
pub const MAX_REPLICAS: u32 = 1024;

/// Jump consistent hash (Lamping and Veach, 2014): the bucket, below `buckets`, of a key. Growing from n to n + 1 moves
/// one key in n + 1, and only into the new bucket. Zero buckets answer as one does.
pub fn jump_hash(key: u64, buckets: u32) -> u32 {
    let mut key = key;
    let mut bucket = 0_u32;
    let mut next = 0_u64;
    while next < u64::from(buckets) {
        bucket = next as u32;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let spread = (1_u64 << 31) as f64 / ((key >> 33) + 1) as f64;
        next = ((f64::from(bucket) + 1.0) * spread) as u64;
    }
    bucket
}

/// The ordinal of the worker that sends the series of `slot`, of `replicas` workers.
pub fn owner(slot: u16, replicas: u32) -> u32 {
    jump_hash(u64::from(slot), replicas)
}

/// What decides the owner of a series: the ownership slot hashes this key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum By {
    /// All labels.
    #[default]
    Series,
    /// These labels, of those the series has: series that agree on them stay together.
    Labels(Vec<String>),
}

/// The hash of the key of a series. Its slot, `slot_of`, decides owner and lane; with [`By::Series`] it is the canonical
/// label hash, and the same slot as the ledger's.
pub fn key_hash<'a>(labels: impl Iterator<Item = Label<'a>>, by: &By, scratch: &mut Scratch) -> u64 {
    match by {
        By::Series => canonical::hash_labels(labels, scratch),
        By::Labels(names) => {
            let key = labels.filter(|label| names.iter().any(|name| name.as_bytes() == label.name));
            canonical::hash_labels(key, scratch)
        }
    }
}

/// Who owns what in one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnershipMap {
    /// Number of the map; grows with every change.
    pub epoch: u64,
    /// Workers, ordinals `0..replicas`.
    pub replicas: u32,
    /// Lanes of each worker.
    pub lanes: u16,
    /// What decides the owner.
    pub by: By,
}

impl OwnershipMap {
    /// Owner of an ownership slot.
    pub fn owner(&self, slot: u16) -> u32 {
        owner(slot, self.replicas)
    }

    /// Lane of an ownership slot in its owner, below `lanes`.
    pub fn lane(&self, slot: u16) -> u16 {
        slot % self.lanes.max(1)
    }

    /// The ownership slot of a series.
    pub fn slot<'a>(&self, labels: impl Iterator<Item = Label<'a>>, scratch: &mut Scratch) -> u16 {
        slot_of(key_hash(labels, &self.by, scratch))
    }

    /// Owners of all slots, indexed by slot: look up here where it is done for each series.
    pub fn owners(&self) -> Box<[u32]> {
        (0..SLOTS as u16).map(|slot| self.owner(slot)).collect()
    }
}

#[cfg(test)]
#[path = "map_tests.rs"]
mod tests;
