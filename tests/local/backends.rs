//! Real Prometheus (2.42 and 3) and `VictoriaMetrics` behind the sink: what was acknowledged is what they hold.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Signal, kill_process};

use super::embedded::finding;
use super::shared::skip;
use super::support::copier::{Copier, Labels};
use super::support::documents::{load_test, sink};
use super::support::run::{Run, number};
use super::support::servers::{Prometheus, Server, victoria};
use super::support::{http, wait_until};

const LIMIT: Duration = Duration::from_secs(300);

/// An example that names this server. It may take its time where processors are few: what counts here is what arrives.
fn example(name: &str, usual: &str, server: &Server) -> String {
    let text = super::examples::example(name);
    assert!(text.contains(usual), "{name} names {usual}");
    let patient = "  overload: {maxBacklog: 60s}\n  thresholds:\n    - {metric: rate.achieved, min: '1'}\n";
    text.replace(usual, &server.address).replace("  thresholds:\n", patient)
}

/// 100 k series, 5 M samples; a worker is killed and another paused on the way.
fn everything_arrives(version: Prometheus, test: &str) {
    let Some(server) = version.start("", &[]) else {
        return skip(test, &format!("{version:?} is not installed"));
    };
    let document = example("prometheus.yaml", "127.0.0.1:9090", &server);
    let summary = Run::start(&document, &[]).end(LIMIT).expect_code(0).summary();
    complete(&summary, &server);
}

fn complete(summary: &serde_json::Value, server: &Server) {
    assert_eq!(summary["verdict"], "Passed");
    let acknowledged = number(summary, "/samples/acknowledged");
    assert!(acknowledged >= 5_000_000, "{}", summary["samples"]);
    assert_eq!(number(summary, "/samples/stored"), acknowledged);
    assert_eq!((&summary["ackPolicy"], &summary["coverage"]["depth"]), (&"Delivered".into(), &"Full".into()));
    let chaos = summary["chaos"].as_array().expect("chaos");
    assert!(chaos.len() == 2 && chaos.iter().all(|step| step["backAfter"].is_f64()), "{chaos:?}");
    assert!(
        finding(summary, "SilentLoss").is_none() && finding(summary, "Altered").is_none(),
        "{}",
        summary["findings"]
    );
    let slots = |what: &str| number(summary, &format!("/coverage/slots/{what}"));
    assert!(slots("compared") > 16_000 && slots("equal") == slots("compared"), "{}", summary["coverage"]);
    // The server counts for itself, by another way than the one that was read back. What a killed worker had delivered but
    // not acknowledged came twice, and VictoriaMetrics holds it twice.
    let arrivals = number(summary, "/samples/arrivals");
    assert_eq!(arrivals - number(summary, "/samples/duplicates"), acknowledged, "{}", summary["samples"]);
    let run = summary["run"].as_str().expect("a run");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs_f64();
    assert_eq!(server.count_samples(run, now + 5.0), arrivals as f64);
}

#[test]
fn prometheus_2_holds_every_acknowledged_sample() {
    everything_arrives(Prometheus::Two, "prometheus_2_holds_every_acknowledged_sample");
}

#[test]
fn prometheus_3_holds_every_acknowledged_sample() {
    everything_arrives(Prometheus::Three, "prometheus_3_holds_every_acknowledged_sample");
}

#[test]
fn victoria_metrics_holds_every_acknowledged_sample() {
    let Some(server) = victoria() else {
        return skip("victoria_metrics_holds_every_acknowledged_sample", "victoria-metrics is not installed");
    };
    let document = example("victoriametrics.yaml", "127.0.0.1:8428", &server);
    let summary = Run::start(&document, &[]).end(LIMIT).expect_code(0).summary();
    complete(&summary, &server);
}

/// The smallest load, straight to the server.
#[test]
fn the_first_example_passes() {
    let Some(server) = Prometheus::Three.start("", &[]) else {
        return skip("the_first_example_passes", "Prometheus 3 is not installed");
    };
    let document = super::examples::example("first.yaml").replace("127.0.0.1:9090", &server.address);
    let summary = Run::start(&document, &[]).end(LIMIT).expect_code(0).summary();
    assert_eq!((number(&summary, "/samples/generated"), number(&summary, "/samples/stored")), (30_000, 30_000));
}

/// The faults' verdicts are the server's own, told by its version.
fn faults_are_judged(version: Prometheus, test: &str) {
    let Some(server) = version.start("", &[]) else {
        return skip(test, &format!("{version:?} is not installed"));
    };
    let backend = format!("{{url: 'http://{}/api/v1/write'}}", server.address);
    let more = format!(
        "  workload:
    - {{name: app, targets: 20, seriesPerTarget: 100, scrapeInterval: 1s, metrics: 20}}
  stages:
    - {{for: 10s}}
  faults:
    - {{type: OutOfOrder, share: 1%, from: 2s, outOfOrder: {{delay: {{distribution: Uniform, min: 0s, max: 4s}}}}}}
    - {{type: ConflictingDuplicate, share: 1%, from: 2s}}
    - {{type: InvalidLabelName, share: 0.5%}}
    - {{type: CorruptSnappy, share: 0.5%}}
    - {{type: TruncatedProtobuf, share: 0.5%}}
  readBack: {{prometheus: {{url: 'http://{}'}}}}
  deadline: 90s",
        server.address
    );
    let document = sink(2, 2, &backend, "") + &load_test(&more);
    let summary = Run::start(&document, &[]).end(LIMIT).expect_code(0).summary();
    for fault in summary["faults"].as_array().expect("faults") {
        assert_eq!(fault["wrong"], 0, "{fault}");
        assert!(fault["sent"].as_u64() > Some(50), "{fault}");
    }
}

#[test]
fn prometheus_2_refuses_what_it_should() {
    faults_are_judged(Prometheus::Two, "prometheus_2_refuses_what_it_should");
}

#[test]
fn prometheus_3_refuses_what_it_should() {
    faults_are_judged(Prometheus::Three, "prometheus_3_refuses_what_it_should");
}

/// A short run through one worker, and what is read back of it.
fn short_run(write: &str, read_back: &str, faults: &str) -> String {
    let more = format!(
        "  workload:
    - {{name: app, targets: 5, seriesPerTarget: 100, scrapeInterval: 1s, metrics: 20, values: Mixed}}
  stages:
    - {{for: 5s}}
  faults: [{faults}]
  readBack: {read_back}
  deadline: 2m"
    );
    sink(1, 2, &format!("{{url: '{write}'}}"), "") + &load_test(&more)
}

/// What the server adds to every series is no loss; broken series under it are still known.
fn labels_of_the_server_are_told(server: &Server, query: &str, read_back: &str, faults: &str) {
    let write = format!("http://{}/api/v1/write{query}", server.address);
    let read = format!("{{{read_back}: {{url: 'http://{}'}}}}", server.address);
    let summary = Run::start(&short_run(&write, &read, faults), &[]).end(LIMIT).expect_code(0).summary();
    let faults = number(&summary, "/faults/0/accepted");
    assert_eq!(number(&summary, "/samples/stored") + faults, number(&summary, "/samples/acknowledged"));
    assert!(faults > 0 && number(&summary, "/samples/unexpected") == 0, "{}", summary["faults"]);
    let detail = summary["coverage"]["detail"].as_str().expect("a text");
    assert!(detail.contains("cluster=\"x\", replica=\"0\""), "{detail}");
}

#[test]
fn external_labels_of_prometheus_3_are_no_loss() {
    let test = "external_labels_of_prometheus_3_are_no_loss";
    let Some(server) = Prometheus::Three.start("global: {external_labels: {cluster: x, replica: '0'}}", &[]) else {
        return skip(test, "Prometheus 3 is not installed");
    };
    labels_of_the_server_are_told(&server, "", "prometheus", "{type: InvalidLabelName, share: 2%}");
}

#[test]
fn extra_labels_of_victoria_metrics_are_no_loss() {
    let Some(server) = victoria() else {
        return skip("extra_labels_of_victoria_metrics_are_no_loss", "victoria-metrics is not installed");
    };
    let query = "?extra_label=cluster=x&extra_label=replica=0";
    labels_of_the_server_are_told(&server, query, "victoriaMetrics", "{type: MissingMetricName, share: 2%}");
}

/// Series end with a stale marker, which is no number: in every kind of answer it has to be told from one.
#[test]
fn stale_markers_are_read_back() {
    let stores = [("prometheus", Prometheus::Three.start("", &[])), ("victoriaMetrics", victoria())];
    for (kind, server) in stores {
        let Some(server) = server else {
            skip("stale_markers_are_read_back", &format!("{kind} is not installed"));
            continue;
        };
        let write = format!("http://{}/api/v1/write", server.address);
        let read = format!("{{{kind}: {{url: 'http://{}'}}}}", server.address);
        let churn = "values: Mixed, churn: {every: 2s, share: 20%, mode: Spike, staleMarkers: true}";
        let document = short_run(&write, &read, "").replace("values: Mixed", churn);
        let summary = Run::start(&document, &[]).end(LIMIT).expect_code(0).summary();
        assert!(number(&summary, "/samples/generated") > 2600, "{}", summary["samples"]);
        assert_eq!(number(&summary, "/samples/stored"), number(&summary, "/samples/generated"));
    }
}

/// Somebody on the way stores everything a second time under other labels: the store holds what nobody sent.
fn copies_are_found(server: &Server, kind: &str, labels: Labels, told: impl Fn(&str) -> bool) {
    let copier = Copier::start(&server.address, labels);
    let write = format!("http://{}/api/v1/write", copier.address);
    let read = format!("{{{kind}: {{url: 'http://{}'}}}}", server.address);
    let summary = Run::start(&short_run(&write, &read, ""), &[]).end(LIMIT).expect_code(1).summary();
    let unexpected = finding(&summary, "Unexpected").unwrap_or_else(|| panic!("{}", summary["findings"]));
    assert_eq!(unexpected["count"].as_u64(), Some(number(&summary, "/samples/acknowledged")));
    let example = unexpected["examples"][0]["series"].as_str().expect("a series");
    assert!(told(example), "{example}");
    assert!(finding(&summary, "SilentLoss").is_none(), "{}", summary["findings"]);
    assert_eq!(number(&summary, "/samples/stored"), number(&summary, "/samples/acknowledged"));
}

#[test]
fn a_second_copy_under_other_labels_is_found() {
    let Some(server) = Prometheus::Two.start("", &[]) else {
        return skip("a_second_copy_under_other_labels_is_found", "Prometheus 2 is not installed");
    };
    copies_are_found(&server, "prometheus", Labels::Replica, |example| example.contains("replica=\"b\""));
    copies_are_found(&server, "prometheus", Labels::NoBucket, |example| !example.contains("floodmark_bucket"));
}

#[test]
fn a_second_copy_in_victoria_metrics_is_found() {
    let Some(server) = victoria() else {
        return skip("a_second_copy_in_victoria_metrics_is_found", "victoria-metrics is not installed");
    };
    copies_are_found(&server, "victoriaMetrics", Labels::NoBucket, |example| !example.contains("floodmark_bucket"));
}

/// What cannot be read back afterwards is told before anything is sent.
#[test]
fn a_wrong_read_back_ends_the_run_before_it_begins() {
    let test = "a_wrong_read_back_ends_the_run_before_it_begins";
    let Some(server) = Prometheus::Two.start("", &[]) else {
        return skip(test, "Prometheus 2 is not installed");
    };
    let write = format!("http://{}/api/v1/write", server.address);
    let read = format!("{{prometheus: {{url: 'http://{}/nowhere'}}}}", server.address);
    let started = std::time::Instant::now();
    let summary = Run::start(&short_run(&write, &read, ""), &[]).end(LIMIT).expect_code(3).summary();
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert_eq!(summary["verdict"], "Inconclusive");
    assert_eq!(number(&summary, "/samples/generated"), 0);
    let reason = summary["reasons"][0].as_str().expect("a reason");
    assert!(reason.contains("spec.readBack.prometheus: /nowhere/api/v1/read answered 404"), "{reason}");
    assert!(reason.contains("its url is what stands before /api/v1/read"), "{reason}");
}

/// Buffered acknowledges from memory: what a killed worker held is lost, found, counted and named.
#[test]
fn a_kill_under_buffered_is_counted_and_named() {
    let test = "a_kill_under_buffered_is_counted_and_named";
    let Some(server) = Prometheus::Two.start("", &[]) else {
        return skip(test, "Prometheus 2 is not installed");
    };
    let backend = format!("{{url: 'http://{}/api/v1/write', requestTimeout: 30s}}", server.address);
    let more = format!(
        "  workload:
    - {{name: app, targets: 20, seriesPerTarget: 100, scrapeInterval: 1s, metrics: 20}}
  stages:
    - {{for: 20s}}
  readBack: {{prometheus: {{url: 'http://{}'}}}}
  deadline: 3m",
        server.address
    );
    let run = Run::start(&(sink(2, 2, &backend, "  ackPolicy: Buffered") + &load_test(&more)), &[]);
    wait_until("samples flow", Duration::from_secs(60), || run.output().contains("running"));
    let workers: Vec<(u32, String)> =
        run.children().into_iter().filter(|(_, line)| line.contains("sink-worker")).collect();
    let (pid, line) = workers.iter().find(|(_, line)| line.contains("--ordinal 0")).expect("worker 0");
    let address = line.split_whitespace().skip_while(|word| *word != "--listen").nth(1).expect("an address").to_owned();
    wait_until("the worker delivers", Duration::from_secs(30), || {
        metric(&address, "prometheus_remote_storage_samples_total") > 2000.0
    });

    kill_process(server.pid(), Signal::STOP).expect("SIGSTOP");
    wait_until("the worker holds acknowledged samples", Duration::from_secs(30), || {
        metric(&address, "prometheus_remote_storage_samples_pending") > 1000.0
    });
    let pid = rustix::process::Pid::from_raw(i32::try_from(*pid).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::KILL).expect("SIGKILL");
    kill_process(server.pid(), Signal::CONT).expect("SIGCONT");

    let ended = run.end(LIMIT);
    let summary = ended.summary();
    // Buffered allows this loss; the stopped server may have cost the rate.
    assert!(matches!(ended.code(), Some(0 | 3)), "{:?}: {}", ended.code(), summary["reasons"]);
    let lost = finding(&summary, "AckedLoss").unwrap_or_else(|| panic!("no AckedLoss: {}", summary["findings"]));
    let acknowledged = number(&summary, "/samples/acknowledged");
    let stored = number(&summary, "/samples/stored");
    let name = summary["run"].as_str().expect("a run");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs_f64();
    assert_eq!(server.count_samples(name, now + 5.0), stored as f64, "the server's own count");
    let unacknowledged =
        finding(&summary, "StoredUnacknowledged").and_then(|finding| finding["count"].as_u64()).unwrap_or(0);
    assert_eq!(lost["count"].as_u64(), Some(acknowledged + unacknowledged - stored));
    assert!(lost["count"].as_u64() > Some(0));
    assert!(finding(&summary, "SilentLoss").is_none(), "{}", summary["findings"]);
    assert_eq!(lost["explained"], lost["count"]);
    for example in lost["examples"].as_array().expect("examples") {
        let series = example["series"].as_str().expect("a series");
        let at = example["timestampMs"].as_i64().expect("a time") as f64 / 1e3;
        assert_eq!(server.query(&format!("count_over_time({series}[1ms])"), at), None, "{example} is stored");
    }
}

/// A gauge or counter of a role, summed over its labels; 0 while there is none.
pub fn metric(address: &str, name: &str) -> f64 {
    let Ok((200, body)) = http::get(address, "/metrics") else { return 0.0 };
    String::from_utf8_lossy(&body)
        .lines()
        .filter(|line| line.starts_with(name) && matches!(line.as_bytes().get(name.len()), Some(b' ' | b'{')))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
