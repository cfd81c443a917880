//! Series that are not of this run: order, and the newest sample again. Nothing else can be known about them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use serde::{Deserialize, Serialize};

use crate::StoreCounters;

/// What a sample of a foreign series is, by the newest one of its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Foreign {
    /// Newer than all before.
    New,
    /// The newest one again, bit by bit.
    Duplicate,
    /// The newest timestamp with another value.
    Conflict,
    /// Older than the newest.
    Late,
    /// The table is full and does not know the series: nothing was checked.
    Untracked,
}

/// Series hashes are xxh3 already: hashing them again would only cost.
#[derive(Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The newest sample of each foreign series, about 40 bytes a series, bounded.
pub struct ForeignTable {
    newest: HashMap<u64, (i64, u64), BuildHasherDefault<Ready>>,
    limit: usize,
}

impl ForeignTable {
    /// Room for `limit` series.
    pub fn new(limit: usize) -> Self {
        Self { newest: HashMap::default(), limit }
    }

    /// Series that are tracked.
    pub fn len(&self) -> usize {
        self.newest.len()
    }

    /// Whether no series is tracked.
    pub fn is_empty(&self) -> bool {
        self.newest.is_empty()
    }

    /// Whether the series is tracked.
    pub fn holds(&self, hash: u64) -> bool {
        self.newest.contains_key(&hash)
    }

    /// The newest timestamp of a tracked series.
    pub fn newest_ms(&self, hash: u64) -> Option<i64> {
        self.newest.get(&hash).map(|&(at, _)| at)
    }

    /// What a sample would be; changes nothing.
    pub fn classify(&self, hash: u64, timestamp_ms: i64, bits: u64) -> Foreign {
        match self.newest.get(&hash) {
            None if self.newest.len() >= self.limit => Foreign::Untracked,
            None => Foreign::New,
            Some(&(newest, _)) if timestamp_ms > newest => Foreign::New,
            Some(&(newest, _)) if timestamp_ms < newest => Foreign::Late,
            Some(&(_, value)) if value == bits => Foreign::Duplicate,
            Some(_) => Foreign::Conflict,
        }
    }

    /// Counts a sample and, when the store kept it, remembers it.
    pub fn record(
        &mut self,
        hash: u64,
        timestamp_ms: i64,
        bits: u64,
        kind: Foreign,
        kept: bool,
        counters: &mut StoreCounters,
    ) {
        counters.foreign_samples += 1;
        match kind {
            Foreign::New if kept => {
                if self.newest.insert(hash, (timestamp_ms, bits)).is_none() {
                    counters.foreign_series += 1;
                }
            }
            Foreign::New => {}
            Foreign::Duplicate => counters.foreign_duplicates += 1,
            Foreign::Conflict => counters.foreign_conflicts += 1,
            Foreign::Late => counters.foreign_late += 1,
            Foreign::Untracked => counters.foreign_overflow += 1,
        }
    }
}
