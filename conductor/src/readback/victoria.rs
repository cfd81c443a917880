//! VictoriaMetrics' export: `GET /api/v1/export`, one JSON object a line, raw samples as they are stored.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::portion::{Matcher, Operator};
use super::{ReadError, Window};

/// A line without its values.
#[derive(Deserialize)]
struct Line {
    metric: BTreeMap<String, String>,
    timestamps: Vec<i64>,
}

/// What stands before the values, and nowhere else: within a text its quotes would be escaped.
const VALUES: &[u8] = b",\"values\":[";
/// Ordinary NaN is dropped on ingestion: what is kept is the stale marker.
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// One exported series.
pub(super) struct Exported {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) samples: Vec<(i64, f64)>,
}

/// Path and query for all series that match.
pub(super) fn path(matchers: &[Matcher], window: Window) -> String {
    let matcher = |Matcher { name, operator, value }: &Matcher| {
        let operator = match operator {
            Operator::Equal => "%3D",
            Operator::NotRegex => "%21~",
        };
        format!("{name}{operator}%22{}%22", value.replace('|', "%7C"))
    };
    let matchers: Vec<String> = matchers.iter().map(matcher).collect();
    format!(
        "/api/v1/export?match[]=%7B{}%7D&start={}&end={}&reduce_mem_usage=1",
        matchers.join("%2C"),
        // Seconds: old versions take no other unit. A start before 1970 is refused.
        (window.from_ms / 1000).max(0),
        window.to_ms / 1000 + 1
    )
}

fn corrupt(what: &str) -> ReadError {
    ReadError::Answer(format!("a line of the export is not what VictoriaMetrics sends: {what}"))
}

/// A line without its values, and these: they are no JSON where one is not finite.
fn split(line: &[u8]) -> Option<(Vec<u8>, Vec<f64>)> {
    let begin = line.windows(VALUES.len()).position(|window| window == VALUES)?;
    let values = &line[begin + VALUES.len()..];
    let end = values.iter().position(|byte| *byte == b']')?;
    let rest = [&line[..begin], &values[end + 1..]].concat();
    let values = std::str::from_utf8(&values[..end]).ok()?;
    let values = if values.is_empty() { Some(Vec::new()) } else { values.split(',').map(value).collect() };
    Some((rest, values?))
}

/// What is no finite number has two spellings, by version and place.
fn value(text: &str) -> Option<f64> {
    match text {
        "null" | "NaN" => Some(f64::from_bits(STALE)),
        "\"Infinity\"" | "+Inf" => Some(f64::INFINITY),
        "\"-Infinity\"" | "-Inf" => Some(f64::NEG_INFINITY),
        number => number.parse().ok().filter(|value: &f64| value.is_finite()),
    }
}

/// Calls `each` with every series of an answer, its samples sorted: one series comes in several lines, in any order.
pub(super) fn parse(body: &[u8], mut each: impl FnMut(Exported)) -> Result<(), ReadError> {
    let mut all: BTreeMap<BTreeMap<String, String>, Vec<(i64, f64)>> = BTreeMap::new();
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let (line, values) = split(line).ok_or_else(|| corrupt("it has no values"))?;
        let line: Line = serde_json::from_slice(&line).map_err(|error| corrupt(&error.to_string()))?;
        if values.len() != line.timestamps.len() {
            return Err(corrupt("it has more values than timestamps, or fewer"));
        }
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
        let body = br#"{"metric":{"__name__":"a","x":",\"values\":[7]"},"values":["Infinity",-2.5],"timestamps":[5,6]}
{"metric":{"__name__":"a","x":",\"values\":[7]"},"values":[1,null,NaN,-Inf],"timestamps":[1,2,3,4]}
"#;
        let mut seen = Vec::new();
        parse(body, |series| seen.push(series)).unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].labels["x"], ",\"values\":[7]");
        let bits: Vec<u64> = seen[0].samples.iter().map(|(_, value)| value.to_bits()).collect();
        let [inf, minus_inf] = [f64::INFINITY.to_bits(), f64::NEG_INFINITY.to_bits()];
        assert_eq!(bits, [1f64.to_bits(), STALE, STALE, minus_inf, inf, (-2.5f64).to_bits()]);
    }

    #[test]
    fn refuses_what_is_no_line() {
        for body in [
            &br#"{"metric":{},"values":[1],"timestamps":[]}"#[..],
            br#"{"metric":{},"values":[1,],"timestamps":[1]}"#,
            br#"{"metric":{},"values":[one],"timestamps":[1]}"#,
            br#"{"metric":{},"values":["1.5"],"timestamps":[1]}"#,
            br#"{"metric":{},"values":[1e999],"timestamps":[1]}"#,
            br#"{"metric":{},"values":[1"#,
            b"<html>",
        ] {
            assert!(parse(body, |_| {}).is_err(), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn numbers_are_read_to_the_last_bit() {
        let mut read = Vec::new();
        let body = b"{\"metric\":{},\"values\":[18.066666666666663,5e-324],\"timestamps\":[1,2]}";
        parse(body, |series| read.extend(series.samples)).unwrap();
        assert_eq!(read, [(1, 18.066_666_666_666_663), (2, 5e-324)]);
    }
}
