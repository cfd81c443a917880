//! What settling a run of 1 M series costs: clean, with one request lost, and with an outage of two seconds in one lane.
//!
//! `cargo run --release -p floodmark-ledger --example settle`
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an example ends by panics and prints")]

use std::sync::Arc;
use std::time::Instant;

use faults::FaultPlan;
use floodmark_ledger::{Context, GeneratorSide, Outcome, Run, Settlement, SlotTable, Store, digest, push_exception};
use remote_write::slot_of;
use workload::{LaneMap, LanePlan, LaneWalk, Workload};

const T0: u64 = 1_700_000_000_000_000_000;

fn main() {
    let group = r#"[{"name":"app","targets":1000,"seriesPerTarget":1000,"scrapeInterval":"1s","metrics":100}]"#;
    let groups: Vec<api::WorkloadGroup> = serde_json::from_str(group).unwrap();
    let stages: Vec<api::Stage> = serde_json::from_str(r#"[{"for":"10s"}]"#).unwrap();
    let workload = Arc::new(Workload::new(&groups, &stages, 42, "settle").unwrap());
    let faults = Arc::new(FaultPlan::new(&[], 42, &workload).unwrap());
    let lanes = LaneMap::direct(12);
    let plan = LanePlan::new(Arc::clone(&workload), lanes.clone(), 0, 1);
    let run = Run {
        workload: Arc::clone(&workload),
        faults: Arc::clone(&faults),
        expect: Vec::new(),
        t0_ns: T0,
        ended_ns: u64::MAX,
        lanes,
        generators: 1,
        samples_per_request: 2000,
        keeps_good: true,
    };
    for (case, lost, outage) in [
        ("clean", None, None),
        ("one request lost", Some((3_u32, 20_u64)), None),
        ("a lane unresolved for 2 s", None, Some((5_u32, 100_u64..200))),
    ] {
        let mut store = Store::new(Arc::clone(&workload), Arc::clone(&faults), T0);
        store.expect_all();
        let mut side = GeneratorSide { acknowledged: SlotTable::new(), ..GeneratorSide::default() };
        for lane in 0..plan.lanes() {
            let mut walk = LaneWalk::new(&plan, lane);
            while let Some(request) = walk.next(2000) {
                let open =
                    outage.as_ref().is_some_and(|(of, requests)| *of == lane && requests.contains(&request.index));
                if open {
                    push_exception(&mut side.exceptions, lane, request.index, None, Outcome::Unresolved);
                }
                let mut previous = None;
                walk.for_each(&request, |s| {
                    let bits = workload.value_at(s.place, 0, s.k).to_bits();
                    let timestamp = workload::timestamp_ms(T0, s.due_ns);
                    if !open {
                        side.acknowledged.add(slot_of(s.hash), digest(s.hash, timestamp, bits));
                    }
                    if !open && lost != Some((lane, request.index)) {
                        let series = store.lookup(s.hash, previous).unwrap();
                        previous = Some(series.base);
                        store.observe(series, timestamp, bits);
                    }
                });
            }
        }
        let start = Instant::now();
        let mut settlement =
            Settlement::new(run.clone(), std::slice::from_ref(&side), store.report(), Context::default());
        let slots = settlement.slots().to_vec();
        for portion in slots.chunks(256) {
            settlement.settle_series(portion, &store.seen_in(portion));
        }
        let findings = settlement.finish().findings;
        let told: Vec<_> = findings.iter().map(|f| format!("{} {}", f.name, f.count)).collect();
        println!(
            "{case}: {} of 10 M samples, {} slots, {:?} in {:?}",
            store.counters().distinct,
            slots.len(),
            told,
            start.elapsed()
        );
    }
}
