//! What a plan makes a generator send, from the workload alone, and what arrived.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use faults::FaultPlan;
use ledger::{SlotTable, digest};
use protocol::{RunPlan, Target};
use remote_write::{Scratch, Snappy, slot_of, v1};
use workload::{SeriesId, Workload};

use super::Arrival;

pub(crate) fn plan(target: &Target, generators: u32, document: &str) -> RunPlan {
    let mut value: serde_json::Value = serde_json::from_str(document).unwrap();
    let fields = value.as_object_mut().unwrap();
    let default = serde_json::json!({
        "run": "run-1", "seed": 5, "faults": [], "profile": "Strict", "generators": generators, "samplesPerRequest": 50,
        "connections": 3, "overload": {"policy": "Queue", "maxBacklog": "30s"}, "target": target,
        "workload": [{"name": "app", "targets": 6, "seriesPerTarget": 20, "scrapeInterval": "100ms", "values": "Mixed"}],
        "stages": [{"for": "1s"}],
    });
    for (name, value) in default.as_object().unwrap() {
        fields.entry(name.clone()).or_insert_with(|| value.clone());
    }
    serde_json::from_value(value).unwrap()
}

/// The samples of acknowledged requests: how often each (series hash, timestamp, bits) arrived.
pub(crate) fn stored(arrivals: &[Arrival]) -> BTreeMap<(u64, i64, u64), usize> {
    let mut samples = BTreeMap::new();
    let (mut snappy, mut scratch) = (Snappy::new(), Scratch::new());
    for arrival in arrivals.iter().filter(|a| (200..300).contains(&a.status)) {
        let Ok(body) = snappy.decompress(&arrival.body, 1 << 24) else { continue };
        for series in v1::walk(body).map_while(Result::ok) {
            let hash = series.canonical_hash(&mut scratch);
            for sample in series.samples() {
                *samples.entry((hash, sample.timestamp, sample.value.to_bits())).or_default() += 1;
            }
        }
    }
    samples
}

pub(crate) fn samples_in(arrival: &Arrival) -> usize {
    let mut snappy = Snappy::new();
    let body = snappy.decompress(&arrival.body, 1 << 24).unwrap();
    v1::walk(body).map(|series| series.unwrap().samples().count()).sum()
}

pub(crate) struct Expected {
    pub(crate) good: BTreeSet<(u64, i64, u64)>,
    pub(crate) table: SlotTable,
    /// By fault.
    pub(crate) drawn: BTreeMap<u32, u64>,
}

/// What should arrive, from the workload alone.
pub(crate) fn expected(plan: &RunPlan, t0: u64) -> Expected {
    let w = Arc::new(Workload::new(&plan.workload, &plan.stages, plan.seed, &plan.run).unwrap());
    let faults = FaultPlan::new(&plan.faults, plan.seed, &w).unwrap();
    let mut expected = Expected { good: BTreeSet::new(), table: SlotTable::new(), drawn: BTreeMap::new() };
    let mut scratch = Vec::new();
    for base in 0..w.series() {
        for generation in 0..40 {
            let id = SeriesId { base, generation };
            for k in w.samples_of(id).into_iter().flatten().chain(w.stale_k(id)) {
                if let Some(fault) = faults.draw(id, k, w.due_ns(base, k).unwrap()) {
                    *expected.drawn.entry(fault).or_default() += 1;
                    continue;
                }
                let hash = w.series_hash(id, &mut scratch);
                let (timestamp, bits) = (w.timestamp_ms(t0, base, k).unwrap(), w.scheduled_bits(id, k).unwrap());
                assert!(expected.good.insert((hash, timestamp, bits)));
                expected.table.add(slot_of(hash), digest(hash, timestamp, bits));
            }
        }
    }
    expected
}
