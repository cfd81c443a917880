//! Histograms on the wire and in logs: whatever is decoded is encoded the same again, adds up, and stays within its bounds.
#![no_main]

use base64::Engine as _;
use libfuzzer_sys::{arbitrary, fuzz_target};
use measure::{Encoded, EncodedCount, EncodedInterval, HIGHEST_US, HistogramSet, Merger, read_hlog, write_hlog};

#[derive(Debug, arbitrary::Arbitrary)]
enum Input<'a> {
    Log(&'a [u8]),
    Json(&'a [u8]),
    Set { total: Plain<'a>, more: u64, intervals: Vec<(u16, u8, Plain<'a>)>, drops: Vec<(u8, Plain<'a>, u64)> },
}

/// A histogram before it is deflated: its digits, another length or conversion than it should have, and its counts.
#[derive(Debug, arbitrary::Arbitrary)]
struct Plain<'a> {
    digits: u8,
    odd: Option<(u8, u8)>,
    counts: &'a [u8],
}

fuzz_target!(|input: Input<'_>| match input {
    Input::Log(log) => {
        let mut lines = 0;
        let _ = read_hlog(&mut &*log, |line| {
            assert!(line.start.is_finite() && line.length.is_finite() && line.histogram.high() == HIGHEST_US);
            lines += 1;
        });
        assert!(lines <= log.len());
    }
    Input::Json(json) => _ = serde_json::from_slice(json).map(|set| check(&set)),
    Input::Set { total, more, intervals, drops } => {
        let interval = |(start, length, plain): &(u16, u8, Plain<'_>)| EncodedInterval {
            start: u64::from(*start),
            seconds: 1 << (length % 64),
            histogram: plain.text(),
        };
        let count = |(cause, plain, sum): &(u8, Plain<'_>, u64)| {
            (format!("cause {cause}"), EncodedCount { histogram: plain.text(), sum: *sum, max: *sum })
        };
        let encoded = Encoded {
            total: total.text(),
            intervals: intervals.iter().map(interval).collect(),
            censored: more,
            over_range: more,
            max_us: more,
        };
        let mut set = HistogramSet::default();
        set.histograms.insert("response".into(), encoded);
        set.drops.per_event = drops.iter().map(count).collect();
        check(&set);
    }
});

impl Plain<'_> {
    /// V2, deflated, as base64.
    fn text(&self) -> String {
        let mut plain = vec![0; 40];
        plain[..4].copy_from_slice(&0x1c84_9313_u32.to_be_bytes());
        plain[4..8].copy_from_slice(&(self.counts.len() as u32).to_be_bytes());
        plain[15] = 2 + self.digits % 2;
        plain[23] = 1;
        plain[24..32].copy_from_slice(&HIGHEST_US.to_be_bytes());
        if let Some((at, byte)) = self.odd {
            plain[usize::from(at % 40)] = byte;
        }
        plain.extend_from_slice(self.counts);
        let out = vec![0x1c, 0x84, 0x93, 0x14, 0, 0, 0, 0];
        let mut deflate = flate2::write::ZlibEncoder::new(out, flate2::Compression::fast());
        std::io::Write::write_all(&mut deflate, &plain).unwrap();
        let mut out = deflate.finish().unwrap();
        let length = (out.len() - 8) as u32;
        out[4..8].copy_from_slice(&length.to_be_bytes());
        base64::engine::general_purpose::STANDARD.encode(out)
    }
}

fn check(set: &HistogramSet) {
    let mut merger = Merger::new();
    for round in 0..3 {
        let before = merger.finish().unwrap();
        if merger.add(set).is_err() {
            assert_eq!(merger.finish().unwrap(), before, "a set that is refused left something behind");
            return;
        }
        let sum = merger.finish().unwrap();
        let mut again = Merger::new();
        again.add(&sum).unwrap();
        assert_eq!(again.finish().unwrap(), sum, "what was written reads back, round {round}");
    }
    for (name, one) in &set.histograms {
        let distribution = one.distribution().unwrap();
        let points = distribution.percentiles();
        assert!(
            [points.p50, points.p90, points.p95, points.p99, points.p999, points.max].is_sorted(),
            "{name}: {points:?}"
        );
        assert!(distribution.curve(2).is_sorted_by_key(|(at, _)| *at));
        let mut log = Vec::new();
        write_hlog(&mut log, 0, &distribution).unwrap();
        let mut lines = 0;
        read_hlog(&mut log.as_slice(), |_| lines += 1).unwrap();
        assert_eq!(lines, distribution.intervals().count() + 1);
        measure::write_hgrm(&mut log, &distribution).unwrap();
    }
    let drops = set.drops().unwrap();
    assert!(drops.per_event().values().all(|one| one.p50 <= one.p99 && one.p99 <= one.max));
    drops.all_events().unwrap();
}
