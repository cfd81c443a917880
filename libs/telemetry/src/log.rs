//! Logs: standard error, one line an event.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing_subscriber::EnvFilter;

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
        "log level {text:?}: {why}; write error, warn, info, debug or trace, or directives such as info,floodmark_http=debug"
    )]
    Level { text: String, why: String },
    #[error("logging was set up before")]
    Twice,
}

/// The environment variable that sets the level, or whole directives.
pub const LEVEL_VARIABLE: &str = "FLOODMARK_LOG";

/// Sets up tracing for this process, on standard error. `level` beats the environment's [`LEVEL_VARIABLE`]; `info` without both.
///
/// Colours only on a terminal, and not when `NO_COLOR` is set to anything.
pub fn init(format: Format, level: Option<&str>) -> Result<(), LogError> {
    let from_environment = std::env::var(LEVEL_VARIABLE).ok().filter(|text| !text.is_empty());
    let filter = filter(level.or(from_environment.as_deref()).unwrap_or("info"))?;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let installed = match format {
        Format::Text => builder.with_target(false).try_init(),
        Format::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
    installed.map_err(|_| LogError::Twice)
}

fn filter(text: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder().parse(text).map_err(|e| LogError::Level { text: text.to_owned(), why: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_formats_are_checked() {
        assert!(filter("debug").is_ok() && filter("info,floodmark_http=trace").is_ok());
        let error = filter("floodmark_http=loud").unwrap_err().to_string();
        assert!(error.contains("floodmark_http=loud") && error.contains("write error, warn"), "{error}");
        assert_eq!("json".parse::<Format>().unwrap(), Format::Json);
        assert!("yaml".parse::<Format>().unwrap_err().to_string().contains("text or json"));
    }
}
