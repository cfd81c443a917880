//! One workload group, prepared: shape, names, label bytes that never change.

use api::{ChurnMode, WorkloadGroup};
use remote_write::canonical::push_label;

use crate::WorkloadError;
use crate::churn::ChurnRule;
use crate::mix::mix2;
use crate::shape::{MetricKind, SUFFIXES, Shape, metric_name};

/// Labels besides `__name__` that every series has: bucket, run, instance, job, series.
const FIXED_LABELS: u32 = 5;
/// Longest interval: keeps virtual time inside 128 bits.
const MAX_INTERVAL_NS: u64 = 86_400_000_000_000;
/// Most labels and longest values; a document beyond this is a mistake.
const MAX_LABELS: u32 = 64;
const MAX_VALUE: u32 = 1024;

#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) seed: u64,
    /// Index of the group's first base series.
    pub(crate) first: u32,
    pub(crate) targets: u32,
    pub(crate) per_target: u32,
    pub(crate) interval_ns: u64,
    pub(crate) extra_labels: u32,
    pub(crate) value_length: usize,
    pub(crate) shape: Shape,
    pub(crate) churn: Option<ChurnRule>,
    /// Encoded `__name__` labels; metric m, suffix s at `names[4·m + s]` as a range of `name_bytes`.
    names: Vec<(u32, u32)>,
    name_bytes: Vec<u8>,
}

impl Group {
    pub(crate) fn new(index: usize, first: u32, group: &WorkloadGroup, seed: u64) -> Result<Self, WorkloadError> {
        let fail = |problem: &str| WorkloadError::Group { group: group.name.clone(), problem: problem.into() };
        let interval_ns = group.scrape_interval.as_nanos();
        if group.name.is_empty() || group.name.len() > 128 {
            return Err(fail("`name` must have 1 to 128 bytes"));
        }
        if group.targets == 0 || group.series_per_target == 0 {
            return Err(fail("`targets` and `seriesPerTarget` must be at least 1"));
        }
        if !(1_000_000..=MAX_INTERVAL_NS).contains(&interval_ns) {
            return Err(fail("`scrapeInterval` must be between 1ms and 1 day"));
        }
        if group.labels.count < FIXED_LABELS || group.labels.count > MAX_LABELS {
            return Err(fail("`labels.count` must be between 5 (the labels every series has) and 64"));
        }
        if group.labels.value_length == 0 || group.labels.value_length > MAX_VALUE {
            return Err(fail("`labels.valueLength` must be between 1 and 1024"));
        }
        let seed = mix2(seed, index as u64);
        let churn = match &group.churn {
            None => None,
            Some(c) => {
                let every = c.every.as_nanos();
                let rule = ChurnRule::new(every, c.share.0, c.mode == ChurnMode::Spike, c.stale_markers, seed);
                Some(rule.ok_or_else(|| fail("`churn` needs `every` above 0 and a `share` above 0 and up to 100%"))?)
            }
        };
        let shape = Shape::new(group.series_per_target, group.metrics, group.values);
        let mut names = Vec::with_capacity(shape.metrics as usize * SUFFIXES.len());
        let mut name_bytes = Vec::new();
        for metric in 0..shape.metrics {
            let kind = shape.metric_kind(metric);
            let stem = metric_name(seed, metric, kind);
            for suffix in SUFFIXES {
                let start = name_bytes.len() as u32;
                if (kind == MetricKind::Histogram) != suffix.is_empty() {
                    push_label(&mut name_bytes, b"__name__", format!("{stem}{suffix}").as_bytes());
                }
                names.push((start, name_bytes.len() as u32));
            }
        }
        Ok(Self {
            name: group.name.clone(),
            seed,
            first,
            targets: group.targets,
            per_target: group.series_per_target,
            interval_ns,
            extra_labels: group.labels.count - FIXED_LABELS,
            value_length: group.labels.value_length as usize,
            shape,
            churn,
            names,
            name_bytes,
        })
    }

    pub(crate) fn series(&self) -> u32 {
        self.targets * self.per_target
    }

    /// The encoded `__name__` label.
    pub(crate) fn name_label(&self, metric: u32, suffix: u8) -> &[u8] {
        let at = metric as usize * SUFFIXES.len() + usize::from(suffix);
        self.names.get(at).map_or(&[], |&(from, to)| &self.name_bytes[from as usize..to as usize])
    }

    /// By how much the target's scrapes are later than those of target 0, in virtual ns.
    pub(crate) fn offset_ns(&self, target: u32) -> u64 {
        (u128::from(self.interval_ns) * u128::from(target) / u128::from(self.targets)) as u64
    }

    /// Targets whose offset is at most `offset`.
    pub(crate) fn targets_within(&self, offset: u64) -> u32 {
        let n = (u128::from(offset) + 1) * u128::from(self.targets);
        n.div_ceil(u128::from(self.interval_ns)).min(u128::from(self.targets)) as u32
    }

    /// Virtual time of scrape `k` of a target.
    pub(crate) fn virtual_ns(&self, target: u32, k: u32) -> u128 {
        u128::from(self.interval_ns) * u128::from(k) + u128::from(self.offset_ns(target))
    }
}
