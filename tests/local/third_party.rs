//! A real Prometheus as sender: its own scrapes go through three workers, one of which is killed, into a real Prometheus.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::backends::metric;
use super::shared::skip;
use super::support::documents::sink;
use super::support::run::Run;
use super::support::servers::{Prometheus, Server};
use super::support::{free_port, http, wait_until};

/// Raw samples by series (labels as text) from a server, of everything that its job scraped in the last minutes.
fn raw(server: &Server, at: f64) -> BTreeMap<String, Vec<(String, String)>> {
    let body = format!("query={}&time={at}", http::escape("{job=\"self\"}[10m]"));
    let (status, body) = http::post_form(&server.address, "/api/v1/query", &body).expect("an answer");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    let mut series = BTreeMap::new();
    for result in answer["data"]["result"].as_array().expect("a result") {
        let samples = result["values"].as_array().expect("values").iter();
        let samples = samples.map(|pair| (pair[0].to_string(), pair[1].as_str().unwrap_or_default().to_owned()));
        series.insert(result["metric"].to_string(), samples.collect());
    }
    series
}

fn arrives_complete(sender: Prometheus, test: &str) {
    let Some(store) = Prometheus::Two.start("", &[]) else {
        return skip(test, "Prometheus 2 is not installed");
    };
    let port = free_port();
    // Three workers take this port and the two after it.
    let listen = format!("127.0.0.1:{port}");
    let document = sink(3, 2, &format!("{{url: 'http://{}/api/v1/write'}}", store.address), "");
    let run = Run::start(&document, &["--listen", &listen]);
    wait_until("the workers are ready", Duration::from_secs(60), || {
        (0..3).all(|ordinal| {
            http::get(&format!("127.0.0.1:{}", port + ordinal), "/readyz").is_ok_and(|(status, _)| status == 200)
        })
    });
    let scraped = free_port();
    let configuration = format!(
        "global: {{scrape_interval: 250ms}}
scrape_configs:
  - job_name: self
    static_configs: [{{targets: ['127.0.0.1:{scraped}']}}]
remote_write:
  - url: http://{listen}/api/v1/write
    queue_config: {{batch_send_deadline: 1s, min_backoff: 30ms, max_backoff: 1s}}
"
    );
    let Some(sender) = sender.start_on(scraped, &configuration) else {
        return skip(test, &format!("{sender:?} is not installed"));
    };
    wait_until("the sender is acknowledged", Duration::from_secs(60), || {
        metric(&sender.address, "prometheus_remote_storage_samples_total") > 2000.0
    });
    let victim = run.children().into_iter().find(|(_, line)| line.contains("--ordinal 1")).expect("worker 1");
    let pid = Pid::from_raw(i32::try_from(victim.0).expect("a pid")).expect("a pid");
    let before = metric(&sender.address, "prometheus_remote_storage_samples_total");
    // One request in flight each.
    let shards = || metric(&sender.address, "prometheus_remote_storage_shards");
    let at_kill = shards();
    kill_process(pid, Signal::KILL).expect("SIGKILL");
    wait_until("the flow goes on after the kill", Duration::from_secs(60), || {
        metric(&sender.address, "prometheus_remote_storage_samples_total") > before + 20_000.0
    });
    // No more scrapes: what is pending goes out.
    std::fs::write(
        sender.folder.path().join("prometheus.yml"),
        configuration.replace("scrape_interval: 250ms", "scrape_interval: 1h"),
    )
    .expect("the configuration");
    kill_process(sender.pid(), Signal::HUP).expect("SIGHUP");
    let mut quiet = 0;
    wait_until("nothing is pending", Duration::from_secs(60), || {
        let pending = metric(&sender.address, "prometheus_remote_storage_samples_pending");
        quiet = if pending == 0.0 { quiet + 1 } else { 0 };
        // Pending dips to 0 between two batches: only a second of it counts.
        quiet > 50
    });
    assert_eq!(metric(&sender.address, "prometheus_remote_storage_samples_dropped_total"), 0.0, "{}", sender.log());
    // A request with several samples of a series, whose worker was killed after it had sent the newer ones, is refused as
    // out of order when it is repeated: the sender counts it as failed, though all of it is stored, as checked below.
    let refused = sender.log().lines().filter(|line| line.contains("non-recoverable")).count();
    let repeats = sender.log().lines().filter(|line| line.contains("out of order sample")).count();
    assert_eq!(refused, repeats, "{}", sender.log());
    assert!(refused as f64 <= at_kill.max(shards()), "more than what the kill interrupted: {}", sender.log());

    let at = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs_f64() + 1.0;
    let (sent, stored) = (raw(&sender, at), raw(&store, at));
    assert!(sent.len() > 200, "{} series", sent.len());
    let mut samples = 0;
    for (series, sent) in &sent {
        let stored = stored.get(series).unwrap_or_else(|| panic!("not stored: {series}"));
        // The sender may have scraped before its first request was acknowledged: those come too, since none is refused.
        assert_eq!(sent, stored, "{series}");
        samples += sent.len();
    }
    assert!(samples > 20_000, "{samples} samples");
    run.signal(Signal::INT);
    run.end(Duration::from_secs(60)).expect_code(0);
}

#[test]
fn prometheus_2_as_sender_arrives_complete_and_in_order() {
    arrives_complete(Prometheus::Two, "prometheus_2_as_sender_arrives_complete_and_in_order");
}

#[test]
fn prometheus_3_as_sender_arrives_complete_and_in_order() {
    arrives_complete(Prometheus::Three, "prometheus_3_as_sender_arrives_complete_and_in_order");
}
