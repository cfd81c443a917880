//! Objects as JSON, by plural and name: all that these tests ask of the API server.

use http::Method;
use kube::Client;
use serde_json::{Value, json};

/// Every kind that the operator makes or is made for, and the pods that others make of them.
pub(crate) const KINDS: [(&str, &str, &str); 12] = [
    ("configmaps", "/api/v1", "ConfigMap"),
    ("services", "/api/v1", "Service"),
    ("serviceaccounts", "/api/v1", "ServiceAccount"),
    ("pods", "/api/v1", "Pod"),
    ("statefulsets", "/apis/apps/v1", "StatefulSet"),
    ("jobs", "/apis/batch/v1", "Job"),
    ("poddisruptionbudgets", "/apis/policy/v1", "PodDisruptionBudget"),
    ("roles", "/apis/rbac.authorization.k8s.io/v1", "Role"),
    ("rolebindings", "/apis/rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("loadtests", "/apis/floodmark.dev/v1alpha1", "LoadTest"),
    ("remotewritesinks", "/apis/floodmark.dev/v1alpha1", "RemoteWriteSink"),
    ("remotewritereceivers", "/apis/floodmark.dev/v1alpha1", "RemoteWriteReceiver"),
];

pub(crate) fn path(namespace: &str, plural: &str, name: &str) -> String {
    let group = match KINDS.iter().find(|kind| kind.0 == plural) {
        Some((_, group, _)) => group,
        None if plural == "leases" => "/apis/coordination.k8s.io/v1",
        None => panic!("{plural}"),
    };
    let slash = if name.is_empty() { "" } else { "/" };
    format!("{group}/namespaces/{namespace}/{plural}{slash}{name}")
}

/// A refusal: the code and the API server's words.
pub(crate) type Refusal = (u16, String);

#[derive(Clone)]
pub(crate) struct Api(pub(crate) Client);

impl Api {
    /// `media` as in `application/merge-patch+json`.
    pub(crate) async fn send(&self, method: Method, path: &str, media: &str, body: &str) -> Result<Value, Refusal> {
        let request = http::Request::builder().method(method).uri(path).header("content-type", media);
        self.0.request(request.body(body.as_bytes().to_vec()).unwrap()).await.map_err(|error| match error {
            kube::Error::Api(status) => (status.code, status.message.clone()),
            other => panic!("{path}: {other}"),
        })
    }

    pub(crate) async fn get(&self, namespace: &str, plural: &str, name: &str) -> Option<Value> {
        match self.send(Method::GET, &path(namespace, plural, name), "application/json", "").await {
            Ok(object) => Some(object),
            Err((404, _)) => None,
            Err(refusal) => panic!("{plural} {name}: {refusal:?}"),
        }
    }

    /// All of a namespace, each with its kind.
    pub(crate) async fn list(&self, namespace: &str, plural: &str) -> Vec<Value> {
        let kind = KINDS.iter().find(|kind| kind.0 == plural).unwrap().2;
        let mut list = self.send(Method::GET, &path(namespace, plural, ""), "application/json", "").await.unwrap();
        let Value::Array(mut items) = list["items"].take() else { panic!("{plural}: {list}") };
        for item in &mut items {
            item["kind"] = json!(kind);
        }
        items
    }

    /// All kinds of a namespace.
    pub(crate) async fn everything(&self, namespace: &str) -> Vec<Value> {
        let lists = KINDS.iter().map(|(plural, ..)| self.list(namespace, plural));
        futures_util::future::join_all(lists).await.concat()
    }

    /// Makes every document of a YAML text.
    pub(crate) async fn create(&self, namespace: &str, text: &str) {
        for (plural, document) in documents(text) {
            let made = self.send(Method::POST, &path(namespace, plural, ""), "application/yaml", document).await;
            made.unwrap_or_else(|refusal| panic!("{refusal:?}\n{document}"));
        }
    }

    pub(crate) async fn merge(&self, namespace: &str, plural: &str, name: &str, patch: &Value) -> Value {
        let path = path(namespace, plural, name);
        self.send(Method::PATCH, &path, "application/merge-patch+json", &patch.to_string()).await.unwrap()
    }

    pub(crate) async fn delete(&self, namespace: &str, plural: &str, name: &str) {
        self.send(Method::DELETE, &path(namespace, plural, name), "application/json", "").await.unwrap();
    }

    /// Where pods have to be `restricted`, as in a cluster that takes care.
    pub(crate) async fn namespace(&self, name: &str) {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
        self.send(Method::POST, "/api/v1/namespaces", "application/json", &namespace.to_string()).await.unwrap();
    }

    /// The document in a control map.
    pub(crate) async fn control(&self, namespace: &str, name: &str) -> Option<Value> {
        let map = self.get(namespace, "configmaps", name).await?;
        serde_json::from_str(map["data"]["control.json"].as_str()?).ok()
    }
}

/// The documents of a YAML text, each with the plural of its kind.
pub(crate) fn documents(text: &str) -> impl Iterator<Item = (&'static str, &str)> {
    text.split("\n---\n").filter_map(|document| {
        let kind = document.lines().find_map(|line| line.strip_prefix("kind: "))?;
        let known = KINDS.iter().find(|known| known.2 == kind.trim())?;
        Some((known.0, document))
    })
}

/// Status and reason of a condition.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<(&'a str, &'a str)> {
    let all = object.pointer("/status/conditions")?.as_array()?;
    let one = all.iter().find(|condition| condition["type"] == kind)?;
    Some((one["status"].as_str()?, one["reason"].as_str()?))
}
