//! Logs: standard error, one line an event.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// `--log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Text,
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
    #[error("log level {text:?}: {why}; write error, warn, info, debug or trace, or directives such as info,floodmark_http=debug")]
    Level { text: String, why: String },
    #[error("logging was set up before")]
    Twice,
}

/// Sets up tracing for this process. `level` beats the environment's `FLOODMARK_LOG`; `info` without both.
pub fn init(_format: Format, _level: Option<&str>) -> Result<(), LogError> {
    todo!()
}
