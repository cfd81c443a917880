//! What the conductor is told: where the parts are and what is to be judged.

use std::time::Duration;

use floodmark_http::client::Endpoint;
use serde::{Deserialize, Serialize};

/// All that a run needs to know, engine-free.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConductorPlan {
    /// Name of the `LoadTest`.
    pub name: String,
    /// Value of the label `floodmark_run`.
    pub run: String,
    /// The documents that are run, as YAML, and the command that runs them: what a report says about running it again.
    pub document: String,
    pub command: String,
    pub test: api::LoadTestSpec,
    /// Whose rules the store plays, if that is known.
    pub profile: Option<api::Profile>,
    pub target: crate::Target,
    /// The target in words, for reports.
    pub target_text: String,
    /// Of the sink, if there is one.
    pub ack_policy: Option<api::AckPolicy>,
    /// Sink-workers' lanes; 0 without a sink.
    pub lanes: u16,
    /// Largest batch of a sink-worker, in samples; 0 without a sink.
    pub batch_samples: u32,
    /// Base addresses by index.
    pub generators: Vec<String>,
    /// Base addresses by ordinal.
    pub workers: Vec<String>,
    /// Where our own receivers serve what they hold; empty when the store is somebody else's.
    pub receivers: Vec<Endpoint>,
    pub read_back: Option<ReadBackPlan>,
    /// How long all parts may take to come up, the target included.
    pub ready_timeout: Duration,
    /// How long buffered workers may take to deliver after the last acknowledgement.
    pub drain_timeout: Duration,
}

impl ConductorPlan {
    /// Whether what is stored can be looked at: in receivers of ours, or by reading it back.
    pub fn reads_store(&self) -> bool {
        self.read_back.is_some() || !self.receivers.is_empty()
    }
}

/// What a conductor in a process of its own reads: a run, and where its engine's supervisors tell what they did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolePlan {
    pub plan: ConductorPlan,
    #[serde(default)]
    pub supervisors: Supervisors,
}

/// Base addresses of the supervisors, by ordinal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Supervisors {
    pub workers: Vec<String>,
    pub receivers: Vec<String>,
}

/// Where every stored sample is read from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadBackPlan {
    pub kind: ReadBackKind,
    /// The server's base URL; the paths of its query interface are appended.
    pub endpoint: Endpoint,
}

/// Whose query interface it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadBackKind {
    Prometheus,
    VictoriaMetrics,
}
