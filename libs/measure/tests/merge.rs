//! Merging many recorders equals recording everything into one, bucket by bucket, over the wire or not.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use floodmark_measure::{
    Distribution, DropSummary, Drops, HIGHEST_US, HistogramSet, Merger, Recorder, TOTAL_DIGITS, names,
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Event {
    task: usize,
    at_ns: u64,
    value_ns: u64,
    count: u64,
    censored: bool,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let value = prop_oneof![0u64..2_000_000_000, Just(0), Just(u64::MAX), 3_599_999_000_000u64..3_600_001_000_000,];
    let event = (0usize..10, 0u64..20_000_000_000, value, 1u64..5000, any::<bool>())
        .prop_map(|(task, at_ns, value_ns, count, censored)| Event { task, at_ns, value_ns, count, censored });
    proptest::collection::vec(event, 0..120)
}

fn record(recorder: &mut Recorder, event: &Event) {
    if event.censored {
        recorder.record_censored_n_ns(event.at_ns, event.value_ns, event.count);
    } else {
        recorder.record_n_ns(event.at_ns, event.value_ns, event.count);
    }
}

/// Every bucket of the total and of each interval.
fn counts(d: &Distribution) -> (Vec<u64>, BTreeMap<u64, Vec<u64>>) {
    let all = |h: &hdrhistogram::Histogram<u64>| h.iter_all().map(|v| v.count_at_value()).collect::<Vec<_>>();
    let intervals = d.intervals().map(|i| i.unwrap()).map(|i| (i.start, all(&i.histogram))).collect();
    (all(d.histogram()), intervals)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn ten_recorders_equal_one(events in events()) {
        let mut one = Recorder::new();
        let mut ten = vec![Recorder::new(); 10];
        for event in &events {
            record(&mut one, event);
            record(&mut ten[event.task], event);
        }
        let one = one.finish().unwrap();

        let mut merged = Distribution::new();
        let mut set = HistogramSet::default();
        for recorder in ten {
            let part = recorder.finish().unwrap();
            merged.merge(&part).unwrap();
            let mut single = HistogramSet::default();
            single.insert(names::RESPONSE, &part).unwrap();
            let json = serde_json::to_string(&single).unwrap();
            set.merge(&serde_json::from_str(&json).unwrap()).unwrap();
        }
        let wired = set.distribution(names::RESPONSE).unwrap();
        for other in [&merged, &wired] {
            prop_assert_eq!(counts(&one), counts(other));
            prop_assert_eq!(one.percentiles(), other.percentiles());
        }
    }

    #[test]
    fn quantiles_agree_with_sorting(mut values in proptest::collection::vec(1u64..HIGHEST_US, 1..300)) {
        let mut recorder = Recorder::new();
        for value in &values {
            recorder.record_ns(0, value * 1000);
        }
        let d = recorder.finish().unwrap();
        values.sort_unstable();
        for q in [0.0, 0.25, 0.5, 0.9, 0.99, 1.0] {
            let rank = ((values.len() as f64 * q).ceil() as usize).clamp(1, values.len());
            let exact = values[rank - 1] as f64;
            let got = d.quantile(q).us as f64;
            let tolerance = exact / 10f64.powi(i32::from(TOTAL_DIGITS)) + 1.0;
            prop_assert!((got - exact).abs() <= tolerance, "{q}: {got} for {exact}");
        }
        prop_assert_eq!(d.max().us, values[values.len() - 1]);
    }

    #[test]
    fn drops_merge_exactly(events in proptest::collection::vec((0usize..70, 1u64..100_000), 0..100)) {
        let mut one = Drops::new();
        let mut parts = vec![Drops::new(), Drops::new()];
        for (index, (cause, samples)) in events.iter().enumerate() {
            let cause = format!("status_{}", cause % 40);
            for drops in [&mut one, &mut parts[index % 2]] {
                drops.record(&cause, *samples);
            }
        }
        let mut merged = HistogramSet::default();
        for part in &parts {
            let mut set = HistogramSet::default();
            set.set_drops(part).unwrap();
            merged.merge(&set).unwrap();
        }
        let merged = merged.drops().unwrap();
        let sum: u64 = events.iter().map(|e| e.1).sum();
        prop_assert_eq!(one.by_cause().values().sum::<u64>(), sum);
        prop_assert_eq!(merged.per_event(), one.per_event());
    }

    /// As a histogram has it whose buckets are fine enough.
    #[test]
    fn exact_counts_have_exact_points(lengths in proptest::collection::vec(1u64..1000, 1..200)) {
        let mut drops = Drops::new();
        let mut counts = std::collections::BTreeMap::new();
        for &length in &lengths {
            drops.record("gap", length);
            *counts.entry(length).or_insert(0u64) += 1;
        }
        prop_assert_eq!(DropSummary::exactly(&counts), drops.per_event()["gap"]);
        prop_assert_eq!(DropSummary::exactly(&std::collections::BTreeMap::new()), DropSummary::default());
    }
}

#[test]
fn over_range_and_censored_are_counted_and_printed() {
    let mut recorder = Recorder::new();
    recorder.record_n_ns(0, 1_000_000, 98);
    recorder.record_censored_ns(5, 4_000_000_000);
    recorder.record_ns(5, u64::MAX);
    let d = recorder.snapshot().unwrap();
    assert_eq!((d.count(), d.censored(), d.over_range()), (100, 1, 1));
    assert_eq!(d.max().to_string(), ">=3600000ms");
    assert_eq!(d.quantile(0.5).to_string(), "1ms");
    assert_eq!(d.quantile(0.99).to_string(), "4001.791ms", "the upper edge of its bucket");
}

#[test]
fn a_broken_set_leaves_the_sum_as_it_was() {
    let mut recorder = Recorder::new();
    recorder.record_ns(0, 5_000_000);
    let mut good = HistogramSet::default();
    good.insert(names::RESPONSE, &recorder.finish().unwrap()).unwrap();
    let mut broken = good.clone();
    broken.histograms.insert("z".into(), floodmark_measure::Encoded { total: "HISTF!".into(), ..Default::default() });
    let mut merger = Merger::new();
    merger.add(&good).unwrap();
    assert!(merger.add(&broken).is_err());
    assert_eq!(merger.distribution(names::RESPONSE).count(), 1);
    assert_eq!(merger.finish().unwrap(), good);
}

#[test]
fn causes_are_bounded() {
    let mut drops = Drops::new();
    for cause in 0..1000 {
        drops.record(&format!("cause {cause}"), 3);
    }
    let by_cause = drops.by_cause();
    assert!(by_cause.len() <= floodmark_measure::MAX_CAUSES + 1);
    assert_eq!(by_cause.values().sum::<u64>(), 3000);
    assert_eq!(drops.all_events().unwrap().events, 1000);
}

/// The live view wants a few seconds of half an hour: the rest is not so much as looked at.
#[test]
fn the_newest_seconds_are_read_alone() {
    let mut recorder = Recorder::new();
    for second in 0..40 {
        recorder.record_ns(second * 1_000_000_000, 1_000_000 + second);
    }
    let mut set = HistogramSet::default();
    set.insert(names::RESPONSE, &recorder.finish().unwrap()).unwrap();
    let all: Vec<_> = set.distribution(names::RESPONSE).unwrap().intervals().map(Result::unwrap).collect();
    set.histograms.get_mut(names::RESPONSE).unwrap().intervals[36].histogram = "HISTF!".into();
    assert_eq!(set.newest(names::RESPONSE, 3).unwrap(), all[37..]);
    assert!(set.newest(names::RESPONSE, 4).is_err());
    assert_eq!(set.newest(names::SERVICE, 3).unwrap(), []);
}
