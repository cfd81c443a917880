//! What a lane obeys, and what it wants next.

use super::{Backoff, Nanos};

/// After the last attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnExhausted {
    /// The lane halts and keeps what it has.
    Fail,
    /// The batch is given up, the next one is sent.
    Discard,
}

/// After a 4xx that is about the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnRejected {
    /// Halves the batch until the bad series stand alone, with so many requests more at most.
    Isolate {
        /// Requests a refused batch may cost besides itself.
        max_extra: u32,
    },
    /// Gives the batch up.
    DropBatch,
    /// The lane halts and keeps what it has.
    Fail,
}

/// What the backend does with the good samples of a batch it answers 4xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Partial {
    /// It keeps none.
    Atomic,
    /// It keeps them.
    KeepsGood,
    /// Nobody knows: sent again only where that changes nothing.
    Unknown,
}

/// The rules of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Samples up to which parts are merged.
    pub(crate) max_samples: u64,
    /// How long parts wait for others until the samples are that many.
    pub(crate) max_delay: Nanos,
    /// A batch holds no series twice.
    pub(crate) once: bool,
    /// Waits between attempts.
    pub(crate) backoff: Backoff,
    /// Attempts in all for a batch; `None` for ever.
    pub(crate) max_attempts: Option<u32>,
    /// After the last attempt.
    pub(crate) on_exhausted: OnExhausted,
    /// After a refusal.
    pub(crate) on_rejected: OnRejected,
    /// What a refusal means for the others.
    pub(crate) partial: Partial,
}

/// What a lane wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing to send.
    Idle,
    /// Send [`Lane::begin`].
    Send,
    /// Ask again then.
    Wait(Nanos),
    /// An answer is outstanding.
    Busy,
    /// It will not send any more.
    Halted,
}
