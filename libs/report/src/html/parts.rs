//! The sections of the page below the charts.

use super::escape;
use super::tables::{Cell, Column, gauge, table, tone};
use crate::format::{self, count, number};
use crate::summary::Summary;

use Column::{Number, Text, Wide};

pub(crate) fn thresholds(summary: &Summary) -> String {
    let rows: Vec<Vec<Cell>> = summary
        .thresholds
        .iter()
        .map(|t| {
            let result = match (t.ok, t.proven) {
                (true, true) => tone("good", "✓ holds"),
                (false, true) => tone("bad", "✕ missed"),
                (_, false) => tone("open", "? unproven"),
            };
            let metric = Cell::Raw(format!("<code>{}</code>", escape(&t.metric.to_string())));
            vec![metric, result, t.text.clone().into(), t.bound.clone().into(), t.note.clone().into()]
        })
        .collect();
    // Columns beyond the last head are not drawn: no notes, no empty column.
    let noted = summary.thresholds.iter().any(|t| !t.note.is_empty());
    let columns = [Text("Metric"), Text("Result"), Number("Measured"), Number("Bound"), Wide("")];
    let table = table("Thresholds", &columns[..if noted { 5 } else { 4 }], &rows);
    // Each row stands on two lines where a screen is too narrow for all columns.
    if table.is_empty() { table } else { format!("<div class=\"stack\">{table}</div>\n") }
}

pub(crate) fn latency(summary: &Summary) -> String {
    let rows: Vec<Vec<Cell>> = summary
        .latency
        .iter()
        .map(|(name, latency)| {
            let p = &latency.points;
            let mut row = vec![Cell::from(name)];
            row.extend([p.p50, p.p90, p.p95, p.p99, p.p999, p.max].map(|ms| {
                let sign = if format::at_least(ms, p.over_range) { "≥ " } else { "" };
                Cell::from(format!("{sign}{}", number(ms)))
            }));
            row.extend([p.count, p.censored, p.over_range].map(|n| Cell::from(count(n))));
            row
        })
        .collect();
    let columns = [
        Text("Milliseconds"),
        Number("p50"),
        Number("p90"),
        Number("p95"),
        Number("p99"),
        Number("p99.9"),
        Number("max"),
        Number("values"),
        Number("cut off"),
        Number("over range"),
    ];
    table("Latencies", &columns, &rows)
}

pub(crate) fn drops(summary: &Summary) -> String {
    let most = summary.drops.by_reason.values().map(|d| d.samples).max().unwrap_or(0).max(1) as f64;
    let mut reasons: Vec<_> = summary.drops.by_reason.iter().collect();
    reasons.sort_by_key(|(_, drop)| std::cmp::Reverse(drop.samples));
    let rows: Vec<Vec<Cell>> = reasons
        .into_iter()
        .map(|(reason, drop)| {
            let e = &drop.per_event;
            let mut row = vec![reason.replace('_', " ").into(), gauge(drop.samples as f64 / most, "f-bad")];
            row.extend([drop.samples, e.events, e.p50, e.p99, e.max].map(|n| Cell::from(count(n))));
            row
        })
        .collect();
    let columns = [
        Text("Reason"),
        Text(""),
        Number("samples"),
        Number("events"),
        Number("p50 an event"),
        Number("p99"),
        Number("max"),
    ];
    let gaps: Vec<Vec<Cell>> = summary
        .drops
        .gaps
        .iter()
        .map(|(cause, g)| {
            let mut row = vec![Cell::from(cause.replace('_', " "))];
            row.extend([g.events, g.samples, g.p50, g.p99, g.max].map(|n| Cell::from(count(n))));
            row
        })
        .collect();
    let of_gaps = [
        Text("Gaps in series by cause"),
        Number("gaps"),
        Number("samples"),
        Number("p50 a gap"),
        Number("p99"),
        Number("max"),
    ];
    table("Drops by cause", &columns, &rows) + &table("Gap lengths", &of_gaps, &gaps)
}

pub(crate) fn stages(summary: &Summary) -> String {
    let rows: Vec<Vec<Cell>> = summary
        .stages
        .iter()
        .map(|s| {
            let result = match (s.reached, s.warm_up) {
                _ if s.cut => tone("plain", "cut off"),
                (true, _) => tone("good", "✓ reached"),
                (false, true) => tone("plain", "not reached, warm-up"),
                (false, false) => tone("open", "✕ not reached"),
            };
            vec![
                s.index.to_string().into(),
                format::clock(s.from).into(),
                format::seconds(s.r#for).into(),
                s.target_rate.map_or_else(|| "natural".to_owned(), number).into(),
                number(s.achieved_rate).into(),
                count(s.due).into(),
                count(s.acknowledged_in_time).into(),
                result,
            ]
        })
        .collect();
    let columns = [
        Text("Stage"),
        Number("from"),
        Number("for"),
        Number("target /s"),
        Number("achieved /s"),
        Number("due"),
        Number("in time"),
        Text("Result"),
    ];
    table("Stages", &columns, &rows)
}

pub(crate) fn faults(summary: &Summary) -> String {
    let rows: Vec<Vec<Cell>> = summary
        .faults
        .iter()
        .map(|f| {
            let wrong =
                if f.wrong > 0 { tone("bad", &format!("✕ {}", count(f.wrong))) } else { tone("good", "✓ none") };
            vec![
                Cell::Raw(format!("{} <small>{}</small>", escape(&f.r#type), escape(&f.id))),
                f.expected.clone().into(),
                count(f.sent).into(),
                count(f.refused).into(),
                count(f.accepted).into(),
                count(f.indeterminate).into(),
                wrong,
            ]
        })
        .collect();
    let columns = [
        Text("Fault"),
        Text("Expected"),
        Number("sent"),
        Number("refused"),
        Number("accepted"),
        Number("open"),
        Text("Wrong"),
    ];
    table("Injected faults, expected against got", &columns, &rows)
}

pub(crate) fn chaos(summary: &Summary) -> String {
    let rows: Vec<Vec<Cell>> = summary
        .chaos
        .iter()
        .map(|c| {
            vec![
                c.action.clone().into(),
                c.worker.map_or_else(|| "–".to_owned(), |w| w.to_string()).into(),
                format!("{} s", number(c.at)).into(),
                c.executed_at.map_or_else(|| "–".to_owned(), |at| format!("{} s", number(at))).into(),
                c.back_after.map_or_else(|| "–".to_owned(), |after| format!("{} s", number(after))).into(),
                if c.executed_at.is_some() {
                    tone("good", "✓ carried out")
                } else {
                    tone("open", "? not carried out")
                },
            ]
        })
        .collect();
    let columns = [
        Text("Chaos"),
        Number("worker"),
        Number("planned at"),
        Number("done at"),
        Number("back after"),
        Text("Result"),
    ];
    table("Chaos, as it was carried out", &columns, &rows)
}

pub(crate) fn workers(summary: &Summary) -> String {
    let rows: Vec<Vec<Cell>> = summary
        .workers
        .iter()
        .map(|w| {
            let lives = if w.accounts_lost > 0 {
                format!("{} ({} unaccounted)", w.incarnations, w.accounts_lost)
            } else {
                w.incarnations.to_string()
            };
            let mut row = vec![Cell::from(w.ordinal.to_string()), lives.into()];
            row.extend(
                [w.accepted, w.delivered, w.rejected, w.dropped, w.ambiguous, w.buffered, w.requests, w.retries]
                    .map(|n| Cell::from(count(n))),
            );
            row
        })
        .collect();
    let columns = [
        Text("Worker"),
        Number("lives"),
        Number("accepted"),
        Number("delivered"),
        Number("rejected"),
        Number("dropped"),
        Number("ambiguous"),
        Number("buffered"),
        Number("requests"),
        Number("retries"),
    ];
    table("Sink workers", &columns, &rows)
}

pub(crate) fn cpu(summary: &Summary) -> String {
    let most = summary.cpu.iter().map(|p| p.cores).fold(0.01, f64::max);
    let rows: Vec<Vec<Cell>> = summary
        .cpu
        .iter()
        .map(|p| {
            vec![
                format!("{} {}", p.role, p.ordinal).into(),
                gauge(p.cores / most, "f-good"),
                number(p.cores).into(),
                format::bytes(p.rss_bytes).into(),
                p.run_queue_share.map_or_else(|| "–".to_owned(), format::percent).into(),
            ]
        })
        .collect();
    let columns = [Text("Process"), Text(""), Number("cores"), Number("memory"), Number("waited for CPU")];
    table("CPU and memory of each process", &columns, &rows)
}
