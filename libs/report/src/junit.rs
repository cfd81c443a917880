//! `junit.xml`: each threshold, each rule on findings and each stage is a test case.

use std::fmt::Write as _;

use crate::format;
use crate::summary::{Summary, Verdict};
use crate::{thresholds, verdict};

/// One case: what went wrong, if anything.
enum Outcome {
    Passed,
    Failed(String),
    /// Open: `JUnit` knows no inconclusive, an error is the nearest.
    Open(String),
    Skipped(String),
}

/// Renders the run as one test suite. Control characters that XML cannot hold are replaced.
pub fn render_junit(summary: &Summary) -> String {
    let mut cases = vec![("verdict".to_owned(), summary.name.clone(), whole(summary))];
    for threshold in &summary.thresholds {
        let line = format!("{} is {}, the bound is {}", threshold.metric, threshold.text, threshold.bound);
        let outcome = match (threshold.ok, threshold.proven) {
            (true, true) => Outcome::Passed,
            (false, true) => Outcome::Failed(line),
            (_, false) => Outcome::Open(format!("{line}: {}", threshold.note)),
        };
        cases.push(("threshold".to_owned(), format!("{} {}", threshold.metric, threshold.bound), outcome));
    }
    for finding in &summary.findings {
        let line =
            format!("{} samples, {} of them explained", format::count(finding.count), format::count(finding.explained));
        let outcome = if verdict::counts_against(finding, summary) {
            Outcome::Failed(line)
        } else if finding.name == "Unproven"
            && let Some(why) = verdict::unsettled(summary)
        {
            Outcome::Open(why)
        } else {
            Outcome::Skipped(format!("reported, not failed: {line}"))
        };
        cases.push(("finding".to_owned(), finding.name.clone(), outcome));
    }
    for (name, _) in verdict::FAILING.iter().filter(|(name, _)| summary.finding(name).is_none()) {
        let outcome = thresholds::unproven(name, summary)
            .map_or(Outcome::Passed, |why| Outcome::Skipped(format!("unproven: {why}")));
        cases.push(("finding".to_owned(), (*name).to_owned(), outcome));
    }
    for stage in &summary.stages {
        let outcome = if stage.reached {
            Outcome::Passed
        } else {
            let line = format!(
                "{} of {} due samples were acknowledged in time",
                format::count(stage.acknowledged_in_time),
                format::count(stage.due)
            );
            match (stage.warm_up, stage.cut) {
                (true, _) => Outcome::Skipped(format!("warm-up: {line}")),
                (false, true) => Outcome::Skipped(format!("interrupted: {line}")),
                (false, false) => Outcome::Open(line),
            }
        };
        cases.push(("stage".to_owned(), format!("stage {}", stage.index), outcome));
    }

    let count = |matches: fn(&Outcome) -> bool| cases.iter().filter(|case| matches(&case.2)).count();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuites>\n  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{}\" timestamp=\"{}\">",
        escape(&format!("floodmark.{}", summary.name)),
        cases.len(),
        count(|o| matches!(o, Outcome::Failed(_))),
        count(|o| matches!(o, Outcome::Open(_))),
        count(|o| matches!(o, Outcome::Skipped(_))),
        summary.duration_seconds,
        escape(&summary.start_time),
    );
    let _ = writeln!(
        out,
        "    <properties>\n      <property name=\"run\" value=\"{}\"/>\n      <property name=\"seed\" value=\"{}\"/>\n    </properties>",
        escape(&summary.run),
        summary.seed
    );
    for (class, name, outcome) in &cases {
        let head = format!("    <testcase classname=\"floodmark.{}\" name=\"{}\"", escape(class), escape(name));
        let _ = match outcome {
            Outcome::Passed => writeln!(out, "{head}/>"),
            Outcome::Failed(text) => writeln!(out, "{head}><failure message=\"{}\"/></testcase>", escape(text)),
            Outcome::Open(text) => {
                writeln!(out, "{head}><error type=\"inconclusive\" message=\"{}\"/></testcase>", escape(text))
            }
            Outcome::Skipped(text) => writeln!(out, "{head}><skipped message=\"{}\"/></testcase>", escape(text)),
        };
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

fn whole(summary: &Summary) -> Outcome {
    let reasons = summary.reasons.join("; ");
    match summary.verdict {
        Verdict::Passed => Outcome::Passed,
        Verdict::Failed => Outcome::Failed(reasons),
        Verdict::Inconclusive => Outcome::Open(reasons),
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(out, "&#{};", character as u32);
            }
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
