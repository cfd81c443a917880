//! The report in a real browser: no errors in its console, and on the page what `summary.json` says.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::shared::skip;
use super::support::documents::{TO_STORE, load_test, receiver, sink};
use super::support::run::{Run, number};
use super::support::servers::installed;

const LIMIT: Duration = Duration::from_secs(120);

/// Whatever reaches the console is wrong on this page; what Chromium says about a machine without a desktop is not there.
const COMPLAINTS: [&str; 2] = [":CONSOLE", "Uncaught"];

#[test]
fn the_report_opens_in_a_browser_and_says_what_the_summary_says() {
    let Some(browser) = chromium() else {
        return skip("the_report_opens_in_a_browser_and_says_what_the_summary_says", "no chromium");
    };
    let more = "  workload:
    - {name: app, targets: 20, seriesPerTarget: 100, scrapeInterval: 1s, metrics: 20}
  stages:
    - {for: 6s, rate: 4k}
  faults:
    - {type: MissingMetricName, share: 2%}
    - {type: OutOfOrder, share: 2%, from: 2s, outOfOrder: {delay: {distribution: Constant, mean: 1s}}}
  chaos:
    - {at: 2s, action: Kill, sinkWorker: 1}
  thresholds:
    - {metric: ledger.silentLoss, max: \"0\"}
  deadline: 60s";
    let document = receiver("") + &sink(2, 2, TO_STORE, "") + &load_test(more);
    let ended = Run::start(&document, &[]).end(LIMIT).expect_code(0);
    let summary = ended.summary();
    let (page, said) = open(&browser, &ended.results().join("report.html"), ended.folder.path());

    assert_eq!(complaints(&said), "", "the page complains");
    // A page with an error is heard.
    let wrong = ended.folder.path().join("wrong.html");
    std::fs::write(&wrong, "<script>console.error('heard'); nothing.there</script>").expect("a page");
    let said = complaints(&open(&browser, &wrong, ended.folder.path()).1);
    assert!(said.contains("heard") && said.contains("Uncaught"), "{said:?}");

    let text = text_of(&page);
    let shows = |what: &str| assert!(text.contains(what), "{what:?} is not on the page:\n{text}");
    let reason = summary["reasons"][0].as_str().expect("a reason").split_whitespace().collect::<Vec<_>>().join(" ");
    shows(&format!("{} {reason}", summary["verdict"].as_str().expect("a verdict")));
    shows(&format!("Run {}", summary["run"].as_str().expect("a run")));
    shows(&format!("Acknowledged {}", grouped(number(&summary, "/samples/acknowledged"))));
    shows(&format!("of {} samples generated", grouped(number(&summary, "/samples/generated"))));
    shows(&format!("distinct {}", grouped(number(&summary, "/samples/stored"))));
    let p99 = summary.pointer("/latency/response/p99").and_then(serde_json::Value::as_f64).expect("p99");
    shows(&format!("Response p99 {} ms", fraction(p99)));
    for index in 0..2 {
        let fault = |field: &str| summary.pointer(&format!("/faults/{index}/{field}")).expect("a fault");
        let (sent, refused) = (fault("sent").as_u64().expect("sent"), fault("refused").as_u64().expect("refused"));
        assert!(refused > 0 && sent == refused, "{}", summary["faults"]);
        let name = fault("type").as_str().expect("its type");
        let id = fault("id").as_str().expect("its id");
        shows(&format!("{name} {id} Refused {} {} 0 0", grouped(sent), grouped(refused)));
    }
    let executed = summary.pointer("/chaos/0/executedAt").and_then(serde_json::Value::as_f64).expect("the kill");
    shows(&format!("Kill 1 2 s {} s", fraction(executed)));
}

fn chromium() -> Option<PathBuf> {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(installed)
}

/// The document as the browser holds it after its scripts ran, and all that the browser said meanwhile.
fn open(browser: &Path, report: &Path, folder: &Path) -> (String, String) {
    let output = Command::new("timeout")
        .args(["--kill-after=5", "60"])
        .arg(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", folder.join("browser").display()))
        .args(["--enable-logging=stderr", "--virtual-time-budget=2000", "--dump-dom"])
        .arg(format!("file://{}", report.display()))
        .stdin(Stdio::null())
        .output()
        .expect("chromium starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "chromium ended with {}:\n{said}", output.status);
    (String::from_utf8_lossy(&output.stdout).into_owned(), said)
}

fn complaints(said: &str) -> String {
    let lines: Vec<&str> = said.lines().filter(|line| COMPLAINTS.iter().any(|word| line.contains(word))).collect();
    lines.join("\n")
}

/// What a reader sees of a page: no scripts, styles or tags, one plain space for any white space.
fn text_of(page: &str) -> String {
    let mut rest = page.to_owned();
    for name in ["script", "style"] {
        while let Some(start) = rest.find(&format!("<{name}")) {
            let end = rest[start..].find(&format!("</{name}>")).map_or(rest.len(), |end| start + end);
            rest.replace_range(start..end, "");
        }
    }
    let mut text = String::new();
    for piece in rest.split('<') {
        text.push_str(piece.split_once('>').map_or(piece, |(_, text)| text));
        text.push(' ');
    }
    let text = text.replace("&nbsp;", " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `1234567` as the page writes it: `1 234 567`.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|part| std::str::from_utf8(part).ok()).collect();
    parts.join(" ")
}

/// A number of milliseconds or seconds with its fraction as it stands in the summary: `1558.795` is `1 558.795`.
fn fraction(value: f64) -> String {
    let text = format!("{value}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let whole = grouped(whole.parse().expect("a number"));
    rest.map_or(whole.clone(), |rest| format!("{whole}.{rest}"))
}
