//! Tables with proper headers, numbers to the right, and room to scroll where a screen is narrow.

use std::fmt::Write as _;

use super::escape;

/// How a column is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Text(&'static str),
    /// Sentences; they get room on narrow screens.
    Wide(&'static str),
    Number(&'static str),
}

/// A cell. Text is escaped when it is rendered; `Raw` is markup made by this crate alone.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Text(String),
    Raw(String),
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Renders a table; the first column heads its rows. Empty without rows.
pub(crate) fn table(caption: &str, columns: &[Column], rows: &[Vec<Cell>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table><caption>{0}</caption><thead><tr>",
        escape(caption)
    );
    for column in columns {
        let _ = match column {
            Column::Text(name) | Column::Wide(name) => write!(out, "<th scope=\"col\">{}</th>", escape(name)),
            Column::Number(name) => write!(out, "<th scope=\"col\" class=\"n\">{}</th>", escape(name)),
        };
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        out.push_str("<tr>");
        for (index, (cell, column)) in row.iter().zip(columns).enumerate() {
            let class = match column {
                Column::Text(_) => "",
                Column::Wide(_) => " class=\"wide\"",
                Column::Number(_) => " class=\"n\"",
            };
            let text = match cell {
                Cell::Text(text) => escape(text),
                Cell::Raw(markup) => markup.clone(),
            };
            let _ = if index == 0 {
                write!(out, "<th scope=\"row\"{class}>{text}</th>")
            } else {
                write!(out, "<td{class}>{text}</td>")
            };
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// A word with the colour of its meaning: good, bad, open or plain.
pub(crate) fn tone(class: &str, text: &str) -> Cell {
    Cell::Raw(format!("<span class=\"{class}\">{}</span>", escape(text)))
}

/// A horizontal bar for a part of a whole (0 to 1); decoration beside the figure.
pub(crate) fn gauge(part: f64, class: &str) -> Cell {
    Cell::Raw(format!(
        "<span class=\"gauge\" aria-hidden=\"true\"><i class=\"{class}\" style=\"width:{}%\"></i></span>",
        super::svg::percent(part)
    ))
}
