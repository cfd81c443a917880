//! The three kinds of the group, read one object at a time: an object that does not parse stops nobody but itself.

use api::{LoadTestSpec, RemoteWriteReceiverSpec, RemoteWriteSinkSpec};
use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

/// Field manager of the operator's status writes.
pub(crate) const STATUS_MANAGER: &str = "floodmark-status";

/// What the operator looks after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Sink,
    Receiver,
    LoadTest,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Sink, Self::Receiver, Self::LoadTest];

    /// As in a document.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sink => "RemoteWriteSink",
            Self::Receiver => "RemoteWriteReceiver",
            Self::LoadTest => "LoadTest",
        }
    }

    /// As in a URL.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Sink => "remotewritesinks",
            Self::Receiver => "remotewritereceivers",
            Self::LoadTest => "loadtests",
        }
    }

    /// The label of all children, whose value is the object's name.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Sink => "floodmark.dev/sink",
            Self::Receiver => "floodmark.dev/receiver",
            Self::LoadTest => "floodmark.dev/load-test",
        }
    }
}

/// How the kind is reached.
pub(crate) fn resource(kind: Kind) -> ApiResource {
    let (group, version) = api::API_VERSION.split_once('/').unwrap_or((api::API_VERSION, ""));
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind.as_str()), kind.plural())
}

/// Why an object is not understood, or asks for what cannot be made: the field, what is wrong with it, and the fix.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {message}")]
pub(crate) struct Invalid {
    pub(crate) field: String,
    pub(crate) message: String,
}

impl Invalid {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// An object with its spec understood. A status that is not understood is like none: it is written anew.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parsed<S, T> {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
    pub(crate) generation: i64,
    pub(crate) created: Option<Timestamp>,
    /// Set once somebody has asked for its deletion.
    pub(crate) deleting: bool,
    pub(crate) spec: S,
    pub(crate) status: Option<T>,
    /// When the status was last changed, by the API server's own record.
    pub(crate) status_written: Option<Timestamp>,
}

pub(crate) type Sink = Parsed<RemoteWriteSinkSpec, api::RemoteWriteSinkStatus>;
pub(crate) type Receiver = Parsed<RemoteWriteReceiverSpec, api::RemoteWriteReceiverStatus>;
pub(crate) type Test = Parsed<LoadTestSpec, api::LoadTestStatus>;

/// The rules between fields are not checked here but by `api::check_*`.
pub(crate) fn parse<S: DeserializeOwned, T: DeserializeOwned>(object: &DynamicObject) -> Result<Parsed<S, T>, Invalid> {
    let meta = &object.metadata;
    let spec = object.data.get("spec").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let spec = serde_path_to_error::deserialize(spec).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "spec".to_owned() } else { format!("spec.{path}") };
        Invalid::new(field, error.into_inner().to_string())
    })?;
    Ok(Parsed {
        name: meta.name.clone().unwrap_or_default(),
        namespace: meta.namespace.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        generation: meta.generation.unwrap_or_default(),
        created: meta.creation_timestamp.as_ref().map(|time| time.0),
        deleting: meta.deletion_timestamp.is_some(),
        spec,
        status: object.data.get("status").and_then(|status| T::deserialize(status).ok()),
        status_written: status_written(object),
    })
}

/// Second resolution; survives a restart of the operator.
fn status_written(object: &DynamicObject) -> Option<Timestamp> {
    let entries = object.metadata.managed_fields.iter().flatten();
    let ours = entries.filter(|entry| {
        entry.manager.as_deref() == Some(STATUS_MANAGER) && entry.subresource.as_deref() == Some("status")
    });
    ours.filter_map(|entry| entry.time.as_ref()).map(|time| time.0).max()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(spec: &Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "floodmark.dev/v1alpha1", "kind": "RemoteWriteSink",
            "metadata": {
                "name": "sink", "namespace": "load", "uid": "u-1", "generation": 3,
                "creationTimestamp": "2026-01-02T03:04:05Z",
                "managedFields": [
                    {"manager": "kubectl", "operation": "Apply", "time": "2026-01-02T09:00:00Z"},
                    {"manager": "floodmark-status", "operation": "Apply", "subresource": "status", "time": "2026-01-02T03:05:00Z"},
                ],
            },
            "spec": spec,
            "status": {"replicas": 2, "readyReplicas": 1},
        }))
        .unwrap()
    }

    #[test]
    fn an_object_of_the_cluster_becomes_a_document() {
        let sink: Sink = parse(&object(&json!({"replicas": 3, "backend": {"url": "http://a/b"}}))).unwrap();
        assert_eq!((sink.name.as_str(), sink.namespace.as_str(), sink.uid.as_str()), ("sink", "load", "u-1"));
        assert_eq!((sink.generation, sink.deleting, sink.spec.replicas, sink.spec.lanes), (3, false, 3, 4));
        assert_eq!(sink.status.unwrap().ready_replicas, 1);
        assert_eq!(sink.created.unwrap().to_string(), "2026-01-02T03:04:05Z");
        assert_eq!(sink.status_written.unwrap().to_string(), "2026-01-02T03:05:00Z");
    }

    #[test]
    fn what_is_not_understood_is_named_by_field() {
        let backend = json!({"url": "http://a/b"});
        for (spec, field, words) in [
            (json!({"replicas": 1}), "spec", "backend"),
            (json!({"backend": backend, "batching": {"maxSamples": "many"}}), "spec.batching.maxSamples", "many"),
            (json!({"backend": backend, "lanez": 4}), "spec.lanez", "lanez"),
            (json!({"backend": {"headers": [{"name": 7}]}}), "spec.backend.headers[0].name", "string"),
        ] {
            let error = parse::<RemoteWriteSinkSpec, api::RemoteWriteSinkStatus>(&object(&spec)).unwrap_err();
            assert_eq!(error.field, field, "{error}");
            assert!(error.message.contains(words), "{error}");
        }
    }

    #[test]
    fn a_status_of_another_time_is_like_none() {
        let mut object = object(&json!({"backend": {"url": "http://a/b"}}));
        object.data["status"] = json!({"replicas": "two"});
        let sink: Sink = parse(&object).unwrap();
        assert_eq!(sink.status, None);
    }
}
