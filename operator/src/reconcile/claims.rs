//! One running test a target. Who is named in the control document holds it; the document's revision decides between two.

use std::time::Duration;

use api::{Condition, ConditionStatus};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::ConfigMap;
use ownership::{ControlDocument, Phase, RunRef};
use protocol::ReceiverControl;

use super::children::lives;
use super::load_test::owns;
use super::maps::{self, Held, Lock, Made};
use super::references::{Resolved, named};
use super::{Context, after};
use crate::build::meta::{Component, Owner, managed, meta, selector_text};
use crate::build::plans::{Targets, receiver_control, sink_plan};
use crate::build::receiver::ReceiverInput;
use crate::build::sink::{SinkInput, template_of};
use crate::build::{self, names};
use crate::cluster::Fail;
use crate::control::fixed;
use crate::error::{Error, What};
use crate::kinds::{Kind, Receiver, Sink, Test, parse, resource};
use crate::status::conditions::{find, holds};

/// As long as parts may take to come up.
const CHANGE_PATIENCE: Duration = Duration::from_secs(300);

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    Held,
    /// Who has it, in words.
    Busy(String),
    /// What is not there yet, in words.
    NotYet(String),
}

/// A target's document as it was read, if it is free or ours already; otherwise why not.
type Look<D> = Result<Held<D>, Claim>;

/// Takes all targets of a test: the sink, then the receiver behind it; or the endpoint. One that cannot have all keeps none.
pub(super) async fn claim(context: &Context, test: &Test, owner: &Owner, resolved: &Resolved) -> Result<Claim, Error> {
    let sink = match &resolved.sink {
        Some(sink) => Some(look_at_sink(context, test, sink, resolved).await?),
        None => None,
    };
    let receiver = match &resolved.receiver {
        Some(receiver) => Some(look_at_receiver(context, test, receiver).await?),
        None => None,
    };
    let (sink, receiver) = match (sink.transpose(), receiver.transpose()) {
        (Ok(sink), Ok(receiver)) => (sink, receiver),
        (Err(why), _) | (_, Err(why)) => {
            release(context, test).await?;
            return Ok(why);
        }
    };
    let url = test.spec.target.endpoint.as_ref().and_then(|endpoint| endpoint.url.as_deref());
    // Up to its first phase a test may be given another target than what it has taken.
    give_back_but(context, test, &maps_of(resolved, url)).await?;
    let sink = sink.filter(|held| ControlDocument::run(held).is_none());
    let receiver = receiver.filter(|held| ReceiverControl::run(held).is_none());
    if sink.is_none() && receiver.is_none() && url.is_none() {
        return Ok(Claim::Held);
    }
    if let Some(older) = older(context, test).await? {
        release(context, test).await?;
        return Ok(Claim::Busy(format!("LoadTest {older} waits for the same target and is older")));
    }
    let run = run_of(test);
    let mut taken = Claim::Held;
    if let Some(held) = sink {
        taken = take(context, held, &run).await?;
    }
    if let (Claim::Held, Some(held)) = (&taken, receiver) {
        taken = take(context, held, &run).await?;
    }
    if let (Claim::Held, Some(url)) = (&taken, url) {
        taken = endpoint(context, owner, url).await?;
    }
    Ok(taken)
}

/// The names of the maps that stand for the targets.
fn maps_of(resolved: &Resolved, url: Option<&str>) -> Vec<String> {
    let sink = resolved.sink.as_ref().map(|sink| names::sink_control(&sink.name));
    let receiver = resolved.receiver.as_ref().map(|receiver| names::receiver_control(&receiver.name));
    [sink, receiver, url.map(names::target)].into_iter().flatten().collect()
}

async fn look_at_sink(
    context: &Context,
    test: &Test,
    sink: &Sink,
    resolved: &Resolved,
) -> Result<Look<ControlDocument>, Error> {
    let (owner, conditions) = (Owner::of(Kind::Sink, sink), sink.status.as_ref().map(|status| &status.conditions[..]));
    let held = look::<ControlDocument>(context, test, &owner, &names::sink_control(&sink.name), conditions).await?;
    let held = match held {
        Ok(held) => held,
        Err(why) => return Ok(Err(why)),
    };
    let called = format!("RemoteWriteSink {}", sink.name);
    let (document, spec) = (&held.document, &sink.spec);
    if let Some(fixed) = fixed(document, spec) {
        return Ok(Err(Claim::NotYet(format!("{called}: {fixed}"))));
    }
    // The plan counts the workers, so a change of their number is waited for; not for ever, it may never come about.
    let waited = test.created.and_then(|created| Duration::try_from(Timestamp::now().duration_since(created)).ok());
    let late = waited.is_some_and(|waited| waited >= CHANGE_PATIENCE);
    let stable = document.phase == Phase::Stable && document.to == spec.replicas;
    if document.run.is_none() && !stable && !late {
        let words = format!("{called} goes from {} to {} workers", document.from, spec.replicas);
        return Ok(Err(Claim::NotYet(words)));
    }
    let plan = sink_plan(named(sink), resolved.receiver());
    let (image, replicas) = (context.image.as_str(), document.from);
    let input = SinkInput { owner: &owner, spec, plan: &plan, replicas, image, live: None, held: false };
    let template = match build::sink::wanted(&input) {
        Ok(template) => template,
        Err(invalid) => return Ok(Err(Claim::NotYet(format!("{called}: {invalid}")))),
    };
    let made = Made { plan: Some(&plan.json), template: &template };
    let rolled = rolled_out(context, &owner, &names::sink(&sink.name), &template).await?;
    Ok(if made.stands(&held) && rolled { Ok(held) } else { Err(rolling_out(&called, conditions)) })
}

async fn look_at_receiver(context: &Context, test: &Test, receiver: &Receiver) -> Result<Look<ReceiverControl>, Error> {
    let (owner, image, spec) = (Owner::of(Kind::Receiver, receiver), context.image.as_str(), &receiver.spec);
    let conditions = receiver.status.as_ref().map(|status| &status.conditions[..]);
    let name = names::receiver_control(&receiver.name);
    let held = match look::<ReceiverControl>(context, test, &owner, &name, conditions).await? {
        Ok(held) => held,
        Err(why) => return Ok(Err(why)),
    };
    let called = format!("RemoteWriteReceiver {}", receiver.name);
    let (wanted, mounts) = receiver_control(&receiver.spec, held.document.conductor.clone());
    let input = ReceiverInput { owner: &owner, spec, mounts: &mounts, image, live: None, held: false };
    let template = match build::receiver::wanted(&input) {
        Ok(template) => template,
        Err(invalid) => return Ok(Err(Claim::NotYet(format!("{called}: {invalid}")))),
    };
    let stands = wanted == held.document && Made { plan: None, template: &template }.stands(&held);
    let rolled = rolled_out(context, &owner, &names::receiver(&receiver.name), &template).await?;
    Ok(if stands && rolled { Ok(held) } else { Err(rolling_out(&called, conditions)) })
}

/// What a run is judged by has to be what runs.
fn rolling_out(called: &str, conditions: Option<&[Condition]>) -> Claim {
    let why = why(conditions);
    Claim::NotYet(format!("{called} is rolling out: its pods are not yet all of its present spec{why}"))
}

/// What keeps the target from it, in its own words.
fn why(conditions: Option<&[Condition]>) -> String {
    let degraded = conditions.and_then(|all| find(all, "Degraded"));
    let told = degraded.filter(|told| told.status == ConditionStatus::True);
    told.map(|told| format!(" ({})", told.message)).unwrap_or_default()
}

async fn look<D: Lock>(
    context: &Context,
    test: &Test,
    target: &Owner,
    name: &str,
    conditions: Option<&[Condition]>,
) -> Result<Look<D>, Error> {
    let held = match maps::own::<D>(&context.cluster, target, name).await {
        Ok(Some(held)) => held,
        Ok(None) => return Ok(Err(Claim::NotYet(format!("{name} is not there yet{}", why(conditions))))),
        Err(Error::Hindered(hindrance)) => return Ok(Err(Claim::NotYet(hindrance.message().to_owned()))),
        Err(error) => return Err(error),
    };
    Ok(match D::run(&held) {
        Some(holder) if holder.uid != test.uid => {
            Err(Claim::Busy(format!("LoadTest {} runs against it", holder.load_test)))
        }
        _ => Ok(held),
    })
}

/// Whether all pods of the set are of that template.
async fn rolled_out(context: &Context, owner: &Owner, name: &str, template: &str) -> Result<bool, Error> {
    let set: Option<StatefulSet> =
        context.cluster.get(&owner.namespace, name).await.what(|| format!("StatefulSet {name}"))?;
    let set = set.filter(|set| owns(owner, &set.metadata));
    Ok(set.is_some_and(|set| template_of(&set).as_deref() == Some(template) && settled(&set)))
}

/// By the word of the set's own controller about the present spec. Pods that are not there yet, for want of a quota say, will be of it.
fn settled(set: &StatefulSet) -> bool {
    let Some(status) = &set.status else { return false };
    status.observed_generation.is_some_and(|seen| Some(seen) >= set.metadata.generation)
        && status.current_revision == status.update_revision
        && status.updated_replicas.unwrap_or(0) == status.replicas
}

/// Over the very revision that was looked at.
async fn take<D: Lock>(context: &Context, mut held: Held<D>, run: &RunRef) -> Result<Claim, Error> {
    let name = held.map.metadata.name.clone().unwrap_or_default();
    D::set_run(&mut held, Some(run.clone()));
    match maps::replace(&context.cluster, &held, None).await {
        Ok(_) => Ok(Claim::Held),
        Err(Fail::Conflict(_)) => Ok(Claim::NotYet(format!("{name} was written in between"))),
        Err(fail) => Err(fail).what(|| format!("ConfigMap {name}")),
    }
}

/// Somebody else's endpoint is taken by making a map that is named after it.
async fn endpoint(context: &Context, owner: &Owner, url: &str) -> Result<Claim, Error> {
    let name = names::target(url);
    let what = || format!("ConfigMap {name}");
    let live: Option<ConfigMap> = context.cluster.get(&owner.namespace, &name).await.what(what)?;
    if let Some(live) = live {
        let holder = live.metadata.owner_references.iter().flatten().next().map(|owner| owner.name.clone());
        let busy = || Claim::Busy(format!("LoadTest {} runs against it", holder.unwrap_or_default()));
        return Ok(if owns(owner, &live.metadata) { Claim::Held } else { busy() });
    }
    if !lives(&context.cluster, owner).await? {
        return Ok(Claim::NotYet(format!("LoadTest {} is being deleted", owner.name)));
    }
    let map = ConfigMap { metadata: meta(owner, name.clone(), None), ..ConfigMap::default() };
    match context.cluster.create(&map).await {
        Ok(_) => Ok(Claim::Held),
        Err(Fail::Forbidden(words)) => Ok(Claim::NotYet(format!("ConfigMap {name}: {words}"))),
        Err(Fail::Exists(_)) => Ok(Claim::NotYet(format!("{name} was made in between"))),
        Err(fail) => Err(fail).what(what),
    }
}

/// Another test that waits for the same target and was there before this one.
async fn older(context: &Context, test: &Test) -> Result<Option<String>, Error> {
    let others = context.cluster.list_objects(&resource(Kind::LoadTest), &test.namespace).await;
    let others = others.what(|| "tests".to_owned())?;
    let others = others.iter().filter_map(|other| parse(other).ok());
    let older = others.filter(|other: &Test| waits(other) && other.spec.target == test.spec.target);
    let older =
        older.map(|other| (other.created, other.name)).filter(|other| *other < (test.created, test.name.clone()));
    Ok(older.min().map(|(_, name)| name))
}

/// Whether nothing but its target, or the operator's first look, keeps a test from beginning.
fn waits(test: &Test) -> bool {
    let told = test.status.as_ref().and_then(|status| Some((status.phase.as_deref()?, &status.conditions)));
    let waits = told.is_none_or(|(phase, conditions)| {
        let busy = find(conditions, "TargetBusy").is_some_and(|told| told.status != ConditionStatus::False);
        phase == crate::test::phase::Phase::Pending.as_str() && busy
    });
    waits && !test.spec.suspend && !test.spec.abort && !test.deleting
}

fn run_of(test: &Test) -> RunRef {
    RunRef {
        id: names::run_id(&test.uid),
        uid: test.uid.clone(),
        load_test: test.name.clone(),
        conductor: names::conductor_url(&test.name),
    }
}

/// The run that goes on against a target although its control document, which named it, was removed.
pub(super) async fn running(context: &Context, target: &Owner) -> Result<Option<RunRef>, Error> {
    let (cluster, namespace) = (&context.cluster, &target.namespace);
    let tests = cluster.list_objects(&resource(Kind::LoadTest), namespace).await.what(|| "tests".to_owned())?;
    let going = |test: &Test| {
        let ended = test.status.as_ref().is_some_and(|status| holds(&status.conditions, "Finished"));
        !test.deleting && !ended
    };
    for test in tests.iter().filter_map(|test| parse(test).ok()).filter(going) {
        let plan: Option<ConfigMap> =
            cluster.get(namespace, &names::plan(&test.name)).await.what(|| "plan".to_owned())?;
        let plan = plan.filter(|plan| owns(&Owner::of(Kind::LoadTest, &test), &plan.metadata));
        let targets = plan.as_ref().map(Targets::of_plan).unwrap_or_default();
        let tested = if target.kind == Kind::Sink { targets.sink } else { targets.receiver };
        if tested.as_ref() == Some(&target.name) {
            return Ok(Some(run_of(&test)));
        }
    }
    Ok(None)
}

/// Gives back whatever the test holds, whichever documents name it by now.
pub(super) async fn release(context: &Context, test: &Test) -> Result<(), Error> {
    give_back_but(context, test, &[]).await
}

/// Those maps are kept.
async fn give_back_but(context: &Context, test: &Test, kept: &[String]) -> Result<(), Error> {
    give_back::<ReceiverControl>(context, test, Component::Receiver, kept).await?;
    give_back::<ControlDocument>(context, test, Component::SinkWorker, kept).await?;
    give_back_endpoint(context, &Owner::of(Kind::LoadTest, test), kept).await
}

/// The map that stands for it, whatever its address was when it was taken.
pub(super) async fn give_back_endpoint(context: &Context, owner: &Owner, kept: &[String]) -> Result<(), Error> {
    let labels = selector_text(owner, None);
    let maps: Vec<ConfigMap> = context.cluster.list(&owner.namespace, &labels).await.what(|| "maps".to_owned())?;
    let names = maps.into_iter().filter_map(|map| map.metadata.name);
    for name in names.filter(|name| names::is_target(name) && !kept.contains(name)) {
        after::remove::<ConfigMap>(context, owner, &name).await?;
    }
    Ok(())
}

async fn give_back<D: Lock>(
    context: &Context,
    test: &Test,
    component: Component,
    kept: &[String],
) -> Result<(), Error> {
    let mut maps: Vec<ConfigMap> =
        context.cluster.list(&test.namespace, &managed(component)).await.what(|| "control documents".to_owned())?;
    maps.retain(|map| !map.metadata.name.as_ref().is_some_and(|name| kept.contains(name)));
    // One that is not understood is made anew, by nobody held.
    for mut held in maps.into_iter().filter_map(|map| maps::held::<D>(map).ok()) {
        if D::run(&held).is_some_and(|run| run.uid == test.uid) {
            D::set_run(&mut held, None);
            maps::replace(&context.cluster, &held, None).await.what(|| "control document".to_owned())?;
        }
    }
    Ok(())
}

/// As many workers as own something now: what the plan is made for.
pub(super) async fn workers(context: &Context, test: &Test, resolved: &Resolved) -> Result<u32, Error> {
    let Some(sink) = &resolved.sink else { return Ok(0) };
    let name = names::sink_control(&sink.name);
    let held = maps::read::<ControlDocument>(&context.cluster, &test.namespace, &name).await;
    Ok(held.what(|| format!("ConfigMap {name}"))?.map_or(sink.spec.replicas, |held| held.document.from))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_set_is_settled_when_its_controller_says_so_of_the_present_spec() {
        let set = |edit: serde_json::Value| -> StatefulSet {
            let mut status = json!({"observedGeneration": 4, "replicas": 3, "updatedReplicas": 3, "currentRevision": "b",
                                    "updateRevision": "b"});
            status.as_object_mut().unwrap().extend(edit.as_object().unwrap().clone());
            serde_json::from_value(json!({"metadata": {"generation": 4}, "status": status})).unwrap()
        };
        assert!(settled(&set(json!({}))));
        assert!(
            settled(&set(json!({"replicas": 0, "updatedReplicas": 0}))),
            "a quota keeps all of them from being made"
        );
        for (edit, why) in [
            (json!({"observedGeneration": 3}), "its controller has not seen the spec"),
            (json!({"currentRevision": "a"}), "pods of the old revision may be there"),
            (json!({"updatedReplicas": 2}), "one is of the old revision"),
            (json!({"observedGeneration": null}), "it was never looked at"),
        ] {
            assert!(!settled(&set(edit)), "{why}");
        }
        assert!(!settled(&StatefulSet::default()));
    }

    #[test]
    fn only_those_that_wait_for_the_target_come_first() {
        let test = |spec: serde_json::Value, told: Option<(&str, Option<&str>)>| -> Test {
            let mut object = json!({
                "apiVersion": "floodmark.dev/v1alpha1", "kind": "LoadTest", "metadata": {"name": "t"},
                "spec": {"target": {"sinkRef": {"name": "s"}}, "stages": [{"for": "1s"}],
                         "workload": [{"name": "a", "targets": 1, "seriesPerTarget": 1}]},
            });
            object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
            if let Some((phase, busy)) = told {
                let busy = busy.map(|status| {
                    json!({"type": "TargetBusy", "status": status, "reason": "NotReady", "message": "",
                           "lastTransitionTime": "2026-01-01T00:00:00Z"})
                });
                object["status"] = json!({"phase": phase, "conditions": Vec::from_iter(busy)});
            }
            parse(&serde_json::from_value(object).unwrap()).unwrap()
        };
        for (phase, busy, expected) in [
            ("Pending", Some("True"), true),
            ("Pending", Some("Unknown"), true),
            ("Pending", Some("False"), false),
            ("Pending", None, false),
            ("Preparing", Some("False"), false),
            ("Finished", Some("Unknown"), false),
        ] {
            assert_eq!(waits(&test(json!({}), Some((phase, busy)))), expected, "{phase} {busy:?}");
        }
        assert!(waits(&test(json!({}), None)), "never looked at");
        assert!(!waits(&test(json!({"suspend": true}), Some(("Pending", Some("True"))))));
        assert!(!waits(&test(json!({"abort": true}), None)));
    }
}
