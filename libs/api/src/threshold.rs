//! Thresholds: what has to hold, on metrics of a closed list, each with its unit.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cel;
use crate::scalar::{Count, Duration, ScalarError, Share};

/// A metric of the test and what it may be: at least one of `max` and `min`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::threshold()))]
pub struct Threshold {
    /// What is measured.
    pub metric: ThresholdMetric,
    /// The greatest value that passes: a duration for latencies, a percentage for shares, else a count. Left out: no upper limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Limit>,
    /// The least value that passes, in the same unit. Left out: no lower limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Limit>,
    /// End the test as soon as `max` is passed, by what the parts tell while they run; what only the store shows, and `min`, are judged at
    /// the end. Default false.
    #[serde(default)]
    pub abort_on_fail: bool,
}

impl Threshold {
    /// The greatest value that passes, in the metric's unit; checked documents have no error here.
    pub fn max_value(&self) -> Result<Option<LimitValue>, ScalarError> {
        self.max.as_ref().map(|limit| limit.value(self.metric.unit())).transpose()
    }

    /// The least value that passes, in the metric's unit; checked documents have no error here.
    pub fn min_value(&self) -> Result<Option<LimitValue>, ScalarError> {
        self.min.as_ref().map(|limit| limit.value(self.metric.unit())).transpose()
    }
}

/// A limit as it was written; its unit depends on the metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit(pub String);

impl Limit {
    /// The limit in a unit.
    pub fn value(&self, unit: Unit) -> Result<LimitValue, ScalarError> {
        match unit {
            Unit::Duration => self.0.parse().map(LimitValue::Duration),
            Unit::Count | Unit::Rate => self.0.parse().map(LimitValue::Count),
            Unit::Share => self.0.parse().map(LimitValue::Share),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Limit {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let known = text.parse::<Count>().is_ok() || text.parse::<Duration>().is_ok() || text.parse::<Share>().is_ok();
        if known {
            Ok(Self(text.to_owned()))
        } else {
            Err(ScalarError(format!(
                "{text:?} is not a limit: write a duration such as 250ms, a percentage such as 1% or a count such as 10k"
            )))
        }
    }
}

crate::scalar::scalar!(Limit, "a limit such as 250ms, 1% or 10k", {
    "x-kubernetes-int-or-string": true,
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "pattern": r"^([0-9]+(\.[0-9]+)?([kMGT%])?|([0-9]+(\.[0-9]+)?(h|m|s|ms|us|µs|ns))+)$",
    "maxLength": 64,
    "x-floodmark-scalar": "limit"
});

/// The value of a limit.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub enum LimitValue {
    Duration(Duration),
    Count(Count),
    Share(Share),
}

impl LimitValue {
    /// The value as a number: seconds, samples (a second), or a fraction from 0 to 1.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Duration(duration) => duration.0.as_secs_f64(),
            Self::Count(count) => count.0 as f64,
            Self::Share(share) => share.0,
        }
    }
}

/// The unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// A span of time.
    Duration,
    /// A number of samples, requests or findings.
    Count,
    /// Samples a second.
    Rate,
    /// A part of a whole.
    Share,
}

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LatencyKind {
    /// Intended to acknowledged, once a request.
    Response,
    /// Sent to answered, once an attempt.
    Service,
    /// Intended to the backend's 2xx, in samples.
    Delivery,
    /// Due, but the lane was busy.
    Queued,
    /// Due, and the lane was idle: the generator's own lateness.
    Late,
}

/// A point of a latency distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Percentile {
    P50,
    P90,
    P95,
    P99,
    P999,
    Max,
}

impl Percentile {
    /// The percentile as a fraction from 0 to 1.
    pub const fn quantile(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P90 => 0.9,
            Self::P95 => 0.95,
            Self::P99 => 0.99,
            Self::P999 => 0.999,
            Self::Max => 1.0,
        }
    }
}

/// What the ledger counts, in samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LedgerCount {
    SilentLoss,
    AckedLoss,
    StoredUnacknowledged,
    Duplicated,
    Reordered,
    Altered,
    WronglyAccepted,
    WronglyRefused,
    Collateral,
    Unresolved,
    Skipped,
    Refused,
}

macro_rules! named {
    ($type:ident { $($variant:ident = $name:literal,)* }) => {
        impl $type {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name as it stands in a metric.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

named!(LatencyKind {
    Response = "response", Service = "service", Delivery = "delivery", Queued = "queued", Late = "late",
});
named!(Percentile { P50 = "p50", P90 = "p90", P95 = "p95", P99 = "p99", P999 = "p999", Max = "max", });
named!(LedgerCount {
    SilentLoss = "silentLoss", AckedLoss = "ackedLoss", StoredUnacknowledged = "storedUnacknowledged",
    Duplicated = "duplicated", Reordered = "reordered", Altered = "altered", WronglyAccepted = "wronglyAccepted",
    WronglyRefused = "wronglyRefused", Collateral = "collateral", Unresolved = "unresolved", Skipped = "skipped",
    Refused = "refused",
});

/// What a threshold is about: a closed list of names such as `response.p99`, `drops.total` and `ledger.silentLoss`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ThresholdMetric {
    /// `response.p99` and its kind; a duration.
    Latency(LatencyKind, Percentile),
    /// `rate.achieved`: samples a second that were acknowledged, or refused where that was asked for, by their stage's end and one
    /// second; without warm-up.
    RateAchieved,
    /// `drops.total`: dropped samples.
    DropsTotal,
    /// `drops.requests`: dropped requests.
    DropsRequests,
    /// `retries.total`: attempts after the first.
    RetriesTotal,
    /// `ledger.silentLoss` and its kind; samples.
    Ledger(LedgerCount),
    /// `errors.share`: the part of the attempts that got no 2xx.
    ErrorsShare,
}

impl ThresholdMetric {
    /// Every metric there is.
    pub fn all() -> impl Iterator<Item = Self> {
        let latencies =
            LatencyKind::ALL.iter().flat_map(|kind| Percentile::ALL.iter().map(|point| Self::Latency(*kind, *point)));
        let others = [Self::RateAchieved, Self::DropsTotal, Self::DropsRequests, Self::RetriesTotal, Self::ErrorsShare];
        latencies.chain(others).chain(LedgerCount::ALL.iter().copied().map(Self::Ledger))
    }

    /// The unit of its limits.
    pub const fn unit(self) -> Unit {
        match self {
            Self::Latency(..) => Unit::Duration,
            Self::RateAchieved => Unit::Rate,
            Self::DropsTotal | Self::DropsRequests | Self::RetriesTotal | Self::Ledger(_) => Unit::Count,
            Self::ErrorsShare => Unit::Share,
        }
    }
}

impl fmt::Display for ThresholdMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latency(kind, point) => write!(f, "{}.{}", kind.name(), point.name()),
            Self::RateAchieved => f.write_str("rate.achieved"),
            Self::DropsTotal => f.write_str("drops.total"),
            Self::DropsRequests => f.write_str("drops.requests"),
            Self::RetriesTotal => f.write_str("retries.total"),
            Self::Ledger(count) => write!(f, "ledger.{}", count.name()),
            Self::ErrorsShare => f.write_str("errors.share"),
        }
    }
}

impl FromStr for ThresholdMetric {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let found = match text.split_once('.') {
            Some(("ledger", name)) => LedgerCount::from_name(name).map(Self::Ledger),
            Some(("rate", "achieved")) => Some(Self::RateAchieved),
            Some(("drops", "total")) => Some(Self::DropsTotal),
            Some(("drops", "requests")) => Some(Self::DropsRequests),
            Some(("retries", "total")) => Some(Self::RetriesTotal),
            Some(("errors", "share")) => Some(Self::ErrorsShare),
            Some((kind, point)) => {
                LatencyKind::from_name(kind).zip(Percentile::from_name(point)).map(|(k, p)| Self::Latency(k, p))
            }
            None => None,
        };
        found.ok_or_else(|| {
            ScalarError(format!(
                "{text:?} is not a metric of a threshold, such as response.p99, drops.total or ledger.silentLoss"
            ))
        })
    }
}

impl Serialize for ThresholdMetric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ThresholdMetric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ThresholdMetric {
    fn schema_name() -> Cow<'static, str> {
        "ThresholdMetric".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<String> = Self::all().map(|metric| metric.to_string()).collect();
        schemars::json_schema!({"type": "string", "enum": names})
    }
}
