//! What requests may take while they are on their way into the buffer or to another worker, and what each needs.

use bytes::Bytes;
use floodmark_http::room::{Held, PATIENCE, Room};
use remote_write::{Snappy, SnappyError};

use crate::admit::Item;
use crate::lane::{Field, MAX_DECODED};

/// What all requests that are being decoded may take together.
const DECODING: usize = 256 << 20;
/// What all parts on their way to other workers may take together.
const FORWARDING: usize = 64 << 20;
/// What one of them takes at least: a connection, and a task that goes on when its sender is gone.
const FORWARD: usize = 64 << 10;
/// Bytes of a sample as senders write it, its share of the labels included.
const USUAL: usize = 16;
/// Samples that are never too many.
const FEW: usize = 1000;
/// What a series takes while a request is split: its place in the list, in the table of what is newest, and among the fields.
const SERIES: usize = size_of::<Item<'static>>() + 48 + size_of::<Field>();
/// The decoded bytes, their copies by owner, and those again while they are compressed.
const COPIES: usize = 5;
/// How many times its own size a request usually takes in slices at most: labels are copied before each sample.
const SLICES: usize = 8;
/// A body up to this is copied out of the buffer that it was read into, so that a small one does not keep all of that.
const SMALL: usize = 16 << 10;

/// Memory that requests share.
#[derive(Debug)]
pub(crate) struct Rooms {
    decoding: Room,
    forwarding: Room,
}

/// What splitting a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    all: usize,
    /// Samples in it.
    pub(crate) samples: u64,
    /// Bytes in the slices of this worker.
    pub(crate) slices: u64,
}

impl Need {
    /// Of a body, by the size that it declares. `dense`: its samples are smaller than usual, or its labels are copied before each.
    pub(crate) fn of(body: &[u8], dense: bool, most: u64, max_bytes: u64) -> Result<Self, SnappyError> {
        let plain = Snappy::size(body, MAX_DECODED)?;
        if dense {
            // Nobody else decodes meanwhile.
            return Ok(Self { all: usize::MAX, samples: most, slices: max_bytes });
        }
        let samples = plain.div_ceil(USUAL).max(FEW).min(usize::try_from(most).unwrap_or(usize::MAX));
        let slices = SLICES * plain + samples * SERIES;
        // A vector that grows has up to twice the memory that it needs.
        let all = COPIES * plain + 2 * slices;
        Ok(Self { all, samples: samples as u64, slices: max_bytes.min(slices as u64) })
    }

    /// Whether it is less than any request may need.
    pub(crate) fn is_usual(&self) -> bool {
        self.all < usize::MAX
    }
}

impl Rooms {
    /// All free.
    pub(crate) fn new() -> Self {
        Self { decoding: Room::new(DECODING), forwarding: Room::new(FORWARDING) }
    }

    /// For bytes of decoded requests; `None` when none came free in time.
    pub(crate) async fn decode(&self, bytes: usize) -> Option<Held> {
        self.decoding.take(bytes, PATIENCE).await
    }

    /// For what a split may take.
    pub(crate) async fn split(&self, need: Need) -> Option<Held> {
        self.decode(need.all).await
    }

    /// For bodies on their way to other workers, each its own.
    pub(crate) fn forward<'a>(&self, bodies: impl Iterator<Item = &'a Bytes>) -> Option<Vec<Held>> {
        bodies.map(|body| self.forwarding.try_take(body.len().max(FORWARD))).collect()
    }
}

/// What it takes to turn a decoded request of so many bytes into fields.
pub(crate) fn fields_need(plain: usize, series: u32) -> usize {
    3 * plain + 2 * series as usize * size_of::<Field>()
}

/// The body for the buffer, without what it does not need of its surroundings.
pub(crate) fn kept(body: Bytes, crowded: bool) -> Bytes {
    if crowded || body.len() < SMALL { Bytes::copy_from_slice(&body) } else { body }
}
