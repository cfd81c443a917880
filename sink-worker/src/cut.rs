//! One `TimeSeries` taken apart into single samples: labels, samples, histograms and exemplars keep their bytes.

use std::ops::Range;

use crate::lane::{Field, Fields};

/// A sample or native histogram of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// Milliseconds since the Unix epoch.
    pub(crate) timestamp: i64,
    range: Range<usize>,
}

/// A parsed series: bytes borrowed, nothing decoded but timestamps.
#[derive(Debug)]
pub(crate) struct Cut<'a> {
    raw: &'a [u8],
    /// Labels and fields nobody knows: they go with every piece.
    common: Vec<Range<usize>>,
    points: Vec<Point>,
    /// They go with the last point.
    exemplars: Vec<Range<usize>>,
}

impl<'a> Cut<'a> {
    /// Parses a whole field, tag and length included; `None` when it is not one.
    pub(crate) fn parse(raw: &'a [u8]) -> Option<Self> {
        let mut cut = Self { raw, common: Vec::new(), points: Vec::new(), exemplars: Vec::new() };
        visit(raw, |range, field| {
            let ranges = match field {
                Inner::Point { timestamp } => return cut.points.push(Point { timestamp, range }),
                Inner::Exemplar => &mut cut.exemplars,
                Inner::Common => &mut cut.common,
            };
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range),
            }
        })?;
        Some(cut)
    }

    /// How many points [`Self::parse`] would find, without memory for them.
    pub(crate) fn count(raw: &[u8]) -> Option<u64> {
        let mut points = 0;
        visit(raw, |_, field| points += u64::from(matches!(field, Inner::Point { .. })))?;
        Some(points)
    }

    /// Samples and histograms in wire order.
    pub(crate) fn points(&self) -> &[Point] {
        &self.points
    }

    /// A series with some of the points, by position.
    pub(crate) fn build(&self, points: Range<usize>, hash: u64) -> Fields {
        let mut bytes = Vec::new();
        let field = self.append(&mut bytes, points, hash);
        Fields { bytes: bytes.into(), list: vec![field] }
    }

    /// Appends a series with some of the points, by position.
    pub(crate) fn append(&self, out: &mut Vec<u8>, points: Range<usize>, hash: u64) -> Field {
        let last = points.end == self.points.len();
        let numbers = points.clone();
        let chosen = &self.points[points];
        let exemplars = if last { self.exemplars.as_slice() } else { &[] };
        let ranges = || {
            let points = chosen.iter().map(|point| &point.range);
            self.common.iter().chain(points).chain(exemplars)
        };
        let start = out.len();
        out.push(0x0a);
        let mut length = ranges().map(ExactSizeIterator::len).sum::<usize>() as u64;
        while length >= 0x80 {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        for range in ranges() {
            out.extend_from_slice(&self.raw[range.clone()]);
        }
        self.field(start as u32..out.len() as u32, numbers, hash)
    }

    /// Describes bytes that hold some of the points, by position.
    pub(crate) fn field(&self, bytes: Range<u32>, points: Range<usize>, hash: u64) -> Field {
        let times = || self.points[points.clone()].iter().map(|point| point.timestamp);
        Field {
            start: bytes.start,
            end: bytes.end,
            samples: points.len() as u32,
            hash,
            first: times().min().unwrap_or(0),
            last: times().max().unwrap_or(0),
        }
    }
}

/// A field of a series.
enum Inner {
    Point { timestamp: i64 },
    Exemplar,
    Common,
}

/// Passes over the fields of a series; `None` when it is not one.
fn visit(raw: &[u8], mut see: impl FnMut(Range<usize>, Inner)) -> Option<()> {
    let mut reader = Reader { bytes: raw, at: 0 };
    if reader.varint()? != 0x0a || reader.varint()? != (raw.len() - reader.at) as u64 {
        return None;
    }
    while reader.at < raw.len() {
        let start = reader.at;
        let (key, payload) = reader.field()?;
        let field = match key {
            // sample: timestamp = 2; histogram: timestamp = 15
            0x12 => Inner::Point { timestamp: timestamp(&raw[payload], 2)? },
            0x22 => Inner::Point { timestamp: timestamp(&raw[payload], 15)? },
            0x1a => Inner::Exemplar,
            _ => Inner::Common,
        };
        see(start..reader.at, field);
    }
    Some(())
}

fn timestamp(message: &[u8], number: u64) -> Option<i64> {
    let mut reader = Reader { bytes: message, at: 0 };
    let mut timestamp = 0;
    while reader.at < message.len() {
        let start = reader.at;
        let (key, _) = reader.field()?;
        if key == number << 3 {
            let mut value = Reader { bytes: message, at: start };
            value.varint()?;
            timestamp = value.varint()?.cast_signed();
        }
    }
    Some(timestamp)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in 0..10 {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// Key and payload of the next field; the payload of a length-delimited one is without its length.
    fn field(&mut self) -> Option<(u64, Range<usize>)> {
        let key = self.varint()?;
        let start = self.at;
        let length = match key & 7 {
            0 => {
                self.varint()?;
                return Some((key, start..self.at));
            }
            1 => 8,
            2 => usize::try_from(self.varint()?).ok()?,
            5 => 4,
            _ => return None,
        };
        let start = self.at;
        let end = start.checked_add(length)?;
        if end > self.bytes.len() {
            return None;
        }
        self.at = end;
        Some((key, start..end))
    }
}

#[cfg(test)]
mod tests {
    use remote_write::{Sample, v1};

    use super::*;

    fn series(times: &[i64]) -> Vec<u8> {
        let mut block = Vec::new();
        remote_write::canonical::push_label(&mut block, b"__name__", b"up");
        let samples: Vec<_> = times.iter().map(|&timestamp| Sample { timestamp, value: timestamp as f64 }).collect();
        let mut encoder = v1::Encoder::new();
        encoder.series(&block, &samples);
        encoder.body().to_vec()
    }

    #[test]
    fn pieces_hold_every_sample_once_and_the_same_labels() {
        let raw = series(&[5, 7, -1, i64::MAX]);
        let cut = Cut::parse(&raw).unwrap();
        assert_eq!(Cut::count(&raw), Some(4));
        let times: Vec<_> = cut.points().iter().map(|point| point.timestamp).collect();
        assert_eq!(times, [5, 7, -1, i64::MAX]);
        let mut body = Vec::new();
        for (at, &time) in times.iter().enumerate() {
            let field = cut.append(&mut body, at..at + 1, 9);
            assert_eq!((field.samples, field.first, field.last), (1, time, time));
        }
        let walked: Vec<_> = v1::walk(&body).map(Result::unwrap).collect();
        assert_eq!(walked.len(), 4);
        for (series, &time) in walked.iter().zip(&times) {
            assert_eq!(series.label(b"__name__"), Some(&b"up"[..]));
            assert_eq!(series.samples().collect::<Vec<_>>(), [Sample { timestamp: time, value: time as f64 }]);
        }
        assert_eq!(cut.build(0..4, 9).bytes, raw, "whole again, byte for byte");
    }

    #[test]
    fn histograms_count_and_exemplars_go_with_the_newest() {
        let mut literal = v1::Literal::new();
        literal.label(b"__name__", b"h");
        literal.field(4, &[0x78, 33]);
        literal.field(4, &[0x78, 44]);
        literal.field(3, &[1, 2, 3]);
        let mut encoder = v1::Encoder::new();
        encoder.fields(literal.fields());
        let cut = Cut::parse(encoder.body()).unwrap();
        let times: Vec<_> = cut.points().iter().map(|point| point.timestamp).collect();
        assert_eq!(times, [33, 44]);
        let older = cut.build(0..1, 0);
        let newer = cut.build(1..2, 0);
        let one = |fields: &Fields| {
            let series = v1::walk(&fields.bytes).next().unwrap().unwrap();
            (series.has_histograms(), series.has_exemplars())
        };
        assert_eq!(one(&older), (true, false));
        assert_eq!(one(&newer), (true, true));
    }

    #[test]
    fn labels_take_no_memory_each() {
        let mut literal = v1::Literal::new();
        for _ in 0..1000 {
            literal.label(b"", b"");
        }
        literal.field(4, &[0x78, 33]);
        literal.field(99, b"who knows");
        let mut encoder = v1::Encoder::new();
        encoder.fields(literal.fields());
        assert_eq!(Cut::parse(encoder.body()).unwrap().common.len(), 2);
    }

    #[test]
    fn cut_bytes_are_never_taken_for_a_series() {
        let raw = series(&[1, 2, 3]);
        for end in 0..raw.len() {
            assert!(Cut::parse(&raw[..end]).is_none());
        }
        for at in 0..raw.len() {
            let mut bent = raw.clone();
            bent[at] ^= 0x55;
            let _ = Cut::parse(&bent);
        }
    }
}
