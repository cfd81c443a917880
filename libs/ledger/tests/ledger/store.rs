//! The store against a naive model: maps by series and timestamp, no dense table, no schedule arithmetic.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::common::{self, Draws, T0};
use floodmark_ledger::{
    FaultRepeat, FaultSeen, FindingName, ForeignTable, Observation, Order, SlotTable, Store, StoreCounters,
    StoreLimits, digest,
};
use proptest::prelude::*;
use remote_write::{slot_of, v1};
use workload::LaneMap;

/// What the naive model calls a sample.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Kind {
    New,
    Duplicate,
    Late,
    Altered,
    Unexpected,
}

#[derive(Default)]
struct Model {
    /// What may come: series hash and timestamp → bits.
    scheduled: HashMap<(u64, i64), u64>,
    right: BTreeSet<(u64, i64)>,
    /// Newest timestamp of each series with either value.
    newest: BTreeMap<u64, i64>,
    counts: BTreeMap<&'static str, u64>,
    distinct: Vec<(u64, i64, u64)>,
    arrivals: Vec<(u64, i64, u64)>,
}

impl Model {
    fn observe(&mut self, hash: u64, timestamp: i64, bits: u64) -> Kind {
        let kind = match self.scheduled.get(&(hash, timestamp)) {
            None => Kind::Unexpected,
            Some(right) if *right != bits => Kind::Altered,
            Some(_) if self.right.contains(&(hash, timestamp)) => Kind::Duplicate,
            Some(_) if self.newest.get(&hash).is_some_and(|newest| timestamp < *newest) => Kind::Late,
            // The same timestamp was seen with a wrong value before: the right one comes second.
            Some(_) if self.newest.get(&hash) == Some(&timestamp) => Kind::Late,
            Some(_) => Kind::New,
        };
        let sample = (hash, timestamp, bits);
        match kind {
            Kind::New | Kind::Late => {
                self.right.insert((hash, timestamp));
                self.distinct.push(sample);
                self.arrivals.push(sample);
            }
            Kind::Duplicate => self.arrivals.push(sample),
            Kind::Altered | Kind::Unexpected => {}
        }
        if kind != Kind::Unexpected {
            let newest = self.newest.entry(hash).or_insert(i64::MIN);
            *newest = (*newest).max(timestamp);
        }
        let name = match kind {
            Kind::New => "new",
            Kind::Duplicate => "duplicate",
            Kind::Late => "late",
            Kind::Altered => "altered",
            Kind::Unexpected => "unexpected",
        };
        *self.counts.entry(name).or_default() += 1;
        kind
    }

    fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }
}

fn table(samples: &[(u64, i64, u64)]) -> SlotTable {
    let mut table = SlotTable::new();
    for &(hash, timestamp, bits) in samples {
        table.add(slot_of(hash), digest(hash, timestamp, bits));
    }
    table
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    /// Whatever is lost, doubled, delayed or altered: every verdict, both tables and all numbers are the model's.
    #[test]
    fn agrees_with_the_model(seed: u64, churn: bool, trouble in 2_u64..40) {
        let (workload, faults) = common::run(churn, "[]");
        let requests = common::schedule(&workload, &faults, &LaneMap::direct(3), 2);
        let mut draws = Draws(seed);
        let mut stream = Vec::new();
        let mut model = Model::default();
        for (_, samples) in &requests {
            for sent in samples {
                model.scheduled.insert((sent.hash, sent.timestamp_ms), sent.bits);
                if draws.one_in(trouble) {
                    match draws.next() % 5 {
                        0 => {}
                        1 => stream.extend([(*sent, 0_i64, 0_u64), (*sent, 0, 0)]),
                        2 => {
                            let at = stream.len().saturating_sub((draws.next() % 90) as usize);
                            stream.insert(at, (*sent, 0, 0));
                        }
                        3 => stream.push((*sent, 0, 1 << (draws.next() % 40))),
                        _ => stream.extend([(*sent, 1, 0), (*sent, 0, 4), (*sent, 0, 0), (*sent, 0, 4)]),
                    }
                } else {
                    stream.push((*sent, 0, 0));
                }
            }
        }
        let mut store = Store::new(Arc::clone(&workload), faults, T0);
        let mut previous = None;
        for (sent, shift, flip) in stream {
            let series = common::find(&mut store, &workload, &sent, &mut previous);
            prop_assert_eq!((series.base, series.generation), (sent.id.base, sent.id.generation));
            let (timestamp, bits) = (sent.timestamp_ms + shift, sent.bits ^ flip);
            // A wrong value at a stale marker's time is nothing the series sends; the model knows no difference.
            let stale = sent.bits == remote_write::STALE_MARKER;
            if stale && flip != 0 {
                continue;
            }
            let expected = model.observe(sent.hash, timestamp, bits);
            let seen = store.observe(series, timestamp, bits);
            let got = match seen {
                Observation::New { .. } | Observation::Stale { again: false, .. } => Kind::New,
                Observation::Duplicate { .. } | Observation::Stale { again: true, .. } => Kind::Duplicate,
                Observation::Late { .. } => Kind::Late,
                Observation::Altered { .. } => Kind::Altered,
                _ => Kind::Unexpected,
            };
            prop_assert_eq!(got, expected, "{:?} {:?}", sent, seen);
        }
        let counters = store.counters();
        prop_assert_eq!(counters.duplicates, model.count("duplicate"));
        prop_assert_eq!(counters.late, model.count("late"));
        prop_assert_eq!(counters.altered, model.count("altered"));
        prop_assert_eq!(counters.unexpected, model.count("unexpected"));
        prop_assert_eq!(counters.distinct, model.count("new") + model.count("late"));
        prop_assert_eq!(counters.arrivals, counters.distinct + counters.duplicates);
        prop_assert_eq!(counters.overflow, 0);
        prop_assert!(store.distinct() == &table(&model.distinct));
        prop_assert!(store.arrivals() == table(&model.arrivals));
        // What is held of each series, sample by sample.
        for base in 0..workload.series() {
            let held = store.seen(base);
            for k in 0..workload.samples_before(base, u64::MAX) {
                let id = workload::SeriesId { base, generation: workload.generation_at(base, k) };
                let hash = workload.series_hash(id, &mut Vec::new());
                let timestamp = workload.timestamp_ms(T0, base, k).unwrap();
                prop_assert_eq!(held.holds(k), model.right.contains(&(hash, timestamp)), "series {} sample {}", base, k);
            }
        }
    }
}

#[test]
fn labels_in_any_order_are_recognised() {
    let (workload, faults) = common::run(true, "[]");
    let mut store = Store::new(Arc::clone(&workload), faults, T0);
    let id = workload::SeriesId { base: 5, generation: 0 };
    let mut labels = common::labels(&workload, id);
    labels.reverse();
    let timestamp = workload.timestamp_ms(T0, 5, 0).unwrap();
    let bits = workload.value(id, 0).to_bits();
    assert_eq!(common::observe(&mut store, &labels, timestamp, bits), Some(Observation::New { k: 0 }));
    assert_eq!(common::observe(&mut store, &labels, timestamp, bits), Some(Observation::Duplicate { k: 0 }));
    assert_eq!(store.counters().series, 1);
}

/// What names the run and is none of its series counts; what names another run, or none, is none of our business.
#[test]
fn a_copy_under_other_labels_is_unexpected_and_other_senders_are_not() {
    let (workload, faults) = common::run(true, "[]");
    let mut store = Store::new(Arc::clone(&workload), faults, T0);
    let id = workload::SeriesId { base: 5, generation: 0 };
    let own = common::labels(&workload, id);
    let (timestamp, bits) = (workload.timestamp_ms(T0, 5, 0).unwrap(), workload.value(id, 0).to_bits());
    let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let without = |name: &str| own.iter().filter(|(n, _)| n != name.as_bytes()).cloned().collect::<Vec<_>>();
    let with = |mut labels: Vec<_>, more: (Vec<u8>, Vec<u8>)| {
        labels.push(more);
        labels
    };

    let others = [
        without("floodmark_run"),
        with(without("floodmark_run"), pair("floodmark_run", "r2")),
        with(without("floodmark_run"), pair("floodmark_run", "")),
        vec![pair("__name__", "up"), pair("instance", "t000001"), pair("job", "app")],
        Vec::new(),
    ];
    for labels in &others {
        assert_eq!(common::observe(&mut store, labels, timestamp, bits), None, "{labels:?}");
    }
    assert_eq!(store.counters().unexpected, 0);

    let strangers = [
        with(own.clone(), pair("replica", "b")),
        without("series"),
        with(own.clone(), own[0].clone()),
        with(Vec::new(), pair("floodmark_run", "r1")),
        // Garbled on the way: no text, and far too long.
        with(own.clone(), (vec![0xff, 0xfe], vec![0x80; 1 << 20])),
        (0..5000).map(|_| pair("floodmark_run", "r1")).collect(),
    ];
    for labels in &strangers {
        let seen = common::observe(&mut store, labels, timestamp, bits);
        assert_eq!(seen, Some(Observation::Unexpected));
    }
    let report = store.report();
    assert_eq!((report.counters.unexpected, report.counters.arrivals), (strangers.len() as u64, 0));
    let finding = report.findings.iter().find(|finding| finding.name == FindingName::Unexpected).unwrap();
    assert_eq!(finding.count, strangers.len() as u64);
    assert!(finding.examples[0].series.contains("replica=\"b\""), "{:?}", finding.examples[0]);
    assert!(finding.examples.iter().all(|example| example.series.len() <= 1003), "bounded");
}

/// Series that are broken on purpose name the run too, however a backend mended them: they are the fault that they are.
#[test]
fn broken_series_of_a_fault_are_never_called_unexpected() {
    let types = ["MissingMetricName", "DuplicateLabel", "InvalidLabelName"];
    let list: Vec<String> = types.iter().map(|name| format!(r#"{{"type":"{name}","share":"20%"}}"#)).collect();
    let (workload, faults) = common::run(true, &format!("[{}]", list.join(",")));
    let mut store = Store::new(Arc::clone(&workload), Arc::clone(&faults), T0);
    let mut scratch = faults::FaultScratch::default();
    let mut sent = [0_u64; 3];
    for (_, samples) in common::schedule(&workload, &faults, &LaneMap::direct(1), 1) {
        for sample in samples {
            let Some(index) = sample.drawn else { continue };
            let Some(faults::Materialised::Literal(fields)) =
                faults.materialise(index, sample.id, sample.k, T0, &mut scratch)
            else {
                panic!("a broken series")
            };
            let mut encoder = v1::Encoder::new();
            encoder.fields(fields);
            let series = v1::walk(encoder.body()).next().unwrap().unwrap();
            let mut labels: Vec<_> = series.labels().map(|label| (label.name.to_vec(), label.value.to_vec())).collect();
            let broken = series.samples().next().unwrap();
            // As a backend mends them: the last of two values stays, names become valid, a label is added to all.
            if sample.k % 2 == 0 {
                for (name, _) in &mut labels {
                    *name = String::from_utf8_lossy(name).replace('-', "_").into_bytes();
                }
                labels.reverse();
                labels.dedup_by(|a, b| a.0 == b.0);
                labels.push((b"cluster".to_vec(), b"x".to_vec()));
            }
            let seen = common::observe(&mut store, &labels, broken.timestamp, broken.value.to_bits());
            assert_eq!(seen, Some(Observation::Fault { index, base: sample.id.base, k: sample.k }), "{labels:?}");
            sent[index as usize] += 1;
        }
    }
    assert!(sent.iter().all(|count| *count > 20), "{sent:?}");
    let report = store.report();
    assert_eq!(report.counters.unexpected, 0);
    assert_eq!(report.faults.iter().map(|seen| seen.stored).collect::<Vec<_>>(), sent);
}

#[test]
fn order_is_that_of_the_kept_samples() {
    let (workload, faults) =
        common::run(false, r#"[{"type":"FutureTimestamp","share":"20%","futureTimestamp":{"ahead":"5m"}}]"#);
    let mut store = Store::new(Arc::clone(&workload), Arc::clone(&faults), T0);
    let drawn = |base: u32, k: u32| {
        let id = workload::SeriesId { base, generation: 0 };
        faults.draw(id, k, workload.due_ns(base, k).unwrap()).is_some()
    };
    let all = (0..workload.series()).flat_map(|base| (2..8).map(move |k| (base, k)));
    let (base, bad) = all
        .into_iter()
        .find(|&(base, k)| drawn(base, k) && !drawn(base, k - 1))
        .expect("a fifth of the samples is drawn");
    let id = workload::SeriesId { base, generation: 0 };
    let labels = common::labels(&workload, id);
    let hash = workload.series_hash(id, &mut Vec::new());
    let series = store.introduce(hash, common::borrow(&labels)).unwrap();
    let sample = |k: u32| (workload.timestamp_ms(T0, base, k).unwrap(), workload.value(id, k).to_bits());
    let (before, after) = (sample(bad - 1), sample(bad));
    assert!(matches!(store.observe(series, before.0, before.1), Observation::New { .. }));
    let again = store.classify(series, before.0, before.1);
    assert_eq!(store.order(series, before.0, before.1, again), Order::Same);
    assert_eq!(store.order(series, before.0, before.1 ^ 1, Observation::Unexpected), Order::Conflict);
    assert_eq!(store.order(series, before.0 - 1, before.1, Observation::Unexpected), Order::Older);
    let mut scratch = faults::FaultScratch::default();
    let Some(faults::Materialised::Sample(fault)) = faults.materialise(0, id, bad, T0, &mut scratch) else {
        panic!("a patched sample")
    };
    let seen = store.observe(series, fault.timestamp, fault.value.to_bits());
    assert_eq!(seen, Observation::Fault { index: 0, base, k: bad });
    assert_eq!(store.report().faults[0].stored, 1);
    let mut twice = Store::new(Arc::clone(&workload), Arc::clone(&faults), T0);
    let series = twice.introduce(hash, common::borrow(&labels)).unwrap();
    for _ in 0..3 {
        twice.observe(series, fault.timestamp, fault.value.to_bits());
    }
    assert_eq!(twice.report().faults[0], FaultSeen { stored: 1, repeated: 2, ..FaultSeen::default() });
    assert_eq!(twice.report().fault_repeats, [FaultRepeat { fault: 0, base, k: bad }; 2]);
    let none = StoreLimits { facts: 4, faults: 0 };
    let mut full = Store::with_limits(Arc::clone(&workload), Arc::clone(&faults), T0, none);
    let series = full.introduce(hash, common::borrow(&labels)).unwrap();
    full.observe(series, fault.timestamp, fault.value.to_bits());
    assert_eq!(full.report().faults[0], FaultSeen { untold: 1, ..FaultSeen::default() });
    // A kept sample of the future makes the present old.
    assert_eq!(store.order(series, after.0 + 1000, 0, Observation::New { k: bad + 1 }), Order::Older);
    assert_eq!(store.order(series, fault.timestamp, fault.value.to_bits(), seen), Order::Same);
}

#[test]
fn memory_stays_bounded_and_says_so() {
    let (workload, faults) = common::run(false, "[]");
    let limits = StoreLimits { facts: 4, faults: 4 };
    let mut store = Store::with_limits(Arc::clone(&workload), faults, T0, limits);
    for base in 0..10 {
        let id = workload::SeriesId { base, generation: 0 };
        let labels = common::labels(&workload, id);
        // Every other sample: each leaves a gap.
        for k in [1, 3, 5] {
            let timestamp = workload.timestamp_ms(T0, base, k).unwrap();
            common::observe(&mut store, &labels, timestamp, workload.value(id, k).to_bits());
        }
    }
    let counters = store.counters();
    assert_eq!((counters.distinct, counters.overflow), (30, 26));
    let held: usize = (0..10).map(|base| store.seen(base).gaps.len()).sum();
    assert_eq!(held, 4);

    let (mut others, mut counters) = (ForeignTable::new(2), StoreCounters::default());
    for hash in 0..5 {
        let kind = others.classify(hash, 1, 0);
        others.record(hash, 1, 0, kind, true, &mut counters);
    }
    assert_eq!((counters.foreign_series, counters.foreign_overflow), (2, 3));
}

#[test]
fn examples_name_the_sample() {
    let (workload, faults) = common::run(false, "[]");
    let mut store = Store::new(Arc::clone(&workload), faults, T0);
    let id = workload::SeriesId { base: 0, generation: 0 };
    let labels = common::labels(&workload, id);
    let timestamp = workload.timestamp_ms(T0, 0, 2).unwrap();
    common::observe(&mut store, &labels, timestamp, 12.5_f64.to_bits());
    let report = store.report();
    let finding = report.findings.iter().find(|f| f.name == FindingName::Altered).unwrap();
    let example = &finding.examples[0];
    assert_eq!((finding.count, example.timestamp_ms, example.value.as_str()), (1, timestamp, "12.5"));
    assert!(
        example.series.contains("floodmark_run=\"r1\"") && example.series.contains("job=\"app\""),
        "{}",
        example.series
    );
    assert!(example.detail.contains(&workload.value(id, 2).to_string()), "{}", example.detail);
}

/// Expecting every series changes how they are found, never what is found.
#[test]
fn expected_series_need_no_introduction() {
    let (workload, faults) = common::run(true, "[]");
    let mut met = Store::new(Arc::clone(&workload), Arc::clone(&faults), T0);
    let mut expected = Store::new(Arc::clone(&workload), Arc::clone(&faults), 1);
    expected.expect_all();
    expected.begin(T0);
    let mut previous = [None, None];
    for (_, samples) in common::schedule(&workload, &faults, &LaneMap::direct(5), 1) {
        for sent in &samples {
            // Churned series make way for their next generation.
            let churned = workload.place(sent.id.base).unwrap().group > 0;
            assert!(churned || expected.lookup(sent.hash, previous[1]).is_some(), "{sent:?}");
            for (store, previous) in [&mut met, &mut expected].into_iter().zip(&mut previous) {
                let series = common::find(store, &workload, sent, previous);
                store.observe(series, sent.timestamp_ms, sent.bits);
            }
        }
    }
    assert!(met.report() == expected.report());
    assert_eq!(met.counters().series, u64::from(workload.series()));
    assert_eq!(met.counters().distinct, workload.total_samples());
}
