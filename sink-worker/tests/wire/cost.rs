//! A measurement, not a check.

use std::time::Duration;

use floodmark_http::server;
use remote_write::{Sample, Snappy, v1};

use crate::harness::*;

/// What a sample costs on its way through sender, worker and a backend that only answers; run with `--ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, not a check"]
async fn cost_of_a_sample_over_sockets() {
    const LANES: u16 = 4;
    let listener = server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
    let handler = |_: http::Request<bytes::Bytes>, _| async {
        let mut response = http::Response::new(bytes::Bytes::new());
        *response.status_mut() = http::StatusCode::NO_CONTENT;
        response
    };
    tokio::spawn(server::serve(
        listener,
        std::sync::Arc::new(handler),
        server::Limits::default(),
        None,
        None,
        std::future::pending(),
    ));
    let mut plan = plan(&url);
    plan.backend.request_timeout = Duration::from_secs(5);
    let worker = Worker::lanes(&plan, LANES);
    let target = format!("http://{}/api/v1/write", worker.address);
    let before = (telemetry::cpu::usage().total, std::time::Instant::now());
    let mut senders = Vec::new();
    for lane in 0..LANES {
        let mut encoder = v1::Encoder::new();
        let mut count = 0;
        for series in 0.. {
            let mut block = Vec::new();
            remote_write::canonical::push_label(
                &mut block,
                b"__name__",
                format!("metric_{:03}_total", series % 100).as_bytes(),
            );
            for label in 0..8 {
                let value = if label == 7 {
                    format!("series-{series:05}")
                } else {
                    format!("value-of-{label}-t{:02}", series / 10_000)
                };
                remote_write::canonical::push_label(
                    &mut block,
                    format!("label_{label:02}").as_bytes(),
                    value.as_bytes(),
                );
            }
            if remote_write::slot_of(remote_write::canonical::hash_block(&block)) % LANES == lane {
                count += 1;
                encoder.series(&block, &[Sample { timestamp: 1_700_000_000_000, value: 1.0 }]);
            }
            if count == 2000 {
                break;
            }
        }
        let body = bytes::Bytes::copy_from_slice(Snappy::new().compress(encoder.body()));
        let mut connection =
            floodmark_http::client::Connection::new(&floodmark_http::client::Endpoint::new(target.clone())).unwrap();
        senders.push(tokio::spawn(async move {
            let mut headers = http::HeaderMap::new();
            headers.insert("floodmark-epoch", http::HeaderValue::from(1));
            for sequence in 0..500 {
                let id = format!("g/1/{lane}/{sequence}");
                headers.insert("floodmark-request", http::HeaderValue::try_from(id).unwrap());
                assert_eq!(connection.post(None, &headers, body.clone()).await.unwrap().status, 204);
            }
        }));
    }
    for sender in senders {
        sender.await.unwrap();
    }
    let samples = f64::from(LANES) * 500.0 * 2000.0;
    let cpu = telemetry::cpu::usage().total.saturating_sub(before.0).as_nanos() as f64 / samples;
    println!(
        "{cpu:.1} ns of CPU a sample for all three, {:.2} M samples/s",
        samples / before.1.elapsed().as_secs_f64() / 1e6
    );
    worker.stop().await;
}
