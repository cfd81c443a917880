//! Against a real Prometheus, where one is installed: what it stores is what was acknowledged.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use floodmark_http::client::get_json;
use floodmark_http::server;
use ownership::Phase;
use remote_write::{Sample, Snappy, v1};

use crate::harness::*;

struct Prometheus {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn binary() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|folder| folder.join("prometheus")).find(|file| file.is_file());
    if found.is_none() {
        crate::skip::skip("wire::prometheus", "no prometheus in PATH; install it (apt-get install prometheus)");
    }
    found
}

fn start(config_text: &str) -> Option<Prometheus> {
    let binary = binary()?;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("prometheus.yml");
    std::fs::write(&config, config_text).unwrap();
    let free = server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let child = Command::new(binary)
        .arg("--web.enable-remote-write-receiver")
        .arg(format!("--web.listen-address={address}"))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--config.file={}", config.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Some(Prometheus { child, address, _folder: folder })
}

fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

impl Prometheus {
    fn url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    /// Every stored sample of the metrics that begin with a prefix.
    async fn stored(&self, prefix: &str) -> BTreeSet<(String, i64)> {
        let at = now_ms() as f64 / 1000.0 + 1.0;
        let url = format!(
            "http://{}/api/v1/query?query=%7B__name__%3D~%22{prefix}.%2A%22%7D%5B1h%5D&time={at}",
            self.address
        );
        let answer: serde_json::Value = get_json(&url, 64 << 20, Duration::from_secs(10)).await.unwrap();
        let mut stored = BTreeSet::new();
        for series in answer["data"]["result"].as_array().unwrap() {
            let name = series["metric"]["__name__"].as_str().unwrap();
            for sample in series["values"].as_array().unwrap() {
                let millis = (sample[0].as_f64().unwrap() * 1000.0).round() as i64;
                stored.insert((name.to_owned(), millis));
            }
        }
        stored
    }
}

fn expected(samples: &[(String, i64)]) -> BTreeSet<(String, i64)> {
    samples.iter().cloned().collect()
}

fn borrow(samples: &[(String, i64)]) -> Vec<(&str, i64)> {
    samples.iter().map(|(name, time)| (name.as_str(), *time)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_stored_while_workers_and_answers_are_lost() {
    let Some(prometheus) = start("global: {}\n") else { return };
    let mut plan = plan(&prometheus.url());
    plan.backend.request_timeout = Duration::from_secs(5);
    let listener = server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let document = control(1, Phase::Stable, 2, vec![listener.local_addr().unwrap().to_string()]);
    let worker = Worker::on(listener, &plan, 0, &document);
    let start = now_ms() - 60_000;
    // It starts up while the first request waits: refused connections and 503 are retried in order.
    let mut all = Vec::new();
    for round in 0..20 {
        let mut request = Vec::new();
        for series in 0..50 {
            for step in 0..4 {
                request.push((format!("third_{series}"), start + round * 1000 + step * 250));
            }
        }
        assert_eq!(worker.write(&borrow(&request)).await, 204, "round {round}");
        all.extend(request);
    }
    assert_eq!(prometheus.stored("third").await, expected(&all));

    // A sender that lost the answers repeats everything at a new worker: nothing changes, and what is new arrives.
    worker.stop().await;
    let listener = server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let worker = Worker::on(listener, &plan, 0, &document);
    let last: Vec<_> = all[all.len() - 200..].to_vec();
    let status = worker.write(&borrow(&last)).await;
    assert!(status == 204 || status == 400, "{status}: older ones of it are refused, they are stored");
    let newer: Vec<_> = last.iter().map(|(name, time)| (name.clone(), time + 1000)).collect();
    assert_eq!(worker.write(&borrow(&newer)).await, 204);
    all.extend(newer);
    assert_eq!(prometheus.stored("third").await, expected(&all));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_series_is_isolated_and_its_neighbours_are_stored() {
    let Some(prometheus) = start("global: {}\n") else { return };
    let mut plan = plan(&prometheus.url());
    plan.backend.request_timeout = Duration::from_secs(5);
    plan.partial_writes = api::PartialWrites::Atomic;
    plan.on_rejected.action = api::RejectedAction::Isolate;
    let worker = Worker::alone(&plan);
    let now = now_ms() - 10_000;
    let first: Vec<_> = (0..100).map(|series| (format!("iso_{series}"), now)).collect();
    assert_eq!(worker.write(&borrow(&first)).await, 204);
    let mut second: Vec<_> = (0..100).map(|series| (format!("iso_{series}"), now + 1000)).collect();
    second[37].1 = now - 5000;
    assert_eq!(worker.write(&borrow(&second)).await, 400);
    let mut all = expected(&first);
    all.extend(second.iter().filter(|sample| sample.1 > now).cloned());
    assert_eq!(prometheus.stored("iso").await, all);
    let account = worker.stop().await.account;
    assert_eq!((account.delivered, account.rejected["status_400"]), (199, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backend_is_waited_for() {
    let Some(mut prometheus) = start("global: {}\n") else { return };
    let mut plan = plan(&prometheus.url());
    plan.backend.request_timeout = Duration::from_secs(5);
    let worker = Worker::alone(&plan);
    let now = now_ms() - 10_000;
    assert_eq!(worker.generate(1, body(&[("kill_a", now), ("kill_b", now)])).await.status, 204);
    prometheus.child.kill().unwrap();
    prometheus.child.wait().unwrap();
    let before = worker.report().await.account.retries;
    let lost = worker.generate(2, body(&[("kill_a", now + 1), ("kill_b", now + 1)]));
    tokio::pin!(lost);
    let started = Instant::now();
    tokio::select! {
        answer = &mut lost => panic!("{} while the backend is away", answer.status),
        report = worker.until(|report| report.account.retries > before + 4) => assert_eq!(report.account.buffered, 2),
    }
    assert!(started.elapsed() < Duration::from_secs(20));
    let account = worker.stop().await.account;
    assert_eq!(lost.await.status, 503, "the sender is told to come again");
    assert_eq!((account.delivered, account.dropped["shutdown"] + account.ambiguous), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_that_prometheus_answers_500_to_holds_up_nobody() {
    let Some(prometheus) = start("global: {}\n") else { return };
    let mut plan = plan(&prometheus.url());
    plan.backend.request_timeout = Duration::from_secs(5);
    let worker = Worker::alone(&plan);
    let now = now_ms() - 10_000;
    assert_eq!(worker.write(&[("choke_ready", now)]).await, 204);
    let mut encoder = v1::Encoder::new();
    let mut wrong = v1::Literal::new();
    wrong.label(b"__name__", b"choke_wrong").label(b"a", b"1").label(b"a", b"1");
    wrong.sample(Sample { timestamp: now, value: 1.0 });
    let mut good = BTreeSet::from([("choke_ready".to_owned(), now)]);
    for series in 0..10 {
        if series == 5 {
            encoder.fields(wrong.fields());
        }
        let name = format!("choke_{series}");
        let mut block = Vec::new();
        remote_write::canonical::push_label(&mut block, b"__name__", name.as_bytes());
        encoder.series(&block, &[Sample { timestamp: now, value: 1.0 }]);
        good.insert((name, now));
    }
    let body = bytes::Bytes::copy_from_slice(Snappy::new().compress(encoder.body()));
    // 2.42 answers 500 as long as the series is there, 3 leaves it out with 204.
    let status = worker.post(body, &[]).await.status;
    assert_eq!(prometheus.stored("choke").await, good);
    let account = worker.stop().await.account;
    let poison = account.rejected.get("poison").copied().unwrap_or(0);
    assert!(matches!((status, poison), (400, 1) | (204, 0)), "{status} {account:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_that_sends_is_served() {
    if binary().is_none() {
        return;
    }
    let backend = Backend::start(Script::Status(204));
    let listeners: Vec<_> = (0..2).map(|_| server::bind("127.0.0.1:0".parse().unwrap()).unwrap()).collect();
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
    let document = control(1, Phase::Stable, 2, addresses.clone());
    let mut workers = Vec::new();
    for (ordinal, listener) in (0..).zip(listeners) {
        workers.push(Worker::on(listener, &plan(&backend.url()), ordinal, &document));
    }
    backend.script(vec![Script::Status(503); 20]);
    let config = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
         scrape_configs: [{{job_name: own, static_configs: [{{targets: ['{}']}}]}}]\n\
         remote_write: [{{url: 'http://{}/api/v1/write', queue_config: {{batch_send_deadline: 200ms, max_shards: 4}}}}]\n",
        addresses[1], addresses[0]
    );
    let prometheus = start(&config);
    // It scrapes a worker and sends what it saw to the other one, which forwards.
    for worker in &workers {
        worker.until(|report| report.account.delivered > 100).await;
    }
    drop(prometheus);
    for worker in &workers {
        let outcome = worker.stop().await;
        let account = outcome.account;
        let other = account.rejected.values().sum::<u64>() + account.ambiguous;
        assert_eq!((other, outcome.fatal), (0, None));
    }
    let stored = backend.stored();
    assert!(
        stored.iter().any(|sample| sample.0 == "prometheus_remote_storage_samples_pending"),
        "a worker's own metrics"
    );
}
