//! `report.html`: one file, no network, readable without script.

mod charts;
mod events;
mod ledger;
mod page;
mod parts;
mod svg;
mod tables;

pub use page::render_html;

/// Escapes text for element content and quoted attributes. Control characters that HTML does not know are replaced.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(character),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
