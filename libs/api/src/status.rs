//! What the operator reports back on each kind.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A condition, as Kubernetes has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The name of the condition, such as Ready.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub r#type: String,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// One CamelCase word why.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub reason: String,
    /// A sentence why, with the pods' own words where there are any.
    #[serde(default)]
    #[schemars(length(max = 32768))]
    pub message: String,
    /// When the status last changed (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// The generation that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// The status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is not known.
    Unknown,
}

/// What is known of a sink.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RemoteWriteSinkStatus {
    /// Workers that exist.
    pub replicas: u32,
    /// Workers that are ready.
    pub ready_replicas: u32,
    /// The label selector of the workers, for /scale.
    #[schemars(length(max = 1024))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Who owns what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ownership: Option<OwnershipStatus>,
    /// The generation that the status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Progressing, Degraded, ReferencesResolved.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The ownership map that holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnershipStatus {
    /// The number of the map.
    pub epoch: u64,
    /// Stable or Draining.
    #[schemars(length(max = 32))]
    pub phase: String,
    /// The number of workers that series move from.
    pub from_replicas: u32,
    /// The number of workers that series move to.
    pub to_replicas: u32,
}

/// What is known of a receiver.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RemoteWriteReceiverStatus {
    /// Receivers that exist.
    pub replicas: u32,
    /// Receivers that are ready.
    pub ready_replicas: u32,
    /// The generation that the status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Progressing, Degraded, ReferencesResolved.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What is known of a test.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadTestStatus {
    /// Pending, Preparing, Running, Verifying or Finished.
    #[schemars(length(max = 32))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Passed, Failed or Inconclusive.
    #[schemars(length(max = 32))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Why the verdict is what it is.
    #[schemars(length(max = 32), inner(length(max = 1024)))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// When the first sample was due (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// When the verdict stood (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<String>,
    /// The stage that runs, or ran last, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<u32>,
    /// Acknowledged samples a second, of the last second; once the test has ended `rate.achieved`, as in thresholds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// The ledger, in samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<SamplesStatus>,
    /// Samples given up on the way: dropped by workers, skipped by generators, refused by the backend without having been sent for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drops: Option<u64>,
    /// The same by reason, in samples.
    #[schemars(extend("maxProperties" = 64))]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub drops_by_reason: BTreeMap<String, u64>,
    /// Latencies. While the test runs there is the p99 of `response` alone, of the last seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyStatus>,
    /// Where the artifacts are served.
    #[schemars(length(max = 2048))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<String>,
    /// The generation that the status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Finished, Passed (Unknown is inconclusive), TargetRateReached, GeneratorSaturated, TargetBusy, ReferencesResolved.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The ledger, in samples.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SamplesStatus {
    /// Were due and made.
    pub generated: u64,
    /// Got a 2xx.
    pub acknowledged: u64,
    /// Were refused for good.
    pub refused: u64,
    /// Were never sent.
    pub skipped: u64,
    /// Nobody knows yet.
    pub unresolved: u64,
    /// The backend answered the sink 2xx.
    pub delivered: u64,
    /// Distinct samples in the store.
    pub stored: u64,
    /// Arrived more than once.
    pub duplicates: u64,
    /// Acknowledged and not stored.
    pub lost: u64,
}

/// Latencies by kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LatencyStatus {
    /// Intended to acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<LatencySummary>,
    /// Sent to answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<LatencySummary>,
    /// Intended to the backend's 2xx.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<LatencySummary>,
}

/// Points of a latency distribution, as durations; `>=` stands before what is out of range.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LatencySummary {
    /// The median.
    #[schemars(length(max = 64))]
    pub p50: String,
    /// The 99th percentile.
    #[schemars(length(max = 64))]
    pub p99: String,
    /// The 99.9th percentile.
    #[schemars(length(max = 64))]
    pub p999: String,
    /// The longest.
    #[schemars(length(max = 64))]
    pub max: String,
}
