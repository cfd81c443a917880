//! The exchange form: what a role serves at `/histograms` and what the conductor merges.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bounds::HIGHEST_US;
use crate::codec::{self, CodecError};
use crate::distribution::Distribution;
use crate::drops::Drops;
use crate::intervals::{Interval, Intervals};
use crate::plain::Plain;

/// Histograms by name (see [`crate::names`]) and drop histograms by cause, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistogramSet {
    #[serde(default)]
    pub histograms: BTreeMap<String, Encoded>,
    #[serde(default)]
    pub drops: EncodedDrops,
}

/// One [`Distribution`]: V2 + deflate, base64, with what histograms do not hold beside it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Encoded {
    pub total: String,
    #[serde(default)]
    pub intervals: Vec<EncodedInterval>,
    #[serde(default)]
    pub censored: u64,
    #[serde(default)]
    pub over_range: u64,
    /// The exact maximum in microseconds.
    #[serde(default)]
    pub max_us: u64,
}

/// One interval: first second since t0, length in seconds (a power of two), V2 + deflate as base64.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EncodedInterval {
    pub start: u64,
    pub seconds: u64,
    pub histogram: String,
}

/// [`Drops`] in exchange form: by cause, the histogram of samples lost per event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EncodedDrops {
    #[serde(default)]
    pub per_event: BTreeMap<String, EncodedCount>,
}

/// A histogram of counts with its exact sum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EncodedCount {
    pub histogram: String,
    pub sum: u64,
    pub max: u64,
}

impl Encoded {
    pub fn from_distribution(distribution: &Distribution) -> Result<Self, CodecError> {
        let intervals = distribution
            .intervals
            .iter_plain()
            .map(|(start, seconds, plain)| {
                let histogram = plain.text()?.to_owned();
                Ok(EncodedInterval { start, seconds, histogram })
            })
            .collect::<Result<_, CodecError>>()?;
        Ok(Self {
            total: codec::to_text(&distribution.total)?,
            intervals,
            censored: distribution.censored,
            over_range: distribution.over_range,
            max_us: distribution.max_us,
        })
    }

    /// Decodes and checks; work and memory are bounded by what was received.
    pub fn distribution(&self) -> Result<Distribution, CodecError> {
        let mut intervals = Intervals::default();
        for one in &self.intervals {
            intervals.insert(one.start, one.seconds, Plain::read(&one.histogram)?)?;
        }
        Ok(Distribution {
            total: codec::from_text(&self.total)?,
            intervals,
            censored: self.censored,
            over_range: self.over_range,
            max_us: self.max_us.min(HIGHEST_US),
        })
    }

    /// The intervals that begin in the last `seconds` that anything was recorded in; the others are not decoded.
    fn newest(&self, seconds: u64) -> Result<Vec<Interval>, CodecError> {
        let last = self.intervals.iter().map(|one| one.start).max().unwrap_or_default();
        let newest = self.intervals.iter().filter(|one| last - one.start < seconds);
        let decoded = newest.map(|one| {
            let histogram = codec::from_text(&one.histogram)?;
            Ok(Interval { start: one.start, seconds: one.seconds, histogram })
        });
        decoded.collect()
    }
}

impl HistogramSet {
    pub fn insert(&mut self, name: &str, distribution: &Distribution) -> Result<(), CodecError> {
        let encoded = Encoded::from_distribution(distribution)?;
        self.histograms.insert(name.to_owned(), encoded);
        Ok(())
    }

    /// Replaces the drop histograms.
    pub fn set_drops(&mut self, drops: &Drops) -> Result<(), CodecError> {
        self.drops = drops.encode()?;
        Ok(())
    }

    /// One measure, decoded; empty when the set has none of that name.
    pub fn distribution(&self, name: &str) -> Result<Distribution, CodecError> {
        self.histograms.get(name).map_or_else(|| Ok(Distribution::new()), Encoded::distribution)
    }

    /// Of one measure the intervals that begin in the last `seconds` that anything was recorded in, as they stand in the set.
    pub fn newest(&self, name: &str, seconds: u64) -> Result<Vec<Interval>, CodecError> {
        self.histograms.get(name).map_or_else(|| Ok(Vec::new()), |one| one.newest(seconds))
    }

    /// The drop histograms, decoded.
    pub fn drops(&self) -> Result<Drops, CodecError> {
        Drops::decode(&self.drops)
    }

    /// Adds another set to this one, exactly. For many sets, [`Merger`] decodes and encodes each only once.
    pub fn merge(&mut self, other: &Self) -> Result<(), CodecError> {
        let mut merger = Merger::new();
        merger.add(self)?;
        merger.add(other)?;
        *self = merger.finish()?;
        Ok(())
    }
}

/// Adds up the sets of many processes. A set that cannot be decoded is refused as a whole and leaves the sum as it was.
#[derive(Debug, Default)]
pub struct Merger {
    sums: BTreeMap<String, Distribution>,
    drops: Drops,
}

impl Merger {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add(&mut self, set: &HistogramSet) -> Result<(), CodecError> {
        let decoded: Vec<_> = set
            .histograms
            .iter()
            .map(|(name, one)| one.distribution().map(|distribution| (name, distribution)))
            .collect::<Result<_, _>>()?;
        let drops = set.drops()?;
        for (name, distribution) in decoded {
            match self.sums.get_mut(name) {
                Some(sum) => sum.merge(&distribution)?,
                None => {
                    self.sums.insert(name.clone(), distribution);
                }
            }
        }
        self.drops.merge(&drops)
    }

    /// The sum of one measure so far; empty when no set had it.
    pub fn distribution(&self, name: &str) -> Distribution {
        self.sums.get(name).cloned().unwrap_or_default()
    }

    pub fn finish(&self) -> Result<HistogramSet, CodecError> {
        let mut set = HistogramSet::default();
        for (name, sum) in &self.sums {
            set.insert(name, sum)?;
        }
        set.set_drops(&self.drops)?;
        Ok(set)
    }
}
