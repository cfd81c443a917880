//! How long the holes in series are.

use std::collections::{BTreeMap, HashMap};

use workload::SeriesId;

/// By cause (a finding's name, or [`SKIPPED`]): how many times so many good samples of a series in a row are missing for it.
/// A fault in place of a sample ends a gap; what fell due after a lane's end is none.
pub type Gaps = BTreeMap<&'static str, BTreeMap<u64, u64>>;

/// The cause of gaps that generators left.
pub(super) const SKIPPED: &str = "skipped";

/// Gaps under way: one of each series and cause, whatever its length.
#[derive(Default)]
pub(super) struct Holes {
    /// By cause and series, the sample behind it, and its length: 16 bytes each, since a whole workload may have been skipped.
    open: BTreeMap<&'static str, HashMap<SeriesId, (u32, u32)>>,
    closed: Gaps,
}

impl Holes {
    /// Sample `k` is missing. Those of one series and cause come in their order.
    pub(super) fn add(&mut self, cause: &'static str, id: SeriesId, k: u32) {
        let (next, length) = self.open.entry(cause).or_default().entry(id).or_insert((k, 0));
        if *next != k {
            *self.closed.entry(cause).or_default().entry((*length).into()).or_default() += 1;
            *length = 0;
        }
        (*next, *length) = (k + 1, *length + 1);
    }

    pub(super) fn finish(mut self) -> Gaps {
        for (cause, open) in self.open {
            let closed = self.closed.entry(cause).or_default();
            for (_, length) in open.into_values() {
                *closed.entry(length.into()).or_default() += 1;
            }
        }
        self.closed
    }
}
