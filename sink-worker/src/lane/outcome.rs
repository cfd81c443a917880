//! What goes in and out of a lane: answers of the backend, outcomes of samples, verdicts on parts.

use std::borrow::Cow;

use super::Nanos;

/// What became of a batch that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// 2xx.
    Delivered,
    /// Again, in order, later.
    Retry {
        /// What the backend ordered to wait.
        after: Option<Nanos>,
        /// The backend may have taken it all the same.
        maybe_processed: bool,
        /// The status, where it may be about the content after all: 500, 501 and 505 to 599, not the words for "away".
        suspect: Option<u16>,
        /// In words.
        why: String,
    },
    /// Never again as it is.
    Rejected {
        /// HTTP status.
        status: u16,
        /// The backend's words.
        text: String,
    },
    /// Smaller.
    TooLarge {
        /// The backend's words.
        text: String,
    },
    /// Nothing will be taken until somebody changes something.
    Fatal {
        /// In words.
        why: String,
    },
}

/// Where samples went. Each sample that leaves a lane is in exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// In a batch that was answered 2xx.
    Delivered,
    /// Refused for good, by reason.
    Rejected(Cow<'static, str>),
    /// Given up, by reason.
    Dropped(&'static str),
    /// Nobody can say what the backend kept.
    Ambiguous,
}

/// What the sender of a part is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The backend has all of it.
    Delivered,
    /// At least one batch was refused; the part as a whole is settled.
    Rejected {
        /// HTTP status of the backend.
        status: u16,
        /// Its words.
        text: String,
    },
    /// At least one batch was given up after the last attempt.
    Discarded {
        /// In words.
        text: String,
    },
    /// Refused by the worker that owns it.
    Passed {
        /// HTTP status of the owner, to be shown as it is.
        status: u16,
        /// Its words.
        text: String,
    },
    /// Faults that the backend answers 5xx, while nothing shows that it is alive: their verdict, or an outage.
    Undecided {
        /// In words.
        text: String,
    },
    /// Not settled by this worker: send it again.
    Unavailable {
        /// In words.
        text: String,
    },
}

/// A batch that was lost to the backend, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DropNote {
    /// HTTP status, 0 when there was none.
    pub(crate) status: u16,
    /// Why, as a metric label.
    pub(crate) reason: Cow<'static, str>,
    /// The backend's words.
    pub(crate) text: String,
    /// Series in the batch.
    pub(crate) series: u64,
    /// Samples in the batch.
    pub(crate) samples: u64,
}

/// What one answer changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// Samples that left the lane.
    pub(crate) settled: Vec<(How, u64)>,
    /// Parts that left the lane.
    pub(crate) finished: Vec<(u64, Verdict)>,
    /// Samples delivered, by the time they were intended for (microseconds since the Unix epoch).
    pub(crate) delivered: Vec<(Option<u64>, u64)>,
    /// Newest timestamp of requests that a delivered batch is of, milliseconds.
    pub(crate) newest: i64,
    /// A lost batch.
    pub(crate) note: Option<DropNote>,
    /// Set when the lane will send nothing any more.
    pub(crate) halted: Option<String>,
    /// Samples that will be sent again.
    pub(crate) again: u64,
    /// Those of them that the backend may have taken at the attempt that was answered.
    pub(crate) repeated: u64,
    /// Samples refused in requests of faults alone.
    pub(crate) faults: u64,
    /// Samples refused or given up whose sender had been told that they were taken.
    pub(crate) revoked: u64,
}
