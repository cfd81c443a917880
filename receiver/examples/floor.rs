//! What the receiver's hot path costs: decompress, walk and hash, then look up, verify and record, for 1 M series in scrape order.
//!
//! `cargo run --release -p floodmark-receiver --example floor [lanes] [samples-per-request]`
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an example ends by panics and prints")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use faults::FaultPlan;
use ledger::Store;
use remote_write::{Sample, Snappy, canonical, v1};
use workload::{LaneMap, LanePlan, LaneWalk, Pieces, Workload};

const T0: u64 = 1_700_000_000_000_000_000;
const SCRAPES: u32 = 4;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u32>().unwrap());
    let (lanes, per_request) = (arguments.next().unwrap_or(12), arguments.next().unwrap_or(2000));
    let group = r#"[{"name":"app","targets":1000,"seriesPerTarget":1000,"scrapeInterval":"1s","metrics":100}]"#;
    let groups: Vec<api::WorkloadGroup> = serde_json::from_str(group).unwrap();
    let stages: Vec<api::Stage> = serde_json::from_str(&format!(r#"[{{"for":"{SCRAPES}s"}}]"#)).unwrap();
    let workload = Arc::new(Workload::new(&groups, &stages, 42, "floor").unwrap());
    let faults = Arc::new(FaultPlan::new(&[], 42, &workload).unwrap());
    let plan = LanePlan::new(Arc::clone(&workload), LaneMap::direct(lanes), 0, 1);
    let start = Instant::now();
    let mut store = Store::new(Arc::clone(&workload), faults, T0);
    store.expect_all();
    println!("tables for {} series ready in {:?}", workload.series(), start.elapsed());

    let mut walks: Vec<_> = (0..lanes).map(|lane| LaneWalk::new(&plan, lane)).collect();
    let (mut snappy, mut receive, mut pieces) = (Snappy::new(), Snappy::new(), Pieces::new());
    let mut encoder = v1::Encoder::new();
    let mut rounds = vec![(0_u64, Duration::ZERO, Duration::ZERO, Duration::ZERO); SCRAPES as usize];
    let mut arrived: Vec<(u64, i64, u64, u32, u32)> = Vec::new();
    let mut bytes = 0;
    loop {
        let mut any = false;
        for walk in &mut walks {
            let Some(request) = walk.next(per_request) else { continue };
            any = true;
            encoder.clear();
            walk.for_each(&request, |s| {
                let value = workload.value_at(s.place, s.id.generation, s.k);
                let sample = Sample { timestamp: workload::timestamp_ms(T0, s.due_ns), value };
                encoder.series_parts(&pieces.parts(&workload, s.place, s.id.generation), sample);
            });
            let body = snappy.compress(encoder.body()).to_vec();
            bytes += body.len();
            let round = &mut rounds[(request.first_due_ns / 1_000_000_000) as usize];
            let start = Instant::now();
            let plain = receive.decompress(&body, 32 << 20).unwrap();
            let decompressed = Instant::now();
            arrived.clear();
            let origin = plain.as_ptr() as usize;
            for series in v1::walk(plain) {
                let series = series.unwrap();
                let hash = canonical::hash_block(series.label_block().unwrap());
                let from = (series.raw().as_ptr() as usize - origin) as u32;
                for sample in series.samples() {
                    arrived.push((
                        hash,
                        sample.timestamp,
                        sample.value.to_bits(),
                        from,
                        from + series.raw().len() as u32,
                    ));
                }
            }
            let walked = Instant::now();
            let mut previous = None;
            for &(hash, timestamp, bits, from, to) in &arrived {
                let found = store.lookup(hash, previous).or_else(|| {
                    let series = v1::walk(&plain[from as usize..to as usize]).next().unwrap().unwrap();
                    store.introduce(hash, series.labels())
                });
                let series = found.unwrap();
                previous = Some(series.base);
                let observation = store.classify(series, timestamp, bits);
                let _ = store.order(series, timestamp, bits, observation);
                store.record(series, timestamp, bits, observation, true);
            }
            let observed = Instant::now();
            round.0 += arrived.len() as u64;
            round.1 += decompressed - start;
            round.2 += walked - decompressed;
            round.3 += observed - walked;
        }
        if !any {
            break;
        }
    }
    let counters = store.counters();
    println!(
        "{lanes} lanes, {per_request} samples a request, {} samples, {} distinct, {} bytes each on the wire",
        counters.arrivals,
        counters.distinct,
        bytes as u64 / counters.arrivals.max(1)
    );
    println!("{:>8} {:>12} {:>12} {:>12} {:>12}  ns/sample", "scrape", "decompress", "walk+hash", "observe", "all");
    for (number, (samples, decompress, walk, observe)) in rounds.into_iter().enumerate() {
        let each = |time: Duration| time.as_nanos() as f64 / samples.max(1) as f64;
        println!(
            "{number:>8} {:>12.1} {:>12.1} {:>12.1} {:>12.1}",
            each(decompress),
            each(walk),
            each(observe),
            each(decompress + walk + observe)
        );
    }
}
