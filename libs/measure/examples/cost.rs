//! What recording, closing a second, merging and encoding cost here: `cargo run -p floodmark-measure --release --example cost`.

use std::time::Instant;

use floodmark_measure::{CodecError, Distribution, Encoded, MAX_INTERVALS, Recorder};

fn main() -> Result<(), CodecError> {
    let values: Vec<u64> = (0..4096u64).map(|i| 50_000 + (i * 2_654_435_761) % 40_000_000).collect();
    let mut recorder = Recorder::new();
    let rounds = 1000;
    let start = Instant::now();
    for round in 0..rounds {
        for value in &values {
            recorder.record_ns(round, *value);
        }
    }
    let records = rounds * values.len() as u64;
    println!("record          {:8.1} ns", start.elapsed().as_nanos() as f64 / records as f64);

    let seconds = 600;
    let start = Instant::now();
    for second in 1..=seconds {
        recorder.record_ns(second * 1_000_000_000, values[second as usize]);
    }
    println!("close a second  {:8.1} µs", start.elapsed().as_nanos() as f64 / seconds as f64 / 1000.0);

    let distribution = recorder.finish()?;
    let mut merged = Distribution::new();
    merged.merge(&distribution)?;
    let start = Instant::now();
    merged.merge(&distribution)?;
    println!("merge           {:8.1} µs, {seconds} seconds in each", start.elapsed().as_nanos() as f64 / 1000.0);

    let start = Instant::now();
    let encoded = Encoded::from_distribution(&merged)?;
    let bytes: usize = encoded.total.len() + encoded.intervals.iter().map(|i| i.histogram.len()).sum::<usize>();
    println!("encode          {:8.1} µs, {bytes} bytes", start.elapsed().as_nanos() as f64 / 1000.0);

    let start = Instant::now();
    let back = encoded.distribution()?;
    println!("decode          {:8.1} µs, {} values", start.elapsed().as_nanos() as f64 / 1000.0, back.count());

    let mut recorder = Recorder::new();
    for second in 0..MAX_INTERVALS as u64 {
        for value in &values {
            recorder.record_ns(second * 1_000_000_000, *value);
        }
    }
    for which in ["first", "second"] {
        let start = Instant::now();
        let taken = recorder.clone();
        let copied = start.elapsed();
        let encoded = Encoded::from_distribution(&taken.finish()?)?;
        println!(
            "{which} look      {:8.1} µs, {:.1} µs of it to copy {} seconds",
            start.elapsed().as_nanos() as f64 / 1000.0,
            copied.as_nanos() as f64 / 1000.0,
            encoded.intervals.len()
        );
    }
    Ok(())
}
