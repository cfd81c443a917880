//! What all connections share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use floodmark_http::room::Room;
use tokio::sync::{Notify, watch};

use crate::control::Policy;
use crate::metrics::Metrics;
use crate::tables::Tables;
use crate::write::Scratch;

/// Scratch memory kept for later requests. As many are in use as requests are decoded at a time.
const POOL: usize = 64;
/// What all requests that are being decoded may take together.
const DECODING: usize = 256 << 20;

/// What is known of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// No conductor: every series is foreign.
    None,
    /// A conductor was named; t0 is not known yet.
    Awaited,
    /// The tables know the schedule.
    Known { t0_ns: u64, seed: u64 },
}

pub(crate) struct State {
    tables: Mutex<Tables>,
    policy: Mutex<Arc<Policy>>,
    pool: Mutex<Vec<Scratch>>,
    pub(crate) decoding: Room,
    /// Reports may be large: one is made at a time.
    pub(crate) reporting: Arc<tokio::sync::Mutex<()>>,
    pub(crate) run: watch::Sender<Run>,
    /// Asks the follower to look at the conductor now.
    pub(crate) ask: Notify,
    pub(crate) metrics: Metrics,
    first_request: Mutex<Option<Instant>>,
}

/// A panic elsewhere leaves counts at worst one request short, which the settlement shows.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    pub(crate) fn new(policy: Policy, metrics: Metrics) -> Self {
        Self {
            tables: Mutex::new(Tables::new()),
            policy: Mutex::new(Arc::new(policy)),
            pool: Mutex::new(Vec::new()),
            decoding: Room::new(DECODING),
            reporting: Arc::default(),
            run: watch::Sender::new(Run::None),
            ask: Notify::new(),
            metrics,
            first_request: Mutex::new(None),
        }
    }

    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        lock(&self.tables)
    }

    pub(crate) fn policy(&self) -> Arc<Policy> {
        Arc::clone(&lock(&self.policy))
    }

    pub(crate) fn set_policy(&self, policy: Policy) {
        *lock(&self.policy) = Arc::new(policy);
    }

    pub(crate) fn scratch(&self) -> Scratch {
        lock(&self.pool).pop().unwrap_or_default()
    }

    pub(crate) fn give_back(&self, mut scratch: Scratch) {
        scratch.release();
        let mut pool = lock(&self.pool);
        if pool.len() < POOL {
            pool.push(scratch);
        }
    }

    /// When the first Remote-Write request came.
    pub(crate) fn first_request(&self) -> Instant {
        *lock(&self.first_request).get_or_insert_with(Instant::now)
    }
}
