//! A small run, a deterministic stream of draws, and the samples of the run listed one by one.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::needless_pass_by_value,
    reason = "each test file uses some of it"
)]

pub mod settling;

use std::collections::BTreeMap;
use std::sync::Arc;

use faults::FaultPlan;
use floodmark_ledger::{Observation, SeriesRef, Store};
use remote_write::{Label, STALE_MARKER};
use workload::{LaneMap, LanePlan, LaneWalk, SeriesId, Workload};

pub const T0: u64 = 1_700_000_000_123_456_789;
pub const PER_REQUEST: u32 = 7;

pub fn groups(churn: bool) -> Vec<api::WorkloadGroup> {
    let mut text = String::from(
        r#"[{"name":"app","targets":3,"seriesPerTarget":14,"scrapeInterval":"1s","metrics":4,"values":"Mixed"}"#,
    );
    if churn {
        text.push_str(
            r#",{"name":"pods","targets":2,"seriesPerTarget":6,"scrapeInterval":"700ms","metrics":2,
            "churn":{"every":"2s","share":"40%","mode":"Gradual","staleMarkers":true}}"#,
        );
    }
    text.push(']');
    serde_json::from_str(&text).unwrap()
}

pub fn run(churn: bool, faults: &str) -> (Arc<Workload>, Arc<FaultPlan>) {
    run_for(9, churn, faults)
}

pub fn run_for(seconds: u32, churn: bool, faults: &str) -> (Arc<Workload>, Arc<FaultPlan>) {
    let stages: Vec<api::Stage> = serde_json::from_str(&format!(r#"[{{"for":"{seconds}s"}}]"#)).unwrap();
    let workload = Arc::new(Workload::new(&groups(churn), &stages, 7, "r1").unwrap());
    let faults: Vec<api::Fault> = serde_json::from_str(faults).unwrap();
    let plan = Arc::new(FaultPlan::new(&faults, 7, &workload).unwrap());
    (workload, plan)
}

/// One scheduled sample, as a generator sends it.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub id: SeriesId,
    pub k: u32,
    pub hash: u64,
    pub timestamp_ms: i64,
    pub bits: u64,
    pub lane: u32,
    pub request: u64,
    pub drawn: Option<u32>,
}

/// Everything that all lanes send, request by request, in the order of intended times.
pub fn schedule(workload: &Arc<Workload>, faults: &FaultPlan, map: &LaneMap, generators: u32) -> Vec<(u32, Vec<Sent>)> {
    let mut requests = Vec::new();
    for generator in 0..generators {
        let plan = LanePlan::new(Arc::clone(workload), map.clone(), generator, generators);
        for lane in 0..plan.lanes() {
            let mut walk = LaneWalk::new(&plan, lane);
            while let Some(request) = walk.next(PER_REQUEST) {
                let mut samples = Vec::new();
                walk.for_each(&request, |s| {
                    let bits =
                        if s.stale { STALE_MARKER } else { workload.value_at(s.place, s.id.generation, s.k).to_bits() };
                    let timestamp_ms = workload::timestamp_ms(T0, s.due_ns);
                    let drawn = faults.draw(s.id, s.k, s.due_ns);
                    samples.push(Sent {
                        id: s.id,
                        k: s.k,
                        hash: s.hash,
                        timestamp_ms,
                        bits,
                        lane,
                        request: request.index,
                        drawn,
                    });
                });
                requests.push((request.intended_ns, generator, samples));
            }
        }
    }
    requests.sort_by_key(|(at, ..)| *at);
    requests.into_iter().map(|(_, generator, samples)| (generator, samples)).collect()
}

/// The label pairs of a series.
pub fn labels(workload: &Workload, id: SeriesId) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut block = Vec::new();
    workload.label_block(id, &mut block);
    let mut encoder = remote_write::v1::Encoder::new();
    encoder.series(&block, &[]);
    let series = remote_write::v1::walk(encoder.body()).next().unwrap().unwrap();
    series.labels().map(|l| (l.name.to_vec(), l.value.to_vec())).collect()
}

pub fn borrow(labels: &[(Vec<u8>, Vec<u8>)]) -> impl Iterator<Item = Label<'_>> + Clone {
    labels.iter().map(|(name, value)| Label { name, value })
}

/// Takes a sample as a read-back does.
pub fn observe(store: &mut Store, labels: &[(Vec<u8>, Vec<u8>)], timestamp_ms: i64, bits: u64) -> Option<Observation> {
    match store.find(borrow(labels)) {
        Some(series) => Some(store.observe(series, timestamp_ms, bits)),
        None => store.observe_other(borrow(labels), timestamp_ms, bits, true),
    }
}

/// Finds a series as a receiver does.
pub fn find(store: &mut Store, workload: &Workload, sent: &Sent, previous: &mut Option<u32>) -> SeriesRef {
    let series = store.lookup(sent.hash, *previous).or_else(|| {
        let labels = labels(workload, sent.id);
        store.introduce(sent.hash, borrow(&labels))
    });
    let series = series.unwrap();
    *previous = Some(series.base);
    series
}

/// What the store holds of the series of these slots, fetched in small portions.
pub fn portions(store: &Store, slots: &[u16]) -> Vec<(Vec<u16>, Vec<floodmark_ledger::SeriesSeen>)> {
    slots.chunks(3).map(|chunk| (chunk.to_vec(), store.seen_in(chunk))).collect()
}

/// splitmix64: the tests' own draws.
pub struct Draws(pub u64);

impl Draws {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }
}

/// Findings as name → (count, explained).
pub fn counts(findings: &[floodmark_ledger::Finding]) -> BTreeMap<&'static str, (u64, u64)> {
    findings.iter().map(|f| (f.name.as_str(), (f.count, f.explained))).collect()
}
