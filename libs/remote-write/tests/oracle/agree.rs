//! Holds the walk to the generated decoder.
#![allow(unreachable_pub, reason = "included by test binaries")]

use super::oracle::WriteRequest;
use floodmark_remote_write::v1::{WalkFault, walk};
use prost::Message;

type Labels = Vec<(Vec<u8>, Vec<u8>)>;

/// What both sides see of a series, values as bits.
#[derive(Debug, PartialEq)]
pub struct Seen {
    pub labels: Labels,
    pub samples: Vec<(i64, u64)>,
    pub exemplars: bool,
    pub histograms: bool,
}

pub fn ours(body: &[u8]) -> Result<(Vec<Seen>, u64), WalkFault> {
    let mut seen = Vec::new();
    let mut series = walk(body);
    for series in series.by_ref() {
        let series = series.map_err(|error| {
            assert!(error.offset <= body.len(), "{error}");
            error.fault
        })?;
        assert_eq!(series.samples().len(), series.sample_count());
        seen.push(Seen {
            labels: series.labels().map(|label| (label.name.to_vec(), label.value.to_vec())).collect(),
            samples: series.samples().map(|sample| (sample.timestamp, sample.value.to_bits())).collect(),
            exemplars: series.has_exemplars(),
            histograms: series.has_histograms(),
        });
        assert_eq!(seen.last().map(|seen| seen.samples.len()), Some(series.sample_count()));
    }
    Ok((seen, series.metadata()))
}

pub fn theirs(request: WriteRequest) -> (Vec<Seen>, u64) {
    let metadata = request.metadata.len() as u64;
    let seen = request.timeseries.into_iter().map(|series| Seen {
        labels: series.labels.into_iter().map(|label| (label.name, label.value)).collect(),
        samples: series.samples.into_iter().map(|sample| (sample.timestamp, sample.value.to_bits())).collect(),
        exemplars: !series.exemplars.is_empty(),
        histograms: !series.histograms.is_empty(),
    });
    (seen.collect(), metadata)
}

/// Both decode the same or both refuse; only groups are refused by the walk alone.
pub fn agree(body: &[u8]) {
    match (ours(body), WriteRequest::decode(body)) {
        (Ok(ours), Ok(request)) => assert_eq!(ours, theirs(request), "body {body:02x?}"),
        (Err(WalkFault::Group), Ok(_)) | (Err(_), Err(_)) => {}
        (ours, request) => panic!("walk {ours:?}, prost {request:?}, body {body:02x?}"),
    }
}
