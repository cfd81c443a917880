//! A receiver: its control document, its children, its pod.

use std::time::Duration;

use api::RemoteWriteReceiverStatus;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DynamicObject;
use protocol::ReceiverControl;

use super::children::{apply, lives};
use super::load_test::owns;
use super::maps::{self, Lock};
use super::sink::rolling;
use super::{Context, claims, sooner, tell};
use crate::build::meta::{Component, Owner, selector_text};
use crate::build::names;
use crate::build::plans::receiver_control;
use crate::build::receiver::{ReceiverInput, receiver, waits, wanted};
use crate::error::{Error, What};
use crate::kinds::{Kind, Receiver, parse, resource};
use crate::observe;
use crate::observe::pods::ready;
use crate::status::parts::{HELD, Parts, tell as conditions};

const SOON: Duration = Duration::from_secs(2);

pub(super) async fn reconcile(live: &DynamicObject, context: &Context) -> Result<Option<Duration>, Error> {
    let before = live.data.get("status").and_then(|status| serde_json::from_value(status.clone()).ok());
    let mut status: RemoteWriteReceiverStatus = before.unwrap_or_default();
    let generation = live.metadata.generation.unwrap_or_default();
    let mut parts = Parts::default();
    let again = match parse(live) {
        Ok(object) => pass(context, &object, &mut parts, &mut status).await?,
        Err(invalid) => {
            parts.invalid = Some(invalid.to_string());
            None
        }
    };
    status.observed_generation = Some(generation);
    let old = status.conditions.clone();
    conditions(&mut status.conditions, &parts, generation, Timestamp::now());
    let kind = resource(Kind::Receiver);
    let wrote = context.throttle.write(&context.cluster, &kind, live, &status).await.what(|| "status".to_owned())?;
    tell::changes(context, &kind, live, &old, &status.conditions, wrote).await;
    Ok(sooner(again, wrote))
}

async fn pass(
    context: &Context,
    object: &Receiver,
    parts: &mut Parts,
    status: &mut RemoteWriteReceiverStatus,
) -> Result<Option<Duration>, Error> {
    let (cluster, namespace) = (&context.cluster, object.namespace.as_str());
    let owner = Owner::of(Kind::Receiver, object);
    parts.wanted = 1;
    if let Some(problem) = api::check_receiver(&object.spec).first() {
        parts.invalid = Some(format!("{}: {}", problem.field, problem.message));
        return Ok(None);
    }
    let (_, mounts) = receiver_control(&object.spec, None);
    let image = context.image.as_str();
    let input = ReceiverInput { owner: &owner, spec: &object.spec, mounts: &mounts, image, live: None, held: false };
    let template = match wanted(&input) {
        Ok(template) => template,
        Err(invalid) => {
            parts.invalid = Some(invalid.to_string());
            return Ok(None);
        }
    };
    let made = maps::Made { plan: None, template: &template };
    let run = match document(context, object, &owner, made).await {
        Ok(Some(run)) => run,
        Ok(None) => {
            let words = "an earlier receiver of this name is being deleted".to_owned();
            parts.hindrance = Some(("Collecting".to_owned(), words));
            return Ok(Some(SOON));
        }
        Err(error) => {
            let words = error.refused().map(str::to_owned).ok_or(error)?;
            parts.hindrance = Some(("Refused".to_owned(), words));
            return Ok(Some(SOON));
        }
    };
    let name = names::receiver(&object.name);
    let set: Option<StatefulSet> = cluster.get(namespace, &name).await.what(|| format!("StatefulSet {name}"))?;
    let set = set.filter(|set| owns(&owner, &set.metadata));
    let input = ReceiverInput { live: set.as_ref(), held: run, ..input };
    let (children, waiting) = match (receiver(&input), waits(&input)) {
        (Ok(children), Ok(waiting)) => (children, waiting),
        (Err(invalid), _) | (_, Err(invalid)) => {
            parts.invalid = Some(invalid.to_string());
            return Ok(None);
        }
    };
    let applied = apply(cluster, &owner, children).await?;
    let uid = applied.uid("StatefulSet", &name).unwrap_or_default().to_owned();
    parts.hindrance =
        applied.hindrance.map(|hindrance| (hindrance.reason().to_owned(), hindrance.message().to_owned()));
    let labels = selector_text(&owner, Some(Component::Receiver));
    let pods: Vec<Pod> = cluster.list(namespace, &labels).await.what(|| "pods".to_owned())?;
    parts.ready = u32::from(pods.iter().any(ready));
    parts.change = if waiting {
        Some((HELD, "the pod is replaced once the running test has ended".to_owned()))
    } else {
        rolling(set.as_ref())
    };
    let owners = [observe::Owner { part: "receiver", uid: &uid, complete: !pods.is_empty() || uid.is_empty() }];
    let troubles = observe::troubles(cluster, namespace, &pods, &owners, Timestamp::now()).await;
    parts.troubles = troubles.what(|| "troubles".to_owned())?;
    status.replicas = u32::try_from(pods.len()).unwrap_or(u32::MAX);
    status.ready_replicas = parts.ready;
    Ok((parts.ready == 0 || !parts.troubles.is_empty()).then_some(SOON))
}

/// Makes the control document, or brings it up to the spec; whether a run holds it. None: an earlier receiver's is still there, or
/// this one goes.
async fn document(
    context: &Context,
    object: &Receiver,
    owner: &Owner,
    made: maps::Made<'_>,
) -> Result<Option<bool>, Error> {
    let (cluster, name) = (&context.cluster, names::receiver_control(&object.name));
    let what = || format!("ConfigMap {name}");
    let held = maps::read::<ReceiverControl>(cluster, &object.namespace, &name).await.what(what)?;
    let Some(mut held) = held else {
        if !lives(cluster, owner).await? {
            return Ok(None);
        }
        let (document, _) = receiver_control(&object.spec, None);
        cluster.create(&maps::first(owner, Component::Receiver, name.clone(), &document, made)).await.what(what)?;
        return Ok(Some(false));
    };
    if !owns(owner, &held.map.metadata) {
        return Ok(None);
    }
    let forgotten = claims::forget(context, &object.namespace, &mut held).await?;
    let run = ReceiverControl::run(&held);
    let (wanted, _) = receiver_control(&object.spec, run.as_ref().map(|run| run.conductor.clone()));
    // A run is judged by what the receiver was when it began.
    let other = run.is_none() && !(wanted == held.document && made.stands(&held));
    if forgotten || other {
        held.document = wanted;
        maps::replace(cluster, &held, other.then_some(made)).await.what(what)?;
    }
    Ok(Some(run.is_some()))
}
