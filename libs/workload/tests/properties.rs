//! The promises that the ledger, the receiver and the generators rest on, against enumeration.

#![allow(clippy::unwrap_used, reason = "helpers of tests, too")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Churn, ChurnMode, Count, Duration, LabelsSpec, Share, Stage, ValueKind, WorkloadGroup};
use floodmark_workload::{
    LaneChain, LaneMap, LanePlan, LaneWalk, Position, SeriesId, Workload, is_own_label, timestamp_ms,
};
use proptest::prelude::*;
use remote_write::{Label, v1};

const T0: u64 = 1_700_000_000_123_456_789;

fn group(name: &str, targets: u32, per_target: u32, interval_ms: u64) -> WorkloadGroup {
    WorkloadGroup {
        name: name.into(),
        targets,
        series_per_target: per_target,
        scrape_interval: Duration(std::time::Duration::from_millis(interval_ms)),
        metrics: per_target.div_ceil(3),
        labels: LabelsSpec::default(),
        values: ValueKind::Mixed,
        churn: None,
    }
}

fn stage(ms: u64, rate: Option<u64>, ramp: bool) -> Stage {
    Stage { r#for: Duration(std::time::Duration::from_millis(ms)), rate: rate.map(Count), ramp, warm_up: false }
}

prop_compose! {
    fn churns()(every in 200u64..5000, share in 0.05f64..=1.0, spike: bool, stale_markers: bool) -> Churn {
        let mode = if spike { ChurnMode::Spike } else { ChurnMode::Gradual };
        Churn { every: Duration(std::time::Duration::from_millis(every)), share: Share(share), mode, stale_markers }
    }
}

prop_compose! {
    fn groups()(
        list in prop::collection::vec((1u32..6, 1u32..30, 50u64..2000, prop::option::of(churns()), 5u32..10, 1u32..20), 1..4)
    ) -> Vec<WorkloadGroup> {
        list.into_iter().enumerate().map(|(i, (targets, series, interval, churn, count, value_length))| {
            let labels = LabelsSpec { count, value_length };
            WorkloadGroup { churn, labels, ..group(&format!("group-{i}"), targets, series, interval) }
        }).collect()
    }
}

prop_compose! {
    fn stages()(list in prop::collection::vec((100u64..3000, prop::option::of(0u64..400), any::<bool>()), 1..4)) -> Vec<Stage> {
        list.into_iter().map(|(ms, rate, ramp)| stage(ms, rate, ramp)).collect()
    }
}

fn labels_of(block: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut encoder = v1::Encoder::new();
    encoder.series(block, &[]);
    let series = v1::walk(encoder.body()).next().unwrap().unwrap();
    series.labels().map(|l| (l.name.to_vec(), l.value.to_vec())).collect()
}

fn identify(workload: &Workload, labels: &[(Vec<u8>, Vec<u8>)]) -> Option<SeriesId> {
    workload.identify(labels.iter().map(|(name, value)| Label { name, value }))
}

/// Every scheduled sample from the definitions alone: (id, k) → bits of the value.
fn enumerate(workload: &Workload) -> BTreeMap<(SeriesId, u32), u64> {
    let mut all = BTreeMap::new();
    for base in 0..workload.series() {
        let mut before: Option<u32> = None;
        for k in 0.. {
            if workload.due_ns(base, k).is_none() {
                break;
            }
            let generation = workload.generation_at(base, k);
            let id = SeriesId { base, generation };
            all.insert((id, k), workload.value(id, k).to_bits());
            if let Some(old) = before.filter(|g| *g != generation) {
                let old = SeriesId { base, generation: old };
                if workload.scheduled_bits(old, k).is_some() {
                    all.insert((old, k), remote_write::STALE_MARKER);
                }
            }
            before = Some(generation);
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn timestamps_rise_and_invert(groups in groups(), stages in stages(), seed: u64) {
        let Ok(w) = Workload::new(&groups, &stages, seed, "r") else { return Ok(()) };
        for base in 0..w.series() {
            let mut last: Option<(u64, i64)> = None;
            for k in 0.. {
                let Some(due) = w.due_ns(base, k) else {
                    prop_assert_eq!(w.samples_before(base, w.duration_ns()), k);
                    break;
                };
                let ts = w.timestamp_ms(T0, base, k).unwrap();
                prop_assert_eq!(ts, timestamp_ms(T0, due));
                prop_assert_eq!(w.k_at(T0, base, ts), Some(k));
                prop_assert_eq!(w.samples_before(base, due), k);
                if let Some((before, ts_before)) = last {
                    prop_assert!(due >= before + 1_000_000 && ts > ts_before);
                    if ts - ts_before > 1 { prop_assert_eq!(w.k_at(T0, base, ts - 1), None); }
                }
                last = Some((due, ts));
            }
        }
    }

    #[test]
    fn labels_identify_their_series_only(groups in groups(), seed: u64, pick: prop::sample::Index, generation in 0u32..5, change: prop::sample::Index) {
        let w = Workload::new(&groups, &[stage(1000, None, false)], seed, "run-1").unwrap();
        let base = pick.index(w.series() as usize) as u32;
        let churned = groups[usize::from(w.place(base).unwrap().group)].churn.is_some();
        let id = SeriesId { base, generation: if churned { generation } else { 0 } };
        let mut block = Vec::new();
        let hash = w.series_hash(id, &mut block);
        let mut labels = labels_of(&block);
        prop_assert!(labels.windows(2).all(|p| p[0].0 < p[1].0), "sorted, no repeats");
        prop_assert!(labels.iter().all(|(name, value)| !value.is_empty() && is_own_label(name)));
        prop_assert!(!is_own_label(b"zone") && !is_own_label(b"label_x") && !is_own_label(b"floodmark-bad"));
        prop_assert_eq!(hash, xxhash_rust::xxh3::xxh3_64(&block));
        prop_assert_eq!(identify(&w, &labels), Some(id));
        labels.reverse();
        prop_assert_eq!(identify(&w, &labels), Some(id));

        let at = change.index(labels.len());
        let mut altered = labels.clone();
        altered[at].1.push(b'x');
        prop_assert_eq!(identify(&w, &altered), None, "changed value of {:?}", String::from_utf8_lossy(&labels[at].0));
        let mut altered = labels.clone();
        altered.remove(at);
        prop_assert_eq!(identify(&w, &altered), None);
        let mut altered = labels.clone();
        altered.push((b"zone".to_vec(), b"a".to_vec()));
        prop_assert_eq!(identify(&w, &altered), None);
        let mut altered = labels.clone();
        altered.push(labels[at].clone());
        prop_assert_eq!(identify(&w, &altered), None);
        let other = Workload::new(&groups, &[stage(1000, None, false)], seed, "run-2").unwrap();
        prop_assert_eq!(identify(&other, &labels), None);
    }

    #[test]
    fn label_sets_are_distinct(groups in groups(), seed: u64) {
        let w = Workload::new(&groups, &[stage(1000, None, false)], seed, "r").unwrap();
        let mut blocks = BTreeSet::new();
        for base in 0..w.series() {
            let mut block = Vec::new();
            w.label_block(SeriesId { base, generation: 0 }, &mut block);
            prop_assert!(blocks.insert(block));
        }
    }

    #[test]
    fn lanes_carry_every_sample_once(
        groups in groups(), stages in stages(), seed: u64, max in 1u32..80, generators in 1u32..4, lanes in 1u32..7,
    ) {
        let Ok(w) = Workload::new(&groups, &stages, seed, "r") else { return Ok(()) };
        let w = Arc::new(w);
        let expected = enumerate(&w);
        prop_assert_eq!(w.total_samples(), expected.len() as u64);
        let mut seen = BTreeMap::new();
        let mut own_total = 0;
        for index in 0..generators {
            let plan = LanePlan::new(Arc::clone(&w), LaneMap::direct(lanes), index, generators);
            own_total += w.due_before(w.duration_ns(), index, generators);
            for lane in 0..lanes {
                let mut walk = LaneWalk::new(&plan, lane);
                let (mut requests, mut last_intended, mut newest) = (0, 0, BTreeMap::new());
                while let Some(request) = walk.next(max) {
                    prop_assert_eq!(request.index, requests);
                    requests += 1;
                    prop_assert!(request.samples >= 1 && request.samples <= max);
                    prop_assert!(request.intended_ns >= last_intended && request.intended_ns >= request.last_due_ns);
                    prop_assert!(request.intended_ns <= request.first_due_ns + 100_000_000);
                    last_intended = request.intended_ns;
                    let window = w.stages()[request.stage as usize];
                    let (mut count, mut wrong) = (0, None);
                    let mut members = BTreeSet::new();
                    walk.for_each(&request, |s| {
                        count += 1;
                        let mut scratch = Vec::new();
                        let fits = w.series_hash(s.id, &mut scratch) == s.hash
                            && u32::from(plan.map().lane_of(s.hash)) == lane
                            && w.due_ns(s.id.base, s.k) == Some(s.due_ns)
                            && w.place(s.id.base) == Some(s.place)
                            && (window.start_ns..window.end_ns).contains(&s.due_ns)
                            && members.insert(s.id)
                            && newest.insert(s.id, s.due_ns).is_none_or(|before| before < s.due_ns);
                        let bits = if s.stale { remote_write::STALE_MARKER } else { w.value_at(s.place, s.id.generation, s.k).to_bits() };
                        if !fits || seen.insert((s.id, s.k), bits).is_some() {
                            wrong = Some(s);
                        }
                    });
                    prop_assert_eq!(wrong, None);
                    prop_assert_eq!(count, request.samples);
                }
            }
        }
        prop_assert_eq!(own_total, expected.len() as u64);
        prop_assert_eq!(seen, expected);
    }

    /// Maps follow each other at any moment, each lane stopped anywhere: every sample is carried once, and in its series' order.
    #[test]
    fn chains_of_maps_carry_every_sample_once(
        groups in groups(), stages in stages(), seed: u64, max in 1u32..80, generators in 1u32..3,
        maps in prop::collection::vec((1u32..5, 1u16..4, any::<u64>()), 2..6),
    ) {
        let Ok(w) = Workload::new(&groups, &stages, seed, "r") else { return Ok(()) };
        let w = Arc::new(w);
        let expected = enumerate(&w);
        let map = |(replicas, lanes, _): (u32, u16, u64)| {
            LaneMap::sink(replicas, lanes, |slot| (u32::from(slot).wrapping_mul(2_654_435_761) >> 8) % replicas)
        };
        let mut seen = BTreeMap::new();
        for index in 0..generators {
            let mut chain = LaneChain::new(map(maps[0]));
            let mut plan = LanePlan::new(Arc::clone(&w), map(maps[0]), index, generators);
            let (mut newest, mut carried) = (BTreeMap::new(), Vec::new());
            for (step, &(.., draws)) in maps.iter().enumerate() {
                let mut cuts = Vec::new();
                for lane in 0..plan.lanes() {
                    // How many requests the lane has settled when the next map comes.
                    let share = (draws >> (lane % 8 * 8)) as u8;
                    let settled = if step + 1 == maps.len() || share > 250 { u64::MAX } else { u64::from(share % 16) };
                    let mut walk = LaneWalk::new(&plan, lane);
                    let mut cut = Position::START;
                    while let Some(request) = walk.next(max) {
                        cut = walk.position(&request);
                        if request.index == settled {
                            break;
                        }
                        let mut wrong = None;
                        walk.for_each(&request, |s| {
                            let bits = if s.stale { remote_write::STALE_MARKER } else { w.value_at(s.place, s.id.generation, s.k).to_bits() };
                            let at = Position { due_ns: s.due_ns, group: s.place.group, k: s.k, base: s.id.base, generation: s.id.generation };
                            let fits = at >= cut && newest.insert(s.id, s.due_ns).is_none_or(|before| before < s.due_ns);
                            carried.push((remote_write::slot_of(s.hash), at, (step, lane as u16)));
                            if !fits || seen.insert((s.id, s.k), bits).is_some() {
                                wrong = Some(s);
                            }
                        });
                        prop_assert_eq!(wrong, None, "step {}", step);
                        cut = Position::END;
                    }
                    // What a replay walks up to the cut is what was settled.
                    let mut again = LaneWalk::new(&plan, lane).until(cut);
                    let replayed = std::iter::from_fn(|| again.next(max)).count() as u64;
                    prop_assert!(replayed == settled || (settled > replayed && matches!(cut, Position::START | Position::END)));
                    cuts.push(cut);
                }
                if let Some(&next) = maps.get(step + 1) {
                    chain.push(map(next), cuts);
                    plan = plan.resume(&chain, step + 1);
                    prop_assert_eq!(chain.steps(), step + 2);
                }
            }
            for (slot, at, carrier) in carried {
                prop_assert_eq!(chain.locate(slot, at), carrier);
            }
        }
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn due_counts_match_enumeration(groups in groups(), stages in stages(), seed: u64, at in 0u64..9_000_000_000) {
        let Ok(w) = Workload::new(&groups, &stages, seed, "r") else { return Ok(()) };
        let all = enumerate(&w);
        let before = all.keys().filter(|(id, k)| w.due_ns(id.base, *k).unwrap() < at).count();
        prop_assert_eq!(w.samples_due_before(at), before as u64);
        if groups.iter().all(|group| group.churn.as_ref().is_none_or(|churn| !churn.stale_markers)) {
            prop_assert_eq!(w.mean_due(0, at) as usize, before);
        }
    }

    #[test]
    fn generations_have_disjoint_ranges(groups in groups(), seed: u64) {
        let w = Workload::new(&groups, &[stage(4000, None, false)], seed, "r").unwrap();
        for (base, k) in (0..w.series()).flat_map(|b| (0..8).map(move |k| (b, k))) {
            if w.due_ns(base, k).is_none() { continue }
            let id = SeriesId { base, generation: w.generation_at(base, k) };
            let range = w.samples_of(id).unwrap();
            prop_assert!(range.contains(&k));
            prop_assert_eq!((w.first_k(id), w.last_k(id)), (Some(range.start), Some(range.end - 1)));
            if range.start > 0 { prop_assert_ne!(w.generation_at(base, range.start - 1), id.generation); }
            if let Some(stale) = w.stale_k(id) {
                prop_assert_eq!(stale, range.end);
                prop_assert_eq!(w.scheduled_bits(id, stale), Some(remote_write::STALE_MARKER));
                prop_assert_eq!(w.scheduled_bits(id, stale + 1), None);
            }
        }
    }
}

#[test]
fn a_sink_sends_slots_to_their_owner_and_lane() {
    let map = LaneMap::sink(3, 4, |slot| u32::from(slot) / 7 % 3);
    assert_eq!(map.lanes(), 12);
    for slot in [0u16, 1, 7, 100, 16_383] {
        assert_eq!(u32::from(map.lane_of_slot(slot)), u32::from(slot) / 7 % 3 * 4 + u32::from(slot) % 4);
    }
}

#[test]
fn the_default_shape_has_a_name_and_eight_labels_of_the_usual_size() {
    let w = Workload::new(&[group("app", 1000, 1000, 1000)], &[stage(1000, None, false)], 1, "20251122-1f3a").unwrap();
    let mut block = Vec::new();
    w.label_block(SeriesId { base: 123_456, generation: 0 }, &mut block);
    let labels = labels_of(&block);
    assert_eq!(labels.len(), 9);
    let text: usize = labels.iter().map(|(n, v)| n.len() + v.len()).sum();
    assert!((160..215).contains(&text), "{text} bytes of text, {} encoded", block.len());
}

#[test]
fn impossible_workloads_are_refused_with_the_fix() {
    let fails =
        |groups: &[WorkloadGroup], stages: &[Stage]| Workload::new(groups, stages, 1, "r").unwrap_err().to_string();
    let fine = [stage(1000, None, false)];
    assert!(fails(&[], &fine).contains("at least one group"));
    assert!(fails(&[group("a", 1, 1, 1000), group("a", 1, 1, 1000)], &fine).contains("same name"));
    assert!(fails(&[group("a", 1, 1, 1000)], &[stage(1000, Some(1100), false)]).contains("more than 1000 a second"));
    assert!(fails(&[group("a", 1_000_000, 1_000_000, 1000)], &fine).contains("limit"));
    assert!(fails(&[group("a", 1, 1, 1000)], &[]).contains("stages"));
}

/// The documents' rules bound a request by it.
#[test]
fn no_sample_takes_more_bytes_than_its_group_says_and_none_much_less() {
    for (count, value_length, name) in [(5, 1, "a"), (8, 12, "app"), (40, 128, "app"), (40, 256, &"n".repeat(63))] {
        for (values, churned) in [(ValueKind::Counter, false), (ValueKind::Histogram, true), (ValueKind::Mixed, true)] {
            let every = Duration::from_secs(1);
            let churn = Churn { every, share: Share(1.0), mode: ChurnMode::Spike, stale_markers: true };
            let group = WorkloadGroup {
                labels: LabelsSpec { count, value_length },
                values,
                churn: churned.then_some(churn),
                metrics: 1000,
                ..group(name, 1_000_000, 2000, 1000)
            };
            let groups = [WorkloadGroup { targets: 10_000, ..group.clone() }];
            let workload = Workload::new(&groups, &[stage(1000, None, false)], 7, "0123456789abcdef").unwrap();
            for base in (0..workload.series()).rev().step_by(9973).take(200) {
                let mut block = Vec::new();
                workload.series_hash(SeriesId { base, generation: u32::from(churned) * 2_000_000 }, &mut block);
                let mut encoder = v1::Encoder::new();
                encoder.series(&block, &[remote_write::Sample { timestamp: 1 << 42, value: 1.0 }]);
                let (taken, bound) = (encoder.body().len() as u64, group.sample_bytes());
                assert!(taken <= bound && bound <= taken + 180, "{taken} of {bound}");
            }
        }
    }
}

/// What a chart compares with what was acknowledged has the markers of the real schedule, second by second.
#[test]
fn the_mean_of_what_is_due_has_the_stale_markers() {
    const SECOND: u64 = 1_000_000_000;
    for (mode, every) in [(ChurnMode::Gradual, 4), (ChurnMode::Spike, 4), (ChurnMode::Gradual, 1)] {
        let every = Duration(std::time::Duration::from_secs(every));
        let churn = Churn { every, share: Share(0.25), mode, stale_markers: true };
        let churning = WorkloadGroup { churn: Some(churn), ..group("g", 20, 200, 2000) };
        let stages = [stage(60_000, None, false), stage(60_000, Some(6000), true)];
        let w = Workload::new(&[churning], &stages, 3, "r").unwrap();
        let mean: f64 = (0..120).map(|second| w.mean_due(second * SECOND, (second + 1) * SECOND)).sum();
        let exact = w.total_samples() as f64;
        assert!((mean / exact - 1.0).abs() < 0.02, "{mode:?}, {every}: {mean} of {exact}");
    }
}
