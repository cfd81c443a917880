//! The share of a request that one lane sends, in slices: what may go to the backend in one request.

use std::collections::{HashMap, VecDeque};

use remote_write::v1::Series;

use crate::cut::{Cut, Point};
use crate::lane::{Field, Fields, Payload};

/// A series of a request, small because there may be millions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    /// The whole field, borrowed from the request.
    pub(crate) raw: &'a [u8],
    /// Canonical label hash.
    pub(crate) hash: u64,
    /// Time of its only sample; `None` when there are several, or a histogram.
    pub(crate) only: Option<i64>,
}

impl<'a> Item<'a> {
    /// Of a series with at least one sample or histogram.
    pub(crate) fn new(series: &Series<'a>, hash: u64) -> Self {
        let single = series.sample_count() == 1 && !series.has_histograms();
        let only = series.samples().next().filter(|_| single).map(|sample| sample.timestamp);
        Self { raw: series.raw(), hash, only }
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sliced {
    /// Empty when there was no sample.
    pub(crate) slices: VecDeque<Payload>,
    /// No slice holds a series twice.
    pub(crate) once: bool,
    /// Bytes held by the slices.
    pub(crate) bytes: u64,
    /// Samples and histograms.
    pub(crate) samples: u64,
}

/// Slices of at most `max_samples` samples (but at least one), keeping the order of each series.
///
/// With `once` each holds at most one sample a series: then a slice that is sent twice changes nothing, and one that is
/// refused because a later one is stored already takes nothing down. Otherwise a slice ends before a sample that is not
/// newer than the one before it of that series, which a backend may answer 2xx and lose.
///
/// `None` when they take more than `max_bytes`: labels are copied into every slice.
pub(crate) fn slice(items: &[Item<'_>], once: bool, max_samples: u64, max_bytes: u64) -> Option<Sliced> {
    // Fields know their place in 32 bits.
    let max_bytes = max_bytes.min(u64::from(u32::MAX));
    let mut build = Build {
        layers: Vec::new(),
        newest: HashMap::with_capacity(items.len()),
        repeats: false,
        once,
        bytes: 0,
        longest: usize::try_from(max_samples).unwrap_or(usize::MAX).max(1),
    };
    for item in items {
        build.take(item, max_bytes)?;
    }
    let once = !build.repeats || once;
    let mut sliced = Sliced { once, bytes: build.bytes, ..Sliced::default() };
    for layer in build.layers {
        let bytes = bytes::Bytes::from(layer.bytes);
        let mut list = Vec::new();
        let mut samples = 0;
        let mut push = |list: Vec<Field>| {
            if !list.is_empty() {
                let bytes = bytes.clone();
                sliced.slices.push_back(Payload::Fields(Fields { bytes, list }));
            }
        };
        for field in layer.list {
            if samples + u64::from(field.samples) > max_samples {
                push(std::mem::take(&mut list));
                samples = 0;
            }
            samples += u64::from(field.samples);
            sliced.samples += u64::from(field.samples);
            list.push(field);
        }
        push(list);
    }
    Some(sliced)
}

#[derive(Default)]
struct Layer {
    bytes: Vec<u8>,
    list: Vec<Field>,
}

struct Build {
    layers: Vec<Layer>,
    /// By series: the layer its newest sample is in, and that sample's time.
    newest: HashMap<u64, (usize, i64)>,
    repeats: bool,
    once: bool,
    /// What all layers occupy.
    bytes: u64,
    longest: usize,
}

impl Build {
    /// Copies a series into the layers; `None` once they occupy more than `max_bytes`.
    fn take(&mut self, item: &Item<'_>, max_bytes: u64) -> Option<()> {
        let raw = item.raw;
        if let Some(time) = item.only {
            let at = self.place(item.hash, time);
            return self.put(at, max_bytes, |bytes| {
                let start = bytes.len() as u32;
                bytes.extend_from_slice(raw);
                Field { start, end: bytes.len() as u32, samples: 1, hash: item.hash, first: time, last: time }
            });
        }
        let cut = Cut::parse(raw)?;
        let mut from = 0;
        while let Some(first) = cut.points().get(from) {
            let at = self.place(item.hash, first.timestamp);
            let mut to = from + 1;
            if !self.once {
                to += run(&cut.points()[from..]).min(self.longest) - 1;
                self.repeats |= to > from + 1;
                let last = cut.points()[to - 1].timestamp;
                self.newest.insert(item.hash, (at, last));
            }
            self.put(at, max_bytes, |bytes| {
                if to - from == cut.points().len() {
                    let start = bytes.len() as u32;
                    bytes.extend_from_slice(raw);
                    cut.field(start..bytes.len() as u32, from..to, item.hash)
                } else {
                    cut.append(bytes, from..to, item.hash)
                }
            })?;
            from = to;
        }
        Some(())
    }

    /// The layer for the next sample of a series.
    fn place(&mut self, hash: u64, time: i64) -> usize {
        let at = match self.newest.get(&hash) {
            None => 0,
            Some(&(at, newest)) if !self.once && time > newest => {
                self.repeats = true;
                at
            }
            Some(&(at, _)) => at + 1,
        };
        self.newest.insert(hash, (at, time));
        at
    }

    fn put(&mut self, at: usize, max_bytes: u64, append: impl FnOnce(&mut Vec<u8>) -> Field) -> Option<()> {
        if self.layers.len() <= at {
            self.layers.resize_with(at + 1, Layer::default);
            self.bytes += (size_of::<Layer>() + size_of::<Payload>()) as u64;
        }
        let layer = &mut self.layers[at];
        let field = append(&mut layer.bytes);
        self.bytes += u64::from(field.end - field.start) + size_of::<Field>() as u64;
        layer.list.push(field);
        (self.bytes <= max_bytes).then_some(())
    }
}

/// How many points from the first on are each newer than the one before.
fn run(points: &[Point]) -> usize {
    1 + points.windows(2).take_while(|pair| pair[1].timestamp > pair[0].timestamp).count()
}
