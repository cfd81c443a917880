//! From a series hash to a dense index: open addressing over u32, 8 bytes a series, hashes kept by the owner of the rows.

/// An open-addressing table of row numbers. The hash of a row is looked up in the caller's array, so nothing is stored twice.
pub(super) struct Index {
    /// Row + 1; 0 is free.
    cells: Vec<u32>,
}

impl Index {
    /// Room for `rows` rows, half of the cells stay free. Pages are only touched when used.
    pub(super) fn new(rows: usize) -> Self {
        Self { cells: vec![0; rows.saturating_mul(2).max(8)] }
    }

    /// First cell of a hash: the high half scaled to the table, so that the size may be any number.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        (((hash >> 32) * self.cells.len() as u64) >> 32) as usize
    }

    #[inline]
    fn after(&self, cell: usize) -> usize {
        if cell + 1 == self.cells.len() { 0 } else { cell + 1 }
    }

    /// The row with this hash.
    #[inline]
    pub(super) fn find(&self, hash: u64, hashes: &[u64]) -> Option<u32> {
        let mut cell = self.home(hash);
        loop {
            let row = self.cells[cell].checked_sub(1)?;
            if hashes.get(row as usize) == Some(&hash) {
                return Some(row);
            }
            cell = self.after(cell);
        }
    }

    /// Adds a row that is not in the table. The caller never adds more rows than it made room for.
    pub(super) fn insert(&mut self, hash: u64, row: u32) {
        let mut cell = self.home(hash);
        while self.cells[cell] != 0 {
            cell = self.after(cell);
        }
        self.cells[cell] = row + 1;
    }

    /// Takes a row out and closes the hole, so that no tombstones pile up when series churn.
    pub(super) fn remove(&mut self, hash: u64, row: u32, hashes: &[u64]) {
        let mut hole = self.home(hash);
        while self.cells[hole] != row + 1 {
            if self.cells[hole] == 0 {
                return;
            }
            hole = self.after(hole);
        }
        let mut cell = hole;
        loop {
            cell = self.after(cell);
            let Some(moving) = self.cells[cell].checked_sub(1) else { break };
            let home = self.home(hashes.get(moving as usize).copied().unwrap_or_default());
            // A row may move into the hole unless its home lies behind the hole on the way to its cell.
            let stays = if hole <= cell { hole < home && home <= cell } else { hole < home || home <= cell };
            if !stays {
                self.cells[hole] = moving + 1;
                hole = cell;
            }
        }
        self.cells[hole] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Any mix of insertions, replacements and removals gives what a HashMap gives, also in a tiny crowded table.
        #[test]
        fn agrees_with_a_map(steps in proptest::collection::vec((0_u32..24, any::<u16>(), any::<bool>()), 1..400)) {
            let mut index = Index::new(24);
            let mut hashes = vec![0_u64; 24];
            let mut model: HashMap<u64, u32> = HashMap::new();
            let mut present = [false; 24];
            for (row, raw, add) in steps {
                let hash = u64::from(raw) << 48 | 7;
                let at = row as usize;
                if present[at] {
                    index.remove(hashes[at], row, &hashes);
                    model.remove(&hashes[at]);
                    present[at] = false;
                }
                if add && !model.contains_key(&hash) {
                    hashes[at] = hash;
                    index.insert(hash, row);
                    model.insert(hash, row);
                    present[at] = true;
                }
                for (hash, row) in &model {
                    prop_assert_eq!(index.find(*hash, &hashes), Some(*row));
                }
                for probe in [0_u64, 7, u64::MAX, hash ^ 1] {
                    prop_assert_eq!(index.find(probe, &hashes).filter(|row| present[*row as usize]), model.get(&probe).copied());
                }
            }
        }
    }
}
