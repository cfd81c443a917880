//! Children: applied in their order, each only if needed, and never anybody else's.

use kube::api::DynamicObject;
use serde_json::Value;

use crate::apply::{Child, needed};
use crate::build::meta::{Owner, holder};
use crate::cluster::Cluster;
use crate::error::{Error, What};
use crate::hindrance::Hindrance;
use crate::kinds::resource;

/// What became of the children.
#[derive(Debug, Clone, Default)]
pub(crate) struct Applied {
    /// As they are now, in the order given; shorter when something was in the way.
    pub(crate) live: Vec<Value>,
    pub(crate) hindrance: Option<Hindrance>,
}

impl Applied {
    /// The identity of the child of that kind and name.
    pub(crate) fn uid(&self, kind: &str, name: &str) -> Option<&str> {
        let text = |value: &'_ Value, path: &str| value.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let found = self.live.iter().find(|live| {
            text(live, "/kind").as_deref() == Some(kind) && text(live, "/metadata/name").as_deref() == Some(name)
        });
        found?.pointer("/metadata/uid")?.as_str()
    }
}

/// Applies them one after the other and stops at the first that is in the way of the others.
pub(crate) async fn apply(cluster: &Cluster, owner: &Owner, children: Vec<Child>) -> Result<Applied, Error> {
    let mut applied = Applied::default();
    for child in children {
        let what = || format!("{} {}", child.kind(), child.name());
        let kind = child.resource();
        let live = cluster.get_object(&kind, child.namespace(), child.name()).await.what(what)?;
        let live = live.as_ref().map(value);
        if let Some(live) = &live {
            applied.hindrance = Hindrance::of(holder(live, owner), &what());
            if applied.hindrance.is_some() {
                return Ok(applied);
            }
        }
        let desired = child.value();
        let written = match &live {
            Some(live) if child.once() || !needed(Some(live), &desired) => {
                applied.live.push(live.clone());
                continue;
            }
            Some(live) => {
                // Gone in between, it is not made again.
                let mut desired = desired;
                desired["metadata"]["uid"] = live["metadata"]["uid"].clone();
                cluster.apply(&kind, &desired).await
            }
            None if !lives(cluster, owner).await? => {
                applied.hindrance = Some(leaving(owner));
                return Ok(applied);
            }
            None if child.once() => cluster.make(&kind, &desired).await,
            None => cluster.apply(&kind, &desired).await,
        };
        match written.what(what) {
            Ok(object) => applied.live.push(value(&object)),
            Err(error) => {
                applied.hindrance = Some(error.hindrance().ok_or(error)?);
                return Ok(applied);
            }
        }
    }
    Ok(applied)
}

/// Whether the owner is still there, asked after a child was missed: that may be because it goes with its owner.
pub(crate) async fn lives(cluster: &Cluster, owner: &Owner) -> Result<bool, Error> {
    let live = cluster.get_object(&resource(owner.kind), &owner.namespace, &owner.name).await;
    let live = live.what(|| format!("{} {}", owner.kind.as_str(), owner.name))?;
    Ok(live.is_some_and(|live| {
        live.metadata.uid.as_deref() == Some(owner.uid.as_str()) && live.metadata.deletion_timestamp.is_none()
    }))
}

/// Fails where it does not: nothing more is made for it.
pub(crate) async fn still_lives(cluster: &Cluster, owner: &Owner) -> Result<(), Error> {
    if lives(cluster, owner).await? { Ok(()) } else { Err(Error::Hindered(leaving(owner))) }
}

fn leaving(owner: &Owner) -> Hindrance {
    Hindrance::Collecting(format!("{} is being deleted", owner.name))
}

fn value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}
