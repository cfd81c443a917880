//! The ledger: what balances, what was read back, and the findings with their witnesses.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::escape;
use crate::format::{self, count};
use crate::summary::{Example, Finding, Summary};
use crate::verdict;

/// A balance: a total, what it is made of, and what is left over.
fn balance(title: &str, total: (&str, u64), parts: &[(String, u64, &str)]) -> String {
    let sum = parts.iter().fold(0u64, |sum, part| sum.saturating_add(part.1));
    let whole = total.1.max(sum).max(1) as f64;
    let mut flow = String::new();
    let mut lines = format!(
        "<tr class=\"sum\"><th scope=\"row\">{}</th><td class=\"n\">{}</td></tr>",
        escape(total.0),
        count(total.1)
    );
    for (index, (name, value, class)) in parts.iter().enumerate() {
        if *value > 0 {
            let _ = write!(
                flow,
                "<i class=\"{class}\" style=\"flex:{} 0 2px\"></i>",
                ((*value as f64 / whole) * 10_000.0).round()
            );
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
        format!(
            "<tr class=\"check\"><th scope=\"row\"><span class=\"bad\">✕ off by</span></th><td class=\"n\">{}</td></tr>",
            count(sum.abs_diff(total.1))
        )
    };
    format!(
        "<div class=\"account\"><h3>{}</h3><div class=\"flow\" aria-hidden=\"true\">{flow}</div><table><caption>{0}</caption><tbody>{lines}{check}</tbody></table></div>",
        escape(title)
    )
}

pub(crate) fn balances(summary: &Summary) -> String {
    let s = &summary.samples;
    let by_reason =
        |what: &str, reasons: &BTreeMap<String, u64>, class: &'static str| -> Vec<(String, u64, &'static str)> {
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
        let sum =
            |value: fn(&crate::summary::Worker) -> u64| summary.workers.iter().map(value).fold(0, u64::saturating_add);
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
        None => {
            let why = summary.unread.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
            format!("Nothing was read back from the store{why}: losses are unproven.")
        }
        Some(c) => {
            let open = if c.unproven.is_empty() {
                String::new()
            } else {
                format!(" It cannot show: {}.", c.unproven.join(", "))
            };
            let detail = if c.detail.is_empty() { String::new() } else { format!(" ({})", c.detail) };
            format!(
                "Read back from {} at depth {}, covering {} of the series{detail}.{open}",
                c.source,
                c.depth,
                format::percent(c.share)
            )
        }
    };
    let r = &summary.requests;
    let requests = if r.attempts == 0 {
        String::new()
    } else {
        format!(
            "<p class=\"note\"><span class=\"num\">{}</span> requests sent by the generators, <span class=\"num\">{}</span> of them without a 2xx, <span class=\"num\">{}</span> of them repeated.</p>",
            count(r.attempts),
            count(r.failed),
            count(r.retries)
        )
    };
    format!("<div class=\"accounts\">{out}</div><p class=\"note\">{}</p>{requests}", escape(&coverage))
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
    let some = if finding.examples.len() == 1 {
        "1 example".to_owned()
    } else {
        format!("{} examples", finding.examples.len())
    };
    format!("<details class=\"finding\"{open}><summary>{head} <small>{some}</small></summary>{list}</details>")
}

fn example(example: &Example) -> String {
    let time = u64::try_from(example.timestamp_ms)
        .map_or_else(|_| example.timestamp_ms.to_string(), |ms| format::rfc3339(ms.saturating_mul(1_000_000)));
    format!(
        "<li><code>{}</code><span>{} · value {} · {}</span></li>",
        escape(&example.series),
        escape(&time),
        escape(&example.value),
        escape(&example.detail)
    )
}
