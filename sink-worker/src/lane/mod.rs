//! One lane as a pure state machine: a queue, one batch in flight, what an answer does to it. No I/O; time is passed in.

mod backoff;
mod batch;
mod doubt;
mod machine;
mod merge;
#[cfg(test)]
mod model;
mod outcome;
mod part;
mod rules;
#[cfg(test)]
mod tests;

pub(crate) use backoff::Backoff;
pub(crate) use machine::Lane;
pub(crate) use outcome::{Answer, DropNote, Effects, How, Verdict};
pub(crate) use part::{Field, Fields, MAX_DECODED, Part, Payload, measure};
pub(crate) use rules::{OnExhausted, OnRejected, Partial, Rules, Step};

/// Nanoseconds on a clock that never goes back.
pub(crate) type Nanos = u64;
