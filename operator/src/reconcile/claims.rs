//! One running test a target. Who is named in the control document holds it; the document's revision decides between two.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use ownership::{ControlDocument, Phase, RunRef};
use protocol::ReceiverControl;

use super::Context;
use super::load_test::owns;
use super::maps::{self, Lock};
use super::references::Resolved;
use crate::build::meta::{Owner, meta};
use crate::build::names;
use crate::build::plans::Targets;
use crate::cluster::Fail;
use crate::error::{Error, What};
use crate::kinds::{Kind, Sink, Test, parse, resource};
use crate::status::conditions::holds;

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

/// Takes all targets of a test: the sink, then the receiver behind it; or the endpoint.
pub(super) async fn claim(context: &Context, test: &Test, owner: &Owner, resolved: &Resolved) -> Result<Claim, Error> {
    if let Some(older) = older(context, test).await? {
        return Ok(Claim::Busy(format!("LoadTest {older} waits for the same target and is older")));
    }
    if let Some(sink) = &resolved.sink
        && let Some(change) = changing(context, test, sink).await?
    {
        return Ok(Claim::NotYet(change));
    }
    let run = RunRef {
        id: names::run_id(&test.uid),
        uid: test.uid.clone(),
        load_test: test.name.clone(),
        conductor: names::conductor_url(&test.name),
    };
    if let Some(sink) = &resolved.sink {
        match take::<ControlDocument>(context, &test.namespace, &names::sink_control(&sink.name), &run, &sink.uid)
            .await?
        {
            Claim::Held => {}
            other => return Ok(other),
        }
    }
    if let Some(receiver) = &resolved.receiver {
        let name = names::receiver_control(&receiver.name);
        match take::<ReceiverControl>(context, &test.namespace, &name, &run, &receiver.uid).await? {
            Claim::Held => {}
            other => return Ok(other),
        }
    }
    if let Some(url) = test.spec.target.endpoint.as_ref().and_then(|endpoint| endpoint.url.as_deref()) {
        return endpoint(context, owner, url).await;
    }
    Ok(Claim::Held)
}

/// The plan counts the workers, so a change of their number is waited for; not for ever, it may never come about.
async fn changing(context: &Context, test: &Test, sink: &Sink) -> Result<Option<String>, Error> {
    let name = names::sink_control(&sink.name);
    let held = maps::read::<ControlDocument>(&context.cluster, &test.namespace, &name).await;
    let Some(held) = held.what(|| format!("ConfigMap {name}"))? else { return Ok(None) };
    let (document, wanted) = (&held.document, sink.spec.replicas);
    let ours = document.run.as_ref().is_some_and(|run| run.uid == test.uid);
    let waited = test.created.and_then(|created| Duration::try_from(Timestamp::now().duration_since(created)).ok());
    let late = waited.is_some_and(|waited| waited >= CHANGE_PATIENCE);
    if ours || late || (document.phase == Phase::Stable && document.to == wanted) {
        return Ok(None);
    }
    Ok(Some(format!("RemoteWriteSink {} goes from {} to {wanted} workers", sink.name, document.from)))
}

async fn take<D: Lock>(
    context: &Context,
    namespace: &str,
    name: &str,
    run: &RunRef,
    target_uid: &str,
) -> Result<Claim, Error> {
    let what = || format!("ConfigMap {name}");
    let held = maps::read::<D>(&context.cluster, namespace, name).await.what(what)?;
    let ours = |map: &ConfigMap| map.metadata.owner_references.iter().flatten().any(|owner| owner.uid == target_uid);
    let Some(mut held) = held.filter(|held| ours(&held.map)) else {
        return Ok(Claim::NotYet(format!("{name} is not there yet")));
    };
    match D::run(&held) {
        Some(holder) if holder.uid == run.uid => return Ok(Claim::Held),
        Some(holder) => return Ok(Claim::Busy(format!("LoadTest {} runs against it", holder.load_test))),
        None => {}
    }
    D::set_run(&mut held, Some(run.clone()));
    match maps::replace(&context.cluster, &held, None).await {
        Ok(()) => Ok(Claim::Held),
        Err(Fail::Conflict(_)) => Ok(Claim::NotYet(format!("{name} was written in between"))),
        Err(fail) => Err(fail).what(what),
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
    let map = ConfigMap { metadata: meta(owner, name.clone(), None), ..ConfigMap::default() };
    match context.cluster.create(&map).await {
        Ok(_) => Ok(Claim::Held),
        Err(Fail::Exists(_)) => Ok(Claim::NotYet(format!("{name} was made in between"))),
        Err(fail) => Err(fail).what(what),
    }
}

/// Another test that waits for the same target and was there before this one.
async fn older(context: &Context, test: &Test) -> Result<Option<String>, Error> {
    let others = context.cluster.list_objects(&resource(Kind::LoadTest), &test.namespace).await;
    let mut waiting: Vec<(Option<Timestamp>, String)> = Vec::new();
    for other in others.what(|| "tests".to_owned())? {
        let Ok(other): Result<Test, _> = parse(&other) else { continue };
        let conditions = other.status.as_ref().map_or(&[][..], |status| &status.conditions);
        // One that has never been looked at has not waited; it will see this one.
        let waits = other.status.is_some()
            && !holds(conditions, "Finished")
            && !other.spec.suspend
            && !other.spec.abort
            && !other.deleting
            && other.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending");
        if waits && other.uid != test.uid && other.spec.target == test.spec.target {
            waiting.push((other.created, other.name));
        }
    }
    let own = (test.created, test.name.clone());
    Ok(waiting.into_iter().filter(|other| *other < own).min().map(|(_, name)| name))
}

/// Gives back whatever the test holds.
pub(super) async fn release(context: &Context, test: &Test) -> Result<(), Error> {
    let plan: Option<ConfigMap> =
        context.cluster.get(&test.namespace, &names::plan(&test.name)).await.what(|| "plan".to_owned())?;
    let mut targets = plan.as_ref().map(Targets::of_plan).unwrap_or_default();
    // Claimed, and ended before there was a plan.
    let asked = &test.spec.target;
    targets.sink = targets.sink.or_else(|| asked.sink_ref.as_ref().map(|to| to.name.clone()));
    targets.receiver = targets.receiver.or_else(|| asked.receiver_ref.as_ref().map(|to| to.name.clone()));
    let url = asked.endpoint.as_ref().and_then(|endpoint| endpoint.url.as_deref());
    targets.endpoint = targets.endpoint.or_else(|| url.map(names::target));
    let namespace = &test.namespace;
    if let Some(receiver) = &targets.receiver {
        give_back::<ReceiverControl>(context, namespace, &names::receiver_control(receiver), &test.uid).await?;
    }
    if let Some(sink) = &targets.sink {
        give_back::<ControlDocument>(context, namespace, &names::sink_control(sink), &test.uid).await?;
    }
    if let Some(name) = &targets.endpoint {
        let what = || format!("ConfigMap {name}");
        let map: Option<ConfigMap> = context.cluster.get(namespace, name).await.what(what)?;
        let ours = |map: &ConfigMap| map.metadata.owner_references.iter().flatten().any(|o| o.uid == test.uid);
        if let Some(map) = map.filter(ours) {
            context.cluster.delete::<ConfigMap>(namespace, name, map.metadata.uid.as_deref()).await.what(what)?;
        }
    }
    Ok(())
}

async fn give_back<D: Lock>(context: &Context, namespace: &str, name: &str, uid: &str) -> Result<(), Error> {
    let what = || format!("ConfigMap {name}");
    let held = maps::read::<D>(&context.cluster, namespace, name).await.what(what)?;
    let Some(mut held) = held.filter(|held| D::run(held).is_some_and(|run| run.uid == uid)) else { return Ok(()) };
    D::set_run(&mut held, None);
    maps::replace(&context.cluster, &held, None).await.what(what)
}

/// From the target's own side: a run whose test is gone or has ended holds nothing. True when the document was changed.
pub(super) async fn forget<D: Lock>(
    context: &Context,
    namespace: &str,
    held: &mut maps::Held<D>,
) -> Result<bool, Error> {
    let Some(run) = D::run(held) else { return Ok(false) };
    let what = || format!("LoadTest {}", run.load_test);
    let test = context.cluster.get_object(&resource(Kind::LoadTest), namespace, &run.load_test).await.what(what)?;
    let alive = test.is_some_and(|test| {
        let conditions = test.data.pointer("/status/conditions").cloned().unwrap_or_default();
        let conditions: Vec<api::Condition> = serde_json::from_value(conditions).unwrap_or_default();
        test.metadata.uid.as_deref() == Some(run.uid.as_str())
            && test.metadata.deletion_timestamp.is_none()
            && !holds(&conditions, "Finished")
    });
    if alive {
        return Ok(false);
    }
    D::set_run(held, None);
    Ok(true)
}

/// As many workers as own something now: what the plan is made for.
pub(super) async fn workers(context: &Context, test: &Test, resolved: &Resolved) -> Result<u32, Error> {
    let Some(sink) = &resolved.sink else { return Ok(0) };
    let name = names::sink_control(&sink.name);
    let held = maps::read::<ControlDocument>(&context.cluster, &test.namespace, &name).await;
    Ok(held.what(|| format!("ConfigMap {name}"))?.map_or(sink.spec.replicas, |held| held.document.from))
}
