//! Every call to the API server: each has a time limit, is counted, and fails in one of six ways.

use std::fmt::Debug;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::ApiResource;
use kube::{Client, Config, Resource};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use telemetry::Registry;
use tokio::time::timeout;

use crate::kinds::STATUS_MANAGER;

/// Owns what the operator applies.
pub(crate) const MANAGER: &str = "floodmark-operator";
/// Owns what the chaos timeline changes.
pub(crate) const CHAOS_MANAGER: &str = "floodmark-chaos";
/// One call, its answer included.
const LIMIT: Duration = Duration::from_secs(10);
/// A file that somebody waits for.
const DOWNLOAD: Duration = Duration::from_secs(120);
const CONNECT: Duration = Duration::from_secs(5);

/// Why a call did not do what it should. The text is the API server's own where it has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fail {
    /// Somebody else wrote in between: read again.
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    NotFound(String),
    /// There is an object of that name already.
    #[error("{0}")]
    Exists(String),
    /// The API server does not know who asks.
    #[error("{0}")]
    Unauthorized(String),
    /// Not allowed: rights, a quota or an admission policy.
    #[error("{0}")]
    Forbidden(String),
    /// Refused as it is: trying again changes nothing.
    #[error("{0}")]
    Invalid(String),
    /// No answer, or none that says anything about the request.
    #[error("{0}")]
    Unreachable(String),
}

impl From<kube::Error> for Fail {
    fn from(error: kube::Error) -> Self {
        let kube::Error::Api(status) = error else {
            return Self::Unreachable(words(&error));
        };
        let text = status.message.clone();
        match (status.code, status.reason.as_str()) {
            (409, "AlreadyExists") => Self::Exists(text),
            (409, _) => Self::Conflict(text),
            (404, _) => Self::NotFound(text),
            (401, _) => Self::Unauthorized(text),
            (403, _) => Self::Forbidden(text),
            (400 | 405 | 413 | 415 | 422, _) => Self::Invalid(text),
            (code, reason) => Self::Unreachable(format!("the API server answered {code} {reason}: {text}")),
        }
    }
}

/// An error with its causes, each said once.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}

/// A built-in kind that lives in namespaces.
pub(crate) trait Built:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
}

impl<K> Built for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Send
        + Sync
        + 'static
{
}

/// The API server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Cluster {
    client: Client,
    registry: Registry,
}

/// What a kubeconfig, the environment (`KUBECONFIG`, `~/.kube/config`) or the pod's own account says, in this order.
pub(crate) async fn configuration(kubeconfig: Option<&Path>) -> anyhow::Result<Config> {
    let mut config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
        }
        None => Config::infer().await?,
    };
    // It would sleep for minutes inside a call; ours fail and are tried again by the caller.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = None;
    Ok(config)
}

impl Cluster {
    pub(crate) fn new(config: Config, registry: Registry) -> anyhow::Result<Self> {
        Ok(Self { client: Client::try_from(config)?, registry })
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(crate) fn api<K: Built>(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The API of one of our kinds.
    pub(crate) fn objects(&self, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, resource)
    }

    pub(crate) async fn get<K: Built>(&self, namespace: &str, name: &str) -> Result<Option<K>, Fail> {
        limited(self.api::<K>(namespace).get_opt(name)).await
    }

    /// All that carry these labels (`a=b,c=d`).
    pub(crate) async fn list<K: Built>(&self, namespace: &str, labels: &str) -> Result<Vec<K>, Fail> {
        let params = ListParams::default().labels(labels);
        limited(self.api::<K>(namespace).list(&params)).await.map(|list| list.items)
    }

    /// All whose fields are these (`a.b=c`).
    pub(crate) async fn list_where<K: Built>(&self, namespace: &str, fields: &str) -> Result<Vec<K>, Fail> {
        let params = ListParams::default().fields(fields).limit(500);
        limited(self.api::<K>(namespace).list(&params)).await.map(|list| list.items)
    }

    pub(crate) async fn get_object(
        &self,
        resource: &ApiResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<DynamicObject>, Fail> {
        limited(self.objects(resource, namespace).get_opt(name)).await
    }

    pub(crate) async fn list_objects(
        &self,
        resource: &ApiResource,
        namespace: &str,
    ) -> Result<Vec<DynamicObject>, Fail> {
        limited(self.objects(resource, namespace).list(&ListParams::default())).await.map(|list| list.items)
    }

    /// In all namespaces; one is enough to know that it works.
    pub(crate) async fn list_all_objects(&self, resource: &ApiResource) -> Result<Vec<DynamicObject>, Fail> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), resource);
        limited(api.list(&ListParams::default().limit(1))).await.map(|list| list.items)
    }

    /// Server-side apply of a whole object, which names its kind and namespace.
    pub(crate) async fn apply(&self, resource: &ApiResource, object: &Value) -> Result<DynamicObject, Fail> {
        let (namespace, name) = named(object)?;
        self.tally("apply", &resource.kind);
        let params = PatchParams::apply(MANAGER).force();
        limited(self.objects(resource, namespace).patch(name, &params, &Patch::Apply(object))).await
    }

    /// The same for an object that is made once; fails with [`Fail::Exists`] when there is one of that name.
    pub(crate) async fn make(&self, resource: &ApiResource, object: &Value) -> Result<DynamicObject, Fail> {
        let (namespace, _) = named(object)?;
        self.tally("create", &resource.kind);
        let object = DynamicObject::deserialize(object).map_err(|error| Fail::Invalid(error.to_string()))?;
        limited(self.objects(resource, namespace).create(&post(), &object)).await
    }

    /// Fails with [`Fail::Exists`] when there is one of that name.
    pub(crate) async fn create<K: Built>(&self, object: &K) -> Result<K, Fail> {
        let (namespace, _) = place(object)?;
        self.count::<K>("create");
        limited(self.api::<K>(namespace).create(&post(), object)).await
    }

    /// Replaces the revision that the object names; fails with [`Fail::Conflict`] when it is no longer that one.
    pub(crate) async fn replace<K: Built>(&self, object: &K) -> Result<K, Fail> {
        let (namespace, name) = place(object)?;
        if object.meta().resource_version.is_none() {
            return Err(Fail::Invalid(format!("{name} is to be replaced without saying which revision")));
        }
        self.count::<K>("replace");
        limited(self.api::<K>(namespace).replace(name, &post(), object)).await
    }

    /// Ends the object of that name, and of that identity if one is given, with all that it owns. One that is gone is no error.
    pub(crate) async fn delete<K: Built>(&self, namespace: &str, name: &str, uid: Option<&str>) -> Result<(), Fail> {
        self.count::<K>("delete");
        let params = DeleteParams {
            preconditions: uid.map(|uid| Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
            // Jobs' own default leaves their pods behind.
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        match limited(self.api::<K>(namespace).delete(name, &params)).await {
            Ok(_) | Err(Fail::NotFound(_)) => Ok(()),
            Err(fail) => Err(fail),
        }
    }

    /// Sets annotations; those of other names stay.
    pub(crate) async fn annotate<K: Built>(
        &self,
        namespace: &str,
        name: &str,
        annotations: &[(&str, &str)],
    ) -> Result<(), Fail> {
        self.count::<K>("patch");
        let values: serde_json::Map<String, Value> =
            annotations.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let patch = json!({"metadata": {"annotations": values}});
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        limited(self.api::<K>(namespace).patch(name, &params, &Patch::Merge(patch))).await.map(|_| ())
    }

    /// Replaces the whole status of an object of ours.
    pub(crate) async fn patch_status(
        &self,
        resource: &ApiResource,
        namespace: &str,
        name: &str,
        status: &Value,
    ) -> Result<DynamicObject, Fail> {
        self.tally("status", &resource.kind);
        let body = json!({
            "apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, "status": status,
        });
        let params = PatchParams::apply(STATUS_MANAGER).force();
        let objects = self.objects(resource, namespace);
        match limited(objects.patch_status(name, &params, &Patch::Apply(body))).await {
            // Server-side apply reads the whole object by the schema; one that was stored under another may not be read so.
            Err(Fail::Unreachable(words)) if words.contains("failed to create typed") => {
                let params = PatchParams { field_manager: Some(STATUS_MANAGER.to_owned()), ..PatchParams::default() };
                let patch = Patch::Merge(json!({"status": status}));
                limited(objects.patch_status(name, &params, &patch)).await
            }
            result => result,
        }
    }

    /// Sets `spec.replicas` by the scale subresource, as `kubectl scale` does.
    pub(crate) async fn scale(
        &self,
        resource: &ApiResource,
        namespace: &str,
        name: &str,
        replicas: u32,
    ) -> Result<(), Fail> {
        self.tally("scale", &resource.kind);
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let params = PatchParams { field_manager: Some(CHAOS_MANAGER.to_owned()), ..PatchParams::default() };
        limited(self.objects(resource, namespace).patch_scale(name, &params, &patch)).await.map(|_| ())
    }

    /// A plain GET of any path; fails when the answer is no 2xx or longer than `max` bytes.
    pub(crate) async fn bytes(&self, path: &str, max: usize) -> Result<Bytes, Fail> {
        let request = http::Request::get(path).body(kube::client::Body::empty());
        let request = request.map_err(|error| Fail::Invalid(error.to_string()))?;
        let answer = async {
            let response = self.client.send(request).await?;
            let status = response.status();
            let length =
                response.headers().get(http::header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
            if length.is_some_and(|length: usize| length > max) {
                return Ok((status, Bytes::new(), length));
            }
            Ok((status, response.into_body().collect_bytes().await?, length))
        };
        let (status, body, length) = match timeout(DOWNLOAD, answer).await {
            Ok(result) => result.map_err(|error: kube::Error| Fail::from(error))?,
            Err(_) => return Err(Fail::Unreachable(format!("no whole answer within {} s", DOWNLOAD.as_secs()))),
        };
        let text = || String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned();
        match status.as_u16() {
            200 if body.len().max(length.unwrap_or(0)) > max => {
                Err(Fail::Invalid(format!("{path}: longer than {max} bytes")))
            }
            200 => Ok(body),
            401 => Err(Fail::Unauthorized(text())),
            403 => Err(Fail::Forbidden(text())),
            404 => Err(Fail::NotFound(text())),
            code => Err(Fail::Unreachable(format!("{code}: {}", text()))),
        }
    }

    fn count<K: Built>(&self, verb: &str) {
        self.tally(verb, &K::kind(&()));
    }

    fn tally(&self, verb: &str, kind: &str) {
        let help = "Writing calls to the API server.";
        self.registry.counter("floodmark_operator_writes_total", help, &[("verb", verb), ("kind", kind)]).inc();
    }
}

fn post() -> PostParams {
    PostParams { dry_run: false, field_manager: Some(MANAGER.to_owned()) }
}

fn place<K: Built>(object: &K) -> Result<(&str, &str), Fail> {
    let meta = object.meta();
    match (meta.namespace.as_deref(), meta.name.as_deref()) {
        (Some(namespace), Some(name)) => Ok((namespace, name)),
        _ => Err(Fail::Invalid(format!("a {} without namespace or name", K::kind(&())))),
    }
}

fn named(object: &Value) -> Result<(&str, &str), Fail> {
    let text = |path| object.pointer(path).and_then(Value::as_str);
    match (text("/metadata/namespace"), text("/metadata/name")) {
        (Some(namespace), Some(name)) => Ok((namespace, name)),
        _ => Err(Fail::Invalid("an object without namespace or name".to_owned())),
    }
}

async fn limited<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Fail> {
    match timeout(LIMIT, call).await {
        Ok(result) => result.map_err(Fail::from),
        Err(_) => Err(Fail::Unreachable(format!("the API server did not answer within {} s", LIMIT.as_secs()))),
    }
}
