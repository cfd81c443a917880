//! What was sent again, by the accounts of those who did: which of the samples that came twice it explains.

use std::collections::BTreeMap;

use super::carrier::Passed;
use super::{Context, GeneratorSide};
use crate::Repeats;

/// Whose lane it was.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sender {
    /// A lane of a generator under one of its maps.
    Generator { index: u32, epoch: u32, lane: u32 },
    /// A lane of a worker, under whichever map.
    Worker { ordinal: u32, lane: u32 },
    /// Any lane of a worker: what it sent since its last account nobody knows.
    Unheard { ordinal: u32 },
}

/// Samples of a time; timestamps in milliseconds.
struct Span {
    from: i64,
    to: i64,
    /// Repetitions that it can still explain.
    left: u64,
    /// Whether it explained any.
    used: bool,
}

/// Everything that was sent again, as far as it explains nothing yet.
#[derive(Default)]
pub(super) struct Again(BTreeMap<Sender, Vec<Span>>);

impl Again {
    pub(super) fn new(context: &Context, sides: &[GeneratorSide]) -> Self {
        let mut again = Self::default();
        for side in sides {
            for one in side.repeats.iter() {
                let sender = Sender::Generator { index: side.index, epoch: one.epoch, lane: one.lane };
                again.add(sender, one.from_ms, one.to_ms, one.samples);
            }
        }
        // A worker that was killed may have lived several times: its lives are one.
        let mut workers: BTreeMap<u32, Repeats> = BTreeMap::new();
        for (ordinal, repeats) in &context.repeats {
            workers.entry(*ordinal).or_default().merge(repeats);
        }
        for (ordinal, repeats) in workers {
            for one in repeats.iter() {
                again.add(Sender::Worker { ordinal, lane: one.lane }, one.from_ms, one.to_ms, one.samples);
            }
        }
        for kill in &context.killed {
            if let Some(seen) = kill.seen {
                let ms = |ns: u64| (ns / 1_000_000).cast_signed();
                let (from, to) = (ms(context.taken_before(seen)), ms(kill.last_before()));
                again.add(Sender::Unheard { ordinal: kill.worker }, from, to, u64::MAX);
            }
        }
        again
    }

    fn add(&mut self, sender: Sender, from: i64, to: i64, left: u64) {
        self.0.entry(sender).or_default().push(Span { from, to, left, used: false });
    }

    /// How many of `count` repetitions of a sample with one of these timestamps its senders explain.
    pub(super) fn take(&mut self, lanes: impl Iterator<Item = Passed>, times: &[i64], count: u64) -> u64 {
        let mut left = count;
        for sender in lanes.flat_map(senders) {
            for span in self.0.get_mut(&sender).into_iter().flatten() {
                if left == 0 {
                    return count;
                }
                if times.iter().any(|at| (span.from..=span.to).contains(at)) {
                    let more = left.min(span.left);
                    span.left -= more;
                    span.used |= more > 0;
                    left -= more;
                }
            }
        }
        count - left
    }

    /// How many more repetitions can be explained of samples that nobody names: `all`, or only where something came twice.
    pub(super) fn left(&self, all: bool) -> u64 {
        let spans = self.0.values().flatten().filter(|span| all || span.used);
        spans.fold(0, |sum, span| sum.saturating_add(span.left))
    }
}

/// Who may have sent a sample that went through a lane.
fn senders(passed: Passed) -> impl Iterator<Item = Sender> {
    let Passed { generator, epoch, lane, worker } = passed;
    let of_worker =
        worker.into_iter().flat_map(|(ordinal, lane)| [Sender::Worker { ordinal, lane }, Sender::Unheard { ordinal }]);
    std::iter::once(Sender::Generator { index: generator, epoch, lane }).chain(of_worker)
}
