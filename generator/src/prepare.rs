//! From the conductor's plan to lanes that know their connections.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use api::OverloadPolicy;
use faults::FaultPlan;
use floodmark_http::client::{Connection, Endpoint, get_json};
use floodmark_http::{HeaderMap, HeaderValue};
use protocol::{GeneratorState, OwnershipDoc, RunPlan, Target, path};
use remote_write::header;
use tokio::time::sleep;
use workload::{LanePlan, Workload};

use crate::conduct::Conductor;
use crate::epoch::{Epoch, Route};
use crate::shared::Shared;

/// Between two attempts to find the target.
const AGAIN: Duration = Duration::from_millis(250);
const TIMEOUT: Duration = Duration::from_secs(2);

/// Everything that lanes share and that never changes during the run.
pub(crate) struct Prepared {
    pub(crate) workload: Arc<Workload>,
    pub(crate) faults: Arc<FaultPlan>,
    pub(crate) profile: Option<api::Profile>,
    pub(crate) max_samples: u32,
    /// A request that its lane comes to later than this after its intended time is skipped.
    pub(crate) max_late_ns: u64,
    pub(crate) skip_reason: &'static str,
    pub(crate) max_backlog: Duration,
    /// Addresses of the sink's workers by ordinal, as far as the plan knows them.
    pub(crate) workers: Vec<String>,
}

/// Fetches the plan, computes what can be computed, and waits for the target to be there: for ever, the conductor ends that.
pub(crate) async fn prepare(conductor: &mut Conductor, shared: &Arc<Shared>) -> anyhow::Result<(Prepared, Epoch)> {
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
    let (number, route) = find_target(&plan, shared).await?;
    preparing("computing the lanes");
    let (index, generators) = (shared.index, plan.generators);
    let lanes = {
        let (workload, map) = (Arc::clone(&workload), route.map());
        tokio::task::spawn_blocking(move || LanePlan::new(workload, map, index, generators)).await?
    };
    shared.prepared(&workload, &plan);
    let max_backlog = plan.overload.max_backlog.0;
    let backlog_ns = plan.overload.max_backlog.as_nanos();
    // Skip: what is later than the next sample of the fastest group would be is out of date.
    let interval_ns = plan.workload.iter().map(|g| g.scrape_interval.as_nanos()).min().unwrap_or(0).max(100_000_000);
    let (max_late_ns, skip_reason) = match plan.overload.policy {
        OverloadPolicy::Skip if interval_ns < backlog_ns => (interval_ns, "late"),
        _ => (backlog_ns, "backlog"),
    };
    let prepared = Prepared {
        workload,
        faults,
        profile: plan.profile,
        max_samples: plan.samples_per_request.max(1),
        max_late_ns,
        skip_reason,
        max_backlog,
        workers: match plan.target {
            Target::Sink { workers } => workers,
            Target::Endpoint { .. } => Vec::new(),
        },
    };
    Ok((prepared, Epoch::new(0, number, lanes, route)))
}

async fn find_target(plan: &RunPlan, shared: &Shared) -> anyhow::Result<(u64, Route)> {
    loop {
        let why = match &plan.target {
            Target::Sink { workers } => match ownership(workers).await {
                Ok(document) => return Ok((document.epoch, Route::of(&document, workers)?)),
                Err(why) => why,
            },
            Target::Endpoint { endpoint } => match probe(endpoint).await? {
                None => return Ok((0, Route::Direct { endpoint: endpoint.clone(), connections: plan.connections })),
                Some(why) => why,
            },
        };
        shared.set_state(GeneratorState::Preparing(format!("the target does not answer: {why}")));
        sleep(AGAIN).await;
    }
}

/// The map, from the first worker that tells it.
async fn ownership(workers: &[String]) -> Result<OwnershipDoc, String> {
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
