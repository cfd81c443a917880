//! Generators at a sink that is resharded under way: every sample once under one map or another, each series in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::house::expected::{expected, plan};
use crate::house::{Arrival, House, answer};
use floodmark_http::server::Abort;
use floodmark_http::{HeaderValue, Response};
use protocol::{GeneratorState, OwnershipDoc, Target};
use remote_write::{Scratch, Snappy, slot_of, v1};

/// Workers and lanes of each, map after map. The fourth is the third with a new number.
const MAPS: [(u32, u16); 6] = [(3, 2), (5, 2), (2, 3), (2, 3), (4, 1), (1, 2)];
/// Requests taken under a map before it drains, and refused while it does.
const TAKEN: u64 = 40;
const REFUSED: u64 = 9;

/// All workers of a sink at one address.
#[derive(Default)]
struct Sink {
    step: usize,
    taken: u64,
    refused: u64,
}

fn document(step: usize, base: &str) -> OwnershipDoc {
    let (replicas, lanes) = MAPS[step];
    OwnershipDoc {
        sink_uid: "u".into(),
        epoch: step as u64 + 7,
        replicas,
        lanes,
        by: None,
        addresses: vec![base.to_owned(); replicas as usize],
    }
}

/// Hash, timestamp and bits of the samples of a request.
fn samples(arrival: &Arrival) -> Vec<(u64, i64, u64)> {
    let (mut snappy, mut scratch, mut all) = (Snappy::new(), Scratch::new(), Vec::new());
    for series in v1::walk(snappy.decompress(&arrival.body, 1 << 24).unwrap()) {
        let series = series.unwrap();
        let hash = series.canonical_hash(&mut scratch);
        all.extend(series.samples().map(|sample| (hash, sample.timestamp, sample.value.to_bits())));
    }
    all
}

/// The map that the sink serves.
type Document = Arc<Mutex<Option<OwnershipDoc>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resharded_sink_gets_every_sample_in_order() {
    let ownership: Arc<Mutex<Option<Document>>> = Arc::default();
    let base = Arc::new(Mutex::new(String::new()));
    let (sink, draws) = (Mutex::new(Sink::default()), AtomicU64::new(0));
    let (theirs, address) = (Arc::clone(&ownership), Arc::clone(&base));
    let house = House::new(Box::new(move |arrival, before| {
        let mut sink = sink.lock().unwrap();
        if arrival.epoch != Some(sink.step as u64 + 7) {
            return answer(421);
        }
        if sink.taken < TAKEN || sink.step + 1 == MAPS.len() {
            sink.taken += 1;
            // What is taken may lose its answer; a repeat finds it settled.
            if before == 0 && draws.fetch_add(1, Ordering::Relaxed) % 4 == 0 {
                let mut lost = answer(502);
                lost.extensions_mut().insert(Abort::Reset);
                return lost;
            }
            return answer(if arrival.fault.is_some() { 400 } else { 204 });
        }
        sink.refused += 1;
        if sink.refused == REFUSED {
            *sink = Sink { step: sink.step + 1, ..Sink::default() };
            let ownership = theirs.lock().unwrap().clone().unwrap();
            *ownership.lock().unwrap() = Some(document(sink.step, &address.lock().unwrap()));
        }
        answer(503)
    }));
    *base.lock().unwrap() = format!("http://{}", house.target);
    *ownership.lock().unwrap() = Some(Arc::clone(&house.ownership));
    let base = base.lock().unwrap().clone();
    *house.ownership.lock().unwrap() = Some(document(0, &base));
    let text = r#"{
        "workload": [
            {"name": "app", "targets": 6, "seriesPerTarget": 20, "scrapeInterval": "100ms", "values": "Mixed"},
            {"name": "churned", "targets": 3, "seriesPerTarget": 10, "scrapeInterval": "50ms",
             "churn": {"every": "200ms", "share": "30%", "staleMarkers": true}}],
        "stages": [{"for": "3s"}],
        "faults": [{"type": "OutOfOrder", "share": "4%"}, {"type": "ConflictingDuplicate", "share": "4%"}]}"#;
    let plan = plan(&Target::Sink { workers: vec![base; 3] }, 2, text);
    let (t0, reports, slots) = house.run(plan.clone(), None).await;

    let expected = expected(&plan, t0);
    assert_eq!(slots, expected.table);
    let arrivals = house.arrivals.lock().unwrap().clone();
    let mut newest: BTreeMap<u64, i64> = BTreeMap::new();
    let (mut stored, mut settled, mut again) = (BTreeSet::new(), BTreeSet::new(), 0);
    for arrival in arrivals.iter().filter(|a| matches!(a.status, 204 | 400 | 502)) {
        let (epoch, lane) = (arrival.epoch.unwrap(), arrival.id.split('/').nth(2).unwrap().parse::<u32>().unwrap());
        let (replicas, lanes) = MAPS[epoch as usize - 7];
        assert!(lane < replicas * u32::from(lanes));
        let first = settled.insert((epoch, arrival.id.clone(), arrival.fault.clone()));
        for (hash, timestamp, bits) in samples(arrival) {
            let slot = slot_of(hash);
            assert_eq!(lane, ownership::owner(slot, replicas) * u32::from(lanes) + u32::from(slot) % u32::from(lanes));
            if arrival.fault.is_some() {
                continue;
            }
            let before = newest.insert(hash, timestamp).unwrap_or(i64::MIN);
            assert!(before <= timestamp, "{hash:x} went back from {before} to {timestamp}");
            let news = stored.insert((hash, timestamp, bits));
            assert_eq!(before < timestamp, news);
            again += u64::from(first && !news);
        }
    }
    assert_eq!(stored, expected.good);
    let mut retried = 0;
    for report in &reports {
        assert_eq!(report.state, GeneratorState::Done);
        report.account.balance().unwrap();
        retried += report.account.repeats.samples();
        assert_eq!((report.account.unresolved, report.account.skipped.len()), (0, 0));
        assert!(
            report
                .exceptions
                .iter()
                .all(|e| e.fault.is_some() && e.outcome == ledger::Outcome::Refused { status: 400 })
        );
        assert_eq!(report.stages.iter().map(|s| s.due).sum::<u64>(), report.account.generated);
        let epochs: Vec<_> = report.epochs.iter().map(|e| (e.epoch, e.replicas, e.lanes)).collect();
        // A new number of the same map is none of its own, unless the lanes had stopped already.
        assert!(epochs.len() >= 4 && epochs[0] == (7, 3, 2) && *epochs.last().unwrap() == (12, 1, 2), "{epochs:?}");
        assert!(epochs.windows(2).all(|two| two[0].0 < two[1].0));
        for (at, epoch) in report.epochs.iter().enumerate() {
            let lanes =
                if at + 1 == report.epochs.len() { 0 } else { epoch.replicas as usize * usize::from(epoch.lanes) };
            assert_eq!(epoch.cuts.len(), lanes);
        }
        assert!(report.epochs.iter().skip(1).any(|epoch| epoch.pause_ns.is_some_and(|pause| pause > 0)));
    }
    // What came again under another map is explained by what the accounts call sent again.
    assert!(again > 0 && again <= retried, "{again} of {retried}");
    for (fault, drawn) in &expected.drawn {
        let heard = reports.iter().map(|r| r.faults[*fault as usize].account);
        let (refused, rest) = heard.fold((0, 0), |(a, b), h| (a + h.refused, b + h.acknowledged + h.indeterminate));
        assert_eq!((refused, rest), (*drawn, 0), "fault {fault}");
    }
}

/// A refusal by a worker that took nothing of it.
fn none_taken() -> Response<bytes::Bytes> {
    let mut refusal = answer(503);
    refusal.headers_mut().insert(protocol::header::EPOCH, HeaderValue::from_static("7"));
    refusal
}

/// A worker of four lanes takes one request of each, the later the higher the lane, loses its answer, and then drains for
/// longer than a request may be late. What the worker of one lane that follows answers, and when the run is halted.
async fn lost_answers_and_a_long_pause(
    after: u16,
    halt: Option<Duration>,
) -> (Vec<Arrival>, protocol::GeneratorReport) {
    const PAUSE: Duration = Duration::from_millis(700);
    let ownership: Arc<Mutex<Option<Document>>> = Arc::default();
    let theirs = Arc::clone(&ownership);
    // Requests of each lane, and when the last of them lost its answer.
    let lanes: Mutex<([u32; 4], Option<Instant>)> = Mutex::default();
    let house = House::new(Box::new(move |arrival, before| {
        let ownership = theirs.lock().unwrap().clone().unwrap();
        let mut map = ownership.lock().unwrap();
        let map = map.as_mut().unwrap();
        if arrival.epoch != Some(map.epoch) {
            return answer(421);
        }
        if map.epoch == 8 {
            return if after == 503 { none_taken() } else { answer(after) };
        }
        let lane = arrival.id.split('/').nth(2).unwrap().parse::<usize>().unwrap();
        let mut lanes = lanes.lock().unwrap();
        if before == 0 {
            lanes.0[lane] += 1;
            if (lanes.0[lane] as usize) <= lane * 3 {
                return answer(204);
            }
            lanes.1 = Some(Instant::now());
            let mut lost = answer(502);
            lost.extensions_mut().insert(Abort::Reset);
            return lost;
        }
        let all = lanes.0.iter().enumerate().all(|(lane, requests)| *requests as usize > lane * 3);
        if all && lanes.1.is_some_and(|last| last.elapsed() > PAUSE) {
            (map.epoch, map.lanes) = (8, 1);
        }
        none_taken()
    }));
    *ownership.lock().unwrap() = Some(Arc::clone(&house.ownership));
    let base = format!("http://{}", house.target);
    let document =
        OwnershipDoc { sink_uid: "u".into(), epoch: 7, replicas: 1, lanes: 4, by: None, addresses: vec![base.clone()] };
    *house.ownership.lock().unwrap() = Some(document);
    let text = r#"{"stages": [{"for": "3s"}], "overload": {"policy": "Skip", "maxBacklog": "30s"}}"#;
    let plan = plan(&Target::Sink { workers: vec![base] }, 1, text);
    let (_, mut reports, _) = house.run(plan, halt).await;
    let report = reports.remove(0);
    report.account.balance().unwrap();
    assert_eq!(report.epochs.len(), 2);
    assert!(report.account.skipped.values().sum::<u64>() > 0, "the pause was too short: {:?}", report.account);
    (house.arrivals.lock().unwrap().clone(), report)
}

fn with_status(arrivals: &[Arrival], status: u16) -> BTreeSet<(u64, i64, u64)> {
    arrivals.iter().filter(|arrival| arrival.status == status).flat_map(samples).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_before_a_long_pause_is_not_skipped_behind_it() {
    let (arrivals, report) = lost_answers_and_a_long_pause(204, None).await;
    let (taken, acknowledged) = (with_status(&arrivals, 502), with_status(&arrivals, 204));
    assert!(!taken.is_empty());
    assert_eq!(
        taken.difference(&acknowledged).count(),
        0,
        "of {} taken, {} acknowledged",
        taken.len(),
        acknowledged.len()
    );
    assert_eq!(report.account.acknowledged, acknowledged.len() as u64);
    // The refusals said that nothing was taken: only what lost its answer came again.
    assert_eq!(report.account.repeats.samples(), taken.len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_before_a_long_pause_is_unresolved_when_the_run_is_halted() {
    let (arrivals, report) = lost_answers_and_a_long_pause(503, Some(Duration::from_millis(2500))).await;
    let taken = with_status(&arrivals, 502).len() as u64;
    assert!(report.account.unresolved >= taken, "{taken} were taken: {:?}", report.account);
    let listed: Vec<_> = report.exceptions.iter().map(|e| (e.epoch, e.outcome)).collect();
    assert_eq!(listed, [(1, ledger::Outcome::Unresolved), (1, ledger::Outcome::Skipped)]);
}

/// A sink whose map moves once it has taken so many requests: what it answers before, and the map that follows.
async fn moved(
    first: OwnershipDoc,
    second: OwnershipDoc,
    after: u64,
    document: &str,
    say: impl Fn(&Arrival) -> u16 + Send + Sync + 'static,
) -> (Vec<Arrival>, protocol::GeneratorReport) {
    let ownership: Arc<Mutex<Option<Document>>> = Arc::default();
    let (theirs, taken) = (Arc::clone(&ownership), AtomicU64::new(0));
    let house = House::new(Box::new(move |arrival, _| {
        let ownership = theirs.lock().unwrap().clone().unwrap();
        let mut map = ownership.lock().unwrap();
        if taken.fetch_add(1, Ordering::Relaxed) == after {
            let addresses = map.as_ref().unwrap().addresses[..second.addresses.len()].to_vec();
            *map = Some(OwnershipDoc { addresses, ..second.clone() });
        }
        answer(if arrival.epoch == Some(map.as_ref().unwrap().epoch) { say(arrival) } else { 421 })
    }));
    *ownership.lock().unwrap() = Some(Arc::clone(&house.ownership));
    let base = format!("http://{}", house.target);
    *house.ownership.lock().unwrap() = Some(OwnershipDoc { addresses: vec![base.clone()], ..first });
    let (_, mut reports, _) = house.run(plan(&Target::Sink { workers: vec![base] }, 1, document), None).await;
    (house.arrivals.lock().unwrap().clone(), reports.remove(0))
}

fn map(epoch: u64, replicas: u32, lanes: u16) -> OwnershipDoc {
    OwnershipDoc { sink_uid: "u".into(), epoch, replicas, lanes, by: None, addresses: vec![String::new()] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_judged_behind_a_reshard_however_much_was_refused_before() {
    let turn = AtomicU64::new(0);
    let document = r#"{"samplesPerRequest": 10, "stages": [{"for": "4s"}],
        "faults": [{"type": "OutOfOrder", "share": "10%", "from": "3s"}]}"#;
    let say = move |a: &Arrival| {
        if a.fault.is_none() && turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(4) { 400 } else { 204 }
    };
    let (arrivals, report) = moved(map(7, 1, 2), map(8, 1, 1), 300, document, say).await;
    let refused = |epoch| arrivals.iter().filter(|a| a.status == 400 && a.epoch == Some(epoch)).count();
    // No lane of the first map had many, all of them together had.
    assert!(refused(7) > 64 && refused(7) < 128 && refused(8) > 0, "{} and {}", refused(7), refused(8));
    let heard = report.faults[0].account;
    assert!(4 * heard.acknowledged > heard.sent && heard.indeterminate > 0, "{heard:?}");
}

/// A map that cannot be followed says nothing of what the target did with what was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generator_that_cannot_follow_says_that_it_broke_down_and_that_its_lists_are_not_complete() {
    let (_, report) = moved(map(7, 1, 2), map(8, 5, 2), 20, r#"{"stages": [{"for": "20s"}]}"#, |_| 204).await;
    let GeneratorState::Stopped(why) = &report.state else { panic!("{:?}", report.state) };
    assert!(why.contains("5 workers"), "{why}");
    assert!(report.exceptions_truncated);
    report.account.balance().unwrap();
}
