//! What a run prints while it goes on: one living line on a terminal, a plain line every five seconds elsewhere.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use protocol::{Progress, RunPhase};

/// Seconds between lines where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
/// Longest plain line, in characters: what a target answers may be long.
const PLAIN_LONGEST: usize = 300;
/// What a terminal without a size (a serial line, some CI) is taken for.
const UNKNOWN_COLUMNS: usize = 80;

/// Prints progress to standard error, so that standard output holds the verdict alone.
#[derive(Debug)]
pub(crate) struct Live {
    terminal: bool,
    quiet: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    printed: Option<Instant>,
    phase: Option<RunPhase>,
    waiting: Option<String>,
    on_line: bool,
}

impl Live {
    pub(crate) fn new(quiet: bool) -> Self {
        let terminal = telemetry::log::escapes(std::io::stderr().is_terminal());
        Self { terminal, quiet, state: Mutex::new(State::default()) }
    }

    pub(crate) fn progress(&self, progress: &Progress) {
        if self.quiet {
            return;
        }
        let Ok(mut state) = self.state.lock() else { return };
        let mut err = std::io::stderr().lock();
        let line = line(progress);
        if self.terminal {
            // A line that wraps could not be taken back.
            let line = shorten(&line, columns().saturating_sub(1));
            let _ = write!(err, "\r\x1b[2K{line}");
            let _ = err.flush();
            state.on_line = true;
            return;
        }
        // A count that moves is no news; another thing waited for is.
        let waiting =
            progress.waiting_for.as_ref().map(|text| text.replace(|letter: char| letter.is_ascii_digit(), ""));
        let news = state.phase != Some(progress.phase) || state.waiting != waiting;
        if news || state.printed.is_none_or(|at| at.elapsed() >= PLAIN_EVERY) {
            let _ = writeln!(err, "{}", shorten(&line, PLAIN_LONGEST));
            state.printed = Some(Instant::now());
            state.phase = Some(progress.phase);
            state.waiting = waiting;
        }
    }

    /// A line that stays.
    pub(crate) fn say(&self, text: &str) {
        if self.quiet {
            return;
        }
        self.clear();
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    pub(crate) fn clear(&self) {
        if let Ok(mut state) = self.state.lock()
            && std::mem::take(&mut state.on_line)
        {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
    }
}

fn line(progress: &Progress) -> String {
    if let Some(waiting) = &progress.waiting_for {
        return format!("{:<9} waiting: {waiting}", name(progress.phase));
    }
    if matches!(progress.phase, RunPhase::Verifying) {
        return format!("{:<9} comparing what the store holds with what was acknowledged", name(progress.phase));
    }
    let p99 = progress.response_p99_ms.map_or_else(|| "-".into(), milliseconds);
    let mut line = format!(
        "{:<9} {:>3.0}/{:.0}s  stage {}/{}  {:>7}/s of {:>7}/s  p99 {p99:>7}  acked {:>7}  refused {}  drops {}",
        name(progress.phase),
        progress.elapsed,
        progress.duration,
        progress.stage + 1,
        progress.stages,
        count(progress.rate),
        count(progress.target_rate),
        count(progress.acknowledged as f64),
        count(progress.refused as f64),
        count(progress.drops as f64),
    );
    if progress.backlog_seconds >= 1.0 {
        let _ = write!(line, "  behind {:.0}s", progress.backlog_seconds);
        if let Some(trouble) = &progress.trouble {
            let _ = write!(line, ": {trouble}");
        }
    }
    line
}

/// Columns of the terminal as it is now: asked each time, so that a resize needs no signal.
fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    size.map(|size| usize::from(size.ws_col)).ok().filter(|columns| *columns > 0).unwrap_or(UNKNOWN_COLUMNS)
}

/// At most `longest` characters, cut between words with an ellipsis; nothing in it moves the cursor.
fn shorten(text: &str, longest: usize) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let Some((end, _)) = line.char_indices().nth(longest) else { return line };
    // Room for the ellipsis; a single long word is cut where it is.
    let room = line[..end].char_indices().next_back().map_or(0, |(at, _)| at);
    let cut = line[..end].rfind(' ').filter(|cut| *cut > room / 2).unwrap_or(room);
    line.truncate(cut);
    line.truncate(line.trim_end().len());
    line.push('…');
    line
}

fn name(phase: RunPhase) -> &'static str {
    match phase {
        RunPhase::Preparing => "preparing",
        RunPhase::Running => "running",
        RunPhase::Draining => "draining",
        RunPhase::Stopping => "stopping",
        RunPhase::Verifying => "verifying",
        RunPhase::Finished => "finished",
        RunPhase::Aborted => "aborted",
    }
}

/// Three significant figures with the suffixes of the documents: 999, 12.3k, 1.00M.
fn count(value: f64) -> String {
    let (scaled, suffix) = match value {
        value if value >= 1e9 => (value / 1e9, "G"),
        value if value >= 1e6 => (value / 1e6, "M"),
        value if value >= 1e4 => (value / 1e3, "k"),
        value => return format!("{value:.0}"),
    };
    let digits = if scaled < 10.0 { 2 } else { usize::from(scaled < 100.0) };
    format!("{scaled:.digits$}{suffix}")
}

fn milliseconds(ms: f64) -> String {
    if ms >= 1000.0 {
        format!("{:.2}s", ms / 1000.0)
    } else if ms >= 10.0 {
        format!("{ms:.0}ms")
    } else {
        format!("{ms:.1}ms")
    }
}

#[cfg(test)]
mod tests {
    use super::{count, milliseconds, shorten};

    #[test]
    fn lines_fit_and_are_cut_between_words() {
        assert_eq!(shorten("as it is", 8), "as it is");
        assert_eq!(shorten("sink-worker 0: connection refused", 28), "sink-worker 0: connection…");
        assert_eq!(shorten("sink-worker 0: connection refused", 26), "sink-worker 0: connection…");
        assert_eq!(shorten("überlänge", 5), "über…");
        assert_eq!(shorten("a\x1b[2Kb\nc", 20), "a [2Kb c");
        for longest in 0..40 {
            let line = shorten("running 3/30s  stage 1/1  äöü 12.3k/s", longest);
            assert!(line.chars().count() <= longest.max(1), "{longest}: {line}");
        }
    }

    #[test]
    fn figures_are_short_and_keep_three_digits() {
        assert_eq!(count(999.0), "999");
        assert_eq!(count(12_345.0), "12.3k");
        assert_eq!(count(999_000.0), "999k");
        assert_eq!(count(1_000_000.0), "1.00M");
        assert_eq!(milliseconds(1.234), "1.2ms");
        assert_eq!(milliseconds(2345.0), "2.35s");
    }
}
