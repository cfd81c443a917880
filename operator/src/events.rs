//! Events: one for each change, with a reason that never changes its spelling. Best effort; the status is what counts.
//!
//! Each is an object of its own: what merges equal reasons keeps the first one's words, and here the words differ.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{DynamicObject, ObjectMeta};
use kube::core::ApiResource;

use crate::cluster::Cluster;

/// Longest note that the API server takes, in bytes.
const MAX_NOTE: usize = 1024;
const LIMIT: Duration = Duration::from_secs(5);
/// What goes on being true is told again after it.
const REPEAT: Duration = Duration::from_secs(300);

/// Tells users what happened to their objects.
#[derive(Clone)]
pub(crate) struct Events {
    cluster: Cluster,
    identity: String,
    /// When something was told that goes on being true, by the object's identity.
    lasting: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Events {
    pub(crate) fn new(cluster: &Cluster, identity: &str) -> Self {
        // The API server takes 128 bytes.
        Self { cluster: cluster.clone(), identity: cut(identity, 128).to_owned(), lasting: Arc::default() }
    }

    pub(crate) async fn normal(&self, resource: &ApiResource, about: &DynamicObject, reason: &str, note: &str) {
        self.tell("Normal", resource, about, reason, note).await;
    }

    pub(crate) async fn warning(&self, resource: &ApiResource, about: &DynamicObject, reason: &str, note: &str) {
        self.tell("Warning", resource, about, reason, note).await;
    }

    /// A warning that each look at the object would repeat: one within [`REPEAT`].
    pub(crate) async fn lasting(&self, resource: &ApiResource, about: &DynamicObject, reason: &str, note: &str) {
        let uid = about.metadata.uid.clone().unwrap_or_default();
        let news = {
            let mut lasting = self.lasting.lock().unwrap_or_else(PoisonError::into_inner);
            lasting.retain(|_, since| since.elapsed() < REPEAT);
            let news = !lasting.contains_key(&uid);
            lasting.entry(uid).or_insert_with(Instant::now);
            news
        };
        if news {
            self.warning(resource, about, reason, note).await;
        }
    }

    async fn tell(&self, kind: &str, resource: &ApiResource, about: &DynamicObject, reason: &str, note: &str) {
        let event = self.event(kind, resource, about, reason, note);
        match tokio::time::timeout(LIMIT, self.cluster.create(&event)).await {
            Ok(Ok(_)) => {}
            Ok(Err(fail)) => tracing::debug!(%fail, reason, "cannot record an event"),
            Err(_) => tracing::debug!(reason, "cannot record an event in time"),
        }
    }

    fn event(&self, kind: &str, resource: &ApiResource, about: &DynamicObject, reason: &str, note: &str) -> Event {
        let now = Timestamp::now();
        let name = about.metadata.name.as_deref().unwrap_or_default();
        Event {
            metadata: ObjectMeta {
                // As everybody names them: unique by the time.
                name: Some(format!("{name}.{:x}", now.as_nanosecond())),
                namespace: about.metadata.namespace.clone(),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            action: Some("Reconcile".to_owned()),
            reason: Some(cut(reason, 128).to_owned()),
            note: Some(cut(note, MAX_NOTE).to_owned()),
            type_: Some(kind.to_owned()),
            reporting_controller: Some("floodmark.dev/operator".to_owned()),
            reporting_instance: Some(self.identity.clone()),
            regarding: Some(ObjectReference {
                api_version: Some(resource.api_version.clone()),
                kind: Some(resource.kind.clone()),
                name: about.metadata.name.clone(),
                namespace: about.metadata.namespace.clone(),
                uid: about.metadata.uid.clone(),
                ..ObjectReference::default()
            }),
            ..Event::default()
        }
    }
}

/// At most so many bytes, cut between characters.
fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn notes_are_cut_between_characters() {
        assert_eq!((cut("aä", 2), cut("aä", 3), cut("aä", 9), cut("", 1)), ("a", "aä", "aä", ""));
    }
}
