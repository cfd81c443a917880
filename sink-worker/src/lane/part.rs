//! What a lane holds: parts of requests, and the series bytes inside them.

use std::collections::VecDeque;

use bytes::Bytes;
use remote_write::canonical::Scratch;
use remote_write::{Snappy, v1};

use super::Nanos;
use crate::cut::Cut;

/// Decompressed size above which no body is looked at.
pub(crate) const MAX_DECODED: usize = 32 << 20;

/// One `TimeSeries` field (tag and length included) inside the bytes of a [`Fields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Where it starts.
    pub(crate) start: u32,
    /// Where it ends.
    pub(crate) end: u32,
    /// Samples and native histograms in it.
    pub(crate) samples: u32,
    /// Canonical label hash.
    pub(crate) hash: u64,
    /// Timestamp of its oldest sample, milliseconds.
    pub(crate) first: i64,
    /// Timestamp of its newest sample, milliseconds.
    pub(crate) last: i64,
}

/// Series that can be taken apart, joined and compressed again; their bytes are never changed.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    /// Holds every field, and maybe others.
    pub(crate) bytes: Bytes,
    /// In the sender's order.
    pub(crate) list: Vec<Field>,
}

impl Fields {
    /// Samples in all.
    pub(crate) fn samples(&self) -> u64 {
        self.list.iter().map(|field| u64::from(field.samples)).sum()
    }

    /// Bytes that they occupy.
    pub(crate) fn occupies(&self) -> u64 {
        (self.bytes.len() + self.list.len() * size_of::<Field>()) as u64
    }

    /// The same in order, at most so many samples each, but one series at least.
    pub(crate) fn cut(self, most: u64) -> VecDeque<Payload> {
        let mut slices = VecDeque::new();
        let (mut list, mut samples) = (Vec::new(), 0);
        for field in self.list {
            if samples > 0 && samples + u64::from(field.samples) > most {
                slices.push_back(Payload::Fields(Self { bytes: self.bytes.clone(), list: std::mem::take(&mut list) }));
                samples = 0;
            }
            samples += u64::from(field.samples);
            list.push(field);
        }
        slices.push_back(Payload::Fields(Self { bytes: self.bytes, list }));
        slices
    }

    /// Appends the fields as they are, in runs of neighbours.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut run: Option<(u32, u32)> = None;
        for field in &self.list {
            run = match run {
                Some((start, end)) if end == field.start => Some((start, field.end)),
                Some((start, end)) => {
                    out.extend_from_slice(&self.bytes[start as usize..end as usize]);
                    Some((field.start, field.end))
                }
                None => Some((field.start, field.end)),
            };
        }
        if let Some((start, end)) = run {
            out.extend_from_slice(&self.bytes[start as usize..end as usize]);
        }
    }

    /// The bytes of one field.
    pub(crate) fn raw(&self, field: &Field) -> &[u8] {
        &self.bytes[field.start as usize..field.end as usize]
    }
}

/// What is sent of a part at a time.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// A whole request as it came, still compressed.
    Original {
        /// The snappy block.
        body: Bytes,
        /// Series in it.
        series: u32,
        /// Samples in it.
        samples: u64,
    },
    /// Series of a request.
    Fields(Fields),
}

impl Payload {
    /// Samples in all.
    pub(crate) fn samples(&self) -> u64 {
        match self {
            Self::Original { samples, .. } => *samples,
            Self::Fields(fields) => fields.samples(),
        }
    }

    /// Series in all.
    pub(crate) fn series(&self) -> u64 {
        match self {
            Self::Original { series, .. } => u64::from(*series),
            Self::Fields(fields) => fields.list.len() as u64,
        }
    }

    /// Two halves with every sample once, the older ones of a series first; `None` when there is nothing to divide.
    pub(crate) fn halve(&self) -> Option<(Fields, Fields)> {
        let opened;
        let fields = match self {
            Self::Fields(fields) => fields,
            Self::Original { body, .. } => {
                opened = open(body)?;
                &opened
            }
        };
        if let [only] = fields.list.as_slice() {
            let cut = Cut::parse(fields.raw(only))?;
            let half = cut.points().len() / 2;
            if half == 0 {
                return None;
            }
            let older = cut.build(0..half, only.hash);
            let newer = cut.build(half..cut.points().len(), only.hash);
            return Some((older, newer));
        }
        if fields.list.len() < 2 {
            return None;
        }
        let (left, right) = fields.list.split_at(fields.list.len() / 2);
        let part = |list: &[Field]| Fields { bytes: fields.bytes.clone(), list: list.to_vec() };
        Some((part(left), part(right)))
    }
}

/// The series of a compressed request that was walked before; `None` when it is not a request after all.
fn open(body: &[u8]) -> Option<Fields> {
    let mut snappy = Snappy::new();
    let plain = Bytes::copy_from_slice(snappy.decompress(body, MAX_DECODED).ok()?);
    let mut scratch = Scratch::new();
    let mut list = Vec::new();
    for series in v1::walk(&plain) {
        let series = series.ok()?;
        let start = u32::try_from(series.raw().as_ptr() as usize - plain.as_ptr() as usize).ok()?;
        let field = Field {
            start,
            end: start + u32::try_from(series.raw().len()).ok()?,
            samples: 0,
            hash: series.canonical_hash(&mut scratch),
            first: 0,
            last: 0,
        };
        list.push(measure(field, &series));
    }
    Some(Fields { bytes: plain, list })
}

/// Fills in the number of samples and their times.
pub(crate) fn measure(mut field: Field, series: &v1::Series<'_>) -> Field {
    if series.has_histograms() {
        let cut = Cut::parse(series.raw());
        let points = cut.as_ref().map_or(&[][..], Cut::points);
        field.samples = points.len() as u32;
        field.first = points.iter().map(|point| point.timestamp).min().unwrap_or(0);
        field.last = points.iter().map(|point| point.timestamp).max().unwrap_or(0);
    } else {
        field.samples = series.sample_count() as u32;
        let mut times = series.samples().map(|sample| sample.timestamp);
        let first = times.next().unwrap_or(0);
        (field.first, field.last) = times.fold((first, first), |(low, high), time| (low.min(time), high.max(time)));
    }
    field
}

/// The share of one request that one lane sends.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
pub(crate) struct Part {
    /// Names it towards whoever waits for it.
    pub(crate) id: u64,
    /// When it was admitted.
    pub(crate) arrived: Nanos,
    /// Sent one after the other, each after the one before was settled; never empty.
    pub(crate) slices: VecDeque<Payload>,
    /// Never merged with others: a generator's request, a fault, or several slices.
    pub(crate) alone: bool,
    /// No series twice in a slice, so that repeating the newest slice changes nothing.
    pub(crate) once: bool,
    /// Holds faults on purpose: a refusal is the answer, not something to look into.
    pub(crate) fault: bool,
    /// Its sender is told that it was taken as soon as it is in the buffer.
    pub(crate) promised: bool,
    /// When it should have left the sender, microseconds since the Unix epoch.
    pub(crate) intended_us: Option<u64>,
    /// Newest timestamp in it, milliseconds; a hint for metrics.
    pub(crate) newest: i64,
}

impl Part {
    /// Samples in all.
    pub(crate) fn samples(&self) -> u64 {
        self.slices.iter().map(Payload::samples).sum()
    }
}
