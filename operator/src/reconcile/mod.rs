//! One pass over one object: dereference, validate, build, apply, observe, status. Each starts from what is there; none remembers.

mod after;
mod begin;
mod children;
mod claims;
mod forget;
mod load_test;
pub(crate) mod maps;
mod receiver;
mod references;
pub(crate) mod run_state;
mod sink;
mod tell;

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::controller::Action;
use telemetry::Registry;

use crate::cluster::Cluster;
use crate::error::{Backoff, Error, What};
use crate::events::Events;
use crate::kinds::{Kind, resource};
use crate::status::write::{Throttle, Wrote};
use crate::test::conductor::Silence;

/// A settled object is looked at again after it, for what no watch tells.
const SETTLED: Duration = Duration::from_secs(300);

/// What all reconciles share.
pub(crate) struct Context {
    pub(crate) cluster: Cluster,
    pub(crate) image: String,
    pub(crate) events: Events,
    pub(crate) throttle: Throttle,
    pub(crate) backoff: Backoff,
    pub(crate) silence: Silence,
    pub(crate) registry: Registry,
}

/// One pass over the object of that kind.
pub(crate) async fn reconcile(kind: Kind, seen: &Arc<DynamicObject>, context: &Context) -> Result<Action, Error> {
    let (namespace, name) = (seen.namespace().unwrap_or_default(), seen.name_any());
    let help = "Passes over an object.";
    context.registry.counter("floodmark_operator_reconciles_total", help, &[("kind", kind.as_str())]).inc();
    // What the watch saw may be old; what is decided on is not.
    let live = context.cluster.get_object(&resource(kind), &namespace, &name).await;
    let Some(live) = live.what(|| format!("{} {name}", kind.as_str()))? else { return Ok(Action::await_change()) };
    if live.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let again = match kind {
        Kind::Sink => Box::pin(sink::reconcile(&live, context)).await,
        Kind::Receiver => Box::pin(receiver::reconcile(&live, context)).await,
        Kind::LoadTest => Box::pin(load_test::reconcile(&live, context)).await,
    };
    if let Some(words) = again.as_ref().err().and_then(Error::refused) {
        // Not even its status can be written, so nothing else tells.
        context.events.lasting(&resource(kind), &live, "Refused", words).await;
    }
    Ok(Action::requeue(again?.unwrap_or(SETTLED)))
}

/// The sooner of when something is to be looked at again and when a status may be written.
fn sooner(again: Option<Duration>, wrote: Wrote) -> Option<Duration> {
    match wrote {
        Wrote::Settled => again,
        Wrote::Later(wait) => Some(again.map_or(wait, |again| again.min(wait))),
    }
}
