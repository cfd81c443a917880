//! What is there of a test that was begun: its Jobs, its pods, and what the conductor says.

use std::time::Duration;

use floodmark_http::client::FetchError;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use ownership::ControlDocument;
use protocol::EngineReport;

use super::load_test::{job_failed, owns};
use super::{Context, maps};
use crate::build::meta::{Component, Owner, selector_text};
use crate::build::names;
use crate::build::plans::Targets;
use crate::cluster::{Cluster, Fail};
use crate::error::{Error, What};
use crate::hindrance::Hindrance;
use crate::kinds::{Kind, Test};
use crate::observe::pods::{address, index, part, phase, trouble};
use crate::observe::{self, Trouble};
use crate::test::conductor::{base, progress};
use crate::test::phase::Conductor;

/// What there is of a run.
#[derive(Debug, Clone)]
pub(crate) struct RunState {
    pub(crate) conductor: Conductor,
    /// Base address of the conductor's pod.
    pub(crate) base: Option<String>,
    /// The conductor's pod, and what its annotation tells it.
    pub(crate) pod: Option<(Pod, EngineReport)>,
    pub(crate) troubles: Vec<Trouble>,
    pub(crate) lost_generators: Vec<String>,
    /// Why troubles may be there that are not seen: the run goes on without them.
    pub(crate) unseen: Option<Hindrance>,
}

impl Default for RunState {
    fn default() -> Self {
        Self {
            conductor: Conductor::Absent,
            base: None,
            pod: None,
            troubles: Vec::new(),
            lost_generators: Vec::new(),
            unseen: None,
        }
    }
}

pub(super) async fn observe(
    context: &Context,
    test: &Test,
    owner: &Owner,
    targets: &Targets,
    now: Timestamp,
) -> Result<RunState, Error> {
    let (cluster, namespace) = (&context.cluster, test.namespace.as_str());
    let job = async |name: String| -> Result<Option<Job>, Error> {
        let job: Option<Job> = cluster.get(namespace, &name).await.what(|| format!("Job {name}"))?;
        Ok(job.filter(|job| owns(owner, &job.metadata)))
    };
    let conductor_job = job(names::conductor(&test.name)).await?;
    let generator_job = job(names::generator(&test.name)).await?;
    let job_uid = |job: &Option<Job>| job.as_ref().and_then(|job| job.metadata.uid.clone()).unwrap_or_default();
    let (conductor_uid, generator_uid) = (job_uid(&conductor_job), job_uid(&generator_job));
    // Those of an earlier object of its name left out.
    let ours = |pod: &Pod| {
        let owners = pod.metadata.owner_references.iter().flatten();
        owners.into_iter().any(|owner| owner.uid == conductor_uid || owner.uid == generator_uid)
    };
    let pods: Vec<Pod> = cluster.list(namespace, &selector_text(owner, None)).await.what(|| "pods".to_owned())?;
    let pods: Vec<Pod> = pods.into_iter().filter(ours).collect();
    let of = |component: Component| pods.iter().filter(move |pod| is_component(pod, component));
    let mut state = RunState::default();
    conductor(context, &mut state, of(Component::Conductor).next_back(), conductor_job.as_ref(), now).await;
    state.lost_generators = lost(of(Component::Generator), generator_job.as_ref(), now);
    if test.status.as_ref().is_some_and(|status| status.start_time.is_some()) {
        // Made again, they would begin the run a second time.
        if conductor_job.is_none() {
            state.conductor = Conductor::Lost("conductor: its Job is gone".to_owned());
        }
        if generator_job.is_none() {
            state.lost_generators.push("generators: their Job is gone".to_owned());
        }
    }
    let mut watched = pods.clone();
    let Tested { working, joining, sets } = tested(context, owner, targets).await?;
    watched.extend(working);
    let made = |component: Component, wanted: usize| of(component).count() >= wanted;
    let owners = [
        observe::Owner {
            part: Component::Conductor.as_str(),
            uid: &conductor_uid,
            complete: conductor_uid.is_empty() || made(Component::Conductor, 1),
        },
        observe::Owner {
            part: Component::Generator.as_str(),
            uid: &generator_uid,
            complete: generator_uid.is_empty() || made(Component::Generator, test.spec.generator.parallelism as usize),
        },
    ];
    let troubles = observe::troubles(cluster, namespace, &watched, &owners, now).await;
    state.troubles = seen(troubles, &mut state.unseen)?;
    // Without workers that own nothing yet, and of a set that cannot make all of its pods, the others go on: it is told, and nothing
    // ends for it alone.
    let joining_troubles = observe::troubles(cluster, namespace, &joining, &[], now).await;
    let mut told = seen(joining_troubles, &mut state.unseen)?;
    watched.extend(joining);
    let sets: Vec<_> =
        sets.iter().map(|(part, uid, complete)| observe::Owner { part, uid, complete: *complete }).collect();
    let scarce = observe::of_owners(cluster, namespace, &watched, &sets, now).await;
    told.extend(seen(scarce, &mut state.unseen)?);
    state.troubles.extend(told.into_iter().map(|trouble| Trouble { terminal: false, ..trouble }));
    Ok(state)
}

/// The troubles; none where somebody has to do something before they can be looked for.
fn seen(troubles: Result<Vec<Trouble>, Fail>, unseen: &mut Option<Hindrance>) -> Result<Vec<Trouble>, Error> {
    troubles.what(|| "troubles".to_owned()).or_else(|error| {
        *unseen = Some(error.hindrance().ok_or(error)?);
        Ok(Vec::new())
    })
}

/// A set: the part that it makes, its identity, and whether all its pods exist.
type Set = (&'static str, String, bool);

/// What is tested.
#[derive(Default)]
struct Tested {
    /// What keeps these from working keeps the test from beginning.
    working: Vec<Pod>,
    /// Workers that own nothing by the map that holds: a scale-out that does not come about.
    joining: Vec<Pod>,
    sets: Vec<Set>,
}

async fn tested(context: &Context, owner: &Owner, targets: &Targets) -> Result<Tested, Error> {
    let (cluster, namespace) = (&context.cluster, owner.namespace.as_str());
    let mut tested = Tested::default();
    let map = match &targets.sink {
        Some(sink) => map(cluster, namespace, sink).await?,
        None => None,
    };
    let sink = targets.sink.as_ref().map(|name| (Kind::Sink, name, Component::SinkWorker, names::sink(name)));
    let receiver =
        targets.receiver.as_ref().map(|name| (Kind::Receiver, name, Component::Receiver, names::receiver(name)));
    for (kind, name, component, set) in sink.into_iter().chain(receiver) {
        let target = Owner { kind, name: name.clone(), ..owner.clone() };
        let labels = selector_text(&target, Some(component));
        let found: Vec<Pod> = cluster.list(namespace, &labels).await.what(|| format!("pods of {name}"))?;
        let set: Option<StatefulSet> = cluster.get(namespace, &set).await.what(|| format!("StatefulSet {set}"))?;
        let wanted = set.as_ref().and_then(|set| set.spec.as_ref()?.replicas).unwrap_or(1);
        let complete = i32::try_from(found.len()).is_ok_and(|count| count >= wanted);
        tested.sets.extend(set.and_then(|set| set.metadata.uid).map(|uid| (component.as_str(), uid, complete)));
        let (joining, working) = found.into_iter().partition::<Vec<_>, _>(|pod| joins(pod, map.as_ref()));
        tested.joining.extend(joining);
        tested.working.extend(working);
    }
    Ok(tested)
}

/// The sink's; none if nobody can tell who owns what.
async fn map(cluster: &Cluster, namespace: &str, sink: &str) -> Result<Option<ControlDocument>, Error> {
    let name = names::sink_control(sink);
    match maps::read::<ControlDocument>(cluster, namespace, &name).await {
        Ok(held) => Ok(held.map(|held| held.document)),
        Err(Fail::Invalid(_)) => Ok(None),
        Err(fail) => Err(fail).what(|| format!("ConfigMap {name}")),
    }
}

/// Whether it is a worker that owns nothing by this map.
fn joins(pod: &Pod, map: Option<&ControlDocument>) -> bool {
    is_component(pod, Component::SinkWorker)
        && map.is_some_and(|map| index(pod).is_some_and(|ordinal| ordinal >= map.from))
}

fn is_component(pod: &Pod, component: Component) -> bool {
    let labels = pod.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get("app.kubernetes.io/component")).map(String::as_str) == Some(component.as_str())
}

async fn conductor(context: &Context, state: &mut RunState, pod: Option<&Pod>, job: Option<&Job>, now: Timestamp) {
    let words = |pod: &Pod| trouble(pod, now).map_or_else(|| format!("the pod is {}", phase(pod)), |t| t.words);
    let Some(pod) = pod else {
        if let Some(failed) = job.and_then(job_failed) {
            state.conductor = Conductor::Lost(format!("conductor: its pod is gone: {failed}"));
        }
        return;
    };
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let annotation = pod.metadata.annotations.as_ref().and_then(|all| all.get(names::ENGINE_ANNOTATION));
    let told = annotation.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    state.pod = Some((pod.clone(), told));
    match phase(pod) {
        "Failed" | "Succeeded" => state.conductor = Conductor::Lost(format!("conductor: {}", words(pod))),
        "Running" => {
            let Some(ip) = address(pod) else { return };
            let at = base(ip, names::PORT);
            state.conductor = match progress(&at).await {
                Ok(progress) => {
                    context.silence.broken(&uid);
                    Conductor::Says(Box::new(progress))
                }
                // It has nothing to tell yet, or not to an operator of another version.
                Err(error @ (FetchError::Status { .. } | FetchError::Json { .. })) => {
                    context.silence.broken(&uid);
                    Conductor::Silent(Duration::ZERO, error.to_string())
                }
                Err(error) => Conductor::Silent(context.silence.another(&uid), error.to_string()),
            };
            state.base = Some(at);
        }
        _ => {}
    }
}

/// Generators that ended otherwise than they should, in words. One that ended well had its report taken.
fn lost<'a>(pods: impl Iterator<Item = &'a Pod>, job: Option<&Job>, now: Timestamp) -> Vec<String> {
    let mut lost = Vec::new();
    let mut told = Vec::new();
    for pod in pods.filter(|pod| phase(pod) == "Failed") {
        let words = trouble(pod, now).map_or_else(|| "the pod failed".to_owned(), |trouble| trouble.words);
        lost.push(format!("{}: {words}", part(pod)));
        told.extend(index(pod));
    }
    let failed = job.and_then(|job| job.status.as_ref()?.failed_indexes.clone()).unwrap_or_default();
    for index in indexes(&failed).filter(|index| !told.contains(index)) {
        lost.push(format!("generator {index}: its pod is gone"));
    }
    lost
}

/// `1,3-5` as a Job writes it.
fn indexes(text: &str) -> impl Iterator<Item = u32> + '_ {
    text.split(',').filter(|part| !part.is_empty()).flat_map(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let from: u32 = from.trim().parse().unwrap_or(u32::MAX);
        let to: u32 = to.trim().parse().unwrap_or(0);
        from..=to.min(from.saturating_add(10_000))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_may_not_be_looked_for_is_told_and_what_failed_is_looked_for_again() {
        let mut unseen = None;
        let words = "events is forbidden".to_owned();
        assert_eq!(seen(Err(Fail::Forbidden(words)), &mut unseen).unwrap(), Vec::new());
        assert_eq!(unseen.take().unwrap().message(), "troubles: events is forbidden");
        assert!(seen(Err(Fail::Unreachable("refused".to_owned())), &mut unseen).is_err());
        assert_eq!(unseen, None);
    }

    #[test]
    fn workers_of_no_map_yet_only_join() {
        let pod = |component: &str, index: &str| -> Pod {
            let labels = json!({"app.kubernetes.io/component": component, "apps.kubernetes.io/pod-index": index});
            serde_json::from_value(json!({"metadata": {"labels": labels}})).unwrap()
        };
        let map = |from: u32, to: u32| -> ControlDocument {
            let phase = if from == to { "Stable" } else { "Draining" };
            let addresses = vec!["a:1"; from.max(to) as usize];
            let map = json!({"sinkUid": "u", "epoch": 1, "phase": phase, "from": from, "to": to, "lanes": 1, "addresses": addresses});
            serde_json::from_value(map).unwrap()
        };
        for (component, index, map, expected) in [
            ("sink-worker", "2", Some(map(3, 3)), false),
            ("sink-worker", "3", Some(map(3, 3)), true),
            ("sink-worker", "4", Some(map(3, 5)), true),
            ("sink-worker", "4", Some(map(5, 3)), false),
            ("sink-worker", "4", Some(map(5, 5)), false),
            ("sink-worker", "4", None, false),
            ("receiver", "0", Some(map(3, 3)), false),
        ] {
            assert_eq!(joins(&pod(component, index), map.as_ref()), expected, "{component} {index} {map:?}");
        }
    }

    #[test]
    fn failed_indexes_are_read_as_jobs_write_them() {
        assert_eq!(indexes("1,3-5,7").collect::<Vec<_>>(), [1, 3, 4, 5, 7]);
        assert_eq!(indexes("").count(), 0);
        assert_eq!(indexes("x").count(), 0);
    }
}
