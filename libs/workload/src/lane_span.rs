//! The samples of one target in one scrape: what a lane's requests are put together of.

use std::sync::Arc;

use crate::churn::ChurnRule;
use crate::group::Group;
use crate::lane_chain::{Floors, Position};
use crate::lane_plan::{GroupPlan, LaneLists, LanePlan};
use crate::windows::Window;
use crate::workload::churn_base;

/// The samples of one target in one scrape that this lane carries, or the part that fits into a request.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) group: u16,
    pub(crate) target: u32,
    pub(crate) k: u32,
    pub(crate) due_ns: u64,
    /// When the target was scraped before; `None` in the first scrape.
    pub(crate) before_ns: Option<u64>,
    pub(crate) virtual_ns: u128,
    /// Part of the lists.
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// How many of these send something now.
    pub(crate) active: u32,
    /// Whether some of these may have been settled under an earlier map.
    pub(crate) floored: bool,
    /// Only of churned groups.
    pub(crate) window: Option<Arc<Window>>,
}

impl Span {
    /// Whether the entry at a place of the lists sends something here that no earlier map has settled: its sample (`false`) or
    /// its stale marker (`true`).
    fn sends(&self, group: &Group, floors: Option<&Floors>, lists: &LaneLists, at: usize) -> Option<bool> {
        let (base, mut generation) = (lists.bases[at], 0);
        let stale = match &group.churn {
            None => Some(false),
            Some(churn) => {
                generation = lists.generations[at];
                let leader = churn_base(group, self.target, base - (group.first + self.target * group.per_target));
                sends(churn, leader, generation, self.due_ns, self.before_ns)
            }
        };
        stale.filter(|_| !self.settled(floors, lists.hashes[at], base, generation))
    }

    #[inline]
    pub(crate) fn settled(&self, floors: Option<&Floors>, hash: u64, base: u32, generation: u32) -> bool {
        self.floored && floors.is_some_and(|floors| floors.settled(hash, self.position(base, generation)))
    }

    fn position(&self, base: u32, generation: u32) -> Position {
        Position { due_ns: self.due_ns, group: self.group, k: self.k, base, generation }
    }

    pub(crate) fn count(&self, group: &Group, floors: Option<&Floors>, lists: &LaneLists) -> u32 {
        if group.churn.is_none() && !self.floored {
            return self.to - self.from;
        }
        let range = self.from as usize..self.to as usize;
        range.filter(|&at| self.sends(group, floors, lists, at).is_some()).count() as u32
    }

    /// The lists that the span is a part of.
    pub(crate) fn lists<'a>(&'a self, plan: &'a LanePlan) -> Option<&'a LaneLists> {
        match (&plan.groups[usize::from(self.group)], &self.window) {
            (GroupPlan::Fixed(lists), _) => Some(lists),
            (GroupPlan::Churned(_), Some(window)) => Some(&window.lists),
            (GroupPlan::Churned(_), None) => None,
        }
    }

    /// The list position behind the first `count` entries that send something.
    pub(crate) fn advance(&self, plan: &LanePlan, floors: Option<&Floors>, count: u32) -> u32 {
        let group = &plan.workload.groups[usize::from(self.group)];
        let Some(lists) = self.lists(plan).filter(|_| group.churn.is_some() || self.floored) else {
            return self.from + count;
        };
        let mut left = count;
        let mut at = self.from;
        while left > 0 && at < self.to {
            left -= u32::from(self.sends(group, floors, lists, at as usize).is_some());
            at += 1;
        }
        at
    }
}

/// Whether the generation sends something in the scrape at `due`: its sample (`false`) or its stale marker (`true`).
pub(crate) fn sends(churn: &ChurnRule, leader: u32, generation: u32, due: u64, before: Option<u64>) -> Option<bool> {
    let (start, end) = churn.lifetime(leader, generation);
    if (start..end).contains(&due) {
        Some(false)
    } else {
        let marks = churn.stale_markers && due >= end && before.is_some_and(|b| (start..end).contains(&b));
        marks.then_some(true)
    }
}
