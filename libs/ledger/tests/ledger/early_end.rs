//! A run that ends long before its schedule does is settled by what it sent, not by what it would have sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::settling::{finish, store};
use crate::common::{self, T0, find};
use faults::{Expect, FaultPlan};
use floodmark_ledger::{Context, Disturbance, Exception, FaultAccount, GeneratorSide, Outcome, Run, Settled, digest};
use remote_write::{STALE_MARKER, slot_of};
use workload::{LaneMap, LanePlan, LaneWalk, Workload};

const SECOND: u64 = 1_000_000_000;
const LANES: u32 = 4;

/// 24 h at 25 000 samples a second, 500 of them of series that give way to others every minute.
fn day() -> Run {
    let groups: Vec<api::WorkloadGroup> = serde_json::from_str(
        r#"[{"name":"app","targets":25,"seriesPerTarget":1000,"scrapeInterval":"1s","metrics":4},
            {"name":"pods","targets":5,"seriesPerTarget":100,"scrapeInterval":"1s","metrics":2,
             "churn":{"every":"1m","share":"100%","mode":"Gradual","staleMarkers":true}}]"#,
    )
    .unwrap();
    let stages: Vec<api::Stage> = serde_json::from_str(r#"[{"for":"24h"}]"#).unwrap();
    let workload = Arc::new(Workload::new(&groups, &stages, 7, "day").unwrap());
    let faults: Vec<api::Fault> = serde_json::from_str(r#"[{"type":"OutOfOrder","share":"0.1%"}]"#).unwrap();
    let faults = Arc::new(FaultPlan::new(&faults, 7, &workload).unwrap());
    Run {
        workload,
        faults,
        expect: vec![Expect::Stored],
        t0_ns: T0,
        ended_ns: T0 + 4 * SECOND,
        lanes: LaneMap::sink(2, 2, |slot| u32::from(slot / 2 % 2)),
        generators: 1,
        samples_per_request: 500,
        keeps_good: false,
    }
}

/// Sent for three seconds; nothing of the third is stored, as its worker was killed, and one request of another lane neither.
#[test]
fn a_day_that_ends_after_seconds_is_settled_at_once() {
    let run = day();
    let plan = LanePlan::new(Arc::clone(&run.workload), run.lanes.clone(), 0, 1);
    let mut side = GeneratorSide::default();
    let mut held = store(&run);
    let (mut acked, mut silent) = (0, 0);
    for lane in 0..LANES {
        let mut walk = LaneWalk::new(&plan, lane);
        while let Some(request) = walk.next(run.samples_per_request) {
            if request.first_due_ns >= 3 * SECOND {
                let (from_request, to_request) = (request.index, u64::MAX);
                let tail =
                    |fault| Exception { lane, epoch: 0, from_request, to_request, fault, outcome: Outcome::Skipped };
                side.exceptions.extend([tail(None), tail(Some(0))]);
                break;
            }
            let (killed, lost) = (lane == 0 && request.first_due_ns >= 2 * SECOND, lane == 2 && request.index == 3);
            let mut previous = None;
            walk.for_each(&request, |s| {
                if !s.stale && run.faults.draw(s.id, s.k, s.due_ns).is_some() {
                    return;
                }
                let value = run.workload.value_at(s.place, s.id.generation, s.k).to_bits();
                let (at, bits) = (workload::timestamp_ms(T0, s.due_ns), if s.stale { STALE_MARKER } else { value });
                side.acknowledged.add(slot_of(s.hash), digest(s.hash, at, bits));
                acked += u64::from(killed);
                silent += u64::from(lost);
                if !killed && !lost {
                    let sent = common::Sent {
                        id: s.id,
                        k: s.k,
                        hash: s.hash,
                        timestamp_ms: at,
                        bits,
                        lane,
                        request: request.index,
                        drawn: None,
                    };
                    let series = find(&mut held, &run.workload, &sent, &mut previous);
                    held.observe(series, at, bits);
                }
            });
        }
    }
    assert!(acked > 1000 && silent > 10, "{acked} {silent}");
    // A witness is looked for as long as there is anything that was sent.
    side.faults = vec![FaultAccount { sent: 1, refused: 1, ..FaultAccount::default() }];
    let at = T0 + 3 * SECOND;
    let killed = vec![Disturbance { worker: 0, from_unix_ns: at, to_unix_ns: at, seen: None }];
    let context = Context { buffered: true, lanes_per_worker: 2, killed, ..Context::default() };
    let begun = Instant::now();
    let Settled { findings, gaps, .. } = finish(&run, &[side], &[held], context);
    let took = begun.elapsed();
    let expected = [("AckedLoss", (acked, acked)), ("SilentLoss", (silent, 0)), ("WronglyRefused", (1, 0))];
    assert_eq!(common::counts(&findings), BTreeMap::from(expected));
    // What the end cut off is no gap.
    assert_eq!(gaps.keys().collect::<Vec<_>>(), [&"AckedLoss", &"SilentLoss"]);
    assert!(took < Duration::from_secs(2), "{took:?}");
}
