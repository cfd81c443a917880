//! Prometheus remote read with raw samples: `POST /api/v1/read`.
//!
//! The answer is asked for as plain samples, which every Prometheus since 1.8 gives. Its series have the layout of a write
//! request's (both are `prometheus.TimeSeries`), so the walker of Remote-Write reads them.

use prost::Message;
use remote_write::{Snappy, v1};

use super::portion::Matcher;
use super::{ReadError, Window};

/// Largest decoded answer to one query: 256 queries cover a run, so this allows about four thousand million samples.
const MAX_DECODED: usize = 1 << 28;

#[derive(Clone, PartialEq, Message)]
struct ReadRequest {
    #[prost(message, repeated, tag = "1")]
    queries: Vec<Query>,
}

#[derive(Clone, PartialEq, Message)]
struct Query {
    #[prost(int64, tag = "1")]
    start_timestamp_ms: i64,
    #[prost(int64, tag = "2")]
    end_timestamp_ms: i64,
    #[prost(message, repeated, tag = "3")]
    matchers: Vec<LabelMatcher>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelMatcher {
    /// As [`super::portion::Operator`] numbers them.
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    value: String,
}

/// `QueryResult` messages are kept as bytes: the walker reads them without copying their labels.
#[derive(Clone, PartialEq, Message)]
struct ReadResponse {
    #[prost(bytes = "vec", repeated, tag = "1")]
    results: Vec<Vec<u8>>,
}

/// The compressed body of a query for all series that match.
pub(super) fn request(matchers: &[Matcher], window: Window, snappy: &mut Snappy) -> Vec<u8> {
    let matcher =
        |one: &Matcher| LabelMatcher { kind: one.operator as i32, name: one.name.to_owned(), value: one.value.clone() };
    let matchers = matchers.iter().map(matcher).collect();
    let query = Query { start_timestamp_ms: window.from_ms, end_timestamp_ms: window.to_ms, matchers };
    snappy.compress(&ReadRequest { queries: vec![query] }.encode_to_vec()).to_vec()
}

/// Calls `each` with every series of an answer.
pub(super) fn parse(body: &[u8], snappy: &mut Snappy, mut each: impl FnMut(&v1::Series<'_>)) -> Result<(), ReadError> {
    let corrupt =
        |what: String| ReadError::Answer(format!("the answer of remote read is not what Prometheus sends: {what}"));
    // The error's own words are advice for senders of writes.
    let not_snappy = |_| corrupt(format!("no block of snappy, or one of more than {MAX_DECODED} bytes"));
    let decoded = snappy.decompress(body, MAX_DECODED).map_err(not_snappy)?;
    let response = ReadResponse::decode(decoded).map_err(|error| corrupt(error.to_string()))?;
    let [result] = &response.results[..] else {
        return Err(corrupt(format!("{} results of one query", response.results.len())));
    };
    for series in v1::walk(result) {
        each(&series.map_err(|error| corrupt(error.to_string()))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_one_result() {
        let parsed = |plain: &[u8]| {
            let body = Snappy::new().compress(plain).to_vec();
            parse(&body, &mut Snappy::new(), |_| {}).map_err(|error| error.to_string())
        };
        assert_eq!(parsed(b"\x0a\x00"), Ok(()), "one without series");
        for none_or_two in [&b""[..], b"\x0a\x00\x0a\x00"] {
            assert!(parsed(none_or_two).unwrap_err().contains("results of one query"));
        }
        assert!(parse(b"<html>", &mut Snappy::new(), |_| {}).unwrap_err().to_string().contains("no block of snappy"));
    }
}
