//! What every sample of the run has to be, recomputed from the workload, the faults and t0.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use faults::FaultPlan;
use remote_write::{Label, STALE_MARKER, v1};
use workload::{Place, SeriesId, Workload};

use crate::Example;

/// Remembered timestamps, one a target unless two share a cell.
const CELLS: usize = 4096;

/// How much is shown of a series that is none of the run's: labels, and bytes of their text.
const STRANGER_LABELS: usize = 100;
const STRANGER_TEXT: usize = 1000;

/// The name `generation` as it stands in a label block.
const GENERATION: &[u8] = b"\x0a\x0ageneration\x12";

/// Bases of one group, target after target.
struct Span {
    bases: Range<u32>,
    per_target: u32,
}

/// The sample that a target's last timestamp stands for; all series of a target share it.
#[derive(Clone, Copy)]
struct Moment {
    group: u16,
    target: u32,
    timestamp_ms: i64,
    k: Option<u32>,
}

/// The run as pure functions, with a memory of the last timestamp of each target.
pub(crate) struct Truth {
    pub(crate) workload: Arc<Workload>,
    pub(crate) faults: Arc<FaultPlan>,
    pub(crate) t0_ns: u64,
    spans: Vec<Span>,
    /// Bases of the target asked for last, and its moment.
    target: Range<u32>,
    moment: Moment,
    moments: Vec<Moment>,
}

impl Truth {
    pub(crate) fn new(workload: Arc<Workload>, faults: Arc<FaultPlan>, t0_ns: u64) -> Self {
        let none = Moment { group: u16::MAX, target: u32::MAX, timestamp_ms: i64::MIN, k: None };
        let spans = spans(&workload);
        Self { workload, faults, t0_ns, spans, target: 0..0, moment: none, moments: vec![none; CELLS] }
    }

    /// Whether any group's series give way to others: only these carry a label for their generation.
    pub(crate) fn churns(&self) -> bool {
        let mut block = Vec::new();
        self.spans.iter().any(|span| {
            block.clear();
            self.workload.label_block(SeriesId { base: span.bases.start, generation: 0 }, &mut block);
            block.windows(GENERATION.len()).any(|bytes| bytes == GENERATION)
        })
    }

    /// Number of faults in the test.
    pub(crate) fn fault_count(&self) -> usize {
        self.faults.len()
    }

    /// Where a series stands, and which of its target's samples has this timestamp.
    #[inline]
    pub(crate) fn resolve(&mut self, base: u32, timestamp_ms: i64) -> (Place, Option<u32>) {
        if !self.target.contains(&base) {
            self.enter(base);
        }
        if self.moment.timestamp_ms != timestamp_ms {
            self.turn(base, timestamp_ms);
        }
        let Moment { group, target, k, .. } = self.moment;
        (Place { group, target, index: base.wrapping_sub(self.target.start) }, k)
    }

    fn enter(&mut self, base: u32) {
        let span = self.spans.iter().position(|span| span.bases.contains(&base)).unwrap_or(0);
        let Some(Span { bases, per_target }) = self.spans.get(span) else { return };
        let target = base.saturating_sub(bases.start) / per_target;
        let start = bases.start + target * per_target;
        self.target = start..start + per_target;
        self.moment = Moment { group: span as u16, target, ..self.moments[cell(span as u16, target)] };
        let kept = self.moments[cell(span as u16, target)];
        if (kept.group, kept.target) != (span as u16, target) {
            self.moment.timestamp_ms = i64::MIN;
            self.moment.k = None;
        }
    }

    fn turn(&mut self, base: u32, timestamp_ms: i64) {
        self.moment.timestamp_ms = timestamp_ms;
        self.moment.k = self.workload.k_at(self.t0_ns, base, timestamp_ms);
        self.moments[cell(self.moment.group, self.moment.target)] = self.moment;
    }

    /// Bits of the good sample `k`.
    #[inline]
    pub(crate) fn bits_at(&self, place: Place, generation: u32, k: u32) -> u64 {
        self.workload.value_at(place, generation, k).to_bits()
    }

    pub(crate) fn bits(&self, id: SeriesId, k: u32) -> u64 {
        self.workload.value(id, k).to_bits()
    }

    pub(crate) fn timestamp_ms(&self, base: u32, k: u32) -> Option<i64> {
        self.workload.timestamp_ms(self.t0_ns, base, k)
    }

    /// The samples of a series, stale marker not included; empty for a generation without any.
    pub(crate) fn samples(&self, id: SeriesId) -> Range<u32> {
        self.workload.samples_of(id).unwrap_or(0..0)
    }

    /// The fault that takes the place of sample `k` of a base.
    pub(crate) fn replaced(&self, base: u32, k: u32) -> Option<u32> {
        let due_ns = self.workload.due_ns(base, k)?;
        let id = SeriesId { base, generation: self.workload.generation_at(base, k) };
        self.drawn(id, k, due_ns)
    }

    /// The fault drawn for a scheduled sample.
    pub(crate) fn drawn(&self, id: SeriesId, k: u32, due_ns: u64) -> Option<u32> {
        self.faults.draw(id, k, due_ns)
    }

    /// The fault that made this sample of a series, and the good sample whose place it took.
    pub(crate) fn injected(&self, id: SeriesId, timestamp_ms: i64, bits: u64) -> Option<(u32, u32)> {
        self.faults.identify(id, self.t0_ns, timestamp_ms, bits)
    }

    /// Whether these are timestamp and bits of the marker that ends the series.
    pub(crate) fn is_stale_marker(&self, id: SeriesId, k: u32, bits: u64) -> bool {
        bits == STALE_MARKER && self.workload.stale_k(id) == Some(k)
    }

    /// A sample as a witness.
    pub(crate) fn example(&self, id: SeriesId, timestamp_ms: i64, bits: u64, detail: String) -> Example {
        Example { series: self.text(id), timestamp_ms, value: value_text(bits), detail }
    }

    /// The good sample `k`, or the stale marker sent with its timestamp, as a witness.
    pub(crate) fn scheduled(&self, id: SeriesId, k: u32, stale: bool, detail: String) -> Example {
        let bits = if stale { STALE_MARKER } else { self.bits(id, k) };
        self.example(id, self.timestamp_ms(id.base, k).unwrap_or_default(), bits, detail)
    }

    /// `name{label="value",…}` with every label.
    fn text(&self, id: SeriesId) -> String {
        let mut block = Vec::new();
        self.workload.label_block(id, &mut block);
        let mut encoder = v1::Encoder::new();
        encoder.series(&block, &[]);
        let Some(Ok(series)) = v1::walk(encoder.body()).next() else { return self.workload.describe(id) };
        series_text(series.labels())
    }
}

fn cell(group: u16, target: u32) -> usize {
    (target as usize).wrapping_add(usize::from(group) * 1031) % CELLS
}

/// A value for people; bits that no number shows are given in hexadecimal.
fn value_text(bits: u64) -> String {
    let value = f64::from_bits(bits);
    if value.is_nan() { format!("NaN (bits {bits:#018x})") } else { value.to_string() }
}

/// A sample of a series that names the run and is none of it, as a witness. Its labels may be anybody's, so the text is cut.
pub(crate) fn stranger<'a>(labels: impl Iterator<Item = Label<'a>>, timestamp_ms: i64, bits: u64) -> Example {
    let mut series = series_text(labels.take(STRANGER_LABELS));
    if series.len() > STRANGER_TEXT {
        series.truncate(series.floor_char_boundary(STRANGER_TEXT));
        series.push('…');
    }
    let detail = "it names this run, but no series of the workload has these labels".into();
    Example { series, timestamp_ms, value: value_text(bits), detail }
}

/// A series as people write it.
pub(crate) fn series_text<'a>(labels: impl Iterator<Item = Label<'a>>) -> String {
    let (mut name, mut rest) = (String::new(), String::new());
    for label in labels {
        let value = String::from_utf8_lossy(label.value);
        if label.name == remote_write::METRIC_NAME && name.is_empty() {
            name = value.into_owned();
            continue;
        }
        let comma = if rest.is_empty() { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(rest, "{comma}{}={value:?}", String::from_utf8_lossy(label.name));
    }
    format!("{name}{{{rest}}}")
}

/// Groups and targets as ranges of bases, found by asking where bases stand.
fn spans(workload: &Workload) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut start = 0;
    while let Some(first) = workload.place(start) {
        let end = partition(start, workload.series(), |base| {
            workload.place(base).is_some_and(|place| place.group == first.group)
        });
        let per_target =
            partition(start, end, |base| workload.place(base).is_some_and(|place| place.target == first.target))
                - start;
        spans.push(Span { bases: start..end, per_target: per_target.max(1) });
        start = end.max(start + 1);
    }
    spans
}

/// The first of `low..high` for which `holds` is false; it is true before and false after.
fn partition(low: u32, high: u32, holds: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (low, high);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
