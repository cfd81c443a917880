//! What is known to have gone wrong on the way, and which samples it explains.

use std::collections::BTreeMap;

use super::carrier::{Carrier, Carriers};
use crate::Repeats;

/// How long before a disturbance a sample may have been due that it still doubles: a worker may hold a backlog.
const BACKLOG_NS: u64 = 60_000_000_000;
/// How long after a disturbance a sample may be due that it doubles: a request takes its time to be given up.
const GIVE_UP_NS: u64 = 5_000_000_000;
/// How far the clocks of the parts may be apart, and how long a request may stay open before it leaves.
const SLACK_NS: u64 = 1_000_000_000;

/// A time in which a worker was killed, stopped or stuck. For a kill, `to_unix_ns` is the instant itself or the return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disturbance {
    /// Ordinal of the worker.
    pub worker: u32,
    pub from_unix_ns: u64,
    pub to_unix_ns: u64,
    /// The last account that the worker gave before it ended. None: none is known, and nothing bounds what it took with it.
    pub seen: Option<Seen>,
}

/// What a worker said of itself at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub at_unix_ns: u64,
    /// Samples that it had taken and not passed on.
    pub held: u64,
}

impl Disturbance {
    /// The last instant at which a sample may be due that was acknowledged before this kill.
    pub(super) fn last_before(&self) -> u64 {
        self.from_unix_ns.saturating_add(SLACK_NS)
    }
}

/// What may explain differences.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Whether workers acknowledge what they hold in memory only.
    pub buffered: bool,
    /// Lanes of one worker in the run's map; 0 when there are no workers between generator and store.
    pub lanes_per_worker: u32,
    /// Ends that may have left a worker no time to pass on what it held. Those that certainly did belong to `paused`.
    pub killed: Vec<Disturbance>,
    pub paused: Vec<Disturbance>,
    /// Workers that still held samples when nobody waited for them any longer, or did not say: as if they ended then, but what
    /// they held may still arrive.
    pub holding: Vec<Disturbance>,
    /// What each worker sent again, by ordinal; several lives of one are several entries.
    pub repeats: Vec<(u32, Repeats)>,
    /// How far behind its schedule a request may have been taken: the largest lag that generators measured.
    pub lag_ns: u64,
    /// The most samples that a lane of a worker sends at once. Less than a request: a request.
    pub samples_per_batch: u32,
    /// Nobody looked into the store: its report only repeats what was acknowledged.
    pub unread: bool,
}

impl Context {
    /// Whatever may have kept acknowledged samples from the store: the kills, then the workers that still hold some.
    pub(super) fn ends(&self) -> impl Iterator<Item = &Disturbance> {
        self.killed.iter().chain(&self.holding)
    }

    /// What was due before this instant was certainly sent before the kill, if ever.
    pub(super) fn sent_before(&self, kill: &Disturbance) -> u64 {
        kill.from_unix_ns.saturating_sub(SLACK_NS).saturating_sub(self.lag_ns)
    }

    /// What was due before this instant and was ever acknowledged, the worker had taken when it gave that account.
    pub(super) fn taken_before(&self, seen: Seen) -> u64 {
        seen.at_unix_ns.saturating_sub(SLACK_NS).saturating_sub(self.lag_ns)
    }
}

/// How many samples kills and pauses explain as doubled: of each generator's lane, each time, what it had in flight.
#[derive(Default)]
pub(super) struct Doubled {
    /// By position among kills and pauses, and carrier.
    taken: BTreeMap<(usize, Carrier), u64>,
}

impl Doubled {
    /// How many of `count` repetitions of a sample kills or pauses explain, each with room for `room` samples a lane.
    pub(super) fn take(
        &mut self,
        context: &Context,
        carriers: &Carriers,
        room: u64,
        carrier: Carrier,
        due_unix_ns: u64,
        count: u64,
    ) -> u64 {
        let mut left = count;
        for (at, d) in context.killed.iter().chain(&context.paused).enumerate() {
            let from = d.from_unix_ns.saturating_sub(BACKLOG_NS).saturating_sub(context.lag_ns);
            let to = d.to_unix_ns.saturating_add(GIVE_UP_NS);
            if left == 0 || !(from..=to).contains(&due_unix_ns) || !carriers.disturbed(carrier, d) {
                continue;
            }
            let taken = self.taken.entry((at, carrier)).or_default();
            let more = room.saturating_sub(*taken).min(left);
            *taken += more;
            left -= more;
        }
        count - left
    }
}
