//! A receiver: its control document, its children, its pod.

use std::time::Duration;

use api::RemoteWriteReceiverStatus;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DynamicObject;
use protocol::ReceiverControl;

use super::children::{apply, still_lives};
use super::load_test::owns;
use super::maps::{self, Lock};
use super::sink::rolling;
use super::{Context, claims, forget, sooner, tell};
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
        Ok(object) => match Box::pin(pass(context, &object, &mut parts, &mut status)).await {
            Ok(again) => again,
            Err(error) => {
                parts.hindrance = Some(error.hindrance().ok_or(error)?);
                Some(SOON)
            }
        },
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
    let (_, mounts) = receiver_control(&object.spec, None);
    let image = context.image.as_str();
    let input = ReceiverInput { owner: &owner, spec: &object.spec, mounts: &mounts, image, live: None, held: false };
    let template = match api::check_receiver(&object.spec).first() {
        Some(problem) => Err(format!("{}: {}", problem.field, problem.message)),
        None => wanted(&input).map_err(|invalid| invalid.to_string()),
    };
    let template = match template {
        Ok(template) => template,
        Err(invalid) => {
            parts.invalid = Some(invalid);
            forget::unmade::<ReceiverControl>(context, &owner, &names::receiver_control(&object.name)).await?;
            return Ok(None);
        }
    };
    let made = maps::Made { plan: None, template: &template };
    let run = document(context, object, &owner, made).await?;
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
    parts.hindrance = applied.hindrance;
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

/// Makes the control document, or brings it up to the spec; whether a run holds it.
async fn document(context: &Context, object: &Receiver, owner: &Owner, made: maps::Made<'_>) -> Result<bool, Error> {
    let (cluster, name) = (&context.cluster, names::receiver_control(&object.name));
    let what = || format!("ConfigMap {name}");
    let Some(mut held) = maps::own::<ReceiverControl>(cluster, owner, &name).await? else {
        still_lives(cluster, owner).await?;
        let run = claims::running(context, owner).await?;
        let (document, _) = receiver_control(&object.spec, None);
        let first = maps::first(owner, Component::Receiver, name.clone(), document, made, run);
        cluster.create(&first.map).await.what(what)?;
        return Ok(ReceiverControl::run(&first).is_some());
    };
    let forgotten = forget::forget(context, &object.namespace, &mut held).await?;
    let run = ReceiverControl::run(&held);
    let (wanted, _) = receiver_control(&object.spec, run.as_ref().map(|run| run.conductor.clone()));
    // A run is judged by what the receiver was when it began.
    let other = run.is_none() && !(wanted == held.document && made.stands(&held));
    if forgotten || other {
        held.document = wanted;
        maps::replace(cluster, &held, other.then_some(made)).await.what(what)?;
    }
    Ok(run.is_some())
}
