//! One map of the target: its lanes, where they connect to, and how far each is.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::ensure;
use floodmark_http::client::Endpoint;
use protocol::{OwnershipDoc, path};
use workload::{LaneMap, LanePlan};

/// Sink-workers answer within this, or they are taken for gone.
const WORKER_TIMEOUT: Duration = Duration::from_secs(5);

/// A lane that has nothing more to send.
pub(crate) const LANE_DONE: u64 = u64::MAX;

/// Where lanes connect to.
#[derive(Debug, Clone)]
pub(crate) enum Route {
    Direct { endpoint: Box<Endpoint>, connections: u32 },
    Sink { workers: Vec<String>, replicas: u32, lanes: u16 },
}

impl Route {
    /// By a sink's map; `workers` are the addresses known besides those it names itself.
    pub(crate) fn of(document: &OwnershipDoc, workers: &[String]) -> anyhow::Result<Self> {
        let &OwnershipDoc { replicas, lanes, .. } = document;
        ensure!(
            replicas > 0 && lanes > 0,
            "the sink's ownership map names {replicas} workers of {lanes} lanes: it needs one of each"
        );
        ensure!(
            u64::from(replicas) * u64::from(lanes) < 1 << 16,
            "{replicas} workers of {lanes} lanes are too many: lanes in all must stay below 65536"
        );
        let addresses = if workers.len() >= replicas as usize { workers } else { &document.addresses };
        ensure!(
            addresses.len() >= replicas as usize,
            "the sink has {replicas} workers, but only {} addresses are known",
            addresses.len()
        );
        Ok(Self::Sink { workers: addresses.to_vec(), replicas, lanes })
    }

    pub(crate) fn is_sink(&self) -> bool {
        matches!(self, Self::Sink { .. })
    }

    /// Workers and lanes of each; one worker where there is no sink.
    pub(crate) fn shape(&self) -> (u32, u16) {
        match self {
            Self::Direct { connections, .. } => (1, u16::try_from(*connections).unwrap_or(u16::MAX)),
            Self::Sink { replicas, lanes, .. } => (*replicas, *lanes),
        }
    }

    /// Which slot goes through which lane.
    pub(crate) fn map(&self) -> LaneMap {
        match self {
            Self::Direct { connections, .. } => LaneMap::direct(*connections),
            Self::Sink { replicas, lanes, .. } => {
                LaneMap::sink(*replicas, *lanes, |slot| ownership::owner(slot, *replicas))
            }
        }
    }

    /// The endpoint of a lane.
    pub(crate) fn endpoint(&self, lane: u32) -> Endpoint {
        match self {
            Self::Direct { endpoint, .. } => Endpoint::clone(endpoint),
            Self::Sink { workers, lanes, .. } => {
                let worker = (lane / u32::from((*lanes).max(1))) as usize;
                let base = workers.get(worker).map_or("", String::as_str);
                Endpoint::new(format!("{}{}", base.trim_end_matches('/'), path::WRITE)).with_timeout(WORKER_TIMEOUT)
            }
        }
    }
}

/// The lanes of one map. Never changes while they run, but for how far they are.
pub(crate) struct Epoch {
    /// Position among the maps of this run.
    pub(crate) step: u32,
    /// Number of the sink's map; 0 without a sink.
    pub(crate) number: u64,
    pub(crate) plan: LanePlan,
    pub(crate) route: Route,
    /// Intended time of the request each lane is at, ns since t0; [`LANE_DONE`] at its end.
    at: Vec<AtomicU64>,
}

impl Epoch {
    pub(crate) fn new(step: u32, number: u64, plan: LanePlan, route: Route) -> Self {
        let at = (0..plan.lanes()).map(|_| AtomicU64::new(LANE_DONE)).collect();
        Self { step, number, plan, route, at }
    }

    /// A lane turns to the request that is intended for `intended_ns`.
    pub(crate) fn lane_at(&self, lane: u32, intended_ns: u64) {
        if let Some(at) = self.at.get(lane as usize) {
            at.store(intended_ns, Relaxed);
        }
    }

    /// By how much the last lane lags behind, ns.
    pub(crate) fn backlog_ns(&self, now: u64) -> u64 {
        let at = self.at.iter().map(|at| at.load(Relaxed)).filter(|at| *at != LANE_DONE);
        at.map(|at| now.saturating_sub(at)).max().unwrap_or(0)
    }
}
