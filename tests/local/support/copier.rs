//! A man in the middle: passes Remote-Write on, and stores every sample once more under other labels.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use floodmark_http::client::{Connection, Endpoint};
use floodmark_http::server::{Limits, bind, serve};
use floodmark_http::{HeaderMap, Request, Response, StatusCode};
use remote_write::{Label, Sample, Snappy, canonical, v1};
use telemetry::Stop;
use tokio::runtime::Runtime;

/// What the copies bear.
#[derive(Debug, Clone, Copy)]
pub enum Labels {
    /// One more: `replica="b"`.
    Replica,
    /// All but `floodmark_bucket`.
    NoBucket,
}

/// Ends with this value.
pub struct Copier {
    pub address: SocketAddr,
    stop: Stop,
    _runtime: Runtime,
}

impl Copier {
    /// Stands before the server at `backend` (host:port).
    pub fn start(backend: &str, labels: Labels) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let entered = runtime.enter();
        let listener = bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let stop = Stop::new();
        let endpoint = Endpoint::new(format!("http://{backend}/api/v1/write"));
        let handler = move |request: Request<Bytes>, _: SocketAddr| {
            let endpoint = endpoint.clone();
            async move { twice(&endpoint, request, labels).await }
        };
        runtime.spawn(serve(listener, Arc::new(handler), Limits::default(), None, None, stop.wait()));
        drop(entered);
        Self { address, stop, _runtime: runtime }
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.stop.request();
    }
}

async fn twice(endpoint: &Endpoint, request: Request<Bytes>, labels: Labels) -> Response<Bytes> {
    let mut headers = HeaderMap::new();
    for name in ["content-type", "content-encoding", "x-prometheus-remote-write-version"] {
        if let Some(value) = request.headers().get(name) {
            headers.insert(name, value.clone());
        }
    }
    let body = request.into_body();
    let copy = copy(&body, labels);
    let mut connection = Connection::new(endpoint).expect("an endpoint");
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    if let Ok(first) = connection.post(None, &headers, body).await {
        *answer.status_mut() = StatusCode::from_u16(first.status).expect("a status");
        if first.is_success() {
            let second = connection.post(None, &headers, copy).await;
            assert!(second.is_ok_and(|second| second.is_success()), "the copy is stored");
        }
    }
    answer
}

/// The same request with these labels in every series.
fn copy(body: &[u8], labels: Labels) -> Bytes {
    let mut snappy = Snappy::new();
    let plain = snappy.decompress(body, 32 << 20).expect("snappy").to_vec();
    let (mut encoder, mut scratch) = (v1::Encoder::new(), canonical::Scratch::new());
    for series in v1::walk(&plain) {
        let series = series.expect("a series");
        let (without, with): (&[u8], _) = match labels {
            Labels::Replica => (b"", Some(Label { name: b"replica", value: b"b" })),
            Labels::NoBucket => (b"floodmark_bucket", None),
        };
        let labels = series.labels().filter(|label| label.name != without).chain(with);
        let samples: Vec<Sample> = series.samples().collect();
        encoder.series(canonical::block_of(labels, &mut scratch), &samples);
    }
    Bytes::from(snappy.compress(encoder.body()).to_vec())
}
