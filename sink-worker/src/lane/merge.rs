//! Putting several parts into one batch.

use std::collections::HashMap;

use super::part::{Part, Payload};

/// What a batch that is being put together holds.
#[derive(Debug)]
pub(super) struct Merge {
    pub(super) samples: u64,
    /// Every part of it holds no series twice.
    pub(super) once: bool,
    /// Two parts of it hold the same series.
    pub(super) repeats: bool,
    newest: HashMap<u64, i64>,
}

impl Default for Merge {
    fn default() -> Self {
        Self { samples: 0, once: true, repeats: false, newest: HashMap::new() }
    }
}

impl Merge {
    /// Takes a part in, unless the batch has to close before it: a backend that answers 2xx would lose what is not newer.
    pub(super) fn add(&mut self, part: &Part, once: bool) -> bool {
        let Some(Payload::Fields(fields)) = part.slices.front() else {
            return false;
        };
        let mut repeats = false;
        for field in &fields.list {
            if let Some(&newest) = self.newest.get(&field.hash) {
                // Within one part the order was looked at when it was admitted.
                if once || field.first <= newest {
                    return false;
                }
                repeats = true;
            }
        }
        self.repeats |= repeats;
        for field in &fields.list {
            self.newest.insert(field.hash, field.last);
        }
        true
    }
}
