//! What an engine did and saw, as the conductor has to know it.

use serde::{Deserialize, Serialize};

/// A chaos step as the engine carried it out. Unix milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecutedChaos {
    /// Position in the document.
    pub index: u32,
    pub executed_at: u64,
    /// When the process was running again; `None` when it never came back.
    pub back_at: Option<u64>,
}

/// A sink-worker that ended by itself, or by somebody else's hand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UnaskedEnd {
    pub ordinal: u32,
    /// Unix milliseconds.
    pub at: u64,
    /// `exit status 101`, `killed by signal 9`.
    pub how: String,
}

/// The file by which an engine outside the conductor's process tells it all that: replaced as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EngineReport {
    /// Grows with every replacement; the conductor echoes it in its progress.
    pub seq: u64,
    pub executed: Vec<ExecutedChaos>,
    /// Parts that will not come back, in words.
    pub lost: Vec<String>,
    /// Why the run has to end now, in words.
    pub stop: Option<String>,
}
