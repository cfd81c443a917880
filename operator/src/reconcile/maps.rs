//! Control maps: state, not intent. Made once, then replaced only as the revision that was read, so that no write is lost.

use k8s_openapi::api::core::v1::ConfigMap;
use ownership::{ControlDocument, RunRef};
use protocol::ReceiverControl;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::build::meta::{Component, Owner, holder, meta};
use crate::build::names::{CONTROL_KEY, PLAN_KEY, TEMPLATE_ANNOTATION};
use crate::build::plans::text;
use crate::cluster::{Cluster, Fail};
use crate::error::{Error, What};
use crate::hindrance::Hindrance;

/// Annotation of a receiver's map: the run that holds it. A sink's document has it inside.
const RUN_ANNOTATION: &str = "floodmark.dev/run";

/// A control document as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Held<D> {
    pub(crate) document: D,
    pub(crate) map: ConfigMap,
}

/// A document that one run at a time holds.
pub(crate) trait Lock: Serialize + DeserializeOwned + Sized {
    fn run(held: &Held<Self>) -> Option<RunRef>;
    fn set_run(held: &mut Held<Self>, run: Option<RunRef>);
}

impl Lock for ControlDocument {
    fn run(held: &Held<Self>) -> Option<RunRef> {
        held.document.run.clone()
    }

    fn set_run(held: &mut Held<Self>, run: Option<RunRef>) {
        // What an earlier run had to break is of no concern to this one.
        held.document.chaos.clear();
        held.document.run = run;
    }
}

impl Lock for ReceiverControl {
    fn run(held: &Held<Self>) -> Option<RunRef> {
        let annotation = held.map.metadata.annotations.as_ref()?.get(RUN_ANNOTATION)?;
        serde_json::from_str(annotation).ok()
    }

    fn set_run(held: &mut Held<Self>, run: Option<RunRef>) {
        held.document.conductor = run.as_ref().map(|run| run.conductor.clone());
        let annotations = held.map.metadata.annotations.get_or_insert_default();
        match run.and_then(|run| serde_json::to_string(&run).ok()) {
            Some(run) => annotations.insert(RUN_ANNOTATION.to_owned(), run),
            None => annotations.remove(RUN_ANNOTATION),
        };
    }
}

/// The document of that name; one that is not understood is an error, never overwritten.
pub(crate) async fn read<D: Lock>(cluster: &Cluster, namespace: &str, name: &str) -> Result<Option<Held<D>>, Fail> {
    cluster.get::<ConfigMap>(namespace, name).await?.map(held).transpose()
}

/// The owner's own; a map of that name that is somebody else's is in the way.
pub(crate) async fn own<D: Lock>(cluster: &Cluster, owner: &Owner, name: &str) -> Result<Option<Held<D>>, Error> {
    let what = || format!("ConfigMap {name}");
    let map: Option<ConfigMap> = cluster.get(&owner.namespace, name).await.what(what)?;
    let Some(map) = map else { return Ok(None) };
    let holder = holder(&serde_json::to_value(&map).unwrap_or_default(), owner);
    match Hindrance::of(holder, &what()) {
        Some(hindrance) => Err(Error::Hindered(hindrance)),
        None => held(map).map(Some).what(what),
    }
}

pub(crate) fn held<D: Lock>(map: ConfigMap) -> Result<Held<D>, Fail> {
    let text = map.data.as_ref().and_then(|data| data.get(CONTROL_KEY)).map_or("", String::as_str);
    let document = serde_json::from_str(text)
        .map_err(|error| Fail::Invalid(format!("{CONTROL_KEY} is not understood: {error}; delete it")))?;
    Ok(Held { document, map })
}

/// What stands beside a document: what its pods are made of. It is written before they are, so that whoever finds it as wanted, and
/// writes over the same revision, knows that no other pods are on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Made<'a> {
    /// What the pods read once, where they do.
    pub(crate) plan: Option<&'a str>,
    /// Hash of their template.
    pub(crate) template: &'a str,
}

impl Made<'_> {
    /// Whether it is what stands there.
    pub(crate) fn stands<D>(&self, held: &Held<D>) -> bool {
        let plan = held.map.data.as_ref().and_then(|data| data.get(PLAN_KEY)).map(String::as_str);
        let template = held.map.metadata.annotations.as_ref().and_then(|all| all.get(TEMPLATE_ANNOTATION));
        (plan, template.map(String::as_str)) == (self.plan, Some(self.template))
    }

    fn put(&self, map: &mut ConfigMap) {
        let data = map.data.get_or_insert_default();
        data.extend(self.plan.map(|plan| (PLAN_KEY.to_owned(), plan.to_owned())));
        let annotations = map.metadata.annotations.get_or_insert_default();
        annotations.insert(TEMPLATE_ANNOTATION.to_owned(), self.template.to_owned());
    }
}

/// One that is to be created, for the run that holds it already, if one does.
pub(crate) fn first<D: Lock>(
    owner: &Owner,
    component: Component,
    name: String,
    document: D,
    made: Made<'_>,
    run: Option<RunRef>,
) -> Held<D> {
    let map = ConfigMap { metadata: meta(owner, name, Some(component)), ..ConfigMap::default() };
    let mut held = Held { document, map };
    D::set_run(&mut held, run);
    held.map.data.get_or_insert_default().insert(CONTROL_KEY.to_owned(), text(&held.document));
    made.put(&mut held.map);
    held
}

/// Writes the document, and what is beside it if that changes, over the revision that was read; the map as it is then.
pub(crate) async fn replace<D: Lock>(
    cluster: &Cluster,
    held: &Held<D>,
    made: Option<Made<'_>>,
) -> Result<ConfigMap, Fail> {
    let mut map = held.map.clone();
    map.data.get_or_insert_default().insert(CONTROL_KEY.to_owned(), text(&held.document));
    if let Some(made) = made {
        made.put(&mut map);
    }
    // Whoever replaces does not claim to know who managed it.
    map.metadata.managed_fields = None;
    cluster.replace(&map).await
}
