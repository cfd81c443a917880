//! What the lanes, the server and the course of the run have in common.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use protocol::{GeneratorState, RunPlan, SentEpoch};
use telemetry::Ops;
use tokio::sync::watch;
use tokio::time::Instant;
use workload::{Position, Workload};

use crate::build::Builders;
use crate::clock::Clock;
use crate::epoch::Epoch;
use crate::follow::Following;
use crate::metrics::Metrics;
use crate::outcome::Books;

pub(crate) struct Shared {
    pub(crate) index: u32,
    pub(crate) ops: Ops,
    pub(crate) metrics: Metrics,
    pub(crate) builders: Builders,
    pub(crate) following: Following,
    /// When the latest good request left that was acknowledged, in any lane, ns since t0.
    pub(crate) latest_good: AtomicU64,
    pub(crate) started: Instant,
    books: Mutex<Books>,
    state: Mutex<GeneratorState>,
    current: Mutex<Option<Arc<Epoch>>>,
    clock: OnceLock<Clock>,
    halt: watch::Sender<Halt>,
}

/// Whether the run is halted: then what is in flight may still be answered for so long.
pub(crate) type Halt = Option<Duration>;

impl Shared {
    pub(crate) fn new(index: u32, ops: Ops) -> Self {
        Self {
            index,
            metrics: Metrics::new(ops.registry()),
            ops,
            builders: Builders::default(),
            following: Following::new(),
            latest_good: AtomicU64::new(0),
            started: Instant::now(),
            books: Mutex::new(Books::new()),
            state: Mutex::new(GeneratorState::Preparing("starting".into())),
            current: Mutex::new(None),
            clock: OnceLock::new(),
            halt: watch::channel(None).0,
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

    /// The schedule is known.
    pub(crate) fn prepared(&self, workload: &Workload, plan: &RunPlan) {
        let due = |ns| workload.due_before(ns, self.index, plan.generators);
        let stages: Vec<(u64, u64)> =
            workload.stages().iter().map(|s| (s.end_ns, due(s.end_ns) - due(s.start_ns))).collect();
        self.books().prepare(&stages, plan.faults.len());
    }

    /// A map holds from now on; `cuts` are those of the lanes before.
    pub(crate) fn enter(&self, epoch: &Arc<Epoch>, cuts: Vec<Position>) {
        let lanes = epoch.plan.lanes();
        let (replicas, of_each) = epoch.route.shape();
        let sent =
            SentEpoch { epoch: epoch.number, replicas, lanes: of_each, from_ns: self.now(), ..SentEpoch::default() };
        self.books().enter(sent, lanes, cuts);
        self.metrics.lanes.set(f64::from(lanes));
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(epoch));
        self.following.enter(epoch.number, (replicas, of_each));
    }

    /// The map that holds, once the target was found.
    pub(crate) fn current(&self) -> Option<Arc<Epoch>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The schedule's zero is known: the clock by which all lanes go.
    pub(crate) fn start(&self, t0: u64) -> Clock {
        let clock = *self.clock.get_or_init(|| Clock::new(t0));
        self.set_state(GeneratorState::Running);
        clock
    }

    /// Nanoseconds since t0; 0 before.
    pub(crate) fn now(&self) -> u64 {
        self.clock.get().map_or(0, Clock::now)
    }

    /// Whether more than this has passed since t0.
    pub(crate) fn past(&self, limit: Duration) -> bool {
        u128::from(self.now()) > limit.as_nanos()
    }

    /// By how much the last lane lags behind, ns.
    pub(crate) fn backlog_ns(&self) -> u64 {
        self.current().map_or(0, |epoch| epoch.backlog_ns(self.now()))
    }

    /// From now on nothing new is sent; what is in flight may still be answered for so long.
    pub(crate) fn halt(&self, last_words: Duration) {
        self.halt.send_if_modified(|halt| halt.is_none().then(|| *halt = Some(last_words)).is_some());
    }

    pub(crate) fn halted(&self) -> watch::Receiver<Halt> {
        self.halt.subscribe()
    }
}
