//! The settlement against a naive bookkeeper, which notes each sample's fate as it happens and never replays anything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::type_complexity)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::{Draws, PER_REQUEST, T0};
use faults::Expect;
use floodmark_ledger::{
    Context, Disturbance, Exception, FaultAccount, Finding, FindingName, GeneratorSide, Outcome, Run, Settlement,
    SlotTable, Store, StoreReport, digest, push_exception,
};
use proptest::prelude::*;
use remote_write::slot_of;
use workload::LaneMap;

const GENERATORS: u32 = 2;

fn sides() -> Vec<GeneratorSide> {
    (0..GENERATORS)
        .map(|index| GeneratorSide { index, acknowledged: SlotTable::new(), ..GeneratorSide::default() })
        .collect()
}

fn settle(run: &Run, sides: &[GeneratorSide], stores: &[Store], context: Context) -> Vec<Finding> {
    let mut report = stores[0].report();
    for store in &stores[1..] {
        report.merge(&store.report());
    }
    // As it would travel.
    let report: StoreReport = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    let mut settlement = Settlement::new(run.clone(), sides, report, context);
    let slots = settlement.slots().to_vec();
    for chunk in slots.chunks(5) {
        let seen: Vec<_> = stores.iter().flat_map(|store| store.seen_in(chunk)).collect();
        settlement.settle_series(chunk, &seen);
    }
    settlement.findings()
}

fn run(churn: bool, faults: &str, expect: Vec<Expect>) -> Run {
    let (workload, faults) = common::run(churn, faults);
    let lanes = LaneMap::sink(2, 2, |slot| u32::from(slot % 7 > 3));
    Run { workload, faults, expect, t0_ns: T0, lanes, generators: GENERATORS, samples_per_request: PER_REQUEST }
}

fn store(run: &Run) -> Store {
    Store::new(Arc::clone(&run.workload), Arc::clone(&run.faults), T0)
}

/// What the bookkeeper notes: name → (samples, of them explained), and who they are.
#[derive(Default)]
struct Book {
    counts: BTreeMap<&'static str, (u64, u64)>,
    who: BTreeMap<&'static str, BTreeSet<(i64, String)>>,
}

impl Book {
    fn note(&mut self, name: FindingName, explained: bool, timestamp: i64, value: u64) {
        let entry = self.counts.entry(name.as_str()).or_default();
        *entry = (entry.0 + 1, entry.1 + u64::from(explained));
        let value = f64::from_bits(value);
        let text = if value.is_nan() { "NaN".to_owned() } else { value.to_string() };
        self.who.entry(name.as_str()).or_default().insert((timestamp, text));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    /// Requests acknowledged, refused, skipped or unresolved; stored, lost, in part, twice, in one of two stores:
    /// every difference gets its name, and the witnesses are the samples concerned.
    #[test]
    fn names_every_difference(seed: u64, churn: bool, trouble in 3_u64..60, stores in 1_usize..3) {
        let run = run(churn, "[]", Vec::new());
        let mut held: Vec<Store> = (0..stores).map(|_| store(&run)).collect();
        let mut sides = sides();
        let mut book = Book::default();
        let mut draws = Draws(seed);
        for (generator, samples) in common::schedule(&run.workload, &run.faults, &run.lanes, GENERATORS) {
            let side = &mut sides[generator as usize];
            let fate = if draws.one_in(trouble) { draws.next() % 7 } else { 100 };
            let outcome = match fate {
                0 | 1 => Some(Outcome::Unresolved),
                2 | 3 => Some(Outcome::Refused { status: 400 }),
                4 => Some(Outcome::Skipped),
                _ => None,
            };
            let at = (draws.next() % stores as u64) as usize;
            let mut previous = None;
            for sent in &samples {
                if let Some(outcome) = outcome {
                    push_exception(&mut side.exceptions, sent.lane, sent.request, None, outcome);
                } else {
                    side.acknowledged.add(slot_of(sent.hash), digest(sent.hash, sent.timestamp_ms, sent.bits));
                }
                let lost = match fate {
                    5 => draws.one_in(2),
                    0 | 2 | 4 => true,
                    _ => false,
                };
                let note = |book: &mut Book, name, explained| book.note(name, explained, sent.timestamp_ms, sent.bits);
                match (outcome, lost) {
                    (None, true) => note(&mut book, FindingName::SilentLoss, false),
                    (Some(Outcome::Unresolved), true) => note(&mut book, FindingName::Unresolved, false),
                    (Some(Outcome::Refused { .. }), true) => note(&mut book, FindingName::WronglyRefused, false),
                    (Some(Outcome::Unresolved), false) => note(&mut book, FindingName::StoredUnacknowledged, true),
                    (Some(_), false) => note(&mut book, FindingName::StoredUnacknowledged, false),
                    _ => {}
                }
                if lost {
                    continue;
                }
                let mut deliver = |at: usize| {
                    let series = common::find(&mut held[at], &run.workload, sent, &mut previous);
                    held[at].observe(series, sent.timestamp_ms, sent.bits);
                };
                deliver(at);
                if fate == 6 {
                    deliver(stores - 1);
                    book.note(FindingName::Duplicated, false, sent.timestamp_ms, sent.bits);
                }
            }
        }
        let findings = settle(&run, &sides, &held, Context::default());
        prop_assert_eq!(common::counts(&findings), book.counts);
        for finding in &findings {
            let who = &book.who[finding.name.as_str()];
            prop_assert!(finding.examples.len() as u64 <= finding.count.min(10));
            if stores == 1 {
                prop_assert_eq!(finding.examples.len() as u64, finding.count.min(10));
            }
            for example in &finding.examples {
                let value = example.value.split(' ').next().unwrap().to_owned();
                prop_assert!(who.contains(&(example.timestamp_ms, value)), "{:?}", example);
            }
        }
    }
}

/// Sends everything and lets `keep` decide what is stored.
fn send(run: &Run, mut keep: impl FnMut(&common::Sent) -> usize) -> (Vec<GeneratorSide>, Store) {
    let mut sides = sides();
    let mut held = store(run);
    for (generator, samples) in common::schedule(&run.workload, &run.faults, &run.lanes, GENERATORS) {
        let mut previous = None;
        for sent in samples.iter().filter(|s| s.drawn.is_none()) {
            sides[generator as usize]
                .acknowledged
                .add(slot_of(sent.hash), digest(sent.hash, sent.timestamp_ms, sent.bits));
            for _ in 0..keep(sent) {
                let series = common::find(&mut held, &run.workload, sent, &mut previous);
                held.observe(series, sent.timestamp_ms, sent.bits);
            }
        }
    }
    (sides, held)
}

#[test]
fn a_clean_run_needs_no_series() {
    let run = run(true, "[]", Vec::new());
    let (sides, held) = send(&run, |_| 1);
    let settlement = Settlement::new(run, &sides, held.report(), Context::default());
    assert!(settlement.slots().is_empty());
    assert_eq!(settlement.findings(), []);
}

#[test]
fn a_killed_worker_that_buffered_explains_its_losses_and_no_others() {
    let run = run(false, "[]", Vec::new());
    let kill = T0 + 4_000_000_000;
    let lost = |sent: &common::Sent| (4..6).contains(&sent.k) && sent.lane < 4;
    let (sides, held) = send(&run, |sent| usize::from(!lost(sent)));
    let killed = vec![Disturbance { worker: 1, from_unix_ns: kill, to_unix_ns: kill }];
    let context = |buffered| Context { buffered, lanes_per_worker: 2, killed: killed.clone(), ..Context::default() };
    let all = common::schedule(&run.workload, &run.faults, &run.lanes, GENERATORS);
    let samples: Vec<_> = all.iter().flat_map(|(_, samples)| samples).filter(|sent| lost(sent)).collect();
    let of_worker = samples.iter().filter(|sent| sent.lane / 2 == 1).count() as u64;
    let others = samples.len() as u64 - of_worker;
    assert!(of_worker > 0 && others > 0);
    let buffered = common::counts(&settle(&run, &sides, std::slice::from_ref(&held), context(true)));
    assert_eq!(buffered, BTreeMap::from([("AckedLoss", (of_worker, of_worker)), ("SilentLoss", (others, 0))]));
    let durable = common::counts(&settle(&run, &sides, &[held], context(false)));
    assert_eq!(durable, BTreeMap::from([("SilentLoss", (of_worker + others, 0))]));
}

#[test]
fn retries_and_pauses_explain_duplicates() {
    let run = run(false, "[]", Vec::new());
    let (sides, held) = send(&run, |sent| if sent.k == 3 { 2 } else { 1 });
    let all = common::schedule(&run.workload, &run.faults, &run.lanes, GENERATORS);
    let doubled: Vec<_> = all.iter().flat_map(|(_, samples)| samples).filter(|sent| sent.k == 3).collect();
    let (count, of_worker) = (doubled.len() as u64, doubled.iter().filter(|s| s.lane / 2 == 0).count() as u64);
    let held = [held];
    let with = |context| common::counts(&settle(&run, &sides, &held, context))["Duplicated"];
    assert_eq!(with(Context::default()), (count, 0));
    let paused = vec![Disturbance { worker: 0, from_unix_ns: T0 + 3_000_000_000, to_unix_ns: T0 + 4_000_000_000 }];
    assert_eq!(with(Context { lanes_per_worker: 2, paused: paused.clone(), ..Context::default() }), (count, of_worker));
    assert_eq!(with(Context { lanes_per_worker: 2, paused, retried: 2, ..Context::default() }), (count, of_worker + 2));
    assert_eq!(with(Context { retried: count * 9, ..Context::default() }), (count, count));
}

const FAULTS: &str =
    r#"[{"type":"ConflictingDuplicate","share":"5%"},{"type":"OutOfOrder","share":"5%","placement":"Mixed"}]"#;

#[test]
fn wrong_verdicts_on_faults_are_named_and_right_ones_are_silent() {
    let run = run(false, FAULTS, vec![Expect::Refused, Expect::Refused]);
    let (mut sides, held) = send(&run, |_| 1);
    let all = common::schedule(&run.workload, &run.faults, &run.lanes, GENERATORS);
    let drawn = |fault| all.iter().flat_map(|(_, s)| s).filter(|s| s.drawn == Some(fault)).count() as u64;
    let (conflicts, old) = (drawn(0), drawn(1));
    assert!(conflicts > 5 && old > 5);
    sides[0].faults = vec![
        FaultAccount { sent: conflicts, refused: conflicts, ..FaultAccount::default() },
        FaultAccount { sent: old, refused: old, ..FaultAccount::default() },
    ];
    assert_eq!(settle(&run, &sides, std::slice::from_ref(&held), Context::default()), []);
    sides[0].faults[0] = FaultAccount { sent: conflicts, acknowledged: 2, refused: conflicts - 2, indeterminate: 0 };
    let findings = settle(&run, &sides, std::slice::from_ref(&held), Context::default());
    assert_eq!(common::counts(&findings), BTreeMap::from([("WronglyAccepted", (2, 0))]));
    let mild = Run { expect: vec![Expect::Stored, Expect::Any], ..run };
    let findings = settle(&mild, &sides, &[held], Context::default());
    assert_eq!(
        common::counts(&findings),
        BTreeMap::from([("WronglyRefused", (conflicts - 2, 0)), ("SilentLoss", (2, 0))])
    );
}

#[test]
fn good_neighbours_of_a_refused_fault_are_collateral_or_kept() {
    let run = run(false, FAULTS, vec![Expect::Refused, Expect::Refused]);
    for kept in [false, true] {
        let mut held = store(&run);
        let mut sides = sides();
        let mut neighbours = 0;
        for (generator, samples) in common::schedule(&run.workload, &run.faults, &run.lanes, GENERATORS) {
            let mixed = samples.iter().any(|s| s.drawn == Some(1));
            let side = &mut sides[generator as usize];
            if mixed {
                push_exception(
                    &mut side.exceptions,
                    samples[0].lane,
                    samples[0].request,
                    None,
                    Outcome::Refused { status: 400 },
                );
            }
            let mut previous = None;
            for sent in samples.iter().filter(|s| s.drawn.is_none()) {
                if mixed {
                    neighbours += 1;
                } else {
                    side.acknowledged.add(slot_of(sent.hash), digest(sent.hash, sent.timestamp_ms, sent.bits));
                }
                if !mixed || kept {
                    let series = common::find(&mut held, &run.workload, sent, &mut previous);
                    held.observe(series, sent.timestamp_ms, sent.bits);
                }
            }
        }
        let counts = common::counts(&settle(&run, &sides, &[held], Context::default()));
        let expected = if kept { BTreeMap::new() } else { BTreeMap::from([("Collateral", (neighbours, 0))]) };
        assert_eq!(counts, expected);
    }
}

#[test]
fn a_store_that_knows_another_run_proves_nothing() {
    let run = run(false, "[]", Vec::new());
    let (sides, _) = send(&run, |_| 1);
    let sent: u64 = sides.iter().map(|s| s.acknowledged.total().count).sum();
    let findings = Settlement::new(run, &sides, StoreReport::default(), Context::default()).findings();
    assert_eq!(common::counts(&findings), BTreeMap::from([("Unproven", (sent, 0))]));
}

#[test]
fn incomplete_exceptions_make_losses_unproven() {
    let run = run(false, "[]", Vec::new());
    let (mut sides, held) = send(&run, |sent| usize::from(sent.k != 2));
    for side in &mut sides {
        side.truncated = true;
    }
    let counts = common::counts(&settle(&run, &sides, &[held], Context::default()));
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), ["Unproven"]);
}

#[test]
fn exceptions_of_interleaved_lanes_stay_short() {
    let mut list: Vec<Exception> = Vec::new();
    for request in 0..1000 {
        for lane in 0..8 {
            push_exception(&mut list, lane, request, None, Outcome::Unresolved);
        }
    }
    assert_eq!(list.len(), 8);
    assert!(list.iter().all(|e| (e.from_request, e.to_request) == (0, 999)));
    push_exception(&mut list, 0, 1000, None, Outcome::Skipped);
    push_exception(&mut list, 0, 1001, Some(0), Outcome::Skipped);
    assert_eq!(list.len(), 10);
}
