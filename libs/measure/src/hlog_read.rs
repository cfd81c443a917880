//! Reading a `.hlog` back, from any hand.

use std::io::BufRead;

use hdrhistogram::Histogram;

use crate::codec;
use crate::hlog::{HlogError, VERSION};

/// One line of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct HlogLine {
    pub tag: Option<String>,
    /// Seconds, as written (relative to the base time when the log has one).
    pub start: f64,
    /// Seconds.
    pub length: f64,
    pub histogram: Histogram<u64>,
}

/// Longest line taken: a histogram of this project with a tag always fits.
const MAX_LINE: u64 = 512 * 1024;
/// Lines taken from one log.
const MAX_LINES: usize = 1_000_000;

/// Reads a whole log, calling `each` for every interval; refuses a log without the version line and histograms of other bounds.
pub fn read_hlog(input: &mut impl BufRead, mut each: impl FnMut(HlogLine)) -> Result<(), HlogError> {
    let mut text = String::new();
    for line in 1..=MAX_LINES {
        text.clear();
        let read = std::io::Read::take(&mut *input, MAX_LINE).read_line(&mut text)?;
        if read == 0 {
            if line == 1 {
                return Err(syntax(line, "the log is empty"));
            }
            return Ok(());
        }
        if read as u64 == MAX_LINE {
            return Err(syntax(line, "the line is longer than any histogram"));
        }
        let row = text.trim_end();
        if line == 1 && row != VERSION {
            return Err(syntax(line, "not a histogram log: the first line must be the version line, format 1.3"));
        }
        if !(row.is_empty() || row.starts_with('#') || row.starts_with("\"StartTimestamp\"")) {
            each(parse(row, line)?);
        }
    }
    Err(syntax(MAX_LINES, "the log has too many lines"))
}

fn parse(row: &str, line: usize) -> Result<HlogLine, HlogError> {
    let (tag, rest) = match row.strip_prefix("Tag=") {
        None => (None, row),
        Some(tagged) => {
            let (tag, rest) =
                tagged.split_once(',').ok_or_else(|| syntax(line, "a tag without an interval after it"))?;
            (Some(tag.to_owned()), rest)
        }
    };
    let mut fields = rest.splitn(4, ',');
    let mut number = || {
        fields
            .next()
            .and_then(|f| f.trim().parse::<f64>().ok())
            .filter(|n| n.is_finite())
            .ok_or_else(|| syntax(line, "start, length and maximum must be numbers"))
    };
    let (start, length, _max) = (number()?, number()?, number()?);
    let text = fields.next().ok_or_else(|| syntax(line, "the histogram is missing"))?;
    let histogram = codec::from_text(text.trim()).map_err(|source| HlogError::Histogram { line, source })?;
    Ok(HlogLine { tag, start, length, histogram })
}

fn syntax(line: usize, what: &'static str) -> HlogError {
    HlogError::Syntax { line, what }
}
