//! The examples that need nothing installed, as they are.

use std::time::Duration;

use super::shared::root;
use super::support::run::{Run, number};

pub fn example(name: &str) -> String {
    let path = root().join("examples").join(name);
    std::fs::read_to_string(path).expect("an example")
}

#[test]
fn quickstart_passes_and_tells_the_kill_and_the_refused_samples() {
    let summary = Run::start(&example("quickstart.yaml"), &[]).end(Duration::from_secs(90)).expect_code(0).summary();
    assert_eq!(summary["verdict"], "Passed");
    assert!(number(&summary, "/samples/refused/status_400") > 0);
    assert_eq!(number(&summary, "/samples/stored"), number(&summary, "/samples/acknowledged"));
    let kill = &summary["chaos"][0];
    assert!(kill["action"] == "Kill" && kill["executedAt"].is_f64() && kill["backAfter"].is_f64(), "{kill}");
    for fault in summary["faults"].as_array().expect("faults") {
        assert!(fault["sent"].as_u64() > Some(0) && fault["sent"] == fault["refused"], "{fault}");
    }
}

/// Where two processors do not have the time, the verdict says that and what the limit was; nothing is lost for that.
#[test]
fn a_million_samples_a_second_arrive_or_the_limit_is_named() {
    let ended = Run::start(&example("million.yaml"), &[]).end(Duration::from_secs(200));
    let summary = ended.summary();
    match ended.code() {
        Some(0) => {
            assert_eq!(number(&summary, "/samples/generated"), 62_500_000);
            assert_eq!(number(&summary, "/samples/stored"), 62_500_000);
        }
        Some(3) => assert!(summary["limit"].is_string(), "{}", summary["reasons"]),
        code => panic!("{code:?}: {}", summary["reasons"]),
    }
    assert!(number(&summary, "/samples/generated") > 0 && summary["findings"].as_array().is_some_and(Vec::is_empty));
    assert!(summary["latency"]["response"]["p99"].is_f64());
    let parts = summary["cpu"].as_array().expect("processors");
    assert!(parts.len() >= 5 && parts.iter().all(|part| part["cores"].is_f64()), "{parts:?}");
    eprintln!(
        "million: exit {:?}, p99 {} ms, {}",
        ended.code(),
        summary["latency"]["response"]["p99"],
        summary["reasons"]
    );
}
