//! One lane: computes its next request, waits for its time, delivers it, books what came of it. No queue: a lane that lags
//! behind computes its next request later.
//!
//! A request that its lane comes to too late is skipped and counted. Queue: later than `maxBacklog`. Skip: later than the
//! smallest scrape interval of the workload (100 ms at least), or `maxBacklog` if that is less. A request that was sent once
//! is never skipped: it is sent again until it has its answer or the run is halted.

use std::sync::Arc;

use bytes::Bytes;
use faults::{Expect, FaultIndex, expect, needs_good_before};
use ledger::Outcome;
use tokio::sync::watch;
use tokio::time::sleep_until;
use workload::{LaneWalk, RequestPlan, Scheduled};

use crate::build::Made;
use crate::clock::Clock;
use crate::deliver::{Contents, Delivered, Link, Parcel, Receipt};
use crate::outcome::Heard;
use crate::poison::Streak;
use crate::prepare::Prepared;
use crate::shared::{LANE_DONE, Shared};

/// Faults of a document at most.
const FAULTS: u64 = 64;
/// Numbers that one request may use, in this order: itself, faults that waited for it, its own faults.
const NUMBERS: u64 = 1 + 2 * FAULTS;
/// Spans of unacknowledged requests remembered for faults that need a good predecessor.
const DOUBTS: usize = 64;
/// Skipped requests after which other tasks get their turn.
const SKIPS_A_TURN: u32 = 64;

/// Runs one lane to the end of its schedule, or until the run is halted.
pub(crate) async fn run(lane: u32, prepared: Arc<Prepared>, shared: Arc<Shared>, t0: u64) -> anyhow::Result<()> {
    let clock = Clock::new(t0);
    let mut walk = LaneWalk::new(&prepared.plan, lane);
    let mut next = walk.next(prepared.max_samples);
    if next.is_none() {
        return Ok(());
    }
    let link = Link::new(lane, Arc::clone(&prepared), Arc::clone(&shared), clock);
    let mut lane = Lane {
        number: lane,
        own: (0..prepared.faults.len() as u32).filter(|f| prepared.faults.own(*f)).collect(),
        doubts: Vec::new(),
        aside: Vec::new(),
        failed: None,
        halt: shared.halted(),
        prepared: Arc::clone(&prepared),
        shared: Arc::clone(&shared),
    };
    let mut link = match link {
        Ok(link) => link,
        Err(error) => {
            if let Some(first) = next {
                lane.close(&mut walk, first, clock.now());
            }
            return Err(error);
        }
    };
    let mut made = Made::default();
    let (mut free_at, mut skipped) = (0u64, 0u32);
    while let Some(request) = next {
        if *lane.halt.borrow() {
            lane.close(&mut walk, request, clock.now());
            break;
        }
        let now = clock.now();
        if now > request.intended_ns.saturating_add(prepared.max_late_ns) {
            lane.skip(&request, prepared.skip_reason);
            next = walk.next(prepared.max_samples);
            skipped += 1;
            if skipped.is_multiple_of(SKIPS_A_TURN) {
                tokio::task::yield_now().await;
            }
            continue;
        }
        shared.lane_at(lane.number, request.intended_ns);
        shared.builders.with(|builder| builder.good(&prepared, &walk, &request, t0, &mut made));
        if now < request.intended_ns {
            tokio::select! {
                () = sleep_until(clock.at(request.intended_ns)) => {}
                _ = lane.halt.wait_for(|halted| *halted) => continue,
            }
        }
        let taken = lane.send_good(&mut link, &request, &made, clock, free_at).await;
        lane.send_aside(&mut link, &request, taken).await;
        lane.send_faults(&mut link, &request, &made, t0).await;
        free_at = clock.now();
        next = walk.next(prepared.max_samples);
        if lane.failed.is_some() {
            if let Some(rest) = next {
                lane.close(&mut walk, rest, free_at);
            }
            break;
        }
    }
    lane.give_up_aside();
    shared.lane_at(lane.number, LANE_DONE);
    lane.failed.map_or(Ok(()), Err)
}

/// Faults of one kind in one request.
struct Faults<'a> {
    fault: FaultIndex,
    samples: &'a [(FaultIndex, Scheduled)],
    body: &'a Bytes,
    /// The request that they were drawn from.
    request: RequestPlan,
    sequence: u64,
    /// What they were answered before they had to wait for the lane's next good request.
    before: Option<Streak>,
}

/// Faults that wait for the lane's next good request.
struct Aside {
    fault: FaultIndex,
    samples: Vec<(FaultIndex, Scheduled)>,
    body: Bytes,
    request: RequestPlan,
    streak: Streak,
}

struct Lane {
    number: u32,
    /// Faults whose samples travel in requests of their own.
    own: Vec<FaultIndex>,
    /// Due times of good requests without acknowledgement, oldest first: from the first to the last sample.
    doubts: Vec<(u64, u64)>,
    aside: Vec<Aside>,
    /// Why nothing more can be sent.
    failed: Option<anyhow::Error>,
    halt: watch::Receiver<bool>,
    prepared: Arc<Prepared>,
    shared: Arc<Shared>,
}

impl Lane {
    /// Whether the target took it.
    async fn send_good(
        &mut self,
        link: &mut Link,
        request: &RequestPlan,
        made: &Made,
        clock: Clock,
        free_at: u64,
    ) -> bool {
        let samples = (made.good.len() + made.mixed.len()) as u64;
        if samples == 0 {
            return false;
        }
        let now = clock.now();
        let queued = free_at.saturating_sub(request.intended_ns);
        let late = now.saturating_sub(request.intended_ns.max(free_at));
        let warm_up = self.is_warm_up(request);
        if !warm_up {
            self.shared.books().left(now, queued, late);
        }
        let parcel = Parcel {
            body: &made.body,
            samples,
            sequence: request.index * NUMBERS,
            intended_ns: request.intended_ns,
            contents: if made.mixed.is_empty() { Contents::Good } else { Contents::Mixed },
            warm_up,
        };
        let mut receipt = link.deliver(parcel).await;
        self.failed = receipt.fatal.take();
        let outcome = outcome_of(receipt.delivered);
        if outcome.is_some() {
            self.doubt(request);
        }
        let mut books = self.shared.books();
        match receipt.delivered {
            Delivered::Acknowledged => books.acknowledged(receipt.at, request.intended_ns, warm_up, &made.good),
            Delivered::Unresolved => books.cut_off(receipt.at, request.intended_ns, warm_up),
            Delivered::NotSent => books.dropped("end", samples),
            Delivered::Refused(_) | Delivered::Undecided(_) => {}
        }
        books.except(self.number, request.index..=request.index, None, outcome);
        drop(books);
        // A request that was refused did not arrive in time, unless being refused is what it was for.
        self.book(request, &receipt, samples, !made.mixed.is_empty());
        for one in made.mixed.chunks(1) {
            self.hear_mixed(one, receipt.delivered);
        }
        if receipt.delivered == Delivered::Acknowledged {
            self.shared.metrics.highest_sent.set(clock.unix_us(request.last_due_ns) as f64 / 1e6);
        }
        receipt.delivered == Delivered::Acknowledged
    }

    /// The faults that waited for this request. Unless the target took it, it says nothing of them.
    async fn send_aside(&mut self, link: &mut Link, request: &RequestPlan, taken: bool) {
        if !taken {
            return self.give_up_aside();
        }
        for aside in std::mem::take(&mut self.aside) {
            let faults = Faults {
                fault: aside.fault,
                samples: &aside.samples,
                body: &aside.body,
                request: aside.request,
                sequence: request.index * NUMBERS + 1 + u64::from(aside.fault),
                before: Some(aside.streak),
            };
            self.send_fault(link, &faults).await;
        }
    }

    /// Nobody will know what the faults that wait would have been answered.
    fn give_up_aside(&mut self) {
        for Aside { fault, samples, request, .. } in std::mem::take(&mut self.aside) {
            let at = self.shared.now();
            let receipt = Receipt { delivered: Delivered::Unresolved, attempts: 1, repeated: true, at, fatal: None };
            self.book_fault(fault, &samples, &request, &receipt);
        }
    }

    /// The faults drawn among a request's samples, one request each, behind it.
    async fn send_faults(&mut self, link: &mut Link, request: &RequestPlan, made: &Made, t0: u64) {
        let mut rest = &made.own[..];
        while let Some(&(fault, _)) = rest.first() {
            let (samples, others) = rest.split_at(rest.partition_point(|(f, _)| *f == fault));
            rest = others;
            let body = self.shared.builders.with(|builder| builder.fault(&self.prepared, fault, samples, t0));
            let sequence = request.index * NUMBERS + 1 + FAULTS + u64::from(fault);
            let faults = Faults { fault, samples, body: &body, request: *request, sequence, before: None };
            self.send_fault(link, &faults).await;
        }
    }

    async fn send_fault(&mut self, link: &mut Link, faults: &Faults<'_>) {
        let &Faults { fault, samples, body, request, sequence, before } = faults;
        let Some(kind) = self.prepared.faults.fault(fault) else { return };
        let parcel = Parcel {
            body,
            samples: samples.len() as u64,
            sequence,
            intended_ns: request.intended_ns,
            contents: Contents::Fault {
                kind,
                before,
                may_wait: expect(kind, self.prepared.profile) == Expect::Refused,
            },
            warm_up: self.is_warm_up(&request),
        };
        let mut receipt =
            if self.failed.is_some() { Receipt::not_sent(self.shared.now()) } else { link.deliver(parcel).await };
        self.failed = self.failed.take().or(receipt.fatal.take());
        if let Delivered::Undecided(streak) = receipt.delivered {
            self.aside.push(Aside { fault, samples: samples.to_vec(), body: body.clone(), request, streak });
            return;
        }
        if before.is_some() {
            receipt.repeated = true;
            if receipt.delivered == Delivered::NotSent {
                receipt.delivered = Delivered::Unresolved;
            }
        }
        self.book_fault(fault, samples, &request, &receipt);
    }

    fn book_fault(
        &self,
        fault: FaultIndex,
        samples: &[(FaultIndex, Scheduled)],
        request: &RequestPlan,
        receipt: &Receipt,
    ) {
        let outcome = outcome_of(receipt.delivered);
        self.shared.books().except(self.number, request.index..=request.index, Some(fault), outcome);
        self.book(request, receipt, samples.len() as u64, true);
        self.hear(fault, samples, receipt.delivered);
    }

    fn is_warm_up(&self, request: &RequestPlan) -> bool {
        self.prepared.workload.stages().get(request.stage as usize).is_some_and(|stage| stage.warm_up)
    }

    /// `faulty`: a refusal is an answer that it was sent for.
    fn book(&self, request: &RequestPlan, receipt: &Receipt, samples: u64, faulty: bool) {
        let outcome = outcome_of(receipt.delivered);
        let mut books = self.shared.books();
        books.requests += u64::from(receipt.attempts > 0);
        books.count(samples, outcome, "end", receipt.repeated);
        if outcome.is_none() || (faulty && matches!(outcome, Some(Outcome::Refused { .. }))) {
            books.answered(request.stage, receipt.at, samples);
        }
        drop(books);
        let metrics = &self.shared.metrics;
        match receipt.delivered {
            Delivered::Acknowledged => metrics.outcome("acknowledged", samples),
            Delivered::Refused(status) => {
                metrics.outcome("refused", samples);
                metrics.lost(&format!("status_{status}"), true, samples);
            }
            Delivered::Unresolved | Delivered::Undecided(_) => metrics.outcome("unresolved", samples),
            Delivered::NotSent => {
                metrics.outcome("skipped", samples);
                metrics.lost("end", false, samples);
            }
        }
    }

    /// A sample among good ones shares their answer. A refusal says nothing of one that should be accepted: it may have been
    /// for another.
    fn hear_mixed(&self, one: &[(FaultIndex, Scheduled)], delivered: Delivered) {
        let Some(&(fault, _)) = one.first() else { return };
        let accepted =
            self.prepared.faults.fault(fault).map(|kind| expect(kind, self.prepared.profile)) != Some(Expect::Refused);
        let delivered = match delivered {
            Delivered::Refused(_) if accepted => Delivered::Unresolved,
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
            Delivered::NotSent => return,
        };
        let Some(kind) = self.prepared.faults.fault(fault) else { return };
        let doubtful =
            if needs_good_before(kind) { samples.iter().filter(|(_, s)| self.in_doubt(s)).count() } else { 0 };
        let wrong = match (expect(kind, self.prepared.profile), heard) {
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
        before.is_none_or(|due| self.doubts.iter().any(|(from, to)| (*from..=*to).contains(&due)))
    }

    fn doubt(&mut self, request: &RequestPlan) {
        let (from, to) = (request.first_due_ns, request.last_due_ns);
        let full = self.doubts.len() >= DOUBTS;
        match self.doubts.last_mut() {
            // Overlapping, or too many to tell apart: one span, wide enough.
            Some(last) if full || last.1 >= from => last.1 = to,
            _ => self.doubts.push((from, to)),
        }
    }

    /// A request that comes too late is not sent.
    fn skip(&mut self, request: &RequestPlan, reason: &str) {
        self.give_up_aside();
        self.doubt(request);
        let samples = u64::from(request.samples);
        let mut books = self.shared.books();
        books.count(samples, Some(Outcome::Skipped), reason, false);
        books.dropped(reason, samples);
        self.except_all(&mut books, request.index, request.index);
        drop(books);
        self.shared.metrics.outcome("skipped", samples);
        self.shared.metrics.lost(reason, false, samples);
    }

    /// Nothing more is sent: what is due by now counts as skipped, and the rest of the lane as never begun.
    fn close(&mut self, walk: &mut LaneWalk<'_>, first: RequestPlan, now: u64) {
        self.give_up_aside();
        let mut samples = 0u64;
        let mut next = Some(first);
        while let Some(request) = next.filter(|r| r.intended_ns <= now) {
            samples += u64::from(request.samples);
            next = walk.next(self.prepared.max_samples);
        }
        let mut books = self.shared.books();
        books.count(samples, Some(Outcome::Skipped), "end", false);
        if samples > 0 {
            books.dropped("end", samples);
        }
        self.except_all(&mut books, first.index, u64::MAX);
        drop(books);
        self.shared.metrics.outcome("skipped", samples);
        self.shared.metrics.lost("end", false, samples);
    }

    /// The good requests and all that would have followed them.
    fn except_all(&self, books: &mut crate::outcome::Books, from: u64, to: u64) {
        books.except(self.number, from..=to, None, Some(Outcome::Skipped));
        for &fault in &self.own {
            books.except(self.number, from..=to, Some(fault), Some(Outcome::Skipped));
        }
    }
}

fn outcome_of(delivered: Delivered) -> Option<Outcome> {
    match delivered {
        Delivered::Acknowledged => None,
        Delivered::Refused(status) => Some(Outcome::Refused { status }),
        Delivered::Unresolved | Delivered::Undecided(_) => Some(Outcome::Unresolved),
        Delivered::NotSent => Some(Outcome::Skipped),
    }
}
