//! The shape of one group: which metric, family and label a series of a target stands for.
//!
//! A target's series are numbered 0..n in scrape order. They are cut into metrics as evenly as possible; a histogram metric
//! is cut into families of up to 12 series: buckets with rising `le`, then `_sum`, then `_count`.

use api::ValueKind;

use crate::mix::mix2;

/// Series of a full histogram family: ten buckets, sum and count.
const FAMILY: u32 = 12;
/// Upper bounds of the buckets; the last one of every family is `+Inf`.
const BOUNDS: [&str; 9] = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5"];
/// What the bucket of the same position has seen of all observations, in 1024ths; the last one has seen everything.
const CUMULATIVE: [u64; 9] = [61, 142, 260, 418, 597, 771, 893, 962, 1003];
/// The bucket that sees everything.
const INF: &str = "+Inf";

/// How the samples of a series behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Sine,
    Sparse,
    Constant,
    /// Of a classic histogram.
    Bucket {
        /// Observations at or below the bound, in 1024ths of the count.
        share: u64,
    },
    Sum,
    Count,
}

/// What a series is within its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) metric: u32,
    /// Which name of the metric: 0 the plain one, 1 `_bucket`, 2 `_sum`, 3 `_count`.
    pub(crate) suffix: u8,
    /// Value of the label `series`.
    pub(crate) series: u32,
    pub(crate) le: Option<&'static str>,
    pub(crate) kind: Kind,
    /// First series of the histogram family; the series itself elsewhere. What a family shares hangs on it.
    pub(crate) leader: u32,
}

/// A number for each value of `le`.
pub(crate) fn le_number(le: &str) -> u8 {
    BOUNDS.iter().position(|b| *b == le).map_or(BOUNDS.len() as u8, |at| at as u8)
}

/// Suffixes by [`Role::suffix`].
pub(crate) const SUFFIXES: [&str; 4] = ["", "_bucket", "_sum", "_count"];

/// How a group's series are laid out over metrics.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) metrics: u32,
    /// Series of a small metric; the first `extra` metrics have one more.
    small: u32,
    extra: u32,
    values: ValueKind,
}

/// The kinds that a metric can have as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetricKind {
    Plain(Kind),
    Histogram,
}

impl Shape {
    pub(crate) fn new(series_per_target: u32, metrics: u32, values: ValueKind) -> Self {
        let metrics = metrics.clamp(1, series_per_target.max(1));
        Self { metrics, small: series_per_target / metrics, extra: series_per_target % metrics, values }
    }

    /// What all series of a metric have in common.
    pub(crate) fn metric_kind(&self, metric: u32) -> MetricKind {
        use MetricKind::{Histogram, Plain};
        match self.values {
            ValueKind::Counter => Plain(Kind::Counter),
            ValueKind::Gauge => Plain(Kind::Gauge),
            ValueKind::Sine => Plain(Kind::Sine),
            ValueKind::Sparse => Plain(Kind::Sparse),
            ValueKind::Constant => Plain(Kind::Constant),
            ValueKind::Histogram => Histogram,
            ValueKind::Mixed => match metric % 8 {
                0 | 3 => Plain(Kind::Counter),
                1 | 6 => Plain(Kind::Gauge),
                2 => Histogram,
                4 => Plain(Kind::Sine),
                5 => Plain(Kind::Sparse),
                _ => Plain(Kind::Constant),
            },
        }
    }

    /// First series of a metric and how many it has.
    fn range(&self, metric: u32) -> (u32, u32) {
        let first = metric * self.small + metric.min(self.extra);
        (first, self.small + u32::from(metric < self.extra))
    }

    /// What the series `index` of a target is.
    pub(crate) fn role(&self, index: u32) -> Role {
        let big = self.extra * (self.small + 1);
        let (metric, first) = if index < big {
            let metric = index / (self.small + 1);
            (metric, metric * (self.small + 1))
        } else {
            let metric = self.extra + (index - big) / self.small.max(1);
            (metric, big + (metric - self.extra) * self.small)
        };
        let position = index - first;
        match self.metric_kind(metric) {
            MetricKind::Plain(kind) => Role { metric, suffix: 0, series: position, le: None, kind, leader: index },
            MetricKind::Histogram => {
                let (_, count) = self.range(metric);
                let family = position / FAMILY;
                let size = FAMILY.min(count - family * FAMILY);
                let part = position % FAMILY;
                let (suffix, le, kind) = family_part(part, size);
                Role { metric, suffix, series: family, le, kind, leader: first + family * FAMILY }
            }
        }
    }

    /// The inverse of [`Shape::role`] for what labels say; `None` if no series says this. The caller verifies the whole set.
    pub(crate) fn index_of(&self, metric: u32, suffix: u8, series: u32, le: Option<&[u8]>) -> Option<u32> {
        if metric >= self.metrics {
            return None;
        }
        let (first, count) = self.range(metric);
        let position = match self.metric_kind(metric) {
            MetricKind::Plain(_) => series,
            MetricKind::Histogram => {
                let start = series.checked_mul(FAMILY).filter(|s| *s < count)?;
                let size = FAMILY.min(count - start);
                let part = match suffix {
                    1 => {
                        let le = le?;
                        if le == INF.as_bytes() {
                            size.checked_sub(3)?
                        } else {
                            BOUNDS.iter().position(|b| b.as_bytes() == le)? as u32
                        }
                    }
                    2 => size.checked_sub(2)?,
                    _ => size.checked_sub(1)?,
                };
                start + part
            }
        };
        (position < count).then(|| first + position)
    }
}

/// The member `part` of a family of `size` series: buckets first, then sum, then count. A family of two has no buckets,
/// of one only the count.
fn family_part(part: u32, size: u32) -> (u8, Option<&'static str>, Kind) {
    if part + 1 == size {
        (3, None, Kind::Count)
    } else if part + 2 == size {
        (2, None, Kind::Sum)
    } else if part + 3 == size {
        (1, Some(INF), Kind::Bucket { share: 1024 })
    } else {
        let at = part as usize % BOUNDS.len();
        (1, Some(BOUNDS[at]), Kind::Bucket { share: CUMULATIVE[at] })
    }
}

/// Words that make names look like names; which one a metric has hangs on the seed.
const NOUNS: [&str; 8] = [
    "request_duration",
    "cache_lookup",
    "queue_operation",
    "storage_write",
    "index_read",
    "network_frame",
    "worker_task",
    "session_event",
];

/// The name of a metric without its family suffix, say `floodmark_m0042_cache_lookup_total`.
pub(crate) fn metric_name(seed: u64, metric: u32, kind: MetricKind) -> String {
    let noun = NOUNS[(mix2(seed ^ 0x6e61_6d65, u64::from(metric)) % NOUNS.len() as u64) as usize];
    let unit = match kind {
        MetricKind::Plain(Kind::Counter) => "total",
        MetricKind::Plain(Kind::Sparse) => "errors",
        MetricKind::Plain(Kind::Constant) => "info",
        MetricKind::Plain(Kind::Sine) => "level",
        MetricKind::Plain(_) => "current",
        MetricKind::Histogram => "milliseconds",
    };
    format!("{METRIC_PREFIX}{metric:04}_{noun}_{unit}")
}

/// Every metric name starts with this, followed by the metric's number.
pub(crate) const METRIC_PREFIX: &str = "floodmark_m";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = ValueKind> {
        prop::sample::select(vec![ValueKind::Counter, ValueKind::Histogram, ValueKind::Mixed])
    }

    proptest! {
        #[test]
        fn roles_are_distinct_and_invertible(n in 1u32..300, metrics in 1u32..320, values in kinds()) {
            let shape = Shape::new(n, metrics, values);
            let mut used = std::collections::BTreeSet::new();
            for index in 0..n {
                let role = shape.role(index);
                used.insert(role.metric);
                let back = shape.index_of(role.metric, role.suffix, role.series, role.le.map(str::as_bytes));
                prop_assert_eq!(back, Some(index), "{:?}", role);
                prop_assert_eq!(shape.role(role.leader).leader, role.leader);
            }
            prop_assert_eq!(used.len() as u32, shape.metrics);
        }
    }

    #[test]
    fn a_full_family_has_ten_buckets_sum_and_count() {
        let shape = Shape::new(24, 1, ValueKind::Histogram);
        let les: Vec<_> = (0..12).map(|i| shape.role(i).le).collect();
        assert_eq!(les.iter().flatten().count(), 10);
        assert_eq!(les[9], Some("+Inf"));
        assert_eq!((shape.role(10).suffix, shape.role(11).suffix), (2, 3));
        assert_eq!(shape.role(12).series, 1);
        assert!(CUMULATIVE.windows(2).all(|w| w[0] < w[1]));
    }
}
