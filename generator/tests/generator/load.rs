//! Generators over real sockets: what arrives, what they say about it, and whether both agree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::house::expected::{expected, plan, samples_in, stored};
use crate::house::{House, answer};
use floodmark_http::server::Abort;
use ledger::{Outcome, SlotTable};
use protocol::{GeneratorState, RunPlan, Target};
use remote_write::{Scratch, Snappy, slot_of, v1};
use workload::Workload;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_scheduled_arrives_once_and_is_accounted_for() {
    let house = House::new(Box::new(|a, _| answer(if a.fault.is_some() { 400 } else { 204 })));
    let document = r#"{
        "workload": [
            {"name": "app", "targets": 6, "seriesPerTarget": 20, "scrapeInterval": "100ms", "values": "Mixed"},
            {"name": "churned", "targets": 3, "seriesPerTarget": 10, "scrapeInterval": "50ms", "churn": {"every": "200ms", "share": "30%"}}],
        "stages": [{"for": "500ms", "ramp": true, "rate": 3000}, {"for": "700ms"}],
        "faults": [{"type": "OutOfOrder", "share": "5%"}, {"type": "MissingMetricName", "share": "5%"},
                   {"type": "CorruptSnappy", "share": "2%"}, {"type": "ConflictingDuplicate", "share": "5%"}]}"#;
    let plan = plan(&house.endpoint(), 2, document);
    let (t0, reports, slots) = house.run(plan.clone(), None).await;
    let expected = expected(&plan, t0);
    let arrivals = house.arrivals.lock().unwrap().clone();
    let stored = stored(&arrivals);
    assert!(stored.values().all(|count| *count == 1));
    assert_eq!(stored.keys().copied().collect::<BTreeSet<_>>(), expected.good);
    assert_eq!(slots.diff(&expected.table), Vec::<u16>::new());
    let w = Workload::new(&plan.workload, &plan.stages, plan.seed, &plan.run).unwrap();
    let (mut generated, mut due) = (0, 0);
    for report in &reports {
        assert_eq!(report.state, GeneratorState::Done);
        report.account.balance().unwrap();
        generated += report.account.generated;
        assert_eq!((report.retries, report.account.unresolved, report.account.skipped.len()), (0, 0, 0));
        for stage in &report.stages {
            assert_eq!(stage.due, stage.in_time);
            due += stage.due;
        }
        assert!(report.exceptions.iter().all(|e| e.fault.is_some() && e.outcome == Outcome::Refused { status: 400 }));
    }
    assert_eq!((generated, due), (w.total_samples(), w.total_samples()));
    for (fault, count) in &expected.drawn {
        let heard: Vec<_> = reports.iter().map(|r| r.faults[*fault as usize].account).collect();
        assert_eq!(heard.iter().map(|h| h.refused).sum::<u64>(), *count, "fault {fault}");
        assert_eq!(heard.iter().map(|h| h.acknowledged + h.indeterminate).sum::<u64>(), 0);
    }
    let names: BTreeSet<_> = arrivals.iter().filter_map(|a| a.fault.clone()).collect();
    assert_eq!(names.len(), 4);
    // In each lane of each generator numbers rise and intended times do not fall.
    let mut last: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for arrival in &arrivals {
        let (lane, sequence) = arrival.id.rsplit_once('/').unwrap();
        let now = (sequence.parse().unwrap(), arrival.intended_us);
        let before = last.insert(lane.to_owned(), now).unwrap_or_default();
        assert!(now.0 > before.0 || before == (0, 0));
        assert!(now.1 >= before.1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shaky_target_gets_the_same_bytes_again_in_order() {
    let turn = AtomicU64::new(0);
    let house = House::new(Box::new(move |_, before| match (before, turn.fetch_add(1, Ordering::Relaxed) % 3) {
        (0, 0) => answer(503),
        (0, 1) => {
            let mut response = answer(200);
            *response.status_mut() = floodmark_http::StatusCode::BAD_GATEWAY;
            response.extensions_mut().insert(Abort::Reset);
            response
        }
        (1, 0) => answer(429),
        _ => answer(200),
    }));
    let plan = plan(&house.endpoint(), 1, "{}");
    let (t0, reports, slots) = house.run(plan.clone(), None).await;
    let arrivals = house.arrivals.lock().unwrap().clone();
    let expected = expected(&plan, t0);
    assert_eq!(stored(&arrivals).into_keys().collect::<BTreeSet<_>>(), expected.good);
    assert_eq!(slots, expected.table);
    let mut bodies: BTreeMap<&str, &[u8]> = BTreeMap::new();
    let mut lanes: BTreeMap<&str, u64> = BTreeMap::new();
    for arrival in &arrivals {
        assert_eq!(*bodies.entry(&arrival.id).or_insert(&arrival.body), &arrival.body[..]);
        let (lane, sequence) = arrival.id.rsplit_once('/').unwrap();
        let sequence = sequence.parse().unwrap();
        assert!(lanes.insert(lane, sequence).unwrap_or(0) <= sequence, "overtaken");
    }
    let report = &reports[0];
    report.account.balance().unwrap();
    assert!(report.retries as usize == arrivals.len() - bodies.len() && report.retries > 0);
    // Whoever was answered 5xx, or not at all, and then came again.
    let doubtful: BTreeMap<&str, usize> =
        arrivals.iter().filter(|a| matches!(a.status, 502 | 503)).map(|a| (a.id.as_str(), samples_in(a))).collect();
    assert_eq!(report.account.repeats.samples(), doubtful.values().sum::<usize>() as u64);
    assert_eq!((report.exceptions.len(), report.account.acknowledged), (0, report.account.generated));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_counted_and_named_and_not_repeated() {
    // Lane 1 is refused for good.
    let house = House::new(Box::new(|a, _| answer(if a.id.split('/').nth(2) == Some("1") { 400 } else { 200 })));
    let faults = r#"{"faults": [{"type": "OutOfOrder", "share": "20%"}]}"#;
    let plan = plan(&house.endpoint(), 1, faults);
    let (_, reports, _) = house.run(plan, None).await;
    let report = &reports[0];
    report.account.balance().unwrap();
    assert_eq!(report.retries, 0);
    let good: Vec<_> = report.exceptions.iter().filter(|e| e.fault.is_none()).collect();
    assert_eq!(good.len(), 1, "{good:?}");
    assert_eq!((good[0].lane, good[0].from_request, good[0].outcome), (1, 0, Outcome::Refused { status: 400 }));
    let arrivals = house.arrivals.lock().unwrap().clone();
    let refused = arrivals.iter().filter(|a| a.status == 400 && a.fault.is_none()).count() as u64;
    assert_eq!(good[0].to_request + 1, refused);
    // In lane 1 the predecessors are missing: nothing can be said of these faults. Elsewhere they were taken wrongly.
    // Good samples that were refused did not arrive in time; faults that were did what they are for.
    let missing: usize = arrivals.iter().filter(|a| a.status == 400 && a.fault.is_none()).map(samples_in).sum();
    let stage = report.stages[0];
    assert!(missing > 0);
    assert_eq!(stage.in_time, stage.due - missing as u64);
    let heard = report.faults[0].account;
    assert!(heard.indeterminate > 0 && heard.acknowledged > 0 && heard.refused == 0, "{heard:?}");
    assert!(report.faults[0].examples.len() == 10 && report.faults[0].examples[0].contains("2xx"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_halted_run_accounts_for_what_was_open() {
    let house = House::new(Box::new(|_, _| {
        let mut response = answer(200);
        *response.status_mut() = floodmark_http::StatusCode::GATEWAY_TIMEOUT;
        response.extensions_mut().insert(Abort::Hang);
        response
    }));
    let plan = plan(
        &house.endpoint(),
        1,
        r#"{"stages": [{"for": "1h"}], "faults": [{"type": "InvalidLabelName", "share": "10%"}]}"#,
    );
    let (_, reports, slots) = house.run(plan, Some(Duration::from_millis(900))).await;
    let report = &reports[0];
    report.account.balance().unwrap();
    assert_eq!(slots, SlotTable::new());
    assert!(report.account.unresolved > 0 && report.account.skipped["end"] > 0, "{:?}", report.account);
    for lane in 0..3 {
        let of = |outcome| {
            report.exceptions.iter().find(|e| e.lane == lane && e.fault.is_none() && e.outcome == outcome).copied()
        };
        let (unresolved, skipped) = (of(Outcome::Unresolved).unwrap(), of(Outcome::Skipped).unwrap());
        assert_eq!((unresolved.from_request, unresolved.to_request), (0, 0));
        assert_eq!((skipped.from_request, skipped.to_request), (1, u64::MAX));
        assert!(
            report.exceptions.iter().any(|e| e.lane == lane && e.fault == Some(0) && e.outcome == Outcome::Skipped)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_too_late_is_skipped() {
    // Every lane gets its first answer only when all else is out of date.
    let house = House::new(Box::new(|a, before| answer(if a.id.ends_with("/0") && before < 7 { 503 } else { 200 })));
    let overload = r#"{"overload": {"policy": "Skip", "maxBacklog": "10s"}, "stages": [{"for": "1500ms"}]}"#;
    let plan = plan(&house.endpoint(), 1, overload);
    let (t0, reports, slots) = house.run(plan.clone(), None).await;
    let report = &reports[0];
    report.account.balance().unwrap();
    let expected = expected(&plan, t0);
    assert!(report.account.skipped["late"] > 0 && report.account.acknowledged > 0);
    assert_eq!(report.account.generated, expected.good.len() as u64);
    assert_eq!(slots.total().count, report.account.acknowledged);
    assert!(report.exceptions.iter().all(|e| e.outcome == Outcome::Skipped));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_is_routed_by_its_map_and_followed_to_a_new_epoch() {
    let house = House::new(Box::new(|a, _| answer(if a.epoch == Some(7) { 421 } else { 200 })));
    let base = format!("http://{}", house.target);
    let map = |epoch| protocol::OwnershipDoc {
        sink_uid: "u".into(),
        epoch,
        replicas: 2,
        lanes: 2,
        by: None,
        addresses: vec![base.clone(), base.clone()],
    };
    *house.ownership.lock().unwrap() = Some(map(7));
    let plan = plan(&Target::Sink { workers: vec![base.clone(), base.clone()] }, 1, "{}");
    let (ownership, newer) = (Arc::clone(&house.ownership), map(8));
    let arrivals = Arc::clone(&house.arrivals);
    let mover = tokio::spawn(async move {
        while arrivals.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        *ownership.lock().unwrap() = Some(newer);
    });
    let (t0, reports, slots) = house.run(plan.clone(), None).await;
    mover.await.unwrap();
    assert_eq!((reports[0].state.clone(), reports[0].replicas, reports[0].lanes), (GeneratorState::Done, 2, 4));
    assert_eq!(slots, expected(&plan, t0).table);
    assert!(reports[0].retries > 0);
    assert_eq!(reports[0].account.repeats.samples(), 0, "421 took nothing");
    // Every series went through the lane of its owner.
    let (mut snappy, mut scratch) = (Snappy::new(), Scratch::new());
    for arrival in house.arrivals.lock().unwrap().iter() {
        let lane: u32 = arrival.id.split('/').nth(2).unwrap().parse().unwrap();
        let body = snappy.decompress(&arrival.body, 1 << 24).unwrap();
        for series in v1::walk(body) {
            let slot = slot_of(series.unwrap().canonical_hash(&mut scratch));
            assert_eq!(lane, ownership::owner(slot, 2) * 2 + u32::from(slot) % 2);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_repetition_of_what_may_be_stored_is_counted() {
    let house = House::new(Box::new(|_, before| answer(if before < 3 { 500 } else { 200 })));
    let plan = plan(&house.endpoint(), 1, r#"{"stages": [{"for": "300ms"}]}"#);
    let (t0, reports, _) = house.run(plan, None).await;
    let account = &reports[0].account;
    assert!(account.acknowledged > 0);
    assert_eq!((account.acknowledged, account.repeats.samples()), (account.generated, 3 * account.generated));
    // Each lane's own, by the time of its samples.
    let (from, to) = ((t0 / 1_000_000).cast_signed(), ((t0 + 300_000_000) / 1_000_000).cast_signed());
    let lanes: BTreeSet<u32> = account.repeats.iter().map(|one| one.lane).collect();
    assert_eq!(lanes.len() as u32, reports[0].lanes);
    assert!(account.repeats.iter().all(|one| from <= one.from_ms && one.from_ms <= one.to_ms && one.to_ms <= to));
}

/// A worker knows a repeat by its number, however late its answer: only under another map it is a new request to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_knows_again_is_not_counted_as_sent_twice() {
    let house = House::new(Box::new(|_, before| answer(if before < 2 { 500 } else { 204 })));
    let base = format!("http://{}", house.target);
    let document = protocol::OwnershipDoc {
        sink_uid: "u".into(),
        epoch: 7,
        replicas: 1,
        lanes: 2,
        by: None,
        addresses: vec![base.clone()],
    };
    *house.ownership.lock().unwrap() = Some(document);
    let plan = plan(&Target::Sink { workers: vec![base] }, 1, r#"{"stages": [{"for": "300ms"}]}"#);
    let (_, reports, _) = house.run(plan, None).await;
    let report = &reports[0];
    assert!(report.account.acknowledged > 0 && report.retries > 0);
    assert_eq!((report.account.repeats.samples(), report.account.acknowledged), (0, report.account.generated));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_lag_is_told_though_it_was_in_the_warm_up() {
    // The very first request of each lane waits for a fifth of a second at least.
    let house = House::new(Box::new(|a, before| answer(if a.id.ends_with("/0") && before < 4 { 503 } else { 200 })));
    let plan = plan(&house.endpoint(), 1, r#"{"stages": [{"for": "500ms", "warmUp": true}, {"for": "500ms"}]}"#);
    let (_, reports, _) = house.run(plan, None).await;
    assert!(reports[0].lag_ns > 200_000_000, "{}", reports[0].lag_ns);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_judged_however_much_was_refused_before() {
    // One good request of four is refused, more than a hundred in all; a fault follows upon a sample of one cycle before.
    let house = || {
        let turn = AtomicU64::new(0);
        House::new(Box::new(move |a, _| {
            let refused = a.fault.is_none() && turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(4);
            answer(if refused { 400 } else { 200 })
        }))
    };
    let (house, lenient) = (house(), house());
    let document = r#"{"connections": 1, "samplesPerRequest": 10, "stages": [{"for": "4s"}],
        "faults": [{"type": "OutOfOrder", "share": "10%", "from": "3s"}]}"#;
    let plan = plan(&house.endpoint(), 1, document);
    // What is to be stored has its verdict whatever came before.
    let stored = RunPlan { profile: Some(api::Profile::VictoriaMetrics), target: lenient.endpoint(), ..plan.clone() };
    let ((_, reports, _), (_, clear, _)) = tokio::join!(house.run(plan, None), lenient.run(stored, None));
    let refused = house.arrivals.lock().unwrap().iter().filter(|a| a.status == 400).count();
    assert!(refused > 100, "{refused}");
    let heard = reports[0].faults[0].account;
    assert!(4 * heard.acknowledged > heard.sent && heard.indeterminate > 0, "{heard:?}");
    let heard = clear[0].faults[0].account;
    assert!(heard.sent > 0 && heard.acknowledged == heard.sent, "{heard:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttled_samples_are_not_counted_as_sent_twice() {
    let house = House::new(Box::new(|_, before| answer(if before == 0 { 429 } else { 200 })));
    let plan = plan(&house.endpoint(), 1, "{}");
    let (_, reports, _) = house.run(plan, None).await;
    assert!(reports[0].retries > 0);
    assert_eq!(
        (reports[0].account.repeats.samples(), reports[0].account.acknowledged),
        (0, reports[0].account.generated)
    );
}

/// One lane, about ten requests.
const FAULTS: &str = r#"{"faults": [{"type": "DuplicateLabel", "share": "10%"}], "connections": 1,
    "samplesPerRequest": 500, "stages": [{"for": "800ms"}]}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_no_verdict_on_a_fault() {
    // The first fault finds the target away, and so does everybody else for a while.
    let away: Mutex<Option<Instant>> = Mutex::default();
    let house = House::new(Box::new(move |a, _| {
        let mut away = away.lock().unwrap();
        if a.fault.is_some() {
            away.get_or_insert_with(Instant::now);
        }
        let is_away = away.is_some_and(|since| since.elapsed() < Duration::from_millis(900));
        answer(if is_away {
            500
        } else if a.fault.is_some() {
            400
        } else {
            200
        })
    }));
    let plan = plan(&house.endpoint(), 1, FAULTS);
    let (t0, reports, slots) = house.run(plan.clone(), None).await;
    let expected = expected(&plan, t0);
    let report = &reports[0];
    report.account.balance().unwrap();
    assert!(house.arrivals.lock().unwrap().iter().filter(|a| a.fault.is_some() && a.status == 500).count() > 4);
    assert_eq!(report.faults[0].statuses.keys().copied().collect::<Vec<_>>(), [400]);
    assert_eq!((report.faults[0].account.refused, report.faults[0].account.indeterminate), (expected.drawn[&0], 0));
    assert_eq!(slots, expected.table);
    assert!(report.exceptions.iter().all(|e| e.outcome == Outcome::Refused { status: 400 } && e.fault == Some(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_chokes_on_faults_refuses_them_though_one_lane_waits_for_its_own_evidence() {
    // A sink's worker says 504 when it cannot tell.
    for (status, sink) in [(500, false), (504, true)] {
        let house = House::new(Box::new(move |a, _| answer(if a.fault.is_some() { status } else { 200 })));
        let base = format!("http://{}", house.target);
        let target = if sink { Target::Sink { workers: vec![base.clone()] } } else { house.endpoint() };
        let map = protocol::OwnershipDoc {
            sink_uid: "u".into(),
            epoch: 1,
            replicas: 1,
            lanes: 1,
            by: None,
            addresses: vec![base],
        };
        *house.ownership.lock().unwrap() = Some(map);
        let plan = plan(&target, 1, FAULTS);
        let started = Instant::now();
        let (t0, reports, slots) = house.run(plan.clone(), None).await;
        assert!(started.elapsed() < Duration::from_secs(20));
        let expected = expected(&plan, t0);
        let report = &reports[0];
        report.account.balance().unwrap();
        assert_eq!(slots, expected.table, "no good sample is held up for ever");
        let arrivals = house.arrivals.lock().unwrap().clone();
        let heard = report.faults[0].account;
        assert_eq!(heard.sent, expected.drawn[&0]);
        // Behind the very last good request there is none that could tell.
        let last = arrivals.iter().rfind(|a| a.fault.is_some()).map(samples_in).unwrap() as u64;
        assert_eq!(report.faults[0].statuses.keys().copied().collect::<Vec<_>>(), [status]);
        assert_eq!((heard.refused, heard.indeterminate), (heard.sent - last, last));
        assert_eq!(report.account.unresolved, last);
        // The number of a request is of one body, and numbers never fall: a worker would not take an older one.
        let mut bodies: BTreeMap<&str, &[u8]> = BTreeMap::new();
        let mut highest = 0;
        for arrival in &arrivals {
            assert_eq!(*bodies.entry(&arrival.id).or_insert(&arrival.body), &arrival.body[..]);
            let sequence: u64 = arrival.id.rsplit_once('/').unwrap().1.parse().unwrap();
            assert!(sequence >= highest);
            highest = sequence;
        }
        // In order, without overlap.
        let ranges: Vec<_> = report.exceptions.iter().map(|e| (e.from_request, e.to_request)).collect();
        assert!(ranges.windows(2).all(|two| two[0].1 < two[1].0), "{ranges:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_cannot_go_on_accounts_for_all_of_its_requests() {
    // In lane 1 the second request is answered so that no other has a chance: at once, or after an answer that may have been a lie.
    for (lies, status) in [(0, 401), (1, 403), (0, 301), (0, 415)] {
        let house = House::new(Box::new(move |a, before| {
            let ends = a.id.split('/').nth(2) == Some("1") && !a.id.ends_with("/0") && a.fault.is_none();
            answer(match ends {
                true if before < lies => 500,
                true => status,
                false => 200,
            })
        }));
        let faults = r#"{"faults": [{"type": "InvalidLabelName", "share": "20%"}]}"#;
        let (_, reports, _) = house.run(plan(&house.endpoint(), 1, faults), None).await;
        let report = &reports[0];
        assert!(matches!(&report.state, GeneratorState::Failed(why) if why.contains(&status.to_string())));
        report.account.balance().unwrap();
        let of = |lane, fault| -> Vec<_> {
            report.exceptions.iter().filter(|e| e.lane == lane && e.fault == fault).copied().collect()
        };
        let good = of(1, None);
        let outcome = if lies == 0 { Outcome::Refused { status } } else { Outcome::Unresolved };
        assert_eq!((good[0].from_request, good[0].to_request, good[0].outcome), (1, 1, outcome));
        assert_eq!((good[1].from_request, good[1].to_request, good[1].outcome), (2, u64::MAX, Outcome::Skipped));
        let unresolved = report.account.unresolved > 0;
        assert_eq!(
            (report.account.refused.contains_key(&format!("status_{status}")), unresolved),
            (lies == 0, lies > 0)
        );
        for lane in 0..3 {
            for fault in [None, Some(0)] {
                let last = *of(lane, fault).last().unwrap();
                assert_eq!((last.to_request, last.outcome), (u64::MAX, Outcome::Skipped), "lane {lane} {fault:?}");
            }
        }
        // The faults of the request that failed were not sent.
        let skipped = |e: &ledger::Exception| e.from_request == 1 && e.outcome == Outcome::Skipped;
        assert!(of(1, Some(0)).iter().any(skipped), "{:?}", of(1, Some(0)));
    }
}
