//! Two numbers a slot, a count and a wrapping sum of digests: equality proves equal multisets in any order.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::SLOTS;

/// Digest of one sample: xxh3-64 of series hash, timestamp (ms) and the value's bits, 24 bytes little endian.
#[inline]
pub fn digest(series_hash: u64, timestamp_ms: i64, value_bits: u64) -> u64 {
    let mut bytes = [0_u8; 24];
    bytes[..8].copy_from_slice(&series_hash.to_le_bytes());
    bytes[8..16].copy_from_slice(&timestamp_ms.to_le_bytes());
    bytes[16..].copy_from_slice(&value_bits.to_le_bytes());
    xxhash_rust::xxh3::xxh3_64(&bytes)
}

/// Samples of one slot: how many, and the wrapping sum of their digests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotSum {
    pub count: u64,
    pub sum: u64,
}

impl SlotSum {
    /// Adds one sample.
    #[inline]
    pub fn add(&mut self, digest: u64) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(digest);
    }

    /// Adds the samples of another sum.
    pub fn merge(&mut self, other: Self) {
        self.count = self.count.wrapping_add(other.count);
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// One [`SlotSum`] for each of the 16384 slots (256 KiB). In JSON: base64 of 16384 pairs (count, sum) of u64 little endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotTable(Box<[SlotSum]>);

impl Default for SlotTable {
    fn default() -> Self {
        Self::new()
    }
}

/// Why bytes are no slot table.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SlotTableError {
    #[error("a slot table is base64 of {expected} bytes, this is no base64: send the standard alphabet with padding")]
    NotBase64 { expected: usize },
    #[error("a slot table has {expected} bytes, this has {found}: both ends must be of the same version")]
    WrongLength { expected: usize, found: usize },
}

impl SlotTable {
    const BYTES: usize = SLOTS * 16;

    /// An empty table.
    pub fn new() -> Self {
        Self(vec![SlotSum::default(); SLOTS].into_boxed_slice())
    }

    /// Adds one sample to its slot.
    #[inline]
    pub fn add(&mut self, slot: u16, digest: u64) {
        self.0[usize::from(slot) % SLOTS].add(digest);
    }

    /// The sum of a slot.
    pub fn slot(&self, slot: u16) -> SlotSum {
        self.0[usize::from(slot) % SLOTS]
    }

    /// Adds all of another table.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0.iter()) {
            mine.merge(*theirs);
        }
    }

    /// The slots in which the two differ, ascending.
    pub fn diff(&self, other: &Self) -> Vec<u16> {
        (0..SLOTS as u16).filter(|&slot| self.slot(slot) != other.slot(slot)).collect()
    }

    /// The sum over all slots.
    pub fn total(&self) -> SlotSum {
        let mut total = SlotSum::default();
        for sum in &self.0 {
            total.merge(*sum);
        }
        total
    }

    /// The table as base64.
    pub fn to_base64(&self) -> String {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        for sum in &self.0 {
            bytes.extend_from_slice(&sum.count.to_le_bytes());
            bytes.extend_from_slice(&sum.sum.to_le_bytes());
        }
        STANDARD.encode(bytes)
    }

    /// The table that [`Self::to_base64`] wrote.
    pub fn from_base64(text: &str) -> Result<Self, SlotTableError> {
        let longest = Self::BYTES.div_ceil(3) * 4;
        if text.len() > longest {
            return Err(SlotTableError::WrongLength { expected: Self::BYTES, found: text.len() / 4 * 3 });
        }
        let bytes = STANDARD.decode(text).map_err(|_| SlotTableError::NotBase64 { expected: Self::BYTES })?;
        if bytes.len() != Self::BYTES {
            return Err(SlotTableError::WrongLength { expected: Self::BYTES, found: bytes.len() });
        }
        let word = |chunk: &[u8]| chunk.iter().rev().fold(0_u64, |acc, &byte| acc << 8 | u64::from(byte));
        let sums = bytes.chunks_exact(16).map(|pair| SlotSum { count: word(&pair[..8]), sum: word(&pair[8..]) });
        Ok(Self(sums.collect()))
    }
}

impl Serialize for SlotTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_base64())
    }
}

impl<'de> Deserialize<'de> for SlotTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_base64(&text).map_err(serde::de::Error::custom)
    }
}
