//! A worker in this process, a scripted backend, and requests made by hand.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use floodmark_http::client::{Connection, Endpoint, Response, get_json};
use floodmark_http::server::{self, Abort, Limits};
use floodmark_sink_worker::{Options, Outcome, run_on};
use http::{HeaderMap, HeaderValue, Request};
use ownership::{By, ControlDocument, Phase};
use protocol::{SinkWorkerPlan, WorkerReport};
use remote_write::canonical::{Scratch, push_label};
use remote_write::{Sample, Snappy, v1};
use telemetry::stop::Stop;

/// What the backend does with one request.
#[derive(Clone, Debug)]
pub enum Script {
    Status(u16),
    With(u16, &'static str, String),
    Text(u16, &'static str),
    Abort(Abort),
    /// By what is in it.
    Judge(fn(&[(String, i64)]) -> u16),
}

#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Instant,
    pub body: Bytes,
    pub headers: HeaderMap,
    /// Metric name and timestamp, in wire order.
    pub samples: Vec<(String, i64)>,
    pub status: u16,
}

pub struct Backend {
    pub address: SocketAddr,
    script: Mutex<VecDeque<Script>>,
    usual: Mutex<Script>,
    seen: Mutex<Vec<Seen>>,
}

impl Backend {
    pub fn start(usual: Script) -> Arc<Self> {
        let listener = server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self::on(listener, usual)
    }

    pub fn on(listener: tokio::net::TcpListener, usual: Script) -> Arc<Self> {
        let backend = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            script: Mutex::default(),
            usual: Mutex::new(usual),
            seen: Mutex::default(),
        });
        let own = Arc::clone(&backend);
        let handler = move |request: Request<Bytes>, _| {
            let own = Arc::clone(&own);
            async move { own.answer(&request) }
        };
        tokio::spawn(server::serve(listener, Arc::new(handler), Limits::default(), None, None, std::future::pending()));
        backend
    }

    fn answer(&self, request: &Request<Bytes>) -> http::Response<Bytes> {
        let next = self.script.lock().unwrap().pop_front();
        let script = next.unwrap_or_else(|| self.usual.lock().unwrap().clone());
        let samples = decode(request.body());
        let mut response = http::Response::new(Bytes::new());
        let mut status = 0;
        match script {
            Script::Status(code) => status = code,
            Script::With(code, name, value) => {
                status = code;
                response.headers_mut().insert(name, HeaderValue::from_str(&value).unwrap());
            }
            Script::Text(code, text) => {
                status = code;
                *response.body_mut() = Bytes::from_static(text.as_bytes());
            }
            Script::Judge(judge) => status = judge(&samples),
            Script::Abort(abort) => {
                *response.body_mut() = Bytes::from_static(b"stored");
                response.extensions_mut().insert(abort);
            }
        }
        if status != 0 {
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
        }
        self.seen.lock().unwrap().push(Seen {
            at: Instant::now(),
            body: request.body().clone(),
            headers: request.headers().clone(),
            samples,
            status,
        });
        response
    }

    pub fn script(&self, scripts: impl IntoIterator<Item = Script>) {
        self.script.lock().unwrap().extend(scripts);
    }

    pub fn usually(&self, script: Script) {
        *self.usual.lock().unwrap() = script;
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Samples of requests answered 2xx, in order of arrival.
    pub fn stored(&self) -> Vec<(String, i64)> {
        self.seen().into_iter().filter(|seen| (200..300).contains(&seen.status)).flat_map(|seen| seen.samples).collect()
    }

    pub fn url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }
}

pub fn decode(body: &[u8]) -> Vec<(String, i64)> {
    let mut snappy = Snappy::new();
    let Ok(plain) = snappy.decompress(body, 32 << 20) else { return Vec::new() };
    let mut samples = Vec::new();
    for series in v1::walk(plain).map_while(Result::ok) {
        let name = String::from_utf8_lossy(series.label(b"__name__").unwrap_or_default()).into_owned();
        samples.extend(series.samples().map(|sample| (name.clone(), sample.timestamp)));
    }
    samples
}

/// A compressed request of series by name, each with one sample.
pub fn body(samples: &[(&str, i64)]) -> Bytes {
    let mut encoder = v1::Encoder::new();
    for (name, timestamp) in samples {
        let mut block = Vec::new();
        push_label(&mut block, b"__name__", name.as_bytes());
        encoder.series(&block, &[Sample { timestamp: *timestamp, value: 1.0 }]);
    }
    Bytes::copy_from_slice(Snappy::new().compress(encoder.body()))
}

/// Owner and lane of a series.
pub fn place(name: &str, replicas: u32, lanes: u16) -> (u32, u16) {
    let mut scratch = Scratch::new();
    let label = remote_write::Label { name: b"__name__", value: name.as_bytes() };
    let slot = remote_write::slot_of(remote_write::canonical::hash_labels([label].into_iter(), &mut scratch));
    (ownership::owner(slot, replicas), slot % lanes)
}

pub fn plan(url: &str) -> SinkWorkerPlan {
    let mut backend = Endpoint::new(url);
    backend.request_timeout = Duration::from_millis(400);
    let retry = api::Retry {
        initial_delay: api::Duration::from_millis(1),
        max_delay: api::Duration::from_millis(20),
        max_retry_after: api::Duration::from_millis(300),
        ..api::Retry::default()
    };
    SinkWorkerPlan {
        name: "sink".into(),
        backend,
        protocol: api::Protocol::V1,
        partial_writes: api::PartialWrites::Unknown,
        batching: api::Batching::default(),
        buffer: api::Buffer::default(),
        ack_policy: api::AckPolicy::Delivered,
        retry,
        on_rejected: api::OnRejected::default(),
        drain_timeout: api::Duration::from_millis(500),
    }
}

pub fn control(epoch: u64, phase: Phase, lanes: u16, addresses: Vec<String>) -> ControlDocument {
    let replicas = addresses.len() as u32;
    ControlDocument {
        sink_uid: "uid".into(),
        epoch,
        phase,
        from: replicas,
        to: replicas,
        by: By::Series,
        lanes,
        addresses,
        chaos: vec![],
        run: None,
    }
}

pub struct Worker {
    pub address: SocketAddr,
    pub folder: tempfile::TempDir,
    stop: Stop,
    task: Mutex<Option<tokio::task::JoinHandle<anyhow::Result<Outcome>>>>,
}

impl Worker {
    /// One worker with one lane.
    pub fn alone(plan: &SinkWorkerPlan) -> Self {
        Self::lanes(plan, 1)
    }

    pub fn lanes(plan: &SinkWorkerPlan, lanes: u16) -> Self {
        let listener = server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self::on(listener, plan, 0, &control(1, Phase::Stable, lanes, vec![address]))
    }

    pub fn on(
        listener: tokio::net::TcpListener,
        plan: &SinkWorkerPlan,
        ordinal: u32,
        document: &ControlDocument,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = listener.local_addr().unwrap();
        let options = Options {
            plan: folder.path().join("plan.json"),
            control: folder.path().join("control.json"),
            ordinal,
            listen: address,
            tell_last: false,
        };
        std::fs::write(&options.plan, serde_json::to_vec(plan).unwrap()).unwrap();
        std::fs::write(&options.control, serde_json::to_vec(document).unwrap()).unwrap();
        let stop = Stop::new();
        let task = Mutex::new(Some(tokio::spawn(run_on(listener, options, stop.clone()))));
        Self { address, folder, stop, task }
    }

    pub fn obey(&self, document: &ControlDocument) {
        let path = self.folder.path().join("control.json");
        let next = path.with_extension("next");
        std::fs::write(&next, serde_json::to_vec(document).unwrap()).unwrap();
        std::fs::rename(next, path).unwrap();
    }

    pub async fn post(&self, body: Bytes, headers: &[(&'static str, &str)]) -> Response {
        let url = format!("http://{}/api/v1/write", self.address);
        let mut connection = Connection::new(&Endpoint::new(url).with_timeout(Duration::from_secs(30))).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        connection.post(None, &map, body).await.unwrap()
    }

    /// Status of a third party's request.
    pub async fn write(&self, samples: &[(&str, i64)]) -> u16 {
        self.post(body(samples), &[]).await.status
    }

    /// As a generator's lane 0 of epoch 1.
    pub async fn generate(&self, sequence: u64, body: Bytes) -> Response {
        let id = format!("g/1/0/{sequence}");
        self.post(body, &[("floodmark-request", &id), ("floodmark-epoch", "1")]).await
    }

    pub async fn report(&self) -> WorkerReport {
        let url = format!("http://{}/account", self.address);
        let report: WorkerReport = get_json(&url, 1 << 20, Duration::from_secs(5)).await.unwrap();
        report.account.balance().unwrap();
        report
    }

    /// Looks at the report until it is as expected.
    pub async fn until(&self, what: impl Fn(&WorkerReport) -> bool) -> WorkerReport {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let report = self.report().await;
            if what(&report) {
                return report;
            }
            assert!(Instant::now() < end, "never came to be: {report:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn get(&self, path: &str) -> Response {
        let mut connection =
            Connection::new(&Endpoint::new(format!("http://{}/", self.address)).with_max_answer(4 << 20)).unwrap();
        connection.get(Some(path)).await.unwrap()
    }

    pub async fn stop(&self) -> Outcome {
        self.stop.request();
        let task = self.task.lock().unwrap().take().unwrap();
        let outcome = tokio::time::timeout(Duration::from_secs(20), task).await;
        let outcome = outcome.expect("a worker never hangs").unwrap().unwrap();
        outcome.account.balance().unwrap();
        assert_eq!(outcome.account.buffered, 0);
        outcome
    }
}
