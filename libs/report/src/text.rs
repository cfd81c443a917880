//! The summary on a terminal.

use std::fmt::Write as _;

use crate::format;
use crate::summary::{Summary, Verdict};

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

/// Renders a summary in plain text of at most `width` columns (at least 40), with ANSI colours when `colour` is set. Control
/// characters in names are replaced, so nothing from outside moves the cursor.
pub fn render_text(summary: &Summary, colour: bool, width: usize) -> String {
    let mut page = Page::new(colour, width);
    page.verdict(summary);
    page.figures(summary);
    page.latency(summary);
    page.thresholds(summary);
    page.findings(summary);
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
        Self { out: String::new(), colour, width: width.clamp(40, 200) }
    }

    fn verdict(&mut self, summary: &Summary) {
        let tone = match summary.verdict {
            Verdict::Passed => GREEN,
            Verdict::Failed => RED,
            Verdict::Inconclusive => YELLOW,
        };
        let word = self.paint(&format!("1;{tone}"), summary.verdict.as_str());
        let name = self.paint(BOLD, &clean(&summary.name));
        let took = format::seconds(summary.duration_seconds);
        let run = self.paint(DIM, &format!("run {} · seed {} · {took}", clean(&summary.run), summary.seed));
        let _ = writeln!(self.out, "{word}  {name}  {run}");
        for reason in &summary.reasons {
            self.wrap("  ", &clean(reason));
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn head(&mut self, title: &str) {
        let title = self.paint(BOLD, title);
        let _ = writeln!(self.out, "\n{title}");
    }

    fn wrap(&mut self, indent: &str, text: &str) {
        let mut line = indent.to_owned();
        let mut used = indent.len();
        for word in text.split(' ') {
            let long = word.chars().count();
            if used + long > self.width && used > indent.len() {
                let _ = writeln!(self.out, "{}", line.trim_end());
                indent.clone_into(&mut line);
                used = indent.len();
            }
            line.push_str(word);
            line.push(' ');
            used += long + 1;
        }
        let _ = writeln!(self.out, "{}", line.trim_end());
    }

    fn row(&mut self, name: &str, value: &str, note: &str) {
        let pad = 18usize.saturating_sub(value.chars().count());
        let note = if note.is_empty() { String::new() } else { format!("  {}", self.paint(DIM, note)) };
        let _ = writeln!(self.out, "  {name:<16}{}{value}{note}", " ".repeat(pad));
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
        if summary.drops.total > 0 {
            let by: Vec<String> = summary
                .drops
                .by_reason
                .iter()
                .map(|(reason, d)| format!("{} {}", clean(reason), format::count(d.samples)))
                .collect();
            self.row("dropped", &format::count(summary.drops.total), &by.join(", "));
        }
        if let Some(rate) = summary.shown_rate() {
            self.row("rate", &format!("{} /s", format::number(rate)), "acknowledged, without warm-up");
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
            let (mark, tone) = match (threshold.ok, threshold.proven) {
                (true, true) => ("ok", GREEN),
                (false, true) => ("missed", RED),
                (_, false) => ("unproven", YELLOW),
            };
            let mark = self.paint(tone, &format!("{mark:<9}"));
            let _ = writeln!(
                self.out,
                "  {mark} {:<24} {:<14} {}",
                threshold.metric.to_string(),
                clean(&threshold.bound),
                clean(&threshold.text)
            );
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

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
