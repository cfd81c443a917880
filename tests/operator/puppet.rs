//! Plays the controllers, the node and the parts of one namespace: pods come up at once, and their parts say what the script wants.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use floodmark_http::server;
use http::{Request, Response, StatusCode};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use serde_json::{Value, json};

use crate::apiserver::ApiServer;

/// Answers of the conductor before its verdict.
const STEPS: usize = 4;

#[derive(Default)]
struct Script {
    asked: AtomicUsize,
    /// The conductor stays as it is.
    hold: AtomicBool,
    /// The sink's control document.
    control: Mutex<Value>,
    /// Every chaos list that was seen in it, once each.
    chaos: Mutex<Vec<Value>>,
}

/// Ends with this value.
pub(crate) struct Puppet {
    script: Arc<Script>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Puppet {
    /// `net` keeps the addresses of namespaces apart: 127.NET.0.x.
    pub(crate) async fn play(server: &ApiServer, namespace: &str, net: u8) -> Self {
        let file = Kubeconfig::read_from(&server.kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        let client = Client::try_from(config).unwrap();
        let script = Arc::new(Script::default());
        let mut tasks = Vec::new();
        for host in 1..=12 {
            let at = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, net, 0, host)), 9400);
            let listener = server::bind(at).unwrap();
            let script = Arc::clone(&script);
            let handler = move |request: Request<Bytes>, _: SocketAddr| {
                let answer = answer(request.uri().path(), host, &script);
                async move { answer }
            };
            tasks.push(tokio::spawn(async move {
                let never = std::future::pending();
                server::serve(listener, Arc::new(handler), server::Limits::default(), None, None, never).await;
            }));
        }
        let (namespace, played) = (namespace.to_owned(), Arc::clone(&script));
        tasks.push(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(100));
            loop {
                ticks.tick().await;
                // The next round sees what this one could not do.
                let _ = round(&client, &namespace, net, &played).await;
            }
        }));
        Self { script, tasks }
    }

    pub(crate) fn hold(&self, hold: bool) {
        self.script.hold.store(hold, Ordering::SeqCst);
    }

    pub(crate) fn phases_seen(&self) -> usize {
        self.script.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn chaos_seen(&self) -> Vec<Value> {
        self.script.chaos.lock().unwrap().clone()
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

fn answer(path: &str, host: u8, script: &Script) -> Response<Bytes> {
    let t0 = 1_700_000_000_000_000_000_u64;
    let document = match path {
        "/account" => {
            let control = script.control.lock().unwrap().clone();
            let drained = if control["phase"] == "Draining" { control["epoch"].clone() } else { Value::Null };
            json!({"ordinal": host - 1, "epoch": control["epoch"], "drained": drained, "account": {}, "fatal": null,
                   "lastError": null, "stalls": [], "cpu": {}})
        }
        "/progress" => {
            let held = script.hold.load(Ordering::SeqCst);
            let asked = if held { 0 } else { script.asked.fetch_add(1, Ordering::SeqCst) };
            let phase = ["Preparing", "Running", "Running", "Verifying"].get(asked).unwrap_or(&"Finished");
            let verdict = (asked >= STEPS).then_some("Passed");
            let t0 = (asked > 0).then_some(t0);
            json!({"run": "r", "phase": phase, "t0": t0, "stage": 0, "stages": 1, "targetRate": 1.0, "rate": 1.0, "generated": 7,
                   "acknowledged": 7, "refused": 0, "drops": 0, "dropsByReason": {}, "engineSeq": 0, "verdict": verdict,
                   "reasons": ["as the script has it"]})
        }
        "/chaos" => json!({"t0": t0, "events": [
            {"index": 0, "atMs": 18_000, "step": {"at": "18s", "action": "Kill", "sinkWorker": 1}}]}),
        "/summary" => {
            json!({"schema": "floodmark.dev/summary/v1", "verdict": "Passed", "reasons": ["as the script has it"],
                             "samples": {"generated": 7, "acknowledged": 7}})
        }
        _ => {
            let mut missing = Response::new(Bytes::new());
            *missing.status_mut() = StatusCode::NOT_FOUND;
            return missing;
        }
    };
    Response::new(Bytes::from(document.to_string()))
}

async fn round(client: &Client, namespace: &str, net: u8, script: &Script) -> Result<(), kube::Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let live: Vec<Pod> = pods.list(&ListParams::default()).await?.items;
    let mut wanted = BTreeSet::new();
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
    for set in sets.list(&ListParams::default()).await?.items {
        let Some(spec) = &set.spec else { continue };
        let receiver = set.name_any().ends_with("-receiver");
        for ordinal in 0..spec.replicas.unwrap_or(1) {
            let name = format!("{}-{ordinal}", set.name_any());
            let host = if receiver { 10 } else { ordinal + 1 };
            let index = ("apps.kubernetes.io/pod-index", ordinal.to_string());
            make(&pods, &live, &name, &set, json!(spec.template), index, format!("127.{net}.0.{host}")).await?;
            wanted.insert(name);
        }
    }
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    for job in jobs.list(&ListParams::default()).await?.items {
        let Some(spec) = &job.spec else { continue };
        let host = if job.name_any().ends_with("-conductor") { 11 } else { 12 };
        let name = format!("{}-0", job.name_any());
        let index = ("batch.kubernetes.io/job-completion-index", "0".to_owned());
        make(&pods, &live, &name, &job, json!(spec.template), index, format!("127.{net}.0.{host}")).await?;
        wanted.insert(name);
    }
    // Nobody collects garbage here: what a deleted object owned goes with this.
    for pod in live.iter().filter(|pod| !wanted.contains(&pod.name_any())) {
        pods.delete(&pod.name_any(), &DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() })
            .await
            .ok();
    }
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    for map in
        maps.list(&ListParams::default()).await?.items.iter().filter(|map| map.name_any().ends_with("-sink-control"))
    {
        let text = map.data.as_ref().and_then(|data| data.get("control.json")).map_or("null", String::as_str);
        let control: Value = serde_json::from_str(text).unwrap_or_default();
        for entry in control["chaos"].as_array().into_iter().flatten() {
            let mut chaos = script.chaos.lock().unwrap();
            if !chaos.contains(entry) {
                chaos.push(entry.clone());
            }
        }
        *script.control.lock().unwrap() = control;
    }
    collect(client, namespace).await
}

/// Deletes the Jobs of tests that are gone, as the garbage collector does.
async fn collect(client: &Client, namespace: &str) -> Result<(), kube::Error> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let request = http::Request::get(format!("/apis/floodmark.dev/v1alpha1/namespaces/{namespace}/loadtests"));
    let tests: Value = client.request(request.body(Vec::new()).unwrap()).await?;
    let alive: Vec<&Value> =
        tests["items"].as_array().into_iter().flatten().map(|test| &test["metadata"]["uid"]).collect();
    for job in jobs.list(&ListParams::default()).await?.items {
        let owner = job.owner_references().first().map(|owner| json!(owner.uid));
        if owner.is_some_and(|owner| !alive.contains(&&owner)) {
            jobs.delete(&job.name_any(), &DeleteParams::background()).await.ok();
        }
    }
    Ok(())
}

async fn make<O: ResourceExt<DynamicType = ()>>(
    pods: &Api<Pod>,
    live: &[Pod],
    name: &str,
    owner: &O,
    template: Value,
    index: (&str, String),
    ip: String,
) -> Result<(), kube::Error> {
    if live.iter().any(|pod| pod.name_any() == name) {
        return Ok(());
    }
    let mut pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]});
    pod["metadata"]["name"] = json!(name);
    pod["metadata"]["labels"][index.0] = json!(index.1);
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": O::api_version(&()), "kind": O::kind(&()), "name": owner.name_any(), "uid": owner.uid(), "controller": true,
    }]);
    // Admission looks accounts up, and nobody made the default one here.
    pod["spec"]["automountServiceAccountToken"] = json!(false);
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await?;
    let status = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                                   "conditions": [{"type": "Ready", "status": "True"}]}});
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.map(|_| ())
}
