//! What a worker makes of a request: no sample is lost, doubled or altered on the way to lanes and other workers.
#![no_main]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use floodmark_remote_write::v1::walk;
use floodmark_remote_write::{Scratch, Snappy};
use libfuzzer_sys::{arbitrary, fuzz_target};
use ownership::{By, ControlDocument, Phase};
use sink_worker::fuzzing::{Sent, Worker};

#[derive(Debug, arbitrary::Arbitrary)]
struct Input<'a> {
    workers: u8,
    lanes: u8,
    by_labels: bool,
    once: bool,
    max_samples: u8,
    fault: bool,
    body: &'a [u8],
}

/// Label hash, timestamp and bits of a sample; histograms are bytes.
type Sample = (u64, i64, u64);

thread_local! {
    /// By number of workers, lanes and what decides: the tables of a map take longer than a request.
    static WORKERS: RefCell<BTreeMap<(u32, u16, bool), Worker>> = RefCell::default();
}

fuzz_target!(|input: Input<'_>| {
    let key = (u32::from(input.workers % 4) + 1, u16::from(input.lanes % 4) + 1, input.by_labels);
    WORKERS.with_borrow_mut(|workers| check_all(workers.entry(key).or_insert_with(|| worker(key)), &input));
});

fn worker((workers, lanes, by_labels): (u32, u16, bool)) -> Worker {
    Worker::new(&ControlDocument {
        sink_uid: "sink".into(),
        epoch: 1,
        phase: Phase::Stable,
        from: workers,
        to: workers,
        by: if by_labels { By::Labels(vec!["a".into()]) } else { By::Series },
        lanes,
        addresses: vec!["a:1".into(); workers as usize],
        chaos: Vec::new(),
        run: None,
    })
}

fn check_all(worker: &mut Worker, input: &Input<'_>) {
    let mut snappy = Snappy::new();
    let body = snappy.compress(input.body).to_vec();
    let max_samples = u64::from(input.max_samples % 8) + 1;
    match worker.pure(&body, input.fault) {
        Ok((points, all)) => {
            let plain = walk(input.body).map(|series| series.unwrap().raw());
            let with_points = plain.filter(|raw| samples(raw, &mut Vec::new()) as u32 + histograms(raw) > 0);
            assert!(all.iter().map(|sent| &sent.raw[..]).eq(with_points));
            assert_eq!(all.iter().map(|sent| u64::from(check(sent))).sum::<u64>(), points);
        }
        Err(why) => assert!(!why.contains("second look"), "{why}"),
    }
    let Ok(split) = worker.split(&body, input.once, max_samples) else { return };
    let mut sent = Vec::new();
    let mut points = 0;
    for (_, slices) in &split.own {
        for slice in slices {
            let series: BTreeSet<_> = slice.iter().map(|sent| sent.hash).collect();
            assert!(!input.once || series.len() == slice.len(), "a series twice in a slice");
            let in_slice: u64 = slice.iter().map(|sent| u64::from(check(sent))).sum();
            assert!(in_slice <= max_samples, "{in_slice} samples in a slice");
            points += in_slice;
            for one in slice {
                samples(&one.raw, &mut sent);
            }
        }
    }
    for (_, body) in &split.others {
        let plain = snappy.decompress(body, 1 << 24).unwrap();
        points += u64::from(histograms(plain));
        points += samples(plain, &mut sent) as u64;
    }
    let mut given = Vec::new();
    samples(input.body, &mut given);
    assert_eq!(points, given.len() as u64 + u64::from(histograms(input.body)));
    sent.sort_unstable();
    given.sort_unstable();
    assert_eq!(sent, given);
}

/// Holds what is said of a series to its bytes; the samples and histograms in it.
fn check(sent: &Sent) -> u32 {
    let mut all = Vec::new();
    samples(&sent.raw, &mut all);
    let points = all.len() as u32 + histograms(&sent.raw);
    assert!(points == sent.samples && walk(&sent.raw).count() == 1);
    assert!(all.iter().all(|&(hash, at, _)| hash == sent.hash && sent.times.0 <= at && at <= sent.times.1));
    points
}

/// Appends the samples of series in their bytes, and tells how many.
fn samples(plain: &[u8], all: &mut Vec<Sample>) -> usize {
    let mut scratch = Scratch::new();
    let before = all.len();
    for series in walk(plain).map(Result::unwrap) {
        let hash = series.canonical_hash(&mut scratch);
        all.extend(series.samples().map(|sample| (hash, sample.timestamp, sample.value.to_bits())));
    }
    all.len() - before
}

/// Native histograms in series, by a decoder that does not look into them either.
fn histograms(plain: &[u8]) -> u32 {
    let request = <oracle::WriteRequest as prost::Message>::decode(plain).unwrap();
    request.timeseries.iter().map(|series| series.histograms.len() as u32).sum()
}

#[path = "../../libs/remote-write/tests/oracle/mod.rs"]
mod oracle;
