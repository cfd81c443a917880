//! Header values, one a line: retry-after, floodmark-request, content-encoding, content-type, version, location.
#![no_main]

use std::time::{Duration, SystemTime};

use floodmark_http::client::{Connection, Endpoint};
use floodmark_http::{HeaderMap, HeaderValue};
use floodmark_remote_write::answer::parse_retry_after;
use floodmark_remote_write::header;
use libfuzzer_sys::fuzz_target;

const CAP: Duration = Duration::from_secs(60);

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    retry_after(next());
    let id = next();
    if let Some((lane, sequence)) = sink_worker::fuzzing::request_id(id) {
        let parts: Vec<&str> = id.split('/').collect();
        let [generator, incarnation, its_lane, its_sequence] = parts[..] else { panic!("{id:?}") };
        assert!(!generator.is_empty() && !incarnation.is_empty());
        assert_eq!((its_lane.parse(), its_sequence.parse()), (Ok(lane), Ok(sequence)));
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::USER_AGENT, HeaderValue::from_static("fuzz"));
    for name in [header::CONTENT_ENCODING, header::CONTENT_TYPE, header::VERSION] {
        if let Ok(value) = next().parse() {
            headers.insert(name, value);
        }
    }
    let strict = receiver::fuzzing::takes(&headers);
    assert!(!strict || sink_worker::fuzzing::takes(&headers), "the strict receiver takes more than a worker");
    location(next());
});

fn retry_after(text: &str) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_348_800);
    let Some(wait) = parse_retry_after(text, now, CAP) else { return };
    assert!(!wait.is_zero() && wait <= CAP);
    let digits = text.trim_matches([' ', '\t']).trim_start_matches('0');
    match digits.parse::<u64>() {
        Ok(seconds) => assert_eq!(wait, CAP.min(Duration::from_secs(seconds))),
        Err(_) => assert!(digits.len() > 19 || text.contains(':'), "{text:?} is neither seconds nor a date"),
    }
}

/// What is followed leads to no other place.
fn location(text: &str) {
    let connection = Connection::new(&Endpoint::new("https://a.example/x")).unwrap();
    let Some(path) = connection.same_origin(text) else { return };
    assert!(path.starts_with('/'), "{text:?} is followed to {path:?}");
    assert!(Connection::new(&Endpoint::new(format!("https://a.example{path}"))).is_ok(), "{path:?}");
}
