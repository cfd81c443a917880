//! The summary on a terminal.

use std::fmt::Write as _;

use crate::format;
use crate::summary::{Chaos, Summary, Verdict};

const DEFAULT: &str = "";
const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

struct Page {
    out: String,
    colour: bool,
    width: usize,
}

/// Lines of a block that may have very many; summary.json has them all.
const MAX_LINES: usize = 20;
/// Room for a mark before each line of a block, with its margins.
const MARKED: &str = "            ";

/// Renders a summary in plain text of at most `width` columns (at least 80; a word is never broken), with ANSI colours when `colour` is set. Control
/// characters in names are replaced, so nothing from outside moves the cursor.
pub fn render_text(summary: &Summary, colour: bool, width: usize) -> String {
    let mut page = Page::new(colour, width);
    page.verdict(summary);
    page.figures(summary);
    page.latency(summary);
    page.thresholds(summary);
    page.findings(summary);
    page.faults(summary);
    page.chaos(summary);
    page.out
}

/// The head of [`render_text`]: verdict, name, run, and the reasons.
pub fn render_verdict(summary: &Summary, colour: bool, width: usize) -> String {
    let mut page = Page::new(colour, width);
    page.verdict(summary);
    page.out
}

impl Page {
    fn new(colour: bool, width: usize) -> Self {
        Self { out: String::new(), colour, width: width.clamp(80, 200) }
    }

    fn verdict(&mut self, summary: &Summary) {
        let tone = match summary.verdict {
            Verdict::Passed => GREEN,
            Verdict::Failed => RED,
            Verdict::Inconclusive => YELLOW,
        };
        let word = self.paint(&format!("1;{tone}"), summary.verdict.as_str());
        let took = format::seconds(summary.duration_seconds);
        let (name, run) =
            (clean(&summary.name), format!("run {} · seed {} · {took}", clean(&summary.run), summary.seed));
        let used = summary.verdict.as_str().len() + name.chars().count() + run.chars().count() + 4;
        let gap = if used > self.width { "\n  " } else { "  " };
        let (name, run) = (self.paint(BOLD, &name), self.paint(DIM, &run));
        let _ = writeln!(self.out, "{word}  {name}{gap}{run}");
        for reason in &summary.reasons {
            self.wrap("  ", &clean(reason));
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour && !code.is_empty() && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    fn head(&mut self, title: &str) {
        let title = self.paint(BOLD, title);
        let _ = writeln!(self.out, "\n{title}");
    }

    fn wrap(&mut self, indent: &str, text: &str) {
        self.wrap_after(indent, indent, DEFAULT, text);
    }

    /// Writes words in lines of the page's width; `first`, as wide as `indent`, stands before the first line.
    fn wrap_after(&mut self, first: &str, indent: &str, tone: &str, text: &str) {
        let mut lines = vec![String::new()];
        let room = self.width - indent.len();
        for word in text.split(' ') {
            let used = lines.last().map_or(0, |line| line.chars().count());
            if used > 0 && used + word.chars().count() > room {
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                line.push_str(word);
                line.push(' ');
            }
        }
        for (index, line) in lines.iter().enumerate() {
            let before = if index == 0 { first } else { indent };
            let line = format!("{before}{}", self.paint(tone, line.trim_end()));
            let _ = writeln!(self.out, "{}", line.trim_end());
        }
    }

    /// A line that begins with a mark in its colour.
    fn marked(&mut self, (mark, tone): (&str, &str), text: &str) {
        let first = format!("  {} ", self.paint(tone, &format!("{mark:<9}")));
        self.wrap_after(&first, MARKED, DEFAULT, text);
    }

    fn row(&mut self, name: &str, value: &str, note: &str) {
        let first = format!("  {name:<16}{value:>18}");
        let indent = " ".repeat(first.chars().count() + 2);
        self.wrap_after(&format!("{first}  "), &indent, DIM, note);
    }

    fn figures(&mut self, summary: &Summary) {
        self.head("Samples");
        let s = &summary.samples;
        self.row("generated", &format::count(s.generated), "");
        self.row("acknowledged", &format::count(s.acknowledged), "");
        for (name, reasons) in [("refused", &s.refused), ("skipped", &s.skipped)] {
            let sum = Summary::sum(reasons);
            if sum > 0 {
                let by: Vec<String> =
                    reasons.iter().map(|(reason, n)| format!("{} {}", clean(reason), format::count(*n))).collect();
                self.row(name, &format::count(sum), &by.join(", "));
            }
        }
        let optional = [("stored", s.stored), ("duplicates", s.duplicates.filter(|n| *n > 0))];
        if s.unresolved > 0 {
            self.row("unresolved", &format::count(s.unresolved), "");
        }
        for (name, value) in optional {
            if let Some(value) = value {
                self.row(name, &format::count(value), "");
            }
        }
        // What generators skipped is in the drops too, and was told above.
        let dropped: Vec<(&String, u64)> = summary
            .drops
            .by_reason
            .iter()
            .filter(|(reason, _)| !reason.starts_with("skipped_"))
            .map(|(reason, drop)| (reason, drop.samples))
            .collect();
        if !dropped.is_empty() {
            let sum = dropped.iter().fold(0u64, |sum, (_, samples)| sum.saturating_add(*samples));
            let by: Vec<String> =
                dropped.iter().map(|(reason, n)| format!("{} {}", clean(reason), format::count(*n))).collect();
            self.row("dropped", &format::count(sum), &by.join(", "));
        }
        if let Some(rate) = summary.shown_rate() {
            self.row("rate", &format!("{} /s", format::number(rate)), "answered as asked for, without warm-up");
        }
    }

    fn latency(&mut self, summary: &Summary) {
        if summary.latency.iter().next().is_none() {
            return;
        }
        self.head("Latency");
        let heads: String = ["p50", "p90", "p99", "p99.9", "max"].map(|h| format!("{h:>11}")).concat();
        let heads = self.paint(DIM, &heads);
        let _ = writeln!(self.out, "  {:<10}{heads}", "");
        for (name, latency) in summary.latency.iter() {
            let p = &latency.points;
            let cells: String = [p.p50, p.p90, p.p99, p.p999, p.max]
                .map(|ms| {
                    let sign = if format::at_least(ms, p.over_range) { ">= " } else { "" };
                    format!("{:>11}", format!("{sign}{}", format::short_ms(ms)))
                })
                .concat();
            let cut = if p.censored > 0 { format!("  {} cut off", format::count(p.censored)) } else { String::new() };
            let _ = writeln!(self.out, "  {name:<10}{cells}{cut}");
        }
    }

    fn thresholds(&mut self, summary: &Summary) {
        if summary.thresholds.is_empty() {
            return;
        }
        self.head("Thresholds");
        for threshold in &summary.thresholds {
            let mark = match (threshold.ok, threshold.proven) {
                (true, true) => ("ok", GREEN),
                (false, true) => ("missed", RED),
                (_, false) => ("unproven", YELLOW),
            };
            let metric = threshold.metric.to_string();
            self.marked(mark, &format!("{metric:<24} {:<14} {}", clean(&threshold.bound), clean(&threshold.text)));
        }
    }

    fn faults(&mut self, summary: &Summary) {
        if summary.faults.is_empty() {
            return;
        }
        self.head("Faults");
        for fault in &summary.faults {
            let mark = match (fault.wrong, fault.indeterminate) {
                (0, 0) => ("ok", GREEN),
                (0, _) => ("open", YELLOW),
                _ => ("wrong", RED),
            };
            let mut text = format!(
                "{} {}, expected {}: {} sent, {} refused, {} accepted, {} open",
                clean(&fault.id),
                clean(&fault.r#type),
                clean(&fault.expected),
                format::count(fault.sent),
                format::count(fault.refused),
                format::count(fault.accepted),
                format::count(fault.indeterminate),
            );
            if fault.wrong > 0 {
                let _ = write!(text, ", {} wrong", format::count(fault.wrong));
            }
            self.marked(mark, &text);
        }
    }

    fn chaos(&mut self, summary: &Summary) {
        if summary.chaos.is_empty() {
            return;
        }
        self.head("Chaos");
        for step in summary.chaos.iter().take(MAX_LINES) {
            let mark = if step.executed_at.is_some() { ("done", GREEN) } else { ("not done", YELLOW) };
            self.marked(mark, &clean(&chaos_text(step)));
        }
        if let Some(more) = summary.chaos.len().checked_sub(MAX_LINES + 1) {
            self.wrap(MARKED, &format!("and {} more in summary.json", more + 1));
        }
    }

    fn findings(&mut self, summary: &Summary) {
        if summary.findings.is_empty() {
            return;
        }
        self.head("Findings");
        for finding in &summary.findings {
            let note = if finding.explained > 0 {
                format!("{} explained", format::count(finding.explained))
            } else {
                String::new()
            };
            self.row(&clean(&finding.name), &format::count(finding.count), &note);
            for example in finding.examples.iter().take(3) {
                let line =
                    format!("{} at {} = {} {}", example.series, example.timestamp_ms, example.value, example.detail);
                self.wrap("      ", &clean(line.trim_end()));
            }
        }
    }
}

fn chaos_text(step: &Chaos) -> String {
    let seconds = |value: f64| format!("{} s", format::number(value));
    let worker = step.worker.map_or_else(String::new, |worker| format!(" (sink-worker {worker})"));
    let course = match (step.executed_at, step.back_after) {
        (None, _) => "not carried out".to_owned(),
        (Some(at), Some(after)) => format!("carried out at {}, back after {}", seconds(at), seconds(after)),
        // An end that nobody asked for: when it was is all that is known.
        (Some(at), None) if at.to_bits() == step.at.to_bits() => {
            return format!("{}{worker} at {}", step.action, seconds(at));
        }
        (Some(at), None) => format!("carried out at {}, not seen back", seconds(at)),
    };
    format!("{}{worker} at {}: {course}", step.action, seconds(step.at))
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
