//! Latencies in a summary: the points and the curve of each measure, in milliseconds.

use std::collections::BTreeMap;

use measure::{CodecError, Distribution, HistogramSet, Percentiles, names};
use serde::{Deserialize, Serialize};

/// Ticks on the curve for each half of the distance to 100 %.
const CURVE_TICKS: u32 = 5;

/// The measures of a run; what was not measured is none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Latencies {
    pub response: Option<Latency>,
    pub service: Option<Latency>,
    pub delivery: Option<Latency>,
    pub queued: Option<Latency>,
    pub late: Option<Latency>,
}

/// One measure, in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Latency {
    #[serde(flatten)]
    pub points: Percentiles,
    /// `[fraction, milliseconds]`, up to the maximum at 1.
    pub curve: Vec<(f64, f64)>,
}

impl From<&Distribution> for Latency {
    fn from(distribution: &Distribution) -> Self {
        let curve = distribution.curve(CURVE_TICKS);
        // The steps are sums of halves; what binary fractions leave behind is no information.
        let round = |at: f64| (at * 1e10).round() / 1e10;
        Self {
            points: distribution.percentiles(),
            curve: curve.into_iter().map(|(at, value)| (round(at), value.ms())).collect(),
        }
    }
}

impl Latencies {
    /// Everything that a merged set of histograms holds.
    pub fn from_set(set: &HistogramSet) -> Result<Self, CodecError> {
        let one = |name: &str| -> Result<Option<Latency>, CodecError> {
            let distribution = set.distribution(name)?;
            Ok((!distribution.is_empty()).then(|| Latency::from(&distribution)))
        };
        Ok(Self {
            response: one(names::RESPONSE)?,
            service: one(names::SERVICE)?,
            delivery: one(names::DELIVERY)?,
            queued: one(names::QUEUED)?,
            late: one(names::LATE)?,
        })
    }

    /// Name and measure, in the order of reading.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Latency)> {
        [
            (names::RESPONSE, &self.response),
            (names::SERVICE, &self.service),
            (names::DELIVERY, &self.delivery),
            (names::QUEUED, &self.queued),
            (names::LATE, &self.late),
        ]
        .into_iter()
        .filter_map(|(name, latency)| latency.as_ref().map(|latency| (name, latency)))
    }
}

/// p50 and p99 in milliseconds of each second with an observation, for [`crate::RatePoint`]; where seconds were condensed, all of
/// them get their common values.
pub fn second_latencies(distribution: &Distribution) -> Result<BTreeMap<u64, (f64, f64)>, CodecError> {
    let mut out = BTreeMap::new();
    for interval in distribution.intervals() {
        let interval = interval?;
        let ms = |quantile| interval.histogram.value_at_quantile(quantile) as f64 / 1000.0;
        let values = (ms(0.5), ms(0.99));
        for second in interval.start..interval.start.saturating_add(interval.seconds.min(4096)) {
            out.insert(second, values);
        }
    }
    Ok(out)
}
