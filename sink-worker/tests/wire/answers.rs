//! What the backend's answers do: rows 16 to 46, 54 to 57, 62 to 64.

use std::time::{Duration, Instant};

use api::{OnExhausted, RejectedAction};
use floodmark_http::server::Abort;
use ledger::Repeat;

use crate::harness::*;

const ALL: u16 = 204;

#[tokio::test(flavor = "multi_thread")]
async fn every_2xx_is_delivered_bodies_and_202_too() {
    let backend = Backend::start(Script::Status(ALL));
    backend.script([Script::Text(200, "well done"), Script::Status(202)]);
    let worker = Worker::alone(&plan(&backend.url()));
    for time in 1..=3 {
        assert_eq!(worker.write(&[("up", time)]).await, 204);
    }
    let seen = backend.seen();
    assert_eq!(seen.len(), 3);
    let header = |name| seen[0].headers.get(name).unwrap().to_str().unwrap();
    assert_eq!(header("content-encoding"), "snappy");
    assert_eq!(header("content-type"), "application/x-protobuf");
    assert_eq!(header("x-prometheus-remote-write-version"), "0.1.0");
    assert!(header("user-agent").starts_with("floodmark"));
    let outcome = worker.stop().await;
    assert_eq!((outcome.account.delivered, outcome.fatal), (3, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn retryable_answers_repeat_the_same_bytes_in_order() {
    let backend = Backend::start(Script::Status(ALL));
    let worker = Worker::alone(&plan(&backend.url()));
    let aborts =
        [Abort::BeforeAnswer, Abort::Reset, Abort::MidBody(2), Abort::Raw("no http\r\n\r\n".into()), Abort::Hang];
    let mut scripts: Vec<_> = [503, 503, 500, 502, 504, 529, 429].map(Script::Status).into();
    scripts.extend(aborts.map(Script::Abort));
    let troubles = scripts.len();
    backend.script(scripts);
    let started = Instant::now();
    assert_eq!(worker.write(&[("up", 1)]).await, 204);
    assert!(started.elapsed() < Duration::from_secs(10), "a hanging answer is bounded by the timeout");
    let seen = backend.seen();
    assert_eq!(seen.len(), troubles + 1);
    assert!(seen.iter().all(|one| one.body == seen[0].body));
    let report = worker.report().await;
    assert_eq!((report.account.delivered, report.account.retries), (1, troubles as u64));
    assert!(report.last_error.is_some());
    let histograms: measure::HistogramSet = serde_json::from_slice(&worker.get("/histograms").await.body).unwrap();
    let service = histograms.distribution(floodmark_sink_worker::BACKEND_SERVICE).unwrap();
    assert_eq!(service.count(), troubles as u64 + 1);
    assert_eq!(service.censored(), 1, "the one that hung");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_attempt_fails_visibly_and_keeps_what_it_has() {
    for status in [429, 500] {
        let backend = Backend::start(Script::Status(status));
        let mut plan = plan(&backend.url());
        plan.retry.max_attempts = Some(4);
        let worker = Worker::alone(&plan);
        assert_eq!(worker.write(&[("up", 1)]).await, 503);
        assert_eq!(backend.seen().len(), 4);
        assert_eq!(worker.write(&[("up", 2)]).await, 503, "takes nothing new");
        let ready = worker.get("/readyz").await;
        assert_eq!(ready.status, 503);
        assert!(ready.text(200).contains(&status.to_string()), "{}", ready.text(200));
        let report = worker.report().await;
        assert_eq!((report.account.buffered, report.account.accepted), (1, 1));
        assert!(report.fatal.unwrap().contains("4 attempts"));
        let outcome = worker.stop().await;
        assert!(outcome.fatal.is_some());
        assert_eq!(backend.seen().len(), 4);
        let lost = outcome.account.dropped.values().sum::<u64>() + outcome.account.ambiguous;
        assert_eq!(lost, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn discarding_after_the_last_attempt_goes_on() {
    let backend = Backend::start(Script::Status(ALL));
    backend.script(vec![Script::Status(500); 3]);
    let mut plan = plan(&backend.url());
    plan.retry.max_attempts = Some(3);
    plan.retry.on_exhausted = OnExhausted::Discard;
    let worker = Worker::alone(&plan);
    assert_eq!(worker.write(&[("up", 1)]).await, 400, "the sender must know");
    assert_eq!(worker.write(&[("up", 2)]).await, 204);
    let account = worker.stop().await.account;
    assert_eq!((account.delivered, account.dropped["retry_limit"]), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_honoured_and_capped() {
    let date = |seconds| httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(seconds));
    // Capped at 300 ms by the plan.
    for (value, least, most) in
        [("1".into(), 290, 3000), (date(100), 290, 3000), ("99999999999999999999".into(), 290, 3000)]
    {
        let gap = gap(value).await;
        assert!((least..most).contains(&gap), "{gap} ms");
    }
    for value in ["0", "soon", "-5", "1.5", "Thu, 01 Jan 1970 00:00:00 GMT"] {
        let gap = gap(value.to_owned()).await;
        assert!(gap < 290, "{value}: {gap} ms");
    }
}

async fn gap(value: String) -> u128 {
    let backend = Backend::start(Script::Status(ALL));
    backend.script([Script::With(503, "retry-after", value)]);
    let worker = Worker::alone(&plan(&backend.url()));
    assert_eq!(worker.write(&[("up", 1)]).await, 204);
    let seen = backend.seen();
    worker.stop().await;
    (seen[1].at - seen[0].at).as_millis()
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_is_refused_is_sent_once_and_the_next_goes_on() {
    for status in [400, 409, 422, 413] {
        let backend = Backend::start(Script::Status(ALL));
        backend.script([Script::Status(503), Script::Text(status, "out of order sample")]);
        let worker = Worker::alone(&plan(&backend.url()));
        let answer = worker.post(body(&[("up", 1)]), &[]).await;
        assert_eq!(answer.status, if status == 413 { 400 } else { status });
        assert!(answer.text(200).contains("out of order sample"), "{}", answer.text(200));
        assert_eq!(worker.write(&[("up", 2)]).await, 204);
        assert_eq!(backend.seen().len(), 3);
        let account = worker.stop().await.account;
        assert_eq!(account.rejected[&format!("status_{status}")], 1);
        assert_eq!((account.delivered, account.retries), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_somebody_is_fatal_at_once() {
    let cases = [
        Script::Status(401),
        Script::Status(403),
        Script::Status(404),
        Script::Status(415),
        Script::Status(304),
        Script::Status(301),
        Script::With(302, "location", "/ok".into()),
        Script::With(307, "location", "http://other.invalid/ok".into()),
        Script::Status(308),
    ];
    for case in cases {
        let backend = Backend::start(Script::Status(200));
        backend.script([case.clone()]);
        let mut plan = plan(&backend.url());
        plan.retry.on_exhausted = OnExhausted::Discard;
        let worker = Worker::alone(&plan);
        assert_eq!(worker.write(&[("up", 1)]).await, 503, "{case:?}");
        assert_eq!(backend.seen().len(), 1, "{case:?} is not retried");
        let outcome = worker.stop().await;
        assert!(outcome.fatal.is_some(), "{case:?}: also on the very last batch");
        assert_eq!(outcome.account.delivered, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_that_keep_the_method_are_followed_on_the_same_origin() {
    for status in [307, 308] {
        let backend = Backend::start(Script::Status(ALL));
        backend.script([Script::With(status, "location", "/elsewhere".into())]);
        let worker = Worker::alone(&plan(&backend.url()));
        assert_eq!(worker.write(&[("up", 1)]).await, 204);
        let seen = backend.seen();
        assert_eq!(seen[0].body, seen[1].body);
        assert_eq!(worker.stop().await.account.delivered, 1);
    }
    let backend = Backend::start(Script::With(307, "location", "/api/v1/write".into()));
    let worker = Worker::alone(&plan(&backend.url()));
    assert_eq!(worker.write(&[("up", 1)]).await, 503, "not for ever");
    assert!(backend.seen().len() <= 4);
    assert!(worker.stop().await.fatal.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connection_backs_off_and_recovers() {
    let listener = floodmark_http::server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let worker = Worker::alone(&plan(&format!("http://{address}/api/v1/write")));
    let waiting = worker.write(&[("up", 1)]);
    tokio::pin!(waiting);
    tokio::select! {
        status = &mut waiting => panic!("answered {status} without a backend"),
        report = worker.until(|report| report.account.retries >= 5) => {
            assert!(report.account.retries < 200, "it backs off");
            assert_eq!(report.account.repeats.samples(), 0, "nobody can have taken it");
        }
    }
    let port = address.port().to_string();
    worker.until(|report| report.unreachable.as_ref().is_some_and(|why| why.contains(&port))).await;
    let backend = Backend::on(floodmark_http::server::bind(address).unwrap(), Script::Status(ALL));
    assert_eq!(waiting.await, 204);
    worker.until(|report| report.unreachable.is_none()).await;
    assert_eq!(backend.stored(), [("up".to_owned(), 1)]);
    worker.stop().await;

    let mut gone = plan("http://no-such-host.invalid/write");
    gone.retry.max_attempts = Some(2);
    let worker = Worker::alone(&gone);
    assert_eq!(worker.write(&[("up", 1)]).await, 503);
    let outcome = worker.stop().await;
    assert!(outcome.fatal.unwrap().contains("dns"));
    assert_eq!(outcome.account.dropped["shutdown"], 1, "nothing of it can have arrived");
}

/// Refuses a whole request that holds the series `bad`, as an atomic backend.
fn no_bad(samples: &[(String, i64)]) -> u16 {
    if samples.iter().any(|sample| sample.0 == "bad") { 400 } else { 204 }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_series_is_isolated_from_its_batch() {
    for size in [10, 500] {
        let backend = Backend::start(Script::Judge(no_bad));
        let mut plan = plan(&backend.url());
        plan.on_rejected.action = RejectedAction::Isolate;
        plan.on_rejected.max_extra_requests = 64;
        let worker = Worker::alone(&plan);
        let names: Vec<_> = (0..size).map(|i| if i == size / 3 { "bad".to_owned() } else { format!("m{i}") }).collect();
        let samples: Vec<_> = names.iter().map(|name| (name.as_str(), 7)).collect();
        assert_eq!(worker.write(&samples).await, 400);
        let account = worker.stop().await.account;
        assert_eq!((account.delivered, account.rejected["status_400"]), (size - 1, 1));
        assert_eq!(backend.stored().len() as u64, size - 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn isolation_keeps_to_its_budget() {
    let backend = Backend::start(Script::Status(400));
    let mut plan = plan(&backend.url());
    plan.on_rejected.action = RejectedAction::Isolate;
    plan.on_rejected.max_extra_requests = 6;
    let worker = Worker::alone(&plan);
    let names: Vec<_> = (0..64).map(|i| format!("m{i}")).collect();
    let samples: Vec<_> = names.iter().map(|name| (name.as_str(), 7)).collect();
    assert_eq!(worker.write(&samples).await, 400);
    assert_eq!(backend.seen().len(), 7);
    let account = worker.stop().await.account;
    assert_eq!(account.rejected.values().sum::<u64>(), 64);
    assert!(account.rejected["collateral"] > 0);
}

/// Takes at most 3 samples in a request.
fn small_only(samples: &[(String, i64)]) -> u16 {
    if samples.len() > 3 { 413 } else { 204 }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_is_split_and_nothing_is_lost() {
    let backend = Backend::start(Script::Judge(small_only));
    let worker = Worker::alone(&plan(&backend.url()));
    let names: Vec<_> = (0..20).map(|i| format!("m{i}")).collect();
    let samples: Vec<_> = names.iter().map(|name| (name.as_str(), 7)).collect();
    assert_eq!(worker.write(&samples).await, 204);
    assert_eq!(worker.generate(1, body(&samples)).await.status, 204, "an original request too");
    assert_eq!(backend.stored().len(), 40);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_buffer_holds_the_source_back_and_loses_nothing() {
    let backend = Backend::start(Script::Status(429));
    let mut plan = plan(&backend.url());
    plan.buffer.max_samples = api::Count(5);
    let worker = Worker::alone(&plan);
    assert_eq!(
        worker.write(&[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1), ("f", 1)]).await,
        413,
        "it will never fit"
    );
    let first = worker.write(&[("a", 1), ("b", 1), ("c", 1)]);
    tokio::pin!(first);
    tokio::select! {
        status = &mut first => panic!("answered {status} by a throttling backend"),
        _ = worker.until(|report| report.account.retries > 3) => {}
    }
    let refused = worker.post(body(&[("d", 1), ("e", 1), ("f", 1)]), &[]).await;
    assert_eq!((refused.status, refused.retry_after()), (503, Some("1")), "all or nothing");
    assert_eq!(refused.header("floodmark-epoch"), Some("1"), "and so nothing");
    assert_eq!(worker.report().await.account.accepted, 3);
    backend.usually(Script::Status(ALL));
    assert_eq!(first.await, 204);
    assert_eq!(worker.write(&[("d", 1), ("e", 1), ("f", 1)]).await, 204);
    let account = worker.stop().await.account;
    assert_eq!((account.accepted, account.delivered), (6, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_with_a_dead_backend_ends_in_time_and_says_what_is_left() {
    let backend = Backend::start(Script::Abort(Abort::Hang));
    let mut plan = plan(&backend.url());
    plan.backend.request_timeout = Duration::from_mins(1);
    plan.ack_policy = api::AckPolicy::Buffered;
    let worker = Worker::alone(&plan);
    assert_eq!(worker.write(&[("a", 1), ("b", 1)]).await, 204, "buffered is acknowledged");
    let end = Instant::now() + Duration::from_secs(10);
    while backend.seen().is_empty() {
        assert!(Instant::now() < end);
        tokio::task::yield_now().await;
    }
    assert_eq!(worker.write(&[("a", 2)]).await, 204);
    let started = Instant::now();
    let account = worker.stop().await.account;
    assert!(started.elapsed() < Duration::from_secs(8));
    assert_eq!((account.ambiguous, account.dropped["shutdown"]), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_is_in_the_metrics_and_what_may_be_there_twice_is_counted() {
    let backend = Backend::start(Script::Status(ALL));
    let worker = Worker::alone(&plan(&backend.url()));
    backend.script([429, 429].map(Script::Status));
    assert_eq!(worker.write(&[("a", 1), ("b", 1)]).await, 204);
    assert_eq!((worker.report().await.account.repeats.samples(), worker.report().await.account.retries), (0, 2));
    backend.script([429, 503, 502].map(Script::Status));
    assert_eq!(worker.write(&[("a", 2), ("b", 7), ("c", 2)]).await, 204);
    let again = Repeat { epoch: 0, lane: 0, from_ms: 2, to_ms: 7, samples: 6 };
    assert_eq!(worker.report().await.account.repeats.iter().collect::<Vec<_>>(), [&again]);
    assert_eq!(worker.report().await.account.retries, 5);
    backend.usually(Script::Status(400));
    assert_eq!(worker.generate(1, body(&[("d", 1)])).await.status, 400);
    let text = String::from_utf8(worker.get("/metrics").await.body.to_vec()).unwrap();
    let value =
        |start: &str| text.lines().find(|line| line.starts_with(start)).map(|line| line.rsplit(' ').next().unwrap());
    assert_eq!(value("prometheus_remote_storage_samples_failed_total"), Some("1"));
    assert_eq!(value("prometheus_remote_storage_samples_dropped_total{reason=\"status_400\"}"), Some("1"));
    assert_eq!(worker.stop().await.account.repeats.samples(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_lane_tells_what_it_sent_again() {
    let backend = Backend::start(Script::Status(ALL));
    let worker = Worker::lanes(&plan(&backend.url()), 2);
    for (lane, time) in [(1, 10), (0, 20), (1, 30)] {
        let name = (0..100).map(|i| format!("m{i}")).find(|name| place(name, 1, 2).1 == lane).unwrap();
        backend.script([Script::Abort(Abort::Reset)]);
        assert_eq!(worker.write(&[(&name, time)]).await, 204);
    }
    let again = |lane, at| Repeat { epoch: 0, lane, from_ms: at, to_ms: at, samples: 1 };
    let told = worker.stop().await.account.repeats;
    assert_eq!(told.iter().copied().collect::<Vec<_>>(), [again(0, 20), again(1, 10), again(1, 30)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_not_taken_for_a_bad_series() {
    let backend = Backend::start(Script::Status(500));
    let worker = Worker::alone(&plan(&backend.url()));
    let waiting = worker.write(&[("a", 1), ("b", 1), ("c", 1)]);
    tokio::pin!(waiting);
    tokio::select! {
        status = &mut waiting => panic!("answered {status} in an outage"),
        _ = worker.until(|report| report.account.retries > 40) => {}
    }
    backend.usually(Script::Status(ALL));
    assert_eq!(waiting.await, 204);
    let account = worker.stop().await.account;
    assert_eq!((account.delivered, account.accepted), (3, 3));
}
