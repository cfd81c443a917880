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
    let mut known = Known::default();
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
            state.run.send_if_modified(|run| {
                std::mem::replace(run, if *run == Run::None { Run::Awaited } else { run.clone() }) == Run::None
            });
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

/// What was learnt so far.
#[derive(Default)]
struct Known {
    /// A run whose store is ready but for its t0: run, seed, store.
    prepared: Option<(String, u64, Store)>,
    /// The run and t0 that the tables know.
    begun: Option<(String, u64)>,
}

/// Asks for the phase and the plan. The store is made as soon as there is a plan, since generators start at once when there is a t0.
async fn learn(state: &State, conductor: &str, known: &mut Known) -> anyhow::Result<()> {
    let base = conductor.trim_end_matches('/');
    let phase: PhaseDoc =
        floodmark_http::client::get_json(&format!("{base}{}", path::PHASE), MAX_PHASE, TIMEOUT).await?;
    if known.begun.as_ref().is_some_and(|(run, t0_ns)| *run == phase.run && phase.t0.is_none_or(|t0| t0 == *t0_ns)) {
        return Ok(());
    }
    if known.begun.take().is_some() {
        // Another run: samples of it that come before its t0 is known have to wait for it, as in the first run.
        state.run.send_replace(Run::Awaited);
    }
    if known.prepared.as_ref().is_none_or(|(run, ..)| *run != phase.run) {
        let url = format!("{base}{}?generator=0", path::PLAN);
        let plan: RunPlan = floodmark_http::client::get_json(&url, MAX_PLAN, TIMEOUT).await?;
        let room = state.policy().max_series;
        known.prepared = Some(tokio::task::spawn_blocking(move || prepare(&plan, room)).await??);
    }
    let Some(t0_ns) = phase.t0 else { return Ok(()) };
    if let Some((run, seed, mut store)) = known.prepared.take() {
        store.begin(t0_ns);
        tracing::info!(run, t0_ns, "the run is known");
        state.tables().begin(store);
        known.begun = Some((run, t0_ns));
        state.run.send_replace(Run::Known { t0_ns, seed });
    }
    Ok(())
}

fn prepare(plan: &RunPlan, room: u64) -> anyhow::Result<(String, u64, Store)> {
    let workload = Arc::new(Workload::new(&plan.workload, &plan.stages, plan.seed, &plan.run)?);
    let faults = Arc::new(FaultPlan::new(&plan.faults, plan.seed, &workload)?);
    let series = u64::from(workload.series());
    let mut store = Store::new(workload, faults, 0);
    // A limit counts series as they come.
    if series <= room {
        store.expect_all();
    }
    Ok((plan.run.clone(), plan.seed, store))
}
