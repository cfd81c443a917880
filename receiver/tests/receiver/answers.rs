//! Each R fault over real HTTP: what the sender hears, and what is stored.

use std::time::Duration;

use crate::common::{self, Receiver, named, now_ms};
use floodmark_http::client::Response;

/// Starts a receiver with one answer and sends one sample; what was heard, and how many samples are stored.
async fn hear(answer: &str) -> (Option<Response>, u64) {
    let receiver = Receiver::start(&format!(r#"{{"answers":[{answer}]}}"#), None).await;
    let mut sender = receiver.sender().timeout(receiver.address, Duration::from_millis(700));
    let heard = sender.send(&[named("a", vec![(now_ms(), 1.0)]), named("b", vec![(now_ms(), 1.0)])]).await.ok();
    let stored = receiver.store().await.counters.foreign_samples;
    receiver.end().await;
    (heard, stored)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_come_as_asked_and_store_nothing() {
    // R01 to R04, R09 to R12, R17, R28.
    for status in [500, 502, 504, 503, 429, 400, 401, 403, 404, 413, 409, 415, 529] {
        let (heard, stored) = hear(&format!(r#"{{"type":"StatusCode","status":{status},"body":"why"}}"#)).await;
        let heard = heard.unwrap();
        assert_eq!((heard.status, heard.text(100).as_str(), stored), (status, "why", 0));
    }
    let (heard, stored) = hear(r#"{"type":"DiscardSilently"}"#).await;
    assert_eq!((heard.unwrap().status, stored), (204, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_of_any_kind_is_one() {
    // R14, R25: what is not good is refused all the same.
    for (answer, status) in [
        (r#"{"type":"StatusCode","status":202}"#, 202),
        (r#"{"type":"StatusCode","status":200,"body":"why"}"#, 200),
        (r#"{"type":"SuccessWithBody","status":202,"body":"thanks"}"#, 202),
    ] {
        let (heard, stored) = hear(answer).await;
        assert_eq!((heard.unwrap().status, stored), (status, 2), "{answer}");
        let receiver = Receiver::start(&format!(r#"{{"answers":[{answer}]}}"#), None).await;
        let far = now_ms() + 3_600_000;
        let heard = receiver.sender().send(&[named("a", vec![(far, 1.0)])]).await.unwrap();
        assert_eq!(heard.status, 400, "{answer}");
        receiver.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_is_sent_as_it_is() {
    // R05 to R08: seconds, a date, the past, garbage, far too long.
    for value in ["7", "Wed, 21 Oct 2099 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", "soon", "-1", "999999999999"] {
        let (heard, _) = hear(&format!(r#"{{"type":"RetryAfter","status":429,"retryAfter":"{value}"}}"#)).await;
        let heard = heard.unwrap();
        assert_eq!((heard.status, heard.retry_after()), (429, Some(value)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_bodies_and_sizes() {
    // R13, R14, R23.
    for (status, answer) in [
        (307, r#"{"type":"Redirect","location":"/elsewhere"}"#),
        (302, r#"{"type":"Redirect","status":302,"location":"/elsewhere"}"#),
        (308, r#"{"type":"StatusCode","status":308,"location":"/elsewhere"}"#),
    ] {
        let (heard, stored) = hear(answer).await;
        let heard = heard.unwrap();
        assert_eq!((heard.status, heard.location(), stored), (status, Some("/elsewhere"), 0));
    }
    let (heard, stored) = hear(r#"{"type":"SuccessWithBody","body":"thanks"}"#).await;
    let heard = heard.unwrap();
    assert_eq!((heard.status, heard.text(100).as_str(), stored), (200, "thanks", 2));
    let (heard, _) = hear(r#"{"type":"LargeErrorBody","bodySize":"1Mi"}"#).await;
    let heard = heard.unwrap();
    assert!(heard.status == 503 && heard.cut);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_and_silence() {
    // R15, R16, R21, R22, R27, and closing before the answer.
    let (heard, stored) = hear(r#"{"type":"CommitThenError","status":500}"#).await;
    assert_eq!((heard.unwrap().status, stored), (500, 2));
    let (heard, stored) = hear(r#"{"type":"CommitThenHang"}"#).await;
    assert_eq!((heard.is_none(), stored), (true, 2));
    let (heard, stored) = hear(r#"{"type":"Hang"}"#).await;
    assert_eq!((heard.is_none(), stored), (true, 0));
    let (heard, stored) = hear(r#"{"type":"Hang","delay":"1ms"}"#).await;
    assert_eq!((heard.is_none(), stored), (true, 0));
    let (heard, stored) = hear(r#"{"type":"CloseBeforeAnswer"}"#).await;
    assert_eq!((heard.is_none(), stored), (true, 0));
    let (heard, stored) = hear(r#"{"type":"CloseMidAnswer"}"#).await;
    assert_eq!((heard.is_none(), stored), (true, 2));
    let (heard, stored) = hear(r#"{"type":"PartialWrite","status":400}"#).await;
    assert_eq!((heard.unwrap().status, stored), (400, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_series_is_refused_whatever_it_is_sent_with() {
    // R26.
    let receiver = Receiver::start(r#"{"answers":[{"type":"RejectOneSeries"}]}"#, None).await;
    let mut sender = receiver.sender();
    let now = now_ms();
    assert_eq!(sender.send(&[named("a", vec![(now, 1.0)]), named("b", vec![(now, 1.0)])]).await.unwrap().status, 400);
    assert_eq!(
        sender.send(&[named("b", vec![(now + 1, 1.0)]), named("a", vec![(now + 1, 1.0)])]).await.unwrap().status,
        400
    );
    assert_eq!(sender.send(&[named("b", vec![(now + 2, 1.0)])]).await.unwrap().status, 204);
    assert_eq!(receiver.store().await.counters.foreign_samples, 3);
    receiver.end().await;
    for (answer, status, body) in [
        (r#"{"type":"RejectOneSeries"}"#, 400, "refused on purpose"),
        (r#"{"type":"RejectOneSeries","status":422}"#, 422, "refused on purpose"),
        (r#"{"type":"RejectOneSeries","status":422,"body":"not today"}"#, 422, "not today"),
    ] {
        let (heard, stored) = hear(answer).await;
        let heard = heard.unwrap();
        assert_eq!((heard.status, stored), (status, 1), "{answer}");
        assert!(heard.text(100).contains(body), "{answer}: {}", heard.text(100));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_second_request_fails_and_a_new_document_ends_it() {
    let receiver = Receiver::start(r#"{"answers":[{"type":"StatusCode","status":500,"every":2}]}"#, None).await;
    let mut sender = receiver.sender();
    let mut statuses = Vec::new();
    for i in 0..4 {
        statuses.push(sender.send(&[named("a", vec![(now_ms() + i, 1.0)])]).await.unwrap().status);
    }
    assert_eq!(statuses, [204, 500, 204, 500]);
    std::fs::write(&receiver.control, common::document("{}", None)).unwrap();
    // Two good answers in a row can only come from the new document.
    let followed = async {
        let mut good = 0;
        while good < 2 {
            let status = sender.send(&[named("b", vec![(now_ms(), 1.0)])]).await.unwrap().status;
            good = if status == 500 { 0 } else { good + 1 };
        }
    };
    tokio::time::timeout(Duration::from_secs(10), followed).await.unwrap();
    receiver.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_available_is_refused_by_name() {
    for (spec, word) in
        [(r#"{"profile":"Mimir"}"#, "Mimir"), (r#"{"answers":[{"type":"WrittenTooLow"}]}"#, "protocol 2.0")]
    {
        let directory = tempfile::tempdir().unwrap();
        let control = directory.path().join("receiver.json");
        std::fs::write(&control, common::document(spec, None)).unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let options = floodmark_receiver::Options { control: Some(control), ordinal: 0, listen };
        let error = floodmark_receiver::run(options, telemetry::Stop::new()).await.unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
