//! A sink: its control document, its children, its workers.

use std::collections::BTreeMap;
use std::time::Duration;

use api::{OwnershipStatus, RemoteWriteSinkStatus};
use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use ownership::drive::Told;
use ownership::{ControlDocument, Phase};
use protocol::{OwnershipDoc, WorkerReport};
use serde::de::DeserializeOwned;

use super::children::{apply, still_lives};
use super::load_test::owns;
use super::references::{named, of_sink};
use super::{Context, claims, forget, maps, sooner, tell};
use crate::build::meta::{Component, Owner, selector_text};
use crate::build::names;
use crate::build::plans::{SinkPlan, first_control, sink_plan};
use crate::build::sink::{SinkInput, sink, waits, wanted};
use crate::cluster::Cluster;
use crate::control::{fixed, notes, set_notes};
use crate::error::{Error, What};
use crate::hindrance::Hindrance;
use crate::kinds::{Kind, Sink, parse, resource};
use crate::observe;
use crate::observe::pods::{address, index, ready};
use crate::reshard::{step, view};
use crate::status::parts::{HELD, Parts, tell as conditions};
use crate::test::conductor::base;

/// While workers come up or go.
const SOON: Duration = Duration::from_secs(2);
/// While nothing new is accepted: every moment of it is somebody's latency.
const DRAIN: Duration = Duration::from_millis(100);
const AT_ONCE: Duration = Duration::from_millis(1);
const ACCOUNT: Duration = Duration::from_secs(1);
const MAX_ACCOUNT: usize = 1 << 20;

pub(super) async fn reconcile(live: &DynamicObject, context: &Context) -> Result<Option<Duration>, Error> {
    let before = live.data.get("status").and_then(|status| serde_json::from_value(status.clone()).ok());
    let mut status: RemoteWriteSinkStatus = before.unwrap_or_default();
    let generation = live.metadata.generation.unwrap_or_default();
    let mut parts = Parts::default();
    let mut told = Vec::new();
    let again = match parse(live) {
        Ok(object) => match Box::pin(pass(context, &object, &mut parts, &mut status, &mut told)).await {
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
    let kind = resource(Kind::Sink);
    tell_steps(context, &kind, live, &told).await;
    let wrote = context.throttle.write(&context.cluster, &kind, live, &status).await.what(|| "status".to_owned())?;
    tell::changes(context, &kind, live, &old, &status.conditions, wrote).await;
    Ok(sooner(again, wrote))
}

async fn pass(
    context: &Context,
    object: &Sink,
    parts: &mut Parts,
    status: &mut RemoteWriteSinkStatus,
    told: &mut Vec<Told>,
) -> Result<Option<Duration>, Error> {
    let (cluster, namespace) = (&context.cluster, object.namespace.as_str());
    let owner = Owner::of(Kind::Sink, object);
    let labels = selector_text(&owner, Some(Component::SinkWorker));
    parts.wanted = object.spec.replicas;
    status.selector = Some(labels.clone());
    let mut wish = Wish::of(context, object, &owner, parts).await?;
    let held = match &wish {
        Some(wish) => Some(document(context, object, &owner, wish.made()).await?),
        None => forget::unmade(context, &owner, &names::sink_control(&object.name)).await?,
    };
    let Some(mut held) = held else { return Ok(None) };
    status.ownership = Some(ownership(&held.document));
    if let (Some(_), Some(fixed)) = (&wish, fixed(&held.document, &object.spec)) {
        parts.invalid = Some(fixed);
        wish = None;
    }
    // A drain that has begun comes to its end, whatever was edited since: the sink takes nothing until then.
    let draining = held.document.phase == Phase::Draining;
    // Also if what ends it is refused.
    parts.change = change(&held.document);
    if wish.is_none() && !draining {
        return Ok(None);
    }
    let wanted = if wish.is_some() { object.spec.replicas } else { held.document.to };
    let name = names::sink(&object.name);
    let set: Option<StatefulSet> = cluster.get(namespace, &name).await.what(|| format!("StatefulSet {name}"))?;
    let set = set.filter(|set| owns(&owner, &set.metadata));
    let pods: Vec<Pod> = cluster.list(namespace, &labels).await.what(|| "pods".to_owned())?;
    let reports: BTreeMap<u32, WorkerReport> = ask(&pods, protocol::path::ACCOUNT).await;
    let seen = view(object, wanted, &pods, &reports, &held.document);
    let now_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
    let next = step(object, &held.document, &notes(&held.map), &seen, now_ms);
    let mut uid = set.as_ref().and_then(|set| set.metadata.uid.clone()).unwrap_or_default();
    let mut waiting = false;
    if let Some(wish) = &wish {
        let input = SinkInput {
            replicas: next.workers,
            live: set.as_ref(),
            held: held.document.run.is_some(),
            ..input(context, object, &owner, &wish.plan)
        };
        match (sink(&input), waits(&input)) {
            (Ok(children), Ok(waits)) => {
                let applied = apply(cluster, &owner, children).await?;
                uid = applied.uid("StatefulSet", &name).unwrap_or_default().to_owned();
                (parts.hindrance, waiting) = (applied.hindrance, waits);
            }
            (Err(invalid), _) | (_, Err(invalid)) => parts.invalid = Some(invalid.to_string()),
        }
    }
    // The workers of both maps are there since before the drain began; what else begins has to find its own.
    let stands = parts.hindrance.is_none() && parts.invalid.is_none();
    let published = next.publish.is_some() && (stands || draining);
    if let Some((document, notes)) = next.publish.filter(|_| published) {
        set_notes(&mut held.map, &notes);
        held.document = document;
        maps::replace(cluster, &held, None).await.what(|| "control document".to_owned())?;
        status.ownership = Some(ownership(&held.document));
        told.extend(next.told);
    }
    let document = &held.document;
    parts.ready = ready_count(&pods);
    parts.fatal = reports.iter().find_map(|(ordinal, report)| {
        report.fatal.as_ref().map(|text| ("BackendRefused", format!("sink-worker {ordinal}: {text}")))
    });
    let failed = notes(&held.map).failed.filter(|failed| failed.to == object.spec.replicas);
    if let (None, Some(failed)) = (&parts.fatal, failed) {
        let words = format!(
            "{} workers are wanted, but sink-worker {} did not drain within {}; edit the sink to try again",
            failed.to, failed.waiting_for, object.spec.drain_timeout
        );
        parts.fatal = Some(("DrainTimedOut", words));
        parts.wanted = document.to;
    }
    let stable = document.phase == Phase::Stable;
    let awaits = stable && !published && failed.is_none() && wanted < document.from && seen.known < document.from;
    let owner_down = awaits.then(|| {
        let words = format!("from {} to {wanted} workers once sink-worker {} is ready", document.from, seen.known);
        ("WaitingForOwner", words)
    });
    let by_run = waiting.then(|| (HELD, "the workers' pods are replaced once the running test has ended".to_owned()));
    parts.change = change(document).or(owner_down).or(by_run).or_else(|| rolling(set.as_ref()));
    let complete = pods.len() >= next.workers as usize;
    let owners = [observe::Owner { part: "sink", uid: &uid, complete: complete || uid.is_empty() }];
    let now = Timestamp::now();
    let troubles = observe::troubles(cluster, namespace, &pods, &owners, now).await;
    parts.troubles = troubles.what(|| "troubles".to_owned())?;
    parts.troubles.extend(observe::workers::unreachable(&pods, &reports, now));
    status.replicas = u32::try_from(pods.len()).unwrap_or(u32::MAX);
    status.ready_replicas = parts.ready;
    if published {
        return Ok(Some(AT_ONCE));
    }
    let complete = parts.ready >= parts.wanted && document.to == next.workers;
    let settled = complete && parts.troubles.is_empty() && stable && !awaits;
    let look = next.look_again.map(Duration::from_millis);
    Ok(if stable { (!settled).then_some(SOON) } else { Some(look.unwrap_or(DRAIN).min(DRAIN)) })
}

/// What its documents ask for.
struct Wish {
    plan: SinkPlan,
    template: String,
}

impl Wish {
    /// None: `parts` say why nothing can be made of them.
    async fn of(context: &Context, object: &Sink, owner: &Owner, parts: &mut Parts) -> Result<Option<Self>, Error> {
        if let Some(problem) = api::check_sink(&object.spec).first() {
            parts.invalid = Some(format!("{}: {}", problem.field, problem.message));
            return Ok(None);
        }
        let resolved = of_sink(context, &object.namespace, &object.spec).await?;
        if resolved.unresolved.is_some() {
            parts.unresolved = resolved.unresolved;
            return Ok(None);
        }
        let plan = sink_plan(named(object), resolved.receiver());
        match wanted(&input(context, object, owner, &plan)) {
            Ok(template) => Ok(Some(Self { plan, template })),
            Err(invalid) => {
                parts.invalid = Some(invalid.to_string());
                Ok(None)
            }
        }
    }

    fn made(&self) -> maps::Made<'_> {
        maps::Made { plan: Some(&self.plan.json), template: &self.template }
    }
}

/// As of a sink that nobody has made anything of.
fn input<'a>(context: &'a Context, object: &'a Sink, owner: &'a Owner, plan: &'a SinkPlan) -> SinkInput<'a> {
    let (replicas, image) = (object.spec.replicas, context.image.as_str());
    SinkInput { owner, spec: &object.spec, plan, replicas, image, live: None, held: false }
}

fn ownership(document: &ControlDocument) -> OwnershipStatus {
    OwnershipStatus {
        epoch: document.epoch,
        phase: format!("{:?}", document.phase),
        from_replicas: document.from,
        to_replicas: document.to,
    }
}

fn change(document: &ControlDocument) -> Option<(&'static str, String)> {
    let words = || format!("from {} to {} workers", document.from, document.to);
    (document.phase == Phase::Draining).then(|| ("Draining", words()))
}

/// The control document with what the pods are made of beside it; made if there is none.
async fn document(
    context: &Context,
    object: &Sink,
    owner: &Owner,
    made: maps::Made<'_>,
) -> Result<maps::Held<ControlDocument>, Error> {
    let (cluster, name) = (&context.cluster, names::sink_control(&object.name));
    let what = || format!("ConfigMap {name}");
    let Some(mut held) = maps::own::<ControlDocument>(cluster, owner, &name).await? else {
        still_lives(cluster, owner).await?;
        let document = first_document(cluster, object, owner).await?;
        let run = claims::running(context, owner).await?;
        let mut first = maps::first(owner, Component::SinkWorker, name.clone(), document, made, run);
        first.map = cluster.create(&first.map).await.what(what)?;
        return Ok(first);
    };
    let forgotten = forget::forget(context, &object.namespace, &mut held).await?;
    // Workers read their plan once: it changes with their pods, and those do not change under a run.
    let other = held.document.run.is_none() && !made.stands(&held);
    if forgotten || other {
        held.map = maps::replace(cluster, &held, other.then_some(made)).await.what(what)?;
    }
    Ok(held)
}

/// A sink's first; or, where its workers obey one that somebody has removed, the one that comes after: they take no older one.
async fn first_document(cluster: &Cluster, object: &Sink, owner: &Owner) -> Result<ControlDocument, Error> {
    let labels = selector_text(owner, Some(Component::SinkWorker));
    let pods: Vec<Pod> = cluster.list(&object.namespace, &labels).await.what(|| "pods".to_owned())?;
    let first = first_control(&object.uid, named(object));
    let told: BTreeMap<u32, OwnershipDoc> = ask(&pods, protocol::path::OWNERSHIP).await;
    // Only one of them may have heard of the newest.
    if let Some(silent) = pods.iter().filter(|pod| ready(pod)).filter_map(index).find(|pod| !told.contains_key(pod)) {
        let words = format!(
            "the control document is gone, and sink-worker {silent} does not say which one it obeys: it is asked again; \
             if it never answers, delete its pod"
        );
        return Err(Error::Hindered(Hindrance::Unowned(words)));
    }
    if let Some((other, _)) = told.iter().find(|(_, told)| told.sink_uid != first.sink_uid) {
        let set = names::sink(&object.name);
        let words =
            format!("sink-worker {other} obeys an earlier sink's document; if it stays, delete StatefulSet {set}");
        return Err(Error::Hindered(Hindrance::Collecting(words)));
    }
    Ok(match told.into_values().max_by_key(|told| told.epoch) {
        Some(OwnershipDoc { epoch, replicas, lanes, by, .. }) => {
            let addresses = (0..replicas).map(|ordinal| names::worker_address(&object.name, ordinal)).collect();
            let by = by.unwrap_or(first.by);
            ControlDocument { epoch: epoch + 1, from: replicas, to: replicas, by, lanes, addresses, ..first }
        }
        None => first,
    })
}

/// What the workers say of themselves, by ordinal; those that do not answer say nothing.
async fn ask<T: DeserializeOwned>(pods: &[Pod], path: &str) -> BTreeMap<u32, T> {
    let asked = pods.iter().filter_map(|pod| Some((index(pod)?, address(pod)?))).map(|(ordinal, ip)| {
        let url = format!("{}{path}", base(ip, names::PORT));
        async move { Some((ordinal, floodmark_http::client::get_json(&url, MAX_ACCOUNT, ACCOUNT).await.ok()?)) }
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Events of a reshard.
async fn tell_steps(context: &Context, kind: &ApiResource, live: &DynamicObject, steps: &[Told]) {
    for step in steps {
        match *step {
            Told::Draining { from, to } => {
                context.events.normal(kind, live, "Draining", &format!("from {from} to {to} workers")).await;
            }
            Told::Resharded { from, to, pause_ms } => {
                let note = format!("from {from} to {to} workers; nothing was accepted for {pause_ms} ms");
                context.events.normal(kind, live, "Resharded", &note).await;
            }
            Told::CalledOff { replicas, pause_ms } => {
                let note = format!("{replicas} workers go on; nothing was accepted for {pause_ms} ms");
                context.events.normal(kind, live, "ReshardCalledOff", &note).await;
            }
            Told::DrainTimedOut { to, waiting_for, pause_ms } => {
                let note = format!("sink-worker {waiting_for} did not drain within {pause_ms} ms: not {to} workers");
                context.events.warning(kind, live, "DrainTimedOut", &note).await;
            }
        }
    }
}

fn ready_count(pods: &[Pod]) -> u32 {
    let ordinals: std::collections::BTreeSet<u32> = pods.iter().filter(|pod| ready(pod)).filter_map(index).collect();
    u32::try_from(ordinals.len()).unwrap_or(u32::MAX)
}

/// Pods of another template that are still to be replaced.
pub(super) fn rolling(set: Option<&StatefulSet>) -> Option<(&'static str, String)> {
    let (spec, status) = (set?.spec.as_ref()?, set?.status.as_ref()?);
    let (wanted, updated) = (spec.replicas.unwrap_or(1), status.updated_replicas.unwrap_or(0));
    let other = status.update_revision.is_some() && status.update_revision != status.current_revision;
    (other && updated < wanted).then(|| ("RollingOut", format!("{updated} of {wanted} pods are replaced")))
}
