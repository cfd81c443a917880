//! One Remote-Write request: its headers, its bytes, its samples.

use remote_write::rules::{Broken, check_series};
use remote_write::{Snappy, canonical, header, v1};

use floodmark_http::HeaderMap;

/// What a request may hold once decoded.
const MAX_DECODED: usize = crate::MAX_BODY;
/// Samples of one request: far more than any sender puts into one, so that 32 MiB of the smallest ones do not become a gigabyte.
const MAX_SAMPLES: usize = 1 << 21;
/// Bytes of a sample in a request as senders write it, its share of the labels included, and of the smallest one there can be.
const USUAL: usize = 16;
const SMALLEST: usize = 2;
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

/// What decoding a body may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) bytes: usize,
    samples: usize,
}

/// Why a body was not decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Undecoded {
    Refused(Refused),
    /// Its samples are smaller than usual: it needs more room.
    Dense,
}

impl From<Refused> for Undecoded {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Need {
    /// Of a body, by the size that it declares. `dense`: whatever is in it.
    pub(crate) fn of(body: &[u8], dense: bool) -> Result<Self, Refused> {
        let plain = Snappy::size(body, MAX_DECODED).map_err(|e| bad(&e))?;
        let samples = (plain / if dense { SMALLEST } else { USUAL }).min(MAX_SAMPLES);
        // A vector that grows has up to twice the memory that it needs.
        Ok(Self { bytes: plain + 2 * samples * size_of::<Arrived>(), samples })
    }
}

fn bad(why: &impl std::fmt::Display) -> Refused {
    Refused(400, format!("{why}\n"))
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
    /// Decompresses, walks and hashes, within what is needed. Nothing is taken of a body that is broken anywhere.
    pub(crate) fn decode(&mut self, body: &[u8], need: Need) -> Result<Decoded<'_>, Undecoded> {
        let plain = self.snappy.decompress(body, MAX_DECODED).map_err(|e| bad(&e))?;
        self.samples.clear();
        let mut histograms = 0;
        let start = plain.as_ptr() as usize;
        for series in v1::walk(plain) {
            let series = series.map_err(|e| bad(&e))?;
            let count = self.samples.len() + series.sample_count();
            if count > MAX_SAMPLES {
                return Err(
                    Refused(413, format!("more than {MAX_SAMPLES} samples in a request; send smaller ones\n")).into()
                );
            }
            if count > need.samples {
                return Err(Undecoded::Dense);
            }
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
        series.label(workload::RUN_LABEL.as_bytes())
    }
}
