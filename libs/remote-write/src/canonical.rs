//! The canonical label block: the one encoding of a label set that its hash, and so its slot, is taken of.
//!
//! Labels with an empty value are dropped (they mean the same as no label), the others are sorted bytewise by name and
//! written as Remote-Write 1.0 writes them into a `TimeSeries`: `0x0a LEN 0x0a NLEN name 0x12 VLEN value`, with varints
//! of minimal length and both inner fields always present. Repeated names are wrong on the wire but still need an
//! identity: they are all kept, sorted by value.

use crate::Label;
use crate::wire::{put_varint, varint_len};

/// Reusable memory for label sets that are not canonical on the wire.
#[derive(Default, Debug)]
pub struct Scratch {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    block: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    middle: usize,
    end: usize,
}

impl Scratch {
    /// Empty; memory grows to the largest label set seen.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives back buffers above `keep` bytes, so that one huge label set does not occupy memory for good.
    pub fn release(&mut self, keep: usize) {
        for buffer in [&mut self.bytes, &mut self.block] {
            if buffer.capacity() > keep {
                *buffer = Vec::new();
            }
        }
        if self.spans.capacity() * size_of::<Span>() > keep {
            self.spans = Vec::new();
        }
    }
}

/// Appends one label in canonical encoding. Order, repeats and empty values are the caller's business, so wrong label
/// sets can be made with it too.
#[inline]
pub fn push_label(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 32);
    out.push(0x0a);
    put_varint(out, (inner_len(name.len(), value.len())) as u64);
    out.push(0x0a);
    put_varint(out, name.len() as u64);
    out.extend_from_slice(name);
    out.push(0x12);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

#[inline]
const fn inner_len(name: usize, value: usize) -> usize {
    2 + varint_len(name as u64) + name + varint_len(value as u64) + value
}

/// Bytes that [`push_label`] writes.
#[inline]
pub const fn label_len(name: usize, value: usize) -> usize {
    let inner = inner_len(name, value);
    1 + varint_len(inner as u64) + inner
}

/// The hash of a block that is canonical already.
#[inline]
pub fn hash_block(block: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(block)
}

/// The hash of labels in any order.
pub fn hash_labels<'a>(labels: impl Iterator<Item = Label<'a>>, scratch: &mut Scratch) -> u64 {
    hash_block(block_of(labels, scratch))
}

/// The canonical block of labels in any order; lives in `scratch` until its next use.
pub fn block_of<'a, 's>(labels: impl Iterator<Item = Label<'a>>, scratch: &'s mut Scratch) -> &'s [u8] {
    let Scratch { bytes, spans, block } = scratch;
    bytes.clear();
    spans.clear();
    block.clear();
    for label in labels.filter(|label| !label.value.is_empty()) {
        let start = bytes.len();
        bytes.extend_from_slice(label.name);
        let middle = bytes.len();
        bytes.extend_from_slice(label.value);
        spans.push(Span { start, middle, end: bytes.len() });
    }
    let parts = |span: &Span| (&bytes[span.start..span.middle], &bytes[span.middle..span.end]);
    spans.sort_unstable_by(|a, b| parts(a).cmp(&parts(b)));
    for (name, value) in spans.iter().map(parts) {
        push_label(block, name, value);
    }
    block
}
