//! What the conductor publishes, behind one lock that is held for moments only.

use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::{ChaosEvent, ChaosTimeline, PhaseDoc, RunPhase, RunPlan};

/// The published state of a run.
#[derive(Debug, Default)]
pub(crate) struct Published {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    plan: Option<RunPlan>,
    phase: Option<RunPhase>,
    t0: Option<u64>,
    taken: Vec<u32>,
    chaos: Vec<ChaosEvent>,
}

impl Published {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn publish(&self, plan: RunPlan, chaos: Vec<ChaosEvent>) {
        let mut inner = self.lock();
        inner.plan = Some(plan);
        inner.chaos = chaos;
        inner.phase = Some(RunPhase::Preparing);
    }

    pub(crate) fn plan(&self) -> Option<RunPlan> {
        self.lock().plan.clone()
    }

    pub(crate) fn start(&self, t0: u64) {
        let mut inner = self.lock();
        inner.t0 = Some(t0);
        inner.phase = Some(RunPhase::Running);
    }

    pub(crate) fn set_phase(&self, phase: RunPhase) {
        self.lock().phase = Some(phase);
    }

    pub(crate) fn take(&self, generator: u32) {
        let mut inner = self.lock();
        if !inner.taken.contains(&generator) {
            inner.taken.push(generator);
        }
    }

    pub(crate) fn phase(&self) -> Option<PhaseDoc> {
        let inner = self.lock();
        Some(PhaseDoc {
            run: inner.plan.as_ref()?.run.clone(),
            phase: inner.phase?,
            t0: inner.t0,
            taken: inner.taken.clone(),
        })
    }

    /// Empty once the run is past its schedule, so that nothing is broken while reports are taken.
    pub(crate) fn chaos(&self) -> ChaosTimeline {
        let inner = self.lock();
        let live = matches!(inner.phase, Some(RunPhase::Preparing | RunPhase::Running | RunPhase::Draining));
        ChaosTimeline { t0: inner.t0, events: if live { inner.chaos.clone() } else { Vec::new() } }
    }
}
