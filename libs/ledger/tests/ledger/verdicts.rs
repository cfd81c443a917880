//! Verdicts on injected faults and on the good samples beside them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::common::settling::{GENERATORS, run, send, settle, sides, store};
use crate::common::{self, T0};
use faults::{Expect, FaultScratch, Materialised};
use floodmark_ledger::{
    Context, Exception, FaultAccount, FaultSeen, Outcome, Repeat, Run, Settlement, Store, StoreLimits, digest,
    push_exception, wrong,
};
use remote_write::slot_of;

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
    sides[0].faults[0] =
        FaultAccount { sent: conflicts, acknowledged: 2, refused: conflicts - 2, ..FaultAccount::default() };
    let findings = settle(&run, &sides, std::slice::from_ref(&held), Context::default());
    assert_eq!(common::counts(&findings), BTreeMap::from([("WronglyAccepted", (2, 0))]));
    let mild = Run { expect: vec![Expect::Stored, Expect::Any], ..run };
    let findings = settle(&mild, &sides, &[held], Context::default());
    assert_eq!(
        common::counts(&findings),
        BTreeMap::from([("WronglyRefused", (conflicts - 2, 0)), ("SilentLoss", (2, 0))])
    );
}

/// Refuses every request that carries an `OutOfOrder`; the good samples beside it are kept or not.
fn neighbours(run: &Run, kept: bool) -> (BTreeMap<&'static str, (u64, u64)>, u64) {
    let one_by_one = neighbours_told(run, kept, false);
    if run.expect[1] == Expect::Refused {
        assert_eq!(neighbours_told(run, kept, true), one_by_one);
    }
    one_by_one
}

fn planned(lane: u32) -> Exception {
    let outcome = Outcome::FaultsRefused { status: 400 };
    Exception { lane, epoch: 0, from_request: 0, to_request: 1000, fault: None, outcome }
}

/// `at_once`: as what goes as planned is told.
fn neighbours_told(run: &Run, kept: bool, at_once: bool) -> (BTreeMap<&'static str, (u64, u64)>, u64) {
    let mut held = store(run);
    let mut sides = sides();
    let mut neighbours = 0;
    for (generator, samples) in common::schedule(&run.workload, &run.faults, &run.lanes, GENERATORS) {
        let mixed = samples.iter().any(|s| s.drawn == Some(1));
        let side = &mut sides[generator as usize];
        if mixed && !at_once {
            let refused = Outcome::Refused { status: 400 };
            push_exception(&mut side.exceptions, samples[0].lane, samples[0].request, None, refused);
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
    if at_once {
        for side in &mut sides {
            side.exceptions = (0..run.lanes.lanes()).map(planned).collect();
        }
    }
    (common::counts(&settle(run, &sides, &[held], Context::default())), neighbours)
}

#[test]
fn good_neighbours_of_a_refused_fault_are_collateral_or_kept() {
    let all_back = run(false, FAULTS, vec![Expect::Refused, Expect::Refused]);
    let (counts, count) = neighbours(&all_back, false);
    assert_eq!(counts, BTreeMap::from([("Collateral", (count, 0))]));
    assert_eq!(neighbours(&all_back, true).0, BTreeMap::new());
}

#[test]
fn a_receiver_that_keeps_good_samples_is_held_to_it() {
    let keeps = |expect| Run { keeps_good: true, ..run(false, FAULTS, vec![Expect::Refused, expect]) };
    let (counts, count) = neighbours(&keeps(Expect::Refused), false);
    assert_eq!(counts, BTreeMap::from([("WronglyRefused", (count, 0))]));
    assert_eq!(neighbours(&keeps(Expect::Refused), true).0, BTreeMap::new());
    assert_eq!(neighbours(&keeps(Expect::Any), false).0, BTreeMap::from([("Collateral", (count, 0))]));
}

#[test]
fn a_fault_that_has_to_be_accepted_is_no_reason_to_refuse_its_neighbours() {
    for expect in [Expect::Stored, Expect::AcceptedNotStored] {
        let run = run(false, FAULTS, vec![Expect::Refused, expect]);
        for kept in [false, true] {
            let (counts, count) = neighbours(&run, kept);
            assert_eq!(counts, BTreeMap::from([("WronglyRefused", (count, 0))]), "{expect:?} {kept}");
        }
    }
}

/// A fault is one by its good predecessor. Where that never arrived, the store is right to keep it.
#[test]
fn what_has_no_verdict_is_never_wrong() {
    let account = |acknowledged, refused, indeterminate| FaultAccount {
        sent: acknowledged + refused + indeterminate,
        acknowledged,
        refused,
        indeterminate,
        ..FaultAccount::default()
    };
    let stored = |stored| FaultSeen { stored, ..FaultSeen::default() };
    let of = |expect, account: FaultAccount, held| wrong(expect, &account, Some(&stored(held)));
    assert_eq!(of(Expect::Refused, account(0, 5, 3), 3), 0);
    assert_eq!(of(Expect::Refused, account(0, 5, 3), 5), 2);
    assert_eq!(of(Expect::Refused, account(2, 5, 3), 3), 2);
    assert_eq!(of(Expect::Refused, account(2, 5, 3), 5), 2);
    assert_eq!(of(Expect::Refused, account(2, 5, 0), 7), 7);
    assert_eq!(of(Expect::Refused, account(2, 5, 0), 900), 7);
    assert_eq!(of(Expect::AcceptedNotStored, account(6, 1, 3), 3), 1);
    assert_eq!(of(Expect::AcceptedNotStored, account(6, 1, 3), 5), 3);
    assert_eq!(of(Expect::Stored, account(6, 1, 3), 6), 1);
    assert_eq!(of(Expect::Any, account(6, 1, 3), 6), 0);
    assert_eq!(wrong(Expect::Refused, &account(2, 5, 3), None), 2);
    assert_eq!(wrong(Expect::AcceptedNotStored, &account(2, 5, 3), None), 5);
}

/// One lost and another stored twice: both are seen, and neither makes up for the other.
#[test]
fn a_fault_stored_twice_does_not_hide_a_lost_one() {
    let run = run(false, FAULTS, vec![Expect::Stored, Expect::Stored]);
    let all = common::schedule(&run.workload, &run.faults, &run.lanes, GENERATORS);
    let drawn: Vec<_> = all.iter().flat_map(|(_, samples)| samples).filter(|sent| sent.drawn == Some(1)).collect();
    let settled = |faults: usize, explained: bool| {
        let (mut sides, _) = send(&run, |_| 1);
        let limits = StoreLimits { faults, ..StoreLimits::for_series(run.workload.series()) };
        let mut held = Store::with_limits(Arc::clone(&run.workload), Arc::clone(&run.faults), T0, limits);
        for sent in all.iter().flat_map(|(_, samples)| samples).filter(|sent| sent.drawn.is_none()) {
            let series = common::find(&mut held, &run.workload, sent, &mut None);
            held.observe(series, sent.timestamp_ms, sent.bits);
        }
        let mut scratch = FaultScratch::default();
        for (at, sent) in drawn.iter().enumerate() {
            let Some(Materialised::Sample(fault)) = run.faults.materialise(1, sent.id, sent.k, T0, &mut scratch) else {
                panic!("a sample")
            };
            let series = common::find(&mut held, &run.workload, sent, &mut None);
            for _ in 0..[0, 2, 1][at.min(2)] {
                held.observe(series, fault.timestamp, fault.value.to_bits());
            }
        }
        let sent = drawn.len() as u64;
        let heard = FaultAccount { sent, acknowledged: sent, ..FaultAccount::default() };
        sides[0].faults = vec![FaultAccount::default(), heard];
        let (lane, at) = (drawn[1].lane, drawn[1].timestamp_ms);
        for side in sides.iter_mut().filter(|_| explained) {
            side.repeats.add(Repeat { epoch: 0, lane, from_ms: at, to_ms: at, samples: 1 });
        }
        common::counts(&settle(&run, &sides, &[held], Context::default()))
    };
    assert!(drawn.len() > 5);
    assert_eq!(settled(1000, false), BTreeMap::from([("SilentLoss", (1, 0)), ("Duplicated", (1, 0))]));
    assert_eq!(settled(1000, true), BTreeMap::from([("SilentLoss", (1, 0)), ("Duplicated", (1, 1))]));
    // Without a memory nobody knows which came twice: all that did is set against what should have.
    let unknown = drawn.len() as u64;
    assert_eq!(settled(0, false), BTreeMap::from([("Unproven", (unknown, 0))]));
}

#[test]
fn stored_faults_without_a_verdict_are_not_called_wrongly_accepted() {
    let run = run(false, FAULTS, vec![Expect::Refused, Expect::Refused]);
    let (mut sides, held) = send(&run, |_| 1);
    sides[0].faults = vec![FaultAccount { sent: 9, refused: 5, indeterminate: 4, ..FaultAccount::default() }];
    let settled = |stored| {
        let mut report = held.report();
        report.faults[0].stored = stored;
        common::counts(&Settlement::new(run.clone(), &sides, report, Context::default()).finish().findings)
    };
    assert_eq!(settled(4), BTreeMap::new());
    assert_eq!(settled(6), BTreeMap::from([("WronglyAccepted", (2, 0))]));
}
