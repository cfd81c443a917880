//! One `TimeSeries`: parsed and checked in a single pass that also finds out whether its labels are canonical as they
//! stand, so that most hashes are taken of borrowed bytes.

use super::walk::{WalkError, WalkFault};
use crate::canonical::{self, Scratch};
use crate::wire::{FIXED64, LEN, Reader, VARINT};
use crate::{Label, Sample};

/// A series of a request, checked when it was walked; every iterator over it is infallible.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    raw: &'a [u8],
    fields: &'a [u8],
    /// Holds every label field: the labels alone where they are contiguous, else all fields.
    labels: &'a [u8],
    canonical: bool,
    exemplars: bool,
    histograms: bool,
    samples: usize,
    first: Sample,
    /// Fields after the first sample.
    rest: &'a [u8],
}

impl<'a> Series<'a> {
    /// The whole field, tag and length included: copy it into another request as it is.
    #[inline]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The fields inside the `TimeSeries`, without tag and length.
    #[inline]
    pub fn fields(&self) -> &'a [u8] {
        self.fields
    }

    /// The label fields, where they are the canonical block already.
    #[inline]
    pub fn label_block(&self) -> Option<&'a [u8]> {
        self.canonical.then_some(self.labels)
    }

    /// The labels, in wire order, empty and repeated ones included.
    #[inline]
    pub fn labels(&self) -> Labels<'a> {
        Labels {
            reader: Reader {
                buf: self.labels,
                pos: 0,
            },
        }
    }

    /// The samples, in wire order.
    #[inline]
    pub fn samples(&self) -> Samples<'a> {
        Samples {
            first: (self.samples > 0).then_some(self.first),
            reader: Reader {
                buf: self.rest,
                pos: 0,
            },
            left: self.samples,
        }
    }

    /// How many samples there are.
    #[inline]
    pub fn sample_count(&self) -> usize {
        self.samples
    }

    /// Whether a native histogram is present (not looked into).
    #[inline]
    pub fn has_histograms(&self) -> bool {
        self.histograms
    }

    /// Whether an exemplar is present (not looked into).
    #[inline]
    pub fn has_exemplars(&self) -> bool {
        self.exemplars
    }

    /// The canonical label hash: the same for every order and encoding of the same labels.
    #[inline]
    pub fn canonical_hash(&self, scratch: &mut Scratch) -> u64 {
        match self.label_block() {
            Some(block) => canonical::hash_block(block),
            None => canonical::hash_labels(self.labels(), scratch),
        }
    }

    /// The canonical block itself: borrowed from the request where possible, else built in `scratch`.
    #[inline]
    pub fn canonical_block<'s>(&self, scratch: &'s mut Scratch) -> &'s [u8]
    where
        'a: 's,
    {
        match self.label_block() {
            Some(block) => block,
            None => canonical::block_of(self.labels(), scratch),
        }
    }

    /// The value of the first label of that name.
    pub fn label(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.labels()
            .find(|label| label.name == name)
            .map(|label| label.value)
    }
}

/// Iterator of [`Series::labels`].
#[derive(Clone)]
pub struct Labels<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Labels<'a> {
    type Item = Label<'a>;

    #[inline]
    fn next(&mut self) -> Option<Label<'a>> {
        while !self.reader.at_end() {
            // The bytes were checked by the walk: an error cannot happen, and would end the labels.
            let (field, wire) = self.reader.key().ok()?;
            if field == 1 {
                let end = self.reader.payload_end().ok()?;
                let label = label(self.reader.buf, self.reader.pos, end).ok()?;
                self.reader.pos = end;
                return Some(label);
            }
            self.reader.skip(wire).ok()?;
        }
        None
    }
}

/// Iterator of [`Series::samples`].
#[derive(Clone)]
pub struct Samples<'a> {
    first: Option<Sample>,
    reader: Reader<'a>,
    left: usize,
}

impl Iterator for Samples<'_> {
    type Item = Sample;

    #[inline]
    fn next(&mut self) -> Option<Sample> {
        if let Some(first) = self.first.take() {
            self.left -= 1;
            return Some(first);
        }
        while self.left > 0 {
            let (field, wire) = self.reader.key().ok()?;
            if field == 2 {
                let end = self.reader.payload_end().ok()?;
                let sample = sample(self.reader.buf, self.reader.pos, end).ok()?;
                self.reader.pos = end;
                self.left -= 1;
                return Some(sample);
            }
            self.reader.skip(wire).ok()?;
        }
        None
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Samples<'_> {}

/// Reads `Label` out of `buf[pos..end]`.
#[inline]
fn label(buf: &[u8], pos: usize, end: usize) -> Result<Label<'_>, WalkError> {
    let mut reader = Reader {
        buf: &buf[..end],
        pos,
    };
    let mut label = Label {
        name: &[],
        value: &[],
    };
    while !reader.at_end() {
        let at = reader.pos;
        match reader.key()? {
            (1, LEN) => label.name = reader.bytes()?,
            (2, LEN) => label.value = reader.bytes()?,
            (field @ (1 | 2), wire) => return Err(wrong_type(at, field, wire)),
            (_, wire) => reader.skip(wire)?,
        }
    }
    Ok(label)
}

/// Reads `Sample` out of `buf[pos..end]`.
#[inline]
fn sample(buf: &[u8], pos: usize, end: usize) -> Result<Sample, WalkError> {
    let mut reader = Reader {
        buf: &buf[..end],
        pos,
    };
    let mut sample = Sample {
        timestamp: 0,
        value: 0.0,
    };
    while !reader.at_end() {
        let at = reader.pos;
        match reader.key()? {
            (1, FIXED64) => sample.value = f64::from_bits(reader.fixed64()?),
            (2, VARINT) => sample.timestamp = reader.varint()?.cast_signed(),
            (field @ (1 | 2), wire) => return Err(wrong_type(at, field, wire)),
            (_, wire) => reader.skip(wire)?,
        }
    }
    Ok(sample)
}

#[cold]
fn wrong_type(offset: usize, field: u32, wire: u8) -> WalkError {
    WalkError {
        offset,
        fault: WalkFault::WireType { field, wire },
    }
}

/// A label in the encoding nearly every sender uses: both fields, in order, every length in one byte, value not empty.
#[derive(Clone, Copy)]
struct Short {
    name: usize,
    name_len: usize,
    end: usize,
}

#[inline]
fn short_label(buf: &[u8], pos: usize) -> Option<Short> {
    let &[tag, len, name_tag, name_len] = buf.get(pos..)?.first_chunk()?;
    let (len, name_len) = (usize::from(len), usize::from(name_len));
    let name = pos + 4;
    let &[value_tag, value_len] = buf.get(name + name_len..)?.first_chunk()?;
    let value_len = usize::from(value_len);
    let end = name + name_len + 2 + value_len;
    // Its own length in one byte bounds the two inside it.
    let fits = tag == 0x0a && name_tag == 0x0a && value_tag == 0x12 && len < 0x80;
    (fits && value_len != 0 && len == 4 + name_len + value_len && end <= buf.len()).then_some(
        Short {
            name,
            name_len,
            end,
        },
    )
}

/// The first eight bytes of a name as a number that orders like them; shorter names are padded with zeros.
#[inline]
fn name_key(buf: &[u8], at: usize, len: usize) -> u64 {
    let rest = buf.get(at..).unwrap_or_default();
    let word = rest.first_chunk().copied().unwrap_or_else(|| {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        word
    });
    let word = u64::from_be_bytes(word);
    if len < 8 {
        word & !(u64::MAX >> (8 * len))
    } else {
        word
    }
}

/// What the pass knows of the labels seen so far.
struct Order<'a> {
    name: &'a [u8],
    key: u64,
    start: usize,
    end: usize,
    any: bool,
    contiguous: bool,
    canonical: bool,
}

impl<'a> Order<'a> {
    /// Takes the label field `from..end`; `key` is the name's [`name_key`]; `minimal`: encoded as canonical labels are.
    #[inline]
    fn take(&mut self, from: usize, end: usize, name: &'a [u8], key: u64, minimal: bool) {
        if self.any {
            self.contiguous &= from == self.end;
            // Padded prefixes that differ decide; equal ones leave it to the whole names.
            self.canonical &= key > self.key || (key == self.key && name > self.name);
        } else {
            self.start = from;
            self.any = true;
        }
        self.canonical &= minimal;
        self.name = name;
        self.key = key;
        self.end = end;
    }
}

/// Parses the series whose field starts at `raw` and whose fields are `buf[start..]`.
#[inline]
pub(super) fn parse(buf: &[u8], raw: usize, start: usize) -> Result<Series<'_>, WalkError> {
    let mut order = Order {
        name: &[],
        key: 0,
        start,
        end: start,
        any: false,
        contiguous: true,
        canonical: true,
    };
    let mut reader = Reader { buf, pos: start };
    while let Some(short) = short_label(buf, reader.pos) {
        let name = &buf[short.name..short.name + short.name_len];
        let key = name_key(buf, short.name, short.name_len);
        order.take(reader.pos, short.end, name, key, true);
        reader.pos = short.end;
    }
    let mut series = Series {
        raw: &buf[raw..],
        fields: &buf[start..],
        labels: &[],
        canonical: true,
        exemplars: false,
        histograms: false,
        samples: 0,
        first: Sample {
            timestamp: 0,
            value: 0.0,
        },
        rest: &[],
    };
    while !reader.at_end() {
        let at = reader.pos;
        match reader.key()? {
            (1, LEN) => {
                let end = reader.payload_end()?;
                let label = label(buf, reader.pos, end)?;
                // Shortest possible with the name's field first: then both fields are there once, in order.
                let minimal = !label.value.is_empty()
                    && buf.get(reader.pos) == Some(&0x0a)
                    && end - at == canonical::label_len(label.name.len(), label.value.len());
                let key = name_key(label.name, 0, label.name.len());
                order.take(at, end, label.name, key, minimal);
                reader.pos = end;
            }
            (2, LEN) => {
                let end = reader.payload_end()?;
                let sample = sample(buf, reader.pos, end)?;
                reader.pos = end;
                if series.samples == 0 {
                    series.first = sample;
                    series.rest = &buf[end..];
                }
                series.samples += 1;
            }
            (field @ 3..=4, LEN) => {
                reader.bytes()?;
                series.exemplars |= field == 3;
                series.histograms |= field == 4;
            }
            (field @ 1..=4, wire) => return Err(wrong_type(at, field, wire)),
            (_, wire) => reader.skip(wire)?,
        }
    }
    series.labels = if order.contiguous {
        &buf[order.start..order.end]
    } else {
        series.fields
    };
    series.canonical = order.canonical && order.contiguous;
    Ok(series)
}

impl std::fmt::Debug for Labels<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl std::fmt::Debug for Samples<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
