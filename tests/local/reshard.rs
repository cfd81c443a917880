//! Sinks that are resharded while samples flow: real processes, a strict receiver, and kills on the way.

use std::time::Duration;

use super::support::documents::{TO_STORE, load_test, receiver, sink};
use super::support::run::{Run, number};

const LIMIT: Duration = Duration::from_secs(150);

#[test]
fn workers_are_scaled_out_and_in_under_load_and_nothing_is_lost_or_reordered() {
    let more = "  generator: {parallelism: 2}
  workload:
    - {name: app, targets: 50, seriesPerTarget: 100, scrapeInterval: 1s, metrics: 20, values: Mixed}
  stages:
    - {for: 18s, rate: 20k}
  chaos:
    - {at: 3s, action: Scale, replicas: 5}
    - {at: 8s, action: Kill, sinkWorker: 1}
    - {at: 11s, action: Scale, replicas: 2}
  deadline: 120s";
    let document = receiver("") + &sink(3, 2, TO_STORE, "") + &load_test(more);
    let summary = Run::start(&document, &[]).end(LIMIT).expect_code(0).summary();
    assert_eq!(summary["verdict"], "Passed", "{}", summary["reasons"]);
    for figure in ["generated", "acknowledged", "stored"] {
        assert_eq!(number(&summary, &format!("/samples/{figure}")), 360_000, "{figure}");
    }
    // Who was there at all is accounted for, to the last sample that it passed on.
    let workers = summary["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 5);
    for worker in &workers[2..] {
        let of = |name: &str| worker[name].as_u64().unwrap();
        assert!(of("accepted") > 0 && of("accepted") == of("delivered") && of("buffered") == 0, "{worker}");
    }
    for finding in summary["findings"].as_array().unwrap() {
        assert_eq!((finding["name"].as_str(), &finding["count"]), (Some("Duplicated"), &finding["explained"]));
    }
    // Both changes are on the time axis, each with the time that nothing was acknowledged.
    let chaos = summary["chaos"].as_array().unwrap();
    let said = |text: &str| chaos.iter().find(|entry| entry["action"].as_str().unwrap().contains(text)).unwrap();
    for text in ["Scale to 5 workers", "Scale to 2 workers", "from 3 to 5 workers", "from 5 to 2 workers"] {
        let entry = said(text);
        assert!(
            entry["executedAt"].is_f64() && entry["backAfter"].as_f64().is_some_and(|s| s > 0.0 && s < 20.0),
            "{entry}"
        );
        eprintln!("{text}: {entry}");
    }
}
