//! The conductor in a process of its own: reads its plan, runs it, writes the results, and goes on answering until it is stopped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use protocol::{Progress, RunPhase};
use telemetry::Stop;

use crate::cluster_engine::ClusterEngine;
use crate::engine::SharedEngine;
use crate::run::{Conductor, Outcome};
use protocol::RolePlan;

/// How a conductor is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// JSON of [`RolePlan`]; read once.
    pub plan: PathBuf,
    /// JSON of [`protocol::EngineReport`], watched; absent or empty while the engine has nothing to say.
    pub engine: Option<PathBuf>,
    /// Folder for the results.
    pub results: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
}

/// Runs the plan, then serves its results until `stop`. A stop before the end makes the run's report a partial one. An error is
/// a plan that cannot be used, an address that cannot be listened on, or results that could not be written.
pub fn run_role(options: Options, stop: Stop) -> telemetry::Running<anyhow::Result<Outcome>> {
    Box::pin(conduct(options, stop))
}

async fn conduct(options: Options, stop: Stop) -> anyhow::Result<Outcome> {
    let role = read(&options.plan).await?;
    let server_stop = Stop::new();
    let conductor = Conductor::start(options.listen, server_stop.clone())?;
    let plan = &role.plan;
    let chaos = plan.test.chaos.clone();
    let engine = ClusterEngine::new(Arc::clone(&conductor.published), chaos, plan.drain_timeout, &role.supervisors);
    let run_stop = Stop::new();
    let looking = engine.look(options.engine, run_stop.clone());
    let forward = tokio::spawn({
        let (stopped, run_stop) = (stop.wait(), run_stop.clone());
        async move {
            stopped.await;
            run_stop.request();
        }
    });
    tracing::info!(test = role.plan.name, run = role.plan.run, address = %conductor.address(), "conducting");
    let engine: SharedEngine = engine;
    let outcome = Box::pin(conductor.run(role.plan, engine, run_stop, &phases(), &options.results)).await;
    forward.abort();
    drop(looking);
    tracing::info!(verdict = outcome.summary.verdict.as_str(), reasons = ?outcome.summary.reasons, "the run is over");
    if let Some(why) = &outcome.unwritten {
        tracing::error!("{why}");
    }
    stop.wait().await;
    server_stop.request();
    Ok(outcome)
}

async fn read(path: &Path) -> anyhow::Result<RolePlan> {
    let name = || format!("plan {}", path.display());
    let text = tokio::fs::read(path).await.with_context(name)?;
    serde_json::from_slice(&text).with_context(name)
}

/// Logs phases, and what they wait for, once each.
fn phases() -> impl Fn(Progress) + Send + Sync {
    let last: Mutex<Option<(RunPhase, Option<String>)>> = Mutex::default();
    move |progress: Progress| {
        let now = (progress.phase, progress.waiting_for);
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() != Some(&now) {
            tracing::info!(phase = ?now.0, waiting_for = now.1, "progress");
            *last = Some(now);
        }
    }
}
