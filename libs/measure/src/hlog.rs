//! `.hlog`: the interval log that the Java and C tools read.

use std::io::{self, Write};

use hdrhistogram::Histogram;

use crate::codec::{self, CodecError};
use crate::distribution::Distribution;

/// Why a log could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum HlogError {
    #[error("cannot write or read the histogram log: {0}")]
    Io(#[from] io::Error),
    #[error("line {line}: {source}")]
    Histogram { line: usize, source: CodecError },
    #[error("line {line}: {what}")]
    Syntax { line: usize, what: &'static str },
    #[error("the tag {0:?} cannot stand in a histogram log; leave out commas, spaces, quotes and line ends")]
    Tag(String),
}

/// The exact first line: the C reader refuses a file without it.
pub(crate) const VERSION: &str = "#[Histogram log format version 1.3]";
pub(crate) const LEGEND: &str =
    "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"";
/// The readers' customary divisor of the maximum. Values are microseconds, so the column shows seconds.
const MAX_DIVISOR: f64 = 1_000_000.0;

/// Writes a log line by line.
pub struct HlogWriter<W: Write> {
    out: W,
    lines: usize,
}

impl<W: Write> HlogWriter<W> {
    /// Writes the header. `t0_unix_ns` becomes start and base time: the stamps of the lines are seconds since then.
    pub fn new(mut out: W, t0_unix_ns: u64) -> Result<Self, HlogError> {
        let start = seconds(t0_unix_ns);
        writeln!(out, "{VERSION}")?;
        writeln!(out, "#[StartTime: {start} (seconds since epoch)]")?;
        writeln!(out, "#[BaseTime: {start} (seconds since epoch)]")?;
        writeln!(out, "#[Values are microseconds, Interval_Max is in seconds]")?;
        writeln!(out, "{LEGEND}")?;
        Ok(Self { out, lines: 5 })
    }

    /// Writes one interval that starts `start` seconds after t0.
    pub fn line(
        &mut self,
        tag: Option<&str>,
        start: u64,
        seconds: u64,
        histogram: &Histogram<u64>,
    ) -> Result<(), HlogError> {
        self.lines += 1;
        if let Some(tag) = tag {
            if tag.is_empty() || tag.contains(|c: char| !c.is_ascii_graphic() || ",\"#".contains(c)) {
                return Err(HlogError::Tag(tag.to_owned()));
            }
            write!(self.out, "Tag={tag},")?;
        }
        let text = codec::to_text(histogram).map_err(|source| HlogError::Histogram { line: self.lines, source })?;
        let max = histogram.max() as f64 / MAX_DIVISOR;
        writeln!(self.out, "{start}.000,{seconds}.000,{max:.3},{text}")?;
        Ok(())
    }

    /// Gives the sink back.
    pub fn into_inner(self) -> W {
        self.out
    }
}

/// Writes a distribution: its intervals without a tag (what the log tools add up by default), then the histogram of the whole run,
/// at three digits, with the tag `total`.
pub fn write_hlog(out: impl Write, t0_unix_ns: u64, distribution: &Distribution) -> Result<(), HlogError> {
    let mut log = HlogWriter::new(out, t0_unix_ns)?;
    let mut end = 0;
    for interval in distribution.intervals() {
        let interval = interval.map_err(|source| HlogError::Histogram { line: 0, source })?;
        end = interval.start + interval.seconds;
        log.line(None, interval.start, interval.seconds, &interval.histogram)?;
    }
    log.line(Some("total"), 0, end.max(1), distribution.histogram())?;
    log.into_inner().flush()?;
    Ok(())
}

/// Unix nanoseconds as seconds with three decimals, without a detour over floats.
fn seconds(unix_ns: u64) -> String {
    let ms = unix_ns / 1_000_000;
    format!("{}.{:03}", ms / 1000, ms % 1000)
}
