//! The draw and its inverse over a whole small run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, too")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{
    Churn, ChurnMode, DelaySpec, Distribution, Duration, Fault, FaultType, LabelsSpec, OutOfOrderParams, Placement,
    Share, Stage, ValueKind, WorkloadGroup,
};
use floodmark_faults::{FAULT_LABEL, FaultError, FaultPlan, FaultScratch, Materialised};
use remote_write::{Label, v1};
use workload::{SeriesId, Workload};

const T0: u64 = 1_700_000_000_000_000_000;

fn ms(ms: u64) -> Duration {
    Duration(std::time::Duration::from_millis(ms))
}

fn workload(interval_ms: u64, seconds: u64, churned: bool) -> Arc<Workload> {
    let churn =
        churned.then(|| Churn { every: ms(2000), share: Share(0.5), mode: ChurnMode::Gradual, stale_markers: true });
    let group = WorkloadGroup {
        name: "app".into(),
        targets: 4,
        series_per_target: 25,
        scrape_interval: ms(interval_ms),
        metrics: 5,
        labels: LabelsSpec::default(),
        values: ValueKind::Mixed,
        churn,
    };
    let stage = Stage { r#for: ms(seconds * 1000), rate: None, ramp: false, warm_up: false };
    Arc::new(Workload::new(&[group], &[stage], 3, "run-7").unwrap())
}

fn fault(r#type: FaultType, share: f64) -> Fault {
    Fault {
        r#type,
        share: Share(share),
        from: None,
        r#for: None,
        placement: Placement::Own,
        out_of_order: None,
        future_timestamp: None,
    }
}

fn available() -> Vec<FaultType> {
    FaultType::ALL.iter().copied().filter(|f| floodmark_faults::available(*f)).collect()
}

fn samples(w: &Workload) -> Vec<(SeriesId, u32, u64)> {
    let all = (0..w.series()).flat_map(|base| (0..).map_while(move |k| w.due_ns(base, k).map(|due| (base, k, due))));
    all.map(|(base, k, due)| (SeriesId { base, generation: w.generation_at(base, k) }, k, due)).collect()
}

#[test]
fn shares_windows_and_predecessors_are_kept() {
    let w = workload(100, 60, true);
    let mut faults: Vec<Fault> = available().into_iter().map(|f| fault(f, 0.04)).collect();
    faults[2].from = Some(ms(20_000));
    faults[2].r#for = Some(ms(10_000));
    let plan = FaultPlan::new(&faults, 11, &w).unwrap();
    let all = samples(&w);
    let drawn: BTreeMap<(SeriesId, u32), u32> =
        all.iter().filter_map(|&(id, k, due)| plan.draw(id, k, due).map(|f| ((id, k), f))).collect();
    for (index, fault) in faults.iter().enumerate() {
        let count = drawn.values().filter(|f| **f == index as u32).count() as f64;
        let of = if index == 2 { all.len() as f64 / 6.0 } else { all.len() as f64 };
        assert!((0.025..0.055).contains(&(count / of)), "{}: {count} of {of}", fault.r#type);
        let after_good = matches!(fault.r#type, FaultType::OutOfOrder | FaultType::ConflictingDuplicate);
        for ((id, k), _) in drawn.iter().filter(|(_, f)| **f == index as u32) {
            let due = w.due_ns(id.base, *k).unwrap();
            assert!(index != 2 || (20_000_000_000..30_000_000_000).contains(&due));
            if after_good {
                assert!(w.samples_of(*id).unwrap().contains(&(k - 1)), "first sample of a series");
                assert!(!drawn.contains_key(&(*id, k - 1)), "predecessor drawn");
            }
        }
    }
    // A stale marker is never replaced.
    let markers =
        (0..w.series()).map(|base| SeriesId { base, generation: 0 }).filter_map(|id| Some((id, w.stale_k(id)?)));
    assert!(markers.clone().count() > 50);
    assert!(markers.clone().all(|(id, k)| plan.draw(id, k, w.due_ns(id.base, k).unwrap()).is_none()));
}

#[test]
fn everything_is_drawn_at_one_hundred_percent() {
    let w = workload(1000, 5, false);
    let plan = FaultPlan::new(&[fault(FaultType::InvalidLabelName, 1.0)], 1, &w).unwrap();
    assert!(samples(&w).iter().all(|&(id, k, due)| plan.draw(id, k, due) == Some(0)));
}

#[test]
fn injected_samples_are_recognised_and_only_they() {
    for (interval, churned) in [(1, false), (100, true), (1000, false)] {
        let w = workload(interval, if interval == 1 { 1 } else { 20 }, churned);
        let mut faults: Vec<Fault> = available().into_iter().map(|f| fault(f, 0.05)).collect();
        let delay = DelaySpec {
            distribution: Distribution::Uniform,
            mean: None,
            min: Some(ms(1)),
            max: Some(ms(9000)),
            shape: None,
        };
        faults[0].out_of_order = Some(OutOfOrderParams { delay });
        let plan = FaultPlan::new(&faults, 5, &w).unwrap();
        let mut scratch = FaultScratch::default();
        let mut seen = BTreeSet::new();
        for (id, k, due) in samples(&w) {
            let value = w.value(id, k);
            let at = w.timestamp_ms(T0, id.base, k).unwrap();
            assert_eq!(plan.identify(id, T0, at, value.to_bits()), None, "a scheduled sample is no fault");
            let Some(index) = plan.draw(id, k, due) else { continue };
            let fault = plan.fault(index).unwrap();
            seen.insert(fault);
            match plan.materialise(index, id, k, T0, &mut scratch).unwrap() {
                Materialised::Sample(s) | Materialised::InBrokenRequest(s) => {
                    assert!(s.value.fract() == 0.0 && s.value < 9_007_199_254_740_992.0);
                    let (ts, bits) = (s.timestamp, s.value.to_bits());
                    assert_eq!(plan.identify(id, T0, ts, bits), Some((index, k)), "{fault}");
                    assert_eq!(plan.identify(id, T0, ts + 1, bits), None);
                    let other = SeriesId { base: (id.base + 1) % w.series(), ..id };
                    if plan.draw(other, k, due) != Some(index) {
                        assert_eq!(plan.identify(other, T0, ts, bits), None);
                    }
                    let before = |k: u32| w.timestamp_ms(T0, id.base, k).unwrap();
                    match fault {
                        FaultType::OutOfOrder => {
                            assert!(ts < before(k - 1) && w.k_at(T0, id.base, ts).is_none());
                        }
                        FaultType::ConflictingDuplicate => {
                            assert_eq!(ts, before(k - 1));
                            assert_ne!(bits, w.value(id, k - 1).to_bits());
                        }
                        FaultType::FutureTimestamp => assert!(ts >= at + 3_600_000),
                        _ => assert_eq!(ts, at),
                    }
                }
                Materialised::Literal(fields) => {
                    let mut encoder = v1::Encoder::new();
                    encoder.fields(fields);
                    let series = v1::walk(encoder.body()).next().unwrap().unwrap();
                    let labels: Vec<Label<'_>> = series.labels().collect();
                    let sample = series.samples().next().unwrap();
                    assert_eq!(w.identify(labels.iter().copied()), None, "{fault} must be no good series");
                    let found =
                        plan.identify_literal(labels.iter().copied(), T0, sample.timestamp, sample.value.to_bits());
                    assert_eq!(found, Some((index, id, k)));
                    let without = labels.iter().copied().filter(|l| l.name != FAULT_LABEL.as_bytes());
                    assert_eq!(plan.identify_literal(without, T0, sample.timestamp, sample.value.to_bits()), None);
                    breaks_one_rule(fault, &labels);
                }
            }
        }
        assert_eq!(seen.len(), available().len(), "{seen:?}");
    }
}

/// The label set breaks exactly what the fault says and keeps every other rule.
fn breaks_one_rule(fault: FaultType, labels: &[Label<'_>]) {
    let sorted = labels.windows(2).all(|p| p[0].name <= p[1].name);
    let twice = labels.windows(2).filter(|p| p[0].name == p[1].name).count();
    let named = labels.iter().any(|l| l.name == b"__name__");
    let valid = labels.iter().all(|l| l.name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_'));
    let expected = match fault {
        FaultType::MissingMetricName => (true, 0, false, true),
        FaultType::DuplicateLabel => (true, 1, true, true),
        FaultType::InvalidLabelName => (true, 0, true, false),
        other => panic!("{other} is no structural fault"),
    };
    assert_eq!((sorted, twice, named, valid), expected, "{fault}");
}

#[test]
fn impossible_faults_are_refused() {
    let w = workload(1000, 5, false);
    let refuse = |faults: &[Fault]| FaultPlan::new(faults, 1, &w).unwrap_err();
    assert!(matches!(refuse(&[fault(FaultType::BitFlip, 0.1)]), FaultError::NotAvailable { .. }));
    assert!(matches!(refuse(&[fault(FaultType::OutOfOrder, 0.3)]), FaultError::Invalid { .. }));
    assert!(matches!(refuse(&[fault(FaultType::CorruptSnappy, 0.0)]), FaultError::Invalid { .. }));
    let half = fault(FaultType::CorruptSnappy, 0.6);
    assert!(matches!(refuse(&[half.clone(), half.clone()]), FaultError::Shares { .. }));
    let later = Fault { from: Some(ms(2000)), ..half.clone() };
    let first = Fault { r#for: Some(ms(2000)), ..half };
    assert!(FaultPlan::new(&[first, later], 1, &w).is_ok());
}
