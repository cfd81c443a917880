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
    /// The sample behind it, and its length.
    open: HashMap<(SeriesId, &'static str), (u32, u64)>,
    closed: Gaps,
}

impl Holes {
    /// Sample `k` is missing. Those of one series and cause come in their order.
    pub(super) fn add(&mut self, cause: &'static str, id: SeriesId, k: u32) {
        let (next, length) = self.open.entry((id, cause)).or_insert((k, 0));
        if *next != k {
            *self.closed.entry(cause).or_default().entry(*length).or_default() += 1;
            *length = 0;
        }
        (*next, *length) = (k + 1, *length + 1);
    }

    pub(super) fn finish(mut self) -> Gaps {
        for ((_, cause), (_, length)) in self.open {
            *self.closed.entry(cause).or_default().entry(length).or_default() += 1;
        }
        self.closed
    }
}
