//! Writing a request: label blocks are copied, only value and timestamp are made.

use crate::Sample;
use crate::wire::{put_varint, varint_len};
use std::fmt;

/// Builds the uncompressed body of one request in a buffer that is kept.
///
/// Both fields of a sample are always written, also when they are zero. A generated encoder leaves zeros out, which
/// loses the sign of -0.0; both forms decode to the same otherwise.
#[derive(Clone)]
pub struct Encoder {
    body: Vec<u8>,
    stamp: Stamp,
}

/// The sample field of the last timestamp, its value to be patched in: series of one scrape share a timestamp.
#[derive(Clone, Copy)]
struct Stamp {
    timestamp: i64,
    field: [u8; FIELD],
    len: usize,
}

/// Room for the longest sample field, 2 + 9 + 1 + 10 bytes, rounded up to whole words for the copy.
const FIELD: usize = 24;
const VALUE: std::ops::Range<usize> = 3..11;

impl Stamp {
    fn new(timestamp: i64) -> Self {
        let mut field = [0; FIELD];
        let mut rest = timestamp.cast_unsigned();
        let stamp_len = varint_len(rest);
        field[0] = 0x12;
        field[1] = (1 + 8 + 1 + stamp_len) as u8;
        field[2] = 0x09;
        field[11] = 0x10;
        for byte in &mut field[12..12 + stamp_len] {
            *byte = rest as u8 | 0x80;
            rest >>= 7;
        }
        field[12 + stamp_len - 1] &= 0x7f;
        Self { timestamp, field, len: 12 + stamp_len }
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// Empty, without memory.
    pub fn new() -> Self {
        Self { body: Vec::new(), stamp: Stamp::new(0) }
    }

    /// Starts the next request in the same memory.
    #[inline]
    pub fn clear(&mut self) {
        self.body.clear();
    }

    /// Whether nothing was written since [`Encoder::clear`].
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// Bytes of the body so far.
    #[inline]
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// The request, to be compressed.
    #[inline]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// One series: encoded label fields, copied as they are, and its samples in the order given.
    #[inline]
    pub fn series(&mut self, block: &[u8], samples: &[Sample]) {
        let stamps: usize = samples.iter().map(|sample| 12 + varint_len(sample.timestamp.cast_unsigned())).sum();
        self.head(block.len() + stamps);
        self.body.extend_from_slice(block);
        for &sample in samples {
            self.sample(sample);
        }
    }

    /// One series with one sample whose label fields come in pieces: the generator's hot path.
    #[inline]
    pub fn series_parts(&mut self, parts: &[&[u8]], sample: Sample) {
        if sample.timestamp != self.stamp.timestamp {
            self.stamp = Stamp::new(sample.timestamp);
        }
        let labels: usize = parts.iter().map(|part| part.len()).sum();
        self.head(labels + self.stamp.len);
        for part in parts {
            self.body.extend_from_slice(part);
        }
        self.sample(sample);
    }

    /// One field of the request as it is, tag and length included, such as [`super::Series::raw`].
    #[inline]
    pub fn raw(&mut self, field: &[u8]) {
        self.body.extend_from_slice(field);
    }

    /// One series whose inner fields are given as they are, such as [`super::Literal::fields`].
    pub fn fields(&mut self, fields: &[u8]) {
        self.head(fields.len());
        self.body.extend_from_slice(fields);
    }

    /// Tag and length of a `TimeSeries` of `len` bytes, and room for it.
    #[inline]
    fn head(&mut self, len: usize) {
        self.body.reserve(len + 16 + FIELD);
        if (0x80..0x4000).contains(&len) {
            let head = [0x0a, len as u8 | 0x80, (len >> 7) as u8];
            self.body.extend_from_slice(&head);
        } else {
            self.body.push(0x0a);
            put_varint(&mut self.body, len as u64);
        }
    }

    #[inline]
    fn sample(&mut self, sample: Sample) {
        if sample.timestamp != self.stamp.timestamp {
            self.stamp = Stamp::new(sample.timestamp);
        }
        let mut field = self.stamp.field;
        field[VALUE].copy_from_slice(&sample.value.to_bits().to_le_bytes());
        // A copy of fixed size, then cut: cheaper than one of the exact length.
        let end = self.body.len() + self.stamp.len;
        self.body.extend_from_slice(&field);
        self.body.truncate(end);
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("len", &self.body.len()).finish_non_exhaustive()
    }
}
