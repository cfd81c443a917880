//! LoadTest: what is sent, how fast, what is broken on the way, and what has to hold.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cel;
use crate::endpoint::{Endpoint, Ref};
use crate::load_test_parts::{ChaosStep, Fault, ReadBack, Results};
use crate::pod::{Free, PodTemplate, free_option};
use crate::scalar::{Count, Duration, Share};
use crate::threshold::Threshold;

/// What a test is asked to do. Nothing of it changes once the test runs, but `abort`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::load_test()))]
pub struct LoadTestSpec {
    /// Where the generators send.
    pub target: TargetRef,
    /// The seed of everything that is drawn: labels, values, churn, faults. 0 to 2^53 - 1. Default 42.
    #[serde(default = "seed")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub seed: u64,
    /// The processes that send.
    #[serde(default)]
    pub generator: GeneratorSpec,
    /// The process that leads the others and judges.
    #[serde(default, skip_serializing_if = "ConductorSpec::is_empty")]
    pub conductor: ConductorSpec,
    /// The series, in one to 64 groups.
    #[schemars(length(min = 1, max = 64))]
    pub workload: Vec<WorkloadGroup>,
    /// The course of the load, one after the other. 1 to 256.
    #[schemars(length(min = 1, max = 256))]
    pub stages: Vec<Stage>,
    /// What happens to samples that are due while the target is busy.
    #[serde(default)]
    pub overload: Overload,
    /// What the generators break. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub faults: Vec<Fault>,
    /// What the engine does to the sink's workers. At most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub chaos: Vec<ChaosStep>,
    /// Where the stored samples are read back from. Left out: from the receiver where there is one, else losses are unproven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_back: Option<ReadBack>,
    /// What has to hold. At most 128.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub thresholds: Vec<Threshold>,
    /// What becomes of the results.
    #[serde(default)]
    pub results: Results,
    /// The test is ended after that time. Left out: the time of all stages plus 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,
    /// Holds a test that has not started. Default false.
    #[serde(default)]
    pub suspend: bool,
    /// Ends a running test, with a report. Default false.
    #[serde(default)]
    pub abort: bool,
}

impl LoadTestSpec {
    /// The time of all stages together.
    pub fn stages_total(&self) -> std::time::Duration {
        self.stages.iter().fold(std::time::Duration::ZERO, |sum, stage| sum.saturating_add(stage.r#for.0))
    }

    /// The deadline that holds: the one asked for, or the time of all stages plus ten minutes.
    pub fn effective_deadline(&self) -> std::time::Duration {
        self.deadline.map_or_else(|| self.stages_total().saturating_add(std::time::Duration::from_mins(10)), |d| d.0)
    }
}

fn seed() -> u64 {
    42
}

/// Where the generators send: exactly one member.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::target()))]
pub struct TargetRef {
    /// A RemoteWriteSink of the same namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink_ref: Option<Ref>,
    /// A RemoteWriteReceiver of the same namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiver_ref: Option<Ref>,
    /// Any Remote-Write endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
}

/// The processes that send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GeneratorSpec {
    /// The number of generators, 1 to 256. Default 1.
    #[schemars(range(min = 1, max = 256))]
    pub parallelism: u32,
    /// Samples in one request at most, 1 to 1000000. Default 2000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub samples_per_request: u32,
    /// Connections of one generator, 1 to 1024; only without a sink (there: workers times lanes). Default 4.
    #[schemars(range(min = 1, max = 1024))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u16>,
    /// What the generators' pods get; only meaningful in a cluster.
    #[serde(skip_serializing_if = "PodTemplate::is_empty")]
    pub pod: PodTemplate,
}

impl GeneratorSpec {
    pub(crate) const CONNECTIONS: u16 = 4;

    /// The connections of one generator where the target is not a sink: what was asked for, or 4.
    pub fn direct_connections(&self) -> u16 {
        self.connections.unwrap_or(Self::CONNECTIONS)
    }
}

impl Default for GeneratorSpec {
    fn default() -> Self {
        Self { parallelism: 1, samples_per_request: 2000, connections: None, pod: PodTemplate::default() }
    }
}

/// The process that leads the others and judges. Its pod runs where those of the generators may.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ConductorSpec {
    /// Requests and limits of the container, as in a pod; only meaningful in a cluster. Default: requests of 100m CPU and 256Mi
    /// memory, no limits.
    #[schemars(schema_with = "free_option")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Free>,
}

impl ConductorSpec {
    /// Was nothing at all asked for?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Targets that are alike: `targets * seriesPerTarget` series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::group()))]
pub struct WorkloadGroup {
    /// The name of the group, unique in the test; it becomes the label `job`. Letters, digits, `_`, `-`, `.`, at most 63.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The number of targets (label `instance`), 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub targets: u32,
    /// Series of one target, 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub series_per_target: u32,
    /// The time between two samples of a series where a stage has no rate, 1ms to 24h. Default 15s.
    #[serde(default = "scrape_interval")]
    pub scrape_interval: Duration,
    /// Metric names of one target, 1 to seriesPerTarget. Default 10.
    #[serde(default = "metrics")]
    #[schemars(range(min = 1, max = 100_000))]
    pub metrics: u32,
    /// How many labels a series has and how long they are.
    #[serde(default)]
    pub labels: LabelsSpec,
    /// How values run. Default Counter.
    #[serde(default)]
    pub values: ValueKind,
    /// Series that end while others begin. Left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub churn: Option<Churn>,
}

impl WorkloadGroup {
    /// All series of the group.
    pub fn series(&self) -> u64 {
        u64::from(self.targets) * u64::from(self.series_per_target)
    }

    /// Bytes that one sample takes in a request of protocol 1.0 before compression, with its labels: at most.
    pub fn sample_bytes(&self) -> u64 {
        /// Tags and lengths of a label, and of a series with its sample.
        const LABEL: u64 = 8;
        const SERIES: u64 = 28;
        // Names, and the longest values of those that do not follow from the document.
        let fixed = ["__name__", "floodmark_bucket", "floodmark_run", "instance", "job", "series", "generation", "le"];
        let names: u64 = fixed.iter().map(|name| LABEL + name.len() as u64).sum();
        let values = 64 + 3 + 32 + 10 + 10 + 10;
        let length = u64::from(self.labels.value_length);
        let more = u64::from(self.labels.count.saturating_sub(5)) * (LABEL + 8 + length);
        SERIES + names + values + length.max(16) + self.name.len() as u64 + more
    }
}

fn scrape_interval() -> Duration {
    Duration::from_secs(15)
}

fn metrics() -> u32 {
    10
}

/// How many labels a series has and how long they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LabelsSpec {
    /// Labels besides the metric name, 5 to 40. Default 8.
    #[schemars(range(min = 5, max = 40))]
    pub count: u32,
    /// About so many bytes in a label's value, 1 to 256. Default 12.
    #[schemars(range(min = 1, max = 256))]
    pub value_length: u32,
}

impl Default for LabelsSpec {
    fn default() -> Self {
        Self { count: 8, value_length: 12 }
    }
}

/// How the values of a series run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum ValueKind {
    /// Rising whole numbers.
    #[default]
    Counter,
    /// Whole numbers that go up and down.
    Gauge,
    /// A wave.
    Sine,
    /// Zero, but for a few samples.
    Sparse,
    /// The buckets of classic histograms (label `le`).
    Histogram,
    /// Always the same.
    Constant,
    /// All of these, by metric.
    Mixed,
}

/// Series that end while others begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::churn()))]
pub struct Churn {
    /// The time in which `share` of the series is replaced.
    pub every: Duration,
    /// The part of the group's series that is replaced. Default 10%.
    #[serde(default = "churn_share")]
    pub share: Share,
    /// Gradual (spread over the time) or Spike (all at once). Default Gradual.
    #[serde(default)]
    pub mode: ChurnMode,
    /// Whether an ending series gets a stale marker as its last sample. Default true.
    #[serde(default = "yes")]
    pub stale_markers: bool,
}

fn churn_share() -> Share {
    Share(0.1)
}

fn yes() -> bool {
    true
}

/// How churn is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum ChurnMode {
    /// Spread over the time.
    #[default]
    Gradual,
    /// All at once.
    Spike,
}

/// A part of the course of the load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::stage()))]
pub struct Stage {
    /// How long it lasts.
    #[serde(rename = "for")]
    pub r#for: Duration,
    /// Samples a second over all groups, instead of what the scrape intervals give. Left out: the scrape intervals hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Count>,
    /// Go there in a straight line from the rate of the stage before (0 before the first). Default false.
    #[serde(default)]
    pub ramp: bool,
    /// Left out of latency thresholds and percentiles. Default false.
    #[serde(default)]
    pub warm_up: bool,
}

/// What happens to samples that are due while the target is busy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::overload()))]
pub struct Overload {
    /// Queue (sent late) or Skip (not sent, counted). Default Queue.
    pub policy: OverloadPolicy,
    /// Samples later than that are skipped and counted, whatever the policy. Default 30s.
    pub max_backlog: Duration,
}

impl Default for Overload {
    fn default() -> Self {
        Self { policy: OverloadPolicy::Queue, max_backlog: Duration::from_secs(30) }
    }
}

/// What happens to samples that are due while the target is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum OverloadPolicy {
    /// They are sent late.
    #[default]
    Queue,
    /// They are skipped and counted once they are late by the smallest scrapeInterval of the workload, 100ms at least.
    Skip,
}
