//! The summary of a run: `summary.json`, and the input of every other output.

mod capped;
mod latency;
mod parts;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use latency::{Latencies, Latency, second_latencies};
pub use parts::{
    Chaos, Coverage, DropReason, Drops, Example, FaultResult, Finding, Process, RatePoint, Requests, Samples, Slots,
    StageResult, Target, ThresholdResult, Worker,
};

/// The schema that this crate writes and reads.
pub const SCHEMA: &str = "floodmark.dev/summary/v1";
/// Largest summary that is read back.
const MAX_JSON: usize = 64 << 20;

/// What a run came to, in a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    Passed,
    Failed,
    /// Nothing is proven, either way.
    #[default]
    Inconclusive,
}

impl Verdict {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "Passed",
            Self::Failed => "Failed",
            Self::Inconclusive => "Inconclusive",
        }
    }

    /// The exit status that goes with it.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Inconclusive => 3,
        }
    }
}

/// Everything a report shows. Fill in what is known; what is left at its default is left out of the outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Summary {
    pub schema: String,
    /// The version of the program that wrote it.
    pub version: String,
    /// The test's name.
    pub name: String,
    pub run: String,
    pub seed: u64,
    pub verdict: Verdict,
    pub reasons: Vec<String>,
    /// Whether somebody ended the run; what was verified until then stands.
    pub interrupted: bool,
    /// RFC 3339, as [`crate::rfc3339`] writes it.
    pub start_time: String,
    pub completion_time: String,
    pub duration_seconds: f64,
    pub target: Target,
    /// Delivered, Durable or Buffered; none without a sink.
    pub ack_policy: Option<String>,
    /// Samples a second that were answered as they had to be, over the stages that are not warm-up; [`Summary::tidy`] fills it in.
    pub achieved_rate: Option<f64>,
    pub stages: Vec<StageResult>,
    pub samples: Samples,
    pub requests: Requests,
    pub workers: Vec<Worker>,
    pub drops: Drops,
    pub findings: Vec<Finding>,
    pub faults: Vec<FaultResult>,
    pub chaos: Vec<Chaos>,
    pub thresholds: Vec<ThresholdResult>,
    pub latency: Latencies,
    pub rate_series: Vec<RatePoint>,
    pub cpu: Vec<Process>,
    pub generator_saturated: bool,
    /// What held the run back, in words; none when nothing did.
    pub limit: Option<String>,
    /// What was read back; none: nothing, so losses are unproven.
    pub coverage: Option<Coverage>,
    /// Why nothing was read back although there is a store to read; none otherwise.
    pub unread: Option<String>,
    /// The documents that were run, as YAML.
    pub document: Option<String>,
    /// The command that runs it again.
    pub command: Option<String>,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: String::new(),
            run: String::new(),
            seed: 0,
            verdict: Verdict::default(),
            reasons: Vec::new(),
            interrupted: false,
            start_time: String::new(),
            completion_time: String::new(),
            duration_seconds: 0.0,
            target: Target::default(),
            ack_policy: None,
            achieved_rate: None,
            stages: Vec::new(),
            samples: Samples::default(),
            requests: Requests::default(),
            workers: Vec::new(),
            drops: Drops::default(),
            findings: Vec::new(),
            faults: Vec::new(),
            chaos: Vec::new(),
            thresholds: Vec::new(),
            latency: Latencies::default(),
            rate_series: Vec::new(),
            cpu: Vec::new(),
            generator_saturated: false,
            limit: None,
            coverage: None,
            unread: None,
            document: None,
            command: None,
        }
    }
}

/// Why a summary could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SummaryError {
    #[error("not a summary: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the summary has the schema {found:?}; this version reads {SCHEMA:?}")]
    Schema { found: String },
    #[error("the summary takes more than {MAX_JSON} bytes; it is not one of ours")]
    TooLarge,
}

impl Summary {
    /// `summary.json`, indented, with a line end.
    pub fn to_json(&self) -> Result<String, SummaryError> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    /// Reads `summary.json` of the same schema; unknown fields are passed over.
    pub fn from_json(text: &str) -> Result<Self, SummaryError> {
        if text.len() > MAX_JSON {
            return Err(SummaryError::TooLarge);
        }
        let summary: Self = serde_json::from_str(text)?;
        if summary.schema != SCHEMA {
            return Err(SummaryError::Schema { found: summary.schema });
        }
        Ok(summary)
    }

    /// The finding of a name such as `SilentLoss`.
    pub fn finding(&self, name: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.name == name)
    }

    /// Samples a second that were acknowledged in time, or refused where that was asked for, over the stages that are not warm-up;
    /// none before anything ran.
    pub fn rate_achieved(&self) -> Option<f64> {
        let counted = self.stages.iter().filter(|stage| !stage.warm_up);
        let (samples, seconds) = counted.fold((0u64, 0.0), |(samples, seconds), stage| {
            (samples + stage.acknowledged_in_time, seconds + stage.r#for)
        });
        if seconds > 0.0 {
            return Some(samples as f64 / seconds);
        }
        (self.duration_seconds > 0.0).then(|| self.samples.acknowledged as f64 / self.duration_seconds)
    }

    /// The rate as every output shows it.
    pub(crate) fn shown_rate(&self) -> Option<f64> {
        self.achieved_rate.or_else(|| self.rate_achieved())
    }

    /// Fills in and rounds what is derived, so that every output shows the same few digits; whole counts are left alone.
    pub fn tidy(&mut self) {
        let round = |value: &mut f64, factor: f64| *value = (*value * factor).round() / factor;
        round(&mut self.duration_seconds, 1000.0);
        self.achieved_rate = self.rate_achieved();
        if let Some(rate) = &mut self.achieved_rate {
            round(rate, 1.0);
        }
        for stage in &mut self.stages {
            round(&mut stage.achieved_rate, 1.0);
            if let Some(rate) = &mut stage.target_rate {
                round(rate, 1.0);
            }
        }
        for point in &mut self.rate_series {
            for value in [&mut point.target, &mut point.acknowledged, &mut point.drops] {
                // The few drops of a point that stands for minutes are not none.
                round(value, if *value < 1.0 { 1000.0 } else { 1.0 });
            }
        }
        for process in &mut self.cpu {
            round(&mut process.cores, 1000.0);
            if let Some(share) = &mut process.run_queue_share {
                round(share, 10_000.0);
            }
        }
    }

    /// Sums a map of reasons.
    pub(crate) fn sum(by_reason: &BTreeMap<String, u64>) -> u64 {
        by_reason.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}
