//! One Remote-Write request: its headers, its bytes, its samples.

use remote_write::rules::{Broken, check_series};
use remote_write::{Snappy, canonical, header, v1};

use floodmark_http::HeaderMap;

/// What a request may hold once decoded.
const MAX_DECODED: usize = crate::MAX_BODY;
/// Scratch above this is given back after a request.
const KEEP: usize = 4 << 20;

/// One sample of a request, with the place of its series in the decoded bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    pub(crate) hash: u64,
    pub(crate) timestamp_ms: i64,
    pub(crate) bits: u64,
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// The rule that its labels break, where that was seen while hashing; canonical blocks are looked at when they are new.
    pub(crate) broken: Option<Broken>,
}

/// How much of a request is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Half,
}

/// Memory that requests reuse.
#[derive(Default)]
pub(crate) struct Scratch {
    snappy: Snappy,
    labels: canonical::Scratch,
    samples: Vec<Arrived>,
}

/// A decoded request.
pub(crate) struct Decoded<'a> {
    pub(crate) plain: &'a [u8],
    pub(crate) samples: &'a [Arrived],
    /// Series without a sample, and series with native histograms: accepted, not looked into.
    pub(crate) histograms: u64,
}

/// A request that is refused as a whole: status and reason.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) u16, pub(crate) String);

/// Holds the headers to protocol 1.0.
pub(crate) fn check_headers(headers: &HeaderMap) -> Result<(), Refused> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("").trim());
    let unsupported = |what: &str, found: Option<&str>, wanted: &str| {
        Err(Refused(
            415,
            format!("{what} is {}; send {wanted}\n", found.map_or("missing".into(), |f| format!("{f:?}"))),
        ))
    };
    let encoding = text(header::CONTENT_ENCODING);
    if encoding != Some(header::SNAPPY) {
        return unsupported("Content-Encoding", encoding, header::SNAPPY);
    }
    let kind = text(header::CONTENT_TYPE);
    let (base, parameters) = kind.and_then(|kind| kind.split_once(';')).unwrap_or((kind.unwrap_or(""), ""));
    let other = |(name, value): (&str, &str)| name.eq_ignore_ascii_case("proto") && value != "prometheus.WriteRequest";
    if !base.trim().eq_ignore_ascii_case(header::CONTENT_TYPE_V1)
        || parameters.split(';').filter_map(|parameter| parameter.trim().split_once('=')).any(other)
    {
        return unsupported("Content-Type", kind, header::CONTENT_TYPE_V1);
    }
    match text(header::VERSION) {
        Some(header::VERSION_V1) => {}
        found => return Err(Refused(400, format!("{} is {found:?}; send {}\n", header::VERSION, header::VERSION_V1))),
    }
    if text(header::USER_AGENT).is_none_or(str::is_empty) {
        return Err(Refused(400, "User-Agent is missing; every sender has to name itself\n".into()));
    }
    Ok(())
}

impl Scratch {
    /// Decompresses, walks and hashes. Nothing is taken of a body that is broken anywhere.
    pub(crate) fn decode(&mut self, body: &[u8]) -> Result<Decoded<'_>, Refused> {
        let bad = |why: String| Refused(400, format!("{why}\n"));
        let plain = self.snappy.decompress(body, MAX_DECODED).map_err(|e| bad(e.to_string()))?;
        self.samples.clear();
        let mut histograms = 0;
        let start = plain.as_ptr() as usize;
        for series in v1::walk(plain) {
            let series = series.map_err(|e| bad(e.to_string()))?;
            let raw = series.raw();
            let from = raw.as_ptr() as usize - start;
            let (hash, broken) = match series.label_block() {
                Some(block) => (canonical::hash_block(block), None),
                None => (series.canonical_hash(&mut self.labels), check_series(&series).err()),
            };
            histograms += u64::from(series.has_histograms());
            for sample in series.samples() {
                self.samples.push(Arrived {
                    hash,
                    timestamp_ms: sample.timestamp,
                    bits: sample.value.to_bits(),
                    from: from as u32,
                    to: (from + raw.len()) as u32,
                    broken,
                });
            }
        }
        Ok(Decoded { plain, samples: &self.samples, histograms })
    }

    /// Gives back what one huge request needed.
    pub(crate) fn release(&mut self) {
        self.snappy.release(KEEP);
        self.labels.release(KEEP);
        if self.samples.capacity() * size_of::<Arrived>() > KEEP {
            self.samples = Vec::new();
        }
    }
}

impl Decoded<'_> {
    /// The `floodmark_run` of the first series: whose samples these are.
    pub(crate) fn run_label(&self) -> Option<&[u8]> {
        let first = self.samples.first()?;
        let series = v1::walk(self.plain.get(first.from as usize..first.to as usize)?).next()?.ok()?;
        series.label(workload::RUN_LABEL)
    }
}
