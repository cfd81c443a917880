//! The logs that this crate writes, read by the reference implementation.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use floodmark_measure::{Distribution, Recorder, write_hlog};

#[path = "../../../tests/skip.rs"]
mod skip;

const T0_UNIX_NS: u64 = 1_790_000_000_250_000_000;

fn recorded() -> Distribution {
    let mut recorder = Recorder::new();
    let mut state = 42u64;
    for index in 0..30_000u64 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let exponent = (state >> 59) % 30;
        let value = (state >> 20) % (1000 << exponent);
        recorder.record_n_ns(index * 200_000, value, 1 + state % 3);
    }
    recorder.record_ns(9_000_000_000, u64::MAX);
    recorder.finish().unwrap()
}

#[test]
fn java_finds_the_same_counts_stamps_and_percentiles() {
    let distribution = recorded();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("response.hlog");
    write_hlog(std::fs::File::create(&file).unwrap(), T0_UNIX_NS, &distribution).unwrap();

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hack/hdr-java/percentiles.sh");
    let run = Command::new(script).arg(&file).output().unwrap();
    let complaint = String::from_utf8_lossy(&run.stderr);
    if run.status.code() == Some(77) {
        skip::skip("java_reads_hlog", &format!("the Java reader cannot run here: {}", complaint.trim()));
        return;
    }
    assert!(run.status.success(), "the Java reader failed: {complaint}");
    let text = String::from_utf8(run.stdout).unwrap();

    let mut intervals = Vec::new();
    let mut tags: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let numbers = words[2..].iter().map(|w| w.parse().unwrap()).collect();
        match words[0] {
            "interval" if words[1] == "-" => intervals.push(numbers),
            "tag" => {
                tags.insert(words[1], numbers);
            }
            _ => {}
        }
    }

    let t0_ms = T0_UNIX_NS / 1_000_000;
    let expected: Vec<Vec<u64>> = distribution
        .intervals()
        .map(|interval| {
            let one = interval.unwrap();
            let start = t0_ms + one.start * 1000;
            vec![start, start + one.seconds * 1000, one.histogram.len()]
        })
        .collect();
    assert_eq!(intervals, expected);

    let h = distribution.histogram();
    let mut total = vec![h.len()];
    total.extend([0.5, 0.9, 0.95, 0.99, 0.999, 1.0].map(|q| h.value_at_quantile(q)));
    assert_eq!(tags["total"], total);
    assert_eq!(tags["-"][0], h.len(), "the intervals add up to the whole run");
}
