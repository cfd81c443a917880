//! The bytes of a request: the hot path. Buffers are reused and shared by all lanes; per sample there is no allocation, lock,
//! clock or metric.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use faults::{FaultIndex, FaultPlan, FaultScratch, Materialised, cut_compressed, cut_message};
use ledger::digest;
use remote_write::v1::Encoder;
use remote_write::{STALE_MARKER, Sample, Snappy, slot_of};
use workload::{LaneWalk, Pieces, RequestPlan, Scheduled, Workload, timestamp_ms};

use crate::pack::Packer;
use crate::prepare::Prepared;

/// Buffers that one request needs while it is made.
#[derive(Default)]
pub(crate) struct Builder {
    packer: Packer,
    encoder: Encoder,
    snappy: Snappy,
    pieces: Pieces,
    scratch: FaultScratch,
}

/// Builders not in use: as many as requests are made at the same time, not as lanes.
#[derive(Default)]
pub(crate) struct Builders(Mutex<Vec<Builder>>);

impl Builders {
    /// Lends a builder. `work` must not wait for anything.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Builder) -> R) -> R {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut builder = idle.unwrap_or_default();
        let result = work(&mut builder);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(builder);
        result
    }
}

/// A request ready to leave, and what its acknowledgement will prove. Kept by the lane and reused.
#[derive(Default)]
pub(crate) struct Made {
    /// Empty: all samples were drawn for faults that travel on their own.
    pub(crate) body: Bytes,
    /// Slot and digest of every good sample.
    pub(crate) good: Vec<(u16, u64)>,
    /// Samples drawn for faults: those that travel among the good ones and those that follow on their own.
    pub(crate) mixed: Vec<(FaultIndex, Scheduled)>,
    pub(crate) own: Vec<(FaultIndex, Scheduled)>,
}

impl Builder {
    /// Makes the good request that `walk` stands at.
    pub(crate) fn good(
        &mut self,
        prepared: &Prepared,
        walk: &LaneWalk<'_>,
        request: &RequestPlan,
        t0: u64,
        made: &mut Made,
    ) {
        let (workload, faults) = (&*prepared.workload, &*prepared.faults);
        let Self { packer, encoder, pieces, scratch, .. } = self;
        packer.clear();
        encoder.clear();
        made.good.clear();
        made.mixed.clear();
        made.own.clear();
        let drawing = faults.active(request.first_due_ns, request.last_due_ns);
        let mut due = u64::MAX;
        let mut timestamp = 0;
        walk.for_each(request, |s| {
            if s.due_ns != due {
                (due, timestamp) = (s.due_ns, timestamp_ms(t0, s.due_ns));
            }
            if drawing
                && !s.stale
                && let Some(fault) = faults.draw(s.id, s.k, s.due_ns)
            {
                (if faults.own(fault) { &mut made.own } else { &mut made.mixed }).push((fault, s));
                return;
            }
            let value =
                if s.stale { f64::from_bits(STALE_MARKER) } else { workload.value_at(s.place, s.id.generation, s.k) };
            packer.series(&pieces.parts(workload, s.place, s.id.generation), Sample { timestamp, value });
            made.good.push((slot_of(s.hash), digest(s.hash, timestamp, value.to_bits())));
        });
        for (fault, sample) in &made.mixed {
            inject(encoder, pieces, scratch, workload, faults, *fault, sample, t0);
        }
        made.own.sort_by_key(|(fault, _)| *fault);
        packer.plain(encoder.body());
        made.body = if packer.is_empty() { Bytes::new() } else { Bytes::copy_from_slice(packer.block()) };
    }

    /// Makes the request of one fault from its samples.
    pub(crate) fn fault(
        &mut self,
        prepared: &Prepared,
        fault: FaultIndex,
        samples: &[(FaultIndex, Scheduled)],
        t0: u64,
    ) -> Bytes {
        let Self { encoder, snappy, pieces, scratch, .. } = self;
        encoder.clear();
        for (_, sample) in samples {
            inject(encoder, pieces, scratch, &prepared.workload, &prepared.faults, fault, sample, t0);
        }
        let (message, cut) = match prepared.faults.fault(fault) {
            Some(api::FaultType::TruncatedProtobuf) => (cut_message(encoder.body()), false),
            Some(api::FaultType::CorruptSnappy) => (encoder.body(), true),
            _ => (encoder.body(), false),
        };
        let block = snappy.compress(message);
        Bytes::copy_from_slice(if cut { cut_compressed(block) } else { block })
    }
}

/// Appends what is sent instead of a scheduled sample.
#[expect(clippy::too_many_arguments, reason = "all that a faulty sample is made of, borrowed from one caller")]
fn inject(
    encoder: &mut Encoder,
    pieces: &mut Pieces,
    scratch: &mut FaultScratch,
    workload: &Workload,
    faults: &FaultPlan,
    fault: FaultIndex,
    s: &Scheduled,
    t0: u64,
) {
    match faults.materialise(fault, s.id, s.k, t0, scratch) {
        Some(Materialised::Sample(sample) | Materialised::InBrokenRequest(sample)) => {
            encoder.series_parts(&pieces.parts(workload, s.place, s.id.generation), sample);
        }
        Some(Materialised::Literal(fields)) => encoder.fields(fields),
        None => {}
    }
}
