//! The label rules that protocol 1.0 puts on senders (each a MUST), for receivers that hold senders to them.

use crate::v1::Series;
use crate::{Label, METRIC_NAME};

/// The rule that a series breaks; of several, one is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Broken {
    /// No `__name__`.
    #[error("no metric name; every series needs a label __name__")]
    NoMetricName,
    /// A label with an empty name.
    #[error("empty label name; leave the label out")]
    EmptyName,
    /// A label with an empty value.
    #[error("empty label value; leave the label out")]
    EmptyValue,
    /// Two labels of one name.
    #[error("repeated label name; send each label once")]
    RepeatedName,
    /// Labels that are not in the order of their names.
    #[error("labels out of order; sort them by name, byte by byte")]
    Unsorted,
    /// A metric name that does not match `[a-zA-Z_:][a-zA-Z0-9_:]*`.
    #[error("invalid metric name; use [a-zA-Z_:][a-zA-Z0-9_:]*")]
    MetricName,
    /// A label name that does not match `[a-zA-Z_][a-zA-Z0-9_]*`.
    #[error("invalid label name; use [a-zA-Z_][a-zA-Z0-9_]*")]
    LabelName,
    /// A name or a value that is not UTF-8.
    #[error("label is not UTF-8; encode names and values as UTF-8")]
    Utf8,
}

impl Broken {
    /// Stable name for counters and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoMetricName => "NoMetricName",
            Self::EmptyName => "EmptyName",
            Self::EmptyValue => "EmptyValue",
            Self::RepeatedName => "RepeatedName",
            Self::Unsorted => "Unsorted",
            Self::MetricName => "MetricName",
            Self::LabelName => "LabelName",
            Self::Utf8 => "Utf8",
        }
    }
}

/// Whether `name` matches `[a-zA-Z_:][a-zA-Z0-9_:]*`.
#[inline]
pub fn is_metric_name(name: &[u8]) -> bool {
    is_name(name, METRIC)
}

/// Whether `name` matches `[a-zA-Z_][a-zA-Z0-9_]*`.
#[inline]
pub fn is_label_name(name: &[u8]) -> bool {
    is_name(name, LABEL)
}

/// Checks the labels of one series against every rule. Samples, their order included, are not looked at.
///
/// Costs several times the walk. A receiver that knows a label set by its hash to be good needs no second check of a
/// series whose [`Series::label_block`] is there: what else could be wrong, order, repeats and empty values, is not.
pub fn check_series(series: &Series<'_>) -> Result<(), Broken> {
    let mut before: Option<&[u8]> = None;
    let mut named = false;
    for Label { name, value } in series.labels() {
        if let Some(before) = before
            && name <= before
        {
            return Err(misplaced(series, name, before));
        }
        if name.is_empty() {
            return Err(Broken::EmptyName);
        }
        if !is_label_name(name) {
            return Err(not_text(name).unwrap_or(Broken::LabelName));
        }
        if value.is_empty() {
            return Err(Broken::EmptyValue);
        }
        if name == METRIC_NAME {
            named = true;
            if !is_metric_name(value) {
                return Err(not_text(value).unwrap_or(Broken::MetricName));
            }
        } else if let Some(broken) = not_text(value) {
            return Err(broken);
        }
        before = Some(name);
    }
    if named { Ok(()) } else { Err(Broken::NoMetricName) }
}

/// Names the rule that a label breaks which does not come after its predecessor.
#[cold]
fn misplaced(series: &Series<'_>, name: &[u8], before: &[u8]) -> Broken {
    let earlier = series.labels().filter(|label| label.name == name).take(2).count();
    if name == before || earlier > 1 { Broken::RepeatedName } else { Broken::Unsorted }
}

#[inline]
fn not_text(bytes: &[u8]) -> Option<Broken> {
    std::str::from_utf8(bytes).err().map(|_| Broken::Utf8)
}

/// May stand first and later / later only / in metric names only.
const FIRST: u8 = 1;
const LATER: u8 = 2;
const COLON: u8 = 4;
const LABEL: u8 = FIRST;
const METRIC: u8 = FIRST | COLON;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => FIRST,
            b'0'..=b'9' => LATER,
            b':' => COLON,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

#[inline]
fn is_name(name: &[u8], first: u8) -> bool {
    let class = |byte: &u8| CLASSES[usize::from(*byte)];
    name.first().is_some_and(|byte| class(byte) & first != 0)
        && name.iter().all(|byte| class(byte) & (first | LATER) != 0)
}
