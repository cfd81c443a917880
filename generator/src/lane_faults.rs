//! A lane's faults: requests of their own behind the good one, and what was heard of each.

use bytes::Bytes;
use faults::{Expect, FaultIndex, expect, needs_good_before};
use workload::{RequestPlan, Scheduled};

use crate::build::Made;
use crate::deliver::{Delivered, Link, Receipt};
use crate::handover::{Leftover, Origin};
use crate::lane::{Lane, outcome_of};
use crate::outcome::Heard;
use crate::parcel::{Contents, Parcel};
use crate::poison::Streak;

/// Faults of one kind in one request.
struct Faults<'a> {
    fault: FaultIndex,
    samples: &'a [(FaultIndex, Scheduled)],
    body: &'a Bytes,
    /// The request that they were drawn from.
    origin: Origin,
    /// What they were answered before they had to wait for the lane's next good request.
    before: Option<Streak>,
    /// The target may have taken them already.
    repeated: bool,
}

/// Faults that wait for the lane's next good request.
pub(crate) struct Aside {
    pub(crate) fault: FaultIndex,
    pub(crate) samples: Vec<(FaultIndex, Scheduled)>,
    pub(crate) body: Bytes,
    pub(crate) origin: Origin,
    pub(crate) streak: Streak,
}

impl Lane {
    /// What lanes of the map before left: before anything newer of its series.
    pub(crate) async fn send_leftovers(&mut self, link: &mut Link, leftovers: Vec<Leftover>, t0: u64) {
        for Leftover { fault, samples, origin, repeated } in leftovers {
            let body = self.shared.builders.with(|builder| builder.fault(&self.prepared, fault, &samples, t0));
            let faults = Faults { fault, samples: &samples, body: &body, origin, before: None, repeated };
            self.send_fault(link, &faults).await;
        }
    }

    /// The faults that waited for this request. Unless the target took it, it says nothing of them.
    pub(crate) async fn send_aside(&mut self, link: &mut Link, taken: bool) {
        if !taken {
            return self.give_up_aside();
        }
        for aside in std::mem::take(&mut self.aside) {
            let faults = Faults {
                fault: aside.fault,
                samples: &aside.samples,
                body: &aside.body,
                origin: aside.origin,
                before: Some(aside.streak),
                repeated: true,
            };
            self.send_fault(link, &faults).await;
        }
    }

    /// Nobody will know what the faults that wait would have been answered.
    pub(crate) fn give_up_aside(&mut self) {
        for Aside { fault, samples, origin, .. } in std::mem::take(&mut self.aside) {
            let at = self.shared.now();
            let receipt = Receipt { delivered: Delivered::Unresolved, attempts: 1, at, fatal: None };
            self.book_fault(fault, &samples, &origin, &receipt);
        }
    }

    /// The faults drawn among a request's samples, one request each, behind it.
    pub(crate) async fn send_faults(&mut self, link: &mut Link, request: &RequestPlan, made: &Made, t0: u64) {
        let origin = self.origin(*request);
        let mut rest = &made.own[..];
        while let Some(&(fault, _)) = rest.first() {
            let (samples, others) = rest.split_at(rest.partition_point(|(f, _)| *f == fault));
            rest = others;
            let body = self.shared.builders.with(|builder| builder.fault(&self.prepared, fault, samples, t0));
            let faults = Faults { fault, samples, body: &body, origin, before: None, repeated: false };
            self.send_fault(link, &faults).await;
        }
    }

    async fn send_fault(&mut self, link: &mut Link, faults: &Faults<'_>) {
        let &Faults { fault, samples, body, origin, before, repeated } = faults;
        let Some(kind) = self.prepared.faults.fault(fault) else { return };
        let parcel = Parcel {
            body,
            samples: samples.len() as u64,
            due: (origin.request.first_due_ns, origin.request.last_due_ns),
            sequence: self.next_sequence(),
            intended_ns: origin.request.intended_ns,
            contents: Contents::Fault {
                kind,
                before,
                may_wait: expect(kind, self.prepared.profile) == Expect::Refused,
            },
            warm_up: self.is_warm_up(&origin.request),
        };
        let mut receipt =
            if self.failed.is_some() { Receipt::not_sent(self.shared.now()) } else { link.deliver(parcel).await };
        self.failed = self.failed.take().or(receipt.fatal.take());
        match receipt.delivered {
            Delivered::Undecided(streak) => {
                self.aside.push(Aside { fault, samples: samples.to_vec(), body: body.clone(), origin, streak });
                return;
            }
            Delivered::Moved { taken } => {
                let repeated = repeated || taken;
                self.leftovers.push(Leftover { fault, samples: samples.to_vec(), origin, repeated });
                return;
            }
            _ => {}
        }
        if repeated && receipt.delivered == Delivered::NotSent {
            receipt.delivered = Delivered::Unresolved;
        }
        self.book_fault(fault, samples, &origin, &receipt);
    }

    pub(crate) fn book_fault(
        &self,
        fault: FaultIndex,
        samples: &[(FaultIndex, Scheduled)],
        origin: &Origin,
        receipt: &Receipt,
    ) {
        let outcome = outcome_of(receipt.delivered);
        self.shared.books().except(origin, origin.request.index, Some(fault), outcome);
        self.book(&origin.request, receipt, samples.len() as u64, true);
        self.hear(fault, samples, receipt.delivered);
    }

    pub(crate) fn has_to_be_refused(&self, fault: FaultIndex) -> bool {
        self.prepared.faults.fault(fault).is_some_and(|kind| expect(kind, self.prepared.profile) == Expect::Refused)
    }

    /// A sample among good ones shares their answer. A refusal says nothing of one that should be accepted: it may have been
    /// for another.
    pub(crate) fn hear_mixed(&self, one: &[(FaultIndex, Scheduled)], delivered: Delivered) {
        let Some(&(fault, _)) = one.first() else { return };
        let delivered = match delivered {
            Delivered::Refused(_) if !self.has_to_be_refused(fault) => Delivered::Unresolved,
            other => other,
        };
        self.hear(fault, one, delivered);
    }

    /// Books what a fault's samples were answered.
    fn hear(&self, fault: FaultIndex, samples: &[(FaultIndex, Scheduled)], delivered: Delivered) {
        let heard = match delivered {
            Delivered::Acknowledged => Heard::Acknowledged,
            Delivered::Refused(status) => Heard::Refused(status),
            Delivered::Unresolved | Delivered::Undecided(_) => Heard::Unknown,
            Delivered::NotSent | Delivered::Moved { .. } => return,
        };
        let Some(kind) = self.prepared.faults.fault(fault) else { return };
        let expected = expect(kind, self.prepared.profile);
        // Without the good sample before it, it would be stored: where it is to be stored anyway there is no doubt.
        let doubts = expected == Expect::Refused && needs_good_before(kind);
        let doubtful = if doubts { samples.iter().filter(|(_, s)| self.in_doubt(s)).count() } else { 0 };
        let wrong = match (expected, heard) {
            (Expect::Refused, Heard::Acknowledged) => Some("2xx".to_owned()),
            (Expect::Stored | Expect::AcceptedNotStored, Heard::Refused(status)) => Some(status.to_string()),
            _ => None,
        };
        let example = wrong.zip(samples.first()).map(|(answer, (_, s))| {
            format!(
                "{}, sample {} at +{} ms: answered {answer}",
                self.prepared.workload.describe(s.id),
                s.k,
                s.due_ns / 1_000_000
            )
        });
        self.shared.books().fault(fault, heard, samples.len() as u64, doubtful as u64, example);
    }

    /// Whether the good sample before this one may not be stored.
    fn in_doubt(&self, s: &Scheduled) -> bool {
        let before = s.k.checked_sub(1).and_then(|k| self.prepared.workload.due_ns(s.id.base, k));
        before.is_none_or(|due| self.doubts.cover(due))
    }
}
