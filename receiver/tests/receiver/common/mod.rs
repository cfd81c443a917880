//! A receiver on loopback and a sender that may break every rule.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::needless_pass_by_value,
    reason = "each test file uses some of it"
)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use floodmark_http::client::{Connection, Endpoint, Response, TransportError, get_json};
use floodmark_http::{HeaderMap, HeaderName, HeaderValue};
use ledger::StoreReport;
use remote_write::{Label, Sample, Snappy, header, v1};
use telemetry::Stop;
use tokio::net::TcpListener;

pub struct Receiver {
    pub address: SocketAddr,
    pub control: PathBuf,
    stop: Stop,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
    _directory: tempfile::TempDir,
}

impl Receiver {
    /// Starts one with a spec (JSON) and a conductor.
    pub async fn start(spec: &str, conductor: Option<String>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let control = directory.path().join("receiver.json");
        std::fs::write(&control, document(spec, conductor)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Stop::new();
        let options = floodmark_receiver::Options { control: Some(control.clone()), ordinal: 0, listen: address };
        let task = tokio::spawn(floodmark_receiver::serve(listener, options, stop.clone()));
        Self { address, control, stop, task, _directory: directory }
    }

    pub fn sender(&self) -> Sender {
        Sender::new(self.address)
    }

    pub async fn store(&self) -> StoreReport {
        get_json(&format!("http://{}/store", self.address), 4 << 20, Duration::from_secs(5)).await.unwrap()
    }

    pub async fn end(self) {
        self.stop.request();
        self.task.await.unwrap().unwrap();
    }
}

pub fn document(spec: &str, conductor: Option<String>) -> String {
    let spec: serde_json::Value = serde_json::from_str(spec).unwrap();
    serde_json::json!({"spec": spec, "conductor": conductor}).to_string()
}

pub struct Sender {
    connection: Connection,
    pub headers: HeaderMap,
    pub path: Option<String>,
}

impl Sender {
    pub fn new(address: SocketAddr) -> Self {
        let endpoint = Endpoint::new(format!("http://{address}/api/v1/write")).with_timeout(Duration::from_secs(5));
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::CONTENT_ENCODING, header::SNAPPY),
            (header::CONTENT_TYPE, header::CONTENT_TYPE_V1),
            (header::VERSION, header::VERSION_V1),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Self { connection: Connection::new(&endpoint).unwrap(), headers, path: None }
    }

    pub fn timeout(mut self, address: SocketAddr, timeout: Duration) -> Self {
        let endpoint = Endpoint::new(format!("http://{address}/api/v1/write")).with_timeout(timeout);
        self.connection = Connection::new(&endpoint).unwrap();
        self
    }

    pub async fn raw(&mut self, body: Vec<u8>) -> Result<Response, TransportError> {
        self.connection.post(self.path.as_deref(), &self.headers, Bytes::from(body)).await
    }

    pub async fn get(&mut self, path: &str) -> Response {
        self.connection.get(Some(path)).await.unwrap()
    }

    pub async fn plain(&mut self, message: &[u8]) -> Result<Response, TransportError> {
        self.raw(Snappy::new().compress(message).to_vec()).await
    }

    /// Sends series as (labels in wire order, samples).
    pub async fn send(&mut self, series: &[Series<'_>]) -> Result<Response, TransportError> {
        self.plain(&message(series)).await
    }
}

pub type Series<'a> = (Vec<(&'a [u8], &'a [u8])>, Vec<(i64, f64)>);

pub fn message(series: &[Series<'_>]) -> Vec<u8> {
    let mut encoder = v1::Encoder::new();
    for (labels, samples) in series {
        let mut block = Vec::new();
        for (name, value) in labels {
            remote_write::canonical::push_label(&mut block, name, value);
        }
        let samples: Vec<Sample> = samples.iter().map(|&(timestamp, value)| Sample { timestamp, value }).collect();
        encoder.series(&block, &samples);
    }
    encoder.body().to_vec()
}

/// A good series with a name.
pub fn named(name: &str, samples: Vec<(i64, f64)>) -> Series<'_> {
    (vec![(b"__name__", b"up"), (b"instance", name.as_bytes())], samples)
}

pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

pub fn label<'a>(name: &'a [u8], value: &'a [u8]) -> Label<'a> {
    Label { name, value }
}
