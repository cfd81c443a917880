//! What arrived: the store of the run, and the series of everybody else. All of it behind one lock a request.

use std::collections::HashSet;

use ledger::{Foreign, ForeignTable, SeriesRef, SeriesSeen, Store, StoreCounters, StoreReport};
use remote_write::rules::check_series;
use remote_write::v1::{self, Series};

use crate::control::Policy;
use crate::strict::{self, AHEAD_MS, Refusals, Why};
use crate::write::{Arrived, Part};

/// Series of others that are tracked, about 40 bytes each.
const FOREIGN: usize = 1 << 21;
/// Longest text of a series in an answer.
const TEXT: usize = 400;

pub(crate) struct Tables {
    store: Option<Store>,
    foreign: ForeignTable,
    /// Series that name the run and are none of it.
    strangers: ForeignTable,
    counters: StoreCounters,
    /// The series that `RejectOneSeries` picked.
    refused_series: Option<u64>,
}

enum Whose {
    Run(SeriesRef),
    /// It names the run, but the workload has no such series.
    Stranger,
    Other,
}

/// What a request is held to.
pub(crate) struct Rules<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) now_ms: i64,
    pub(crate) part: Part,
    pub(crate) refuse_one: bool,
}

impl Tables {
    pub(crate) fn new() -> Self {
        Self {
            store: None,
            foreign: ForeignTable::new(FOREIGN),
            strangers: ForeignTable::new(FOREIGN),
            counters: StoreCounters::default(),
            refused_series: None,
        }
    }

    /// A run begins: what was known of an earlier one is forgotten.
    pub(crate) fn begin(&mut self, store: Store) {
        self.store = Some(store);
        self.strangers = ForeignTable::new(FOREIGN);
    }

    /// Judges and stores the samples of one request, which `plain` holds in its own bytes.
    pub(crate) fn take(&mut self, plain: &[u8], samples: &[Arrived], rules: &Rules<'_>) -> Refusals {
        let mut refusals = Refusals::default();
        let horizon_ms = rules.now_ms.saturating_add(AHEAD_MS);
        let half = samples.len().div_ceil(2);
        let samples = if rules.part == Part::Half { &samples[..half] } else { samples };
        if self.lacks_room(plain, samples, rules.policy.max_series) {
            for sample in samples {
                refusals.add(Why::SeriesLimit, || text(of(plain, sample), sample));
            }
            return refusals;
        }
        let mut previous = None;
        for sample in samples {
            let raw = || of(plain, sample);
            if rules.refuse_one && *self.refused_series.get_or_insert(sample.hash) == sample.hash {
                refusals.add(Why::OnPurpose, || text(raw(), sample));
                continue;
            }
            match self.find(sample, previous, raw) {
                Ok(Whose::Run(series)) => {
                    previous = Some(series.base);
                    if let Some(why) = self.take_own(series, sample, horizon_ms, rules) {
                        refusals.add(why, || text(raw(), sample));
                    }
                }
                Ok(Whose::Stranger) => {
                    let why = take_other(&mut self.strangers, &mut StoreCounters::default(), sample, horizon_ms, rules);
                    self.note_stranger(raw(), sample, why.is_none());
                    if let Some(why) = why {
                        refusals.add(why, || text(raw(), sample));
                    }
                }
                Ok(Whose::Other) => {
                    if let Some(why) = take_other(&mut self.foreign, &mut self.counters, sample, horizon_ms, rules) {
                        refusals.add(why, || text(raw(), sample));
                    }
                }
                Err(why) => {
                    if matches!(why, Why::Broken(_)) {
                        self.note_stranger(raw(), sample, false);
                    }
                    refusals.add(why, || text(raw(), sample));
                }
            }
        }
        refusals
    }

    /// Whether the request has more new series than there is room for. Then nothing of it may be stored: whoever is answered
    /// 429 sends all of it again, and takes none of it for stored.
    fn lacks_room(&mut self, plain: &[u8], samples: &[Arrived], max_series: u64) -> bool {
        let room = max_series.saturating_sub(self.series());
        if samples.len() as u64 <= room {
            return false;
        }
        let mut new = HashSet::new();
        samples.iter().any(|sample| {
            let good = || first(of(plain, sample)).is_some_and(|series| check_series(&series).is_ok());
            !self.knows(sample.hash) && good() && new.insert(sample.hash) && new.len() as u64 > room
        })
    }

    fn knows(&mut self, hash: u64) -> bool {
        self.store.as_mut().is_some_and(|store| store.lookup(hash, None).is_some())
            || self.foreign.holds(hash)
            || self.strangers.holds(hash)
    }

    /// Finds the series; one seen for the first time is held to the rules of labels and recognised.
    #[inline]
    fn find<'a>(
        &mut self,
        sample: &Arrived,
        previous: Option<u32>,
        raw: impl FnOnce() -> &'a [u8],
    ) -> Result<Whose, Why> {
        if let Some(broken) = sample.broken {
            return Err(Why::Broken(broken));
        }
        if let Some(store) = &mut self.store
            && let Some(series) = store.lookup(sample.hash, previous)
        {
            return Ok(Whose::Run(series));
        }
        if self.foreign.holds(sample.hash) {
            Ok(Whose::Other)
        } else if self.strangers.holds(sample.hash) {
            Ok(Whose::Stranger)
        } else {
            self.meet(sample, raw())
        }
    }

    #[cold]
    fn meet(&mut self, sample: &Arrived, raw: &[u8]) -> Result<Whose, Why> {
        let Some(series) = first(raw) else { return Ok(Whose::Other) };
        check_series(&series).map_err(Why::Broken)?;
        let Some(store) = &mut self.store else { return Ok(Whose::Other) };
        Ok(match store.introduce(sample.hash, series.labels()) {
            Some(own) => Whose::Run(own),
            None if store.claims(series.labels()) => Whose::Stranger,
            None => Whose::Other,
        })
    }

    #[inline]
    fn take_own(&mut self, series: SeriesRef, sample: &Arrived, horizon_ms: i64, rules: &Rules<'_>) -> Option<Why> {
        let store = self.store.as_mut()?;
        let (timestamp, bits) = (sample.timestamp_ms, sample.bits);
        let observation = store.classify(series, timestamp, bits);
        let order = store.order(series, timestamp, bits, observation);
        let behind = || store.newest_ms(series).map_or(0, |newest| newest.saturating_sub(timestamp));
        let refused = strict::judge(timestamp, horizon_ms, order, rules.policy.window_ms, behind);
        store.record(series, timestamp, bits, observation, strict::kept(refused, observation));
        refused
    }

    /// Counts a sample that names the run but is of none of its good series: broken labels that the run sends on purpose are
    /// the fault they are, anything else nobody sent like this.
    fn note_stranger(&mut self, raw: &[u8], sample: &Arrived, kept: bool) {
        if let Some(store) = &mut self.store
            && let Some(series) = first(raw)
        {
            store.observe_other(series.labels(), sample.timestamp_ms, sample.bits, kept);
        }
    }

    /// Series held, those of others included.
    pub(crate) fn series(&self) -> u64 {
        self.store.as_ref().map_or(0, Store::series) + (self.foreign.len() + self.strangers.len()) as u64
    }

    pub(crate) fn counters(&self) -> StoreCounters {
        let mut counters = self.counters;
        if let Some(store) = &self.store {
            counters.merge(&store.counters());
        }
        counters
    }

    pub(crate) fn report(&self) -> StoreReport {
        let mut report = self.store.as_ref().map_or_else(StoreReport::default, Store::report);
        report.counters = self.counters();
        telemetry::cpu::incarnation().clone_into(&mut report.incarnation);
        report
    }

    pub(crate) fn seen_in(&self, slots: &[u16]) -> Vec<SeriesSeen> {
        self.store.as_ref().map_or_else(Vec::new, |store| store.seen_in(slots))
    }
}

/// Holds a sample of a series that is not the run's to the order of its series.
fn take_other(
    table: &mut ForeignTable,
    counters: &mut StoreCounters,
    sample: &Arrived,
    horizon_ms: i64,
    rules: &Rules<'_>,
) -> Option<Why> {
    let (hash, timestamp) = (sample.hash, sample.timestamp_ms);
    let kind = table.classify(hash, timestamp, sample.bits);
    let behind = || table.newest_ms(hash).map_or(0, |newest| newest.saturating_sub(timestamp));
    let refused = strict::judge(timestamp, horizon_ms, strict::order_of(kind), rules.policy.window_ms, behind);
    let kept = refused.is_none() || kind == Foreign::Duplicate;
    table.record(hash, timestamp, sample.bits, kind, kept, counters);
    refused
}

/// The bytes of its series.
fn of<'a>(plain: &'a [u8], sample: &Arrived) -> &'a [u8] {
    plain.get(sample.from as usize..sample.to as usize).unwrap_or_default()
}

fn first(raw: &[u8]) -> Option<Series<'_>> {
    v1::walk(raw).next()?.ok()
}

/// A sample as text, for an answer.
#[cold]
fn text(raw: &[u8], sample: &Arrived) -> String {
    let mut text = String::from("{");
    if let Some(series) = first(raw) {
        for label in series.labels() {
            let comma = if text.len() > 1 { ", " } else { "" };
            text.push_str(comma);
            text.push_str(&String::from_utf8_lossy(label.name));
            text.push('=');
            text.extend(format!("{:?}", String::from_utf8_lossy(label.value)).chars().take(TEXT));
            if text.len() > TEXT {
                text.truncate(text.floor_char_boundary(TEXT));
                text.push('…');
                break;
            }
        }
    }
    format!("{text}}} at {} with value {}", sample.timestamp_ms, f64::from_bits(sample.bits))
}
