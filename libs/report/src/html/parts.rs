//! The sections of the page below the charts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::escape;
use super::tables::{Cell, Column, gauge, table, tone};
use crate::format::{self, count, number};
use crate::summary::{Example, Finding, Summary};
use crate::verdict;

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
    table("Thresholds", &[Text("Metric"), Text("Result"), Number("Measured"), Number("Bound"), Wide("")], &rows)
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
        Text("Milliseconds"), Number("p50"), Number("p90"), Number("p95"), Number("p99"), Number("p99.9"), Number("max"),
        Number("values"), Number("cut off"), Number("over range"),
    ];
    table("Latencies", &columns, &rows)
}

/// A balance: a total, what it is made of, and what is left over.
fn balance(title: &str, total: (&str, u64), parts: &[(String, u64, &str)]) -> String {
    let sum = parts.iter().fold(0u64, |sum, part| sum.saturating_add(part.1));
    let whole = total.1.max(sum).max(1) as f64;
    let mut flow = String::new();
    let mut lines = format!("<tr class=\"sum\"><th scope=\"row\">{}</th><td class=\"n\">{}</td></tr>", escape(total.0), count(total.1));
    for (index, (name, value, class)) in parts.iter().enumerate() {
        if *value > 0 {
            let _ = write!(flow, "<i class=\"{class}\" style=\"flex:{} 0 2px\"></i>", ((*value as f64 / whole) * 10_000.0).round());
        }
        let sign = if index == 0 { "=" } else { "+" };
        let _ = write!(
            lines,
            "<tr><th scope=\"row\"><span class=\"op\">{sign}</span><i class=\"key {class}\"></i>{}</th><td class=\"n\">{}</td></tr>",
            escape(name),
            count(*value)
        );
    }
    let check = if sum == total.1 {
        "<tr class=\"check\"><th scope=\"row\"><span class=\"good\">✓ balances</span></th><td></td></tr>".to_owned()
    } else {
        format!("<tr class=\"check\"><th scope=\"row\"><span class=\"bad\">✕ off by</span></th><td class=\"n\">{}</td></tr>", count(sum.abs_diff(total.1)))
    };
    format!(
        "<div class=\"account\"><h3>{}</h3><div class=\"flow\" aria-hidden=\"true\">{flow}</div><table><caption>{0}</caption><tbody>{lines}{check}</tbody></table></div>",
        escape(title)
    )
}

pub(crate) fn ledger(summary: &Summary) -> String {
    let s = &summary.samples;
    let by_reason = |what: &str, reasons: &BTreeMap<String, u64>, class: &'static str| -> Vec<(String, u64, &'static str)> {
        if reasons.is_empty() {
            return vec![(what.to_owned(), 0, class)];
        }
        reasons.iter().map(|(reason, n)| (format!("{what}, {}", reason.replace('_', " ")), *n, class)).collect()
    };
    let mut parts = vec![("acknowledged".to_owned(), s.acknowledged, "f-good")];
    parts.extend(by_reason("refused", &s.refused, "f-refused"));
    parts.extend(by_reason("skipped", &s.skipped, "f-skipped"));
    parts.push(("unresolved".to_owned(), s.unresolved, "f-open"));
    let mut out = balance("Generator", ("generated", s.generated), &parts);
    if !summary.workers.is_empty() {
        let sum = |value: fn(&crate::summary::Worker) -> u64| summary.workers.iter().map(value).fold(0, u64::saturating_add);
        out.push_str(&balance(
            "Sink workers",
            ("accepted", sum(|w| w.accepted)),
            &[
                ("delivered".to_owned(), sum(|w| w.delivered), "f-good"),
                ("rejected".to_owned(), sum(|w| w.rejected), "f-refused"),
                ("dropped".to_owned(), sum(|w| w.dropped), "f-bad"),
                ("ambiguous".to_owned(), sum(|w| w.ambiguous), "f-open"),
                ("buffered".to_owned(), sum(|w| w.buffered), "f-skipped"),
            ],
        ));
    }
    if let (Some(arrivals), Some(stored)) = (s.arrivals, s.stored) {
        out.push_str(&balance(
            "Store",
            ("arrivals", arrivals),
            &[
                ("distinct".to_owned(), stored, "f-good"),
                ("duplicates".to_owned(), s.duplicates.unwrap_or(0), "f-open"),
                ("unexpected".to_owned(), s.unexpected.unwrap_or(0), "f-bad"),
            ],
        ));
    }
    let coverage = match &summary.coverage {
        None => "Nothing was read back from the store: losses are unproven.".to_owned(),
        Some(c) => {
            let open = if c.unproven.is_empty() { String::new() } else { format!(" It cannot show: {}.", c.unproven.join(", ")) };
            let detail = if c.detail.is_empty() { String::new() } else { format!(" ({})", c.detail) };
            format!("Read back from {} at depth {}, covering {} of the series{detail}.{open}", c.source, c.depth, format::percent(c.share))
        }
    };
    format!("<div class=\"accounts\">{out}</div><p class=\"note\">{}</p>", escape(&coverage))
}

pub(crate) fn findings(summary: &Summary) -> String {
    if summary.findings.is_empty() {
        return "<p class=\"note\">No findings.</p>".to_owned();
    }
    summary.findings.iter().map(|finding| one_finding(finding, summary)).collect()
}

fn one_finding(finding: &Finding, summary: &Summary) -> String {
    let class = if verdict::counts_against(finding, summary) {
        "bad"
    } else if finding.unexplained() > 0 {
        "open"
    } else {
        "plain"
    };
    let explained = match finding.explained {
        0 => String::new(),
        n if n >= finding.count => " · all explained".to_owned(),
        n => format!(" · {} explained", count(n)),
    };
    let head = format!(
        "<b class=\"{class}\">{}</b> <span class=\"num\">{}</span> samples{explained}",
        escape(&finding.name),
        count(finding.count)
    );
    if finding.examples.is_empty() {
        return format!("<div class=\"finding\"><p>{head}</p></div>");
    }
    let items: Vec<String> = finding.examples.iter().map(example).collect();
    let (first, more) = items.split_at(items.len().min(3));
    let more = match more.len() {
        0 => String::new(),
        n => format!("<details><summary><small>{n} more</small></summary><ol>{}</ol></details>", more.concat()),
    };
    let list = format!("<ol>{}</ol>{more}", first.concat());
    let open = if class == "bad" { " open" } else { "" };
    let some = if finding.examples.len() == 1 { "1 example".to_owned() } else { format!("{} examples", finding.examples.len()) };
    format!("<details class=\"finding\"{open}><summary>{head} <small>{some}</small></summary>{list}</details>")
}

fn example(example: &Example) -> String {
    let time = u64::try_from(example.timestamp_ms).map_or_else(|_| example.timestamp_ms.to_string(), |ms| format::rfc3339(ms.saturating_mul(1_000_000)));
    format!(
        "<li><code>{}</code><span>{} · value {} · {}</span></li>",
        escape(&example.series),
        escape(&time),
        escape(&example.value),
        escape(&example.detail)
    )
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
    let columns =
        [Text("Reason"), Text(""), Number("samples"), Number("events"), Number("p50 an event"), Number("p99"), Number("max")];
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
    let of_gaps = [Text("Gaps in series by cause"), Number("gaps"), Number("samples"), Number("p50 a gap"), Number("p99"), Number("max")];
    table("Drops by cause", &columns, &rows) + &table("Gap lengths", &of_gaps, &gaps)
}

pub(crate) fn stages(summary: &Summary) -> String {
    let rows: Vec<Vec<Cell>> = summary
        .stages
        .iter()
        .map(|s| {
            let result = match (s.reached, s.warm_up) {
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
        Text("Stage"), Number("from"), Number("for"), Number("target /s"), Number("achieved /s"), Number("due"), Number("in time"), Text("Result"),
    ];
    table("Stages", &columns, &rows)
}

pub(crate) fn faults(summary: &Summary) -> String {
    let rows: Vec<Vec<Cell>> = summary
        .faults
        .iter()
        .map(|f| {
            let wrong = if f.wrong > 0 { tone("bad", &format!("✕ {}", count(f.wrong))) } else { tone("good", "✓ none") };
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
        Text("Fault"), Text("Expected"), Number("sent"), Number("refused"), Number("accepted"), Number("unclear"), Text("Wrong"),
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
                if c.executed_at.is_some() { tone("good", "✓ carried out") } else { tone("open", "? not carried out") },
            ]
        })
        .collect();
    let columns = [Text("Chaos"), Number("worker"), Number("planned at"), Number("done at"), Number("back after"), Text("Result")];
    table("Chaos, as it was carried out", &columns, &rows)
}

pub(crate) fn workers(summary: &Summary) -> String {
    let rows: Vec<Vec<Cell>> = summary
        .workers
        .iter()
        .map(|w| {
            let lives = if w.accounts_lost > 0 { format!("{} ({} unaccounted)", w.incarnations, w.accounts_lost) } else { w.incarnations.to_string() };
            let mut row = vec![Cell::from(w.ordinal.to_string()), lives.into()];
            row.extend([w.accepted, w.delivered, w.rejected, w.dropped, w.ambiguous, w.buffered, w.requests, w.retries].map(|n| Cell::from(count(n))));
            row
        })
        .collect();
    let columns = [
        Text("Worker"), Number("lives"), Number("accepted"), Number("delivered"), Number("rejected"), Number("dropped"),
        Number("ambiguous"), Number("buffered"), Number("requests"), Number("retries"),
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
