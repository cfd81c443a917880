//! Names, labels and owners of children.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::api::DynamicObject;
use serde_json::Value;

use crate::kinds::{Kind, Parsed};

pub(crate) type Texts = BTreeMap<String, String>;

/// Of all children; what an operator's watches look for.
pub(crate) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "floodmark-operator");
const COMPONENT: &str = "app.kubernetes.io/component";

/// The object whose children are built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
}

/// What a child belongs to, inside its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Component {
    SinkWorker,
    Receiver,
    Generator,
    Conductor,
}

impl Component {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::SinkWorker => "sink-worker",
            Self::Receiver => "receiver",
            Self::Generator => "generator",
            Self::Conductor => "conductor",
        }
    }
}

impl Owner {
    pub(crate) fn of<S, T>(kind: Kind, object: &Parsed<S, T>) -> Self {
        let (name, namespace, uid) = (object.name.clone(), object.namespace.clone(), object.uid.clone());
        Self { kind, name, namespace, uid }
    }

    /// Of an object whose spec is not understood.
    pub(crate) fn of_unread(kind: Kind, object: &DynamicObject) -> Self {
        let meta = object.metadata.clone();
        let (name, namespace) = (meta.name.unwrap_or_default(), meta.namespace.unwrap_or_default());
        Self { kind, name, namespace, uid: meta.uid.unwrap_or_default() }
    }

    fn reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: api::API_VERSION.to_owned(),
            kind: self.kind.as_str().to_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            // Blocking would take the right to change our objects' finalizers, and nothing here needs it.
            block_owner_deletion: Some(false),
        }
    }
}

fn texts<const N: usize>(pairs: [(&str, &str); N]) -> Texts {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Labels of a child; without a component, of one that belongs to several.
pub(crate) fn labels(owner: &Owner, component: Option<Component>) -> Texts {
    let mut labels = texts([
        ("app.kubernetes.io/name", "floodmark"),
        ("app.kubernetes.io/instance", &owner.name),
        MANAGED_BY,
        (owner.kind.label(), &owner.name),
    ]);
    labels.extend(component.map(|component| (COMPONENT.to_owned(), component.as_str().to_owned())));
    labels
}

/// Labels that pods are found by; without a component, all pods of the owner. Never to be changed: workloads cannot.
pub(crate) fn selector(owner: &Owner, component: Option<Component>) -> Texts {
    let mut labels = texts([(owner.kind.label(), &owner.name)]);
    labels.extend(component.map(|component| (COMPONENT.to_owned(), component.as_str().to_owned())));
    labels
}

/// The same for list calls and `/scale`.
pub(crate) fn selector_text(owner: &Owner, component: Option<Component>) -> String {
    let pairs = selector(owner, component).into_iter().map(|(key, value)| format!("{key}={value}"));
    pairs.collect::<Vec<_>>().join(",")
}

/// For list calls: such children of all owners.
pub(crate) fn managed(component: Component) -> String {
    format!("{}={},{COMPONENT}={}", MANAGED_BY.0, MANAGED_BY.1, component.as_str())
}

pub(crate) fn label_selector(owner: &Owner, component: Option<Component>) -> LabelSelector {
    LabelSelector { match_labels: Some(selector(owner, component)), match_expressions: None }
}

pub(crate) fn meta(owner: &Owner, name: String, component: Option<Component>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(owner.namespace.clone()),
        labels: Some(labels(owner, component)),
        owner_references: Some(vec![owner.reference()]),
        ..ObjectMeta::default()
    }
}

/// Whose child a live object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    Ours,
    /// Of an earlier object of our kind and name: it is being collected, wait.
    Earlier,
    /// Somebody else's, in words: never touched.
    Other(String),
}

/// Server-side apply with force would take over anybody's object of that name, so this is asked before.
pub(crate) fn holder(live: &Value, owner: &Owner) -> Holder {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let references = live.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let controller = references
        .into_iter()
        .flatten()
        .find(|reference| reference.get("controller").and_then(Value::as_bool) == Some(true));
    let Some(controller) = controller else { return Holder::Other("nobody's".to_owned()) };
    let (kind, name) = (text(controller, "kind"), text(controller, "name"));
    if text(controller, "uid") == owner.uid {
        Holder::Ours
    } else if kind == owner.kind.as_str() && name == owner.name {
        Holder::Earlier
    } else {
        Holder::Other(format!("{kind} {name}'s"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn owner(kind: Kind, name: &str) -> Owner {
        let uid = format!("00000000-0000-4000-8000-{:0>12}", kind.plural().len());
        Owner { kind, name: name.to_owned(), namespace: "default".to_owned(), uid }
    }

    #[test]
    fn a_child_knows_its_owner() {
        let owner = owner(Kind::Sink, "sink");
        let child = json!({"metadata": meta(&owner, "sink-sink".to_owned(), Some(Component::SinkWorker))});
        assert_eq!(holder(&child, &owner), Holder::Ours);
        let again = Owner { uid: "new".to_owned(), ..owner.clone() };
        assert_eq!(holder(&child, &again), Holder::Earlier);
        let namesake = Owner { kind: Kind::Receiver, uid: "other".to_owned(), ..owner.clone() };
        assert_eq!(holder(&child, &namesake), Holder::Other("RemoteWriteSink sink's".to_owned()));
        assert_eq!(holder(&json!({"metadata": {}}), &owner), Holder::Other("nobody's".to_owned()));
    }

    #[test]
    fn selectors_are_part_of_the_labels() {
        let owner = owner(Kind::LoadTest, "test");
        let labels = labels(&owner, Some(Component::Generator));
        for (key, value) in selector(&owner, Some(Component::Generator)) {
            assert_eq!(labels.get(&key), Some(&value));
        }
        assert_eq!(
            selector_text(&owner, Some(Component::Generator)),
            "app.kubernetes.io/component=generator,floodmark.dev/load-test=test"
        );
    }
}
