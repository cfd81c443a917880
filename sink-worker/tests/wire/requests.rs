//! What senders may ask: generators, third parties, repeats, maps that move.

use std::time::Duration;

use floodmark_http::server;
use ownership::Phase;
use remote_write::{Sample, Snappy, v1};

use crate::harness::*;

const OK: Script = Script::Status(204);

/// Two names of different lanes of two.
fn two_lanes() -> (String, String) {
    let name = |lane| (0..100).map(|i| format!("m{i}")).find(|name| place(name, 1, 2).1 == lane).unwrap();
    (name(0), name(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generators_request_goes_on_as_its_original_bytes() {
    let backend = Backend::start(OK);
    let worker = Worker::alone(&plan(&backend.url()));
    let sent = body(&[("a", 1), ("b", 1)]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let intended = (now.as_micros() - 2_000_000).to_string();
    let headers =
        [("floodmark-request", "g/1/0/1"), ("floodmark-epoch", "1"), ("floodmark-intended", intended.as_str())];
    assert_eq!(worker.post(sent.clone(), &headers).await.status, 204);
    assert_eq!(backend.seen()[0].body, sent);
    assert_eq!(worker.post(sent.clone(), &headers).await.status, 204, "a repeat gets the recorded outcome");
    assert_eq!(backend.seen().len(), 1);
    let set: measure::HistogramSet = serde_json::from_slice(&worker.get("/histograms").await.body).unwrap();
    let delivery = set.distribution(measure::names::DELIVERY).unwrap();
    assert_eq!(delivery.count(), 2, "in samples");
    assert!(delivery.max().ms() >= 2000.0);
    assert_eq!(worker.generate(5, body(&[("a", 5)])).await.status, 204);
    assert_eq!(worker.generate(4, body(&[("a", 4)])).await.status, 400, "overtaken on the way");
    assert_eq!(backend.stored().len(), 3);
    let account = worker.stop().await.account;
    assert_eq!((account.accepted, account.delivered), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_more_samples_than_a_batch_takes_goes_on_in_several() {
    for policy in [api::AckPolicy::Delivered, api::AckPolicy::Buffered] {
        let backend = Backend::start(OK);
        let mut plan = plan(&backend.url());
        plan.batching.max_samples = api::Count(3);
        plan.ack_policy = policy;
        let worker = Worker::alone(&plan);
        let names: Vec<_> = (0..8).map(|i| format!("m{i}")).collect();
        let all = |time| names.iter().map(|name| (name.as_str(), time)).collect::<Vec<_>>();
        assert_eq!(worker.generate(1, body(&all(1))).await.status, 204);
        let mixed =
            [("floodmark-request", "g/1/0/2"), ("floodmark-epoch", "1"), ("floodmark-fault", protocol::header::MIXED)];
        assert_eq!(worker.post(body(&all(2)), &mixed).await.status, 204);
        worker.until(|report| report.account.buffered == 0).await;
        let sizes: Vec<_> = backend.seen().iter().map(|seen| seen.samples.len()).collect();
        assert_eq!(sizes, [3, 3, 2, 3, 3, 2]);
        let expected: Vec<_> = all(1).into_iter().chain(all(2)).map(|(name, time)| (name.to_owned(), time)).collect();
        assert_eq!(backend.stored(), expected);
        // One of them refused is the whole request's answer; the others are delivered all the same.
        backend.usually(Script::Judge(|samples| if samples.iter().any(|one| one.0 == "m4") { 400 } else { 204 }));
        let fault = [("floodmark-request", "g/1/0/3"), mixed[1], mixed[2]];
        assert_eq!(worker.post(body(&all(3)), &fault).await.status, 400);
        let account = worker.stop().await.account;
        assert_eq!((account.accepted, account.delivered, account.rejected.values().sum::<u64>()), (24, 23, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn third_parties_wait_for_company_as_long_as_they_are_told() {
    let backend = Backend::start(OK);
    let mut plan = plan(&backend.url());
    plan.batching = api::Batching { max_samples: api::Count(2), max_delay: api::Duration::from_secs(10) };
    let worker = Worker::alone(&plan);
    let began = std::time::Instant::now();
    let company = async {
        worker.until(|report| report.account.accepted == 1).await;
        worker.write(&[("b", 1)]).await
    };
    assert_eq!(tokio::join!(worker.write(&[("a", 1)]), company), (204, 204));
    assert_eq!(backend.seen().iter().map(|seen| seen.samples.len()).collect::<Vec<_>>(), [2]);
    // A generator's request goes at once, and so does what is left when the worker is stopped.
    assert_eq!(worker.generate(1, body(&[("a", 2)])).await.status, 204);
    let (last, account) = tokio::join!(worker.write(&[("c", 1)]), async {
        worker.until(|report| report.account.accepted == 4).await;
        worker.stop().await.account
    });
    assert_eq!((last, account.delivered), (204, 4));
    assert!(began.elapsed() < Duration::from_secs(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_joins_the_request_in_progress() {
    let backend = Backend::start(Script::Status(503));
    let worker = Worker::alone(&plan(&backend.url()));
    let generator = [worker.generate(1, body(&[("a", 1)])), worker.generate(1, body(&[("a", 1)]))];
    let third = [worker.post(body(&[("b", 1)]), &[]), worker.post(body(&[("b", 1)]), &[])];
    let go = async {
        worker.until(|report| report.account.accepted == 2).await;
        let repeats = |text: &str| text.contains("floodmark_worker_repeats_total 2");
        while !repeats(&String::from_utf8_lossy(&worker.get("/metrics").await.body)) {
            tokio::task::yield_now().await;
        }
        backend.usually(OK);
    };
    let [one, two] = generator;
    let [three, four] = third;
    let all = async { tokio::join!(one, two, three, four, go) };
    let all = tokio::time::timeout(Duration::from_secs(20), Box::pin(all));
    let (one, two, three, four, ()) = all.await.unwrap();
    assert_eq!([one.status, two.status, three.status, four.status], [204; 4]);
    assert_eq!(worker.stop().await.account.accepted, 2);
    assert_eq!(backend.stored().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn generators_are_held_to_the_map() {
    let backend = Backend::start(OK);
    let worker = Worker::lanes(&plan(&backend.url()), 2);
    let (a, b) = two_lanes();
    let old = [("floodmark-request", "g/1/0/1"), ("floodmark-epoch", "7")];
    let moved = worker.post(body(&[(&a, 1)]), &old).await;
    assert_eq!((moved.status, moved.header("floodmark-epoch")), (421, Some("1")));
    let none = worker.post(body(&[(&a, 1)]), &[("floodmark-request", "g/1/0/1")]).await;
    assert_eq!(none.status, 421);
    assert_eq!(worker.generate(1, body(&[(&a, 1), (&b, 1)])).await.status, 400, "two lanes");
    assert_eq!(
        worker.generate(1, body(&[(&a, 1), (&a, 2)])).await.status,
        204,
        "two series fields of one series are the generator's word"
    );
    let mut encoder = v1::Encoder::new();
    let mut block = Vec::new();
    remote_write::canonical::push_label(&mut block, b"__name__", a.as_bytes());
    encoder.series(&block, &[Sample { timestamp: 3, value: 0.0 }, Sample { timestamp: 4, value: 0.0 }]);
    let twice = bytes::Bytes::copy_from_slice(Snappy::new().compress(encoder.body()));
    assert_eq!(worker.generate(2, twice).await.status, 400, "two samples in a series");
    let crooked = worker.post(body(&[(&a, 1)]), &[("floodmark-request", "g/1"), ("floodmark-epoch", "1")]).await;
    assert_eq!(crooked.status, 400);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_stay_alone_and_in_the_lane_they_name() {
    let backend = Backend::start(Script::Text(400, "duplicate sample"));
    let worker = Worker::lanes(&plan(&backend.url()), 2);
    let (a, b) = two_lanes();
    let fault = |id, kind| [("floodmark-request", id), ("floodmark-epoch", "1"), ("floodmark-fault", kind)];
    let sent = body(&[(&a, 1), (&b, 1), (&a, 1)]);
    assert_eq!(worker.post(sent.clone(), &fault("g/1/1/3", "ConflictingDuplicate")).await.status, 400);
    assert_eq!(backend.seen().len(), 1, "never split");
    assert_eq!(backend.seen()[0].body, sent);
    let other = worker.post(sent, &fault("g/1/2/3", "ConflictingDuplicate")).await;
    assert_eq!(other.status, 400, "lane 2 is another worker's");
    let corrupt = worker.post("garbage".into(), &fault("g/1/1/3", "CorruptSnappy")).await;
    assert_eq!(corrupt.status, 400);
    assert_eq!(worker.stop().await.account.rejected["status_400"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_refused_and_nothing_without_samples_is_sent() {
    let backend = Backend::start(OK);
    let worker = Worker::alone(&plan(&backend.url()));
    let status = async |body: Vec<u8>, headers: &[(&'static str, &str)]| worker.post(body.into(), headers).await.status;
    assert_eq!(status(vec![], &[]).await, 400);
    assert_eq!(status(b"\xff\xff\xff\xff\x0f".to_vec(), &[]).await, 413, "declares 4 GiB");
    assert_eq!(status(Snappy::new().compress(b"\x0a\x05x").to_vec(), &[]).await, 400);
    assert_eq!(status(Snappy::new().compress(b"").to_vec(), &[]).await, 204, "metadata alone");
    let mut encoder = v1::Encoder::new();
    encoder.series(&[], &[]);
    assert_eq!(status(Snappy::new().compress(encoder.body()).to_vec(), &[]).await, 204, "no samples");
    let good = body(&[("a", 1)]).to_vec();
    assert_eq!(status(good.clone(), &[("content-encoding", "gzip")]).await, 415);
    assert_eq!(status(good.clone(), &[("content-type", "application/json")]).await, 415);
    let v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    assert_eq!(status(good.clone(), &[("content-type", v2)]).await, 415);
    assert_eq!(worker.get("/api/v1/write").await.status, 405);
    assert_eq!(worker.get("/nowhere").await.status, 404);
    assert!(backend.seen().is_empty());
    assert_eq!(status(good, &[("content-type", "application/x-protobuf"), ("content-encoding", "snappy")]).await, 204);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_samples_of_a_series_go_one_after_the_other() {
    let backend = Backend::start(OK);
    let worker = Worker::alone(&plan(&backend.url()));
    assert_eq!(worker.write(&[("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 2)]).await, 204);
    let requests: Vec<_> = backend.seen().into_iter().map(|seen| seen.samples).collect();
    let times = |name: &str, at: usize| {
        requests[at].iter().filter(|sample| sample.0 == name).map(|sample| sample.1).collect::<Vec<_>>()
    };
    assert_eq!(requests.len(), 3);
    for at in 0..3 {
        assert_eq!(times("a", at), [at as i64 + 1]);
    }
    assert_eq!(worker.write(&[("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 2)]).await, 204, "a repeat is known");
    assert_eq!(backend.seen().len(), 3);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_requests_are_merged_behind_one_in_flight() {
    let backend = Backend::start(Script::Status(503));
    let worker = Worker::alone(&plan(&backend.url()));
    let names: Vec<_> = (0..20).map(|i| format!("m{i}")).collect();
    let first = worker.write(&[("first", 1)]);
    tokio::pin!(first);
    tokio::select! {
        _ = &mut first => panic!("answered"),
        _ = worker.until(|report| report.account.retries > 0) => {}
    }
    let mut rest: Vec<_> = Vec::new();
    for name in &names {
        rest.push(Box::pin(async { worker.write(&[(name.as_str(), 1)]).await }));
    }
    let go = async {
        worker.until(|report| report.account.accepted == 21).await;
        backend.usually(OK);
    };
    let mut tasks = Vec::new();
    let all = async {
        for status in rest {
            tasks.push(status);
        }
        futures_join(tasks).await
    };
    let (first, statuses, ()) = tokio::join!(first, all, go);
    assert_eq!(first, 204);
    assert_eq!(statuses, [204; 20]);
    let delivered: Vec<_> = backend.seen().into_iter().filter(|seen| seen.status == 204).collect();
    assert_eq!(delivered.len(), 2, "one alone, twenty together");
    worker.stop().await;
}

async fn futures_join<F: Future<Output = u16> + Unpin>(mut all: Vec<F>) -> Vec<u16> {
    let mut done = vec![0; all.len()];
    std::future::poll_fn(|cx| {
        for (future, status) in all.iter_mut().zip(&mut done) {
            if *status == 0
                && let std::task::Poll::Ready(answer) = std::pin::Pin::new(future).poll(cx)
            {
                *status = answer;
            }
        }
        if done.contains(&0) { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn third_parties_are_forwarded_to_the_owners_once() {
    let backend = Backend::start(OK);
    let listeners: Vec<_> = (0..2).map(|_| server::bind("127.0.0.1:0".parse().unwrap()).unwrap()).collect();
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
    let document = control(1, Phase::Stable, 2, addresses);
    let mut workers = Vec::new();
    for (ordinal, listener) in (0..).zip(listeners) {
        workers.push(Worker::on(listener, &plan(&backend.url()), ordinal, &document));
    }
    let names: Vec<_> = (0..40).map(|i| format!("m{i}")).collect();
    let samples: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    assert_eq!(workers[0].write(&samples).await, 204);
    let mut stored: Vec<_> = backend.stored().into_iter().map(|sample| sample.0).collect();
    stored.sort();
    let mut expected = names.clone();
    expected.sort();
    assert_eq!(stored, expected, "each once");
    let owned = names.iter().filter(|name| place(name, 2, 2).0 == 1).count() as u64;
    assert!(owned > 0);
    assert_eq!(workers[1].report().await.account.delivered, owned);
    assert_eq!(workers[1].write(&samples).await, 204, "a repeat through another door is known to both");
    assert_eq!(backend.stored().len(), 40);
    // A peer that routes by another map is refused for now, and nothing is ever passed on twice.
    let wrong = names.iter().find(|name| place(name, 2, 2).0 == 0).unwrap();
    for epoch in ["1", "9"] {
        let answer = workers[1].post(body(&[(wrong, 5)]), &[("floodmark-forwarded", epoch)]).await;
        assert_eq!((answer.status, answer.retry_after()), (503, Some("1")));
    }
    let last = workers.pop().unwrap();
    last.stop().await;
    let answer = workers[0].post(body(&samples.iter().map(|sample| (sample.0, 2)).collect::<Vec<_>>()), &[]).await;
    assert_eq!((answer.status, answer.retry_after()), (503, Some("1")), "an owner is away: all of it comes again");
    assert_eq!(answer.header("floodmark-epoch"), None, "this worker's share was taken");
    workers.pop().unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owners_refusal_reaches_the_third_party_as_it_is() {
    let backend = Backend::start(OK);
    let listeners: Vec<_> = (0..2).map(|_| server::bind("127.0.0.1:0".parse().unwrap()).unwrap()).collect();
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
    let document = control(1, Phase::Stable, 2, addresses);
    let mut workers = Vec::new();
    for (ordinal, listener) in (0..).zip(listeners) {
        let mut plan = plan(&backend.url());
        if ordinal == 1 {
            plan.buffer.max_samples = api::Count(2);
        }
        workers.push(Worker::on(listener, &plan, ordinal, &document));
    }
    let names: Vec<_> = (0..100).map(|i| format!("m{i}")).filter(|name| place(name, 2, 2).0 == 1).collect();
    let samples: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    assert_eq!(workers[0].write(&samples).await, 413, "it never fits into the owner's buffer");
    for (status, shown) in [(400, 400), (409, 409), (422, 422)] {
        backend.usually(Script::Status(status));
        let answer = workers[0].post(body(&[(&names[0], i64::from(status))]), &[]).await;
        assert_eq!(answer.status, shown);
        assert_eq!(answer.text(200).matches("the backend answers").count(), 1, "{}", answer.text(200));
    }
    backend.usually(OK);
    let last = workers[1].address;
    workers[1].obey(&control(1, Phase::Draining, 2, vec![workers[0].address.to_string(), last.to_string()]));
    let refused = loop {
        let refused = workers[0].post(body(&[(&names[1], 2)]), &[]).await;
        if refused.status == 503 {
            break refused;
        }
        assert_eq!(refused.status, 204);
    };
    assert_eq!(refused.header("floodmark-epoch"), None, "the owner speaks for itself alone");
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn buffered_faults_wait_for_their_verdict() {
    let backend = Backend::start(Script::Status(400));
    let mut plan = plan(&backend.url());
    plan.ack_policy = api::AckPolicy::Buffered;
    let worker = Worker::alone(&plan);
    let fault = |id, kind| [("floodmark-request", id), ("floodmark-epoch", "1"), ("floodmark-fault", kind)];
    assert_eq!(worker.generate(1, body(&[("a", 1)])).await.status, 204, "a good one does not wait");
    assert_eq!(worker.post(body(&[("a", 1), ("a", 1)]), &fault("g/1/0/2", "ConflictingDuplicate")).await.status, 400);
    assert_eq!(worker.post(body(&[("a", 2), ("b", 2)]), &fault("g/1/0/3", protocol::header::MIXED)).await.status, 400);
    backend.usually(OK);
    assert_eq!(worker.post(body(&[("a", 3), ("b", 3)]), &fault("g/1/0/4", protocol::header::MIXED)).await.status, 204);
    assert_eq!(backend.stored().len(), 2, "stored before it was acknowledged");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buffered_answers_at_once_and_keeps_order() {
    let backend = Backend::start(Script::Status(503));
    let mut plan = plan(&backend.url());
    plan.ack_policy = api::AckPolicy::Buffered;
    let worker = Worker::alone(&plan);
    for (sequence, time) in (1..=50).enumerate() {
        assert_eq!(worker.generate(sequence as u64, body(&[("a", time), ("b", time)])).await.status, 204);
    }
    assert_eq!(worker.write(&[("a", 51), ("a", 51), ("a", 52)]).await, 204);
    backend.usually(OK);
    worker.until(|report| report.account.buffered == 0).await;
    let times: Vec<_> = backend.stored().into_iter().filter(|sample| sample.0 == "a").map(|sample| sample.1).collect();
    let expected: Vec<_> = (1..=51).chain([51, 52]).collect();
    assert_eq!(times, expected);
    let inside: Vec<_> = backend.seen().into_iter().filter(|seen| seen.status == 204).collect();
    assert!(inside.len() < 30, "merged: {}", inside.len());
    for request in inside {
        let times: Vec<_> = request.samples.iter().filter(|sample| sample.0 == "a").map(|sample| sample.1).collect();
        assert!(times.is_sorted_by(|a, b| a < b), "a batch closes before a sample that is not newer");
    }
    worker.stop().await;
}
