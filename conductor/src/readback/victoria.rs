//! VictoriaMetrics' export: `GET /api/v1/export`, one JSON object a line, raw samples as they are stored.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ReadError, Window};

#[derive(Deserialize)]
struct Line {
    metric: BTreeMap<String, String>,
    values: Vec<Value>,
    timestamps: Vec<i64>,
}

/// A number, `null` for a NaN, or the name of an infinity.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Number(f64),
    Infinite(Infinity),
    Null,
}

#[derive(Deserialize)]
enum Infinity {
    #[serde(rename = "Infinity")]
    Positive,
    #[serde(rename = "-Infinity")]
    Negative,
}

impl Value {
    fn as_f64(&self) -> f64 {
        match self {
            Self::Number(value) => *value,
            Self::Infinite(Infinity::Positive) => f64::INFINITY,
            Self::Infinite(Infinity::Negative) => f64::NEG_INFINITY,
            // Ordinary NaN is dropped on ingestion: what is kept is the stale marker.
            Self::Null => f64::from_bits(0x7ff0_0000_0000_0002),
        }
    }
}

/// One exported series.
pub(super) struct Exported {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) samples: Vec<(i64, f64)>,
}

/// Path and query for all series with these labels.
pub(super) fn path(labels: &[(&str, &str)], window: Window) -> String {
    let matchers: Vec<String> = labels.iter().map(|(name, value)| format!("{name}%3D%22{value}%22")).collect();
    format!(
        "/api/v1/export?match[]=%7B{}%7D&start={}&end={}&reduce_mem_usage=1",
        matchers.join("%2C"),
        // Seconds: old versions take no other unit. A start before 1970 is refused.
        (window.from_ms / 1000).max(0),
        window.to_ms / 1000 + 1
    )
}

/// Calls `each` with every series of an answer, its samples sorted: one series comes in several lines, in any order.
pub(super) fn parse(body: &[u8], mut each: impl FnMut(Exported)) -> Result<(), ReadError> {
    let mut all: BTreeMap<BTreeMap<String, String>, Vec<(i64, f64)>> = BTreeMap::new();
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Line = serde_json::from_slice(line).map_err(|error| {
            ReadError::Answer(format!("a line of the export is not what VictoriaMetrics sends: {error}"))
        })?;
        if line.values.len() != line.timestamps.len() {
            return Err(ReadError::Answer("a line of the export has more values than timestamps, or fewer".into()));
        }
        let values = line.values.iter().map(Value::as_f64);
        all.entry(line.metric).or_default().extend(line.timestamps.iter().copied().zip(values));
    }
    for (labels, mut samples) in all {
        samples.sort_by_key(|(timestamp, _)| *timestamp);
        each(Exported { labels, samples });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines_with_all_kinds_of_values() {
        let body = br#"{"metric":{"__name__":"a","x":"1"},"values":["Infinity",-2.5],"timestamps":[3,4]}
{"metric":{"__name__":"a","x":"1"},"values":[1,null],"timestamps":[1,2]}
"#;
        let mut seen = Vec::new();
        parse(body, |series| seen.push(series)).unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].labels["__name__"], "a");
        let bits: Vec<u64> = seen[0].samples.iter().map(|(_, value)| value.to_bits()).collect();
        assert_eq!(bits, [1f64.to_bits(), 0x7ff0_0000_0000_0002, f64::INFINITY.to_bits(), (-2.5f64).to_bits()]);
        assert!(parse(b"{\"metric\":{},\"values\":[1],\"timestamps\":[]}", |_| {}).is_err());
        assert!(parse(b"<html>", |_| {}).is_err());
        assert!(parse(b"{\"metric\":{},\"values\":[\"1.5\"],\"timestamps\":[1]}", |_| {}).is_err());
    }

    #[test]
    fn numbers_are_read_to_the_last_bit() {
        let mut read = Vec::new();
        let body = b"{\"metric\":{},\"values\":[18.066666666666663,5e-324],\"timestamps\":[1,2]}";
        parse(body, |series| read.extend(series.samples)).unwrap();
        assert_eq!(read, [(1, 18.066_666_666_666_663), (2, 5e-324)]);
    }
}
