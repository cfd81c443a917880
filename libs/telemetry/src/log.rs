//! Logs: standard error, one line an event.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// `--log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For collectors: one object a line.
    Json,
}

impl std::str::FromStr for Format {
    type Err = LogError;
    fn from_str(s: &str) -> Result<Self, LogError> {
        match s {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(LogError::Format(other.to_owned())),
        }
    }
}

/// Why logging cannot start.
#[derive(Debug, Error)]
pub enum LogError {
    #[error("log format {0:?}: write text or json")]
    Format(String),
    #[error(
        "log level {text:?}: {why}; write off, error, warn, info, debug or trace, or directives such as info,floodmark_http=debug"
    )]
    Level { text: String, why: String },
    #[error("logging was set up before")]
    Twice,
}

/// The environment variable that sets the level, or whole directives.
pub const LEVEL_VARIABLE: &str = "FLOODMARK_LOG";

/// Sets up tracing for this process, on standard error. `level` beats the environment's [`LEVEL_VARIABLE`]; `info` without both.
///
/// Colours as [`colours`] has it.
pub fn init(format: Format, level: Option<&str>) -> Result<(), LogError> {
    let from_environment = std::env::var(LEVEL_VARIABLE).ok().filter(|text| !text.is_empty());
    let filter = filter(level.or(from_environment.as_deref()).unwrap_or("info"))?;
    let colours = colours(std::io::stderr().is_terminal());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let installed = match format {
        Format::Text => builder.with_target(false).try_init(),
        Format::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
    installed.map_err(|_| LogError::Twice)
}

fn filter(text: &str) -> Result<EnvFilter, LogError> {
    let wrong = |why: String| LogError::Level { text: text.to_owned(), why };
    // A word alone would be taken for a target, all of which is then logged: more likely it is a mistyped level.
    for word in text.split(',').map(str::trim).filter(|word| !word.contains(['=', '['])) {
        if word.is_empty() || word.parse::<LevelFilter>().is_err() {
            return Err(wrong(format!("{word:?} is no level")));
        }
    }
    EnvFilter::builder().parse(text).map_err(|error| wrong(error.to_string()))
}

/// Whether escape sequences belong into a stream: a terminal that knows them (`TERM` is not `dumb`).
pub fn escapes(is_terminal: bool) -> bool {
    is_terminal && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether a stream takes colours: [`escapes`], and `NO_COLOR` is not set to anything.
pub fn colours(is_terminal: bool) -> bool {
    escapes(is_terminal) && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_formats_are_checked() {
        assert!(filter("debug").is_ok() && filter("info,floodmark_http=trace").is_ok());
        let error = filter("floodmark_http=loud").unwrap_err().to_string();
        assert!(error.contains("floodmark_http=loud") && error.contains("write off, error"), "{error}");
        for wrong in ["zzz", "", "info,", "infos", "info,floodmark_http"] {
            let error = filter(wrong).unwrap_err().to_string();
            assert!(error.contains("no level") && error.contains("write off, error"), "{error}");
        }
        assert_eq!("json".parse::<Format>().unwrap(), Format::Json);
        assert!("yaml".parse::<Format>().unwrap_err().to_string().contains("text or json"));
    }
}
