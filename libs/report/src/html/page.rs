//! The page as a whole: head, verdict, key figures, and the order of the sections.

use std::fmt::Write as _;

use super::charts::{self, Timeline};
use super::{escape, events, ledger, parts};
use crate::format::{self, count};
use crate::summary::{Finding, Summary, Verdict};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Renders the whole page. It loads nothing, and its policy forbids that it ever does.
pub fn render_html(summary: &Summary) -> String {
    let timeline = Timeline::new(summary);
    let mut body = head(summary);
    body.push_str(&verdict(summary));
    body.push_str(&figures(summary));
    section(&mut body, "Thresholds", &parts::thresholds(summary));
    let mut time = String::new();
    if !timeline.is_empty() {
        time.push_str(&timeline.rate());
        time.push_str(&timeline.latency());
        time.push_str(&timeline.drops());
    }
    time.push_str(&events::render(summary, &timeline));
    section(&mut body, "Over time", &time);
    section(&mut body, "Latency", &(charts::percentiles(summary) + &parts::latency(summary)));
    section(&mut body, "Ledger", &(ledger::balances(summary) + "<h3>Findings</h3>" + &ledger::findings(summary)));
    section(&mut body, "Drops", &parts::drops(summary));
    let events = parts::stages(summary) + &parts::faults(summary) + &parts::chaos(summary);
    section(&mut body, "Stages, faults and chaos", &events);
    section(&mut body, "Processes", &(parts::workers(summary) + &parts::cpu(summary)));
    section(&mut body, "Run it again", &again(summary));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<title>{} · {} · Floodmark</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n<footer>Floodmark {} · {} · every figure on this page stands in summary.json</footer>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        escape(summary.verdict.as_str()),
        escape(&summary.name),
        escape(&summary.version),
        escape(&summary.schema),
    )
}

fn section(body: &mut String, title: &str, content: &str) {
    if !content.is_empty() {
        let _ = write!(body, "<section><h2>{}</h2>\n{content}</section>\n", escape(title));
    }
}

fn head(summary: &Summary) -> String {
    let mut facts: Vec<(&str, String)> = vec![("Target", summary.target.description.clone())];
    let mut put = |name, value: Option<String>| facts.extend(value.filter(|v| !v.is_empty()).map(|v| (name, v)));
    put("Protocol", summary.target.protocol.as_ref().map(|p| format!("Remote-Write {p}")));
    put("Profile", summary.target.profile.clone());
    put("Acknowledges", summary.ack_policy.clone());
    put("Started", Some(summary.start_time.replace('T', " ").replace('Z', " UTC")));
    put("Took", Some(format::seconds(summary.duration_seconds)));
    put("Run", Some(summary.run.clone()));
    put("Seed", Some(summary.seed.to_string()));
    let list: String = facts.iter().fold(String::new(), |mut out, (name, value)| {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(value));
        out
    });
    format!("<header><p class=\"brand\">Floodmark</p><h1>{}</h1><dl>{list}</dl></header>\n", escape(&summary.name))
}

fn verdict(summary: &Summary) -> String {
    let (class, mark) = match summary.verdict {
        Verdict::Passed => ("good", "<path d=\"M5 12.5l4.5 4.5L19 7.5\"/>"),
        Verdict::Failed => ("bad", "<path d=\"M6.5 6.5l11 11M17.5 6.5l-11 11\"/>"),
        Verdict::Inconclusive => ("open", "<path d=\"M8.5 9a3.5 3.5 0 1 1 5 3.2c-1 .5-1.5 1-1.5 2.3M12 18v.2\"/>"),
    };
    let reasons: String = summary.reasons.iter().fold(String::new(), |mut out, reason| {
        let _ = write!(out, "<li>{}</li>", escape(reason));
        out
    });
    let limit = summary
        .limit
        .as_deref()
        .map_or(String::new(), |limit| format!("<p class=\"limit\">The limit was: {}</p>", escape(limit)));
    format!(
        "<div class=\"verdict v-{class}\" role=\"status\"><p class=\"word\"><svg viewBox=\"0 0 24 24\" aria-hidden=\"true\">{mark}</svg>{}</p><div><ul>{reasons}</ul>{limit}</div></div>\n",
        summary.verdict.as_str()
    )
}

fn figures(summary: &Summary) -> String {
    let mut out = String::new();
    let mut figure = |name: &str, value: &str, unit: &str, note: &str, class: &str| {
        let unit = if unit.is_empty() { String::new() } else { format!(" <small>{unit}</small>") };
        let _ = write!(
            out,
            "<div><dt>{name}</dt><dd class=\"{class}\">{}{unit}</dd><dd class=\"sub\">{}</dd></div>",
            escape(value),
            escape(note)
        );
    };
    let s = &summary.samples;
    figure("Acknowledged", &count(s.acknowledged), "", &format!("of {} samples generated", count(s.generated)), "");
    if let Some(rate) = summary.shown_rate() {
        let target = summary
            .stages
            .iter()
            .filter(|stage| !stage.warm_up)
            .filter_map(|stage| stage.target_rate)
            .fold(0.0, f64::max);
        let note = if target > 0.0 {
            format!("answered as asked for, without warm-up; highest target {}/s", format::short(target))
        } else {
            "answered as asked for".to_owned()
        };
        figure("Rate", &format::number(rate), "/s", &note, "");
    }
    for (name, latency) in summary.latency.iter().filter(|(name, _)| ["response", "delivery"].contains(name)) {
        let p = &latency.points;
        let sign = if format::at_least(p.p99, p.over_range) { "≥ " } else { "" };
        let title = if name == "response" { "Response p99" } else { "Delivery p99" };
        let note = format!("p50 {} · max {}", format::ms(p.p50, false), format::ms(p.max, p.over_range > 0));
        figure(title, &format!("{sign}{}", format::number(p.p99)), "ms", &note, "");
    }
    let lost = ["SilentLoss", "AckedLoss"]
        .iter()
        .filter_map(|name| summary.finding(name))
        .map(|f| f.count)
        .fold(0, u64::saturating_add);
    let proof = match (&summary.coverage, crate::thresholds::unproven("SilentLoss", summary)) {
        (Some(coverage), None) => format!("acknowledged, not stored; read back from {}", coverage.source),
        _ => "unproven: nothing shows what is stored".to_owned(),
    };
    figure("Lost", &count(lost), "", &proof, if lost > 0 { "bad" } else { "" });
    let doubled = summary.finding("Duplicated");
    if s.duplicates.is_some() || doubled.is_some() {
        let value = doubled.map_or(s.duplicates.unwrap_or(0), |finding| finding.count);
        let open = doubled.map_or(0, Finding::unexplained);
        let note = match (value, open) {
            (0, _) => "no sample arrived twice".to_owned(),
            (_, 0) => "all explained by kills or lost answers".to_owned(),
            _ => format!("{} of them unexplained", count(open)),
        };
        figure("Duplicates", &count(value), "", &note, if open > 0 { "bad" } else { "" });
    }
    if !summary.workers.is_empty() || summary.drops.total > 0 {
        let note = match summary.drops.requests {
            0 => "samples given up by the sink".to_owned(),
            1 => "samples, in 1 request".to_owned(),
            n => format!("samples, in {} requests", count(n)),
        };
        figure("Dropped", &count(summary.drops.total), "", &note, if summary.drops.total > 0 { "bad" } else { "" });
    }
    if !summary.faults.is_empty() {
        let wrong = summary.faults.iter().map(|f| f.wrong).fold(0, u64::saturating_add);
        let sent = summary.faults.iter().map(|f| f.sent).fold(0, u64::saturating_add);
        figure(
            "Wrong verdicts",
            &count(wrong),
            "",
            &format!("on {} injected faults", count(sent)),
            if wrong > 0 { "bad" } else { "" },
        );
    }
    format!("<dl class=\"figures\">{out}</dl>\n")
}

fn again(summary: &Summary) -> String {
    let mut out =
        format!("<p>The seed {} and the documents below give the same samples on every machine.</p>", summary.seed);
    if let Some(command) = &summary.command {
        let _ = write!(out, "<pre class=\"command\" tabindex=\"0\"><code>{}</code></pre>", escape(command));
    }
    if let Some(document) = &summary.document {
        let _ = write!(
            out,
            "<details><summary>The documents</summary><pre tabindex=\"0\"><code>{}</code></pre></details>",
            escape(document)
        );
    }
    out
}
