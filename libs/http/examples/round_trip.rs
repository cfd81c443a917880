//! What a request costs: CPU microseconds of client and server for bodies of 58 KB, one request in flight a connection.
//!
//! `cargo run --release -p floodmark-http --example round_trip [CONNECTIONS]`

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use floodmark_http::client::{Connection, Endpoint};
use floodmark_http::server::{self, Limits};
use floodmark_http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

const BODY: usize = 58_000;
const REQUESTS: u32 = 20_000;

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

async fn no_content(_: Request<Bytes>, _: std::net::SocketAddr) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn main() -> Result<(), Box<dyn Error>> {
    let connections: u32 = std::env::args().nth(1).map_or(Ok(4), |text| text.parse())?;
    let (stop, stopped) = oneshot::channel::<()>();
    let (ready, address) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || -> std::io::Result<Duration> {
        runtime()?.block_on(async {
            let listener = server::bind(([127, 0, 0, 1], 0).into()).map_err(std::io::Error::other)?;
            ready.send(listener.local_addr()?).map_err(std::io::Error::other)?;
            let wait = async {
                let _ = stopped.await;
            };
            server::serve(listener, Arc::new(no_content), Limits::default(), None, None, wait).await;
            Ok(thread_cpu())
        })
    });
    let address = address.recv()?;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "0.1.0"),
        ("floodmark-epoch", "1"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let body = Bytes::from(vec![7; BODY]);
    let started = Instant::now();
    runtime()?.block_on(async {
        let mut lanes = tokio::task::JoinSet::new();
        for _ in 0..connections {
            let (headers, body) = (headers.clone(), body.clone());
            let mut connection = Connection::new(&Endpoint::new(format!("http://{address}/api/v1/write")))?;
            lanes.spawn(async move {
                for _ in 0..REQUESTS / connections {
                    connection.post(None, &headers, body.clone()).await?;
                }
                Ok::<_, floodmark_http::client::TransportError>(())
            });
        }
        while let Some(lane) = lanes.join_next().await {
            lane??;
        }
        Ok::<_, Box<dyn Error>>(())
    })?;
    let (took, client) = (started.elapsed(), thread_cpu());
    drop(stop);
    let server = server.join().map_err(|_| "the server panicked")??;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(REQUESTS);
    println!(
        "{connections} connections: client {:.1} us, server {:.1} us, wall {:.1} us a request",
        each(client),
        each(server),
        each(took)
    );
    Ok(())
}
