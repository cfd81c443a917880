//! From the bytes of a request to what the lanes take: decoded once, walked once, one hash a label block. Pure.

mod map;
mod slice;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use remote_write::canonical::Scratch;
use remote_write::{Snappy, SnappyError, v1};
use xxhash_rust::xxh3::Xxh3Default;

pub(crate) use map::Map;
pub(crate) use slice::{Item, Sliced, slice};

use crate::cut::Cut;
use crate::lane::{Field, Fields, MAX_DECODED, measure};

/// Reused memory of one thread.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    snappy: Snappy,
    labels: Scratch,
}

/// Buffers above this are given back after a request.
const KEEP: usize = 4 << 20;

/// Why a request is not taken, for good.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// Not snappy.
    #[error(transparent)]
    Snappy(#[from] SnappyError),
    /// Not a request.
    #[error("protobuf: {0}")]
    Walk(#[from] v1::WalkError),
    /// A generator routed by another map than the one it names, or the sender is none of ours.
    #[error("series {series} belongs to worker {owner}, this is worker {here}: route by GET /ownership")]
    NotOwned {
        /// Position in the request.
        series: usize,
        /// Its owner.
        owner: u32,
        /// This worker.
        here: u32,
    },
    /// Series of several lanes in a request that must be of one.
    #[error("series {series} belongs to lane {lane}, the first one to lane {first}: send one request a lane")]
    Mixed {
        /// Position in the request.
        series: usize,
        /// Its lane.
        lane: u16,
        /// Lane of the first series.
        first: u16,
    },
    /// More samples, or series of one each, than the whole buffer takes.
    #[error("more than {most} samples, the size of the buffer; send smaller requests")]
    TooMany {
        /// Samples that the buffer takes.
        most: u64,
    },
    /// More bytes than the whole buffer takes.
    #[error("more than {most} bytes with the labels before each sample, the size of the buffer; send smaller requests")]
    TooLarge {
        /// Bytes that the buffer takes.
        most: u64,
    },
    /// A native histogram whose bytes are no message.
    #[error("series {series} has a broken native histogram; send it as prometheus.Histogram declares it")]
    Histogram {
        /// Position in the request.
        series: usize,
    },
    /// A generator's request repeats a series.
    #[error(
        "{samples} samples of {series} series: send one sample a series in a request, so that repeating it is harmless"
    )]
    Repeats {
        /// Samples.
        samples: u64,
        /// Series.
        series: u32,
    },
}

/// What a walk over a generator's request found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pure {
    /// Lane in this worker; `None` without series.
    pub(crate) lane: Option<u16>,
    /// Series.
    pub(crate) series: u32,
    /// Samples and histograms.
    pub(crate) samples: u64,
    /// Timestamp of the last series' last sample, milliseconds.
    pub(crate) newest: i64,
}

/// A lane's share of somebody's request.
#[derive(Debug)]
pub(crate) struct Share {
    /// Lane in this worker.
    pub(crate) lane: u16,
    /// xxh3-128 of its series as they came: the same again is the same part.
    pub(crate) key: u128,
    /// What is sent.
    pub(crate) sliced: Sliced,
}

/// How a third party's request is split.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SplitRules {
    /// One sample a series in a slice.
    pub(crate) once: bool,
    /// Samples in a slice.
    pub(crate) max_samples: u64,
    /// Samples in the request: what the buffer takes.
    pub(crate) most: u64,
    /// Bytes in this worker's share: what the buffer takes.
    pub(crate) max_bytes: u64,
}

/// A request split by owner and lane.
#[derive(Debug, Default)]
pub(crate) struct Split {
    /// This worker's.
    pub(crate) own: Vec<Share>,
    /// Others': owner and compressed request.
    pub(crate) others: Vec<(u32, Bytes)>,
    /// Series in it, samples or not.
    pub(crate) series: u64,
    /// Timestamp of the last sample, milliseconds.
    pub(crate) newest: i64,
}

impl Decoder {
    /// Checks a generator's request: all series are this worker's and of one lane. With `fault` they may be anything,
    /// since a fault can change labels and so the slot; the request is then taken for the lane it names. At most `most` series.
    pub(crate) fn pure(&mut self, body: &[u8], map: &Map, fault: bool, most: u64) -> Result<Pure, Refusal> {
        let plain = self.snappy.decompress(body, MAX_DECODED)?;
        let mut found = Pure::default();
        for (at, series) in v1::walk(plain).enumerate() {
            let series = series?;
            found.series += 1;
            found.samples += count(at, &series)?;
            if u64::from(found.series) > most {
                return Err(Refusal::TooMany { most });
            }
            if fault {
                continue;
            }
            let hash = series.canonical_hash(&mut self.labels);
            let slot = map.slot(&series, hash, &mut self.labels);
            match (map.lane(slot), found.lane) {
                (Some(lane), Some(first)) if lane == first => {}
                (Some(lane), None) => {
                    found.lane = Some(lane);
                    found.newest = series.samples().next().map_or(0, |sample| sample.timestamp);
                }
                (Some(lane), Some(first)) => return Err(Refusal::Mixed { series: at, lane, first }),
                (None, _) => {
                    let owner = map.owner(slot);
                    return Err(Refusal::NotOwned { series: at, owner, here: map.ordinal });
                }
            }
        }
        if !fault && found.samples > u64::from(found.series) {
            return Err(Refusal::Repeats { samples: found.samples, series: found.series });
        }
        Ok(found)
    }

    /// Gives back what one huge request needed.
    pub(crate) fn release(&mut self) {
        self.snappy.release(KEEP);
        self.labels.release(KEEP);
    }

    /// The series of a request that was checked by [`Self::pure`], so that it can be merged with others.
    pub(crate) fn fields(&mut self, body: &[u8]) -> Result<Fields, Refusal> {
        let plain = Bytes::copy_from_slice(self.snappy.decompress(body, MAX_DECODED)?);
        let mut list = Vec::new();
        let mut start = 0_u32;
        let mut bytes = Vec::with_capacity(plain.len());
        for (at, series) in v1::walk(&plain).enumerate() {
            let series = series?;
            if count(at, &series)? == 0 {
                continue;
            }
            bytes.extend_from_slice(series.raw());
            let end = bytes.len() as u32;
            let hash = series.canonical_hash(&mut self.labels);
            list.push(measure(Field { start, end, samples: 0, hash, first: 0, last: 0 }, &series));
            start = end;
        }
        // It is kept longer than what was left out of it.
        bytes.shrink_to_fit();
        Ok(Fields { bytes: bytes.into(), list })
    }

    /// Splits a third party's request. The number of samples is bounded before memory is taken for them. With `forwarded` every series must be this worker's.
    pub(crate) fn split(
        &mut self,
        body: &[u8],
        map: &Map,
        forwarded: bool,
        rules: SplitRules,
    ) -> Result<Split, Refusal> {
        let plain = self.snappy.decompress(body, MAX_DECODED)?;
        let mut lanes: Vec<Vec<Item<'_>>> = Vec::new();
        lanes.resize_with(usize::from(map.ownership.lanes), Vec::new);
        let mut others: std::collections::BTreeMap<u32, Vec<u8>> = std::collections::BTreeMap::new();
        let mut split = Split::default();
        let mut samples = 0;
        for (at, series) in v1::walk(plain).enumerate() {
            let series = series?;
            split.series += 1;
            let count = count(at, &series)?;
            samples += count;
            if samples > rules.most {
                return Err(Refusal::TooMany { most: rules.most });
            }
            if count == 0 {
                continue;
            }
            if let Some(sample) = series.samples().next() {
                split.newest = split.newest.max(sample.timestamp);
            }
            let hash = series.canonical_hash(&mut self.labels);
            let slot = map.slot(&series, hash, &mut self.labels);
            let owner = map.owner(slot);
            match map.lane(slot) {
                Some(lane) => lanes[usize::from(lane)].push(Item::new(&series, hash)),
                None if forwarded => return Err(Refusal::NotOwned { series: at, owner, here: map.ordinal }),
                None => others.entry(owner).or_default().extend_from_slice(series.raw()),
            }
        }
        let mut left = rules.max_bytes;
        for (lane, items) in (0..).zip(&lanes) {
            if items.is_empty() {
                continue;
            }
            let mut key = Xxh3Default::new();
            for item in items {
                key.update(item.raw);
            }
            let sliced = slice(items, rules.once, rules.max_samples, left);
            let sliced = sliced.ok_or(Refusal::TooLarge { most: rules.max_bytes })?;
            left -= sliced.bytes;
            split.own.push(Share { lane, key: key.digest128(), sliced });
        }
        for (owner, plain) in others {
            split.others.push((owner, Bytes::copy_from_slice(self.snappy.compress(&plain))));
        }
        Ok(split)
    }
}

/// Samples and histograms of a series.
#[inline]
fn count(at: usize, series: &v1::Series<'_>) -> Result<u64, Refusal> {
    if series.has_histograms() {
        Cut::count(series.raw()).ok_or(Refusal::Histogram { series: at })
    } else {
        Ok(series.sample_count() as u64)
    }
}
