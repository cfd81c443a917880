//! Knows the bytes of Prometheus Remote-Write: how a request is encoded, walked, compressed and named in HTTP headers,
//! which label sets its rules allow, what a receiver's answer means to a sender, and which slot a label set belongs to.
//! Refuses to know sockets, clocks, tasks, configuration files, metrics, retries and who owns a slot.
//! Everything works on borrowed bytes and reused buffers; nothing here allocates a sample or a series.
//! Every byte is taken as hostile: walking and decompressing are bounded by the input and never panic.

pub mod answer;
pub mod canonical;
pub mod header;
pub mod rules;
mod snappy;
pub mod v1;
mod wire;

pub use canonical::Scratch;
pub use snappy::{Snappy, SnappyError};

/// Number of slots that label sets are spread over; part of every document and table, never configurable.
pub const SLOTS: usize = 16_384;

/// Name of the label that holds the metric's name.
pub const METRIC_NAME: &[u8] = b"__name__";

/// Value bits that mark a series as gone (Remote-Write 1.0, "stale markers"). A NaN: compare bits, never values.
pub const STALE_MARKER: u64 = 0x7ff0_0000_0000_0002;

/// One label as it stands on the wire. Bytes, not text: a bad label must not make its request unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label<'a> {
    /// Name, without any promise about its characters.
    pub name: &'a [u8],
    /// Value, without any promise about its characters.
    pub value: &'a [u8],
}

/// One sample: milliseconds since the Unix epoch and a value whose bits are kept, NaN payloads and signed zeros too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Milliseconds since the Unix epoch; negative is legal on the wire.
    pub timestamp: i64,
    /// The value; compare with [`f64::to_bits`].
    pub value: f64,
}

/// The slot, below [`SLOTS`], of a canonical label hash.
#[inline]
pub const fn slot_of(hash: u64) -> u16 {
    (hash % SLOTS as u64) as u16
}
