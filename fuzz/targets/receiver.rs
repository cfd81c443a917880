//! Requests at a receiver that knows its run: what it says it holds is what its checksums are made of, whatever it was sent.
#![no_main]

use std::sync::{Arc, LazyLock};

use faults::FaultPlan;
use floodmark_remote_write::v1::{Encoder, Literal};
use floodmark_remote_write::{STALE_MARKER, Sample, Snappy, slot_of};
use ledger::{SLOTS, SlotTable, Store, digest};
use libfuzzer_sys::{arbitrary, fuzz_target};
use receiver::fuzzing::Receiver;
use workload::{SeriesId, Workload};

const T0: u64 = 1_700_000_000_000_000_000;

static WORKLOAD: LazyLock<Arc<Workload>> = LazyLock::new(|| {
    let groups = r#"[
        {"name": "a", "targets": 2, "seriesPerTarget": 3, "scrapeInterval": "1s", "metrics": 2},
        {"name": "b", "targets": 1, "seriesPerTarget": 20, "scrapeInterval": "2s", "metrics": 2, "values": "Histogram",
         "churn": {"every": "5s", "share": "50%", "staleMarkers": true}}
    ]"#;
    let groups: Vec<api::WorkloadGroup> = serde_json::from_str(groups).unwrap();
    let stages: Vec<api::Stage> = serde_json::from_str(r#"[{"for": "30s"}]"#).unwrap();
    Arc::new(Workload::new(&groups, &stages, 7, "run").unwrap())
});

#[derive(Debug, arbitrary::Arbitrary)]
enum Piece<'a> {
    /// A sample of the run, or nearly.
    Own {
        base: u8,
        generation: u8,
        k: u8,
        odd: Odd<'a>,
    },
    Labels(Vec<(&'a str, &'a str)>, i64, f64),
    Raw(&'a [u8]),
    /// The end of a request, and the seconds since t0.
    Send(u8),
}

#[derive(Debug, arbitrary::Arbitrary)]
enum Odd<'a> {
    No,
    Stale,
    Value(f64),
    Time(i8),
    Label(&'a str, &'a str),
    /// The label block of a series twice, but for so many bytes.
    Twice(u8),
}

fuzz_target!(|pieces: Vec<Piece<'_>>| {
    let workload = &*WORKLOAD;
    let faults = Arc::new(FaultPlan::new(&[], 7, workload).unwrap());
    let mut store = Store::new(Arc::clone(workload), faults, T0);
    if pieces.len().is_multiple_of(2) {
        store.expect_all();
    }
    let mut receiver = Receiver::new(store);
    let (mut snappy, mut request) = (Snappy::new(), Encoder::new());
    for piece in &pieces {
        match piece {
            Piece::Own { base, generation, k, odd } => own(&mut request, (*base, *generation, *k), odd),
            Piece::Labels(labels, timestamp, value) => {
                let mut literal = Literal::new();
                for (name, value) in labels {
                    literal.label(name.as_bytes(), value.as_bytes());
                }
                literal.sample(Sample { timestamp: *timestamp, value: *value });
                request.fields(literal.fields());
            }
            Piece::Raw(bytes) => request.raw(bytes),
            Piece::Send(seconds) => {
                let now_ms = (T0 / 1_000_000) as i64 + i64::from(*seconds) * 1000;
                let status = receiver.write(snappy.compress(request.body()), now_ms);
                assert!(matches!(status, Ok((1.., 204 | 400) | (0, 204)) | Err(400)), "{status:?}");
                request = Encoder::new();
            }
        }
    }
    check(&receiver, workload);
});

fn own(request: &mut Encoder, (base, generation, k): (u8, u8, u8), odd: &Odd<'_>) {
    let workload = &*WORKLOAD;
    let base = u32::from(base) % workload.series();
    let k = u32::from(k % 32);
    // Mostly the generation that is due.
    let generation = if generation < 250 { workload.generation_at(base, k) } else { u32::from(generation) - 250 };
    let id = SeriesId { base, generation };
    let Some(mut timestamp) = workload.timestamp_ms(T0, base, k) else { return };
    let mut value = workload.value(id, k);
    let mut block = Vec::new();
    workload.label_block(id, &mut block);
    match odd {
        Odd::No => {}
        Odd::Stale => value = f64::from_bits(STALE_MARKER),
        Odd::Value(other) => value = *other,
        Odd::Time(by) => timestamp += i64::from(*by),
        Odd::Label(name, value) => {
            let mut literal = Literal::new();
            literal.label(name.as_bytes(), value.as_bytes());
            block.extend_from_slice(literal.fields());
        }
        Odd::Twice(less) => block.extend_from_within(usize::from(*less).min(block.len())..),
    }
    request.series(&block, &[Sample { timestamp, value }]);
}

/// Makes the checksums anew from what is said of every series.
fn check(receiver: &Receiver, workload: &Workload) {
    let report = receiver.report();
    let counters = report.counters;
    assert_eq!(counters.arrivals, counters.distinct + counters.duplicates);
    assert_eq!((report.arrivals.total().count, counters.overflow), (counters.arrivals, 0));
    let (mut made, mut scratch) = (SlotTable::new(), Vec::new());
    let mut add = |id: SeriesId, k, bits| {
        let (hash, timestamp) =
            (workload.series_hash(id, &mut scratch), workload.timestamp_ms(T0, id.base, k).unwrap());
        made.add(slot_of(hash), digest(hash, timestamp, bits));
    };
    for seen in receiver.seen_in(&(0..SLOTS as u16).collect::<Vec<_>>()) {
        let base = seen.base;
        for k in (0..seen.next_k).filter(|k| seen.holds(*k)) {
            let id = SeriesId { base, generation: workload.generation_at(base, k) };
            add(id, k, workload.value(id, k).to_bits());
        }
        for generation in seen.stale {
            let id = SeriesId { base, generation };
            add(id, workload.stale_k(id).unwrap(), STALE_MARKER);
        }
    }
    assert!(made == report.distinct, "{counters:?}, but its series add up to {:?}", made.total());
}
