//! Which children have to be written. Pure: what is settled causes no request that writes.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Resource;
use kube::api::ApiResource;
use serde::Serialize;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use crate::build::names::APPLIED_ANNOTATION;

/// An object that the operator makes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Child {
    ServiceAccount(ServiceAccount),
    Role(Role),
    RoleBinding(RoleBinding),
    ConfigMap(ConfigMap),
    Service(Service),
    PodDisruptionBudget(PodDisruptionBudget),
    StatefulSet(StatefulSet),
    Job(Job),
}

/// The same for every kind of child.
macro_rules! each {
    ($child:expr, $object:ident => $body:expr) => {
        match $child {
            Child::ServiceAccount($object) => $body,
            Child::Role($object) => $body,
            Child::RoleBinding($object) => $body,
            Child::ConfigMap($object) => $body,
            Child::Service($object) => $body,
            Child::PodDisruptionBudget($object) => $body,
            Child::StatefulSet($object) => $body,
            Child::Job($object) => $body,
        }
    };
}

impl Child {
    pub(crate) fn name(&self) -> &str {
        each!(self, object => object.metadata.name.as_deref().unwrap_or_default())
    }

    pub(crate) fn namespace(&self) -> &str {
        each!(self, object => object.metadata.namespace.as_deref().unwrap_or_default())
    }

    /// As in a manifest, for metrics and messages.
    pub(crate) fn kind(&self) -> String {
        self.resource().kind
    }

    pub(crate) fn resource(&self) -> ApiResource {
        fn of<K: Resource<DynamicType = ()>>(_: &K) -> ApiResource {
            ApiResource::erase::<K>(&())
        }
        each!(self, object => of(object))
    }

    /// Made once and never touched again: the API server refuses most edits of them, and a run stays what it was.
    pub(crate) fn once(&self) -> bool {
        match self {
            Self::Job(_) => true,
            Self::ConfigMap(map) => map.immutable == Some(true),
            _ => false,
        }
    }

    /// The same with the hash of itself as an annotation: what [`needed`] compares.
    pub(crate) fn stamped(mut self) -> Self {
        let hash = format!("{:016x}", xxh3_64(self.value().to_string().as_bytes()));
        let annotations = each!(&mut self, object => &mut object.metadata.annotations);
        annotations.get_or_insert_default().insert(APPLIED_ANNOTATION.to_owned(), hash);
        self
    }

    /// What is sent.
    pub(crate) fn value(&self) -> Value {
        each!(self, object => body(object))
    }
}

/// The types write their apiVersion and kind themselves. A status is not ours, empty as it may be.
fn body<K: Serialize>(object: &K) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
    }
    value
}

/// Whether `desired` has to be applied over `live`: it is another intent than last time (fields may have gone), or somebody has
/// changed what it says.
pub(crate) fn needed(live: Option<&Value>, desired: &Value) -> bool {
    let Some(live) = live else { return true };
    let applied = |value: &Value| {
        let annotations = value.pointer("/metadata/annotations")?;
        annotations.get(APPLIED_ANNOTATION)?.as_str().map(str::to_owned)
    };
    applied(live) != applied(desired) || !covers(live, desired)
}

/// Whether all that `desired` says is so in `live`. What it leaves out, or empty, may be anything: defaults, other managers' fields.
pub(crate) fn covers(live: &Value, desired: &Value) -> bool {
    uncovered(live, desired).is_none()
}

/// Where `desired` says the first thing that is not so in `live`: `.requests.cpu`, `[2].key`; empty for all of it.
pub(crate) fn uncovered(live: &Value, desired: &Value) -> Option<String> {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => desired.iter().find_map(|(key, desired)| {
            let below = match live.get(key) {
                Some(live) => uncovered(live, desired)?,
                None if is_empty(desired) => return None,
                None => String::new(),
            };
            Some(format!(".{key}{below}"))
        }),
        (Value::Array(live), Value::Array(desired)) if live.len() == desired.len() => {
            let pairs = live.iter().zip(desired).enumerate();
            pairs.into_iter().find_map(|(at, (live, desired))| Some(format!("[{at}]{}", uncovered(live, desired)?)))
        }
        (Value::Number(live), Value::Number(desired)) if live.as_f64() == desired.as_f64() => None,
        (live, desired) => (live != desired).then(String::new),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: &str) -> Child {
        let mut map = ConfigMap::default();
        map.metadata.name = Some("map".to_owned());
        map.data = Some([("key".to_owned(), value.to_owned())].into());
        Child::ConfigMap(map).stamped()
    }

    /// As the API server gives it back: with defaults, other managers' fields, and a status.
    fn stored(child: &Child) -> Value {
        let mut live = child.value();
        live["metadata"]["uid"] = json!("u");
        live["metadata"]["resourceVersion"] = json!("7");
        live["metadata"]["annotations"]["somebody.else/note"] = json!("x");
        live["status"] = json!({"ready": true});
        live
    }

    #[test]
    fn what_is_settled_is_not_written() {
        let child = map("a");
        assert!(needed(None, &child.value()));
        assert!(!needed(Some(&stored(&child)), &child.value()));
    }

    #[test]
    fn edits_of_either_side_are_written() {
        let child = map("a");
        assert!(needed(Some(&stored(&child)), &map("b").value()), "another intent");
        let mut live = stored(&child);
        live["data"]["key"] = json!("foreign");
        assert!(needed(Some(&live), &child.value()), "a foreign edit");
        // A key that we say no more: only the hash tells.
        let mut less = ConfigMap::default();
        less.metadata.name = Some("map".to_owned());
        let less = Child::ConfigMap(less).stamped().value();
        let mut as_was = less.clone();
        as_was["metadata"]["annotations"] = json!({});
        assert!(covers(&stored(&child), &as_was));
        assert!(needed(Some(&stored(&child)), &less), "a removed field");
        let mut foreign = stored(&child);
        foreign["metadata"]["annotations"] = json!({});
        assert!(needed(Some(&foreign), &child.value()), "never applied");
    }

    #[test]
    fn lists_are_compared_element_by_element() {
        let desired = json!({"ports": [{"port": 1}, {"port": 2}]});
        let defaults =
            json!({"ports": [{"port": 1, "protocol": "TCP"}, {"port": 2, "protocol": "TCP"}], "type": "ClusterIP"});
        assert!(covers(&defaults, &desired));
        for live in [json!({"ports": [{"port": 1}]}), json!({"ports": [{"port": 2}, {"port": 1}]}), json!({})] {
            assert!(!covers(&live, &desired), "{live}");
        }
        assert!(covers(&json!({}), &json!({"a": {}, "b": [], "c": null, "d": {"e": {}}})));
        assert!(!covers(&json!({}), &json!({"a": {"b": false}})));
        assert!(covers(&json!({"n": 1.0}), &json!({"n": 1})));
        assert!(!covers(&json!({"n": "1"}), &json!({"n": 1})));
        let desired = json!({"a": 1, "b": [{"c": 1}, {"c": {"d": 2}}]});
        assert_eq!(
            uncovered(&json!({"a": 1, "b": [{"c": 1}, {"c": {"d": 3}}]}), &desired).as_deref(),
            Some(".b[1].c.d")
        );
        assert_eq!(uncovered(&json!({"a": 1, "b": []}), &desired).as_deref(), Some(".b"));
    }

    #[test]
    fn children_name_their_kind() {
        let value = map("a").value();
        assert_eq!((value["apiVersion"].as_str(), value["kind"].as_str()), (Some("v1"), Some("ConfigMap")));
        assert_eq!((map("a").kind().as_str(), map("a").resource().plural.as_str()), ("ConfigMap", "configmaps"));
        let budget = Child::PodDisruptionBudget(PodDisruptionBudget::default());
        assert_eq!(budget.resource().plural, "poddisruptionbudgets");
    }
}
