//! A request written as a snappy block at once, without making the plain bytes first and without searching for matches: the
//! generator knows which pieces of a label block it wrote before, and refers to them. The block decompresses to the very bytes
//! that the encoder of protocol 1.0 writes.

use remote_write::Sample;
use workload::Parts;

/// Farthest that a copy reaches back.
const REACH: u32 = 65_535;
/// Longest copy.
const COPY: u32 = 64;
/// Room for the length of the plain bytes in front.
const FRONT: usize = 5;
/// Pieces remembered; a power of two.
const CELLS: usize = 1024;
/// Key of a sample's timestamp field; above those of label pieces.
const STAMP: u64 = 1 << 63;
/// Shorter pieces are cheaper written out.
const SHORTEST: usize = 4;

/// Builds one block after the other in memory that is kept.
pub(crate) struct Packer {
    out: Vec<u8>,
    /// Plain bytes so far.
    position: u32,
    /// Not written yet: either literal bytes, or a copy of `copy` bytes from `offset` back.
    literal: Vec<u8>,
    copy: u32,
    offset: u32,
    /// By hash: key of the piece, and where it begins plus one.
    known: Vec<(u64, u32)>,
    stamp: i64,
    /// The timestamp's field and its length.
    field: [u8; 11],
    field_len: usize,
}

impl Default for Packer {
    fn default() -> Self {
        let mut packer = Self {
            out: Vec::new(),
            position: 0,
            literal: Vec::with_capacity(256),
            copy: 0,
            offset: 0,
            known: vec![(0, 0); CELLS],
            stamp: -1,
            field: [0; 11],
            field_len: 0,
        };
        packer.clear();
        packer
    }
}

impl Packer {
    /// Starts the next block.
    pub(crate) fn clear(&mut self) {
        self.out.clear();
        self.out.resize(FRONT, 0);
        self.position = 0;
        self.literal.clear();
        self.copy = 0;
        self.known.fill((0, 0));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.position == 0
    }

    /// One series with one sample.
    #[inline]
    pub(crate) fn series(&mut self, parts: &Parts<'_>, sample: Sample) {
        if sample.timestamp != self.stamp || self.field_len == 0 {
            self.set_stamp(sample.timestamp);
        }
        let inner = 9 + self.field_len;
        let labels: usize = parts.iter().map(|part| part.len()).sum();
        self.head(labels + 2 + inner);
        for (piece, key) in parts.keyed() {
            if key == 0 || piece.len() < SHORTEST {
                self.write(piece);
            } else {
                self.piece(piece, key);
            }
        }
        let mut value = [0; 11];
        value[..3].copy_from_slice(&[0x12, inner as u8, 0x09]);
        value[3..].copy_from_slice(&sample.value.to_bits().to_le_bytes());
        self.write(&value);
        let (field, len) = (self.field, self.field_len);
        self.piece(&field[..len], STAMP | sample.timestamp.cast_unsigned());
    }

    /// Plain bytes as they are: whole fields of the request.
    pub(crate) fn plain(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(1 << 15) {
            self.write(chunk);
            self.flush();
        }
    }

    /// The block.
    pub(crate) fn block(&mut self) -> &[u8] {
        self.flush();
        let mut front = [0; FRONT];
        let len = varint(u64::from(self.position), &mut front);
        let start = FRONT - len;
        self.out[start..FRONT].copy_from_slice(&front[..len]);
        &self.out[start..]
    }

    /// Tag and length of a `TimeSeries`.
    #[inline]
    fn head(&mut self, len: usize) {
        let mut head = [0x0a; 11];
        let used = if (0x80..0x4000).contains(&len) {
            head[1] = len as u8 | 0x80;
            head[2] = (len >> 7) as u8;
            2
        } else {
            varint(len as u64, &mut head[1..])
        };
        self.write(&head[..=used]);
    }

    fn set_stamp(&mut self, timestamp: i64) {
        self.stamp = timestamp;
        self.field[0] = 0x10;
        self.field_len = 1 + varint(timestamp.cast_unsigned(), &mut self.field[1..]);
    }

    /// Bytes that were not written before, or are too short to matter.
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        if self.copy > 0 {
            self.flush_copy();
        }
        self.literal.extend_from_slice(bytes);
        self.position += bytes.len() as u32;
    }

    /// A piece that may have been written before.
    #[inline]
    fn piece(&mut self, bytes: &[u8], key: u64) {
        let cell = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize % CELLS;
        let (known, begin) = self.known[cell];
        let here = self.position;
        self.known[cell] = (key, here + 1);
        let offset = (here + 1).wrapping_sub(begin);
        if known != key || begin == 0 || offset > REACH {
            self.write(bytes);
            return;
        }
        if self.copy > 0 && self.offset == offset {
            // What follows there follows here too: one copy.
            self.copy += bytes.len() as u32;
        } else {
            self.flush();
            (self.copy, self.offset) = (bytes.len() as u32, offset);
        }
        self.position += bytes.len() as u32;
    }

    #[inline]
    fn flush(&mut self) {
        if self.copy > 0 {
            self.flush_copy();
        } else if !self.literal.is_empty() {
            self.flush_literal();
        }
    }

    #[inline]
    fn flush_literal(&mut self) {
        let count = self.literal.len() - 1;
        match count {
            0..60 => self.out.push((count << 2) as u8),
            60..256 => self.out.extend_from_slice(&[60 << 2, count as u8]),
            // Chunks and series are far below 2^24 bytes.
            _ => self.out.extend_from_slice(&[62 << 2, count as u8, (count >> 8) as u8, (count >> 16) as u8]),
        }
        self.out.extend_from_slice(&self.literal);
        self.literal.clear();
    }

    #[inline]
    fn flush_copy(&mut self) {
        let [low, high, ..] = self.offset.to_le_bytes();
        while self.copy > 0 {
            let len = self.copy.min(COPY);
            if self.offset < 2048 && (4..12).contains(&len) {
                self.out.extend_from_slice(&[1 | ((len - 4) << 2) as u8 | high << 5, low]);
            } else {
                self.out.extend_from_slice(&[2 | ((len - 1) << 2) as u8, low, high]);
            }
            self.copy -= len;
        }
    }
}

/// Writes a varint to the front of `out` and tells its length.
fn varint(mut value: u64, out: &mut [u8]) -> usize {
    let mut len = 0;
    for byte in out {
        *byte = value as u8 | 0x80;
        len += 1;
        value >>= 7;
        if value == 0 {
            *byte &= 0x7f;
            break;
        }
    }
    len
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use remote_write::Snappy;
    use remote_write::v1::Encoder;
    use workload::{LaneMap, LanePlan, LaneWalk, Pieces, Workload};

    use super::*;

    /// Oracles: the encoder for the plain bytes, the decoder of the snappy library for the block.
    #[test]
    fn blocks_hold_what_the_encoder_writes() {
        for (values, churn, targets, per_target) in [
            ("Counter", "", 40, 100),
            ("Histogram", "", 3, 1300),
            ("Mixed", r#","churn":{"every":"1s","share":"50%"}"#, 7, 90),
            ("Gauge", "", 700, 1),
        ] {
            let groups = format!(
                r#"[{{"name":"app","targets":{targets},"seriesPerTarget":{per_target},"metrics":{},"scrapeInterval":"1s","values":"{values}"{churn}}},
                    {{"name":"other","targets":3,"seriesPerTarget":2000,"metrics":1,"scrapeInterval":"700ms"}}]"#,
                per_target.min(30)
            );
            let groups: Vec<api::WorkloadGroup> = serde_json::from_str(&groups).unwrap();
            let stages: Vec<api::Stage> = serde_json::from_str(r#"[{"for":"3s"}]"#).unwrap();
            let workload = Arc::new(Workload::new(&groups, &stages, 7, "run").unwrap());
            let plan = LanePlan::new(Arc::clone(&workload), LaneMap::direct(2), 0, 1);
            let (mut packer, mut encoder, mut snappy) = (Packer::default(), Encoder::new(), Snappy::new());
            let mut pieces = Pieces::new();
            let (mut packed, mut plain, mut searched) = (0, 0, 0);
            let mut walk = LaneWalk::new(&plan, 1);
            while let Some(request) = walk.next(2000) {
                packer.clear();
                encoder.clear();
                walk.for_each(&request, |s| {
                    let timestamp = if s.k == 1 { 0 } else { 1_700_000_000_000 + i64::from(s.k) };
                    let sample = Sample { timestamp, value: workload.value_at(s.place, s.id.generation, s.k) };
                    let parts = pieces.parts(&workload, s.place, s.id.generation);
                    packer.series(&parts, sample);
                    encoder.series_parts(&parts, sample);
                });
                let odd = vec![7u8; 70_000];
                let odd = &odd[..(request.index as usize * 3001) % odd.len()];
                packer.plain(odd);
                encoder.raw(odd);
                assert!(!packer.is_empty());
                let block = packer.block().to_vec();
                assert_eq!(snappy.decompress(&block, 1 << 24).unwrap(), encoder.body());
                packed += block.len();
                plain += encoder.len();
                searched += snappy.compress(encoder.body()).len();
            }
            // Targets of one series share little.
            assert!(
                packed * if per_target > 1 { 3 } else { 2 } < plain,
                "{values}: {packed} of {plain}, by search {searched}"
            );
        }
    }

    #[test]
    fn an_empty_block_is_empty() {
        let mut packer = Packer::default();
        assert!(packer.is_empty());
        assert_eq!(packer.block(), [0]);
    }
}
