//! The histograms of a whole run in the reference implementation: what it reads there is what the summary says.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::shared::{root, skip};
use super::support::documents::{TO_STORE, load_test, receiver, sink};
use super::support::run::{Run, number};

const SMALL: &str = "  workload:
    - {name: app, targets: 20, seriesPerTarget: 100, scrapeInterval: 1s, metrics: 20}
  stages:
    - {for: 4s, rate: 10k}
  chaos:
    - {at: 1s, action: Pause, sinkWorker: 0, for: 500ms}
  deadline: 60s";

#[test]
fn the_java_reader_finds_the_percentiles_of_the_summary() {
    let document = receiver("") + &sink(2, 2, TO_STORE, "") + &load_test(SMALL);
    let ended = Run::start(&document, &[]).end(Duration::from_secs(120)).expect_code(0);
    let summary = ended.summary();
    let script = root().join("hack/hdr-java/percentiles.sh");
    for measure in ["response", "service", "delivery"] {
        let file = ended.results().join(format!("{measure}.hlog"));
        let output = Command::new(&script).arg(&file).output().expect("the script starts");
        let complaint = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(77) {
            return skip("the_java_reader_finds_the_percentiles_of_the_summary", &complaint);
        }
        assert!(output.status.success(), "{measure}: {complaint}");
        let text = String::from_utf8(output.stdout).expect("text");
        let total = text.lines().find_map(|line| line.strip_prefix("tag total ")).expect("the whole run");
        let read: Vec<u64> = total.split(' ').map(|word| word.parse().expect("a number")).collect();
        // In milliseconds here, in microseconds there.
        let said = |point: &str| {
            let ms = summary.pointer(&format!("/latency/{measure}/{point}")).and_then(Value::as_f64);
            (ms.unwrap_or_else(|| panic!("no {point}: {}", summary["latency"])) * 1000.0).round() as u64
        };
        let [count, p50, _, _, p99, p999, max] = read[..] else { panic!("{total}") };
        assert_eq!(count, number(&summary, &format!("/latency/{measure}/count")), "{measure}");
        // A reader knows values to three digits; the summary knows the longest exactly, and nothing is longer.
        let longest = said("max");
        assert!(longest <= max && max - longest <= max / 1000, "{measure}: {longest} of {max}");
        assert_eq!(["p50", "p99", "p999"].map(said), [p50, p99, p999].map(|value| value.min(longest)), "{measure}");
        assert!(max > p50, "{measure}: {total}");
    }
}
