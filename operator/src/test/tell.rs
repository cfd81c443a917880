//! What a running test is told: the workers' supervisors what to break, the conductor what it cannot see.

use k8s_openapi::api::core::v1::Pod;
use ownership::ControlDocument;
use protocol::{ChaosTimeline, ExecutedChaos, ProgressDoc};

use super::api_chaos::{carry_out, right};
use super::conductor;
use super::engine::{News, report};
use crate::build::names;
use crate::build::plans::{Targets, chaos_entries};
use crate::error::{Error, What};
use crate::kinds::Test;
use crate::reconcile::Context;
use crate::reconcile::maps;
use crate::reconcile::run_state::RunState;

/// Hands kills and pauses to the supervisors, and carries out what takes the cluster's API; all of the latter that was carried out,
/// whatever went wrong with the rest.
pub(crate) async fn chaos(
    context: &Context,
    test: &Test,
    targets: &Targets,
    state: &RunState,
    progress: &ProgressDoc,
    wrong: &mut Option<Error>,
) -> Vec<ExecutedChaos> {
    let (Some(sink), Some(base), Some(_)) = (&targets.sink, &state.base, progress.t0) else { return Vec::new() };
    if test.spec.chaos.is_empty() {
        return Vec::new();
    }
    let timeline = match conductor::chaos(base).await {
        Ok(timeline) => timeline,
        Err(error) => {
            tracing::debug!(%error, "the timeline is fetched again");
            return Vec::new();
        }
    };
    right(supervisors(context, test, sink, &timeline).await, wrong);
    let Some((conductor, _)) = &state.pod else { return Vec::new() };
    let now_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
    carry_out(context, test, sink, conductor, &timeline, now_ms, wrong).await
}

/// Puts all kills and pauses into the sink's control document, in one write, as soon as t0 is known.
async fn supervisors(context: &Context, test: &Test, sink: &str, timeline: &ChaosTimeline) -> Result<(), Error> {
    let entries = chaos_entries(timeline);
    if entries.is_empty() {
        return Ok(());
    }
    let name = names::sink_control(sink);
    let what = || format!("ConfigMap {name}");
    let held = maps::read::<ControlDocument>(&context.cluster, &test.namespace, &name).await.what(what)?;
    let ours = |held: &maps::Held<ControlDocument>| held.document.run.as_ref().is_some_and(|run| run.uid == test.uid);
    let Some(mut held) = held.filter(ours).filter(|held| held.document.chaos.is_empty()) else { return Ok(()) };
    held.document.chaos = entries;
    maps::replace(&context.cluster, &held, None).await.what(what).map(|_| ())
}

/// Tells the conductor, by its pod's annotation, what it has not been told or has not heard.
pub(crate) async fn engine(context: &Context, test: &Test, state: &RunState, news: &News) -> Result<(), Error> {
    let Some((pod, before)) = &state.pod else { return Ok(()) };
    let pod = pod.metadata.name.as_deref().unwrap_or_default();
    let heard = match &state.conductor {
        super::phase::Conductor::Says(progress) => Some(progress.engine_seq),
        _ => None,
    };
    let key = format!("{}/{}", test.uid, before.seq);
    let since = (before.seq > 0).then(|| context.silence.another(&key));
    let Some(report) = report(before, news, heard, since) else { return Ok(()) };
    context.silence.broken(&key);
    let json = serde_json::to_string(&report).unwrap_or_default();
    let annotations = [(names::ENGINE_ANNOTATION, json.as_str())];
    context
        .cluster
        .annotate::<Pod>(&test.namespace, pod, &annotations)
        .await
        .what(|| format!("annotation of pod {pod}"))
}
