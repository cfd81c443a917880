//! The store of the model: commits a request as a whole, or answers 400.

use std::collections::{HashMap, HashSet};

use remote_write::{Snappy, canonical, v1};

use super::super::MAX_DECODED;

/// Hash and time of a sample.
pub(super) type Id = (u64, i64);

#[derive(Default)]
pub(super) struct Store {
    newest: HashMap<u64, i64>,
    pub(super) stored: HashSet<Id>,
}

impl Store {
    pub(super) fn write(&mut self, body: &[u8]) -> u16 {
        let mut snappy = Snappy::new();
        let plain = snappy.decompress(body, MAX_DECODED).unwrap();
        let mut scratch = canonical::Scratch::new();
        let mut samples = Vec::new();
        for series in v1::walk(plain) {
            let series = series.unwrap();
            let hash = series.canonical_hash(&mut scratch);
            samples.extend(series.samples().map(|sample| (hash, sample.timestamp)));
        }
        assert!(!samples.is_empty(), "nothing to send is not sent");
        let older = |&(hash, time): &Id| self.newest.get(&hash).is_some_and(|&newest| time < newest);
        if samples.iter().any(older) {
            return 400;
        }
        for (hash, time) in samples {
            let newest = self.newest.entry(hash).or_insert(i64::MIN);
            assert!(time > *newest || self.stored.contains(&(hash, time)), "silently lost by the store");
            *newest = time;
            self.stored.insert((hash, time));
        }
        204
    }
}
