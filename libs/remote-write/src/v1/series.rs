//! One `TimeSeries`: parsed and checked in a single pass that also finds out whether its labels are canonical as they
//! stand, so that most hashes are taken of borrowed bytes.

use super::fast;
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
        Labels { reader: Reader { buf: self.labels, pos: 0 } }
    }

    /// The samples, in wire order.
    #[inline]
    pub fn samples(&self) -> Samples<'a> {
        Samples {
            first: (self.samples > 0).then_some(self.first),
            reader: Reader { buf: self.rest, pos: 0 },
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
        self.labels().find(|label| label.name == name).map(|label| label.value)
    }
}

const NO_SAMPLE: Sample = Sample { timestamp: 0, value: 0.0 };

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
    let mut reader = Reader { buf: &buf[..end], pos };
    let mut label = Label { name: &[], value: &[] };
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
    let mut reader = Reader { buf: &buf[..end], pos };
    let mut sample = NO_SAMPLE;
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
    WalkError { offset, fault: WalkFault::WireType { field, wire } }
}

/// What the general parser knows of the labels seen so far.
struct Order<'a> {
    name: &'a [u8],
    start: usize,
    end: usize,
    any: bool,
    contiguous: bool,
    canonical: bool,
}

impl<'a> Order<'a> {
    /// Takes the label field `from..end`; `minimal`: encoded as canonical labels are.
    fn take(&mut self, from: usize, end: usize, name: &'a [u8], minimal: bool) {
        if self.any {
            self.contiguous &= from == self.end;
            self.canonical &= name > self.name;
        } else {
            self.start = from;
            self.any = true;
        }
        self.canonical &= minimal;
        self.name = name;
        self.end = end;
    }
}

/// Parses the series whose field starts at `raw` and whose fields are `body[start..end]`.
#[inline]
pub(super) fn parse(body: &[u8], raw: usize, start: usize, end: usize) -> Result<Series<'_>, WalkError> {
    let run = fast::labels(body, start, end);
    let fast = fast::sample(body, run.end, end);
    let (samples, first, pos) = match fast {
        Some((sample, next)) => (1, sample, next),
        None => (0, NO_SAMPLE, run.end),
    };
    // Built in one place and returned from there: copying it about costs as much as two labels.
    let series = Series {
        raw: &body[raw..end],
        fields: &body[start..end],
        labels: &body[start..run.end],
        canonical: run.sorted,
        exemplars: false,
        histograms: false,
        samples,
        first,
        rest: &body[pos..end],
    };
    if pos == end { Ok(series) } else { parse_rest(&body[..end], start, pos, &run, series) }
}

/// The general parser: takes on at `pos`, after the labels of `run` and what `series` holds already.
fn parse_rest<'a>(
    buf: &'a [u8],
    start: usize,
    pos: usize,
    run: &fast::Run,
    mut series: Series<'a>,
) -> Result<Series<'a>, WalkError> {
    let mut order = Order {
        name: &buf[run.name..run.name + run.name_len],
        start,
        end: run.end,
        any: run.any,
        contiguous: true,
        canonical: run.sorted,
    };
    let mut reader = Reader { buf, pos };
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
                order.take(at, end, label.name, minimal);
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
    series.canonical = order.canonical && order.contiguous;
    series.labels = if order.contiguous { &buf[order.start..order.end] } else { series.fields };
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
