//! The charts: drawn here, readable without script; the page's script only adds what the pointer is on.

use std::fmt::Write as _;

use super::escape;
use super::svg::{self, Scale, percent, unit};
use crate::format;
use crate::summary::{Latency, RatePoint, Summary};

/// Points drawn at most; longer runs are put together.
const MAX_POINTS: usize = 480;

/// One line or row of bars.
pub(crate) struct Series {
    pub(crate) name: String,
    /// The class of its colour.
    pub(crate) class: &'static str,
    pub(crate) values: Vec<Option<f64>>,
}

/// What all plots share.
pub(crate) struct Plot<'a> {
    pub(crate) title: &'a str,
    pub(crate) note: String,
    /// Read out instead of the picture.
    pub(crate) spoken: String,
    pub(crate) height: u32,
    pub(crate) y: Scale,
    pub(crate) y_label: fn(f64) -> String,
    /// Parts of the width, with what to write there.
    pub(crate) x_ticks: Vec<(f64, String)>,
    /// Parts of the width, one a point, and what the pointer shows there.
    pub(crate) x: Vec<(f64, String)>,
    pub(crate) series: Vec<Series>,
    pub(crate) bars: bool,
    /// Points without a value are passed over instead of interrupting the line.
    pub(crate) connect: bool,
    /// Drawn under the lines.
    pub(crate) under: String,
}

impl Plot<'_> {
    pub(crate) fn render(&self) -> String {
        let mut art = String::new();
        for tick in self.y.ticks() {
            let _ = write!(art, "<path class=\"grid\" d=\"M0 {}H1000\"/>", unit(1.0 - self.y.part(tick)));
        }
        art.push_str(&self.under);
        for series in &self.series {
            art.push_str(&if self.bars { self.bars(series) } else { self.line(series) });
        }
        let mut text = String::new();
        for tick in self.y.ticks() {
            let top = percent(1.0 - self.y.part(tick));
            let _ = write!(text, "<span class=\"ty\" style=\"top:{top}%\">{}</span>", escape(&(self.y_label)(tick)));
        }
        for (at, label) in &self.x_ticks {
            let _ = write!(text, "<span class=\"tx\" style=\"left:{}%\">{}</span>", percent(*at), escape(label));
        }
        text.push_str(&self.labels());
        let note = if self.note.is_empty() { String::new() } else { format!(" <span>{}</span>", escape(&self.note)) };
        format!(
            "<figure class=\"chart\"><figcaption><b>{}</b>{note}</figcaption><div class=\"plot\" style=\"height:{}px\" data-plot=\"{}\"><svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">{art}</svg><div aria-hidden=\"true\">{text}</div></div></figure>\n",
            escape(self.title),
            self.height,
            escape(&self.data()),
            escape(&self.spoken),
        )
    }

    fn line(&self, series: &Series) -> String {
        let points = self
            .x
            .iter()
            .zip(&series.values)
            .filter(|(_, y)| !self.connect || y.is_some())
            .map(|((x, _), y)| (*x, y.map(|y| self.y.part(y))));
        format!("<path class=\"line {}\" d=\"{}\"/>", series.class, svg::line(points))
    }

    fn bars(&self, series: &Series) -> String {
        let width = 1.0 / self.x.len().max(1) as f64;
        let mut d = String::new();
        for ((x, _), y) in self.x.iter().zip(&series.values) {
            if let Some(y) = y.filter(|y| *y > 0.0) {
                let _ = write!(d, "M{} 1000V{}h{}V1000z", unit(*x), unit(1.0 - self.y.part(y)), unit(width * 0.86));
            }
        }
        format!("<path class=\"bar {}\" d=\"{d}\"/>", series.class)
    }

    /// Names at the right end of the lines, moved apart.
    fn labels(&self) -> String {
        if self.bars {
            return String::new();
        }
        let ends: Vec<(&Series, f64)> = self
            .series
            .iter()
            .filter_map(|series| Some((series, self.y.part(series.values.iter().rev().flatten().next().copied()?))))
            .collect();
        let wanted: Vec<f64> = ends.iter().map(|(_, at)| *at).collect();
        let gap = 17.0 / f64::from(self.height.max(1));
        let mut out = String::new();
        for ((series, _), at) in ends.iter().zip(svg::spread(&wanted, gap)) {
            let _ = write!(
                out,
                "<span class=\"tl {}\" style=\"top:{}%\">{}</span>",
                series.class,
                percent(1.0 - at),
                escape(&series.name)
            );
        }
        out
    }

    /// What the script reads: positions, labels and values as they are drawn.
    fn data(&self) -> String {
        let series: Vec<serde_json::Value> = self
            .series
            .iter()
            .map(|series| {
                let shown: Vec<Option<String>> = series.values.iter().map(|v| v.map(self.y_label)).collect();
                serde_json::json!({"n": series.name, "c": series.class, "v": shown})
            })
            .collect();
        let x: Vec<f64> = self.x.iter().map(|(x, _)| unit(*x)).collect();
        let labels: Vec<&str> = self.x.iter().map(|(_, label)| label.as_str()).collect();
        serde_json::json!({"x": x, "l": labels, "s": series}).to_string()
    }
}

/// The one axis of time that all charts over time share.
pub(crate) struct Timeline {
    pub(crate) seconds: f64,
    points: Vec<RatePoint>,
    /// Seconds a point.
    width: u64,
    under: String,
}

impl Timeline {
    pub(crate) fn new(summary: &Summary) -> Self {
        let stages = summary.stages.iter().map(|s| s.from + s.r#for).fold(0.0, f64::max);
        let series = summary.rate_series.last().map_or(0.0, |p| p.second as f64 + 1.0);
        let seconds = stages.max(series).max(1.0);
        let chunk = summary.rate_series.len().div_ceil(MAX_POINTS).max(1);
        let points = summary.rate_series.chunks(chunk).map(together).collect();
        // The points of a long run stand for several seconds each.
        let apart = match summary.rate_series.as_slice() {
            [first, second, ..] => second.second.saturating_sub(first.second).max(1),
            _ => 1,
        };
        let width = apart.saturating_mul(chunk as u64);
        let mut under = String::new();
        for stage in summary.stages.iter().filter(|stage| stage.warm_up) {
            let (from, to) = (stage.from / seconds, (stage.from + stage.r#for) / seconds);
            let _ = write!(
                under,
                "<rect class=\"warm\" x=\"{}\" y=\"0\" width=\"{}\" height=\"1000\"/>",
                unit(from),
                unit(to - from)
            );
        }
        for step in summary.chaos.iter().take(200) {
            if let Some(at) = step.executed_at {
                let _ = write!(under, "<path class=\"mark\" d=\"M{} 0V1000\"/>", unit(at / seconds));
            }
        }
        Self { seconds, points, width, under }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        svg::time_ticks(self.seconds).into_iter().map(|at| (at / self.seconds, format::clock(at))).collect()
    }

    fn plot<'a>(&self, title: &'a str, note: &str, height: u32, y: Scale, y_label: fn(f64) -> String) -> Plot<'a> {
        let together = if self.width > 1 { format!(", {} seconds a point", self.width) } else { String::new() };
        Plot {
            title,
            note: format!("{note}{together}"),
            spoken: String::new(),
            height,
            y,
            y_label,
            x_ticks: self.ticks(),
            x: self.points.iter().map(|p| (p.second as f64 / self.seconds, format::clock(p.second as f64))).collect(),
            series: Vec::new(),
            bars: false,
            connect: false,
            under: self.under.clone(),
        }
    }

    fn series(&self, name: &str, class: &'static str, value: impl Fn(&RatePoint) -> Option<f64>) -> Series {
        Series { name: name.to_owned(), class, values: self.points.iter().map(value).collect() }
    }

    fn max(&self, value: impl Fn(&RatePoint) -> f64) -> f64 {
        self.points.iter().map(value).fold(0.0, f64::max)
    }

    pub(crate) fn rate(&self) -> String {
        let y = Scale::from_zero(self.max(|p| p.target.max(p.acknowledged)));
        let mut plot = self.plot("Rate", "samples a second", 210, y, format::short);
        plot.series = vec![
            self.series("target", "c-target", |p| Some(p.target)),
            self.series("acked", "c-ack", |p| Some(p.acknowledged)),
        ];
        plot.spoken = format!(
            "Acknowledged samples a second against the target; at most {} of {}.",
            format::short(self.max(|p| p.acknowledged)),
            format::short(self.max(|p| p.target))
        );
        plot.render()
    }

    pub(crate) fn latency(&self) -> String {
        let least = self.points.iter().filter_map(|p| p.p50).fold(f64::INFINITY, f64::min);
        let most = self.max(|p| p.p99.unwrap_or_default());
        if !least.is_finite() {
            return String::new();
        }
        let worst = if self.width > 1 {
            "response time, the worst second of each point, logarithmic"
        } else {
            "response time of each second, logarithmic"
        };
        let mut plot = self.plot("Latency", worst, 210, Scale::log(least, most), format::short_ms);
        plot.series = vec![self.series("p99", "c-p99", |p| p.p99), self.series("p50", "c-p50", |p| p.p50)];
        plot.spoken = format!("Response time over time; the highest p99 of a second is {}.", format::short_ms(most));
        plot.render()
    }

    pub(crate) fn drops(&self) -> String {
        let most = self.max(|p| p.drops);
        if most <= 0.0 {
            return String::new();
        }
        let mut plot = self.plot("Drops", "samples given up a second", 90, Scale::from_zero(most), format::short);
        plot.bars = true;
        plot.series = vec![self.series("dropped", "c-drop", |p| Some(p.drops))];
        plot.spoken = format!("Samples dropped a second; at most {}.", format::short(most));
        plot.render()
    }
}

/// Rates of neighbouring seconds as their mean; percentiles are never averaged, so the worst stands.
fn together(points: &[RatePoint]) -> RatePoint {
    let count = points.len().max(1) as f64;
    let mean = |value: fn(&RatePoint) -> f64| points.iter().map(value).sum::<f64>() / count;
    let worst = |value: fn(&RatePoint) -> Option<f64>| points.iter().filter_map(value).reduce(f64::max);
    RatePoint {
        second: points.first().map_or(0, |p| p.second),
        target: mean(|p| p.target),
        acknowledged: mean(|p| p.acknowledged),
        drops: mean(|p| p.drops),
        p50: worst(|p| p.p50),
        p99: worst(|p| p.p99),
    }
}

/// Latency by percentile: each nine takes the same width. Queued and late are mostly zero and stay in the table.
pub(crate) fn percentiles(summary: &Summary) -> String {
    const SHOWN: [(&str, &str); 3] = [("response", "c-ack"), ("service", "c-p50"), ("delivery", "c-p99")];
    let class = |name: &str| SHOWN.iter().find(|(other, _)| *other == name).map(|(_, class)| *class);
    let all: Vec<_> = summary
        .latency
        .iter()
        .filter_map(|(name, latency)| Some((name, class(name).filter(|_| latency.curve.len() > 1)?, latency)))
        .collect();
    // Where the maximum of so many values is drawn: the percentile that one more value would make visible.
    let nines = |count: u64| (count.max(10) as f64).log10().min(7.0);
    let Some(right) = all.iter().map(|(_, _, latency)| nines(latency.points.count)).reduce(f64::max) else {
        return String::new();
    };
    let part =
        |quantile: f64, count: u64| if quantile >= 1.0 { nines(count) } else { -(1.0 - quantile).log10() } / right;
    let curve = |latency: &Latency| -> Vec<(f64, f64, f64)> {
        let points = latency.curve.iter().map(|(q, ms)| (part(*q, latency.points.count), *q, *ms));
        points.filter(|(x, q, _)| *q >= 1.0 || *x <= nines(latency.points.count) / right).collect()
    };
    let curves: Vec<_> = all.iter().map(|(_, _, latency)| curve(latency)).collect();
    let mut grid: Vec<(f64, f64)> = curves.iter().flatten().map(|(x, q, _)| (*x, *q)).collect();
    grid.sort_by(|a, b| a.0.total_cmp(&b.0));
    grid.dedup();
    let series = all
        .iter()
        .zip(&curves)
        .map(|((name, class, _), curve)| {
            let mut rest = curve.iter().peekable();
            let values =
                grid.iter().map(|at| rest.next_if(|(x, q, _)| (*x, *q) == *at).map(|(_, _, ms)| *ms)).collect();
            Series { name: (*name).to_owned(), class, values }
        })
        .collect();
    let values = || curves.iter().flatten().map(|(_, _, ms)| *ms).filter(|ms| *ms > 0.0);
    let most = values().fold(0.0, f64::max);
    let least = values().fold(f64::INFINITY, f64::min).min(most);
    let label =
        |quantile: f64| if quantile >= 1.0 { "maximum".to_owned() } else { format!("{} %", number(quantile * 100.0)) };
    let ticks = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999_999];
    let names = ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %"];
    Plot {
        title: "Latency by percentile",
        note: "each further nine takes the same width; logarithmic".to_owned(),
        spoken: "Latency by percentile of each measure; the table below has the figures.".to_owned(),
        height: 280,
        y: Scale::log(least, most),
        y_label: format::short_ms,
        x_ticks: ticks
            .iter()
            .zip(names)
            .map(|(q, text)| (part(*q, 0), text.to_owned()))
            .filter(|(x, _)| *x <= 1.0)
            .collect(),
        x: grid.iter().map(|(x, q)| (*x, label(*q))).collect(),
        series,
        bars: false,
        connect: true,
        under: String::new(),
    }
    .render()
}

fn number(percent: f64) -> String {
    format::number((percent * 1e6).round() / 1e6)
}
