//! The parts of one pod, as far as the operator asks them: each pod has an address of its own on loopback.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use floodmark_http::server;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::puppet::{Seen, Stage};

/// What the conductor says before its verdict, one for each time that it is asked.
const PHASES: [&str; 4] = ["Preparing", "Running", "Running", "Verifying"];

/// What is served at a pod's address; ends with this value.
pub(crate) struct Parts {
    ip: IpAddr,
    task: tokio::task::JoinHandle<server::Served>,
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Who asks: a pod by its namespace and name.
struct Pod {
    namespace: String,
    name: String,
    seen: Arc<Seen>,
    stage: Arc<Stage>,
    /// The control document that a worker obeys: none replaces a newer one.
    obeyed: Mutex<Value>,
}

impl Parts {
    /// The address of a pod, at which its parts answer from now on. A later pod of the same name has the same.
    pub(crate) fn address(
        known: &mut BTreeMap<String, Self>,
        namespace: &str,
        name: &str,
        seen: &Arc<Seen>,
        stage: &Arc<Stage>,
    ) -> IpAddr {
        let make = || {
            let (ip, listener) = free();
            let (seen, stage) = (Arc::clone(seen), Arc::clone(stage));
            let (namespace, name) = (namespace.to_owned(), name.to_owned());
            let pod = Pod { namespace, name, seen, stage, obeyed: Mutex::default() };
            let handler = move |request: Request<Bytes>, _: SocketAddr| {
                let answer = pod.answer(request.uri().path());
                async move { answer }
            };
            let never = std::future::pending();
            let task =
                tokio::spawn(server::serve(listener, Arc::new(handler), server::Limits::default(), None, None, never));
            Self { ip, task }
        };
        known.entry(name.to_owned()).or_insert_with(make).ip
    }
}

/// The port is fixed, so each pod needs an address that nobody else listens at: another run of these tests may go on.
fn free() -> (IpAddr, tokio::net::TcpListener) {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let own = 64 + (std::process::id() % 128) as u8;
    loop {
        let [high, low] = NEXT.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        let ip = IpAddr::V4(Ipv4Addr::new(127, own, high, low));
        if let Ok(listener) = server::bind(SocketAddr::new(ip, 9400)) {
            return (ip, listener);
        }
    }
}

impl Pod {
    fn label(&self, label: &str) -> Option<String> {
        self.seen.get(&self.namespace, "pods", &self.name)?.metadata.labels.as_ref()?.get(label).cloned()
    }

    /// The control document of the sink that the pod, or its test, belongs to.
    fn control(&self, sink: &str) -> Value {
        let map = self.seen.get(&self.namespace, "configmaps", &format!("{sink}-sink-control"));
        let text = map.and_then(|map| map.data["data"]["control.json"].as_str().map(str::to_owned));
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// The spec of the test that this conductor conducts.
    fn test(&self) -> Value {
        let test = self.label("floodmark.dev/load-test").unwrap_or_default();
        let test = self.seen.get(&self.namespace, "loadtests", &test);
        test.map(|test| test.data["spec"].clone()).unwrap_or_default()
    }

    /// What the operator told the conductor.
    fn told(&self) -> Value {
        let pod = self.seen.get(&self.namespace, "pods", &self.name);
        let annotation = pod.and_then(|pod| pod.metadata.annotations.as_ref()?.get("floodmark.dev/engine").cloned());
        annotation.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// Whether all that was to be broken was handed to the supervisors, or is known to be done.
    fn broken(&self) -> bool {
        let (test, told) = (self.test(), self.told());
        let (mut by_supervisor, mut by_operator) = (0, 0);
        for step in test["chaos"].as_array().into_iter().flatten() {
            match step["action"].as_str() {
                Some("Kill" | "Pause") => by_supervisor += 1,
                _ => by_operator += 1,
            }
        }
        let control = self.control(test["target"]["sinkRef"]["name"].as_str().unwrap_or_default());
        let handed = control["chaos"].as_array().map_or(0, Vec::len);
        let done = told["executed"].as_array().into_iter().flatten().filter(|step| step["backAt"].is_u64()).count();
        handed >= by_supervisor && done >= by_operator
    }

    fn stopped(&self) -> bool {
        self.told()["stop"].is_string()
    }

    fn verdict(&self) -> &'static str {
        if self.stopped() {
            "Inconclusive"
        } else if self.stage.fails.load(Ordering::SeqCst) {
            "Failed"
        } else {
            "Passed"
        }
    }

    fn progress(&self) -> Value {
        let stage = &self.stage;
        let asked = stage.asked.load(Ordering::SeqCst);
        let step = match asked {
            _ if self.stopped() => PHASES.len(),
            _ if stage.unready.load(Ordering::SeqCst) => 0,
            asked if stage.endless.load(Ordering::SeqCst) => asked.min(1),
            asked if asked >= PHASES.len() && !self.broken() => PHASES.len() - 1,
            asked => asked,
        };
        if !stage.unready.load(Ordering::SeqCst) {
            stage.asked.store(asked + 1, Ordering::SeqCst);
        }
        let phase = PHASES.get(step).unwrap_or(&"Finished");
        let verdict = (step >= PHASES.len()).then(|| self.verdict());
        json!({"run": "r", "phase": phase, "t0": (step > 0).then(|| stage.t0()), "elapsed": 0.0, "duration": 1.0,
               "backlogSeconds": 0.0, "stage": 0, "stages": 1, "targetRate": 1.0,
               "rate": asked, "generated": asked, "acknowledged": asked, "refused": 0, "drops": 0, "dropsByReason": {},
               "engineSeq": self.told()["seq"].as_u64().unwrap_or(0), "verdict": verdict, "reasons": ["as the script has it"]})
    }

    fn chaos(&self) -> Value {
        let test = self.test();
        let steps = test["chaos"].as_array().into_iter().flatten().enumerate();
        let events: Vec<Value> =
            steps.map(|(index, step)| json!({"index": index, "atMs": 1000 + index, "step": step})).collect();
        json!({"t0": self.stage.t0(), "events": events})
    }

    fn obeyed(&self) -> Value {
        let control = self.control(&self.label("floodmark.dev/sink").unwrap_or_default());
        let mut obeyed = self.obeyed.lock().unwrap();
        if control["epoch"].as_u64() >= obeyed["epoch"].as_u64() {
            *obeyed = control;
        }
        obeyed.clone()
    }

    fn ownership(&self) -> Value {
        let control = self.obeyed();
        let addresses = control["addresses"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let addresses: Vec<String> = addresses.map(|address| format!("http://{address}")).collect();
        json!({"sinkUid": control["sinkUid"], "epoch": control["epoch"], "replicas": control["from"],
               "lanes": control["lanes"], "by": control["by"], "addresses": addresses})
    }

    fn account(&self) -> Value {
        let control = self.obeyed();
        let drained = if control["phase"] == "Draining" && !self.stage.stuck.load(Ordering::SeqCst) {
            control["epoch"].clone()
        } else {
            Value::Null
        };
        let ordinal = self.label("apps.kubernetes.io/pod-index").and_then(|index| index.parse::<u32>().ok());
        json!({"ordinal": ordinal.unwrap_or(0), "epoch": control["epoch"], "drained": drained, "account": {},
               "fatal": null, "lastError": null, "stalls": [], "cpu": {}})
    }

    fn answer(&self, path: &str) -> Response<Bytes> {
        let document = match path {
            "/account" => self.account(),
            "/ownership" if !self.stage.mute.load(Ordering::SeqCst) => self.ownership(),
            "/progress" => self.progress(),
            "/chaos" => self.chaos(),
            "/summary" => {
                json!({"schema": "floodmark.dev/summary/v1", "verdict": self.verdict(), "reasons": ["as the script has it"],
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
}
