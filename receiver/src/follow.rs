//! Follows the control document and the conductor: the policy, the run, its t0.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use faults::FaultPlan;
use ledger::Store;
use protocol::{PhaseDoc, ReceiverControl, RunPlan, path};
use telemetry::Stop;
use workload::Workload;

use crate::control;
use crate::state::{Run, State};

/// While t0 is awaited, and afterwards.
const SOON: Duration = Duration::from_millis(100);
const LATER: Duration = Duration::from_secs(1);
/// A question to the conductor.
const TIMEOUT: Duration = Duration::from_secs(2);
const MAX_PLAN: usize = 8 << 20;
const MAX_PHASE: usize = 1 << 20;

/// Runs until `stop`: one look at the document and the conductor after the other.
pub(crate) async fn follow(state: Arc<State>, document: Option<PathBuf>, mut control: ReceiverControl, stop: Stop) {
    let mut bytes = document.as_ref().and_then(|path| control::read(path).ok()).map(|(_, bytes)| bytes);
    let mut known: Option<(String, u64)> = None;
    let mut warned = false;
    while !stop.is_requested() {
        if let Some(path) = &document {
            match control::read(path) {
                Ok((_, new)) if bytes.as_ref() == Some(&new) => {}
                Ok((new, new_bytes)) => {
                    bytes = Some(new_bytes);
                    match control::policy(&new) {
                        Ok(policy) => {
                            state.set_policy(policy);
                            control = new;
                        }
                        Err(error) => tracing::warn!(%error, "the new control document is not followed"),
                    }
                }
                // A document that is being replaced may be gone for a moment.
                Err(error) => tracing::debug!(%error, "the control document cannot be read"),
            }
        }
        if let Some(conductor) = &control.conductor {
            state.run.send_if_modified(|run| std::mem::replace(run, if *run == Run::None { Run::Awaited } else { run.clone() }) == Run::None);
            match learn(&state, conductor, &mut known).await {
                Ok(()) => warned = false,
                Err(error) if warned => tracing::debug!(%error, "cannot learn the run"),
                Err(error) => {
                    warned = true;
                    tracing::warn!(%error, "cannot learn the run; asking again");
                }
            }
        }
        let pause = if *state.run.borrow() == Run::Awaited { SOON } else { LATER };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = state.ask.notified() => {}
            _ = stop.requested() => return,
        }
    }
}

/// Asks for the phase; with a new t0, for the plan, and begins the run.
async fn learn(state: &State, conductor: &str, known: &mut Option<(String, u64)>) -> anyhow::Result<()> {
    let base = conductor.trim_end_matches('/');
    let phase: PhaseDoc = floodmark_http::client::get_json(&format!("{base}{}", path::PHASE), MAX_PHASE, TIMEOUT).await?;
    let Some(t0_ns) = phase.t0 else { return Ok(()) };
    if known.as_ref().is_some_and(|(run, t0)| *run == phase.run && *t0 == t0_ns) {
        return Ok(());
    }
    let plan: RunPlan = floodmark_http::client::get_json(&format!("{base}{}?generator=0", path::PLAN), MAX_PLAN, TIMEOUT).await?;
    let workload = Arc::new(Workload::new(&plan.workload, &plan.stages, plan.seed, &plan.run)?);
    let faults = Arc::new(FaultPlan::new(&plan.faults, plan.seed, &workload)?);
    tracing::info!(run = plan.run, series = workload.series(), t0_ns, "the run is known");
    state.tables().begin(Store::new(workload, faults, t0_ns));
    *known = Some((plan.run, t0_ns));
    state.run.send_replace(Run::Known { t0_ns, seed: plan.seed });
    Ok(())
}
