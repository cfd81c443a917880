//! What arrived: dense tables, 24 bytes a series and 8 for the index; exceptional facts in bounded side sets.
//!
//! A caller finds the series ([`Store::lookup`], [`Store::introduce`]), asks what a sample is ([`Store::classify`]) and says
//! whether it was kept ([`Store::record`]). Classifying changes nothing, so a profile may decide in between.

mod foreign;
mod former;
mod index;
mod record;
mod report;
mod runs;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use faults::FaultPlan;
use remote_write::canonical::hash_block;
use remote_write::{Label, STALE_MARKER, Scratch};
use workload::{Pieces, SeriesId, Workload};

pub use foreign::{Foreign, ForeignTable};

use crate::truth::Truth;
use crate::{Examples, FaultRepeat, FaultSeen, SlotTable, StoreCounters};
use former::Former;
use index::Index;
use runs::Runs;

/// How many bases are looked through before the index is asked: about the lanes of a large target.
const NEAR: usize = 32;

/// Bounds of a store's memory beyond its dense tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Entries of each set of exceptional facts (gaps, late, doubled, altered samples), about 20 bytes each.
    pub facts: usize,
    /// Samples of injected faults that are remembered as stored, of all faults together, about 20 bytes each.
    pub faults: usize,
}

impl StoreLimits {
    /// Enough for two gaps in every series.
    pub fn for_series(series: u32) -> Self {
        let series = series as usize;
        Self { facts: (2 * series).max(1 << 16), faults: (2 * series).max(1 << 20) }
    }
}

/// A series of this run, found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesRef {
    pub base: u32,
    pub generation: u32,
    pub hash: u64,
}

impl SeriesRef {
    fn id(self) -> SeriesId {
        SeriesId { base: self.base, generation: self.generation }
    }

    fn slot(self) -> u16 {
        remote_write::slot_of(self.hash)
    }
}

/// What a sample of one of the run's series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Sample k for the first time, newer than all before of its series.
    New { k: u32 },
    /// Sample k again.
    Duplicate { k: u32 },
    /// Sample k for the first time, but after a newer one of its series.
    Late { k: u32 },
    /// The timestamp of sample k with another value, and no injected fault.
    Altered { k: u32 },
    /// The sample that fault `index` of the test put in the place of sample k of a base.
    Fault { index: u32, base: u32, k: u32 },
    /// The marker that ends a generation, with the timestamp of sample k: the first time, or again.
    Stale { k: u32, again: bool },
    /// Nothing that the workload or its faults make.
    Unexpected,
}

/// How a sample stands to the newest one of its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Newer,
    /// The newest sample again, bit by bit.
    Same,
    /// The newest timestamp with another value.
    Conflict,
    Older,
}

/// The generation of a churned series that the table knows.
#[derive(Clone, Copy, Default)]
struct Life {
    generation: u32,
    /// Its samples: from, to (exclusive).
    from: u32,
    to: u32,
    /// Whether its stale marker was seen.
    ended: bool,
}

/// What arrived of a run. See the module's text.
pub struct Store {
    truth: Truth,
    index: Index,
    hashes: Vec<u64>,
    /// The base that followed last time: scrape order repeats, so the guess is nearly always right.
    successors: Vec<u32>,
    next_k: Vec<u32>,
    /// Generation of the hash in the table and the samples it has; empty without churn.
    lives: Vec<Life>,
    former: Former,
    limits: StoreLimits,
    gaps: Runs,
    late: Runs,
    doubled: Runs,
    altered: BTreeMap<(u32, u32), u64>,
    stale: BTreeSet<(u32, u32)>,
    /// Newest timestamp and value of the few series in which a kept fault is newer than the schedule, by hash.
    ahead: BTreeMap<u64, (i64, u64)>,
    distinct: SlotTable,
    /// Arrivals after the first.
    again: SlotTable,
    counters: StoreCounters,
    faults: Vec<FaultSeen>,
    /// By fault: what is stored of it.
    injected: Vec<Runs>,
    fault_repeats: Vec<FaultRepeat>,
    examples: Examples,
    scratch: Scratch,
}

impl Store {
    /// An empty store for a run whose schedule starts at `t0_ns` (Unix nanoseconds).
    pub fn new(workload: Arc<Workload>, faults: Arc<FaultPlan>, t0_ns: u64) -> Self {
        let limits = StoreLimits::for_series(workload.series());
        Self::with_limits(workload, faults, t0_ns, limits)
    }

    /// The same with bounds of the caller's choice.
    pub fn with_limits(workload: Arc<Workload>, faults: Arc<FaultPlan>, t0_ns: u64, limits: StoreLimits) -> Self {
        let series = workload.series() as usize;
        let truth = Truth::new(workload, faults, t0_ns);
        Self {
            index: Index::new(series),
            hashes: vec![0; series],
            successors: vec![0; series],
            next_k: vec![0; series],
            lives: if truth.churns() { vec![Life::default(); series] } else { Vec::new() },
            former: Former::default(),
            limits,
            gaps: Runs::new(limits.facts),
            late: Runs::new(limits.facts),
            doubled: Runs::new(limits.facts),
            altered: BTreeMap::new(),
            stale: BTreeSet::new(),
            ahead: BTreeMap::new(),
            distinct: SlotTable::new(),
            again: SlotTable::new(),
            counters: StoreCounters::default(),
            faults: vec![FaultSeen::default(); truth.fault_count()],
            injected: (0..truth.fault_count()).map(|_| Runs::new(limits.faults / truth.fault_count())).collect(),
            fault_repeats: Vec::new(),
            examples: Examples::default(),
            scratch: Scratch::default(),
            truth,
        }
    }

    /// Starts the schedule at `t0_ns` (Unix nanoseconds). Only before the first sample.
    pub fn begin(&mut self, t0_ns: u64) {
        self.truth = Truth::new(Arc::clone(&self.truth.workload), Arc::clone(&self.truth.faults), t0_ns);
    }

    /// Enters the first generation of every series by its hash, about 0.2 s a million: none has to be introduced while samples
    /// come in. A label set that has the hash of a series is taken for it; by chance that happens once in 2⁶⁴ / series.
    pub fn expect_all(&mut self) {
        let mut pieces = Pieces::new();
        let mut block = Vec::new();
        let workload = Arc::clone(&self.truth.workload);
        for base in 0..workload.series() {
            let (Some(place), Some(0)) = (workload.place(base), self.hashes.get(base as usize)) else { continue };
            block.clear();
            for part in pieces.parts(&workload, place, 0).iter() {
                block.extend_from_slice(part);
            }
            let hash = hash_block(&block);
            self.hashes[base as usize] = hash;
            self.index.insert(hash, base);
            if let Some(life) = self.lives.get_mut(base as usize) {
                let Range { start: from, end: to } = self.truth.samples(SeriesId { base, generation: 0 });
                *life = Life { generation: 0, from, to, ended: false };
            }
        }
    }

    /// The series with this hash, if it was introduced. `previous` is the base of the series before it in the request.
    #[inline]
    pub fn lookup(&mut self, hash: u64, previous: Option<u32>) -> Option<SeriesRef> {
        if let Some(previous) = previous
            && let Some(&guess) = self.successors.get(previous as usize)
        {
            if self.hashes.get(guess as usize) == Some(&hash) {
                return Some(self.found(guess, hash));
            }
            let base = self.near(previous, hash).or_else(|| self.index.find(hash, &self.hashes))?;
            self.successors[previous as usize] = base;
            return Some(self.found(base, hash));
        }
        self.index.find(hash, &self.hashes).map(|base| self.found(base, hash))
    }

    /// The series among the next few bases: where the guess fails for the first time, the lane's next one is mostly there.
    fn near(&self, previous: u32, hash: u64) -> Option<u32> {
        let from = previous as usize + 1;
        let next = self.hashes.get(from..(from + NEAR).min(self.hashes.len()))?;
        next.iter().position(|known| *known == hash).map(|at| (from + at) as u32)
    }

    #[inline]
    fn found(&self, base: u32, hash: u64) -> SeriesRef {
        SeriesRef { base, generation: self.lives.get(base as usize).map_or(0, |life| life.generation), hash }
    }

    /// Recognises a series by its labels, all of which must be those of the workload, and enters it. None: a foreign series.
    pub fn introduce<'a>(&mut self, hash: u64, labels: impl Iterator<Item = Label<'a>> + Clone) -> Option<SeriesRef> {
        let id = self.truth.workload.identify(labels)?;
        let series = SeriesRef { base: id.base, generation: id.generation, hash };
        let row = id.base as usize;
        let current = self.hashes.get(row).copied()?;
        if current != 0 {
            if id.generation <= self.found(id.base, hash).generation {
                // An older generation has no place in the table: it is recognised by its labels each time.
                return Some(series);
            }
            self.index.remove(current, id.base, &self.hashes);
        }
        self.hashes[row] = hash;
        self.index.insert(hash, id.base);
        if let Some(life) = self.lives.get_mut(row) {
            let Range { start: from, end: to } = self.truth.samples(id);
            *life = Life { generation: id.generation, from, to, ended: self.stale.contains(&(id.base, id.generation)) };
            self.former = Former::default();
        }
        Some(series)
    }

    /// The samples of a series, stale marker not included.
    #[inline]
    fn samples(&self, series: SeriesRef) -> Range<u32> {
        match self.lives.get(series.base as usize) {
            None => 0..u32::MAX,
            Some(life) if life.generation == series.generation => life.from..life.to,
            Some(_) => self.truth.samples(series.id()),
        }
    }

    /// Whether the marker that ends the series was seen.
    #[inline]
    fn ended(&self, series: SeriesRef) -> bool {
        match self.lives.get(series.base as usize) {
            None => false,
            Some(life) if life.generation == series.generation => life.ended,
            Some(_) => self.stale.contains(&(series.base, series.generation)),
        }
    }

    /// What a sample of a series is. Changes nothing but a memory of timestamps.
    #[inline]
    pub fn classify(&mut self, series: SeriesRef, timestamp_ms: i64, bits: u64) -> Observation {
        let (place, k) = self.truth.resolve(series.base, timestamp_ms);
        if let Some(k) = k
            && self.truth.bits_at(place, series.generation, k) == bits
            && self.samples(series).contains(&k)
        {
            let next = self.next_k.get(series.base as usize).copied().unwrap_or(0);
            return if k < next {
                self.past(series, k)
            } else if self.ended(series) {
                Observation::Late { k }
            } else {
                Observation::New { k }
            };
        }
        self.odd(series, k, timestamp_ms, bits)
    }

    #[cold]
    fn odd(&self, series: SeriesRef, k: Option<u32>, timestamp_ms: i64, bits: u64) -> Observation {
        if let Some(k) = k
            && self.truth.is_stale_marker(series.id(), k, bits)
        {
            return Observation::Stale { k, again: self.stale.contains(&(series.base, series.generation)) };
        }
        if let Some((index, k)) = self.truth.injected(series.id(), timestamp_ms, bits) {
            return Observation::Fault { index, base: series.base, k };
        }
        match k {
            Some(k) if self.samples(series).contains(&k) => Observation::Altered { k },
            _ => Observation::Unexpected,
        }
    }

    #[cold]
    fn past(&self, series: SeriesRef, k: u32) -> Observation {
        let Some((_, end)) = self.gaps.find(series.base, k) else { return Observation::Duplicate { k } };
        // A gap that reaches the end of the generation holds nothing newer of this series: its lane is only behind the next one's.
        let behind = end >= self.samples(series).end && !self.ended(series);
        let newer = self.altered.range((series.base, k)..(series.base, end)).next().is_some();
        if behind && !newer { Observation::New { k } } else { Observation::Late { k } }
    }

    /// How a sample stands to the newest kept one of its series; `observation` is what [`Self::classify`] said of it.
    pub fn order(&self, series: SeriesRef, timestamp_ms: i64, bits: u64, observation: Observation) -> Order {
        let ahead = if self.ahead.is_empty() { None } else { self.ahead.get(&series.hash).copied() };
        if ahead.is_none() && matches!(observation, Observation::New { .. }) {
            return Order::Newer;
        }
        let Some((newest, value)) = ahead.into_iter().chain(self.newest(series)).max_by_key(|&(at, _)| at) else {
            return Order::Newer;
        };
        match timestamp_ms.cmp(&newest) {
            Ordering::Greater => Order::Newer,
            Ordering::Equal if value == bits => Order::Same,
            Ordering::Equal => Order::Conflict,
            Ordering::Less => Order::Older,
        }
    }

    /// The newest kept timestamp of a series.
    pub fn newest_ms(&self, series: SeriesRef) -> Option<i64> {
        let ahead = self.ahead.get(&series.hash).copied();
        ahead.into_iter().chain(self.newest(series)).map(|(at, _)| at).max()
    }

    /// Timestamp and bits of the newest sample that the schedule knows.
    fn newest(&self, series: SeriesRef) -> Option<(i64, u64)> {
        if self.stale.contains(&(series.base, series.generation)) {
            let k = self.truth.workload.stale_k(series.id())?;
            return Some((self.truth.timestamp_ms(series.base, k)?, STALE_MARKER));
        }
        let k = self.newest_k(series)?;
        let altered = self.gaps.find(series.base, k).and_then(|_| self.altered.get(&(series.base, k)).copied());
        Some((self.truth.timestamp_ms(series.base, k)?, altered.unwrap_or_else(|| self.truth.bits(series.id(), k))))
    }

    /// The newest scheduled sample that was seen of a series, with the right value or an altered one.
    fn newest_k(&self, series: SeriesRef) -> Option<u32> {
        let Range { start, end } = self.samples(series);
        let mut k = self.next_k.get(series.base as usize)?.min(&end).checked_sub(1)?;
        while k >= start {
            match self.gaps.find(series.base, k) {
                Some(_) if self.altered.contains_key(&(series.base, k)) => return Some(k),
                Some((from, _)) => k = self.altered_below(series.base, from.max(start), k).checked_sub(1)?,
                None if self.truth.replaced(series.base, k).is_some() => k = k.checked_sub(1)?,
                None => return Some(k),
            }
        }
        None
    }

    /// One past the newest altered sample in `from..k`, or `from`.
    fn altered_below(&self, base: u32, from: u32, k: u32) -> u32 {
        self.altered.range((base, from)..(base, k)).next_back().map_or(from, |(&(_, at), _)| at + 1)
    }
}
