//! The workload as a pure function of its description.

use api::{Stage, WorkloadGroup};
use remote_write::canonical::{block_of, hash_block};
use remote_write::{Label, STALE_MARKER, Scratch};

use crate::group::Group;
use crate::labels::{CommonLabels, Pieces, claimed, describe};
use crate::mix::mix2;
use crate::schedule::{Pace, Schedule, StageInput};
use crate::values;
use crate::{StageWindow, WorkloadError};

/// One series: a base (over all groups, targets outermost, scrape order inside) and, where a group churns, which of the
/// successive generations. Bases that do not churn have generation 0 only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId {
    pub base: u32,
    pub generation: u32,
}

/// Where a base stands: group, target of the group, series of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub group: u16,
    pub target: u32,
    pub index: u32,
}

/// Everything that will be sent, computed on demand. Memory: O(groups + metrics).
#[derive(Debug, Clone)]
pub struct Workload {
    pub(crate) groups: Vec<Group>,
    pub(crate) common: CommonLabels,
    pub(crate) schedule: Schedule,
    series: u32,
}

/// Series beyond this have no place in 32-bit indexes with room to spare.
const MAX_SERIES: u32 = 1 << 30;

impl Workload {
    /// Prepares groups and stages. `run` becomes the label `floodmark_run`.
    pub fn new(groups: &[WorkloadGroup], stages: &[Stage], seed: u64, run: &str) -> Result<Self, WorkloadError> {
        if groups.is_empty() || groups.len() > usize::from(u16::MAX) {
            return Err(WorkloadError::NoGroups);
        }
        if run.is_empty() || run.len() > 128 || !run.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(WorkloadError::Run { run: run.chars().take(128).collect() });
        }
        for (second, group) in groups.iter().enumerate() {
            if let Some(first) = groups[..second].iter().position(|g| g.name == group.name) {
                return Err(WorkloadError::SameName { first, second });
            }
        }
        let series = groups.iter().map(|g| u128::from(g.series())).sum();
        if series > u128::from(MAX_SERIES) {
            return Err(WorkloadError::TooManySeries { series, limit: MAX_SERIES });
        }
        let mut prepared = Vec::with_capacity(groups.len());
        let mut first = 0;
        for (index, group) in groups.iter().enumerate() {
            let group = Group::new(index, first, group, seed)?;
            first += group.series();
            prepared.push(group);
        }
        let stages: Vec<StageInput> = stages
            .iter()
            .map(|s| StageInput {
                length_ns: s.r#for.as_nanos(),
                rate: s.rate.map(|r| r.0),
                ramp: s.ramp,
                warm_up: s.warm_up,
            })
            .collect();
        let paces: Vec<Pace<'_>> = prepared
            .iter()
            .map(|g| Pace { name: &g.name, series: u64::from(g.series()), interval_ns: g.interval_ns })
            .collect();
        let schedule = Schedule::new(&stages, &paces)?;
        Ok(Self { groups: prepared, common: CommonLabels::new(run), schedule, series: first })
    }

    /// Value of the label `floodmark_run`.
    pub fn run(&self) -> &[u8] {
        self.common.run_value()
    }

    /// Base series of all groups.
    pub fn series(&self) -> u32 {
        self.series
    }

    /// Length of all stages, ns.
    pub fn duration_ns(&self) -> u64 {
        self.schedule.duration
    }

    /// The stages on the run's time axis.
    pub fn stages(&self) -> &[StageWindow] {
        &self.schedule.windows
    }

    /// The stage an instant falls into; the last one after the end.
    pub fn stage_at(&self, due_ns: u64) -> usize {
        self.schedule.stage_at(due_ns)
    }

    /// Samples of the whole run, stale markers included.
    pub fn total_samples(&self) -> u64 {
        self.samples_due_before(self.schedule.duration)
    }

    /// Samples that are due before an instant (ns since t0), stale markers included. Closed form, but for churned groups
    /// with stale markers, where it takes some ns a series.
    pub fn samples_due_before(&self, ns: u64) -> u64 {
        self.due_before(ns, 0, 1)
    }

    /// About as many samples are due between two instants, stale markers included: closed form whatever churns. Each scrape finds
    /// as many series switched as do in the mean of their lifetimes.
    pub fn mean_due(&self, from_ns: u64, to_ns: u64) -> f64 {
        let virtual_ns = |ns| self.schedule.virtual_ns(ns) as f64;
        let passed = virtual_ns(to_ns) - virtual_ns(from_ns);
        let real = to_ns.min(self.schedule.duration).saturating_sub(from_ns) as f64;
        let due = self.groups.iter().map(|group| {
            let before = |ns| self.scraped_before(group, ns, 0, 1);
            let scraped = before(to_ns).saturating_sub(before(from_ns)) as f64;
            let markers = match group.churn.as_ref().filter(|churn| churn.stale_markers && passed > 0.0) {
                Some(churn) => (group.interval_ns as f64 * real / passed / churn.life() as f64).min(1.0),
                None => 0.0,
            };
            scraped * (1.0 + markers)
        });
        due.sum()
    }

    /// The same for the share of generator `index` of `generators`: the targets with `target % generators == index`.
    pub fn due_before(&self, ns: u64, index: u32, generators: u32) -> u64 {
        let generators = generators.max(1);
        self.groups.iter().map(|g| self.group_due_before(g, ns, index, generators)).sum()
    }

    /// Samples of a group that are due before an instant, without stale markers.
    fn scraped_before(&self, group: &Group, ns: u64, index: u32, generators: u32) -> u64 {
        let Some(last) = ns.min(self.schedule.duration).checked_sub(1) else {
            return 0;
        };
        let v = self.schedule.virtual_ns(last);
        let interval = u128::from(group.interval_ns);
        let rounds = (v / interval) as u64;
        let own = |targets: u32| u64::from(targets.saturating_sub(index).div_ceil(generators));
        let scrapes = own(group.targets) * rounds + own(group.targets_within((v % interval) as u64));
        scrapes * u64::from(group.per_target)
    }

    fn group_due_before(&self, group: &Group, ns: u64, index: u32, generators: u32) -> u64 {
        let mut samples = self.scraped_before(group, ns, index, generators);
        if group.churn.as_ref().is_some_and(|c| c.stale_markers) {
            for target in (index..group.targets).step_by(generators as usize) {
                let k = self.scrapes_before(group, target, ns);
                for series in 0..group.per_target {
                    samples += u64::from(self.switches(group, target, series, k));
                }
            }
        }
        samples
    }

    /// Scrapes of a target that are due before `ns`.
    fn scrapes_before(&self, group: &Group, target: u32, ns: u64) -> u32 {
        let Some(last) = ns.min(self.schedule.duration).checked_sub(1) else {
            return 0;
        };
        let v = self.schedule.virtual_ns(last);
        match v.checked_sub(u128::from(group.offset_ns(target))) {
            Some(since) => (since / u128::from(group.interval_ns)) as u32 + 1,
            None => 0,
        }
    }

    /// How often a series changes its generation from one of its first `scrapes` samples to the next.
    fn switches(&self, group: &Group, target: u32, series: u32, scrapes: u32) -> u32 {
        let (Some(churn), Some(last)) = (&group.churn, scrapes.checked_sub(1)) else {
            return 0;
        };
        let base = churn_base(group, target, series);
        let due = |k: u32| self.schedule.time_of(group.virtual_ns(target, k)).unwrap_or(u64::MAX);
        let (from, to) = (churn.generation(base, due(0)), churn.generation(base, due(last)));
        // Every generation that lives longer than the longest gap between two scrapes has a sample.
        if self.schedule.longest(group.interval_ns).is_some_and(|gap| gap < churn.life()) {
            return to - from;
        }
        let (mut generation, mut count) = (from, 0);
        while generation < to {
            let k = self.scrapes_before(group, target, churn.lifetime(base, generation).1);
            generation = churn.generation(base, due(k));
            count += 1;
        }
        count
    }

    /// Where a base stands; `None` beyond the last.
    pub fn place(&self, base: u32) -> Option<Place> {
        let group = self.groups.partition_point(|g| g.first <= base).checked_sub(1)?;
        let local = base - self.groups[group].first;
        let (target, index) = (local / self.groups[group].per_target, local % self.groups[group].per_target);
        (base < self.series).then_some(Place { group: group as u16, target, index })
    }

    fn locate(&self, base: u32) -> Option<(&Group, Place)> {
        let place = self.place(base)?;
        Some((&self.groups[usize::from(place.group)], place))
    }

    /// When sample `k` of a base is due, ns since t0; `None` after the end. Strictly increasing in k, at least 1 ms apart.
    pub fn due_ns(&self, base: u32, k: u32) -> Option<u64> {
        let (group, place) = self.locate(base)?;
        self.schedule.time_of(group.virtual_ns(place.target, k))
    }

    /// Before this instant nothing is due that a sample due at `ns` or later follows upon in its series, ns since t0.
    pub fn predecessors_from(&self, ns: u64) -> u64 {
        let longest = self.groups.iter().map(|group| group.interval_ns).max().unwrap_or(0);
        // Virtual time is cut, not rounded: one more.
        let before = self.schedule.virtual_ns(ns).checked_sub(u128::from(longest) + 1);
        before.and_then(|before| self.schedule.time_of(before)).unwrap_or(0)
    }

    /// The timestamp of sample `k`, Unix milliseconds: `t0 + due`, cut.
    pub fn timestamp_ms(&self, t0_ns: u64, base: u32, k: u32) -> Option<i64> {
        Some(timestamp_ms(t0_ns, self.due_ns(base, k)?))
    }

    /// The sample that has exactly this timestamp: the inverse of [`Workload::timestamp_ms`].
    pub fn k_at(&self, t0_ns: u64, base: u32, timestamp_ms: i64) -> Option<u32> {
        let from = u64::try_from(timestamp_ms).ok()?.checked_mul(1_000_000)?;
        let end = from.checked_add(1_000_000)?.checked_sub(t0_ns)?;
        let k = self.samples_before(base, end).checked_sub(1)?;
        (self.due_ns(base, k)? >= from.saturating_sub(t0_ns)).then_some(k)
    }

    /// Samples of a base that are due before an instant: the first k at or after it. Stale markers are not counted.
    pub fn samples_before(&self, base: u32, ns: u64) -> u32 {
        self.locate(base).map_or(0, |(group, place)| self.scrapes_before(group, place.target, ns))
    }

    /// The generation that sends sample `k`; 0 without churn.
    pub fn generation_at(&self, base: u32, k: u32) -> u32 {
        let Some((group, place)) = self.locate(base) else {
            return 0;
        };
        let Some(churn) = &group.churn else { return 0 };
        let due = self.schedule.time_of(group.virtual_ns(place.target, k)).unwrap_or(self.schedule.duration);
        churn.generation(churn_base(group, place.target, place.index), due)
    }

    /// The samples `[first, end)` of a series (of this generation), stale marker not included; `None` if it has none.
    pub fn samples_of(&self, id: SeriesId) -> Option<std::ops::Range<u32>> {
        let (group, place) = self.locate(id.base)?;
        let (from, to) = match &group.churn {
            Some(churn) => churn.lifetime(churn_base(group, place.target, place.index), id.generation),
            None if id.generation == 0 => (0, u64::MAX),
            None => return None,
        };
        let first = self.scrapes_before(group, place.target, from);
        let end = self.scrapes_before(group, place.target, to);
        (first < end).then_some(first..end)
    }

    /// The first sample of a series.
    pub fn first_k(&self, id: SeriesId) -> Option<u32> {
        self.samples_of(id).map(|range| range.start)
    }

    /// The last sample of a series, stale marker not included.
    pub fn last_k(&self, id: SeriesId) -> Option<u32> {
        self.samples_of(id).map(|range| range.end - 1)
    }

    /// The stale marker of a series: the k (of its base) with whose timestamp it is sent, that of the first sample of the next
    /// generation. `None` if the group has no markers or the run ends before.
    pub fn stale_k(&self, id: SeriesId) -> Option<u32> {
        let (group, _) = self.locate(id.base)?;
        if !group.churn.as_ref()?.stale_markers {
            return None;
        }
        let k = self.samples_of(id)?.end;
        self.due_ns(id.base, k).map(|_| k)
    }

    /// The bits of the sample that this series sends at `k`: a value, a stale marker, or nothing.
    pub fn scheduled_bits(&self, id: SeriesId, k: u32) -> Option<u64> {
        self.due_ns(id.base, k)?;
        if self.generation_at(id.base, k) == id.generation {
            Some(self.value(id, k).to_bits())
        } else {
            (self.stale_k(id) == Some(k)).then_some(STALE_MARKER)
        }
    }

    /// The value of sample `k`: an integer below 2^47, 0 for a base that is none.
    pub fn value(&self, id: SeriesId, k: u32) -> f64 {
        self.place(id.base).map_or(0.0, |place| self.value_at(place, id.generation, k))
    }

    /// [`Workload::value`] for a place that is known already.
    #[inline]
    pub fn value_at(&self, place: Place, generation: u32, k: u32) -> f64 {
        let group = &self.groups[usize::from(place.group)];
        let role = group.shape.role(place.index);
        let leader = place.target * group.per_target + role.leader;
        values::value(role.kind, mix2(group.seed, u64::from(generation) << 32 | u64::from(leader)), k)
    }

    /// Appends the canonical label block. Nothing for a base that is none.
    pub fn label_block(&self, id: SeriesId, out: &mut Vec<u8>) {
        if let Some(place) = self.place(id.base) {
            let mut pieces = Pieces::new();
            for part in pieces.parts(self, place, id.generation).iter() {
                out.extend_from_slice(part);
            }
        }
    }

    /// The hash of the canonical label block; `scratch` is overwritten with the block.
    pub fn series_hash(&self, id: SeriesId, scratch: &mut Vec<u8>) -> u64 {
        scratch.clear();
        self.label_block(id, scratch);
        hash_block(scratch)
    }

    /// Whose label set this is, in any order. O(1), and verified: the whole set must be that of the series.
    pub fn identify<'a>(&self, labels: impl Iterator<Item = Label<'a>> + Clone) -> Option<SeriesId> {
        let id = claimed(self, labels.clone())?;
        let mut expected = Vec::with_capacity(512);
        self.label_block(id, &mut expected);
        // More labels than the series has cannot be equal: bounds the work on hostile sets.
        let most = self.locate(id.base).map_or(0, |(group, _)| group.extra_labels as usize + 16);
        let mut scratch = Scratch::new();
        let given = block_of(labels.clone().take(most), &mut scratch);
        (given == expected && labels.take(most).count() < most).then_some(id)
    }

    /// Name, job, instance number and series: enough for a person to find it.
    pub fn describe(&self, id: SeriesId) -> String {
        let Some((group, place)) = self.locate(id.base) else {
            return format!("series {}", id.base);
        };
        describe(group, group.shape.role(place.index), place.target)
    }
}

/// Unix milliseconds of a due time.
pub fn timestamp_ms(t0_ns: u64, due_ns: u64) -> i64 {
    (t0_ns.saturating_add(due_ns) / 1_000_000).cast_signed()
}

/// The base within its group that decides when a series churns: a histogram's family churns as one.
pub(crate) fn churn_base(group: &Group, target: u32, index: u32) -> u32 {
    target * group.per_target + group.shape.role(index).leader
}
