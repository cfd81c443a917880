//! Findings: what is not as it should be, by name, with a count and a few samples as witnesses.

use serde::{Deserialize, Serialize};

/// Examples kept for one finding.
pub const MAX_EXAMPLES: usize = 10;

/// Kinds of findings, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FindingName {
    /// Answered 2xx, not stored, and nothing explains it.
    SilentLoss,
    /// Answered 2xx, then lost with a killed worker that buffered in memory.
    AckedLoss,
    /// Stored with another value than was sent.
    Altered,
    /// Stored after a newer sample of its series.
    Reordered,
    /// Arrived more than once.
    Duplicated,
    /// An injected fault answered 2xx or stored, though it had to be refused (or accepted, but not stored).
    WronglyAccepted,
    /// A sample that had to be accepted was refused, stored or not.
    WronglyRefused,
    /// Good samples refused because of a fault in the same request.
    Collateral,
    /// Stored though the sender was never told so.
    StoredUnacknowledged,
    /// A sample that names this run, of one of its series or of one that it does not have, and that the workload never made.
    Unexpected,
    /// Sent, not acknowledged, not stored: nobody promised anything.
    Unresolved,
    /// Nobody could say whether they are stored, or accounts and store contradict each other.
    Unproven,
}

impl FindingName {
    /// Every name.
    pub const ALL: [Self; 12] = [
        Self::SilentLoss,
        Self::AckedLoss,
        Self::Altered,
        Self::Reordered,
        Self::Duplicated,
        Self::WronglyAccepted,
        Self::WronglyRefused,
        Self::Collateral,
        Self::StoredUnacknowledged,
        Self::Unexpected,
        Self::Unresolved,
        Self::Unproven,
    ];

    /// The name as documents and reports write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SilentLoss => "SilentLoss",
            Self::AckedLoss => "AckedLoss",
            Self::Altered => "Altered",
            Self::Reordered => "Reordered",
            Self::Duplicated => "Duplicated",
            Self::WronglyAccepted => "WronglyAccepted",
            Self::WronglyRefused => "WronglyRefused",
            Self::Collateral => "Collateral",
            Self::StoredUnacknowledged => "StoredUnacknowledged",
            Self::Unexpected => "Unexpected",
            Self::Unresolved => "Unresolved",
            Self::Unproven => "Unproven",
        }
    }
}

impl std::fmt::Display for FindingName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One sample as a witness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Example {
    /// The series as text: `name{label="value",…}`.
    pub series: String,
    pub timestamp_ms: i64,
    /// The value as text, so that NaN and infinities survive JSON.
    pub value: String,
    /// What was expected, found or known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// How many samples a finding concerns, how many of them something known explains, and at most ten of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub name: FindingName,
    /// Samples, the explained ones included.
    pub count: u64,
    /// Samples that a kill, a pause, a lost answer or a retry explains: reported, not held against the target.
    #[serde(default)]
    pub explained: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
}

impl Finding {
    /// Samples that nothing explains.
    pub fn unexplained(&self) -> u64 {
        self.count.saturating_sub(self.explained)
    }
}

/// Collects findings: counts each, keeps the first ten examples of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examples(std::collections::BTreeMap<FindingName, Finding>);

impl Examples {
    fn entry(&mut self, name: FindingName) -> &mut Finding {
        self.0.entry(name).or_insert_with(|| Finding { name, count: 0, explained: 0, examples: Vec::new() })
    }

    /// Whether another witness would be kept.
    pub fn wants(&self, name: FindingName) -> bool {
        self.0.get(&name).is_none_or(|finding| finding.examples.len() < MAX_EXAMPLES)
    }

    /// Counts samples without a witness.
    pub fn count(&mut self, name: FindingName, count: u64, explained: u64) {
        if count > 0 {
            let finding = self.entry(name);
            finding.count = finding.count.saturating_add(count);
            finding.explained = finding.explained.saturating_add(explained.min(count));
        }
    }

    /// Counts one sample; `example` is only called while fewer than ten are kept.
    pub fn add(&mut self, name: FindingName, explained: bool, example: impl FnOnce() -> Example) {
        let finding = self.entry(name);
        finding.count = finding.count.saturating_add(1);
        finding.explained = finding.explained.saturating_add(u64::from(explained));
        if finding.examples.len() < MAX_EXAMPLES {
            finding.examples.push(example());
        }
    }

    /// Adds witnesses without counting.
    pub fn witness(&mut self, name: FindingName, examples: &[Example]) {
        let finding = self.entry(name);
        let room = MAX_EXAMPLES.saturating_sub(finding.examples.len());
        finding.examples.extend(examples.iter().take(room).cloned());
    }

    /// What was found under a name.
    pub fn get(&self, name: FindingName) -> Option<&Finding> {
        self.0.get(&name)
    }

    /// The findings with a count, the worst first.
    pub fn into_findings(self) -> Vec<Finding> {
        self.0.into_values().filter(|finding| finding.count > 0).collect()
    }
}
