//! What is sent in one request.

use std::collections::HashSet;

use bytes::Bytes;
use remote_write::Snappy;

use super::part::Payload;
use super::{Fields, Nanos};

/// A part's share of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// The part it belongs to.
    pub(crate) part: u64,
    /// Its series.
    pub(crate) payload: Payload,
}

/// One request to the backend, and how often it was tried.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
pub(crate) struct Batch {
    /// In the order of their arrival.
    pub(crate) pieces: Vec<Piece>,
    /// No series twice.
    pub(crate) once: bool,
    /// Holds faults on purpose.
    pub(crate) fault: bool,
    /// A fragment of a refused batch.
    pub(crate) isolating: bool,
    /// Times it was sent.
    pub(crate) attempts: u32,
    /// The backend may have taken it at an earlier attempt.
    pub(crate) maybe_stored: bool,
    /// A fragment of a batch that is looked through for what the backend cannot digest.
    pub(super) probing: bool,
    /// Gives way to the other fragments until the backend takes something.
    pub(super) waits: bool,
    /// The last suspicious answer and how often it came in a row; to a single series, without the times before which nothing
    /// else was taken.
    pub(super) suspect: (String, u32),
    /// [`Lane::successes`](super::Lane) when that answer was first given, to a single series when it was last given.
    pub(super) since: u64,
    pub(super) delay: Nanos,
    body: Option<Bytes>,
}

impl Batch {
    pub(super) fn new(pieces: Vec<Piece>, once: bool, fault: bool) -> Self {
        Self {
            pieces,
            once,
            fault,
            isolating: false,
            attempts: 0,
            maybe_stored: false,
            probing: false,
            waits: false,
            suspect: (String::new(), 0),
            since: 0,
            delay: 0,
            body: None,
        }
    }

    /// Samples in all.
    pub(crate) fn samples(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.payload.samples()).sum()
    }

    /// Series in all.
    pub(crate) fn series(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.payload.series()).sum()
    }

    /// Whether a series is in both.
    pub(super) fn shares(&self, other: &Self) -> bool {
        let fields = |batch: &Self| {
            let fields = batch.pieces.iter().filter_map(|piece| match &piece.payload {
                Payload::Fields(fields) => Some(fields.list.iter().map(|field| field.hash)),
                Payload::Original { .. } => None,
            });
            fields.flatten().collect::<HashSet<_>>()
        };
        !fields(self).is_disjoint(&fields(other))
    }

    /// Its last series alone.
    pub(super) fn last_series(&self) -> Option<Self> {
        let Piece { part, payload: Payload::Fields(fields) } = self.pieces.last()? else { return None };
        let only = Fields { bytes: fields.bytes.clone(), list: vec![*fields.list.last()?] };
        let piece = Piece { part: *part, payload: Payload::Fields(only) };
        Some(Self { attempts: self.attempts, ..Self::new(vec![piece], self.once, false) })
    }

    /// The compressed request; the same bytes at every attempt.
    pub(crate) fn body(&mut self, snappy: &mut Snappy, scratch: &mut Vec<u8>) -> Bytes {
        if let Some(body) = &self.body {
            return body.clone();
        }
        let body = if let [Piece { payload: Payload::Original { body, .. }, .. }] = self.pieces.as_slice() {
            body.clone()
        } else {
            scratch.clear();
            for piece in &self.pieces {
                if let Payload::Fields(fields) = &piece.payload {
                    fields.write(scratch);
                }
            }
            Bytes::copy_from_slice(snappy.compress(scratch))
        };
        self.body = Some(body.clone());
        body
    }

    /// Two batches in order: by request while it holds several, then by series, then by sample, the older first.
    pub(super) fn halve(&self) -> Option<(Self, Self)> {
        let (left, right) = if self.pieces.len() > 1 {
            let (left, right) = self.pieces.split_at(self.pieces.len() / 2);
            (left.to_vec(), right.to_vec())
        } else {
            let piece = self.pieces.first()?;
            let (left, right) = piece.payload.halve()?;
            let part = |fields: Fields| vec![Piece { part: piece.part, payload: Payload::Fields(fields) }];
            (part(left), part(right))
        };
        let make = |pieces| Self {
            isolating: self.isolating,
            probing: self.probing,
            maybe_stored: self.maybe_stored,
            ..Self::new(pieces, self.once, self.fault)
        };
        Some((make(left), make(right)))
    }
}
