//! The parts of a LoadTest that break things, read back and keep results.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cel;
use crate::endpoint::Endpoint;
pub use crate::fault_type::FaultType;
use crate::scalar::{Duration, Share};

/// Something that the generators break on purpose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::fault()))]
pub struct Fault {
    /// What is broken, a name of the catalogue.
    #[serde(rename = "type")]
    pub r#type: FaultType,
    /// The part of the samples that is drawn, above 0% up to 100%.
    pub share: Share,
    /// When it starts, after t0. Default: with the first stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Duration>,
    /// How long it lasts. Left out: to the end.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub r#for: Option<Duration>,
    /// Own (requests of their own) or Mixed (among good samples). Default Own.
    #[serde(default)]
    pub placement: Placement,
    /// With OutOfOrder: how far back the timestamp goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_order: Option<OutOfOrderParams>,
    /// With FutureTimestamp: how far ahead the timestamp goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub future_timestamp: Option<FutureTimestampParams>,
}

/// Where faulty samples travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum Placement {
    /// In requests of their own, so that each verdict is clean on any backend.
    #[default]
    Own,
    /// Among good samples: the test of isolation.
    Mixed,
}

/// How far back an out-of-order timestamp goes, on top of one interval.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct OutOfOrderParams {
    /// The distribution of the delay. Default Exponential with a mean of 5s.
    pub delay: DelaySpec,
}

/// A distribution of delays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::delay()))]
pub struct DelaySpec {
    /// Constant {mean}, Uniform {min, max}, Exponential {mean} or Pareto {min, shape}.
    pub distribution: Distribution,
    /// The delay of Constant, up to 8760h; the mean of Exponential, up to 24h. Left out with the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<Duration>,
    /// The least delay of Uniform, up to 8760h, and of Pareto, up to 24h. Left out with the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Duration>,
    /// The greatest delay of Uniform, up to 8760h; with Exponential and Pareto a cap, up to 24h. Left out there: 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Duration>,
    /// The shape of Pareto, above 0, at most 100: the smaller, the heavier the tail. Default 1.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub shape: Option<f64>,
}

impl DelaySpec {
    /// The shape of Pareto that holds: what was asked for, or 1.5.
    pub fn pareto_shape(&self) -> f64 {
        self.shape.unwrap_or(1.5)
    }
}

impl Default for DelaySpec {
    fn default() -> Self {
        Self {
            distribution: Distribution::Exponential,
            mean: Some(Duration::from_secs(5)),
            min: None,
            max: None,
            shape: None,
        }
    }
}

/// A distribution of delays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Distribution {
    /// Always `mean`.
    Constant,
    /// Evenly from `min` to `max`.
    Uniform,
    /// Around `mean`, long delays ever rarer; at most `max`.
    Exponential,
    /// From `min` on with a heavy tail; at most `max`.
    Pareto,
}

/// How far ahead a future timestamp goes. A server that stores it and keeps order (Prometheus 2) refuses the series' samples from
/// then on: where readBack finds such a server, the test is refused before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::future_timestamp()))]
pub struct FutureTimestampParams {
    /// Added to the scheduled timestamp, 15m to 8760h: what is up to ten minutes ahead is accepted. Default 1h.
    pub ahead: Duration,
}

impl Default for FutureTimestampParams {
    fn default() -> Self {
        Self { ahead: Duration::from_secs(3600) }
    }
}

/// Something that the engine does to a worker of the sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::chaos()))]
pub struct ChaosStep {
    /// When, after t0.
    pub at: Duration,
    /// What is done.
    pub action: ChaosAction,
    /// The ordinal of the worker, from 0. Left out with Scale only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 255))]
    pub sink_worker: Option<u32>,
    /// With Pause: how long, 1ms to 24h, ending with the stages at the latest. Left out with the others.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub r#for: Option<Duration>,
    /// With Scale: the new number of workers, 1 to 256. Left out with the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub replicas: Option<u32>,
}

/// What is done to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ChaosAction {
    /// SIGKILL; it is back after 1 s, doubling to 30 s.
    Kill,
    /// SIGSTOP, and SIGCONT after `for`.
    Pause,
    /// SIGTERM with the grace period; it is back afterwards.
    Terminate,
    /// A planned restart: SIGTERM, and started anew at once.
    Restart,
    /// Another number of workers.
    Scale,
}

/// Where the stored samples are read back from: exactly one of `prometheus` and `victoriaMetrics`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::read_back()))]
pub struct ReadBack {
    /// A server with Prometheus' query and remote-read API; the URL is the one before `/api/v1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<Endpoint>,
    /// A server with VictoriaMetrics' export API; the URL is the one before `/api/v1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub victoria_metrics: Option<Endpoint>,
    /// Counts, Sampled or Full. Default Full.
    pub depth: Depth,
}

/// How much is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum Depth {
    /// How many samples are there, by bucket and metric.
    Counts,
    /// Counts, and the samples of mismatches and of a seeded 1 %.
    Sampled,
    /// Every sample.
    #[default]
    Full,
}

/// What becomes of the results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::results()))]
pub struct Results {
    /// Push the outcome to a Pushgateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushgateway: Option<Pushgateway>,
    /// In a cluster: how long artifacts are kept. Default 1h.
    pub ttl_after_finished: Duration,
    /// In a cluster: keep the generators' pods of a test that did not pass until the TTL, for their logs. Default true.
    pub keep_on_failure: bool,
}

impl Default for Results {
    fn default() -> Self {
        Self { pushgateway: None, ttl_after_finished: Duration::from_secs(3600), keep_on_failure: true }
    }
}

/// Where and under which names the outcome is pushed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pushgateway {
    /// The Pushgateway; the URL is the one before `/metrics`.
    pub endpoint: Endpoint,
    /// The label `job`. Default floodmark.
    #[serde(default = "job")]
    #[schemars(length(min = 1, max = 63))]
    pub job: String,
    /// More labels of the group. At most 16.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels")]
    pub grouping_key: BTreeMap<String, String>,
    /// Delete the group when the test is removed. Default false.
    #[serde(default)]
    pub delete_on_finish: bool,
}

fn job() -> String {
    "floodmark".to_owned()
}

fn labels(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "maxProperties": 16, "additionalProperties": {"type": "string", "maxLength": 256}})
}
