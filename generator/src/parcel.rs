//! What a lane has to deliver.

use api::FaultType;
use bytes::Bytes;

use crate::poison::Streak;

/// One request.
pub(crate) struct Parcel<'a> {
    pub(crate) body: &'a Bytes,
    pub(crate) samples: u64,
    /// When its first and its last sample are due, ns since t0.
    pub(crate) due: (u64, u64),
    /// Grows in the lane; the same in every repetition.
    pub(crate) sequence: u64,
    pub(crate) intended_ns: u64,
    pub(crate) contents: Contents,
    /// Of a warm-up stage: counted, but in no histogram.
    pub(crate) warm_up: bool,
}

/// What a request holds, as far as its handling goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    Good,
    /// Good samples and faults among them, which may have changed the labels that the lane follows from.
    Mixed,
    Fault {
        kind: FaultType,
        /// What it was answered when it was sent before the good request that it is now sent behind.
        before: Option<Streak>,
        /// May wait for the next good request: being refused is what it is for, whatever came before it.
        may_wait: bool,
    },
}

impl Parcel<'_> {
    pub(crate) fn is_fault(&self) -> bool {
        matches!(self.contents, Contents::Fault { .. })
    }
}
