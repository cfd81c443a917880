//! A 5xx that comes again and again: poison or outage.

use std::time::Duration;

use crate::harness::*;

/// Cannot digest the series `bad`, as a Prometheus with a duplicate label.
fn chokes(samples: &[(String, i64)]) -> u16 {
    if samples.iter().any(|sample| sample.0 == "bad") { 500 } else { 204 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_that_a_backend_chokes_on_is_found() {
    let backend = Backend::start(Script::Judge(chokes));
    let worker = Worker::alone(&plan(&backend.url()));
    let names: Vec<_> = (0..30).map(|i| if i == 17 { "bad".to_owned() } else { format!("m{i}") }).collect();
    let samples: Vec<_> = names.iter().map(|name| (name.as_str(), 7)).collect();
    assert_eq!(worker.write(&samples).await, 400);
    let mut stored = backend.stored();
    let all = stored.len() as u64;
    stored.sort();
    stored.dedup();
    assert_eq!(stored.len(), 29);
    let account = worker.stop().await.account;
    assert_eq!((account.delivered, account.rejected["poison"]), (29, 1));
    assert!(account.repeats.samples() >= all - 29, "one was sent again to see whether the backend is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_a_backend_chokes_on_is_refused_only_while_it_takes_others() {
    let backend = Backend::start(Script::Judge(chokes));
    let mut plan = plan(&backend.url());
    // Long enough for the other lane to get its answer meanwhile.
    plan.retry.initial_delay = api::Duration::from_millis(20);
    let worker = Worker::lanes(&plan, 2);
    let name = (0..100).map(|i| format!("m{i}")).find(|name| place(name, 1, 2).1 == 1).unwrap();
    let headers = |id| [("floodmark-request", id), ("floodmark-epoch", "1"), ("floodmark-fault", "DuplicateLabel")];
    let fault = body(&[("bad", 8), ("bad", 9)]);
    // Nobody can tell; and a repeat is a new attempt, not the old outcome.
    for round in 1..=2 {
        assert_eq!(worker.post(fault.clone(), &headers("g/1/0/1")).await.status, 504);
        assert_eq!(backend.seen().len(), 4 * round);
    }
    assert_eq!(worker.report().await.account.rejected["undecided"], 4);
    let headers = headers("g/1/0/2");
    let verdict = worker.post(fault, &headers);
    let others = async {
        let mut time = 0;
        loop {
            time += 1;
            assert_eq!(worker.write(&[(&name, time)]).await, 204);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        answer = verdict => assert_eq!(answer.status, 400),
        () = others => unreachable!(),
    }
    assert_eq!(worker.stop().await.account.rejected["status_500"], 2);
}

/// Up for `m` alone.
fn mostly_away(samples: &[(String, i64)]) -> u16 {
    if samples.iter().all(|sample| sample.0.starts_with('m')) { 204 } else { 500 }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_that_lets_something_through_now_and_then_drops_nothing() {
    let backend = Backend::start(Script::Judge(mostly_away));
    let worker = Worker::lanes(&plan(&backend.url()), 2);
    let names = |start: &'static str, lane| {
        (0..).map(move |i| format!("{start}{i}")).filter(move |name| place(name, 1, 2).1 == lane)
    };
    let through = names("m", 1).next().unwrap();
    let held: Vec<_> = names("x", 0).take(5).collect();
    let held: Vec<_> = held.iter().map(|name| (name.as_str(), 1)).collect();
    let others = async {
        for (time, retries) in (1..).zip([1, 10, 40]) {
            worker.until(|report| report.account.retries >= retries).await;
            assert_eq!(worker.write(&[(&through, time)]).await, 204);
        }
        let report = worker.until(|report| report.account.retries >= 80).await;
        assert_eq!((report.account.rejected.len(), report.account.buffered), (0, 5));
        backend.usually(Script::Status(204));
    };
    assert_eq!(tokio::join!(worker.write(&held), others).0, 204);
    assert_eq!(worker.stop().await.account.delivered, 8);
}
