//! The Strict profile: every sender MUST of protocol 1.0, no older or conflicting timestamps, nothing far ahead. Good samples are kept.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ledger::{Foreign, Observation, Order};
use remote_write::rules::Broken;

/// How far ahead of the receiver's clock a timestamp may be.
pub(crate) const AHEAD_MS: i64 = 600_000;

/// Why a sample is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    Broken(Broken),
    TooFarAhead,
    OutOfOrder,
    Conflict,
    SeriesLimit,
    OnPurpose,
}

impl Why {
    /// For metric labels.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Broken(broken) => broken.name(),
            Self::TooFarAhead => "TooFarAhead",
            Self::OutOfOrder => "OutOfOrder",
            Self::Conflict => "ConflictingDuplicate",
            Self::SeriesLimit => "SeriesLimit",
            Self::OnPurpose => "RefusedOnPurpose",
        }
    }

    fn text(self) -> String {
        match self {
            Self::Broken(broken) => broken.to_string(),
            Self::TooFarAhead => "out of bounds: the timestamp is more than 10 minutes ahead".into(),
            Self::OutOfOrder => "out of order sample: send the samples of a series from old to new, each once".into(),
            Self::Conflict => "duplicate sample for timestamp: its value differs from the one that is stored".into(),
            Self::SeriesLimit => "too many series: the limit of this receiver is reached".into(),
            Self::OnPurpose => "this series is refused on purpose".into(),
        }
    }
}

/// Whether a sample of the run is refused. `behind_ms` says how far it is behind the newest one of its series.
#[inline]
pub(crate) fn judge(
    timestamp_ms: i64,
    horizon_ms: i64,
    order: Order,
    window_ms: i64,
    behind_ms: impl FnOnce() -> i64,
) -> Option<Why> {
    if timestamp_ms > horizon_ms {
        return Some(Why::TooFarAhead);
    }
    match order {
        Order::Newer | Order::Same => None,
        Order::Conflict => Some(Why::Conflict),
        Order::Older => (window_ms == 0 || behind_ms() > window_ms).then_some(Why::OutOfOrder),
    }
}

/// The order that a foreign sample's class means.
pub(crate) fn order_of(foreign: Foreign) -> Order {
    match foreign {
        Foreign::New | Foreign::Untracked => Order::Newer,
        Foreign::Duplicate => Order::Same,
        Foreign::Conflict => Order::Conflict,
        Foreign::Late => Order::Older,
    }
}

/// Whether the store keeps a sample that is not refused: a repeated one is counted, and stored already.
pub(crate) fn kept(refused: Option<Why>, observation: Observation) -> bool {
    refused.is_none() || matches!(observation, Observation::Duplicate { .. })
}

/// What was refused in one request: by reason, how often, and the first sample.
#[derive(Debug, Default)]
pub(crate) struct Refusals(BTreeMap<Why, (u64, String)>);

impl Refusals {
    pub(crate) fn add(&mut self, why: Why, example: impl FnOnce() -> String) {
        self.0.entry(why).or_insert_with(|| (0, example())).0 += 1;
    }

    /// 2xx, 400, or 429 when the limit of series stood against all of it.
    pub(crate) fn status(&self) -> u16 {
        if self.0.is_empty() {
            204
        } else if self.0.keys().all(|why| *why == Why::SeriesLimit) {
            429
        } else {
            400
        }
    }

    /// Whether the one series of `RejectOneSeries` is among them.
    pub(crate) fn on_purpose(&self) -> bool {
        self.0.contains_key(&Why::OnPurpose)
    }

    /// One line a reason.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (why, (count, example)) in &self.0 {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}: {count} samples, first {example}", why.text());
        }
        text
    }

    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(why, (count, _))| (why.name(), *count))
    }
}
