//! Latencies and losses as HDR histograms: recorded by one task, merged exactly over all of them, written in the field's formats.
//! Knows: the one pair of bounds (1 µs to 1 h), seconds since the run's start, V2 + deflate, `.hlog` and `.hgrm`.
//! Refuses to know: clocks (callers pass times in), what a request or a fault is, files and HTTP (writers take `io::Write`).
//! Rule: histograms are added, percentiles are never averaged; a value out of range is saturated and counted, never lost.
//! Everything that comes from outside is bounded and checked before memory is taken for it.

mod bounds;
mod codec;
mod distribution;
mod drops;
mod hgrm;
mod hlog;
mod hlog_read;
mod intervals;
mod plain;
mod recorder;
mod set;

pub use bounds::{HIGHEST_US, INTERVAL_DIGITS, LOWEST_US, MAX_INTERVALS, TOTAL_DIGITS, micros};
pub use codec::CodecError;
pub use distribution::{Distribution, Percentiles, Quantile};
pub use drops::{DropRecorder, DropSummary, Drops, MAX_CAUSES, OTHER_CAUSES};
pub use hgrm::write_hgrm;
pub use hlog::{HlogError, HlogWriter, write_hlog};
pub use hlog_read::{HlogLine, read_hlog};
pub use intervals::Interval;
pub use recorder::Recorder;
pub use set::{Encoded, EncodedCount, EncodedDrops, EncodedInterval, HistogramSet, Merger};

/// The names under which the roles publish their histograms.
pub mod names {
    /// From the intended time to the acknowledgement, once a request.
    pub const RESPONSE: &str = "response";
    /// From the first byte sent to the answer, once an attempt.
    pub const SERVICE: &str = "service";
    /// Due, but the lane was busy: the target's doing.
    pub const QUEUED: &str = "queued";
    /// Due, and the lane was idle: the generator's own doing.
    pub const LATE: &str = "late";
    /// From the intended time to the backend's 2xx, counted in samples.
    pub const DELIVERY: &str = "delivery";
}
