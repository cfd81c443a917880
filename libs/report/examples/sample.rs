//! A run as it might have been, to look at the outputs: `cargo run -p floodmark-report --release --example sample > report.html`.
//! `sample text`, `sample junit` and `sample json` print the other outputs; `sample failed` the page of a failed run.

use std::collections::BTreeMap;

use api::{LatencyKind, LedgerCount, Percentile, Threshold, ThresholdMetric};
use floodmark_report::verdict::{Outside, settle};
use floodmark_report::{
    Chaos, Coverage, DropReason, Drops, Example, FaultResult, Finding, Latencies, Process, RatePoint, Requests,
    Samples, Slots, StageResult, Summary, Target, Worker, render_html, render_junit, render_text, rfc3339,
    second_latencies,
};
use measure::{HistogramSet, Recorder, names};

const T0: u64 = 1_790_000_000_000_000_000;
const SECONDS: u64 = 150;

fn main() {
    let asked = std::env::args().nth(1).unwrap_or_default();
    let summary = summary(asked != "passed");
    match asked.as_str() {
        "json" => print!("{}", summary.to_json().unwrap_or_default()),
        "junit" => print!("{}", render_junit(&summary)),
        "text" => print!("{}", render_text(&summary, true, 100)),
        _ => print!("{}", render_html(&summary)),
    }
}

/// A small generator of noise; the sample must be the same each time.
struct Noise(u64);

impl Noise {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn target(second: u64) -> f64 {
    match second {
        0..30 => 100_000.0,
        30..60 => 100_000.0 + 30_000.0 * (second - 29) as f64,
        _ => 1_000_000.0,
    }
}

/// Ten seconds after 1:25 one of three workers is gone.
fn outage(second: u64) -> f64 {
    match second {
        85..87 => 1.0,
        87..92 => 1.0 - (second - 86) as f64 / 6.0,
        _ => 0.0,
    }
}

/// `failed` adds what fails a run.
pub fn summary(failed: bool) -> Summary {
    let mut noise = Noise(7);
    let mut recorders: BTreeMap<&str, Recorder> = BTreeMap::new();
    for second in 0..SECONDS {
        for _ in 0..(target(second) / 2000.0) as u64 {
            let at = second * 1_000_000_000 + (noise.unit() * 1e9) as u64;
            let tail = 1.0 / (1.0 - noise.unit()).powf(0.35);
            let service = 1.6e6 * tail * (1.0 + target(second) / 700_000.0);
            let queued = if noise.unit() < 0.1 + outage(second) { service * noise.unit() * 2.0 } else { 0.0 };
            let wait = outage(second) * noise.unit() * 3.1e9 * f64::from(u8::from(noise.unit() < 0.34));
            let mut put = |name, ns: f64, count: u64| {
                recorders.entry(name).or_default().record_n_ns(at, ns as u64, count);
            };
            put(names::SERVICE, service, 1);
            put(names::QUEUED, queued, 1);
            put(names::LATE, 40_000.0 * tail, 1);
            put(names::RESPONSE, service + queued + wait, 1);
            put(names::DELIVERY, service * 1.25 + queued + wait, 2000);
        }
    }
    let mut set = HistogramSet::default();
    let mut seconds = BTreeMap::new();
    for (name, mut recorder) in recorders {
        if name == names::RESPONSE && failed {
            recorder.record_censored_ns(149_000_000_000, 5_000_000_000);
            recorder.record_censored_ns(149_500_000_000, 5_000_000_000);
        }
        if let Ok(distribution) = recorder.finish() {
            if name == names::RESPONSE {
                seconds = second_latencies(&distribution).unwrap_or_default();
            }
            let _ = set.insert(name, &distribution);
        }
    }

    let rate_series: Vec<RatePoint> = (0..SECONDS)
        .map(|second| {
            let wanted = target(second);
            let got =
                wanted * (1.0 - outage(second) / 3.0) + if (92..96).contains(&second) { wanted / 3.2 } else { 0.0 };
            let latency = seconds.get(&second);
            RatePoint {
                second,
                target: wanted,
                acknowledged: got * (1.0 - 0.004 * noise.unit()),
                drops: if failed && (86..90).contains(&second) { 1500.0 * (90 - second) as f64 } else { 0.0 },
                p50: latency.map(|l| l.0),
                p99: latency.map(|l| l.1),
            }
        })
        .collect();

    let mut summary = Summary {
        name: "edge-million".to_owned(),
        run: "edge-million-4k2zq".to_owned(),
        seed: 42,
        start_time: rfc3339(T0),
        completion_time: rfc3339(T0 + 153_420_000_000),
        duration_seconds: 153.42,
        target: Target {
            description: "sink “edge”, 3 workers → http://prometheus:9090/api/v1/write".to_owned(),
            url: Some("http://prometheus:9090/api/v1/write".to_owned()),
            profile: None,
            protocol: Some("1.0".to_owned()),
            workers: Some(3),
        },
        ack_policy: Some("Delivered".to_owned()),
        latency: Latencies::from_set(&set).unwrap_or_default(),
        rate_series,
        requests: Requests { attempts: 58_934, failed: 112, retries: 112 },
        command: Some("floodmark run edge.yaml".to_owned()),
        document: Some(DOCUMENT.to_owned()),
        ..Summary::default()
    };
    ledger(&mut summary, failed);
    parts(&mut summary);
    settle(&mut summary, &thresholds(), &Outside::default());
    summary
}

fn thresholds() -> Vec<Threshold> {
    let threshold = |metric, max: &str| Threshold { metric, max: max.parse().ok(), min: None, abort_on_fail: false };
    vec![
        threshold(ThresholdMetric::Latency(LatencyKind::Response, Percentile::P50), "10ms"),
        threshold(ThresholdMetric::Latency(LatencyKind::Response, Percentile::P99), "2s"),
        threshold(ThresholdMetric::DropsTotal, "20k"),
        threshold(ThresholdMetric::Ledger(LedgerCount::SilentLoss), "0"),
        threshold(ThresholdMetric::Ledger(LedgerCount::Altered), "0"),
    ]
}

fn ledger(summary: &mut Summary, failed: bool) {
    let lost = u64::from(failed) * 312;
    let refused = 12_480 + u64::from(failed) * 15_000;
    summary.samples = Samples {
        generated: 117_865_000,
        acknowledged: 117_865_000 - refused - 2000 * u64::from(failed),
        refused: [("status_400".to_owned(), 12_480), ("dropped".to_owned(), refused - 12_480)]
            .into_iter()
            .filter(|r| r.1 > 0)
            .collect(),
        skipped: BTreeMap::new(),
        unresolved: 2000 * u64::from(failed),
        arrivals: Some(117_865_000 - refused - lost + 6000),
        stored: Some(117_865_000 - refused - lost),
        duplicates: Some(6000),
        unexpected: Some(0),
    };
    let example = |index: u64, detail: &str| Example {
        series: format!(
            "app_requests_total{{floodmark_run=\"edge-million-4k2zq\",instance=\"app-{index:04}\",job=\"app\",label_05=\"q7</td><script>alert(1)</script>\",series=\"{}\"}}",
            index * 7
        ),
        timestamp_ms: 1_790_000_085_000 + i64::try_from(index).unwrap_or_default(),
        value: "41977".to_owned(),
        detail: detail.to_owned(),
    };
    if failed {
        summary.findings.push(Finding {
            name: "SilentLoss".to_owned(),
            count: lost,
            explained: 0,
            examples: (0..10).map(|i| example(i, "answered 204 by worker 1, not stored")).collect(),
        });
        summary.findings.push(Finding {
            name: "Unresolved".to_owned(),
            count: 2000,
            explained: 2000,
            examples: vec![],
        });
    }
    summary.findings.push(Finding {
        name: "Duplicated".to_owned(),
        count: 6000,
        explained: 6000,
        examples: vec![example(3, "stored twice, worker 1 was killed between")],
    });
    summary.coverage = Some(Coverage {
        source: "Prometheus".to_owned(),
        depth: "Counts".to_owned(),
        share: 1.0,
        unproven: if failed { vec!["Altered".to_owned()] } else { vec![] },
        detail: "count_over_time by bucket and metric over the whole run; 312 samples looked at one by one".to_owned(),
        slots: Some(Slots { compared: 4096, equal: if failed { 4095 } else { 4096 } }),
    });
    if !failed {
        return;
    }
    let event = |events, samples, p50, p99, max| measure::DropSummary { events, samples, p50, p99, max };
    let reason = |per_event: measure::DropSummary| DropReason { samples: per_event.samples, per_event };
    summary.drops = Drops {
        total: 15_000,
        requests: 9,
        by_reason: [
            ("retries_exhausted".to_owned(), reason(event(6, 12_000, 2000, 2000, 2000))),
            ("status_413".to_owned(), reason(event(2, 2600, 1300, 1800, 1800))),
            ("too_old".to_owned(), reason(event(1, 400, 400, 400, 400))),
        ]
        .into(),
        per_event: event(9, 15_000, 2000, 2000, 2000),
        gaps: [("AckedLoss".to_owned(), event(12_000, 12_400, 1, 2, 4))].into(),
    };
}

fn parts(summary: &mut Summary) {
    let stage = |index, from: f64, seconds: f64, rate, due: u64, missing: u64| StageResult {
        index,
        from,
        r#for: seconds,
        target_rate: Some(rate),
        ramp: index == 1,
        warm_up: index == 0,
        due,
        acknowledged_in_time: due - missing,
        achieved_rate: (due - missing) as f64 / seconds,
        reached: true,
        cut: false,
    };
    summary.stages = vec![
        stage(0, 0.0, 30.0, 100_000.0, 3_000_000, 1200),
        stage(1, 30.0, 30.0, 1_000_000.0, 16_500_000, 3480),
        stage(2, 60.0, 90.0, 1_000_000.0, 90_000_000, 24_800),
    ];
    summary.faults = vec![
        fault("OutOfOrder", "D5", (40.0, 30.0), "Refused", [7200, 7200, 0]),
        fault("ConflictingDuplicate", "D8", (70.0, 30.0), "Refused", [4100, 4100, 0]),
        fault("FutureTimestamp", "D11", (100.0, 20.0), "Refused", [1180, 1180, 0]),
    ];
    summary.chaos = vec![
        Chaos {
            at: 85.0,
            action: "Kill".to_owned(),
            worker: Some(1),
            executed_at: Some(85.02),
            back_after: Some(1.84),
        },
        Chaos {
            at: 120.0,
            action: "Pause 2s".to_owned(),
            worker: Some(0),
            executed_at: Some(120.01),
            back_after: Some(2.0),
        },
    ];
    summary.workers = (0..3)
        .map(|ordinal| Worker {
            ordinal,
            incarnations: if ordinal == 1 { 2 } else { 1 },
            accepted: 39_288_000 - u64::from(ordinal) * 1700,
            delivered: 39_283_840 - u64::from(ordinal) * 1700,
            rejected: 4160,
            requests: 19_650,
            retries: if ordinal == 1 { 96 } else { 8 },
            ..Worker::default()
        })
        .collect();
    let process = |role: &str, ordinal, cores, mib: u64, wait| Process {
        role: role.to_owned(),
        ordinal,
        cores,
        rss_bytes: mib << 20,
        run_queue_share: Some(wait),
    };
    summary.cpu = vec![
        process("generator", 0, 0.212, 61, 0.004),
        process("sink-worker", 0, 0.104, 38, 0.006),
        process("sink-worker", 1, 0.099, 38, 0.007),
        process("sink-worker", 2, 0.107, 39, 0.006),
        process("conductor", 0, 0.002, 14, 0.0),
    ];
}

fn fault(name: &str, id: &str, when: (f64, f64), expected: &str, [sent, refused, accepted]: [u64; 3]) -> FaultResult {
    FaultResult {
        r#type: name.to_owned(),
        id: id.to_owned(),
        from: Some(when.0),
        r#for: Some(when.1),
        expected: expected.to_owned(),
        sent,
        refused,
        accepted,
        wrong: accepted,
        indeterminate: 0,
        store_refused: None,
    }
}

const DOCUMENT: &str = "apiVersion: floodmark.dev/v1alpha1
kind: LoadTest
metadata:
  name: edge-million
spec:
  target: {sinkRef: {name: edge}}
  seed: 42
  workload:
    - {name: app, targets: 1000, seriesPerTarget: 1000, scrapeInterval: 1s}
  stages: [{for: 30s, rate: 100k, warmUp: true}, {for: 30s, rate: 1M, ramp: true}, {for: 90s, rate: 1M}]
  chaos: [{at: 85s, action: Kill, sinkWorker: 1}, {at: 2m, action: Pause, sinkWorker: 0, for: 2s}]
";
