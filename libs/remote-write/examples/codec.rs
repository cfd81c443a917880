//! What the codec costs a sample, beside a generated one (prost) in the same run. CPU time varies by machine: read the
//! ratios. `cargo run --release -p floodmark-remote-write --example codec`

use floodmark_remote_write as rw;
use prost::Message;
use rw::canonical;
use std::hint::black_box;
use std::time::Instant;

#[path = "../tests/oracle/mod.rs"]
mod oracle;

const SERIES: usize = 2000;
const ROUNDS: usize = 15;

/// Labels in the shape of the default workload: a name and eight labels, about 240 bytes encoded with the sample.
fn labels(i: usize) -> Vec<(String, String)> {
    let (target, metric) = (i / 1000, i % 1000);
    [
        ("__name__", format!("floodmark_app_metric_{:02}_total", metric / 10)),
        ("floodmark_bucket", format!("{}", i % 256)),
        ("floodmark_run", "r-4f9a2c".to_owned()),
        ("instance", format!("10.0.{}.{}:9100", target / 256, target % 256)),
        ("job", "app".to_owned()),
        ("label_00", format!("{:012x}", target * 7_919)),
        ("label_01", format!("{:012x}", target * 104_729)),
        ("label_02", format!("{:012x}", target * 1_299_709)),
        ("series", format!("{:06}", metric % 10)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// Fastest of some rounds, in nanoseconds a series.
fn time(mut work: impl FnMut()) -> f64 {
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..5 {
                work();
            }
            start.elapsed().as_nanos() as f64 / (5 * SERIES) as f64
        })
        .fold(f64::INFINITY, f64::min)
}

fn main() {
    let timestamp = 1_795_000_000_123_i64;
    let sets: Vec<_> = (0..SERIES).map(labels).collect();
    let blocks: Vec<Vec<u8>> = sets
        .iter()
        .map(|set| {
            let mut block = Vec::new();
            for (name, value) in set {
                canonical::push_label(&mut block, name.as_bytes(), value.as_bytes());
            }
            block
        })
        .collect();
    let message = oracle::TextRequest {
        timeseries: sets
            .iter()
            .enumerate()
            .map(|(i, set)| oracle::TextSeries {
                labels: set
                    .iter()
                    .map(|(name, value)| oracle::TextLabel { name: name.clone(), value: value.clone() })
                    .collect(),
                samples: vec![oracle::Sample { value: i as f64, timestamp }],
            })
            .collect(),
    };
    let mut lines: Vec<(&str, f64, f64)> = Vec::new();

    let mut out = Vec::new();
    let prost_encode = time(|| {
        out.clear();
        message.encode(&mut out).unwrap_or_default();
        black_box(&out);
    });
    let mut encoder = rw::v1::Encoder::new();
    let encode = time(|| {
        encoder.clear();
        for (i, block) in blocks.iter().enumerate() {
            let sample = rw::Sample { timestamp, value: i as f64 };
            encoder.series(block, &[sample]);
        }
        black_box(encoder.body());
    });
    lines.push(("encode, whole block", encode, prost_encode));
    // Where the pieces of the hot path meet: name | bucket | shared by the target | series.
    let cuts: Vec<[usize; 3]> = blocks
        .iter()
        .map(|block| {
            let find =
                |needle: &[u8]| block.windows(needle.len()).position(|window| window == needle).map_or(0, |at| at - 4);
            [find(b"floodmark_bucket"), find(b"floodmark_run"), find(b"series")]
        })
        .collect();
    let parts_encode = time(|| {
        encoder.clear();
        for (i, (block, &[a, b, c])) in blocks.iter().zip(&cuts).enumerate() {
            let sample = rw::Sample { timestamp, value: i as f64 };
            encoder.series_parts(&[&block[..a], &block[a..b], &block[b..c], &block[c..]], sample);
        }
        black_box(encoder.body());
    });
    lines.push(("encode, four parts", parts_encode, prost_encode));

    let body = encoder.body().to_vec();
    let prost_decode = time(|| {
        black_box(oracle::TextRequest::decode(body.as_slice()).unwrap_or_default());
    });
    let walk = time(|| {
        for series in rw::v1::walk(&body) {
            let Ok(series) = series else { return };
            for sample in series.samples() {
                black_box(sample);
            }
            black_box(series.label_block());
        }
    });
    lines.push(("walk", walk, prost_decode));
    let mut scratch = rw::Scratch::new();
    let hash = time(|| {
        for series in rw::v1::walk(&body) {
            let Ok(series) = series else { return };
            for sample in series.samples() {
                black_box(sample);
            }
            black_box(series.canonical_hash(&mut scratch));
        }
    });
    lines.push(("walk and hash", hash, prost_decode));
    let every_label = time(|| {
        for series in rw::v1::walk(&body) {
            let Ok(series) = series else { return };
            for label in series.labels() {
                black_box(label);
            }
        }
    });
    lines.push(("walk and every label", every_label, prost_decode));
    let checked = time(|| {
        for series in rw::v1::walk(&body) {
            let Ok(series) = series else { return };
            black_box(rw::rules::check_series(&series)).unwrap_or_default();
        }
    });
    lines.push(("walk and rules", checked, prost_decode));
    let mut reversed = rw::v1::Encoder::new();
    let mut block = Vec::new();
    for set in &sets {
        block.clear();
        for (name, value) in set.iter().rev() {
            canonical::push_label(&mut block, name.as_bytes(), value.as_bytes());
        }
        reversed.series(&block, &[rw::Sample { timestamp, value: 1.0 }]);
    }
    let unsorted = time(|| {
        for series in rw::v1::walk(reversed.body()) {
            let Ok(series) = series else { return };
            black_box(series.canonical_hash(&mut scratch));
        }
    });
    lines.push(("walk and hash, unsorted", unsorted, prost_decode));

    let mut snappy = rw::Snappy::new();
    let compress = time(|| {
        black_box(snappy.compress(&body));
    });
    let packed = snappy.compress(&body).to_vec();
    let decompress = time(|| {
        black_box(snappy.decompress(&packed, 1 << 26).map_or(0, <[u8]>::len));
    });
    lines.push(("snappy compress", compress, compress));
    lines.push(("snappy decompress", decompress, decompress));

    println!(
        "{SERIES} series of one sample, {} bytes a series, compressed {:.1}:1",
        body.len() / SERIES,
        body.len() as f64 / packed.len() as f64
    );
    println!("{:<24} {:>10} {:>10} {:>7}", "", "ns/sample", "prost", "ratio");
    for (name, ours, theirs) in lines {
        println!("{name:<24} {ours:>10.1} {theirs:>10.1} {:>7.1}", theirs / ours);
    }
}
