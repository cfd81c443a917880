//! RemoteWriteReceiver: an endpoint that verifies, and answers badly on schedule.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cel;
use crate::endpoint::{BasicAuth, Endpoint, ServerTlsConfig};
use crate::pod::PodTemplate;
use crate::scalar::{Bytes, Count, Duration, Share};

/// What a receiver is asked to be.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::receiver()))]
pub struct RemoteWriteReceiverSpec {
    /// Whose rules it plays. Default Strict.
    pub profile: Profile,
    /// How far behind a series' newest sample another one is still accepted. Default 0s.
    pub out_of_order_window: Duration,
    /// Series that it takes at most; more get 429. Left out: as many as the workload and memory allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_series: Option<Count>,
    /// Bad answers on schedule; where several are due, the first in the list wins. At most 64.
    #[schemars(length(max = 64))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answer>,
    /// A real backend behind this receiver, which then only injects faults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_to: Option<Endpoint>,
    /// Serve https.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_config: Option<ServerTlsConfig>,
    /// Demand HTTP basic authentication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// What the receiver's pods get; only meaningful in a cluster.
    #[serde(skip_serializing_if = "PodTemplate::is_empty")]
    pub pod: PodTemplate,
}

/// Whose rules a receiver plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum Profile {
    /// 400 for any broken MUST of a sender, for older or conflicting timestamps, and beyond 10 min ahead; keeps the good samples.
    #[default]
    Strict,
    /// Prometheus 2.42.
    Prometheus2,
    /// Prometheus 3.
    Prometheus3,
    /// Grafana Mimir.
    Mimir,
    /// VictoriaMetrics, single node.
    VictoriaMetrics,
    /// Thanos Receive.
    Thanos,
}

/// One kind of bad answer and when it is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::answer()))]
pub struct Answer {
    /// What the receiver does instead of its honest answer.
    #[serde(rename = "type")]
    pub r#type: AnswerType,
    /// When it starts, after t0 of the run; without a run, after the first request. Default 0s.
    #[serde(default)]
    pub from: Duration,
    /// How long it lasts. Left out: to the end.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub r#for: Option<Duration>,
    /// Only every n-th request of that time. Left out with `share`: every request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub every: Option<u32>,
    /// Only that part of the requests of that time, drawn by a seeded hash. Left out: every request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// How often at most. Left out: without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub times: Option<u32>,
    /// The status code, 200 to 599. Default by type: 503; 307 for Redirect; 200 for SuccessWithBody; 400 for RejectOneSeries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 200, max = 599))]
    pub status: Option<u16>,
    /// The Retry-After header as it is: seconds, an HTTP date, or garbage. Left out: none is sent; RetryAfter needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub retry_after: Option<String>,
    /// The text of the answer. Left out: none; with SuccessWithBody and RejectOneSeries a short one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub body: Option<String>,
    /// The size of the text with LargeErrorBody. Default 10Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_size: Option<Bytes>,
    /// How long Hang and CommitThenHang keep silent before they close. Default 1m. With another type: a delay before the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
    /// The Location header, with Redirect and StatusCode. Left out: none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub location: Option<String>,
    /// With Flapping: how long it is bad, and then good, in turn. Default 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Duration>,
}

/// What a receiver does instead of its honest answer (R faults of the catalogue).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AnswerType {
    /// Answers `status`: stores with a 2xx, unless the receiver refuses, and stores nothing with any other (R01-R04, R09-R12, R25, R28).
    StatusCode,
    /// Stores nothing, answers `status` with `retryAfter` (R05-R08).
    RetryAfter,
    /// Stores nothing and keeps silent.
    Hang,
    /// Stores, then answers `status` (R15).
    CommitThenError,
    /// Stores, then keeps silent (R16).
    CommitThenHang,
    /// Answers 204, stores nothing (R17).
    DiscardSilently,
    /// Closes the connection without an answer and stores nothing.
    CloseBeforeAnswer,
    /// Closes the connection in the middle of the answer; stores (R27).
    CloseMidAnswer,
    /// Answers `status` with `location` (R13).
    Redirect,
    /// Stores, answers `status` (a 2xx) with a body; what the receiver refuses is answered honestly (R14).
    SuccessWithBody,
    /// Stores nothing, answers `status` with a body of `bodySize` (R23).
    LargeErrorBody,
    /// In turn bad (`status`) and good, each for `period` (R24).
    Flapping,
    /// Refuses always the same one series, the first it saw, with `status` (a 4xx); keeps the rest (R26).
    RejectOneSeries,
    /// Stores half of the request, answers `status` (R21, R22).
    PartialWrite,
    /// Protocol 2.0: 204 without the Written headers (R18).
    WrittenMissing,
    /// Protocol 2.0: Written headers too low (R19).
    WrittenTooLow,
    /// Protocol 2.0: Written headers too high or garbage (R20).
    WrittenTooHigh,
}
