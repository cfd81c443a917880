//! One lane: computes its next request, waits for its time, delivers it, books what came of it. No queue: a lane that lags
//! behind computes its next request later.
//!
//! A request that its lane comes to too late is skipped and counted. Queue: later than `maxBacklog`. Skip: later than the
//! smallest scrape interval of the workload (100 ms at least), or `maxBacklog` if that is less. A request that was sent once
//! is never skipped: it is sent again until it has its answer or the run is halted. That holds across maps, too.

use std::sync::Arc;

use faults::FaultIndex;
use ledger::Outcome;
use protocol::OwnershipDoc;
use tokio::sync::watch;
use tokio::time::sleep_until;
use workload::{LaneWalk, Position, RequestPlan};

use crate::build::Made;
use crate::clock::Clock;
use crate::deliver::{Delivered, Link, Receipt};
use crate::doubts::Doubts;
use crate::epoch::{Epoch, LANE_DONE};
use crate::handover::{Ended, Inherited, Leftover, Origin, oldest_first};
use crate::lane_faults::Aside;
use crate::parcel::{Contents, Parcel};
use crate::prepare::Prepared;
use crate::shared::{Halt, Shared};

/// Skipped requests after which other tasks get their turn.
const SKIPS_A_TURN: u32 = 64;

/// Runs one lane to the end of its schedule, until the run is halted, or until another map holds.
pub(crate) async fn run(
    number: u32,
    prepared: Arc<Prepared>,
    epoch: Arc<Epoch>,
    shared: Arc<Shared>,
    clock: Clock,
    inherited: Inherited,
) -> Ended {
    let t0 = clock.t0();
    let mut ended = Ended {
        lane: number,
        cut: Position::START,
        stopped: false,
        leftovers: Vec::new(),
        doubts: Doubts::default(),
        sent_until: inherited.sent_until,
        failed: None,
    };
    let mut walk = LaneWalk::new(&epoch.plan, number);
    let first = walk.next(prepared.max_samples);
    if first.is_none() && inherited.leftovers.is_empty() {
        return ended;
    }
    let mut lane = Lane {
        number,
        own: (0..prepared.faults.len() as u32).filter(|f| prepared.faults.own(*f)).collect(),
        doubts: inherited.doubts,
        aside: Vec::new(),
        leftovers: Vec::new(),
        sent_until: inherited.sent_until,
        sequence: 0,
        failed: None,
        halt: shared.halted(),
        next_map: shared.following.next(),
        prepared,
        epoch: Arc::clone(&epoch),
        shared,
    };
    let link = Link::new(number, inherited.good, Arc::clone(&epoch), Arc::clone(&lane.shared), clock);
    let cut = match link {
        Ok(mut link) => {
            lane.send_leftovers(&mut link, inherited.leftovers, t0).await;
            lane.send_all(&mut link, &mut walk, first, clock, t0).await
        }
        Err(error) => {
            lane.failed = Some(error);
            for leftover in &inherited.leftovers {
                lane.book_fault(leftover.fault, &leftover.samples, &leftover.origin, &Receipt::not_sent(clock.now()));
            }
            if let Some(first) = first {
                lane.close(&mut walk, first, clock.now());
            }
            None
        }
    };
    ended.stopped = cut.is_some() || !lane.leftovers.is_empty();
    ended.cut = cut.unwrap_or(Position::END);
    ended.leftovers = std::mem::take(&mut lane.leftovers);
    if ended.stopped {
        let left = std::mem::take(&mut lane.aside).into_iter();
        ended.leftovers.extend(left.map(|Aside { fault, samples, origin, .. }| Leftover {
            fault,
            samples,
            origin,
            repeated: true,
        }));
        oldest_first(&mut ended.leftovers);
    } else {
        lane.give_up_aside();
        epoch.lane_at(number, LANE_DONE);
    }
    (ended.doubts, ended.sent_until, ended.failed) = (lane.doubts, lane.sent_until, lane.failed);
    ended
}

/// What became of a good request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Good {
    Taken,
    NotTaken,
    /// Another map holds before it was settled.
    Moved,
}

pub(crate) struct Lane {
    pub(crate) number: u32,
    /// Faults whose samples travel in requests of their own.
    pub(crate) own: Vec<FaultIndex>,
    /// Due times of good requests without acknowledgement.
    pub(crate) doubts: Doubts,
    pub(crate) aside: Vec<Aside>,
    /// Faults that another map came in the way of.
    pub(crate) leftovers: Vec<Leftover>,
    /// See [`Inherited::sent_until`].
    pub(crate) sent_until: Option<u64>,
    /// Of the next request.
    pub(crate) sequence: u64,
    /// Why nothing more can be sent.
    pub(crate) failed: Option<anyhow::Error>,
    pub(crate) halt: watch::Receiver<Halt>,
    pub(crate) next_map: watch::Receiver<Option<Arc<OwnershipDoc>>>,
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) epoch: Arc<Epoch>,
    pub(crate) shared: Arc<Shared>,
}

impl Lane {
    /// Request after request; where the lane was cut, if another map holds.
    async fn send_all(
        &mut self,
        link: &mut Link,
        walk: &mut LaneWalk<'_>,
        first: Option<RequestPlan>,
        clock: Clock,
        t0: u64,
    ) -> Option<Position> {
        let prepared = Arc::clone(&self.prepared);
        let mut next = first;
        let mut made = Made::default();
        // What is due already under a map that came later waited for the target.
        let mut free_at = if self.epoch.step == 0 { 0 } else { clock.now() };
        let mut skipped = 0u32;
        while let Some(request) = next {
            if self.halt.borrow().is_some() || self.failed.is_some() {
                self.close(walk, request, clock.now());
                break;
            }
            self.epoch.lane_at(self.number, request.intended_ns);
            if self.next_map.borrow().is_some() {
                return Some(walk.position(&request));
            }
            let now = clock.now();
            if now > request.intended_ns.saturating_add(prepared.max_late_ns) && !self.maybe_sent(&request) {
                self.skip(&request, prepared.skip_reason);
                next = walk.next(prepared.max_samples);
                skipped += 1;
                if skipped.is_multiple_of(SKIPS_A_TURN) {
                    tokio::task::yield_now().await;
                }
                continue;
            }
            self.shared.builders.with(|builder| builder.good(&prepared, walk, &request, t0, &mut made));
            if now < request.intended_ns {
                tokio::select! {
                    () = sleep_until(clock.at(request.intended_ns)) => {}
                    _ = self.halt.wait_for(Option::is_some) => continue,
                    _ = self.next_map.wait_for(Option::is_some) => continue,
                }
            }
            let good = self.send_good(link, &request, &made, clock, free_at).await;
            if good == Good::Moved {
                return Some(walk.position(&request));
            }
            self.send_aside(link, good == Good::Taken).await;
            self.send_faults(link, &request, &made, t0).await;
            free_at = clock.now();
            next = walk.next(prepared.max_samples);
        }
        None
    }

    pub(crate) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence - 1
    }

    async fn send_good(
        &mut self,
        link: &mut Link,
        request: &RequestPlan,
        made: &Made,
        clock: Clock,
        free_at: u64,
    ) -> Good {
        let samples = (made.good.len() + made.mixed.len()) as u64;
        if samples == 0 {
            return Good::NotTaken;
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
            due: (request.first_due_ns, request.last_due_ns),
            sequence: self.next_sequence(),
            intended_ns: request.intended_ns,
            contents: if made.mixed.is_empty() { Contents::Good } else { Contents::Mixed },
            warm_up,
        };
        let mut receipt = link.deliver(parcel).await;
        self.failed = receipt.fatal.take();
        if let Delivered::Moved { taken } = receipt.delivered {
            // Its samples come again, in requests of other lanes.
            if taken {
                self.sent_until = self.sent_until.max(Some(request.last_due_ns));
            }
            return Good::Moved;
        }
        let unsaid = receipt.delivered == Delivered::NotSent || self.failed.is_some();
        if unsaid && self.maybe_sent(request) {
            receipt.delivered = Delivered::Unresolved;
        }
        let outcome = outcome_of(receipt.delivered);
        if outcome.is_some() {
            self.doubt(request);
        }
        let mut books = self.shared.books();
        match receipt.delivered {
            Delivered::Acknowledged => books.acknowledged(receipt.at, request.intended_ns, warm_up, &made.good),
            Delivered::Unresolved => books.cut_off(receipt.at, request.intended_ns, warm_up),
            Delivered::NotSent => books.dropped("end", samples),
            Delivered::Refused(_) | Delivered::Undecided(_) | Delivered::Moved { .. } => {}
        }
        let origin = self.origin(*request);
        books.except_good(&origin, made.mixed.iter().any(|(fault, _)| self.has_to_be_refused(*fault)), outcome);
        drop(books);
        // A request that was refused did not arrive in time, unless being refused is what it was for.
        self.book(request, &receipt, samples, !made.mixed.is_empty());
        for one in made.mixed.chunks(1) {
            self.hear_mixed(one, receipt.delivered);
        }
        if receipt.delivered != Delivered::Acknowledged {
            return Good::NotTaken;
        }
        self.shared.metrics.highest_sent.set(clock.unix_us(request.last_due_ns) as f64 / 1e6);
        Good::Taken
    }

    /// Remembers a request without acknowledgement, and forgets those that no fault still to be sent follows upon.
    fn doubt(&mut self, request: &RequestPlan) {
        let waiting = self.aside.iter().map(|one| &one.origin).chain(self.leftovers.iter().map(|one| &one.origin));
        let oldest = waiting.map(|origin| origin.request.first_due_ns).fold(request.first_due_ns, u64::min);
        self.doubts.forget(self.prepared.workload.predecessors_from(oldest));
        self.doubts.add(request.first_due_ns, request.last_due_ns);
    }

    /// Whether a request of an earlier map may have brought the target some of its samples.
    fn maybe_sent(&self, request: &RequestPlan) -> bool {
        self.sent_until.is_some_and(|until| request.first_due_ns <= until)
    }

    pub(crate) fn origin(&self, request: RequestPlan) -> Origin {
        Origin { step: self.epoch.step, lane: self.number, request }
    }

    pub(crate) fn is_warm_up(&self, request: &RequestPlan) -> bool {
        self.prepared.workload.stages().get(request.stage as usize).is_some_and(|stage| stage.warm_up)
    }

    /// `faulty`: a refusal is an answer that it was sent for.
    pub(crate) fn book(&self, request: &RequestPlan, receipt: &Receipt, samples: u64, faulty: bool) {
        let outcome = outcome_of(receipt.delivered);
        let mut books = self.shared.books();
        books.requests += u64::from(receipt.attempts > 0);
        books.count(samples, outcome, "end");
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
            Delivered::Unresolved | Delivered::Undecided(_) | Delivered::Moved { .. } => {
                metrics.outcome("unresolved", samples);
            }
            Delivered::NotSent => {
                metrics.outcome("skipped", samples);
                metrics.lost("end", false, samples);
            }
        }
    }

    /// A request that comes too late is not sent.
    fn skip(&mut self, request: &RequestPlan, reason: &str) {
        self.give_up_aside();
        self.doubt(request);
        let samples = u64::from(request.samples);
        let mut books = self.shared.books();
        books.count(samples, Some(Outcome::Skipped), reason);
        books.dropped(reason, samples);
        let origin = self.origin(*request);
        for fault in std::iter::once(None).chain(self.own.iter().copied().map(Some)) {
            books.except(&origin, request.index, fault, Some(Outcome::Skipped));
        }
        drop(books);
        self.shared.metrics.outcome("skipped", samples);
        self.shared.metrics.lost(reason, false, samples);
    }

    /// Nothing more is sent: what is due by now counts as skipped, unless an earlier map's request may have brought it, and the
    /// rest of the lane as never begun.
    fn close(&mut self, walk: &mut LaneWalk<'_>, first: RequestPlan, now: u64) {
        self.give_up_aside();
        let (mut unresolved, mut skipped) = (0u64, 0u64);
        let (mut next, mut last_sent) = (Some(first), first);
        while let Some(request) = next.filter(|request| self.maybe_sent(request)) {
            unresolved += u64::from(request.samples);
            last_sent = request;
            next = walk.next(self.prepared.max_samples);
        }
        let rest = next;
        while let Some(request) = next.filter(|r| r.intended_ns <= now) {
            skipped += u64::from(request.samples);
            next = walk.next(self.prepared.max_samples);
        }
        let mut books = self.shared.books();
        books.count(unresolved, Some(Outcome::Unresolved), "end");
        books.count(skipped, Some(Outcome::Skipped), "end");
        if skipped > 0 {
            books.dropped("end", skipped);
        }
        if unresolved > 0 {
            books.except(&self.origin(first), last_sent.index, None, Some(Outcome::Unresolved));
        }
        if let Some(rest) = rest {
            books.except(&self.origin(rest), u64::MAX, None, Some(Outcome::Skipped));
        }
        for &fault in &self.own {
            books.except(&self.origin(first), u64::MAX, Some(fault), Some(Outcome::Skipped));
        }
        drop(books);
        let metrics = &self.shared.metrics;
        metrics.outcome("unresolved", unresolved);
        metrics.outcome("skipped", skipped);
        metrics.lost("end", false, skipped);
    }
}

pub(crate) fn outcome_of(delivered: Delivered) -> Option<Outcome> {
    match delivered {
        Delivered::Acknowledged => None,
        Delivered::Refused(status) => Some(Outcome::Refused { status }),
        Delivered::Unresolved | Delivered::Undecided(_) | Delivered::Moved { .. } => Some(Outcome::Unresolved),
        Delivered::NotSent => Some(Outcome::Skipped),
    }
}
