//! Drop histograms: how many samples each loss took with it, by cause.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::bounds::{self, HIGHEST_US};
use crate::codec::{self, CodecError};
use crate::set::{EncodedCount, EncodedDrops};

/// Causes kept apart; further ones are counted together as [`OTHER_CAUSES`].
pub const MAX_CAUSES: usize = 64;
/// The cause under which everything beyond [`MAX_CAUSES`] is counted.
pub const OTHER_CAUSES: &str = "other";
const MAX_CAUSE_LENGTH: usize = 128;

#[derive(Debug, Clone, PartialEq)]
struct Counted {
    histogram: Histogram<u64>,
    sum: u64,
    max: u64,
}

/// Drop histograms, recorded and merged alike. Values are samples, not times.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Drops {
    per_event: BTreeMap<String, Counted>,
}

/// The recorder of drops is the distribution itself.
pub type DropRecorder = Drops;

/// The points of one drop histogram, in samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DropSummary {
    /// Events (dropped requests or batches; or gaps).
    pub events: u64,
    /// Samples in all of them, exactly.
    pub samples: u64,
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
}

impl DropSummary {
    /// Of counts that are known exactly: how many events have so many samples.
    pub fn exactly(counts: &BTreeMap<u64, u64>) -> Self {
        let mut all = Self::default();
        for (&samples, &times) in counts {
            all.events = all.events.saturating_add(times);
            all.samples = all.samples.saturating_add(samples.saturating_mul(times));
            all.max = samples;
        }
        let at = |quantile: f64| {
            let mut left = (all.events as f64 * quantile).ceil() as u64;
            for (&samples, &times) in counts {
                if left <= times {
                    return samples;
                }
                left -= times;
            }
            all.max
        };
        Self { p50: at(0.5), p99: at(0.99), ..all }
    }
}

impl Drops {
    pub fn new() -> Self {
        Self::default()
    }

    /// One event (a dropped request, batch, …) took `samples` with it.
    pub fn record(&mut self, cause: &str, samples: u64) {
        add(&mut self.per_event, cause, samples);
    }

    /// Samples lost, by cause.
    pub fn by_cause(&self) -> BTreeMap<String, u64> {
        self.per_event.iter().map(|(c, h)| (c.clone(), h.sum)).collect()
    }

    /// Samples lost per event, by cause.
    pub fn per_event(&self) -> BTreeMap<String, DropSummary> {
        self.per_event.iter().map(|(c, h)| (c.clone(), h.summary())).collect()
    }

    /// Samples lost per event over all causes.
    pub fn all_events(&self) -> Result<DropSummary, CodecError> {
        let mut all = Counted::new();
        for one in self.per_event.values() {
            all.merge(one)?;
        }
        Ok(all.summary())
    }

    /// Adds another set of drop histograms, exactly.
    pub fn merge(&mut self, other: &Self) -> Result<(), CodecError> {
        for (cause, one) in &other.per_event {
            slot(&mut self.per_event, cause).merge(one)?;
        }
        Ok(())
    }

    pub fn encode(&self) -> Result<EncodedDrops, CodecError> {
        let encoded = self.per_event.iter().map(|(cause, one)| {
            let histogram = codec::to_text(&one.histogram)?;
            Ok((cause.clone(), EncodedCount { histogram, sum: one.sum, max: one.max }))
        });
        Ok(EncodedDrops { per_event: encoded.collect::<Result<_, CodecError>>()? })
    }

    pub fn decode(encoded: &EncodedDrops) -> Result<Self, CodecError> {
        let mut drops = Self::new();
        for (cause, one) in &encoded.per_event {
            let counted = Counted { histogram: codec::from_text(&one.histogram)?, sum: one.sum, max: one.max };
            slot(&mut drops.per_event, cause).merge(&counted)?;
        }
        Ok(drops)
    }
}

impl Counted {
    fn new() -> Self {
        Self { histogram: bounds::total(), sum: 0, max: 0 }
    }

    fn merge(&mut self, other: &Self) -> Result<(), CodecError> {
        self.histogram.add(&other.histogram).map_err(|_| CodecError::Corrupt)?;
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
        Ok(())
    }

    fn summary(&self) -> DropSummary {
        let at = |quantile| self.histogram.value_at_quantile(quantile).min(self.max);
        DropSummary { events: self.histogram.len(), samples: self.sum, p50: at(0.5), p99: at(0.99), max: self.max }
    }
}

fn add(map: &mut BTreeMap<String, Counted>, cause: &str, samples: u64) {
    if samples == 0 {
        return;
    }
    let counted = slot(map, cause);
    counted.histogram.saturating_record_n(samples.min(HIGHEST_US), 1);
    counted.sum = counted.sum.saturating_add(samples);
    counted.max = counted.max.max(samples);
}

fn slot<'a>(map: &'a mut BTreeMap<String, Counted>, cause: &str) -> &'a mut Counted {
    let room = map.len() < MAX_CAUSES && cause.len() <= MAX_CAUSE_LENGTH;
    let key = if room || map.contains_key(cause) { cause } else { OTHER_CAUSES };
    map.entry(key.to_owned()).or_insert_with(Counted::new)
}
