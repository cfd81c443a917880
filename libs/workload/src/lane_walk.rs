//! The requests of one lane, one after the other, as a pure function of the plan: what a request carries and when it is
//! meant to leave. Nothing is queued: whoever lags behind asks for the next request later.

use std::sync::Arc;

use crate::lane_chain::{Floors, Position};
use crate::lane_plan::{GroupPlan, LaneLists, LanePlan};
use crate::lane_span::{Span, sends};
use crate::windows::Window;
use crate::workload::churn_base;
use crate::{Place, SeriesId};

/// A request closes this long after its first due sample.
const OPEN_NS: u64 = 100_000_000;

/// One request of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestPlan {
    /// Number in the lane, from 0.
    pub index: u64,
    /// When it is meant to leave, ns since t0: full, or about to hold a second sample of a series: with its last due sample;
    /// else 100 ms after its first due sample or at the stage's end, whatever comes first.
    pub intended_ns: u64,
    /// When its first and its last sample are due.
    pub first_due_ns: u64,
    pub last_due_ns: u64,
    /// Scheduled samples, stale markers included; at least 1.
    pub samples: u32,
    /// Index of the stage that all its samples belong to.
    pub stage: u32,
}

/// One sample of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduled {
    pub id: SeriesId,
    pub place: Place,
    /// Number of the sample of its base. A stale marker carries the k of the next generation's first sample.
    pub k: u32,
    pub due_ns: u64,
    /// Hash of the series' label block.
    pub hash: u64,
    /// Whether the value is the stale marker instead of [`crate::Workload::value_at`].
    pub stale: bool,
}

#[derive(Debug)]
struct Cursor {
    /// Where the search for the next span starts.
    k: u32,
    position: u32,
    /// In churned groups: the first target that was not passed in round `k` yet.
    target: u32,
    window: Option<Arc<Window>>,
    head: Option<Span>,
    /// Virtual time of the group's first sample in the current request.
    first: Option<u128>,
}

/// The cursor of one lane. Start it, call [`LaneWalk::next`], look at the samples, repeat.
#[derive(Debug)]
pub struct LaneWalk<'a> {
    plan: &'a LanePlan,
    lane: u32,
    cursors: Vec<Cursor>,
    spans: Vec<Span>,
    next: u64,
    /// What was settled under earlier maps, and the last due time at which that matters to this lane.
    floors: Option<(&'a Floors, u64)>,
    cut: Position,
}

impl<'a> LaneWalk<'a> {
    /// At the start of a lane (global number). A lane that the map does not have has no requests.
    pub fn new(plan: &'a LanePlan, lane: u32) -> Self {
        let mut walk = Self {
            plan,
            lane,
            cursors: Vec::with_capacity(plan.groups.len()),
            spans: Vec::new(),
            next: 0,
            floors: None,
            cut: Position::END,
        };
        let mut from_ns = 0;
        if let Some(floors) = plan.floors.as_deref() {
            let (low, high) = floors.bounds(lane);
            (walk.floors, from_ns) = (Some((floors, high)), low);
        }
        for (number, group) in plan.workload.groups.iter().enumerate() {
            let position = match &plan.groups[number] {
                GroupPlan::Fixed(lists) => lists.lane(lane).start,
                GroupPlan::Churned(_) => 0,
            };
            // Rounds that ended before are not looked at: the last target's scrape is the last of a round.
            let last = group.first + group.series() - 1;
            let k = plan.workload.samples_before(last, from_ns);
            walk.cursors.push(Cursor { k, position, target: 0, window: None, head: None, first: None });
            walk.seek(number);
        }
        walk
    }

    /// The same lane, ending before the request that begins at a cut.
    #[must_use]
    pub fn until(mut self, cut: Position) -> Self {
        self.cut = cut;
        self
    }

    /// The next request; `None` after the last. `max_samples` must be the same in every call for the sequence to be the
    /// lane's.
    pub fn next(&mut self, max_samples: u32) -> Option<RequestPlan> {
        let request = self.compute(max_samples)?;
        (request.last_due_ns < self.cut.due_ns || self.position(&request) < self.cut).then_some(request)
    }

    /// Where the request that [`LaneWalk::next`] returned last begins: its first sample.
    pub fn position(&self, request: &RequestPlan) -> Position {
        let mut first = None;
        self.for_each(request, |s| {
            let Scheduled { id, place, k, due_ns, .. } = s;
            let (group, base, generation) = (place.group, id.base, id.generation);
            first.get_or_insert(Position { due_ns, group, k, base, generation });
        });
        first.unwrap_or(Position::END)
    }

    fn compute(&mut self, max_samples: u32) -> Option<RequestPlan> {
        let max_samples = max_samples.max(1);
        self.spans.clear();
        for cursor in &mut self.cursors {
            cursor.first = None;
        }
        let workload = &self.plan.workload;
        let first_due_ns = self.cursors.iter().filter_map(|c| c.head.as_ref()).map(|h| h.due_ns).min()?;
        let stage = workload.stage_at(first_due_ns);
        let deadline = first_due_ns.saturating_add(OPEN_NS).min(workload.stages()[stage].end_ns);
        let (mut samples, mut last_due_ns, mut intended_ns) = (0, first_due_ns, deadline);
        while let Some(group) = self.earliest() {
            let cursor = &mut self.cursors[group];
            let Some(head) = &mut cursor.head else { break };
            if head.due_ns >= deadline {
                break;
            }
            let first = *cursor.first.get_or_insert(head.virtual_ns);
            if head.virtual_ns - first >= u128::from(workload.groups[group].interval_ns) {
                intended_ns = last_due_ns;
                break;
            }
            last_due_ns = head.due_ns;
            let room = max_samples - samples;
            if head.active > room {
                let mut part = head.clone();
                part.to = head.advance(self.plan, self.floors.map(|(floors, _)| floors), room);
                part.active = room;
                head.from = part.to;
                head.active -= room;
                samples += room;
                self.spans.push(part);
            } else {
                samples += head.active;
                self.spans.extend(cursor.head.take());
                self.seek(group);
            }
            if samples == max_samples {
                intended_ns = last_due_ns;
                break;
            }
        }
        let index = self.next;
        self.next += 1;
        Some(RequestPlan { index, intended_ns, first_due_ns, last_due_ns, samples, stage: stage as u32 })
    }

    /// Calls `f` for each sample of the request that [`LaneWalk::next`] returned last, in scrape order.
    #[inline]
    pub fn for_each(&self, request: &RequestPlan, mut f: impl FnMut(Scheduled)) {
        debug_assert_eq!(request.index + 1, self.next, "only the latest request can be walked");
        for span in &self.spans {
            let group = &self.plan.workload.groups[usize::from(span.group)];
            let first = group.first + span.target * group.per_target;
            let Some(lists) = span.lists(self.plan) else {
                continue;
            };
            let floors = self.floors.map(|(floors, _)| floors);
            let range = span.from as usize..span.to as usize;
            if let Some(churn) = &group.churn {
                let entries =
                    lists.bases[range.clone()].iter().zip(&lists.hashes[range.clone()]).zip(&lists.generations[range]);
                for ((&base, &hash), &generation) in entries {
                    let place = Place { group: span.group, target: span.target, index: base - first };
                    let leader = churn_base(group, span.target, place.index);
                    if let Some(stale) = sends(churn, leader, generation, span.due_ns, span.before_ns)
                        && !span.settled(floors, hash, base, generation)
                    {
                        f(Scheduled {
                            id: SeriesId { base, generation },
                            place,
                            k: span.k,
                            due_ns: span.due_ns,
                            hash,
                            stale,
                        });
                    }
                }
            } else {
                for (&base, &hash) in lists.bases[range.clone()].iter().zip(&lists.hashes[range]) {
                    if span.settled(floors, hash, base, 0) {
                        continue;
                    }
                    let place = Place { group: span.group, target: span.target, index: base - first };
                    let id = SeriesId { base, generation: 0 };
                    f(Scheduled { id, place, k: span.k, due_ns: span.due_ns, hash, stale: false });
                }
            }
        }
    }

    /// The group whose next span is due first; of equals the first group.
    fn earliest(&self) -> Option<usize> {
        let due = |(index, cursor): (usize, &Cursor)| cursor.head.as_ref().map(|h| (h.due_ns, index));
        self.cursors.iter().enumerate().filter_map(due).min().map(|(_, index)| index)
    }

    /// Finds the next span of a group and makes it the head.
    fn seek(&mut self, group: usize) {
        let head = match &self.plan.groups[group] {
            GroupPlan::Fixed(lists) => self.seek_fixed(group, lists),
            GroupPlan::Churned(_) => self.seek_churned(group),
        };
        self.cursors[group].head = head;
    }

    fn seek_fixed(&mut self, number: usize, lists: &LaneLists) -> Option<Span> {
        let workload = &self.plan.workload;
        let group = &workload.groups[number];
        let cursor = &mut self.cursors[number];
        let lane = lists.lane(self.lane);
        if lane.is_empty() {
            return None;
        }
        loop {
            if cursor.position >= lane.end {
                cursor.position = lane.start;
                cursor.k = cursor.k.checked_add(1)?;
            }
            let from = cursor.position;
            let target = (lists.bases[from as usize] - group.first) / group.per_target;
            // A target has no more entries than series: keeps the search short.
            let limit = lane.end.min(from.saturating_add(group.per_target));
            let to = target_end(lists, from, limit, group.first + (target + 1) * group.per_target);
            cursor.position = to;
            let (k, virtual_ns) = (cursor.k, group.virtual_ns(target, cursor.k));
            let due_ns = workload.schedule.time_of(virtual_ns)?;
            let floored = self.floors.is_some_and(|(_, until)| due_ns <= until);
            let mut span = Span {
                group: number as u16,
                target,
                k,
                due_ns,
                before_ns: None,
                virtual_ns,
                from,
                to,
                active: 0,
                floored,
                window: None,
            };
            span.active = span.count(group, self.floors.map(|(floors, _)| floors), lists);
            if span.active > 0 {
                return Some(span);
            }
        }
    }

    fn seek_churned(&mut self, number: usize) -> Option<Span> {
        let GroupPlan::Churned(windows) = &self.plan.groups[number] else {
            return None;
        };
        let workload = &self.plan.workload;
        let group = &workload.groups[number];
        let due = |target: u32, k: u32| workload.schedule.time_of(group.virtual_ns(target, k));
        let cursor = &mut self.cursors[number];
        let own_from = self.plan.index;
        loop {
            // The first own target not passed yet in this round; behind the last one a new round begins.
            let behind = cursor.target.saturating_sub(own_from).div_ceil(self.plan.generators);
            let candidate = own_from + behind * self.plan.generators;
            if candidate >= group.targets {
                if own_from >= group.targets {
                    return None;
                }
                cursor.k = cursor.k.checked_add(1)?;
                cursor.target = 0;
                cursor.position = 0;
                continue;
            }
            let candidate_due = due(candidate, cursor.k)?;
            let window = match &cursor.window {
                Some(window) if candidate_due < window.end_ns => window,
                _ => {
                    cursor.position = 0;
                    cursor.window.insert(windows.at(workload, &self.plan.map, candidate_due))
                }
            };
            let lists = &window.lists;
            let lane = lists.lane(self.lane);
            let wanted = group.first + candidate * group.per_target;
            if cursor.position == 0 {
                let bases = &lists.bases[lane.start as usize..lane.end as usize];
                // Positions are kept one higher, so that 0 means unknown.
                cursor.position = lane.start + bases.partition_point(|b| *b < wanted) as u32 + 1;
            }
            let from = cursor.position - 1;
            if from >= lane.end {
                // Nothing of this lane follows in this window's lists: look at the targets whose scrape falls behind it.
                cursor.target =
                    next_outside(candidate, self.plan.generators, group.targets, |t| due(t, cursor.k), window.end_ns);
                continue;
            }
            let target = (lists.bases[from as usize] - group.first) / group.per_target;
            let Some(due_ns) = due(target, cursor.k).filter(|d| *d < window.end_ns) else {
                cursor.target =
                    next_outside(candidate, self.plan.generators, group.targets, |t| due(t, cursor.k), window.end_ns);
                continue;
            };
            let to = target_end(lists, from, lane.end, group.first + (target + 1) * group.per_target);
            cursor.position = to + 1;
            cursor.target = target + 1;
            let before_ns = cursor.k.checked_sub(1).and_then(|k| due(target, k));
            let mut span = Span {
                group: number as u16,
                target,
                k: cursor.k,
                due_ns,
                before_ns,
                virtual_ns: group.virtual_ns(target, cursor.k),
                from,
                to,
                active: 0,
                floored: self.floors.is_some_and(|(_, until)| due_ns <= until),
                window: None,
            };
            span.active = span.count(group, self.floors.map(|(floors, _)| floors), lists);
            if span.active > 0 {
                span.window = Some(Arc::clone(window));
                return Some(span);
            }
        }
    }
}

/// The first own target from `from` on whose scrape is not before `end_ns`; `targets` or more if there is none. Scrapes of a
/// round rise with the target.
fn next_outside(from: u32, step: u32, targets: u32, due: impl Fn(u32) -> Option<u64>, end_ns: u64) -> u32 {
    let (mut low, mut high) = (0, (targets - from).div_ceil(step));
    while low < high {
        let middle = low + (high - low) / 2;
        if due(from + middle * step).is_some_and(|d| d < end_ns) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    from.saturating_add(low.saturating_mul(step))
}

/// The end of the entries below `end_base` from `from` on.
fn target_end(lists: &LaneLists, from: u32, lane_end: u32, end_base: u32) -> u32 {
    from + lists.bases[from as usize..lane_end as usize].partition_point(|b| *b < end_base) as u32
}
