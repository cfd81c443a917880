//! What the lanes, the server and the course of the run have in common.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use protocol::{GeneratorState, RunPlan};
use telemetry::Ops;
use tokio::sync::watch;
use tokio::time::Instant;
use workload::Workload;

use crate::build::Builders;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::outcome::Books;

/// A lane that has nothing more to send.
pub(crate) const LANE_DONE: u64 = u64::MAX;

pub(crate) struct Shared {
    pub(crate) index: u32,
    pub(crate) ops: Ops,
    pub(crate) metrics: Metrics,
    pub(crate) builders: Builders,
    /// Epoch of the ownership map that requests are routed by; 0 without a sink.
    pub(crate) epoch: AtomicU64,
    /// When the latest good request left that was acknowledged, in any lane, ns since t0.
    pub(crate) latest_good: AtomicU64,
    /// Makes one lane fetch a new map while the others wait for it.
    pub(crate) refetching: tokio::sync::Mutex<()>,
    pub(crate) started: Instant,
    books: Mutex<Books>,
    state: Mutex<GeneratorState>,
    target: OnceLock<TargetShape>,
    clock: OnceLock<Clock>,
    halt: watch::Sender<bool>,
}

/// The lanes of the target, known once it was found.
pub(crate) struct TargetShape {
    pub(crate) replicas: u32,
    /// Intended time of the request each lane is at, ns since t0; [`LANE_DONE`] at its end.
    pub(crate) at: Vec<AtomicU64>,
}

impl Shared {
    pub(crate) fn new(index: u32, ops: Ops) -> Self {
        Self {
            index,
            metrics: Metrics::new(ops.registry()),
            ops,
            builders: Builders::default(),
            epoch: AtomicU64::new(0),
            latest_good: AtomicU64::new(0),
            refetching: tokio::sync::Mutex::new(()),
            started: Instant::now(),
            books: Mutex::new(Books::new()),
            state: Mutex::new(GeneratorState::Preparing("starting".into())),
            target: OnceLock::new(),
            clock: OnceLock::new(),
            halt: watch::channel(false).0,
        }
    }

    /// The books, for a moment. A panic elsewhere does not close them.
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> GeneratorState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_state(&self, state: GeneratorState) {
        match &state {
            GeneratorState::Preparing(what) => self.ops.set_not_ready(what),
            GeneratorState::Failed(why) => {
                tracing::error!(why, "the generator cannot go on");
                self.ops.set_not_ready(why);
            }
            state => tracing::info!(?state, "generator"),
        }
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// The target was found and the lanes are computed.
    pub(crate) fn prepared(&self, workload: &Workload, plan: &RunPlan, replicas: u32, lanes: u32) {
        let due = |ns| workload.due_before(ns, self.index, plan.generators);
        let stages: Vec<(u64, u64)> =
            workload.stages().iter().map(|s| (s.end_ns, due(s.end_ns) - due(s.start_ns))).collect();
        self.books().prepare(&stages, plan.faults.len(), lanes);
        let at = (0..lanes).map(|_| AtomicU64::new(LANE_DONE)).collect();
        let _ = self.target.set(TargetShape { replicas, at });
        self.metrics.lanes.set(f64::from(lanes));
    }

    pub(crate) fn target(&self) -> Option<&TargetShape> {
        self.target.get()
    }

    /// The schedule's zero is known.
    pub(crate) fn start(&self, t0: u64) {
        let _ = self.clock.set(Clock::new(t0));
        self.set_state(GeneratorState::Running);
    }

    /// Nanoseconds since t0; 0 before.
    pub(crate) fn now(&self) -> u64 {
        self.clock.get().map_or(0, Clock::now)
    }

    /// Whether more than this has passed since t0.
    pub(crate) fn past(&self, limit: Duration) -> bool {
        u128::from(self.now()) > limit.as_nanos()
    }

    /// A lane turns to the request that is intended for `intended_ns`.
    pub(crate) fn lane_at(&self, lane: u32, intended_ns: u64) {
        if let Some(at) = self.target().and_then(|t| t.at.get(lane as usize)) {
            at.store(intended_ns, Relaxed);
        }
    }

    /// By how much the last lane lags behind, ns.
    pub(crate) fn backlog_ns(&self) -> u64 {
        let now = self.now();
        let lanes = self.target().map_or(&[][..], |t| &t.at);
        lanes
            .iter()
            .map(|at| at.load(Relaxed))
            .filter(|at| *at != LANE_DONE)
            .map(|at| now.saturating_sub(at))
            .max()
            .unwrap_or(0)
    }

    /// From now on nothing new is sent.
    pub(crate) fn halt(&self) {
        self.halt.send_replace(true);
    }

    pub(crate) fn halted(&self) -> watch::Receiver<bool> {
        self.halt.subscribe()
    }
}
