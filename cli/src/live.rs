//! What a run prints while it goes on: one living line on a terminal, a plain line every five seconds elsewhere.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use conductor::Progress;
use protocol::RunPhase;

/// Seconds between lines where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

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
        Self { terminal: std::io::stderr().is_terminal(), quiet, state: Mutex::new(State::default()) }
    }

    pub(crate) fn progress(&self, progress: &Progress) {
        if self.quiet {
            return;
        }
        let Ok(mut state) = self.state.lock() else { return };
        let mut err = std::io::stderr().lock();
        let line = line(progress);
        if self.terminal {
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
            let _ = writeln!(err, "{line}");
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
            let _ = write!(line, " ({})", trouble.chars().take(100).collect::<String>());
        }
    }
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
    use super::{count, milliseconds};

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
