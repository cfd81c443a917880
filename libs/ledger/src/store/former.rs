//! Which bases had a slot before the generation that the table knows. Worked out when it is first asked for: while samples come
//! in nobody does, and a settlement asks again and again.

use std::sync::OnceLock;

use remote_write::slot_of;
use workload::{SeriesId, Workload};

use super::Life;

/// Slot and base of every former generation, sorted: 8 bytes each.
#[derive(Default)]
pub(super) struct Former(OnceLock<Vec<(u16, u32)>>);

impl Former {
    /// The bases that once had this slot, ascending; one may come twice.
    pub(super) fn of(&self, slot: u16, workload: &Workload, lives: &[Life]) -> impl Iterator<Item = u32> {
        let all = self.0.get_or_init(|| all(workload, lives));
        let from = all.partition_point(|(of, _)| *of < slot);
        all[from..].iter().take_while(move |(of, _)| *of == slot).map(|(_, base)| *base)
    }
}

fn all(workload: &Workload, lives: &[Life]) -> Vec<(u16, u32)> {
    let mut scratch = Vec::new();
    let mut all = Vec::with_capacity(lives.iter().map(|life| life.generation as usize).sum());
    for (base, life) in (0..).zip(lives) {
        let slots = (0..life.generation).map(|generation| {
            let hash = workload.series_hash(SeriesId { base, generation }, &mut scratch);
            (slot_of(hash), base)
        });
        all.extend(slots);
    }
    all.sort_unstable();
    all
}
