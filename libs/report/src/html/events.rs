//! Stages, faults and chaos on the same axis of time as the charts.

use std::fmt::Write as _;

use super::charts::Timeline;
use super::escape;
use super::svg::percent;
use crate::format;
use crate::summary::{Chaos, Summary};

/// Rows drawn of each kind; the tables have them all.
const MAX_ROWS: usize = 16;

/// Renders the strip; empty when there is nothing to show.
pub(crate) fn render(summary: &Summary, timeline: &Timeline) -> String {
    let mut rows = String::new();
    let end = timeline.seconds;
    if !summary.stages.is_empty() {
        let bars: String = summary
            .stages
            .iter()
            .take(200)
            .map(|stage| {
                let class = if stage.warm_up { "b-warm" } else { "b-stage" };
                let to = stage.from + stage.r#for;
                let width = percent((to.min(end) - stage.from).max(0.0) / end);
                named(
                    class,
                    (stage.from, to, end),
                    &format!("left:{}%;max-width:{width}%", percent(stage.from / end)),
                    &stage_text(stage),
                )
            })
            .collect();
        row(&mut rows, &bars);
    }
    for fault in summary.faults.iter().take(MAX_ROWS) {
        let from = fault.from.unwrap_or(0.0);
        let to = fault.r#for.map_or(end, |length| from + length);
        row(&mut rows, &bar("b-fault", from, to, end, &fault.r#type));
    }
    for step in summary.chaos.iter().take(MAX_ROWS) {
        let from = step.executed_at.unwrap_or(step.at);
        let to = from + step.back_after.unwrap_or(0.0);
        row(&mut rows, &bar("b-chaos", from, to, end, &chaos_text(step)));
    }
    if rows.is_empty() {
        return String::new();
    }
    let mut ticks = String::new();
    for (at, label) in timeline.ticks() {
        let _ = write!(ticks, "<span class=\"tx\" style=\"left:{}%\">{}</span>", percent(at), escape(&label));
    }
    format!(
        "<figure class=\"chart\"><figcaption><b>Stages, faults and chaos</b> <span>on the same axis of time; tables below</span></figcaption><div class=\"strip\">{rows}<div aria-hidden=\"true\">{ticks}</div></div></figure>\n"
    )
}

fn row(rows: &mut String, bars: &str) {
    let _ = write!(rows, "<div class=\"ev\">{bars}</div>");
}

/// A bar with its name above; a name that begins in the right half ends at the bar's right end instead.
fn bar(class: &str, from: f64, to: f64, end: f64, name: &str) -> String {
    let (left, right) = (percent(from / end), percent(to.min(end).max(from) / end));
    let anchor = if left > 50.0 { format!("right:{}%", 100.0 - right) } else { format!("left:{left}%") };
    let room = if left > 50.0 { right } else { 100.0 - left };
    named(class, (from, to, end), &format!("{anchor};max-width:{room}%"), name)
}

fn named(class: &str, (from, to, end): (f64, f64, f64), place: &str, name: &str) -> String {
    let left = percent(from / end);
    let width = ((percent(to.min(end).max(from) / end) - left) * 100.0).round() / 100.0;
    format!(
        "<i class=\"{class}\" style=\"left:{left}%;width:{width}%\"></i><span style=\"{place}\">{}</span>",
        escape(name)
    )
}

fn stage_text(stage: &crate::summary::StageResult) -> String {
    let rate = stage.target_rate.map_or_else(|| "natural".to_owned(), |rate| format!("{}/s", format::short(rate)));
    match (stage.ramp, stage.warm_up) {
        (true, _) => format!("ramp to {rate}"),
        (false, true) => format!("{rate} warm-up"),
        (false, false) => rate,
    }
}

/// One step of the chaos timeline in words.
fn chaos_text(step: &Chaos) -> String {
    let worker = step.worker.map_or_else(String::new, |worker| format!(" worker {worker}"));
    let back = match (step.executed_at, step.back_after) {
        (None, _) => ", not carried out".to_owned(),
        (_, Some(after)) => format!(" · {}", format::seconds(after)),
        (_, None) => String::new(),
    };
    format!("{}{worker}{back}", step.action)
}
