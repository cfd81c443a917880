//! What a run came to, as files for people and machines: one [`Summary`] in, JSON, `JUnit`, text and a page out.
//! Knows: the versioned summary, how thresholds are measured against it, and the rules of the verdict.
//! Refuses to know: where the figures come from, clocks, files and networks (everything is returned as text).
//! Rule: every number in every output is the summary's; nothing is computed twice or averaged.
//! Every text in a summary may be hostile (labels come from outside) and is escaped where it is written.

mod compare;
mod format;
mod html;
mod junit;
mod summary;
mod text;
pub mod thresholds;
pub mod verdict;

pub use compare::{Delta, compare, render_comparison};
pub use format::rfc3339;
pub use html::render_html;
pub use junit::render_junit;
pub use summary::{
    Chaos, Coverage, DropReason, Drops, Example, FaultResult, Finding, Latencies, Latency, Process, RatePoint,
    Requests, SCHEMA, Samples, Slots, StageResult, Summary, SummaryError, Target, ThresholdResult, Verdict, Worker,
    second_latencies,
};
pub use text::{render_text, render_verdict};
