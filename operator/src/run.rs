//! The operator as a process: one lease, three controllers, an end that leaves nothing half done.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::StreamExt;
use futures_util::future::join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::controller::{Action, Config as ControllerConfig, Error as ControllerError};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, watcher};
use telemetry::{Ops, Registry, Stop};

use crate::cluster::{Cluster, configuration};
use crate::error::{Backoff, Error};
use crate::events::Events;
use crate::health;
use crate::kinds::{Kind, resource};
use crate::lease::Leadership;
use crate::reconcile::{self, Context};
use crate::status::write::Throttle;
use crate::test::conductor::Silence;

/// Objects that are looked after at a time, for each kind.
const CONCURRENCY: u16 = 16;
/// Changes of an object within it are looked at together.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// All that the operator made.
const MANAGED: &str = "app.kubernetes.io/managed-by=floodmark-operator";

/// The operator's own, in the manifests.
const CONTAINER: &str = "operator";
/// Between two complaints of the same watches.
const COMPLAIN: Duration = Duration::from_secs(60);

/// How the operator is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Namespaces that are looked after; empty: all.
    pub namespaces: Vec<String>,
    /// Image of the pods; left out: that of the operator's own pod.
    pub image: Option<String>,
    /// Where health and metrics are served.
    pub listen: SocketAddr,
    /// Namespace and name of the lease; none: this is the only operator.
    pub lease: Option<(String, String)>,
    /// Tells operators apart.
    pub identity: String,
    /// Left out: the environment's, or the pod's own account.
    pub kubeconfig: Option<PathBuf>,
}

/// Looks after the three kinds until the stop, or until another operator has taken over (an error).
pub fn run(options: Options, stop: Stop) -> telemetry::Running<anyhow::Result<()>> {
    Box::pin(operate(options, stop))
}

async fn operate(options: Options, stop: Stop) -> anyhow::Result<()> {
    let registry = Registry::new();
    let config = configuration(options.kubeconfig.as_deref()).await.context("no cluster is configured")?;
    let own_namespace = config.default_namespace.clone();
    let cluster = Cluster::new(config, registry.clone())?;
    let ops = Ops::new(registry.clone());
    let server = tokio::spawn(health::serve(options.listen, ops.clone(), stop.clone()));
    let image = match &options.image {
        Some(image) => image.clone(),
        None => own_image(&cluster, &own_namespace).await?,
    };
    let context = Arc::new(Context {
        events: Events::new(&cluster, &options.identity),
        cluster: cluster.clone(),
        image,
        throttle: Throttle::default(),
        backoff: Backoff::default(),
        silence: Silence::default(),
        registry,
    });
    known(&cluster, &options.namespaces).await?;
    ops.set_ready();
    let work = controllers(&context, &options.namespaces, &stop);
    let result = match options.lease.clone() {
        None => {
            work.await;
            Ok(())
        }
        Some((namespace, name)) => {
            let mut leadership = Leadership::new(cluster, namespace, name, options.identity.clone());
            if leadership.acquire(&stop).await { leadership.keep(work).await } else { Ok(()) }
        }
    };
    stop.request();
    server.await.context("the health server ended")??;
    result
}

/// Fails when the definitions are missing or the operator may not read the objects: better said at once than by watches that fail.
async fn known(cluster: &Cluster, namespaces: &[String]) -> anyhow::Result<()> {
    let all = [String::new()];
    let namespaces = if namespaces.is_empty() { &all[..] } else { namespaces };
    for kind in Kind::ALL {
        for namespace in namespaces {
            let listed = match namespace.as_str() {
                "" => cluster.list_all_objects(&resource(kind)).await,
                namespace => cluster.list_objects(&resource(kind), namespace).await,
            };
            listed.with_context(|| {
                format!("cannot list {}: apply the definitions (kubectl apply -k manifests/base)", kind.plural())
            })?;
        }
    }
    Ok(())
}

/// Kustomize rewrites images of containers and nothing else, so the pods' image is the operator's own.
async fn own_image(cluster: &Cluster, namespace: &str) -> anyhow::Result<String> {
    let name = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_default();
    let pod: Option<Pod> = match name.as_str() {
        "" => None,
        name => cluster.get(namespace, name).await.context("cannot read the operator's own pod")?,
    };
    let containers = pod.and_then(|pod| pod.spec).map(|spec| spec.containers).unwrap_or_default();
    // Others may have been put beside it.
    let image = containers.into_iter().find(|container| container.name == CONTAINER).and_then(|ours| ours.image);
    image.context("the image of the pods is not known outside of a pod: give --image")
}

/// All controllers; ends once the stop came and every reconcile in progress has ended.
async fn controllers(context: &Arc<Context>, namespaces: &[String], stop: &Stop) {
    let scopes: Vec<Option<&str>> = match namespaces {
        [] => vec![None],
        names => names.iter().map(|name| Some(name.as_str())).collect(),
    };
    let all = scopes
        .into_iter()
        .flat_map(|namespace| Kind::ALL.map(|kind| controller(kind, namespace, Arc::clone(context), stop.clone())));
    join_all(all).await;
}

async fn controller(kind: Kind, namespace: Option<&str>, context: Arc<Context>, stop: Stop) {
    let scope = Scope { cluster: context.cluster.clone(), namespace: namespace.map(str::to_owned) };
    let ours = resource(kind);
    let any = watcher::Config::default;
    let managed = || watcher::Config::default().labels(MANAGED);
    let mut controller = Controller::new_with(scope.objects(&ours), any(), ours.clone())
        .with_config(ControllerConfig::default().concurrency(CONCURRENCY).debounce(DEBOUNCE));
    let workload = match kind {
        Kind::Sink | Kind::Receiver => ApiResource::erase::<StatefulSet>(&()),
        Kind::LoadTest => ApiResource::erase::<Job>(&()),
    };
    // Of what they own only names and owners are read: one type for all watches, which is compiled once.
    let owned = [ApiResource::erase::<ConfigMap>(&()), ApiResource::erase::<Service>(&()), workload];
    controller = owned
        .into_iter()
        .fold(controller, |controller, owned| controller.owns_with(scope.objects(&owned), owned, managed()));
    let store = controller.store();
    let of_pod = ours.clone();
    let pods = ApiResource::erase::<Pod>(&());
    controller = controller.watches_with(scope.objects(&pods), pods, managed(), move |pod| {
        let name = pod.labels().get(kind.label())?;
        Some(ObjectRef::new_with(name, of_pod.clone()).within(pod.metadata.namespace.as_deref()?))
    });
    for other in Kind::ALL.into_iter().filter(|other| *other != kind) {
        let (ours, store) = (ours.clone(), store.clone());
        controller = controller.watches_with(scope.objects(&resource(other)), resource(other), any(), move |object| {
            related(kind, other, &object, &store)
                .into_iter()
                .map(|name| {
                    ObjectRef::new_with(&name, ours.clone())
                        .within(object.metadata.namespace.as_deref().unwrap_or_default())
                })
                .collect::<Vec<_>>()
        });
    }
    let reconcile = move |object: Arc<DynamicObject>, context: Arc<Context>| async move {
        let action = Box::pin(reconcile::reconcile(kind, &object, &context)).await;
        if action.is_ok() {
            context.backoff.succeeded(&key(kind, &object));
        }
        action
    };
    let mut complained: Option<Instant> = None;
    controller
        .graceful_shutdown_on(stop.wait())
        .run(reconcile, move |object, error, context| failed(kind, &object, error, &context), context)
        .for_each(|ended| {
            match ended {
                // A watch is tried again by itself, for as long as it takes: a right that is missing is told by nobody else.
                Err(error @ (ControllerError::QueueError(_) | ControllerError::RunnerError(_)))
                    if complained.is_none_or(|at| at.elapsed() >= COMPLAIN) =>
                {
                    complained = Some(Instant::now());
                    tracing::warn!(%error, kind = kind.as_str(), "cannot watch");
                }
                Err(error) => tracing::debug!(%error, kind = kind.as_str(), "controller"),
                Ok(_) => {}
            }
            std::future::ready(())
        })
        .await;
}

fn key(kind: Kind, object: &DynamicObject) -> String {
    format!("{}/{}/{}", kind.as_str(), object.namespace().unwrap_or_default(), object.name_any())
}

#[allow(clippy::needless_pass_by_value, reason = "the controller's signature")]
fn failed(kind: Kind, object: &DynamicObject, error: &Error, context: &Context) -> Action {
    let key = key(kind, object);
    let wait = context.backoff.failed(&key);
    if error.is_conflict() {
        tracing::debug!(object = key, %error, "written by somebody else; again");
    } else {
        tracing::warn!(object = key, %error, again_after = ?wait, "cannot reconcile");
    }
    Action::requeue(wait)
}

/// The objects of `kind` that a change of `changed`, which is of another kind, may concern.
fn related(kind: Kind, other: Kind, changed: &DynamicObject, store: &Store<DynamicObject>) -> Vec<String> {
    let name = |object: &DynamicObject, path: &str| {
        object.data.pointer(path).and_then(serde_json::Value::as_str).map(str::to_owned)
    };
    let refers = match (kind, other) {
        // A test that has ended gives its target back.
        (Kind::Sink, Kind::LoadTest) => return name(changed, SINK_REF).into_iter().collect(),
        // By way of a sink its receiver is held too; which one, only the sink says.
        (Kind::Receiver, Kind::LoadTest) => {
            return match name(changed, RECEIVER_REF) {
                Some(name) => vec![name],
                None => store
                    .state()
                    .iter()
                    .filter(|own| own.namespace() == changed.namespace())
                    .map(|own| own.name_any())
                    .collect(),
            };
        }
        (Kind::Receiver, Kind::Sink) => return name(changed, BACKEND_REF).into_iter().collect(),
        (Kind::Sink, _) => BACKEND_REF,
        (_, Kind::Sink) => SINK_REF,
        // A receiver behind a sink is of the sink's concern.
        _ => RECEIVER_REF,
    };
    let (wanted, namespace) = (changed.name_any(), changed.namespace());
    let concerned = store
        .state()
        .into_iter()
        .filter(|own| own.namespace() == namespace && name(own, refers).as_deref() == Some(wanted.as_str()));
    concerned.map(|own| own.name_any()).collect()
}

const SINK_REF: &str = "/spec/target/sinkRef/name";
const RECEIVER_REF: &str = "/spec/target/receiverRef/name";
const BACKEND_REF: &str = "/spec/backend/receiverRef/name";

/// What a controller sees.
struct Scope {
    cluster: Cluster,
    namespace: Option<String>,
}

impl Scope {
    fn objects(&self, resource: &ApiResource) -> Api<DynamicObject> {
        match &self.namespace {
            Some(namespace) => self.cluster.objects(resource, namespace),
            None => Api::all_with(self.cluster.client(), resource),
        }
    }
}
