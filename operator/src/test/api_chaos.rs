//! The steps of a chaos timeline that take the cluster's API: Terminate, Restart and Scale, each once.
//!
//! What is begun is written down first, as an annotation of the conductor's pod with the identity of the pod that is meant: after a
//! crash the same pod is deleted again, which does nothing, and never its successor.

use std::collections::BTreeMap;

use api::ChaosAction;
use k8s_openapi::api::core::v1::Pod;
use ownership::{ControlDocument, Phase};
use protocol::{ChaosEvent, ChaosTimeline, ExecutedChaos};
use serde::{Deserialize, Serialize};

use crate::build::names;
use crate::cluster::Fail;
use crate::error::{Error, What};
use crate::kinds::{Kind, Test, resource};
use crate::observe::pods::ready;
use crate::reconcile::{Context, maps};

const BEGUN: &str = "floodmark.dev/chaos";

/// A step that was begun. Unix milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Begun {
    at: u64,
    /// Identity of the pod that is ended; empty for Scale.
    pod: String,
    back_at: Option<u64>,
}

type Log = BTreeMap<u32, Begun>;

/// What is to be done about a step now.
#[derive(Debug, PartialEq, Eq)]
enum Todo {
    Nothing,
    Begin,
    /// It was begun, and is not known to be over.
    Follow,
}

fn todo(event: &ChaosEvent, t0_ms: u64, log: &Log, now_ms: u64) -> Todo {
    if matches!(event.step.action, ChaosAction::Kill | ChaosAction::Pause) {
        return Todo::Nothing;
    }
    match log.get(&event.index) {
        Some(begun) if begun.back_at.is_some() => Todo::Nothing,
        Some(_) => Todo::Follow,
        None if now_ms >= t0_ms.saturating_add(event.at_ms) => Todo::Begin,
        None => Todo::Nothing,
    }
}

/// Carries out what is due; all that was carried out so far.
pub(crate) async fn carry_out(
    context: &Context,
    test: &Test,
    sink: &str,
    conductor: &Pod,
    timeline: &ChaosTimeline,
    now_ms: u64,
) -> Result<Vec<ExecutedChaos>, Error> {
    let annotation = conductor.metadata.annotations.as_ref().and_then(|all| all.get(BEGUN));
    let mut log: Log = annotation.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let Some(t0_ms) = timeline.t0.map(|t0| t0 / 1_000_000) else { return Ok(Vec::new()) };
    let before = log.clone();
    let mut due = Vec::new();
    for event in &timeline.events {
        match todo(event, t0_ms, &log, now_ms) {
            Todo::Nothing => continue,
            Todo::Follow => {}
            Todo::Begin => {
                let pod = match event.step.sink_worker {
                    None => String::new(),
                    // Already gone: it is begun once there is one again.
                    Some(ordinal) => match worker(context, test, sink, ordinal).await? {
                        Some(pod) => pod.metadata.uid.unwrap_or_default(),
                        None => continue,
                    },
                };
                log.insert(event.index, Begun { at: now_ms, pod, back_at: None });
            }
        }
        due.push(event);
    }
    if log != before {
        write(context, test, conductor, &log).await?;
    }
    let begun = log.clone();
    for event in due {
        let Some(step) = log.get_mut(&event.index) else { continue };
        let back = match (event.step.sink_worker, event.step.replicas) {
            (Some(ordinal), _) => replace(context, test, sink, ordinal, &step.pod).await?,
            (None, Some(replicas)) => scale(context, test, sink, replicas).await?,
            (None, None) => true,
        };
        step.back_at = back.then_some(now_ms);
    }
    if log != begun {
        write(context, test, conductor, &log).await?;
    }
    let told = |(&index, step): (&u32, &Begun)| ExecutedChaos { index, executed_at: step.at, back_at: step.back_at };
    Ok(log.iter().map(told).collect())
}

async fn write(context: &Context, test: &Test, conductor: &Pod, log: &Log) -> Result<(), Error> {
    let json = serde_json::to_string(log).unwrap_or_default();
    let name = conductor.metadata.name.as_deref().unwrap_or_default();
    let annotations = [(BEGUN, json.as_str())];
    context.cluster.annotate::<Pod>(&test.namespace, name, &annotations).await.what(|| "chaos log".to_owned())
}

async fn worker(context: &Context, test: &Test, sink: &str, ordinal: u32) -> Result<Option<Pod>, Error> {
    let name = names::worker_pod(sink, ordinal);
    context.cluster.get(&test.namespace, &name).await.what(|| format!("pod {name}"))
}

/// Deletes the pod that was meant; true once its successor is ready.
async fn replace(context: &Context, test: &Test, sink: &str, ordinal: u32, uid: &str) -> Result<bool, Error> {
    let Some(pod) = worker(context, test, sink, ordinal).await? else { return Ok(false) };
    if pod.metadata.uid.as_deref() != Some(uid) {
        return Ok(ready(&pod));
    }
    if pod.metadata.deletion_timestamp.is_none() {
        let name = names::worker_pod(sink, ordinal);
        match context.cluster.delete::<Pod>(&test.namespace, &name, Some(uid)).await {
            // Another pod has that name by now: what was meant is done.
            Ok(()) | Err(Fail::Conflict(_)) => {}
            Err(fail) => return Err(fail).what(|| format!("pod {name}")),
        }
    }
    Ok(false)
}

/// Scales the sink; true once its map has that many owners.
async fn scale(context: &Context, test: &Test, sink: &str, replicas: u32) -> Result<bool, Error> {
    let what = || format!("scale of RemoteWriteSink {sink}");
    let held = maps::read::<ControlDocument>(&context.cluster, &test.namespace, &names::sink_control(sink)).await;
    let document = held.what(what)?.map(|held| held.document);
    if document.is_some_and(|document| document.phase == Phase::Stable && document.to == replicas) {
        return Ok(true);
    }
    let kind = resource(Kind::Sink);
    let live = context.cluster.get_object(&kind, &test.namespace, sink).await.what(what)?;
    let wanted = live.and_then(|live| live.data.pointer("/spec/replicas")?.as_u64());
    if wanted != Some(u64::from(replicas)) {
        context.cluster.scale(&kind, &test.namespace, sink, replicas).await.what(what)?;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str) -> ChaosEvent {
        serde_json::from_value(serde_json::json!({
            "index": 3, "atMs": 500, "step": {"at": "500ms", "action": action, "sinkWorker": 1},
        }))
        .unwrap()
    }

    #[test]
    fn a_step_is_begun_once_and_followed_until_it_is_over() {
        let (log, restart) = (Log::new(), event("Restart"));
        assert_eq!(todo(&restart, 1000, &log, 1499), Todo::Nothing);
        assert_eq!(todo(&restart, 1000, &log, 1500), Todo::Begin);
        assert_eq!(todo(&event("Kill"), 1000, &log, 1500), Todo::Nothing);
        let begun = Begun { at: 1500, pod: "u".to_owned(), back_at: None };
        assert_eq!(todo(&restart, 1000, &Log::from([(3, begun.clone())]), 1600), Todo::Follow);
        let over = Begun { back_at: Some(1900), ..begun };
        assert_eq!(todo(&restart, 1000, &Log::from([(3, over)]), 2000), Todo::Nothing);
    }
}
