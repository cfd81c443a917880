//! The steps of a chaos timeline that take the cluster's API: Terminate, Restart and Scale, each once.
//!
//! What is begun is written down first, as an annotation of the conductor's pod with the identity of the pod that is meant: after a
//! crash the same pod is deleted again, which does nothing, and never its successor. A sink is scaled only if nobody edited it since.

use std::collections::{BTreeMap, BTreeSet};

use api::{ChaosAction, ChaosStep};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DynamicObject;
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

/// A step that is due for longer is missed: nobody expects it any more, and the report says so. As supervisors have it.
const LATEST_MS: u64 = 60_000;

/// A step that was begun. Unix milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Begun {
    at: u64,
    /// Identity of the pod that is ended; empty for Scale.
    pod: String,
    /// Edits of the sink before this one; for Scale.
    generation: i64,
    back_at: Option<u64>,
}

type Log = BTreeMap<u32, Begun>;

/// Whether its time has come and has not passed.
fn in_time(event: &ChaosEvent, t0_ms: u64, now_ms: u64) -> bool {
    let at = t0_ms.saturating_add(event.at_ms);
    (at..=at.saturating_add(LATEST_MS)).contains(&now_ms)
}

/// Whether a step is to be begun now.
fn due(event: &ChaosEvent, t0_ms: u64, log: &Log, now_ms: u64) -> bool {
    let by_supervisor = matches!(event.step.action, ChaosAction::Kill | ChaosAction::Pause);
    !by_supervisor && !log.contains_key(&event.index) && in_time(event, t0_ms, now_ms)
}

/// The steps that were begun and are not known to be over. The newest Scale that was begun replaces those before it.
fn open<'a>(steps: &'a [ChaosStep], log: &Log) -> Vec<(u32, &'a ChaosStep)> {
    let begun = || log.keys().filter_map(|&index| Some((index, steps.get(index as usize)?)));
    let scales = begun().filter(|(_, step)| step.action == ChaosAction::Scale);
    let newest = scales.max_by_key(|(index, step)| (step.at.0, *index)).map(|(index, _)| index);
    let replaced = |index, step: &ChaosStep| step.action == ChaosAction::Scale && Some(index) != newest;
    let over = |index| log.get(&index).is_some_and(|step| step.back_at.is_some());
    begun().filter(|&(index, step)| !over(index) && !replaced(index, step)).collect()
}

/// Begins what is due and follows what was begun, also once the timeline is withdrawn; all that was carried out so far. What goes
/// wrong with one step keeps none of the others from being carried out: `wrong` has the first of it.
pub(crate) async fn carry_out(
    context: &Context,
    test: &Test,
    sink: &str,
    conductor: &Pod,
    timeline: &ChaosTimeline,
    now_ms: u64,
    wrong: &mut Option<Error>,
) -> Vec<ExecutedChaos> {
    let annotation = conductor.metadata.annotations.as_ref().and_then(|all| all.get(BEGUN));
    let mut log: Log = annotation.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let Some(t0_ms) = timeline.t0.map(|t0| t0 / 1_000_000) else { return Vec::new() };
    let mut wider = log.clone();
    for event in timeline.events.iter().filter(|event| due(event, t0_ms, &log, now_ms)) {
        if let Some(step) = right(begin(context, test, sink, event, now_ms).await, wrong).flatten() {
            wider.insert(event.index, step);
        }
    }
    // What is not written down is not begun.
    if wider != log && right(write(context, test, conductor, &wider).await, wrong).is_some() {
        log = wider;
    }
    let (begun, mut refused) = (log.clone(), BTreeSet::new());
    for (index, asked) in open(&test.spec.chaos, &begun) {
        let Some(step) = log.get_mut(&index) else { continue };
        // The timeline is withdrawn when the schedule is over, and one that was refused for long is missed: then it is only looked.
        let live = timeline.events.iter().any(|event| event.index == index && in_time(event, t0_ms, now_ms));
        let back = match (asked.sink_worker, asked.replicas) {
            (Some(ordinal), _) => replace(context, test, sink, ordinal, &step.pod, live).await,
            (None, Some(replicas)) => scale(context, test, sink, replicas, step.generation, live).await,
            (None, None) => Ok(Some(true)),
        };
        match right(back, wrong).flatten() {
            Some(back) => step.back_at = back.then_some(now_ms),
            None => {
                refused.insert(index);
            }
        }
    }
    if log != begun {
        right(write(context, test, conductor, &log).await, wrong);
    }
    let told = |(index, step): (u32, Begun)| ExecutedChaos { index, executed_at: step.at, back_at: step.back_at };
    log.into_iter().filter(|(index, _)| !refused.contains(index)).map(told).collect()
}

/// What is right; what is wrong is kept if it is the first.
pub(super) fn right<T>(done: Result<T, Error>, wrong: &mut Option<Error>) -> Option<T> {
    match done {
        Ok(done) => Some(done),
        Err(error) => {
            wrong.get_or_insert(error);
            None
        }
    }
}

/// What is meant by a step that is due. None: already gone; it is begun once there is one again.
async fn begin(
    context: &Context,
    test: &Test,
    sink: &str,
    event: &ChaosEvent,
    now_ms: u64,
) -> Result<Option<Begun>, Error> {
    let step = Begun { at: now_ms, ..Begun::default() };
    Ok(match event.step.sink_worker {
        Some(ordinal) => worker(context, test, sink, ordinal)
            .await?
            .map(|pod| Begun { pod: pod.metadata.uid.unwrap_or_default(), ..step }),
        None => sink_object(context, test, sink)
            .await?
            .map(|sink| Begun { generation: sink.metadata.generation.unwrap_or_default(), ..step }),
    })
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

/// Deletes the pod that was meant; true once its successor is ready. None: it never was, and is not any more.
async fn replace(
    context: &Context,
    test: &Test,
    sink: &str,
    ordinal: u32,
    uid: &str,
    live: bool,
) -> Result<Option<bool>, Error> {
    let Some(pod) = worker(context, test, sink, ordinal).await? else { return Ok(Some(false)) };
    if pod.metadata.uid.as_deref() != Some(uid) {
        return Ok(Some(ready(&pod)));
    }
    if pod.metadata.deletion_timestamp.is_none() {
        if !live {
            return Ok(None);
        }
        let name = names::worker_pod(sink, ordinal);
        match context.cluster.delete::<Pod>(&test.namespace, &name, Some(uid)).await {
            // Another pod has that name by now: what was meant is done.
            Ok(()) | Err(Fail::Conflict(_)) => {}
            Err(fail) => return Err(fail).what(|| format!("pod {name}")),
        }
    }
    Ok(Some(false))
}

/// Scales the sink unless it was edited since the step began; true once its map has that many owners. None as for a pod.
async fn scale(
    context: &Context,
    test: &Test,
    sink: &str,
    replicas: u32,
    generation: i64,
    live: bool,
) -> Result<Option<bool>, Error> {
    let Some(object) = sink_object(context, test, sink).await? else { return Ok(Some(false)) };
    if to_write(&object, replicas, generation) {
        if !live {
            return Ok(None);
        }
        let kind = resource(Kind::Sink);
        context.cluster.scale(&kind, &test.namespace, sink, replicas).await.what(|| scale_of(sink))?;
    }
    let held = maps::read::<ControlDocument>(&context.cluster, &test.namespace, &names::sink_control(sink)).await;
    let document = held.what(|| scale_of(sink))?.map(|held| held.document);
    Ok(Some(document.is_some_and(|document| document.phase == Phase::Stable && document.to == replicas)))
}

/// An edit that came after the step's beginning is this step's own, or somebody's who wants it otherwise: it stands.
fn to_write(sink: &DynamicObject, replicas: u32, generation: i64) -> bool {
    let wanted = sink.data.pointer("/spec/replicas").and_then(serde_json::Value::as_u64);
    sink.metadata.generation == Some(generation) && wanted != Some(u64::from(replicas))
}

async fn sink_object(context: &Context, test: &Test, sink: &str) -> Result<Option<DynamicObject>, Error> {
    context.cluster.get_object(&resource(Kind::Sink), &test.namespace, sink).await.what(|| scale_of(sink))
}

fn scale_of(sink: &str) -> String {
    format!("scale of RemoteWriteSink {sink}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn step(at: &str, rest: Value) -> ChaosStep {
        let mut step = rest;
        step["at"] = json!(at);
        serde_json::from_value(step).unwrap()
    }

    fn begun(at: u64) -> Begun {
        Begun { at, ..Begun::default() }
    }

    #[test]
    fn a_step_is_begun_once_in_its_time() {
        let event = |action: &str| ChaosEvent {
            index: 3,
            at_ms: 500,
            step: step("500ms", json!({"action": action, "sinkWorker": 1})),
        };
        let (log, restart) = (Log::new(), event("Restart"));
        assert!(!due(&restart, 1000, &log, 1499));
        assert!(due(&restart, 1000, &log, 1500));
        assert!(due(&restart, 1000, &log, 61_500), "late, but expected");
        assert!(!due(&restart, 1000, &log, 61_501), "missed");
        assert!(
            in_time(&restart, 1000, 61_500) && !in_time(&restart, 1000, 61_501),
            "begun, refused, and now missed, too"
        );
        assert!(!due(&event("Kill"), 1000, &log, 1500), "the supervisor's");
        assert!(!due(&restart, 1000, &Log::from([(3, begun(1500))]), 1600));
    }

    #[test]
    fn what_was_begun_is_followed_until_it_is_over_and_of_scales_the_newest() {
        let scale = |at, replicas: u32| step(at, json!({"action": "Scale", "replicas": replicas}));
        let restart = step("1s", json!({"action": "Restart", "sinkWorker": 0}));
        let steps = [scale("8s", 2), scale("5s", 5), restart, scale("20s", 3)];
        let open = |log: &Log| open(&steps, log).into_iter().map(|(index, _)| index).collect::<Vec<_>>();
        assert_eq!(open(&Log::from([(1, begun(5000)), (2, begun(1000))])), [1, 2]);
        assert_eq!(open(&Log::from([(0, begun(8000)), (1, begun(5000))])), [0], "the one before is replaced");
        let over = Begun { back_at: Some(9000), ..begun(8000) };
        assert_eq!(open(&Log::from([(0, over), (1, begun(5000))])), [0; 0], "and stays so");
        assert_eq!(open(&Log::new()), [0; 0]);
    }

    #[test]
    fn the_sink_is_written_once_a_step_whoever_edits_it_later() {
        let sink = |generation: i64, replicas: u32| -> DynamicObject {
            serde_json::from_value(json!({"metadata": {"generation": generation}, "spec": {"replicas": replicas}}))
                .unwrap()
        };
        assert!(to_write(&sink(4, 2), 5, 4));
        assert!(!to_write(&sink(4, 5), 5, 4), "nothing to change");
        assert!(!to_write(&sink(5, 5), 5, 4), "done");
        assert!(!to_write(&sink(6, 3), 5, 4), "somebody scaled it meanwhile");
    }
}
