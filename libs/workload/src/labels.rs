//! The label set of a series, in encoded pieces: most bytes are shared by a target's series and copied, not made.

use remote_write::canonical::push_label;

use crate::group::Group;
use crate::mix::{below, mix, mix2};
use crate::shape::Role;
use crate::{Place, SeriesId, Workload};

/// The label whose value is the run.
pub const RUN_LABEL: &str = "floodmark_run";
/// The label that divides a run: the base of the series modulo [`BUCKETS`].
pub const BUCKET_LABEL: &str = "floodmark_bucket";
/// Values of [`BUCKET_LABEL`].
pub const BUCKETS: u32 = 256;
/// Values of `series` that are kept encoded; others are made on the fly.
const SERIES_READY: u32 = 1024;

/// Encoded labels that differ only in a small number or word.
#[derive(Debug, Clone, Default)]
pub(crate) struct LabelTable {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl LabelTable {
    pub(crate) fn numbers(name: &str, count: u32) -> Self {
        let mut table = Self::default();
        for number in 0..count {
            table.push(name, &number.to_string());
        }
        table
    }

    fn push(&mut self, name: &str, value: &str) {
        push_label(&mut self.bytes, name.as_bytes(), value.as_bytes());
        self.ends.push(self.bytes.len() as u32);
    }

    fn get(&self, index: u32) -> Option<&[u8]> {
        let index = index as usize;
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        self.bytes.get(start as usize..end as usize)
    }
}

/// Labels that all groups share.
#[derive(Debug, Clone)]
pub(crate) struct CommonLabels {
    run: Vec<u8>,
    run_value_len: usize,
    buckets: LabelTable,
    series: LabelTable,
}

impl CommonLabels {
    /// The value of `floodmark_run`.
    pub(crate) fn run_value(&self) -> &[u8] {
        &self.run[self.run.len() - self.run_value_len..]
    }

    pub(crate) fn new(run: &str) -> Self {
        let mut encoded = Vec::new();
        push_label(&mut encoded, RUN_LABEL.as_bytes(), run.as_bytes());
        Self {
            run: encoded,
            run_value_len: run.len(),
            buckets: LabelTable::numbers(BUCKET_LABEL, BUCKETS),
            series: LabelTable::numbers("series", SERIES_READY),
        }
    }
}

/// The canonical label block of one series in the order of its bytes; concatenated it is the block.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    items: [&'a [u8]; MAX_PARTS],
    keys: [u64; MAX_PARTS],
    len: usize,
}

/// Name, bucket (without its digits; the digits), run, generation, target, le, series (without its digits; the digits).
const MAX_PARTS: usize = 9;

impl<'a> Parts<'a> {
    /// The pieces with their keys: within a workload, equal keys other than 0 mean equal bytes. Lets a compressor refer to
    /// a piece that it wrote before instead of searching for it.
    #[inline]
    pub fn keyed(&self) -> impl Iterator<Item = (&'a [u8], u64)> + '_ {
        self.items[..self.len].iter().copied().zip(self.keys)
    }
}

/// What a piece is, above its number.
mod key {
    pub(super) const NAME: u64 = 1 << 56;
    pub(super) const BUCKET: u64 = 2 << 56;
    pub(super) const SHARED: u64 = 3 << 56;
    pub(super) const RUN: u64 = 4 << 56;
    pub(super) const GENERATION: u64 = 5 << 56;
    pub(super) const TARGET: u64 = 6 << 56;
    pub(super) const LE: u64 = 7 << 56;
    pub(super) const SERIES: u64 = 8 << 56;
}

/// Cuts the decimal digits of `number` off its label.
#[inline]
fn split_number(label: &[u8], number: u32) -> (&[u8], &[u8], u64) {
    let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
    let (head, tail) = label.split_at(label.len().saturating_sub(digits));
    (head, tail, digits as u64)
}

impl<'a> std::ops::Deref for Parts<'a> {
    type Target = [&'a [u8]];

    fn deref(&self) -> &[&'a [u8]] {
        &self.items[..self.len]
    }
}

/// Makes label blocks; remembers the bytes of the target it was last asked for, so ask in scrape order.
#[derive(Debug, Clone, Default)]
pub struct Pieces {
    /// Group and target whose bytes are in `shared`; None before the first.
    target: Option<(u16, u32)>,
    /// `floodmark_run`, then `instance`, `job`, `label_NN`.
    shared: Vec<u8>,
    run_len: usize,
    generation: Vec<u8>,
    le: Vec<u8>,
    series: Vec<u8>,
}

impl Pieces {
    pub fn new() -> Self {
        Self::default()
    }

    /// The label block of a series in pieces. `place` must be the place of a base series of this workload.
    #[inline]
    pub fn parts<'s>(&'s mut self, workload: &'s Workload, place: Place, generation: u32) -> Parts<'s> {
        let group = &workload.groups[usize::from(place.group)];
        if self.target != Some((place.group, place.target)) {
            self.prepare(workload, group, place);
        }
        let role = group.shape.role(place.index);
        let base = group.first + place.target * group.per_target + place.index;
        let common = &workload.common;
        let series = if let Some(ready) = common.series.get(role.series) {
            ready
        } else {
            self.series.clear();
            push_label(&mut self.series, b"series", role.series.to_string().as_bytes());
            &self.series
        };
        let name = group.name_label(role.metric, role.suffix);
        let bucket = common.buckets.get(base % BUCKETS).unwrap_or_default();
        let (bucket, bucket_digits, b) = split_number(bucket, base % BUCKETS);
        let group_key = u64::from(place.group) << 40;
        let name_key = key::NAME | group_key | u64::from(role.metric) << 2 | u64::from(role.suffix);
        let target_key = group_key | u64::from(place.target);
        if group.churn.is_none() && role.le.is_none() {
            let (series, digits, s) = split_number(series, role.series);
            return Parts {
                items: [name, bucket, bucket_digits, &self.shared, series, digits, &[], &[], &[]],
                keys: [name_key, key::BUCKET | b, 0, key::SHARED | target_key, key::SERIES | s, 0, 0, 0, 0],
                len: 6,
            };
        }
        self.generation.clear();
        if group.churn.is_some() {
            push_label(&mut self.generation, b"generation", generation.to_string().as_bytes());
        }
        self.le.clear();
        if let Some(le) = role.le {
            push_label(&mut self.le, b"le", le.as_bytes());
        }
        let (run, target) = self.shared.split_at(self.run_len);
        let (series, digits, s) = split_number(series, role.series);
        let generation_key = key::GENERATION | u64::from(generation);
        let le_key = key::LE | role.le.map_or(0, |le| u64::from(crate::shape::le_number(le)));
        Parts {
            items: [name, bucket, bucket_digits, run, &self.generation, target, &self.le, series, digits],
            keys: [
                name_key,
                key::BUCKET | b,
                0,
                key::RUN,
                generation_key,
                key::TARGET | target_key,
                le_key,
                key::SERIES | s,
                0,
            ],
            len: MAX_PARTS,
        }
    }

    fn prepare(&mut self, workload: &Workload, group: &Group, place: Place) {
        self.shared.clear();
        self.shared.extend_from_slice(&workload.common.run);
        self.run_len = self.shared.len();
        push_label(&mut self.shared, b"instance", &instance(group, place.target));
        push_label(&mut self.shared, b"job", group.name.as_bytes());
        for label in 0..group.extra_labels {
            let value = word(
                mix2(group.seed ^ 0x6c61_6265, u64::from(place.target) << 8 | u64::from(label)),
                group.value_length,
            );
            push_label(&mut self.shared, format!("label_{label:02}").as_bytes(), &value);
        }
        self.target = Some((place.group, place.target));
    }
}

/// `t000042-` and a word, about as long as values should be; the number alone where that is longer.
fn instance(group: &Group, target: u32) -> Vec<u8> {
    let mut value = format!("t{target:06}").into_bytes();
    if group.value_length > value.len() + 1 {
        value.push(b'-');
        let rest = group.value_length - value.len();
        value.extend(word(mix2(group.seed ^ 0x686f_7374, u64::from(target)), rest));
    }
    value
}

/// The target's number from what [`instance`] wrote.
fn target_of(value: &[u8]) -> Option<u32> {
    number(value.strip_prefix(b"t")?)
}

/// Lower-case letters and digits.
fn word(mut bits: u64, length: usize) -> Vec<u8> {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    (0..length)
        .map(|_| {
            bits = mix(bits.wrapping_add(0x9e37_79b9_7f4a_7c15));
            LETTERS[below(bits, 36) as usize]
        })
        .collect()
}

/// The leading decimal digits; `None` without any, or beyond 32 bits.
fn number(text: &[u8]) -> Option<u32> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(text.get(..digits)?).ok()?.parse().ok()
}

/// Whether a series of any workload may carry a label of this name. What else is found on one, somebody on the way added.
pub fn is_own_label(name: &[u8]) -> bool {
    let numbered = || name.strip_prefix(b"label_").is_some_and(|number| number.iter().all(u8::is_ascii_digit));
    matches!(name, b"__name__" | b"generation" | b"instance" | b"job" | b"le" | b"series")
        || name.starts_with(b"floodmark_")
        || numbered()
}

/// What labels claim to be: the candidate, still to be verified against the whole set.
#[derive(Default)]
struct Claim<'a> {
    name: Option<&'a [u8]>,
    job: Option<&'a [u8]>,
    instance: Option<&'a [u8]>,
    series: Option<&'a [u8]>,
    le: Option<&'a [u8]>,
    generation: Option<&'a [u8]>,
}

/// The series whose label set claims to be this one; the caller compares the sets.
pub(crate) fn claimed<'a>(
    workload: &Workload,
    labels: impl Iterator<Item = remote_write::Label<'a>>,
) -> Option<SeriesId> {
    let mut claim = Claim::default();
    for label in labels {
        let field = match label.name {
            b"__name__" => &mut claim.name,
            b"job" => &mut claim.job,
            b"instance" => &mut claim.instance,
            b"series" => &mut claim.series,
            b"le" => &mut claim.le,
            b"generation" => &mut claim.generation,
            _ => continue,
        };
        *field = Some(label.value);
    }
    let job = claim.job?;
    let group = workload.groups.iter().find(|g| g.name.as_bytes() == job)?;
    let target = target_of(claim.instance?).filter(|t| *t < group.targets)?;
    let name = claim.name?;
    let metric = number(name.strip_prefix(crate::shape::METRIC_PREFIX.as_bytes())?)?;
    let suffix = [(b"_bucket".as_slice(), 1), (b"_sum", 2), (b"_count", 3)];
    let suffix = suffix.iter().find(|(text, _)| name.ends_with(text)).map_or(0, |&(_, s)| s);
    let index = group.shape.index_of(metric, suffix, number(claim.series?)?, claim.le)?;
    let generation = match (&group.churn, claim.generation) {
        (None, None) => 0,
        (Some(_), Some(text)) => number(text)?,
        _ => return None,
    };
    Some(SeriesId { base: group.first + target * group.per_target + index, generation })
}

/// What a series is called by people: for examples in findings.
pub(crate) fn describe(group: &Group, role: Role, target: u32) -> String {
    // The name stands behind the two tags, three lengths and `__name__` of its label.
    let name = group.name_label(role.metric, role.suffix).get(14..).unwrap_or_default();
    let le = role.le.map_or_else(String::new, |le| format!(",le=\"{le}\""));
    format!(
        "{}{{job=\"{}\",instance=\"t{target:06}…\",series=\"{}\"{le}}}",
        String::from_utf8_lossy(name),
        group.name,
        role.series
    )
}
