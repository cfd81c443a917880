//! Answers of a backend: remote read against a generated decoder, an export against the numbers that were written, and what else is read.
#![no_main]

#[path = "../../libs/remote-write/tests/oracle/agree.rs"]
#[expect(dead_code, reason = "only its view of generated messages is wanted")]
mod agree;
#[path = "../../libs/remote-write/tests/oracle/mod.rs"]
mod oracle;

use std::fmt::Write as _;

use conductor::fuzzing::{cpu_use, profile, read_back};
use floodmark_remote_write::Snappy;
use libfuzzer_sys::{arbitrary, fuzz_target};
use prost::Message;
use protocol::ReadBackKind::{Prometheus, VictoriaMetrics};

#[derive(Debug, arbitrary::Arbitrary)]
enum Input<'a> {
    RemoteRead(&'a [u8]),
    Lines(&'a [u8]),
    Exported(&'a str, Vec<(i64, f64)>),
    BuildInfo(&'a [u8]),
    Metrics(&'a str),
}

#[derive(Clone, PartialEq, Message)]
struct ReadResponse {
    #[prost(message, repeated, tag = "1")]
    results: Vec<oracle::WriteRequest>,
}

fuzz_target!(|input: Input<'_>| match input {
    Input::RemoteRead(plain) => remote_read(plain),
    Input::Lines(body) => {
        let series = read_back(VictoriaMetrics, body).unwrap_or_default();
        assert!(series.iter().all(|(_, samples)| samples.is_sorted_by_key(|(at, _)| *at)));
    }
    Input::Exported(label, samples) => exported(label, samples),
    Input::BuildInfo(body) => _ = profile(body),
    Input::Metrics(text) => {
        let used = cpu_use(text);
        let json = serde_json::to_string(&used).unwrap();
        assert_eq!(serde_json::from_str::<protocol::CpuUse>(&json).ok(), Some(used), "{json}");
    }
});

fn remote_read(plain: &[u8]) {
    let ours = read_back(Prometheus, Snappy::new().compress(plain));
    let theirs = ReadResponse::decode(plain);
    match (ours, theirs) {
        (Ok(ours), Ok(response)) => {
            let theirs = response.results.into_iter().flat_map(|result| agree::theirs(result).0);
            assert!(ours.into_iter().eq(theirs.map(|series| (series.labels, series.samples))));
        }
        (Err(_), Err(_)) => {}
        (Err(why), Ok(response)) => assert!(why.contains("group") || response.results.len() != 1, "{why}"),
        (Ok(series), Err(error)) => panic!("{series:?} was read, but {error}"),
    }
}

/// Numbers as Go writes them come back bit by bit.
fn exported(label: &str, mut samples: Vec<(i64, f64)>) {
    let (mut values, mut times) = (String::new(), String::new());
    for (at, value) in &samples {
        let number = match value {
            value if value.is_nan() => "null".to_owned(),
            value if value.is_infinite() => format!("\"{}Infinity\"", if *value < 0.0 { "-" } else { "" }),
            value => format!("{value:e}"),
        };
        let _ = write!(values, ",{number}");
        let _ = write!(times, ",{at}");
    }
    let (values, times) = (values.trim_start_matches(','), times.trim_start_matches(','));
    let label = serde_json::Value::from(label);
    let line = format!("{{\"metric\":{{\"a\":{label}}},\"values\":[{values}],\"timestamps\":[{times}]}}");
    let read = read_back(VictoriaMetrics, line.as_bytes());
    samples.sort_by_key(|(at, _)| *at);
    let bits = |value: f64| if value.is_nan() { 0x7ff0_0000_0000_0002 } else { value.to_bits() };
    let expected: Vec<_> = samples.into_iter().map(|(at, value)| (at, bits(value))).collect();
    let [(_, found)] = read.as_deref().unwrap() else { panic!("{read:?}") };
    assert_eq!(*found, expected, "{line}");
}
