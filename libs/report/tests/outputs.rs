//! The outputs, over a run as it might have been: complete, exact, and safe with hostile text.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "../examples/sample.rs"]
#[expect(dead_code, unreachable_pub, reason = "only the fixture is used")]
mod sample;

use floodmark_report::{
    Chaos, Delta, DropReason, RatePoint, Summary, Verdict, compare, render_comparison, render_html, render_junit,
    render_text, render_verdict,
};
use serde_json::Value;

const HOSTILE: &str = "\"'><script>alert(1)</script>]]>&lt;\u{0}\u{1b}[31m";

/// Puts hostile text in the place of every text but those of closed lists.
fn poison(value: &mut Value, key: &str) {
    match value {
        Value::String(text) if !["schema", "metric", "verdict"].contains(&key) => HOSTILE.clone_into(text),
        Value::Array(all) => all.iter_mut().for_each(|one| poison(one, key)),
        Value::Object(all) => all.iter_mut().for_each(|(key, one)| poison(one, key)),
        _ => {}
    }
}

fn hostile() -> Summary {
    let mut value = serde_json::to_value(sample::summary(true)).unwrap();
    poison(&mut value, "");
    for (map, entry) in
        [("/samples/refused", Value::from(7)), ("/drops/byReason", Value::Object(serde_json::Map::default()))]
    {
        value.pointer_mut(map).unwrap().as_object_mut().unwrap().insert(HOSTILE.to_owned(), entry);
    }
    serde_json::from_value(value).unwrap()
}

/// Tags open and close in order; returns the names of all elements. Attributes must be quoted.
fn elements(text: &str, raw: &[&str]) -> Vec<String> {
    const VOID: [&str; 4] = ["meta", "!doctype", "?xml", "br"];
    let mut stack: Vec<String> = Vec::new();
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find('>').unwrap();
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes in {tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(stack.pop().as_deref(), Some(name));
            continue;
        }
        let name = tag.split([' ', '/', '\n']).next().unwrap().to_lowercase();
        names.push(name.clone());
        if VOID.contains(&name.as_str()) || tag.ends_with('/') {
            continue;
        }
        if raw.contains(&name.as_str()) {
            let close = format!("</{name}>");
            rest = &rest[rest.find(&close).unwrap() + close.len()..];
            continue;
        }
        stack.push(name);
    }
    assert_eq!(stack, Vec::<String>::new());
    names
}

#[test]
fn hostile_text_stays_text() {
    let summary = hostile();
    let page = render_html(&summary);
    let names = elements(&page, &["script", "style"]);
    assert_eq!(names.iter().filter(|name| *name == "script").count(), 1);
    assert!(!page.contains("<script>alert"));
    assert!(!page.contains(['\u{0}', '\u{1b}']));

    let junit = render_junit(&summary);
    elements(&junit, &[]);
    assert!(!junit.contains(['\u{0}', '\u{1b}']));
    assert!(!render_text(&summary, false, 100).contains(['\u{0}', '\u{1b}']));
    assert!(!render_comparison(&summary, &summary).contains(['\u{0}', '\u{1b}']));
}

#[test]
fn the_page_loads_nothing() {
    let page = render_html(&sample::summary(true));
    for token in [" src=", " href=", "url(", "@import", "fetch(", "XMLHttpRequest", "import("] {
        assert!(!page.contains(token), "{token}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn every_figure_of_the_summary_is_on_the_page() {
    let summary = sample::summary(true);
    let page = render_html(&summary).replace('\u{202f}', "");
    let mut wanted: Vec<String> = Vec::new();
    let s = &summary.samples;
    wanted.extend(
        [s.generated, s.acknowledged, s.unresolved, s.stored.unwrap(), s.arrivals.unwrap()].map(|n| n.to_string()),
    );
    wanted.extend(s.refused.values().map(u64::to_string));
    for (_, latency) in summary.latency.iter() {
        let p = &latency.points;
        wanted.extend([p.p50, p.p90, p.p95, p.p99, p.p999, p.max].map(|ms| ms.to_string()));
        wanted.push(p.count.to_string());
    }
    for stage in &summary.stages {
        wanted.extend([stage.due.to_string(), stage.acknowledged_in_time.to_string(), stage.achieved_rate.to_string()]);
    }
    wanted.extend(summary.workers.iter().map(|w| w.delivered.to_string()));
    wanted.extend(summary.drops.by_reason.values().map(|d| d.samples.to_string()));
    wanted.extend(summary.faults.iter().map(|f| f.sent.to_string()));
    wanted.extend(summary.cpu.iter().map(|p| p.cores.to_string()));
    wanted.extend(summary.findings.iter().map(|f| f.count.to_string()));
    wanted.push(summary.achieved_rate.unwrap().to_string());
    assert!(wanted.len() > 60);
    for figure in wanted {
        assert!(page.contains(&format!(">{figure}<")) || page.contains(&format!(">{figure} ")), "{figure}");
    }
}

#[test]
fn the_summary_survives_json() {
    for failed in [true, false] {
        let summary = sample::summary(failed);
        let text = summary.to_json().unwrap();
        assert!(Summary::from_json(&text).unwrap() == summary, "{text}");
        assert!(text.contains("\"schema\": \"floodmark.dev/summary/v1\""));
    }
    let later = sample::summary(true).to_json().unwrap().replace("summary/v1", "summary/v2");
    assert!(Summary::from_json(&later).unwrap_err().to_string().contains("summary/v2"));
    assert!(Summary::from_json("{").is_err());
}

#[test]
fn an_empty_run_renders_everywhere() {
    let summary = Summary::default();
    elements(&render_html(&summary), &["script", "style"]);
    elements(&render_junit(&summary), &[]);
    assert!(render_text(&summary, true, 0).contains("Inconclusive"));
    assert_eq!(Summary::from_json("{\"schema\":\"floodmark.dev/summary/v1\"}").unwrap(), summary);
}

#[test]
fn a_long_run_makes_no_large_page() {
    let mut summary = sample::summary(false);
    summary.rate_series = (0..86_400)
        .map(|second| RatePoint {
            second,
            target: 1e6,
            acknowledged: 1e6,
            p50: Some(1.0),
            p99: Some(if second == 4000 { 900.0 } else { 2.0 }),
            ..RatePoint::default()
        })
        .collect();
    let page = render_html(&summary);
    assert!(page.len() < 250_000, "{}", page.len());
    assert!(page.contains("180 seconds a point"));
    assert!(page.contains("highest p99 of a second is 900 ms"), "the worst second survives");

    summary.rate_series = (0..1800).map(|point| RatePoint { second: point * 1440, ..RatePoint::default() }).collect();
    assert!(render_html(&summary).contains("5760 seconds a point"), "those of a month were condensed before");
}

#[test]
fn odd_numbers_do_not_break_the_page() {
    let mut summary = sample::summary(true);
    for value in [f64::NAN, f64::INFINITY, -1.0, f64::MAX] {
        summary.rate_series[3].acknowledged = value;
        summary.rate_series[4].p99 = Some(value);
        summary.stages[0].from = value;
        summary.cpu[0].cores = value;
        summary.chaos[0].executed_at = Some(value);
        let page = render_html(&summary);
        elements(&page, &["script", "style"]);
        assert!(
            !page.contains("d=\"MNaN") && !page.contains(" NaN") && !page.contains(":NaN") && !page.contains("inf%")
        );
    }
}

#[test]
fn junit_counts_what_it_lists() {
    let summary = sample::summary(true);
    assert_eq!(summary.verdict, Verdict::Failed);
    let junit = render_junit(&summary);
    let number = |name: &str| -> usize {
        let at = junit.split_once(&format!(" {name}=\"")).unwrap().1;
        at.split_once('"').unwrap().0.parse().unwrap()
    };
    assert_eq!(number("tests"), junit.matches("<testcase").count());
    assert_eq!(number("failures"), junit.matches("<failure").count());
    assert_eq!(number("errors"), junit.matches("<error").count());
    assert_eq!(number("skipped"), junit.matches("<skipped").count());
    assert!(number("failures") >= 3 && number("errors") == 1, "{junit}");
    assert!(junit.contains("classname=\"floodmark.finding\" name=\"Reordered\"/>"), "a rule that holds is a case too");
    let mut blind = Summary { coverage: None, ..summary };
    blind.findings.clear();
    assert!(render_junit(&blind).contains("name=\"SilentLoss\"><skipped message=\"unproven: "));
}

#[test]
fn the_text_fits_its_width_and_colours_only_when_asked() {
    let summary = sample::summary(true);
    let plain = render_text(&summary, false, 80);
    assert!(!plain.contains('\u{1b}'));
    assert!(render_text(&summary, true, 80).contains("\u{1b}[1;31mFailed"));
    for part in ["Failed", "SilentLoss", "response", "ledger.silentLoss", "missed", "unproven"] {
        assert!(plain.contains(part), "{part}\n{plain}");
    }
    for width in [80, 110] {
        for line in render_text(&summary, false, width).lines() {
            let whole_word = !line.trim().contains(' ');
            assert!(whole_word || line.chars().count() <= width, "{line}");
        }
    }
}

#[test]
fn what_was_skipped_is_told_once() {
    let mut summary = sample::summary(true);
    summary.samples.skipped.insert("end".into(), 4242);
    let skipped = DropReason { samples: 4242, ..DropReason::default() };
    summary.drops.by_reason.insert("skipped_end".into(), skipped.clone());
    summary.drops.total += 4242;
    let of = |summary: &Summary| render_text(summary, false, 110).replace('\u{202f}', " ");
    assert_eq!(of(&summary).matches("end 4 242").count(), 1, "{}", of(&summary));
    assert!(of(&summary).contains("15 000  retries_exhausted"), "{}", of(&summary));
    summary.drops.by_reason = [("skipped_end".to_owned(), skipped)].into();
    assert!(!of(&summary).contains("dropped   "), "{}", of(&summary));
}

#[test]
fn the_text_tells_faults_and_chaos() {
    let mut summary = sample::summary(true);
    summary.faults[0].accepted = 3;
    summary.faults[0].wrong = 3;
    summary.faults[1].indeterminate = 5;
    summary.chaos[1].executed_at = None;
    let unasked = Chaos { at: 9.5, action: "not asked for: killed by signal 9".into(), ..Chaos::default() };
    summary.chaos.push(Chaos { worker: Some(2), executed_at: Some(9.5), ..unasked });
    let plain = render_text(&summary, false, 200).replace('\u{202f}', " ");
    let shows = |line: &str| assert!(plain.contains(line), "{line}\n{plain}");
    shows("wrong     D5 OutOfOrder, expected Refused: 7 200 sent, 7 200 refused, 3 accepted, 0 open, 3 wrong");
    shows("open      D8 ConflictingDuplicate, expected Refused: 4 100 sent, 4 100 refused, 0 accepted, 5 open");
    shows("ok        D11 FutureTimestamp");
    shows("done      Kill (sink-worker 1) at 85 s: carried out at 85.02 s, back after 1.84 s");
    shows("not done  Pause 2s (sink-worker 0) at 120 s: not carried out");
    shows("done      not asked for: killed by signal 9 (sink-worker 2) at 9.5 s");
    summary.chaos = vec![summary.chaos[0].clone(); 25];
    assert!(render_text(&summary, false, 80).contains("and 5 more in summary.json"));
}

#[test]
fn the_short_form_is_the_verdict_and_its_reasons() {
    let summary = sample::summary(true);
    let short = render_verdict(&summary, false, 100);
    assert!(render_text(&summary, false, 100).starts_with(&short), "{short}");
    assert!(short.contains("Failed") && short.contains(&summary.run), "{short}");
    assert!(summary.reasons.iter().all(|reason| short.contains(&reason[..20])), "{short}");
    assert!(!short.contains("Samples") && !short.contains("Latency"), "{short}");
}

#[test]
fn a_comparison_names_what_became_worse() {
    let before = sample::summary(false);
    let mut after = sample::summary(false);
    if let Some(response) = &mut after.latency.response {
        response.points.p99 = before.latency.response.as_ref().unwrap().points.p99 * 2.0;
    }
    let deltas = compare(&before, &after);
    let worse: Vec<&Delta> = deltas.iter().filter(|d| d.change().is_some_and(|c| c != 0.0)).collect();
    let [only] = worse[..] else { panic!("{worse:?}") };
    assert_eq!(only.metric, "response.p99");
    assert!((only.change().unwrap() - 1.0).abs() < 1e-9);
    let text = render_comparison(&before, &after);
    assert_eq!(text.lines().filter(|line| line.contains("worse")).count(), 1, "{text}");
}
