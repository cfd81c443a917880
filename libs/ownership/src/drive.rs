//! One look at a sink, one step: what an engine does next, from the control document, a few notes kept with it, and what it sees.
//!
//! Level-triggered: nothing is remembered between steps but what the document and its notes say, so an engine that crashed, or whose
//! answer got lost, looks again and goes on. A step asks for one write of the document at most. The workers are brought to
//! [`Next::workers`] *before* that write, and the write holds only for the very revision that was read.

use std::collections::BTreeSet;

use crate::reshard::{Effect, Event, State};
use crate::{Address, ControlDocument, Phase};

/// Kept with the document and replaced together with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Notes {
    /// When the drain that goes on began, Unix milliseconds.
    pub draining_since: Option<u64>,
    /// The change that was given up last.
    pub failed: Option<Failed>,
    /// How long nothing was accepted in the last drain that ended, in milliseconds.
    pub last_pause: Option<u64>,
}

/// A change that was given up because a worker did not drain in time. Tried again once the sink was edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Failed {
    /// Workers that were wanted.
    pub to: u32,
    /// The edit of the sink that wanted them.
    pub generation: u64,
    /// Lowest ordinal that had not drained.
    pub waiting_for: u32,
}

/// What an engine sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Workers that the sink's document wants.
    pub wanted: u32,
    /// Counts the edits of that document.
    pub generation: u64,
    /// The workers `0..ready` are all there and obey the control document's epoch.
    pub ready: u32,
    /// Each of the workers `0..known` is one of these, or no process of it exists.
    pub known: u32,
    /// Ordinals that say they are drained, with the epoch they say it of; and those without a process, of the epoch that drains.
    pub drained: BTreeSet<(u32, u64)>,
}

/// What has to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// Let there be this many workers; wait for none.
    pub workers: u32,
    /// Then replace the document and its notes, if they still are what the step was made of.
    pub publish: Option<(ControlDocument, Notes)>,
    /// What to tell once that is done.
    pub told: Vec<Told>,
    /// When to look again at the latest although nothing changes, in milliseconds from now. 0: at once.
    pub look_again: Option<u64>,
}

/// What happened, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing new is accepted until the workers of the old map have sent what they hold.
    Draining { from: u32, to: u32 },
    /// Another map holds; so long nothing was accepted, in milliseconds.
    Resharded { from: u32, to: u32, pause_ms: u64 },
    /// Nobody wants the change any more: the old map goes on.
    CalledOff { replicas: u32, pause_ms: u64 },
    /// The change was given up after so many milliseconds: the old map goes on.
    DrainTimedOut { to: u32, waiting_for: u32, pause_ms: u64 },
}

/// The next step. `address` gives the `host:port` of an ordinal; an address that the document holds already is kept.
pub fn step(
    document: &ControlDocument,
    notes: &Notes,
    view: &View,
    now_ms: u64,
    drain_timeout_ms: u64,
    address: &dyn Fn(u32) -> Address,
) -> Next {
    let wanted = view.wanted.max(1);
    let (mut state, effects) = State::resume(document.epoch, document.phase, document.from, document.to);
    if let Some(failed) = &notes.failed
        && (failed.to, failed.generation) == (wanted, view.generation)
        && document.phase == Phase::Stable
    {
        state = state.with_failed(failed.to);
    }
    let mut taken = Taken::default();
    taken.add(&effects);
    // A clock that was set back must not hold a drain up for ever.
    let since = notes.draining_since.unwrap_or(now_ms).min(now_ms);
    let passed = now_ms - since;
    for event in events(document, view, wanted, passed >= drain_timeout_ms) {
        if taken.publish.is_some() {
            // What follows is found again by the next step, once this is written.
            break;
        }
        let (next, effects) = state.on(event);
        state = next;
        taken.add(&effects);
    }
    let publish = taken.publish.map(|(epoch, phase, from, to)| {
        let next = ControlDocument {
            epoch,
            phase,
            from,
            to,
            addresses: (0..from.max(to))
                .map(|ordinal| document.addresses.get(ordinal as usize).cloned().unwrap_or_else(|| address(ordinal)))
                .collect(),
            ..document.clone()
        };
        let notes = match phase {
            Phase::Draining => Notes { draining_since: Some(now_ms), ..*notes },
            Phase::Stable => Notes {
                draining_since: None,
                failed: taken.degraded.map(|(to, waiting_for)| Failed { to, waiting_for, generation: view.generation }),
                last_pause: Some(passed),
            },
        };
        (next, notes)
    });
    let told = publish.iter().map(|(next, _)| tell(document, next, taken.degraded, passed)).collect();
    let draining = document.phase == Phase::Draining;
    let look_again = match publish {
        Some(_) => Some(0),
        None => draining.then(|| drain_timeout_ms.saturating_sub(passed)),
    };
    Next { workers: taken.workers, publish, told, look_again }
}

/// Who is drained comes before the clock: a drain that has ended is never given up.
fn events(document: &ControlDocument, view: &View, wanted: u32, late: bool) -> Vec<Event> {
    let mut events = vec![Event::Wanted(wanted), Event::Ready(view.ready), Event::Known(view.known)];
    events.extend(view.drained.iter().map(|&(ordinal, epoch)| Event::Drained { ordinal, epoch }));
    events.extend(late.then_some(Event::DrainTimeout { epoch: document.epoch }));
    events
}

fn tell(old: &ControlDocument, new: &ControlDocument, degraded: Option<(u32, u32)>, pause_ms: u64) -> Told {
    match (new.phase, degraded) {
        (Phase::Draining, _) => Told::Draining { from: new.from, to: new.to },
        (Phase::Stable, Some((to, waiting_for))) => Told::DrainTimedOut { to, waiting_for, pause_ms },
        (Phase::Stable, None) if new.from == old.from => Told::CalledOff { replicas: new.from, pause_ms },
        (Phase::Stable, None) => Told::Resharded { from: old.from, to: new.to, pause_ms },
    }
}

/// The effects up to and with the first publication; workers asked for after it belong to the next step.
#[derive(Default)]
struct Taken {
    workers: u32,
    publish: Option<(u64, Phase, u32, u32)>,
    degraded: Option<(u32, u32)>,
}

impl Taken {
    fn add(&mut self, effects: &[Effect]) {
        for effect in effects {
            match *effect {
                Effect::Workers(workers) if self.publish.is_none() => self.workers = workers,
                Effect::Publish { epoch, phase, from, to } if self.publish.is_none() => {
                    self.publish = Some((epoch, phase, from, to));
                }
                Effect::Degraded { to, waiting_for } => self.degraded = Some((to, waiting_for)),
                Effect::Workers(_) | Effect::Publish { .. } | Effect::StartDrainTimer { .. } | Effect::Settled => {}
            }
        }
    }
}
