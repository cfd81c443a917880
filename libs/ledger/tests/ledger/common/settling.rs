//! Runs of two generators and two workers of two lanes, and their settlement.

use std::sync::Arc;

use faults::Expect;
use floodmark_ledger::{
    Context, Finding, GeneratorSide, Run, Settled, Settlement, SlotTable, Store, StoreReport, digest,
};
use remote_write::slot_of;
use workload::LaneMap;

use super::{PER_REQUEST, T0};

pub const GENERATORS: u32 = 2;

pub fn sides() -> Vec<GeneratorSide> {
    (0..GENERATORS)
        .map(|index| GeneratorSide { index, acknowledged: SlotTable::new(), ..GeneratorSide::default() })
        .collect()
}

pub fn settle(run: &Run, sides: &[GeneratorSide], stores: &[Store], context: Context) -> Vec<Finding> {
    finish(run, sides, stores, context).findings
}

pub fn finish(run: &Run, sides: &[GeneratorSide], stores: &[Store], context: Context) -> Settled {
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
    settlement.finish()
}

pub fn run(churn: bool, faults: &str, expect: Vec<Expect>) -> Run {
    run_for(9, churn, faults, expect)
}

pub fn run_for(seconds: u32, churn: bool, faults: &str, expect: Vec<Expect>) -> Run {
    let (workload, faults) = super::run_for(seconds, churn, faults);
    let lanes = LaneMap::sink(2, 2, |slot| u32::from(slot % 7 > 3));
    Run {
        workload,
        faults,
        expect,
        t0_ns: T0,
        ended_ns: u64::MAX,
        lanes,
        generators: GENERATORS,
        samples_per_request: PER_REQUEST,
        keeps_good: false,
    }
}

pub fn store(run: &Run) -> Store {
    Store::new(Arc::clone(&run.workload), Arc::clone(&run.faults), T0)
}

/// Sends everything and lets `keep` decide what is stored.
pub fn send(run: &Run, mut keep: impl FnMut(&super::Sent) -> usize) -> (Vec<GeneratorSide>, Store) {
    let mut sides = sides();
    let mut held = store(run);
    for (generator, samples) in super::schedule(&run.workload, &run.faults, &run.lanes, GENERATORS) {
        let mut previous = None;
        for sent in samples.iter().filter(|s| s.drawn.is_none()) {
            sides[generator as usize]
                .acknowledged
                .add(slot_of(sent.hash), digest(sent.hash, sent.timestamp_ms, sent.bits));
            for _ in 0..keep(sent) {
                let series = super::find(&mut held, &run.workload, sent, &mut previous);
                held.observe(series, sent.timestamp_ms, sent.bits);
            }
        }
    }
    (sides, held)
}
