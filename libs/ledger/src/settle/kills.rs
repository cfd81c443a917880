//! Acknowledged samples that are missing from lanes of a killed worker which buffered in memory: did the kill take them?
//!
//! A lane passes samples on in the order in which it took them, so a kill takes the newest of those acknowledged until then:
//! one unbroken run of each generator's sequence in the lane. A run after which something sent before the kill was stored is
//! none of it, and neither is a second run, nor what fell due after the kill. Of what the worker had taken by its last account,
//! a kill takes no more than was held then.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use workload::{LaneWalk, Scheduled, SeriesId};

use super::carrier::Carrier;
use super::{Disturbance, Settlement};
use crate::{Exception, FindingName};

/// When the first and the last missing sample of a lane are due, ns since t0.
#[derive(Clone, Copy)]
struct Span {
    first: u64,
    last: u64,
}

/// Missing samples of which a kill may be the cause.
#[derive(Default)]
pub(super) struct Missing {
    /// Samples `[from, to)` of a base; sorted before they are asked for.
    runs: Vec<(u32, u32, u32)>,
    stale: BTreeSet<SeriesId>,
    lanes: BTreeMap<Carrier, Span>,
}

impl Missing {
    pub(super) fn add(&mut self, carrier: Carrier, id: SeriesId, k: u32, stale: bool, due_ns: u64) {
        let span = self.lanes.entry(carrier).or_insert(Span { first: due_ns, last: due_ns });
        span.first = span.first.min(due_ns);
        span.last = span.last.max(due_ns);
        if stale {
            self.stale.insert(id);
            return;
        }
        match self.runs.last_mut() {
            Some((base, _, to)) if *base == id.base && *to == k => *to += 1,
            _ => self.runs.push((id.base, k, k + 1)),
        }
    }

    fn holds(&self, sample: &Scheduled) -> bool {
        if sample.stale {
            return self.stale.contains(&sample.id);
        }
        let at = self.runs.partition_point(|&(base, from, _)| (base, from) <= (sample.id.base, sample.k));
        let run = at.checked_sub(1).and_then(|at| self.runs.get(at));
        run.is_some_and(|&(base, _, to)| base == sample.id.base && sample.k < to)
    }
}

/// Missing samples of a lane with no stored one of the same generator among them. Times in Unix nanoseconds.
struct Run {
    first_due: u64,
    /// When the next stored sample is due; None: there is none.
    followed: Option<u64>,
    /// The kill that it was lost with; None: none.
    taken: Option<Taken>,
}

/// What a kill took of a run.
#[derive(Clone, Copy)]
struct Taken {
    /// Position of the kill.
    kill: usize,
    /// Samples due until then.
    until: u64,
    /// But for so many of the oldest: the worker no longer held them.
    passed: u64,
}

impl Settlement {
    /// Names the missing samples of lanes of killed workers.
    pub(super) fn settle_missing(&mut self) {
        let mut missing = std::mem::take(&mut self.missing);
        missing.runs.sort_unstable();
        let mut held: Vec<u64> = self.context.ends().map(|kill| kill.seen.map_or(u64::MAX, |seen| seen.held)).collect();
        let generators: BTreeSet<u32> = missing.lanes.keys().map(|carrier| carrier.generator).collect();
        for generator in generators {
            let mut plans = self.carriers.plans(generator);
            while let Some((epoch, _)) = plans.turn() {
                let lane = |lane| Carrier { generator, epoch, lane };
                for (&carrier, &span) in missing.lanes.range(lane(0)..=lane(u16::MAX)) {
                    let walk = || plans.walk(u32::from(carrier.lane));
                    let Some(first) = walk() else { continue };
                    let mut runs = self.runs_of(first, carrier, span, &missing);
                    self.match_kills(carrier, &mut runs);
                    if let Some(walk) = walk() {
                        self.bound_kills(walk, carrier, span, &missing, &mut runs, &mut held);
                    }
                    if let Some(walk) = walk() {
                        self.name_missing(walk, carrier, span, &missing, &runs);
                    }
                }
            }
        }
    }

    /// Gives each kill of a lane's worker the newest run that it may have taken, the last kill first.
    fn match_kills(&self, carrier: Carrier, runs: &mut [Run]) {
        let mut kills: Vec<(usize, &Disturbance)> = self.carriers.ends(&self.context, carrier).collect();
        kills.sort_unstable_by_key(|(_, kill)| Reverse(kill.from_unix_ns));
        for (at, kill) in kills {
            let until = kill.last_before();
            let begun = runs.partition_point(|run| run.first_due <= until);
            let free = runs[..begun].iter_mut().rev().find(|run| run.taken.is_none());
            let sent_before = self.context.sent_before(kill);
            if let Some(run) = free.filter(|run| run.followed.is_none_or(|due| due >= sent_before)) {
                run.taken = Some(Taken { kill: at, until, passed: 0 });
            }
        }
    }

    /// Takes out of the runs what their workers did not hold any more. `held`: what each kill can still have taken of all
    /// that its worker had at its last account.
    fn bound_kills(
        &self,
        walk: LaneWalk<'_>,
        carrier: Carrier,
        span: Span,
        missing: &Missing,
        runs: &mut [Run],
        held: &mut [u64],
    ) {
        let seen = |run: &Run| self.context.ends().nth(run.taken?.kill)?.seen;
        let before: Vec<_> = runs.iter().map(|run| Some(self.context.taken_before(seen(run)?))).collect();
        if before.iter().all(Option::is_none) {
            return;
        }
        let mut old = vec![0u64; runs.len()];
        let mut begun = 0;
        self.follow(walk, carrier, span, missing, |sample, lost, starts| {
            begun += usize::from(starts);
            let Some(at) = begun.checked_sub(1).filter(|_| lost) else { return };
            let due = self.run.t0_ns.saturating_add(sample.due_ns);
            old[at] += u64::from(before[at].is_some_and(|before| due < before));
        });
        for (run, old) in runs.iter_mut().zip(old) {
            let Some(taken) = &mut run.taken else { continue };
            let left = &mut held[taken.kill];
            let explained = old.min(*left);
            *left -= explained;
            taken.passed = old - explained;
        }
    }

    fn runs_of(&self, walk: LaneWalk<'_>, carrier: Carrier, span: Span, missing: &Missing) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        self.follow(walk, carrier, span, missing, |sample, lost, starts| {
            let due = self.run.t0_ns.saturating_add(sample.due_ns);
            match runs.last_mut() {
                _ if starts => runs.push(Run { first_due: due, followed: None, taken: None }),
                Some(run) if !lost => run.followed = run.followed.or(Some(due)),
                _ => {}
            }
        });
        runs
    }

    fn name_missing(&mut self, walk: LaneWalk<'_>, carrier: Carrier, span: Span, missing: &Missing, runs: &[Run]) {
        let mut examples = std::mem::take(&mut self.examples);
        let killed = self.context.killed.len();
        let mut left = runs.iter();
        let mut taken = None;
        self.follow(walk, carrier, span, missing, |sample, lost, starts| {
            if starts {
                taken = left.next().and_then(|run| run.taken);
            }
            if !lost {
                return;
            }
            let due = self.run.t0_ns.saturating_add(sample.due_ns);
            let (name, detail) = match &mut taken {
                Some(Taken { passed, .. }) if *passed > 0 => {
                    *passed -= 1;
                    (FindingName::SilentLoss, "acknowledged, not stored, and more than its worker held before it ended")
                }
                Some(Taken { kill, until, .. }) if due <= *until && *kill >= killed => {
                    (FindingName::Unproven, "acknowledged, not stored; its worker still held samples, or did not say")
                }
                Some(Taken { until, .. }) if due <= *until => {
                    (FindingName::AckedLoss, "acknowledged by a worker that ended before it passed it on")
                }
                _ => (FindingName::SilentLoss, "acknowledged, not stored, and no end of its worker explains it"),
            };
            let explained = name == FindingName::AckedLoss;
            examples
                .add(name, explained, || self.truth.scheduled(sample.id, sample.k, sample.stale, detail.to_owned()));
        });
        self.examples = examples;
    }

    /// Tells the acknowledged good samples of a generator's lane in their order: each, whether it is missing, and whether it
    /// is the first of its run. Begins and ends around the missing ones.
    fn follow(
        &self,
        mut walk: LaneWalk<'_>,
        carrier: Carrier,
        span: Span,
        missing: &Missing,
        mut tell: impl FnMut(&Scheduled, bool, bool),
    ) {
        let none: &[Exception] = &[];
        let exceptions = self.exceptions.get(&carrier).map_or(none, Vec::as_slice);
        let mut left = exceptions.iter().peekable();
        let mut open = false;
        while let Some(request) = walk.next(self.run.samples_per_request) {
            while left.next_if(|e| e.to_request < request.index).is_some() {}
            if request.first_due_ns > span.last && !open {
                return;
            }
            let skipped = left.peek().is_some_and(|e| e.from_request <= request.index);
            if skipped || request.last_due_ns < span.first {
                continue;
            }
            walk.for_each(&request, |sample| {
                if sample.stale || self.truth.drawn(sample.id, sample.k, sample.due_ns).is_none() {
                    let lost = missing.holds(&sample);
                    tell(&sample, lost, lost && !open);
                    open = lost;
                }
            });
        }
    }
}
