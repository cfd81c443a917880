//! What the conductor serves: the plan of a run, its phase, its chaos timeline.

use serde::{Deserialize, Serialize};

/// `GET /plan?generator=I`: all that a generator or receiver must know to recompute every sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunPlan {
    /// Value of the label `floodmark_run`.
    pub run: String,
    pub seed: u64,
    pub workload: Vec<api::WorkloadGroup>,
    pub stages: Vec<api::Stage>,
    pub faults: Vec<api::Fault>,
    /// Whose rules the store plays, if known: settles the expected verdict of each fault.
    pub profile: Option<api::Profile>,
    /// Generators in all; a target τ belongs to generator τ mod this.
    pub generators: u32,
    pub samples_per_request: u32,
    /// Lanes of a direct target; a sink has workers × lanes.
    pub connections: u32,
    pub overload: api::Overload,
    pub target: Target,
}

/// Where the generators send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// Base addresses (`http://host:port`) of the sink's workers by ordinal; the map comes from any of them.
    Sink { workers: Vec<String> },
    /// A Remote-Write endpoint without a sink in front.
    Endpoint { endpoint: Box<floodmark_http::client::Endpoint> },
}

/// A run goes through these in order; `Aborted` may come after any but `Finished`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunPhase {
    /// Parts come up; no t0 yet.
    Preparing,
    /// t0 is set; generators send by schedule.
    Running,
    /// The schedule is over; generators work off what is due, until told otherwise.
    Draining,
    /// Generators stop sending now and count what is open as unresolved or skipped.
    Stopping,
    /// Reports are taken; the store is read.
    Verifying,
    Finished,
    Aborted,
}

/// `GET /phase`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseDoc {
    pub run: String,
    pub phase: RunPhase,
    /// Nanoseconds since the Unix epoch; the zero of the schedule.
    pub t0: Option<u64>,
    /// Indexes of the generators whose final report was taken: they may leave.
    #[serde(default)]
    pub taken: Vec<u32>,
    /// Incarnations of the sink-workers whose last account was taken: they may leave.
    #[serde(default)]
    pub departed: Vec<String>,
    /// How many milliseconds generators may still wait for answers to what they sent, once they are told to stop; none: as they like.
    #[serde(default)]
    pub last_words_ms: Option<u64>,
}

/// `GET /chaos`: what the engine has to break, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChaosTimeline {
    pub t0: Option<u64>,
    pub events: Vec<ChaosEvent>,
}

/// One step of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChaosEvent {
    /// Position in the document.
    pub index: u32,
    /// Milliseconds since t0.
    pub at_ms: u64,
    pub step: api::ChaosStep,
}

/// Entries of a control document are numbered by t0 and position: those of another run are never taken for this one's.
const STEPS_A_RUN: u64 = 1000;

/// The id that the step of the timeline has in control documents. `t0` in nanoseconds since the Unix epoch.
pub fn chaos_id(t0: u64, index: u32) -> u64 {
    t0 / 1_000_000 * STEPS_A_RUN + u64::from(index)
}

/// The position of the step with that id, if it is one of the run that began at `t0`.
pub fn chaos_index(t0: u64, id: u64) -> Option<u32> {
    let index = id.checked_sub(t0 / 1_000_000 * STEPS_A_RUN)?;
    (index < STEPS_A_RUN).then_some(index as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_other_runs_have_no_position() {
        let t0 = 1_700_000_000_123_456_789;
        for index in [0, 1, 999] {
            assert_eq!(chaos_index(t0, chaos_id(t0, index)), Some(index));
            assert_eq!(chaos_index(t0 + 1_000_000, chaos_id(t0, index)), None);
            assert_eq!(chaos_index(t0 - 1_000_000, chaos_id(t0, index)), None);
        }
    }
}
