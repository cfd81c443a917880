//! Events: one for each change, with a reason that never changes its spelling. Best effort; the status is what counts.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use crate::cluster::Cluster;

/// Longest note that the API server takes, in bytes.
const MAX_NOTE: usize = 1024;

/// Tells users what happened to their objects.
#[derive(Clone)]
pub(crate) struct Events(Recorder);

impl Events {
    pub(crate) fn new(cluster: &Cluster, identity: &str) -> Self {
        let reporter = Reporter { controller: "floodmark-operator".to_owned(), instance: Some(identity.to_owned()) };
        Self(Recorder::new(cluster.client(), reporter))
    }

    pub(crate) async fn normal(&self, resource: &ApiResource, about: &DynamicObject, reason: &str, note: &str) {
        self.tell(EventType::Normal, resource, about, reason, note).await;
    }

    pub(crate) async fn warning(&self, resource: &ApiResource, about: &DynamicObject, reason: &str, note: &str) {
        self.tell(EventType::Warning, resource, about, reason, note).await;
    }

    async fn tell(&self, kind: EventType, resource: &ApiResource, about: &DynamicObject, reason: &str, note: &str) {
        let reference = ObjectReference {
            api_version: Some(resource.api_version.clone()),
            kind: Some(resource.kind.clone()),
            name: about.metadata.name.clone(),
            namespace: about.metadata.namespace.clone(),
            uid: about.metadata.uid.clone(),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: kind,
            reason: reason.to_owned(),
            note: Some(cut(note, MAX_NOTE).to_owned()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        let sent = tokio::time::timeout(std::time::Duration::from_secs(5), self.0.publish(&event, &reference)).await;
        if let Ok(Err(error)) = sent {
            tracing::debug!(%error, reason, "cannot record an event");
        }
    }
}

/// At most so many bytes, cut between characters.
fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}
