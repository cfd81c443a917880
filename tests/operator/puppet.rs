//! Plays the controllers, the garbage collector, the nodes and the parts of every namespace that has a stage: pods come up at once,
//! and their parts say what the script wants.

use std::collections::{BTreeMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::future::join_all;
use http::Method;
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher;
use serde_json::{Value, json};

use crate::api::{Api, KINDS, path};
use crate::parts::Parts;

/// All that the operator made, and the pods of it.
const MANAGED: &str = "app.kubernetes.io/managed-by=floodmark-operator";

/// What the conductor of a namespace says, and when.
#[derive(Default)]
pub(crate) struct Stage {
    /// How often it was asked for its progress.
    pub(crate) asked: AtomicUsize,
    /// When samples began to flow, Unix nanoseconds.
    pub(crate) t0: OnceLock<u64>,
    /// The conductor stays in its first phase …
    pub(crate) unready: AtomicBool,
    /// … or goes on running.
    pub(crate) endless: AtomicBool,
    /// No node takes the pods of sets from this index on.
    pub(crate) room: OnceLock<u64>,
    /// Whoever looks after sets has no time: their changes are not seen.
    pub(crate) slow: AtomicBool,
    /// Workers do not drain …
    pub(crate) stuck: AtomicBool,
    /// … or do not say which control document they obey.
    pub(crate) mute: AtomicBool,
    /// The verdict.
    pub(crate) fails: AtomicBool,
    /// The parts of its pods, by name.
    parts: Mutex<BTreeMap<String, Parts>>,
}

impl Stage {
    /// Now, when it is asked for the first time.
    pub(crate) fn t0(&self) -> u64 {
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64 * 1_000_000;
        *self.t0.get_or_init(now)
    }
}

/// Everything there is, as the watches tell it.
pub(crate) struct Seen(Vec<(&'static str, Store<DynamicObject>)>);

impl Seen {
    fn all(&self, plural: &str) -> Vec<Arc<DynamicObject>> {
        self.0.iter().find(|(known, _)| *known == plural).unwrap().1.state()
    }

    /// Of a namespace.
    pub(crate) fn of(&self, namespace: &str, plural: &str) -> Vec<Arc<DynamicObject>> {
        let mut all = self.all(plural);
        all.retain(|object| object.metadata.namespace.as_deref() == Some(namespace));
        all
    }

    pub(crate) fn get(&self, namespace: &str, plural: &str, name: &str) -> Option<Arc<DynamicObject>> {
        self.of(namespace, plural).into_iter().find(|object| object.metadata.name.as_deref() == Some(name))
    }
}

pub(crate) struct Puppet {
    seen: Arc<Seen>,
    stages: Arc<Mutex<BTreeMap<String, Arc<Stage>>>>,
}

impl Puppet {
    pub(crate) async fn play(api: &Api) -> Self {
        let stores = join_all(KINDS.iter().map(|kind| watch(api, kind))).await;
        let (seen, stages) = (Arc::new(Seen(stores)), Arc::<Mutex<BTreeMap<String, Arc<Stage>>>>::default());
        let puppet = Self { seen: Arc::clone(&seen), stages: Arc::clone(&stages) };
        let api = api.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(100));
            let mut known = HashSet::new();
            loop {
                ticks.tick().await;
                let stages: Vec<_> =
                    stages.lock().unwrap().iter().map(|(name, stage)| (name.clone(), Arc::clone(stage))).collect();
                join_all(stages.iter().map(|(namespace, stage)| round(&api, &seen, namespace, stage))).await;
                collect(&api, &seen, &mut known).await;
            }
        });
        puppet
    }

    /// From now on pods come up in this namespace.
    pub(crate) fn stage(&self, namespace: &str) -> Arc<Stage> {
        let stage = Arc::new(Stage::default());
        self.stages.lock().unwrap().insert(namespace.to_owned(), Arc::clone(&stage));
        stage
    }

    /// Nothing comes up there any more; what is deleted still goes.
    pub(crate) fn leave(&self, namespace: &str) {
        self.stages.lock().unwrap().remove(namespace);
    }

    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }
}

/// A store that follows all objects of a kind.
async fn watch(api: &Api, kind: &(&'static str, &str, &str)) -> (&'static str, Store<DynamicObject>) {
    let (plural, group, name) = *kind;
    let (group, version) = match group.strip_prefix("/apis/") {
        Some(named) => named.split_once('/').unwrap(),
        None => ("", "v1"),
    };
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, name), plural);
    let ours = group == "floodmark.dev";
    let config = if ours { watcher::Config::default() } else { watcher::Config::default().labels(MANAGED) };
    let writer = reflector::store::Writer::new(resource.clone());
    let store = writer.as_reader();
    let objects: kube::Api<DynamicObject> = kube::Api::all_with(api.0.clone(), &resource);
    let events = reflector::reflector(writer, watcher(objects, config));
    tokio::spawn(events.for_each(|_| async {}));
    store.wait_until_ready().await.unwrap();
    (plural, store)
}

/// Makes the pods of one namespace as its sets and jobs want them. The next round does what this one could not.
async fn round(api: &Api, seen: &Arc<Seen>, namespace: &str, stage: &Arc<Stage>) {
    let mut wanted = BTreeMap::new();
    for (plural, count, label) in
        [("statefulsets", "replicas", SET_INDEX), ("jobs", "completions", "batch.kubernetes.io/job-completion-index")]
    {
        for owner in seen.of(namespace, plural) {
            for index in 0..owner.data["spec"][count].as_u64().unwrap_or(1) {
                let name = format!("{}-{index}", owner.metadata.name.as_deref().unwrap());
                wanted.insert(name, (Arc::clone(&owner), label, index));
            }
        }
    }
    let slow = stage.slow.load(Ordering::SeqCst);
    let pods = seen.of(namespace, "pods");
    for set in seen.of(namespace, "statefulsets").iter().filter(|_| !slow) {
        let status = set_status(set, &pods);
        if !status.as_object().unwrap().iter().all(|(key, value)| set.data["status"][key] == *value) {
            let at = format!("{}/status", path(namespace, "statefulsets", &set.name_any()));
            let status = json!({"status": status}).to_string();
            let _ = api.send(Method::PATCH, &at, "application/merge-patch+json", &status).await;
        }
    }
    for pod in &pods {
        let (name, uid) = (pod.metadata.name.as_deref().unwrap(), pod.metadata.uid.as_deref().unwrap());
        let owner = &pod.metadata.owner_references.as_ref().unwrap()[0].uid;
        let fits = wanted.get(name).is_some_and(|(wanted, label, _)| {
            let outdated = *label == SET_INDEX && !slow && pod.labels().get(REVISION) != Some(&revision(wanted));
            wanted.metadata.uid.as_ref() == Some(owner) && !outdated
        });
        if !fits || pod.metadata.deletion_timestamp.is_some() {
            delete(api, namespace, "pods", name, uid).await;
        } else if pod.data["spec"]["nodeName"].is_null() {
            unschedulable(api, namespace, pod).await;
        } else if pod.data["status"]["podIP"].is_null() {
            let ip = Parts::address(&mut stage.parts.lock().unwrap(), namespace, name, seen, stage);
            let status = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                                           "conditions": [{"type": "Ready", "status": "True"}]}});
            let at = format!("{}/status", path(namespace, "pods", name));
            let _ = api.send(Method::PATCH, &at, "application/merge-patch+json", &status.to_string()).await;
        }
    }
    for (name, (owner, label, index)) in &wanted {
        if !pods.iter().any(|pod| pod.metadata.name.as_ref() == Some(name)) {
            let mut pod = pod(&serde_json::to_value(&**owner).unwrap(), name, label, *index);
            if *label == SET_INDEX {
                pod["metadata"]["labels"][REVISION] = json!(revision(owner));
            }
            if *label != SET_INDEX || stage.room.get().is_none_or(|room| index < room) {
                pod["spec"]["nodeName"] = json!("node");
            }
            let pod = pod.to_string();
            let made = api.send(Method::POST, &path(namespace, "pods", ""), "application/json", &pod).await;
            // Its pods have to pass the namespace's `restricted` level; what else is in the way passes.
            if let Err((403, words)) = made {
                assert!(!words.contains("PodSecurity"), "{words}");
            }
        }
    }
}

/// What the scheduler says of a pod, once.
async fn unschedulable(api: &Api, namespace: &str, pod: &DynamicObject) {
    if pod.data["status"]["conditions"].is_null() {
        let told = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"});
        let status = json!({"status": {"conditions": [told]}}).to_string();
        let at = format!("{}/status", path(namespace, "pods", &pod.name_any()));
        let _ = api.send(Method::PATCH, &at, "application/merge-patch+json", &status).await;
    }
}

const SET_INDEX: &str = "apps.kubernetes.io/pod-index";

const REVISION: &str = "controller-revision-hash";

/// Of a set's template.
fn revision(set: &DynamicObject) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    set.data["spec"]["template"].to_string().hash(&mut hasher);
    format!("{}-{:08x}", set.name_any(), hasher.finish() as u32)
}

/// What its controller says of it: a revision is the current one once all pods are of it and ready.
fn set_status(set: &DynamicObject, pods: &[Arc<DynamicObject>]) -> Value {
    let update = revision(set);
    let own =
        |pod: &&Arc<DynamicObject>| pod.owner_references().first().map(|owner| &owner.uid) == set.metadata.uid.as_ref();
    let own: Vec<_> = pods.iter().filter(own).collect();
    let ready = own.iter().filter(|pod| !pod.data["status"]["podIP"].is_null()).count();
    let updated = own.iter().filter(|pod| pod.labels().get(REVISION) == Some(&update)).count();
    let all = |count: usize| set.data["spec"]["replicas"].as_u64() == Some(count as u64);
    let before = &set.data["status"]["currentRevision"];
    let done = before.is_null() || (all(ready) && all(updated) && all(own.len()));
    json!({"observedGeneration": set.metadata.generation, "replicas": own.len(), "readyReplicas": ready,
           "updatedReplicas": updated, "updateRevision": update,
           "currentRevision": if done { json!(update) } else { before.clone() }})
}

/// As its controller makes it of the template of its owner.
fn pod(owner: &Value, name: &str, label: &str, index: u64) -> Value {
    let template = &owner["spec"]["template"];
    let (version, kind) = if label == SET_INDEX { ("apps/v1", "StatefulSet") } else { ("batch/v1", "Job") };
    let mut pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]});
    pod["metadata"]["name"] = json!(name);
    pod["metadata"]["labels"][label] = json!(index.to_string());
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": version, "kind": kind, "name": owner["metadata"]["name"],
                                                 "uid": owner["metadata"]["uid"], "controller": true}]);
    pod
}

/// Ends what a deleted object owned: `known` are all that were there before.
async fn collect(api: &Api, seen: &Seen, known: &mut HashSet<String>) {
    let mut alive = HashSet::new();
    let mut owned = Vec::new();
    for (plural, ..) in KINDS {
        for object in seen.all(plural) {
            alive.extend(object.metadata.uid.clone());
            if let Some(owner) = object.metadata.owner_references.iter().flatten().next() {
                owned.push((plural, owner.uid.clone(), object));
            }
        }
    }
    for (plural, owner, object) in owned {
        if known.contains(&owner) && !alive.contains(&owner) {
            let meta = &object.metadata;
            let name = |text: &Option<String>| text.clone().unwrap();
            delete(api, &name(&meta.namespace), plural, &name(&meta.name), &name(&meta.uid)).await;
        }
    }
    known.extend(alive);
}

/// That very object: another of its name stays.
async fn delete(api: &Api, namespace: &str, plural: &str, name: &str, uid: &str) {
    let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
                         "propagationPolicy": "Background", "preconditions": {"uid": uid}});
    let _ = api.send(Method::DELETE, &path(namespace, plural, name), "application/json", &options.to_string()).await;
}
