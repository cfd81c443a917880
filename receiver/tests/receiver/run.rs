//! A run: the receiver learns it from a conductor, recognises what the workload makes and says what is missing.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crate::common::{self, Receiver};
use bytes::Bytes;
use faults::{FaultPlan, FaultScratch, Materialised};
use floodmark_http::{Request, Response, server};
use ledger::{SeriesSeen, SlotTable, digest};
use protocol::{PhaseDoc, RunPhase, RunPlan};
use remote_write::{Sample, slot_of, v1};
use telemetry::Stop;
use workload::{LaneMap, LanePlan, LaneWalk, Workload};

const FAULTS: &str = r#"[{"type":"OutOfOrder","share":"4%"},{"type":"ConflictingDuplicate","share":"4%"},{"type":"FutureTimestamp","share":"4%"},
    {"type":"MissingMetricName","share":"4%"},{"type":"DuplicateLabel","share":"4%"},{"type":"InvalidLabelName","share":"4%"}]"#;

fn plan() -> RunPlan {
    serde_json::from_value(serde_json::json!({
        "run": "r7", "seed": 5, "profile": "Strict", "generators": 1, "samplesPerRequest": 50, "connections": 2,
        "workload": [{"name": "app", "targets": 4, "seriesPerTarget": 25, "scrapeInterval": "1s", "metrics": 5}],
        "stages": [{"for": "8s"}], "faults": serde_json::from_str::<serde_json::Value>(FAULTS).unwrap(),
        "overload": {"policy": "Queue", "maxBacklog": "30s"},
        "target": {"sink": {"workers": []}},
    }))
    .unwrap()
}

/// Serves `/plan` and `/phase`; t0 as the test sets it.
fn conductor(t0: Arc<Mutex<Option<u64>>>, stop: &Stop) -> String {
    let listener = server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let handler = move |request: Request<Bytes>, _: SocketAddr| {
        let t0 = *t0.lock().unwrap();
        async move {
            let body = match request.uri().path() {
                "/plan" => serde_json::to_vec(&plan()).unwrap(),
                _ => serde_json::to_vec(&PhaseDoc {
                    run: "r7".into(),
                    phase: RunPhase::Running,
                    t0,
                    taken: Vec::new(),
                    departed: Vec::new(),
                    last_words_ms: None,
                })
                .unwrap(),
            };
            Response::new(Bytes::from(body))
        }
    };
    tokio::spawn(server::serve(listener, Arc::new(handler), server::Limits::default(), None, None, stop.wait()));
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_recognised_its_faults_are_refused_and_its_gaps_are_told() {
    let stop = Stop::new();
    let t0_cell = Arc::new(Mutex::new(None));
    let url = conductor(Arc::clone(&t0_cell), &stop);
    let receiver = Receiver::start("{}", Some(url)).await;
    let plan = plan();
    let workload = Arc::new(Workload::new(&plan.workload, &plan.stages, plan.seed, &plan.run).unwrap());
    let faults = FaultPlan::new(&plan.faults, plan.seed, &workload).unwrap();
    let lanes = LanePlan::new(Arc::clone(&workload), LaneMap::direct(2), 0, 1);
    let t0 = (common::now_ms() as u64 - 10_000) * 1_000_000;
    let mut sender = receiver.sender();

    // Before t0 is known, samples of the run are put off rather than forgotten.
    let mut block = Vec::new();
    workload.label_block(workload::SeriesId { base: 0, generation: 0 }, &mut block);
    let mut early = v1::Encoder::new();
    early.series(&block, &[Sample { timestamp: 1, value: 1.0 }]);
    let answer = sender.plain(early.body()).await.unwrap();
    assert_eq!((answer.status, answer.retry_after()), (503, Some("1")));
    *t0_cell.lock().unwrap() = Some(t0);

    let mut sent = SlotTable::new();
    let mut injected = vec![0_u64; plan.faults.len()];
    let mut scratch = FaultScratch::default();
    let lost_lane = 1;
    let mut lost = Vec::new();
    for lane in 0..2 {
        let mut walk = LaneWalk::new(&lanes, lane);
        while let Some(request) = walk.next(50) {
            let (mut good, mut bad, mut drawn) = (v1::Encoder::new(), v1::Encoder::new(), 0);
            let drop = lane == lost_lane && request.index == 3;
            walk.for_each(&request, |s| {
                block.clear();
                workload.label_block(s.id, &mut block);
                if let Some(index) = faults.draw(s.id, s.k, s.due_ns) {
                    injected[index as usize] += 1;
                    drawn += 1;
                    match faults.materialise(index, s.id, s.k, t0, &mut scratch).unwrap() {
                        Materialised::Sample(sample) => bad.series(&block, &[sample]),
                        Materialised::Literal(fields) => {
                            let mut field = vec![0x0a];
                            let mut len = fields.len();
                            while len > 0x7f {
                                field.push((len & 0x7f) as u8 | 0x80);
                                len >>= 7;
                            }
                            field.push(len as u8);
                            field.extend_from_slice(fields);
                            bad.raw(&field);
                        }
                        Materialised::InBrokenRequest(_) => unreachable!("no such fault in this test"),
                    }
                    return;
                }
                let value = workload.value(s.id, s.k);
                let timestamp = workload::timestamp_ms(t0, s.due_ns);
                sent.add(slot_of(s.hash), digest(s.hash, timestamp, value.to_bits()));
                good.series(&block, &[Sample { timestamp, value }]);
                if drop {
                    lost.push((s.id.base, s.k));
                }
            });
            if !drop && !good.is_empty() {
                let answer = sender.plain(good.body()).await.unwrap();
                assert_eq!(answer.status, 204, "{}", answer.text(500));
            }
            if drawn > 0 && !drop {
                let answer = sender.plain(bad.body()).await.unwrap();
                assert_eq!(answer.status, 400);
                assert!(answer.text(9000).lines().count() >= 1);
            } else if drop {
                walk.for_each(&request, |s| {
                    if let Some(index) = faults.draw(s.id, s.k, s.due_ns) {
                        injected[index as usize] -= 1;
                    }
                });
            }
        }
    }
    assert!(injected.iter().all(|count| *count > 3), "{injected:?}");
    assert!(!lost.is_empty());
    let report = receiver.store().await;
    assert_eq!(report.t0_ns, t0);
    assert_eq!(report.counters.distinct + lost.len() as u64, sent.total().count);
    assert_eq!((report.counters.foreign_samples, report.counters.unexpected, report.counters.duplicates), (0, 0, 0));
    let refused: Vec<u64> = report.faults.iter().map(|seen| seen.refused).collect();
    assert_eq!(refused, injected, "each injected fault is known for what it is");
    assert!(report.faults.iter().all(|seen| seen.stored == 0));

    // The slots that differ are those of the lost samples, and the series say which samples they are.
    let slots: Vec<String> = sent.diff(&report.distinct).iter().map(ToString::to_string).collect();
    let url = format!("http://{}/store/series?slots={}", receiver.address, slots.join(","));
    let seen: Vec<SeriesSeen> =
        floodmark_http::client::get_json(&url, 1 << 20, std::time::Duration::from_secs(5)).await.unwrap();
    for (base, k) in lost {
        let series = seen.iter().find(|series| series.base == base).unwrap();
        assert!(!series.holds(k), "series {base} sample {k}");
    }

    // A copy of a series under one more label names the run: nobody made it. Other runs and other senders stay foreign.
    let own = block.clone();
    let labelled = |run: &[u8], more: &[u8]| {
        let mut encoder = v1::Encoder::new();
        encoder.series(&own, &[]);
        let series = v1::walk(encoder.body()).next().unwrap().unwrap();
        let mut labels: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for label in series.labels() {
            let value = if label.name == b"floodmark_run" { run } else { label.value };
            labels.push((label.name.to_vec(), value.to_vec()));
        }
        labels.push((b"zone".to_vec(), more.to_vec()));
        labels
    };
    let now = common::now_ms();
    let steps: [(_, _, u16, (u64, u64)); 6] = [
        (labelled(b"r7", b"b"), now, 204, (1, 0)),
        (labelled(b"r7", b"b"), now + 1, 204, (2, 0)),
        (labelled(b"r7", b"b"), now - 1, 400, (3, 0)),
        (labelled(b"r6", b"b"), now, 204, (3, 1)),
        (labelled(b"r6", b"b"), now + 1, 204, (3, 2)),
        (vec![(b"__name__".to_vec(), b"up".to_vec())], now, 204, (3, 3)),
    ];
    for (labels, at, status, counts) in steps {
        let borrowed = labels.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let answer = sender.send(&[(borrowed, vec![(at, 1.0)])]).await.unwrap();
        assert_eq!(answer.status, status, "{}", answer.text(500));
        let counters = receiver.store().await.counters;
        assert_eq!((counters.unexpected, counters.foreign_samples), counts);
        assert_eq!(counters.distinct, report.counters.distinct);
    }
    let findings = receiver.store().await.findings;
    let finding = findings.iter().find(|finding| finding.name == ledger::FindingName::Unexpected).unwrap();
    assert!(finding.examples[0].series.contains("zone=\"b\""), "{:?}", finding.examples);
    stop.request();
    receiver.end().await;
}
