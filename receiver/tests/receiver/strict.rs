//! Strict verdicts over real HTTP: what is refused, with which status, and that the good samples of a request are kept.

use crate::common::{self, Receiver, named, now_ms};

const NAME: (&[u8], &[u8]) = (b"__name__", b"up");

/// Sends nine good series and one more in the middle; gives the status, the text and how many samples were stored.
async fn among_good(receiver: &Receiver, case: &str, odd: common::Series<'_>) -> (u16, String, u64) {
    let before = receiver.store().await.counters;
    let now = now_ms();
    let names: Vec<String> = (0..9).map(|i| format!("{case}-{i}")).collect();
    let mut series: Vec<_> = names.iter().map(|name| named(name, vec![(now, 1.0)])).collect();
    series.insert(5, odd);
    let answer = receiver.sender().send(&series).await.unwrap();
    let after = receiver.store().await.counters;
    let refused = |c: &ledger::StoreCounters| c.foreign_late + c.foreign_conflicts + c.foreign_duplicates;
    let stored = after.foreign_samples - before.foreign_samples - (refused(&after) - refused(&before));
    (answer.status, answer.text(500), stored)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_labels_are_refused_and_the_good_samples_kept() {
    let receiver = Receiver::start("{}", None).await;
    let at = vec![(now_ms(), 1.0)];
    let cases: Vec<(&str, Vec<(&[u8], &[u8])>, u16, &str)> = vec![
        ("good", vec![NAME, (b"a", b"1")], 204, ""),
        ("nameless", vec![(b"a", b"1")], 400, "no metric name"),
        ("empty-name", vec![(b"", b"1"), NAME], 400, "empty label name"),
        ("empty-value", vec![NAME, (b"a", b"")], 400, "empty label value"),
        ("twice", vec![NAME, (b"a", b"1"), (b"a", b"1")], 400, "repeated label name"),
        ("two-values", vec![NAME, (b"a", b"1"), (b"a", b"2")], 400, "repeated label name"),
        ("unsorted", vec![NAME, (b"b", b"1"), (b"a", b"2")], 400, "labels out of order"),
        ("metric", vec![(b"__name__", b"0bad-x")], 400, "invalid metric name"),
        ("label", vec![NAME, (b"a-b", b"1")], 400, "invalid label name"),
        ("utf8", vec![NAME, (b"a", b"\xff")], 400, "not UTF-8"),
        ("none", vec![], 400, "no metric name"),
        ("long", vec![NAME, (b"a", &[b'x'; 100_000])], 204, ""),
    ];
    for (case, labels, status, why) in cases {
        let found = among_good(&receiver, case, (labels, at.clone())).await;
        assert_eq!((found.0, found.2), (status, if status == 204 { 10 } else { 9 }), "{case}: {}", found.1);
        assert!(found.1.contains(why), "{case}: {}", found.1);
    }
    receiver.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_are_held_to_the_newest_sample() {
    let receiver = Receiver::start("{}", None).await;
    let now = now_ms();
    receiver.sender().send(&[named("x", vec![(now - 10, 1.0), (now, 2.0)])]).await.unwrap();
    let cases: Vec<(&str, Vec<(i64, f64)>, u16, &str)> = vec![
        ("newest again", vec![(now, 2.0)], 204, ""),
        ("other value", vec![(now, 3.0)], 400, "duplicate sample for timestamp"),
        ("older", vec![(now - 5, 1.0)], 400, "out of order"),
        ("older again", vec![(now - 10, 1.0)], 400, "out of order"),
        ("zero", vec![(0, 1.0)], 400, "out of order"),
        ("negative", vec![(-1, 1.0)], 400, "out of order"),
        ("far ahead", vec![(now + 11 * 60_000, 1.0)], 400, "10 minutes ahead"),
        ("no samples", vec![], 204, ""),
        ("disorder inside", vec![(now + 20, 1.0), (now + 10, 1.0)], 400, "out of order"),
        ("a little ahead", vec![(now + 5 * 60_000, f64::NAN)], 204, ""),
        ("the same NaN", vec![(now + 5 * 60_000, f64::NAN)], 204, ""),
    ];
    for (case, samples, status, why) in cases {
        let (code, text, _) = among_good(&receiver, case, named("x", samples)).await;
        assert_eq!(code, status, "{case}: {text}");
        assert!(text.contains(why), "{case}: {text}");
    }
    receiver.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_and_limits_are_kept() {
    let receiver = Receiver::start(r#"{"outOfOrderWindow":"10s","maxSeries":"2"}"#, None).await;
    let now = now_ms();
    let mut sender = receiver.sender();
    assert_eq!(sender.send(&[named("a", vec![(now, 1.0)]), named("b", vec![(now, 1.0)])]).await.unwrap().status, 204);
    assert_eq!(sender.send(&[named("a", vec![(now - 9_000, 1.0)])]).await.unwrap().status, 204);
    assert_eq!(sender.send(&[named("a", vec![(now - 11_000, 1.0)])]).await.unwrap().status, 400);
    let stored = receiver.store().await.counters.foreign_samples;
    let over = sender.send(&[named("c", vec![(now, 1.0)]), named("b", vec![(now + 1, 1.0)])]).await.unwrap();
    assert_eq!(over.status, 429);
    let counters = receiver.store().await.counters;
    assert_eq!((counters.foreign_series, counters.foreign_samples), (2, stored), "a 429 took nothing");
    let known = sender.send(&[named("b", vec![(now + 1, 1.0)]), (vec![(b"a", b"1")], vec![(now, 1.0)])]).await.unwrap();
    assert_eq!(known.status, 400, "what is broken needs no room");
    assert_eq!(receiver.store().await.counters.foreign_samples, stored + 1);
    receiver.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_that_are_smaller_than_usual_are_judged_once() {
    let receiver = Receiver::start("{}", None).await;
    let now = now_ms();
    let samples = (0..5000).map(|i| (now + i, 0.0)).collect();
    assert_eq!(receiver.sender().send(&[named("dense", samples)]).await.unwrap().status, 204);
    assert_eq!(receiver.store().await.counters.foreign_samples, 5000);
    let metrics = receiver.sender().get("/metrics").await;
    assert!(String::from_utf8_lossy(&metrics.body).contains("floodmark_receiver_samples_total{ordinal=\"0\"} 5000\n"));
    // More than any sender puts into one request, in a few hundred kilobytes.
    let message = [&[0x0a, 0x84, 0x80, 0x80, 0x02][..], &[0x12, 0].repeat((2 << 20) + 2)].concat();
    let answer = receiver.sender().plain(&message).await.unwrap();
    assert_eq!(answer.status, 413, "{}", answer.text(200));
    assert_eq!(receiver.store().await.counters.foreign_samples, 5000);
    receiver.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_and_headers_are_held_to_the_protocol() {
    let receiver = Receiver::start("{}", None).await;
    let now = now_ms();
    let good = common::message(&[named("p", vec![(now, 1.0)])]);
    let snappy = |bytes: &[u8]| remote_write::Snappy::new().compress(bytes).to_vec();
    let bodies: Vec<(&str, Vec<u8>, u16)> = vec![
        ("empty body", Vec::new(), 400),
        ("not compressed", good.clone(), 400),
        ("cut snappy", snappy(&good)[..20].to_vec(), 400),
        ("framed snappy", [b"\xff\x06\x00\x00sNaPpY".as_slice(), &good].concat(), 400),
        ("declares 4 GiB", vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, 0x61], 400),
        ("cut message", snappy(&good[..good.len() - 3]), 400),
        ("wrong wire type", snappy(&[0x08, 0x01]), 400),
        ("empty message", snappy(&[]), 204),
        ("unknown field", snappy(&[0x7a, 0x01, 0x00]), 204),
        ("too large", vec![0; floodmark_receiver::MAX_BODY + 1], 413),
    ];
    for (case, body, status) in bodies {
        let answer = receiver.sender().raw(body).await.unwrap();
        assert_eq!(answer.status, status, "{case}: {}", answer.text(200));
    }
    assert_eq!(receiver.store().await.counters.foreign_samples, 0, "nothing of a broken body is stored");
    let headers: Vec<(&str, Option<&str>, u16)> = vec![
        ("content-type", Some("application/json"), 415),
        ("content-type", Some("application/x-protobuf;proto=yolo"), 415),
        ("content-type", Some("application/x-protobuf;proto=io.prometheus.write.v2.Request"), 415),
        ("content-type", Some("application/x-protobuf; Proto=io.prometheus.write.v2.Request"), 415),
        ("content-type", Some("application/x-protobuf;proto=prometheus.WriteRequest;proto=yolo"), 415),
        ("content-type", Some("application/x-protobuf;proto=prometheus.WriteRequest"), 204),
        ("content-type", None, 415),
        ("content-encoding", Some("gzip"), 415),
        ("content-encoding", Some("zstd"), 415),
        ("content-encoding", None, 415),
        ("x-prometheus-remote-write-version", None, 400),
    ];
    for (name, value, status) in headers {
        let mut sender = receiver.sender();
        sender.headers.remove(name);
        if let Some(value) = value {
            sender.headers.insert(name, value.parse().unwrap());
        }
        let answer = sender.raw(snappy(&good)).await.unwrap();
        assert_eq!(answer.status, status, "{name} {value:?}: {}", answer.text(200));
    }
    let mut sender = receiver.sender();
    let get = sender.get("/api/v1/write").await;
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    assert_eq!(sender.get("/healthz").await.status, 200);
    assert_eq!(sender.get("/store/series?slots=1,99999").await.status, 400);
    let metrics = sender.get("/metrics").await;
    assert!(
        String::from_utf8_lossy(&metrics.body)
            .contains("floodmark_receiver_requests_total{code=\"415\",ordinal=\"0\"} 9")
    );
    sender.path = Some("/api/v2/write".into());
    assert_eq!(sender.raw(snappy(&good)).await.unwrap().status, 404);
    receiver.end().await;
}
