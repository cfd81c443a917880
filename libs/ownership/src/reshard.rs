//! From N workers to M, as one state machine for both engines: `(state, event) -> (state, effects)`.
//!
//! ```text
//!      all of M ready (scale-out), or
//!      all of N known (scale-in)                     every worker of `from` drained
//! Stable(e, N) ───────────────▶ Draining(e, N → M) ──────────────────────────▶ Stable(e + 1, M)
//!                                      └── drain timeout, or N wanted again ──▶ Stable(e + 1, N)
//! ```
//!
//! An aborted drain takes a new epoch too. So documents have one order (epoch, then phase), and a worker's word that it
//! is drained, which names the epoch, can never be taken for a later attempt's. Edits during a drain are coalesced: only
//! the newest count, and only once the drain has ended. A worker that does not answer is waited for: before a drain as long
//! as it takes, since all the others accept meanwhile, and in one until the timeout; its slots are never given away around it.

use crate::Phase;
use std::collections::BTreeSet;

/// The state. Rebuild it with [`State::resume`] after a crash: what the document says is enough.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State {
    epoch: u64,
    from: u32,
    /// `Some` while draining: the target, and who reported to be drained in this epoch.
    drain: Option<Drain>,
    wanted: u32,
    ready: u32,
    known: u32,
    /// A target whose drain timed out; not tried again until somebody wants something else or says so.
    failed: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Drain {
    to: u32,
    drained: BTreeSet<u32>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The document wants this many workers. At least one is kept.
    Wanted(u32),
    /// The workers `0..n` are all ready.
    Ready(u32),
    /// Each of the workers `0..n` is ready, or no process of it exists.
    Known(u32),
    /// A worker says that it obeys the draining document of this epoch and has nothing left to send.
    Drained {
        /// Who.
        ordinal: u32,
        /// Epoch of the document it obeys.
        epoch: u64,
    },
    /// `drainTimeout` has passed since [`Effect::StartDrainTimer`] of this epoch.
    DrainTimeout {
        /// Epoch of the timer.
        epoch: u64,
    },
    /// Try a failed change again.
    Retry,
}

/// What is to be done, in this order. An engine that fails at one stops, reads the document again and resumes from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Let there be this many workers.
    Workers(u32),
    /// Replace the control document, if it still is the one that the state was made of.
    Publish {
        /// Number of the map.
        epoch: u64,
        /// Phase.
        phase: Phase,
        /// Workers that series move from.
        from: u32,
        /// Workers that series move to.
        to: u32,
    },
    /// Send [`Event::DrainTimeout`] after `drainTimeout`.
    StartDrainTimer {
        /// Epoch to name in the event.
        epoch: u64,
    },
    /// Tell that the change to so many workers was given up because somebody did not drain in time.
    Degraded {
        /// Workers that were wanted.
        to: u32,
        /// Lowest ordinal that had not drained.
        waiting_for: u32,
    },
    /// Tell that a drain reached its end.
    Settled,
}

impl State {
    /// The state that a control document stands for, with the effects that resuming takes.
    pub fn resume(epoch: u64, phase: Phase, from: u32, to: u32) -> (Self, Vec<Effect>) {
        let draining = phase == Phase::Draining;
        let state = Self {
            epoch,
            from: from.max(1),
            drain: draining.then(|| Drain { to: to.max(1), drained: BTreeSet::new() }),
            wanted: to.max(1),
            ready: 0,
            known: 0,
            failed: None,
        };
        let mut effects = vec![Effect::Workers(state.from.max(state.wanted))];
        effects.extend(draining.then_some(Effect::StartDrainTimer { epoch }));
        (state, effects)
    }

    /// The same with a change to `to` workers that was given up: it is not tried again until something else is wanted. Only the
    /// document's keeper knows, since the document itself is back at what it was.
    #[must_use]
    pub fn with_failed(mut self, to: u32) -> Self {
        if self.drain.is_none() {
            (self.wanted, self.failed) = (to.max(1), Some(to.max(1)));
        }
        self
    }

    /// Number of the map that holds.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Workers of the map that holds.
    pub fn replicas(&self) -> u32 {
        self.from
    }

    /// The phase the document is in.
    pub fn phase(&self) -> Phase {
        match self.drain {
            Some(_) => Phase::Draining,
            None => Phase::Stable,
        }
    }

    /// The next state and what is to be done.
    #[must_use]
    pub fn on(mut self, event: Event) -> (Self, Vec<Effect>) {
        let mut effects = Vec::new();
        match event {
            Event::Wanted(wanted) => {
                let wanted = wanted.max(1);
                if wanted != self.wanted {
                    self.wanted = wanted;
                    self.failed = None;
                    self.aim(&mut effects);
                }
            }
            Event::Ready(ready) => self.ready = ready,
            Event::Known(known) => self.known = known,
            Event::Retry => {
                if self.failed.take().is_some() {
                    self.aim(&mut effects);
                }
            }
            Event::Drained { ordinal, epoch } => {
                if let Some(drain) = &mut self.drain
                    && epoch == self.epoch
                    && ordinal < self.from
                {
                    drain.drained.insert(ordinal);
                }
            }
            Event::DrainTimeout { epoch } => self.give_up(epoch, &mut effects),
        }
        self.advance(&mut effects);
        (self, effects)
    }

    /// Workers of the target are started before anything drains; those of the old map are kept until it has ended.
    fn aim(&mut self, effects: &mut Vec<Effect>) {
        if self.drain.is_none() {
            self.keep(self.wanted.max(self.from), effects);
        }
    }

    fn keep(&mut self, workers: u32, effects: &mut Vec<Effect>) {
        // Those that go are not ready any more, whatever was heard last.
        self.ready = self.ready.min(workers);
        effects.push(Effect::Workers(workers));
    }

    fn give_up(&mut self, epoch: u64, effects: &mut Vec<Effect>) {
        if epoch != self.epoch {
            return;
        }
        let Some(drain) = &self.drain else { return };
        let missing = (0..self.from).find(|ordinal| !drain.drained.contains(ordinal));
        // Everybody drained: `advance` has ended the drain already.
        let Some(waiting_for) = missing else { return };
        let to = drain.to;
        self.failed = Some(to);
        self.enter(self.from, effects);
        effects.push(Effect::Degraded { to, waiting_for });
    }

    /// Starts the next epoch, stable at `replicas`.
    fn enter(&mut self, replicas: u32, effects: &mut Vec<Effect>) {
        self.epoch += 1;
        self.from = replicas;
        self.drain = None;
        effects.push(Effect::Publish { epoch: self.epoch, phase: Phase::Stable, from: replicas, to: replicas });
        let given_up = self.failed == Some(self.wanted);
        let wanted = if given_up { replicas } else { self.wanted };
        self.keep(wanted.max(replicas), effects);
    }

    /// Takes the step that is due without a further event.
    fn advance(&mut self, effects: &mut Vec<Effect>) {
        if let Some(drain) = &self.drain {
            let to = drain.to;
            if drain.drained.len() as u64 == u64::from(self.from) {
                self.enter(to, effects);
                effects.push(Effect::Settled);
            } else if self.wanted == self.from {
                // Nobody wants to move any more; who has drained already just accepts again.
                self.enter(self.from, effects);
                effects.push(Effect::Settled);
            }
        }
        let due = self.drain.is_none()
            && self.wanted != self.from
            && self.failed != Some(self.wanted)
            && if self.wanted < self.from { self.known >= self.from } else { self.ready >= self.wanted };
        if due {
            self.drain = Some(Drain { to: self.wanted, drained: BTreeSet::new() });
            effects.push(Effect::Publish {
                epoch: self.epoch,
                phase: Phase::Draining,
                from: self.from,
                to: self.wanted,
            });
            effects.push(Effect::StartDrainTimer { epoch: self.epoch });
        }
    }
}
