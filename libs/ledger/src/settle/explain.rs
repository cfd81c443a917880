//! What is known to have gone wrong on the way, and which samples it explains.

/// How long before a disturbance a sample may have been due that it still concerns: a worker may lag behind.
const REACH_NS: u64 = 60_000_000_000;
/// How far the clocks of the parts may be apart, and how long a request may take to be noticed as lost.
const SLACK_NS: u64 = 5_000_000_000;

/// A time in which a worker was killed, stopped or stuck. For a kill, `to_unix_ns` is the instant itself or the return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disturbance {
    /// Ordinal of the worker.
    pub worker: u32,
    pub from_unix_ns: u64,
    pub to_unix_ns: u64,
}

/// What may explain differences.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Whether workers acknowledge what they hold in memory only.
    pub buffered: bool,
    /// Lanes of one worker; 0 when there are no workers between generator and store.
    pub lanes_per_worker: u32,
    pub killed: Vec<Disturbance>,
    pub paused: Vec<Disturbance>,
    /// Samples of requests and batches that were sent more than once, by the accounts of generators and workers.
    pub retried: u64,
}

impl Context {
    fn hit(&self, disturbances: &[Disturbance], lane: u16, due_unix_ns: u64) -> bool {
        let Some(worker) = u32::from(lane).checked_div(self.lanes_per_worker) else { return false };
        disturbances.iter().any(|d| {
            d.worker == worker
                && due_unix_ns >= d.from_unix_ns.saturating_sub(REACH_NS)
                && due_unix_ns <= d.to_unix_ns.saturating_add(SLACK_NS)
        })
    }

    /// Whether a sample that was acknowledged and lost was in the memory of a killed worker.
    pub(super) fn lost_with_worker(&self, lane: u16, due_unix_ns: u64) -> bool {
        self.buffered && self.hit(&self.killed, lane, due_unix_ns)
    }

    /// Whether a kill or a pause explains that a sample arrived twice.
    pub(super) fn explains_duplicate(&self, lane: u16, due_unix_ns: u64) -> bool {
        self.hit(&self.killed, lane, due_unix_ns) || self.hit(&self.paused, lane, due_unix_ns)
    }
}
