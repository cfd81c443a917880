//! What the conductor publishes, behind one lock that is held for moments only.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::{ChaosEvent, ChaosTimeline, PhaseDoc, Progress, ProgressDoc, RunPhase, RunPlan};
use report::Summary;
use telemetry::Clock;

/// The published state of a run.
#[derive(Debug, Default)]
pub(crate) struct Published {
    inner: Mutex<Inner>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Inner {
    run: Option<String>,
    plan: Option<RunPlan>,
    phase: Option<RunPhase>,
    t0: Option<u64>,
    taken: Vec<u32>,
    departed: Vec<String>,
    last_words: Option<Duration>,
    chaos: Vec<ChaosEvent>,
    progress: Option<Progress>,
    engine_seq: u64,
    results: Option<Results>,
}

/// What a run came to, and the folder with all that is written of it.
#[derive(Debug, Clone)]
pub(crate) struct Results {
    pub(crate) summary: Arc<Summary>,
    pub(crate) folder: PathBuf,
}

impl Published {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By which the run's instants are told: started with the schedule.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What the run is called, before there is a plan of it.
    pub(crate) fn prepare(&self, run: &str) {
        let mut inner = self.lock();
        inner.run = Some(run.to_owned());
        inner.phase = Some(RunPhase::Preparing);
    }

    pub(crate) fn publish(&self, plan: RunPlan, chaos: Vec<ChaosEvent>) {
        let mut inner = self.lock();
        inner.plan = Some(plan);
        inner.chaos = chaos;
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

    /// Generators are to stop, and may wait so long for what they sent.
    pub(crate) fn stop(&self, last_words: Duration) {
        let mut inner = self.lock();
        inner.phase = Some(RunPhase::Stopping);
        inner.last_words = Some(last_words);
    }

    pub(crate) fn take(&self, generator: u32) {
        let mut inner = self.lock();
        if !inner.taken.contains(&generator) {
            inner.taken.push(generator);
        }
    }

    /// The last account of this incarnation of a sink-worker was taken.
    pub(crate) fn departed(&self, incarnation: &str) {
        let mut inner = self.lock();
        if !inner.departed.iter().any(|known| known == incarnation) {
            inner.departed.push(incarnation.to_owned());
        }
    }

    pub(crate) fn phase(&self) -> Option<PhaseDoc> {
        let inner = self.lock();
        Some(PhaseDoc {
            run: inner.plan.as_ref()?.run.clone(),
            phase: inner.phase?,
            t0: inner.t0,
            taken: inner.taken.clone(),
            departed: inner.departed.clone(),
            last_words_ms: inner.last_words.map(|words| words.as_millis() as u64),
        })
    }

    pub(crate) fn progress(&self, now: Progress) {
        let known = &mut self.lock().progress;
        *known = Some(match known.take() {
            // Who only waits knows no figures: the last ones hold.
            Some(known) if now.stages == 0 => Progress { phase: now.phase, waiting_for: now.waiting_for, ..known },
            _ => now,
        });
    }

    pub(crate) fn engine_seq(&self, seq: u64) {
        self.lock().engine_seq = seq;
    }

    /// Once everything is written.
    pub(crate) fn finish(&self, summary: &Summary, folder: PathBuf) {
        self.lock().results = Some(Results { summary: Arc::new(summary.clone()), folder });
    }

    pub(crate) fn results(&self) -> Option<Results> {
        self.lock().results.clone()
    }

    pub(crate) fn progress_doc(&self) -> Option<ProgressDoc> {
        let inner = self.lock();
        let phase = inner.phase?;
        let last = inner.progress.clone().unwrap_or_else(|| Progress::new(phase));
        let summary = inner.results.as_ref().map(|results| &results.summary);
        Some(ProgressDoc {
            run: inner.run.clone()?,
            t0: inner.t0,
            // Of an earlier phase it is no longer true.
            now: Progress { phase, waiting_for: last.waiting_for.filter(|_| last.phase == phase), ..last },
            engine_seq: inner.engine_seq,
            verdict: summary.map(|summary| summary.verdict.as_str().to_owned()),
            reasons: summary.map(|summary| summary.reasons.clone()).unwrap_or_default(),
        })
    }

    /// Empty once the run is past its schedule, so that nothing is broken while reports are taken.
    pub(crate) fn chaos(&self) -> ChaosTimeline {
        let inner = self.lock();
        let live = matches!(inner.phase, Some(RunPhase::Preparing | RunPhase::Running | RunPhase::Draining));
        ChaosTimeline { t0: inner.t0, events: if live { inner.chaos.clone() } else { Vec::new() } }
    }
}
