//! Acknowledged samples that are missing from lanes of a killed worker which buffered in memory: did the kill take them?
//!
//! A lane passes samples on in the order in which it took them, so a kill takes the newest of those acknowledged until then:
//! one unbroken run of each generator's sequence in the lane. A run after which something sent before the kill was stored is
//! none of it, and neither is a second run, nor what fell due after the kill. What several kills took in a row is one run.
//! Of what a life of the worker had taken by its last account, its end takes no more than was held then.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use workload::{LaneWalk, Scheduled, SeriesId};

use super::carrier::Carrier;
use super::{Disturbance, Settlement};
use crate::{Exception, FindingName};

/// When the first and the last missing sample of a lane are due, ns since t0.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) first: u64,
    pub(super) last: u64,
}

/// Missing samples of which a kill may be the cause.
#[derive(Default)]
pub(super) struct Missing {
    /// Samples `[from, to)` of a base; sorted ([`Self::sort`]) before they are asked for.
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

    pub(super) fn sort(&mut self) {
        self.runs.sort_unstable();
    }

    /// The same of all lanes.
    pub(super) fn span(&self) -> Option<Span> {
        self.lanes.values().copied().reduce(|a, b| Span { first: a.first.min(b.first), last: a.last.max(b.last) })
    }

    fn holds(&self, sample: &Scheduled) -> bool {
        if sample.stale { self.stale.contains(&sample.id) } else { self.holds_sample(sample.id.base, sample.k) }
    }

    pub(super) fn holds_sample(&self, base: u32, k: u32) -> bool {
        let at = self.runs.partition_point(|&(of, from, _)| (of, from) <= (base, k));
        let run = at.checked_sub(1).and_then(|at| self.runs.get(at));
        run.is_some_and(|&(of, _, to)| of == base && k < to)
    }
}

/// Missing samples of a lane with no stored one of the same generator among them. Times in Unix nanoseconds.
struct Run {
    first_due: u64,
    /// When the next stored sample is due; None: there is none.
    followed: Option<u64>,
    /// The last kill that it was lost with; None: none.
    taken: Option<Taken>,
    /// Every kill that may have taken some of it, the earliest first.
    shares: Vec<Share>,
}

/// What a kill took of a run.
#[derive(Clone, Copy)]
struct Taken {
    /// Position of the kill.
    kill: usize,
    /// Samples due until then.
    until: u64,
}

/// What one kill may have taken of a run.
struct Share {
    taken: Taken,
    /// What is due before this instant was taken by the last account.
    before: u64,
    /// So many of the oldest of that the worker no longer held.
    passed: u64,
}

impl Run {
    /// The kill that alone can have taken a sample, and before which the worker gave an account of it. A sample is not sent
    /// before it is due, so no earlier kill took it; what had been taken by the account was not there for a later life to take.
    fn accounted(&mut self, due: u64) -> Option<&mut Share> {
        let share = self.shares.iter_mut().find(|share| due <= share.taken.until)?;
        (due < share.before).then_some(share)
    }
}

impl Settlement {
    /// Names the missing samples of lanes of killed workers.
    pub(super) fn settle_missing(&mut self) {
        let missing = std::mem::take(&mut self.missing);
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
                        self.name_missing(walk, carrier, span, &missing, &mut runs);
                    }
                }
            }
        }
    }

    /// Gives each kill of a lane's worker the newest run that it may have taken, the last kill first, and a share in every run
    /// that it may have taken: which of several it was, runs do not tell.
    fn match_kills(&self, carrier: Carrier, runs: &mut [Run]) {
        let mut kills: Vec<(usize, &Disturbance)> = self.carriers.ends(&self.context, carrier).collect();
        kills.sort_unstable_by_key(|(_, kill)| Reverse(kill.from_unix_ns));
        for (at, kill) in kills {
            let taken = Taken { kill: at, until: kill.last_before() };
            let sent_before = self.context.sent_before(kill);
            let begun = runs.partition_point(|run| run.first_due <= taken.until);
            let from = runs.partition_point(|run| run.followed.is_some_and(|due| due < sent_before));
            let mine = runs.get_mut(from..begun).unwrap_or_default();
            let before = kill.seen.map_or(0, |seen| self.context.taken_before(seen));
            for run in &mut *mine {
                run.shares.insert(0, Share { taken, before, passed: 0 });
            }
            if let Some(run) = mine.iter_mut().rev().find(|run| run.taken.is_none()) {
                run.taken = Some(taken);
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
        if runs.iter().flat_map(|run| &run.shares).all(|share| share.before == 0) {
            return;
        }
        let mut begun = 0;
        self.follow(walk, carrier, span, missing, |sample, lost, starts| {
            begun += usize::from(starts);
            let Some(at) = begun.checked_sub(1).filter(|_| lost) else { return };
            if let Some(share) = runs[at].accounted(self.run.t0_ns.saturating_add(sample.due_ns)) {
                share.passed += 1;
            }
        });
        for share in runs.iter_mut().filter(|run| run.taken.is_some()).flat_map(|run| &mut run.shares) {
            let left = &mut held[share.taken.kill];
            let explained = share.passed.min(*left);
            *left -= explained;
            share.passed -= explained;
        }
    }

    fn runs_of(&self, walk: LaneWalk<'_>, carrier: Carrier, span: Span, missing: &Missing) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        self.follow(walk, carrier, span, missing, |sample, lost, starts| {
            let due = self.run.t0_ns.saturating_add(sample.due_ns);
            match runs.last_mut() {
                _ if starts => runs.push(Run { first_due: due, followed: None, taken: None, shares: Vec::new() }),
                Some(run) if !lost => run.followed = run.followed.or(Some(due)),
                _ => {}
            }
        });
        runs
    }

    fn name_missing(&mut self, walk: LaneWalk<'_>, carrier: Carrier, span: Span, missing: &Missing, runs: &mut [Run]) {
        let (mut examples, mut holes) = (std::mem::take(&mut self.examples), std::mem::take(&mut self.holes));
        let killed = self.context.killed.len();
        let mut left = runs.iter_mut();
        let mut run = None;
        self.follow(walk, carrier, span, missing, |sample, lost, starts| {
            if starts {
                run = left.next().filter(|run| run.taken.is_some());
            }
            if !lost {
                return;
            }
            let due = self.run.t0_ns.saturating_add(sample.due_ns);
            let taken = run.as_ref().and_then(|run| run.taken).filter(|taken| due <= taken.until);
            let passed = run.as_mut().and_then(|run| run.accounted(due)).filter(|share| share.passed > 0);
            let (name, detail) = match (passed, taken) {
                (Some(share), _) => {
                    share.passed -= 1;
                    (FindingName::SilentLoss, "acknowledged, not stored, and more than its worker held before it ended")
                }
                (None, Some(taken)) if taken.kill >= killed => {
                    (FindingName::Unproven, "acknowledged, not stored; its worker still held samples, or did not say")
                }
                (None, Some(_)) => {
                    (FindingName::AckedLoss, "acknowledged by a worker that ended before it passed it on")
                }
                (None, None) => {
                    (FindingName::SilentLoss, "acknowledged, not stored, and no end of its worker explains it")
                }
            };
            let explained = name == FindingName::AckedLoss;
            examples
                .add(name, explained, || self.truth.scheduled(sample.id, sample.k, sample.stale, detail.to_owned()));
            if !sample.stale {
                holes.add(name.as_str(), sample.id, sample.k);
            }
        });
        (self.examples, self.holes) = (examples, holes);
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
            let skipped = left.peek().is_some_and(|e| self.excepts(e, &walk, &request));
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
