//! Faults that have no verdict because a killed worker took what makes them faults.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::settling::{GENERATORS, run_for, send};
use crate::common::{self, Sent, T0};
use faults::Expect;
use floodmark_ledger::{Context, Disturbance, FaultAccount, Outcome, Settlement, push_exception};

const LANES: u32 = 2;

/// Seconds since t0 as Unix nanoseconds.
fn at(seconds: u64) -> u64 {
    T0 + seconds * 1_000_000_000
}

/// Accepted after a good sample that the worker took with it: without that one it was no fault.
#[test]
fn a_fault_that_follows_upon_a_lost_sample_is_not_called_wrongly_accepted() {
    let faults = r#"[{"type":"ConflictingDuplicate","share":"20%"},{"type":"MissingMetricName","share":"5%"}]"#;
    let run = run_for(12, false, faults, vec![Expect::Refused; 2]);
    let tail = |sent: &Sent| sent.lane / LANES == 1 && (at(4)..at(6)).contains(&(sent.timestamp_ms as u64 * 1_000_000));
    let all = common::schedule(&run.workload, &run.faults, &run.lanes, GENERATORS);
    let good = all.iter().flat_map(|(_, samples)| samples).filter(|sent| sent.drawn.is_none());
    let lost: BTreeSet<(u32, u32)> = good.filter(|sent| tail(sent)).map(|sent| (sent.id.base, sent.k)).collect();
    let (mut sides, held) = send(&run, |sent| usize::from(!tail(sent)));
    let mut account = FaultAccount::default();
    for (generator, samples) in &all {
        let carried: Vec<_> = samples.iter().filter(|sent| sent.drawn == Some(0)).collect();
        account.sent += carried.len() as u64;
        if carried.iter().all(|sent| lost.contains(&(sent.id.base, sent.k - 1))) {
            account.acknowledged += carried.len() as u64;
        } else {
            let (Sent { lane, request, .. }, refused) = (samples[0], Outcome::Refused { status: 400 });
            push_exception(&mut sides[*generator as usize].exceptions, lane, request, Some(0), refused);
            account.refused += carried.len() as u64;
        }
    }
    let taken = account.acknowledged;
    assert!(taken > 5 && account.refused > 50);
    let settled = |account: FaultAccount, context: Context| {
        let mut sides = sides.clone();
        sides[0].faults = vec![account, FaultAccount::default()];
        let mut report = held.report();
        if context.unread {
            for table in [&mut report.distinct, &mut report.arrivals] {
                *table = sides[0].acknowledged.clone();
                table.merge(&sides[1].acknowledged);
            }
        }
        report.faults[0].stored = if context.unread { 0 } else { account.acknowledged };
        let mut settlement = Settlement::new(run.clone(), &sides, report, context);
        let slots = settlement.slots().to_vec();
        settlement.settle_series(&slots, &held.seen_in(&slots));
        let settled = settlement.finish();
        (common::counts(&settled.findings), settled.unjudged)
    };
    let wrongly = |count: u64| ("WronglyAccepted", (count, 0));
    let lost = lost.len() as u64;
    let (acked, silent) = (("AckedLoss", (lost, lost)), ("SilentLoss", (lost, 0)));
    let killed = |worker| Context {
        buffered: true,
        lanes_per_worker: LANES,
        killed: vec![Disturbance { worker, from_unix_ns: at(6), to_unix_ns: at(6), seen: None }],
        ..Context::default()
    };
    let context = || killed(1);
    assert_eq!(settled(account, context()), (BTreeMap::from([acked]), vec![taken, 0]));
    let more = FaultAccount { acknowledged: taken + 3, refused: account.refused - 3, ..account };
    assert_eq!(settled(more, context()), (BTreeMap::from([acked, wrongly(3)]), vec![taken, 0]));
    let durable = Context { buffered: false, ..context() };
    assert_eq!(settled(account, durable), (BTreeMap::from([silent, wrongly(taken)]), vec![0, 0]));
    // Where nobody looked they may be missing, but not before the kill of another worker.
    let unread = Context { unread: true, ..context() };
    assert_eq!(settled(account, unread), (BTreeMap::new(), vec![taken, 0]));
    let other = Context { unread: true, ..killed(0) };
    assert_eq!(settled(account, other), (BTreeMap::from([wrongly(taken)]), vec![0, 0]));
}
