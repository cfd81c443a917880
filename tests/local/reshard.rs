//! Sinks that are resharded while samples flow: real processes, a strict receiver, and kills on the way.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// A `Scale` that timed out is not made good by the next one.
#[test]
fn a_scale_that_did_not_come_about_proves_nothing() {
    let more = "  workload: [{name: app, targets: 10, seriesPerTarget: 100, scrapeInterval: 1s}]
  stages: [{for: 12s, rate: 1k}]
  chaos:
    - {at: 2500ms, action: Scale, replicas: 4}
    - {at: 8s, action: Scale, replicas: 3}
    - {at: 10s, action: Kill, sinkWorker: 2}
  deadline: 60s";
    // What was taken before is held as long as the store answers 503.
    let store = receiver("  answers: [{type: StatusCode, status: 503, from: 2s, for: 4s}]");
    let document = store + &sink(2, 2, TO_STORE, "  drainTimeout: 1s") + &load_test(more);
    let summary = Run::start(&document, &[]).end(LIMIT).expect_code(3).summary();
    let reasons = summary["reasons"].to_string();
    assert!(reasons.contains("the Scale at 2.5 s was begun but did not come about"), "{reasons}");
    assert_eq!(number(&summary, "/samples/stored"), number(&summary, "/samples/generated"));
}

/// splitmix64.
struct Draws(u64);

impl Draws {
    /// From `from` up to, but not, `to`.
    fn between(&mut self, from: u64, to: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        from + (z ^ (z >> 31)) % (to - from)
    }
}

/// Where all draws of a test come from. The same again: `FLOODMARK_SEED=…`.
fn seed() -> u64 {
    let given = std::env::var("FLOODMARK_SEED").ok().map(|text| text.parse().expect("FLOODMARK_SEED is a number"));
    let seed = given.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs());
    eprintln!("FLOODMARK_SEED={seed}");
    seed
}

const RESHARDS: u64 = 100;
/// Some of them are replaced by the next while a killed worker is waited for.
const SCALES: u32 = 125;
const MOST_WORKERS: u64 = 6;
/// Of one ordinal: each time it takes twice as long until the worker is back.
const MOST_KILLS: u32 = 2;

/// Scales at random moments, often before the one before is through. Now and then there is calm first, so that it is known
/// who is there, and one of them is killed just before the next or in the middle of it. The steps, and when the last is due, ms.
fn random_chaos(draws: &mut Draws, mut workers: u64) -> (String, u64) {
    let (mut steps, mut at) = (String::new(), 1_500);
    let mut kills = [0; MOST_WORKERS as usize];
    for scale in 1..=SCALES {
        let mut next = draws.between(1, MOST_WORKERS);
        next += u64::from(next >= workers);
        let whom = draws.between(0, workers.min(next));
        if scale.is_multiple_of(10) && kills[whom as usize] < MOST_KILLS {
            kills[whom as usize] += 1;
            at += 4_000;
            let when = draws.between(at - 100, at + 400);
            writeln!(steps, "    - {{at: {when}ms, action: Kill, sinkWorker: {whom}}}").unwrap();
        }
        writeln!(steps, "    - {{at: {at}ms, action: Scale, replicas: {next}}}").unwrap();
        workers = next;
        at += draws.between(200, 1_600);
    }
    (steps, at)
}

#[test]
fn a_hundred_random_reshards_with_kills_between_lose_double_and_reorder_nothing() {
    let mut draws = Draws(seed());
    let (chaos, last) = random_chaos(&mut draws, 3);
    let seconds = last / 1_000 + 8;
    let more = format!(
        "  generator: {{parallelism: 2, samplesPerRequest: 200}}
  workload:
    - {{name: app, targets: 40, seriesPerTarget: 100, scrapeInterval: 1s, metrics: 20, values: Mixed}}
  stages:
    - {{for: {seconds}s, rate: 4k}}
  chaos:
{chaos}  deadline: {}s",
        seconds + 60
    );
    let document = receiver("") + &sink(3, 2, TO_STORE, "") + &load_test(&more);
    let summary = Run::start(&document, &[]).end(Duration::from_secs(seconds + 90)).expect_code(0).summary();
    assert_eq!(summary["verdict"], "Passed", "{}", summary["reasons"]);
    for figure in ["generated", "acknowledged", "stored"] {
        assert_eq!(number(&summary, &format!("/samples/{figure}")), seconds * 4_000, "{figure}");
    }
    let slots = |what: &str| number(&summary, &format!("/coverage/slots/{what}"));
    assert!(slots("compared") > 3_000 && slots("equal") == slots("compared"), "{}", summary["coverage"]);
    // Nothing but what a killed worker had sent and not answered may come twice.
    for finding in summary["findings"].as_array().unwrap() {
        assert_eq!((finding["name"].as_str(), &finding["count"]), (Some("Duplicated"), &finding["explained"]));
    }
    let chaos = summary["chaos"].as_array().unwrap();
    let said = chaos.iter().filter_map(|entry| entry["action"].as_str());
    // "resharded from 3 to 5 workers (epoch 7)"; the first map is of epoch 1.
    let epochs = said.filter_map(|action| action.strip_suffix(')')?.rsplit_once("(epoch ")?.1.parse::<u64>().ok());
    let reshards = epochs.max().unwrap_or_default().saturating_sub(1);
    let mut pauses: Vec<_> = chaos
        .iter()
        .filter(|entry| entry["action"].as_str().unwrap().starts_with("resharded"))
        .filter_map(|entry| entry["backAfter"].as_f64())
        .collect();
    pauses.sort_unstable_by(f64::total_cmp);
    eprintln!(
        "{reshards} reshards of {SCALES} in {seconds} s, pauses {:.3} to {:.3} s, half within {:.3} s, findings {}",
        pauses[0],
        pauses[pauses.len() - 1],
        pauses[pauses.len() / 2],
        summary["findings"]
    );
    assert!(reshards >= RESHARDS);
}
