//! From the conductor's plan to lanes that know their connections.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, bail};
use api::OverloadPolicy;
use faults::FaultPlan;
use floodmark_http::client::{Connection, Endpoint, get_json};
use floodmark_http::{HeaderMap, HeaderValue};
use protocol::{GeneratorState, OwnershipDoc, RunPlan, Target, path};
use remote_write::header;
use tokio::time::sleep;
use workload::{LaneMap, LanePlan, Workload};

use crate::conduct::Conductor;
use crate::shared::Shared;

/// Between two attempts to find the target.
const AGAIN: Duration = Duration::from_millis(250);
const TIMEOUT: Duration = Duration::from_secs(2);
/// Sink-workers answer within this, or they are taken for gone.
const WORKER_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything that lanes share and that never changes during the run.
pub(crate) struct Prepared {
    pub(crate) workload: Arc<Workload>,
    pub(crate) faults: Arc<FaultPlan>,
    pub(crate) profile: api::Profile,
    pub(crate) plan: LanePlan,
    pub(crate) max_samples: u32,
    /// A request that its lane comes to later than this after its intended time is skipped.
    pub(crate) max_late_ns: u64,
    pub(crate) skip_reason: &'static str,
    pub(crate) max_backlog: Duration,
    pub(crate) route: Route,
}

/// Where lanes connect to.
pub(crate) enum Route {
    Direct(Box<Endpoint>),
    Sink { workers: Vec<String>, replicas: u32, lanes: u16 },
}

impl Route {
    /// The endpoint of a lane.
    pub(crate) fn endpoint(&self, lane: u32) -> Endpoint {
        match self {
            Self::Direct(endpoint) => Endpoint::clone(endpoint),
            Self::Sink { workers, lanes, .. } => {
                let worker = (lane / u32::from((*lanes).max(1))) as usize;
                let base = workers.get(worker).map_or("", String::as_str);
                Endpoint::new(format!("{}{}", base.trim_end_matches('/'), path::WRITE)).with_timeout(WORKER_TIMEOUT)
            }
        }
    }
}

/// Fetches the plan, computes what can be computed, and waits for the target to be there: for ever, the conductor ends that.
pub(crate) async fn prepare(conductor: &mut Conductor, shared: &Arc<Shared>) -> anyhow::Result<Prepared> {
    let preparing = |what: &str| shared.set_state(GeneratorState::Preparing(what.to_owned()));
    preparing("fetching the plan");
    let plan = conductor.plan(shared.index).await?;
    if shared.index >= plan.generators {
        bail!(
            "this is generator {} but the run has {}: start them with --index 0 to {}",
            shared.index,
            plan.generators,
            plan.generators.saturating_sub(1)
        );
    }
    let workload = Arc::new(
        Workload::new(&plan.workload, &plan.stages, plan.seed, &plan.run)
            .context("the workload cannot be scheduled")?,
    );
    let faults = Arc::new(FaultPlan::new(&plan.faults, plan.seed, &workload).context("the faults cannot be drawn")?);
    preparing("looking for the target");
    let (route, map) = find_target(&plan, shared).await?;
    preparing("computing the lanes");
    let (index, generators) = (shared.index, plan.generators);
    let lanes = {
        let workload = Arc::clone(&workload);
        tokio::task::spawn_blocking(move || LanePlan::new(workload, map, index, generators)).await?
    };
    let replicas = match &route {
        Route::Sink { replicas, .. } => *replicas,
        Route::Direct(_) => 1,
    };
    shared.prepared(&workload, &plan, replicas, lanes.lanes());
    let max_backlog = plan.overload.max_backlog.0;
    let backlog_ns = plan.overload.max_backlog.as_nanos();
    // Skip: what is later than the next sample of the fastest group would be is out of date.
    let interval_ns = plan.workload.iter().map(|g| g.scrape_interval.as_nanos()).min().unwrap_or(0).max(100_000_000);
    let (max_late_ns, skip_reason) = match plan.overload.policy {
        OverloadPolicy::Skip if interval_ns < backlog_ns => (interval_ns, "late"),
        _ => (backlog_ns, "backlog"),
    };
    Ok(Prepared {
        workload,
        faults,
        profile: plan.profile,
        plan: lanes,
        max_samples: plan.samples_per_request.max(1),
        max_late_ns,
        skip_reason,
        max_backlog,
        route,
    })
}

async fn find_target(plan: &RunPlan, shared: &Shared) -> anyhow::Result<(Route, LaneMap)> {
    loop {
        let why = match &plan.target {
            Target::Sink { workers } => match ownership(workers).await {
                Ok(document) => {
                    if document.replicas == 0 || document.lanes == 0 {
                        bail!(
                            "the sink's ownership map names {} workers of {} lanes: it needs one of each",
                            document.replicas,
                            document.lanes
                        );
                    }
                    if u64::from(document.replicas) * u64::from(document.lanes) >= 1 << 16 {
                        bail!(
                            "{} workers of {} lanes are too many: lanes in all must stay below 65536",
                            document.replicas,
                            document.lanes
                        );
                    }
                    let addresses =
                        if workers.len() >= document.replicas as usize { workers } else { &document.addresses };
                    if addresses.len() < document.replicas as usize {
                        bail!(
                            "the sink has {} workers, but only {} addresses are known",
                            document.replicas,
                            addresses.len()
                        );
                    }
                    let (replicas, lanes) = (document.replicas, document.lanes);
                    let map = LaneMap::sink(replicas, lanes, |slot| ownership::owner(slot, replicas));
                    shared.epoch.store(document.epoch, Relaxed);
                    return Ok((Route::Sink { workers: addresses.clone(), replicas, lanes }, map));
                }
                Err(why) => why,
            },
            Target::Endpoint { endpoint } => match probe(endpoint).await? {
                None => return Ok((Route::Direct(endpoint.clone()), LaneMap::direct(plan.connections))),
                Some(why) => why,
            },
        };
        shared.set_state(GeneratorState::Preparing(format!("the target does not answer: {why}")));
        sleep(AGAIN).await;
    }
}

/// The map, from the first worker that tells it.
pub(crate) async fn ownership(workers: &[String]) -> Result<OwnershipDoc, String> {
    let mut why = "the sink has no workers".to_owned();
    for base in workers {
        match get_json(&format!("{}{}", base.trim_end_matches('/'), path::OWNERSHIP), 1 << 20, TIMEOUT).await {
            Ok(document) => return Ok(document),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

/// Connects without sending anything. `None`: somebody is there.
async fn probe(endpoint: &Endpoint) -> anyhow::Result<Option<String>> {
    let mut connection = Connection::new(endpoint).context("the target's endpoint cannot be used")?;
    Ok(connection.connect().await.err().map(|error| error.to_string()))
}

/// The headers of protocol 1.0.
pub(crate) fn protocol_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(header::SNAPPY));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(header::CONTENT_TYPE_V1));
    headers.insert(header::VERSION, HeaderValue::from_static(header::VERSION_V1));
    headers
}
