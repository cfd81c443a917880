//! What one generator sends through which lane: 12 bytes a series, computed once from the ownership map.

use std::sync::Arc;

use remote_write::canonical::hash_block;

use crate::group::Group;
use crate::labels::Pieces;
use crate::lane_chain::Floors;
use crate::windows::Windows;
use crate::{LaneChain, LaneMap, Place, Workload};

/// Series by lane, in scrape order in each lane.
#[derive(Debug, Default)]
pub(crate) struct LaneLists {
    /// Start of each lane's part of the lists, and their end.
    starts: Vec<u32>,
    pub(crate) bases: Vec<u32>,
    pub(crate) hashes: Vec<u64>,
    /// Empty in groups that do not churn.
    pub(crate) generations: Vec<u32>,
}

impl LaneLists {
    /// Distributes series that come in scrape order; `generations` may be empty.
    pub(crate) fn new(map: &LaneMap, bases: &[u32], generations: &[u32], hashes: &[u64]) -> Self {
        let lanes = map.lanes() as usize;
        let mut starts = vec![0u32; lanes + 1];
        for &hash in hashes {
            starts[usize::from(map.lane_of(hash)) + 1] += 1;
        }
        for lane in 0..lanes {
            starts[lane + 1] += starts[lane];
        }
        let mut next = starts.clone();
        let mut lists = Self {
            starts,
            bases: vec![0; hashes.len()],
            hashes: vec![0; hashes.len()],
            generations: vec![0; generations.len()],
        };
        for (index, (&base, &hash)) in bases.iter().zip(hashes).enumerate() {
            let at = &mut next[usize::from(map.lane_of(hash))];
            lists.bases[*at as usize] = base;
            lists.hashes[*at as usize] = hash;
            if let Some(&generation) = generations.get(index) {
                lists.generations[*at as usize] = generation;
            }
            *at += 1;
        }
        lists
    }

    pub(crate) fn lane(&self, lane: u32) -> std::ops::Range<u32> {
        let at = lane as usize;
        match (self.starts.get(at), self.starts.get(at + 1)) {
            (Some(&from), Some(&to)) => from..to,
            _ => 0..0,
        }
    }
}

#[derive(Debug)]
pub(crate) enum GroupPlan {
    Fixed(LaneLists),
    Churned(Windows),
}

/// The lanes of one generator: targets τ with `τ % generators == index`.
#[derive(Debug)]
pub struct LanePlan {
    pub(crate) workload: Arc<Workload>,
    pub(crate) map: LaneMap,
    pub(crate) index: u32,
    pub(crate) generators: u32,
    pub(crate) groups: Vec<GroupPlan>,
    /// What was settled under earlier maps.
    pub(crate) floors: Option<Arc<Floors>>,
}

impl LanePlan {
    /// Hashes every series of this generator once: about 0.1 s a million.
    pub fn new(workload: Arc<Workload>, map: LaneMap, index: u32, generators: u32) -> Self {
        let generators = generators.max(1);
        let mut pieces = Pieces::new();
        let mut block = Vec::with_capacity(512);
        let mut groups = Vec::with_capacity(workload.groups.len());
        for (number, group) in workload.groups.iter().enumerate() {
            if group.churn.is_some() {
                groups.push(GroupPlan::Churned(Windows::new(group, number as u16, index, generators)));
                continue;
            }
            let own = own_series(group, index, generators);
            let (mut bases, mut hashes) = (Vec::with_capacity(own), Vec::with_capacity(own));
            for target in (index..group.targets).step_by(generators as usize) {
                for series in 0..group.per_target {
                    let place = Place { group: number as u16, target, index: series };
                    bases.push(group.first + target * group.per_target + series);
                    hashes.push(hash_of(&workload, &mut pieces, place, 0, &mut block));
                }
            }
            groups.push(GroupPlan::Fixed(LaneLists::new(&map, &bases, &[], &hashes)));
        }
        Self { workload, map, index, generators, groups, floors: None }
    }

    /// The lanes of the same series under another map of a chain: what is left there to be sent. Hashes no series again,
    /// but for churned ones as they come.
    #[must_use]
    pub fn resume(&self, chain: &LaneChain, step: usize) -> Self {
        let map = chain.map(step).clone();
        let groups = self.groups.iter().zip(&self.workload.groups).map(|(plan, group)| match plan {
            GroupPlan::Churned(windows) => GroupPlan::Churned(windows.renewed()),
            GroupPlan::Fixed(lists) => {
                let own = own_series(group, self.index, self.generators);
                let (mut bases, mut hashes) = (vec![0; own], vec![0; own]);
                for (&base, &hash) in lists.bases.iter().zip(&lists.hashes) {
                    let (target, series) =
                        ((base - group.first) / group.per_target, (base - group.first) % group.per_target);
                    let at = ((target - self.index) / self.generators * group.per_target + series) as usize;
                    (bases[at], hashes[at]) = (base, hash);
                }
                GroupPlan::Fixed(LaneLists::new(&map, &bases, &[], &hashes))
            }
        });
        let (groups, floors) = (groups.collect(), chain.floors(step).cloned());
        let workload = Arc::clone(&self.workload);
        Self { workload, index: self.index, generators: self.generators, groups, floors, map }
    }

    /// The workload that the plan was made of.
    pub fn workload(&self) -> &Arc<Workload> {
        &self.workload
    }

    /// The map that the plan was made of.
    pub fn map(&self) -> &LaneMap {
        &self.map
    }

    /// Lanes of the whole target.
    pub fn lanes(&self) -> u32 {
        self.map.lanes()
    }
}

/// Series of a group that belong to a generator.
pub(crate) fn own_series(group: &Group, index: u32, generators: u32) -> usize {
    group.targets.saturating_sub(index).div_ceil(generators) as usize * group.per_target as usize
}

/// The hash of a series' label block.
pub(crate) fn hash_of(
    workload: &Workload,
    pieces: &mut Pieces,
    place: Place,
    generation: u32,
    block: &mut Vec<u8>,
) -> u64 {
    block.clear();
    for part in pieces.parts(workload, place, generation).iter() {
        block.extend_from_slice(part);
    }
    hash_block(block)
}
