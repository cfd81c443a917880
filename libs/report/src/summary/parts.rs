//! The parts of a summary. Times without a unit in their name are seconds since the run's start (t0); counts are samples.

use std::collections::BTreeMap;

use api::ThresholdMetric;
use serde::{Deserialize, Serialize};

/// What was tested.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Target {
    /// A line for people, such as `sink "edge" (3 workers) → http://prometheus:9090/api/v1/write`.
    pub description: String,
    pub url: Option<String>,
    /// The profile of a receiver.
    pub profile: Option<String>,
    pub protocol: Option<String>,
    /// Sink workers.
    pub workers: Option<u32>,
}

/// One stage of the schedule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, in a document that others read")]
pub struct StageResult {
    pub index: u32,
    pub from: f64,
    /// Seconds.
    pub r#for: f64,
    /// Samples a second at its end; none: as the workload's intervals say.
    pub target_rate: Option<f64>,
    pub ramp: bool,
    pub warm_up: bool,
    pub due: u64,
    /// Acknowledged, or refused where that was asked for, by the stage's end and one second.
    pub acknowledged_in_time: u64,
    /// Of these a second.
    pub achieved_rate: f64,
    /// At least 99 % of what was due.
    pub reached: bool,
    /// The run was interrupted before it was over: whether it would have been reached is not known.
    pub cut: bool,
}

/// The ledger's two ends. What nobody read back is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Samples {
    pub generated: u64,
    pub acknowledged: u64,
    pub refused: BTreeMap<String, u64>,
    pub skipped: BTreeMap<String, u64>,
    pub unresolved: u64,
    /// Arrivals at the store, repeated ones included.
    pub arrivals: Option<u64>,
    /// Distinct samples in the store.
    pub stored: Option<u64>,
    pub duplicates: Option<u64>,
    /// In the store, but never made by this run's workload.
    pub unexpected: Option<u64>,
}

/// Requests of the generators, each attempt counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Requests {
    pub attempts: u64,
    /// Attempts that got no 2xx.
    pub failed: u64,
    /// Attempts after the first.
    pub retries: u64,
}

/// One sink worker over all its lives: `accepted = delivered + rejected + dropped + ambiguous + buffered`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Worker {
    pub ordinal: u32,
    /// Lives: 1 + restarts.
    pub incarnations: u32,
    pub accepted: u64,
    pub delivered: u64,
    pub rejected: u64,
    pub dropped: u64,
    pub ambiguous: u64,
    pub buffered: u64,
    pub requests: u64,
    pub retries: u64,
    /// Lives whose last account was lost with the process; their samples are in no column.
    pub accounts_lost: u32,
}

/// What the sink gave up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Drops {
    /// Samples.
    pub total: u64,
    pub requests: u64,
    pub by_reason: BTreeMap<String, DropReason>,
    /// Over all reasons.
    pub per_event: measure::DropSummary,
    /// Lengths of the gaps in series, by the finding that names their samples; `skipped` where none does.
    pub gaps: BTreeMap<String, measure::DropSummary>,
}

/// Drops of one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DropReason {
    pub samples: u64,
    /// Samples lost per event.
    pub per_event: measure::DropSummary,
}

/// A finding of the ledger, under the ledger's name for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Finding {
    /// Such as `SilentLoss`.
    pub name: String,
    /// Samples, the explained ones included.
    pub count: u64,
    /// Samples that something known explains.
    pub explained: u64,
    pub examples: Vec<Example>,
}

impl Finding {
    pub fn unexplained(&self) -> u64 {
        self.count.saturating_sub(self.explained)
    }
}

/// One sample as a witness.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Example {
    pub series: String,
    pub timestamp_ms: i64,
    /// Text, so that NaN survives JSON.
    pub value: String,
    pub detail: String,
}

/// What became of one fault of the test.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FaultResult {
    pub r#type: String,
    /// The catalogue's id, such as D7.
    pub id: String,
    /// When it was active; none: all the time.
    pub from: Option<f64>,
    pub r#for: Option<f64>,
    /// `Stored`, `Refused`, `AcceptedNotStored` or `Any`.
    pub expected: String,
    pub sent: u64,
    pub refused: u64,
    pub accepted: u64,
    /// Against what was expected.
    pub wrong: u64,
    /// Nobody can say.
    pub indeterminate: u64,
    /// Refused by the store's own count; none: it keeps none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_refused: Option<u64>,
}

/// One step of the chaos timeline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Chaos {
    pub at: f64,
    /// Kill, Pause, Terminate, Restart or Scale, with its parameter.
    pub action: String,
    pub worker: Option<u32>,
    /// None: it was not carried out.
    pub executed_at: Option<f64>,
    /// Seconds until the worker was ready again; none: it was not seen back.
    pub back_after: Option<f64>,
}

/// A threshold, measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThresholdResult {
    pub metric: ThresholdMetric,
    /// Such as `≤ 250ms`.
    pub bound: String,
    /// Seconds, samples (a second) or a fraction, as the metric has it; none when it was not measured.
    pub value: Option<f64>,
    /// The value for people.
    pub text: String,
    /// The value is within the bound.
    pub ok: bool,
    /// The value is known well enough for `ok` to count.
    pub proven: bool,
    /// Why it is not proven.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    #[serde(default)]
    pub abort_on_fail: bool,
}

/// One second of the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RatePoint {
    /// Seconds since t0. It stands for all until the next point: one, or several in a long run.
    pub second: u64,
    /// Samples a second.
    pub target: f64,
    pub acknowledged: f64,
    /// Samples given up a second.
    pub drops: f64,
    /// Response time in milliseconds, in the worst second; none when nothing was answered.
    pub p50: Option<f64>,
    pub p99: Option<f64>,
}

/// What one process took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Process {
    /// generator, sink-worker, receiver, conductor.
    pub role: String,
    pub ordinal: u32,
    /// CPU seconds a second, on average.
    pub cores: f64,
    /// Largest resident set.
    pub rss_bytes: u64,
    /// Part of the time that its threads waited for a CPU.
    pub run_queue_share: Option<f64>,
}

/// What was read back, and what that can prove.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Coverage {
    /// Such as `receiver`, `Prometheus remote read`.
    pub source: String,
    /// Counts, Sampled or Full.
    pub depth: String,
    /// Part of the series that was looked at, 0 to 1.
    pub share: f64,
    /// Findings that this cannot rule out, by name.
    pub unproven: Vec<String>,
    /// More for people.
    pub detail: String,
    /// The checksums of acknowledged and of stored samples; none: not compared.
    pub slots: Option<Slots>,
}

/// Slots of which either side holds samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Slots {
    pub compared: u32,
    /// Count and checksum say that exactly what was acknowledged is stored.
    pub equal: u32,
}
